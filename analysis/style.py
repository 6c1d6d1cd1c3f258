"""One look for every figure: fonts, sizes, colours, the footer, and files that say what they show.

Only fonts that come with matplotlib are used, so a figure looks the same on every machine. `viridis` rises evenly in
lightness, survives grey print and the common colour blindnesses, and holds no grey: grey is left to what is missing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = {"one": 3.375, "two": 7.0}
"""Inches of a one-column and a two-column figure."""

COLOURS = "viridis"
TEXT, SMALL, FOOT = 8.0, 7.0, 5.5
INK, FAINT = "#1a1a1a", "#6e6e6e"
FONTS = ["STIXGeneral", "DejaVu Sans"]
ACRONYMS = {"mse": "MSE", "nll": "NLL", "ece": "ECE", "kd": "KD", "l2": "L2", "auroc": "AUROC", "lr": "learning rate"}

LOOK: Mapping[str, Any] = {
    "font.family": FONTS, "mathtext.fontset": "stix", "font.size": TEXT,
    "axes.labelsize": TEXT, "axes.titlesize": TEXT, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL, "legend.title_fontsize": SMALL, "legend.frameon": False, "legend.handlelength": 1.6,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.linewidth": 0.6, "lines.linewidth": 1.2, "hatch.linewidth": 0.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "xtick.minor.size": 1.5, "ytick.minor.size": 1.5,
    "axes.spines.top": False, "axes.spines.right": False, "image.cmap": COLOURS,
    "figure.dpi": 120, "savefig.dpi": 300, "pdf.fonttype": 42, "axes.unicode_minus": True,
}  # fmt: skip


@contextmanager
def paper() -> Iterator[None]:
    """Draw and save inside this: the look holds, and a character that no font has becomes a box without a warning."""
    with matplotlib.rc_context(dict(LOOK)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def label(name: str, unit: str = "") -> str:
    """A column's name as an axis says it: "test_mse" in "target²" → "test MSE (target²)"."""
    words = plain(" ".join(ACRONYMS.get(word, word) for word in name.split("_")))
    return f"{words} ({_raised(plain(unit))})" if unit else words


def plain(text: str) -> str:
    """Text in which a dollar is a dollar, not the start of a formula."""
    return text.replace("$", r"\$")


def _raised(unit: str) -> str:
    """target² → target$^{2}$: raised digits in the hand of the other digits."""
    lowered = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    return re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: f"$^{{{found[0].translate(lowered)}}}$", unit)


def numbers(values: Sequence[float]) -> list[str]:
    """Numbers as the ticks of one axis say them: all plain (20, 0.05) or all as powers of ten, and no two alike."""
    size = [abs(v) for v in values if v != 0]
    scientific = bool(size) and (min(size) < 1e-3 or max(size) >= 1e5)
    for digits in range(3, 18):
        said = [_scientific(v, digits) if scientific else _positional(v, digits) for v in values]
        if len(set(said)) == len(set(values)):
            break
    return [text.replace("-", "−") for text in said]


def _positional(value: float, digits: int) -> str:
    return str(int(value)) if value == int(value) else f"{float(f'{value:.{digits}g}')}"


def _scientific(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = f"{float(mantissa):.{digits}g}"
    times = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}\\times")
    return f"${times}10^{{{int(power)}}}$"


def text_width(text: str, size: float) -> float:
    """Points that `text` takes in a row."""
    if not text.strip():
        return 0.0
    return float(TextPath((0, 0), text, size=size, prop=FontProperties(family=FONTS)).get_extents().width)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, without a window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def new_axes() -> Axes:
    """Axes of a one-column figure that a notebook shows."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(WIDTH["one"], 0.8 * WIDTH["one"]), layout="constrained")[1]


def label_edges(axes: Axes, left: bool, bottom: bool) -> None:
    """Of panels that share their axes, label the sides that no other panel labels."""
    axes.tick_params(labelleft=left, labelbottom=bottom)
    axes.yaxis.label.set_visible(left)
    axes.xaxis.label.set_visible(bottom)


def legend_above(figure: Figure, handles: Sequence[Any], title: str | None = None) -> None:
    """A legend over all panels, in as many columns as the figure's width leaves room for."""
    room = 72 * figure.get_figwidth() - 8
    widths = [text_width(handle.get_label(), SMALL) + 30 for handle in handles]
    columns = next(c for c in range(len(widths), 0, -1) if c == 1 or _columns_width(widths, c) <= room)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, title=title, alignment="left", columnspacing=1.2)


def _columns_width(widths: Sequence[float], columns: int) -> float:
    """Width of a legend, which is filled column by column."""
    tall, more = divmod(len(widths), columns)
    starts = [i * tall + min(i, more) for i in range(columns + 1)]
    return sum(max(widths[a:b]) for a, b in pairwise(starts))


def footer(figure: Figure, text: str) -> None:
    """Write `text` small along the lower edge, and keep the rest of the figure above it."""
    width, height = figure.get_size_inches()
    margin = 4 / 72
    lines = _wrapped(plain(text), 72 * (width - 2 * margin), FOOT)
    need = (len(lines) * 1.25 * FOOT + 6) / 72
    height += need
    figure.set_size_inches(width, height)
    figure.text(margin / width, margin / height, "\n".join(lines), size=FOOT, color=FAINT, va="bottom", linespacing=1.2)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, need / height, 1, 1 - need / height))


def _wrapped(text: str, width: float, size: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
