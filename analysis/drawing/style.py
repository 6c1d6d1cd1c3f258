"""One look for every figure: fonts, sizes, colours, and the footer.

The fonts come with matplotlib, so a figure looks the same on every machine; letters that they lack, such as Chinese,
are those of the machine's own. `viridis` rises evenly in lightness, survives grey print and the common colour
blindnesses, and holds no grey: grey is left to what is missing.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.textpath import text_to_path

from analysis import naming

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = {"one": 3.375, "two": 7.0}
"""Inches of a one-column and a two-column figure."""

COLOURS, DIVERGING = "viridis", "RdBu"
TEXT, SMALL, FOOT = 8.0, 7.0, 5.5
INK, FAINT, THEORY = "#1a1a1a", "#6e6e6e", "#e6550d"
ELSEWHERE = (
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic",
    "Malgun Gothic", "IPAGothic", "Noto Emoji", "Symbola", "Segoe UI Emoji", "Unifont",
)  # fmt: skip
"""Common fonts of other scripts; of emoji those in outlines, as matplotlib draws no others."""
FONTS = ["STIXGeneral", "DejaVu Sans", *filter(frozenset(get_font_names()).__contains__, ELSEWHERE)]
MARGIN = 4.0
"""Points between the footer and the edge of the page."""

LOOK: Any = {
    "font.family": FONTS, "mathtext.fontset": "stix", "font.size": TEXT,
    "axes.labelsize": TEXT, "axes.titlesize": TEXT, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL, "legend.title_fontsize": SMALL, "legend.frameon": False, "legend.handlelength": 1.6,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.linewidth": 0.6, "lines.linewidth": 1.2, "hatch.linewidth": 0.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "axes.spines.top": False, "axes.spines.right": False, "image.cmap": COLOURS,
    "figure.dpi": 120, "savefig.dpi": 300, "pdf.fonttype": 42,
}  # fmt: skip


@contextmanager
def paper() -> Iterator[None]:
    """Draw and save inside this: the look holds, and letters that no font has become boxes, which is told once."""
    boxes: dict[str, None] = {}

    def heard(message: Warning | str, *about: Any, **more: Any) -> None:
        found = re.match(r"Glyph (\d+) .* missing from", str(message))
        boxes.setdefault(chr(int(found[1]))) if found else shown(message, *about, **more)

    with matplotlib.rc_context(LOOK), warnings.catch_warnings():
        warnings.filterwarnings("always", message="Glyph .* missing from")
        shown, warnings.showwarning = warnings.showwarning, heard
        yield
    if boxes:
        _tell("".join(boxes))


def new_figure(width: float, height: float, shown: bool = False) -> Figure:
    """An empty figure in inches; with `shown`, one that a notebook or a window shows."""
    if shown:
        from matplotlib import pyplot

        return pyplot.figure(figsize=(width, height), layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def categories(count: int) -> Any:
    """Colours that no common colour blindness takes for each other, ten at most."""
    from seaborn import color_palette  # here: loading it takes longer than drawing a figure that has no categories

    return color_palette("colorblind", count)


def label(name: str, unit: str = "") -> str:
    """A column as an axis says it, with its unit; see `analysis.naming.label`."""
    raised = f"[{naming.RAISED}]+"
    text = plain(naming.label(name, unit))
    return re.sub(raised, lambda digits: f"$^{{{digits[0].translate(naming.LOWERED)}}}$", text)


def plain(text: str) -> str:
    """Text in which a dollar is a dollar, not the start of a formula."""
    return text.replace("$", r"\$")


def numbers(values: Sequence[float]) -> list[str]:
    """Numbers as the ticks of one axis say them: all plain (20, 0.05) or all as powers of ten, and no two alike."""
    apart = min((b - a for a, b in pairwise(sorted(set(values)))), default=0.0)
    values = [0.0 if abs(v) < 1e-9 * apart else v for v in values]
    size = [abs(v) for v in values if v != 0]
    write = _scientific if size and (min(size) < 1e-3 or max(size) >= 1e5) else _positional
    for digits in range(3, 18):
        said = [write(v, digits) for v in values]
        if len(set(said)) == len(set(values)):
            break
    return [text.replace("-", "−") for text in said]


def text_width(text: str, size: float) -> float:
    """Points that `text` takes in a row."""
    formula = "$" in text.replace(r"\$", "")
    font = FontProperties(family=FONTS, size=size, math_fontfamily="stix")
    return float(text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), font, formula)[0])


def points(axes: Axes) -> tuple[float, float]:
    """Width and height of axes in points, as they are now."""
    scale = 72 / axes.figure.dpi
    return axes.bbox.width * scale, axes.bbox.height * scale


def label_edges(axes: Axes, left: bool, bottom: bool) -> None:
    """Of panels with equal axes, label the sides that no other panel labels."""
    axes.tick_params(labelleft=left, labelbottom=bottom)
    axes.yaxis.label.set_visible(left)
    axes.xaxis.label.set_visible(bottom)


def finish(figure: Figure, handles: Sequence[Any], title: str | None = None) -> None:
    """Long labels of axes folded, and over all panels a legend, in as many columns as there is room for."""
    for axes in figure.axes:
        for axis, room in zip((axes.xaxis, axes.yaxis), points(axes), strict=True):
            axis.label.set_text("\n".join(wrapped(axis.label.get_text(), room, TEXT)))
    if not handles:
        return
    look = in_lines(handles, 72 * figure.get_figwidth() - 2 * MARGIN)
    figure.legend(loc="outside upper left", title=title, alignment="left", columnspacing=1.2, **look)


def in_lines(handles: Sequence[Any], room: float) -> dict[str, Any]:
    """What a legend needs to be read line by line: as few lines as `room` points allow, and all about as long."""
    widths = [text_width(handle.get_label(), SMALL) + 30 for handle in handles]
    most = next(c for c in range(len(widths), 0, -1) if c == 1 or sum(max(widths[k::c]) for k in range(c)) <= room)
    columns = -(-len(widths) // -(-len(widths) // most))
    return {"handles": [h for k in range(columns) for h in handles[k::columns]], "ncols": columns}


def with_room(figure: Figure, height: float, lines: int = 1) -> None:
    """Make a page taller where legend and labels leave its panels, in so many `lines`, less than `height` inches."""
    engine = figure.get_layout_engine()
    assert engine is not None, "every figure of ours has a layout"
    engine.execute(figure)
    lacking = height - figure.axes[0].bbox.height / figure.dpi
    if lacking > 0:
        figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + lines * lacking)


def footer(figure: Figure, text: str) -> None:
    """Write `text` small along the lower edge of a figure made taller for it, and keep the rest above."""
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    lines = wrapped(plain(text), 0.96 * (width - 2 * MARGIN), FOOT)
    need = 1.25 * FOOT * len(lines) + 1.5 * MARGIN
    height += need
    figure.set_size_inches(width / 72, height / 72)
    place = MARGIN / width, MARGIN / height
    figure.text(*place, "\n".join(lines), size=FOOT, color=FAINT, va="bottom", linespacing=1.2)
    figure.set_layout_engine("constrained", rect=(0, need / height, 1, 1 - need / height))


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The lines of a text that is `width` points wide; a longer word has a line of its own."""
    lines = [""]
    for word in re.split("[ \\n]+", text.strip()):  # not at the narrow spaces of large numbers
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def _tell(letters: str) -> None:
    """Say once what became boxes, and what helps."""
    known = f"{matplotlib.get_cachedir()}/fontlist*.json"
    sys.stderr.write(
        f"No font here has {letters}: boxes stand in their place.\n"
        f"Install one, such as Noto Sans CJK or Noto Emoji, and delete {known}, where matplotlib lists what it knows.\n"
    )


def _positional(value: float, digits: int) -> str:
    return str(int(value)) if value == int(value) else f"{float(f'{value:.{digits}g}')}".removesuffix(".0")


def _scientific(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = f"{float(mantissa):.{digits}g}"
    times = {"1": "", "-1": "-"}.get(mantissa, f"{mantissa}\\times")
    return f"${times}10^{{{int(power)}}}$"
