"""How columns and numbers are called where people read them, in figures and in tables."""

from __future__ import annotations

ACRONYMS = {"mse": "MSE", "nll": "NLL", "ece": "ECE", "kd": "KD", "l2": "L2", "auroc": "AUROC", "lr": "learning rate"}
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
LOWERED = str.maketrans(RAISED, "0123456789-")
RAISE = str.maketrans("0123456789-", RAISED)


def label(name: str, unit: str = "") -> str:
    """A column as an axis says it: "test_mse" in "target²" → "test MSE (target²)"."""
    words = " ".join(ACRONYMS.get(word, word) for word in name.split("_"))
    return f"{words} ({unit})" if unit else words
