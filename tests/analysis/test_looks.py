"""How figures look: nothing lies over anything else, and pictures are those that somebody has looked at.

The pictures are in `baseline`; after a change of looks that is meant, `pytest tests/analysis/test_looks.py --baseline`
draws them anew. Look at them.
"""

from itertools import combinations
from pathlib import Path

import figure_kinds as kinds
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from analysis.figures.lines import lines
from analysis.figures.phase import phase

pytestmark = pytest.mark.usefixtures("no_window")

BASELINE = Path(__file__).parent / "baseline"
TOLERANCE = 6.0
"""Root of the mean squared difference of pixels, of 255: fonts are drawn a little otherwise by every machine."""
DPI = 80


def texts(figure: Figure) -> list[Text]:
    """All that is written and seen: a locator offers more ticks than lie within the axes."""
    found = []
    for text in figure.findobj(Text):
        if not (text.get_text().strip() and text.get_visible()):
            continue
        tick = next((a for a in figure.axes if text in (*a.get_xticklabels(), *a.get_yticklabels())), None)
        if tick is None or _within(tick, text):
            found.append(text)
    return found


def _within(axes, text: Text) -> bool:
    box, middle = axes.bbox, text.get_transform().transform(text.get_position())
    side = 0 if text in axes.get_xticklabels() else 1
    return bool((box.x0, box.y0)[side] - 1 <= middle[side] <= (box.x1, box.y1)[side] + 1)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of which one lies over the other by more than a point; turned ones by their own corners."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure) if text.get_rotation() % 90 == 0]
    least = figure.dpi / 72
    return [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > least and min(a.y1, b.y1) - max(a.y0, b.y0) > least
    ]


@pytest.mark.parametrize("count", [3, 30, 300])
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_nothing_is_written_over_anything_else_or_beyond_the_page(kind, count):
    figure = kinds.KINDS[kind](count)
    FigureCanvasAgg(figure).draw()
    assert overlaps(figure) == []
    written = texts(figure)
    assert all(sum(t in (*a.get_xticklabels(), *a.get_yticklabels()) for t in written) >= 2 for a in figure.axes)
    page = figure.get_tightbbox()
    assert min(page.x0, page.y0) >= -0.01
    assert page.x1 <= figure.get_figwidth() + 0.01
    assert page.y1 <= figure.get_figheight() + 0.01


def test_long_labels_of_axes_are_folded():
    x, y = "a column of a name that is as long as that of several others together", "a value in units of many words"
    named = kinds.long(5).rename(columns={"x": x, "error": y})
    placed = kinds.plane(5).rename(columns={"x": x, "error": y})
    for axes in (lines(named, x=x, value=y, by="group"), phase(placed, x=x, y="y", value=y)):
        FigureCanvasAgg(axes.figure).draw()
        page, labels = axes.figure.get_tightbbox(), [a.xaxis.label for a in axes.figure.axes]
        assert min(page.x0, page.y0) >= -0.01
        assert page.x1 <= axes.figure.get_figwidth() + 0.01
        assert labels[0].get_text().split() == x.split()
        assert overlaps(axes.figure) == []


@pytest.mark.parametrize("far", [1.02, 1.5, 8, 50, 300])
def test_a_logarithmic_axis_has_labels_however_short(far):
    trials = pd.DataFrame({"x": [1.0, 2.0], "v": [1.01, 1.01 * far]})
    figure = lines(trials, x="x", value="v", log_value=True).figure
    FigureCanvasAgg(figure).draw()
    seen = [label for label in figure.axes[0].get_yticklabels() if label in texts(figure)]
    assert 2 <= len(seen) <= 9


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_figure_looks_as_somebody_saw_it(kind, tmp_path: Path, request: pytest.FixtureRequest):
    drawn, wanted = tmp_path / f"{kind}.png", BASELINE / f"{kind}.png"
    kinds.KINDS[kind](12).savefig(drawn, dpi=DPI)
    if request.config.getoption("--baseline"):
        wanted.write_bytes(drawn.read_bytes())
    assert compare_images(str(wanted), str(drawn), tol=TOLERANCE) is None


def test_a_figure_of_other_colours_is_seen_to_differ(tmp_path: Path):
    other = kinds.phase(kinds.plane(12).assign(error=lambda t: -t["error"]), value="error", **kinds.PLANE).figure
    other.savefig(tmp_path / "other.png", dpi=DPI)
    same_size = compare_images(str(BASELINE / "phase.png"), str(tmp_path / "other.png"), tol=TOLERANCE)
    assert same_size is not None
