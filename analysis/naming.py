"""How columns and numbers are called where people read them, in figures and in tables."""

from __future__ import annotations

ACRONYMS = {"mse": "MSE", "nll": "NLL", "ece": "ECE", "kd": "KD", "l2": "L2", "auroc": "AUROC", "lr": "learning rate"}
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
LOWERED = str.maketrans(RAISED, "0123456789-")
RAISE = str.maketrans("0123456789-", RAISED)


def label(name: str, unit: str = "") -> str:
    """A column as an axis says it: "test_mse" in "target²" → "test MSE (target²)"; "alive_nodes" names its own unit."""
    parts = name.replace("_", " ").split(" ")
    words = " ".join(ACRONYMS.get(part, part) for part in parts)
    return words if not unit or unit in parts else f"{words} ({unit})"
