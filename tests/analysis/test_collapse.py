"""Finite-size scaling on made-up data whose critical point and exponents are known."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from analysis.data.cells import gather
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.figures.collapse import collapse as drawn
from analysis.figures.collapse import command
from analysis.statistics import collapse as scaling
from analysis.statistics.collapse import collapse
from analysis.statistics.mastercurve import Law, Points, quality
from analysis.statistics.repeats import Repeats

ISING = Law(critical=2.269, inverse_nu=1.0, height=-0.125)
"""The two-dimensional Ising model: T_c = 2/ln(1 + √2), ν = 1, and β/ν = 1/8 for its magnetisation."""

PRUNED = Path(__file__).parent / "rows" / "pruned_students.parquet"
"""How the error of students with a group lasso changes as their nodes are taken away, for teachers of 10, 20 and 40:

python -m tsd.sweep sweeps/spectral_collapse.yaml
python -m analysis sql results/spectral_collapse -o tests/analysis/rows/pruned_students.parquet "
    SELECT teacher_width, seed_init, step * teacher_width // 1000 AS nodes_kept, value AS scaled_excess
    FROM trials JOIN curves USING (trial_id)
    WHERE metric = 'scaled_excess' AND layer = 'group_lasso' AND student_width = 60 ORDER BY ALL"
"""


def trials(law=ISING, *, seed=0, sizes=(8, 16, 32), noise=0.01, correction=0.0, window=0.2, points=17, seeds=6):
    """Rows whose `m` is L^h (f(x) + correction / L²) with f(x) = (1 + eˣ)^(−1/2), and noise in proportion."""
    rng, rows = np.random.default_rng(seed), []
    for size in sizes:
        control = law.critical + window * np.linspace(-1, 1, points)
        f = (1 + np.exp(size**law.inverse_nu * (control - law.critical))) ** -0.5 + correction / size**2
        for s in range(seeds):
            m = size**law.height * (f + noise * rng.normal(size=points))
            rows.append(pd.DataFrame({"size": size, "T": control, "m": m, "seed_init": s}))
    return pd.concat(rows, ignore_index=True)


def collapsed(frame, **options):
    return collapse(Rows.of(frame), value="m", size="size", control="T", **options)


def points_of(law, sizes=(8, 16, 32), error=0.01, points=200):
    """Exact points, so close that straight lines between them are exact too."""
    controls = {s: law.critical + np.linspace(-4, 4, points) * s**-law.inverse_nu for s in sizes}
    return [
        Points(
            s, c, s**law.height * (1 + np.exp(s**law.inverse_nu * (c - law.critical))) ** -0.5, np.full(points, error)
        )
        for s, c in controls.items()
    ]


@pytest.mark.parametrize("law", [ISING, Law(0.5, 0.625, 0.0), Law(-3.0, 1.7, 0.4)])
def test_the_quality_vanishes_at_the_law_that_made_exact_points(law):
    exact = points_of(law)
    assert quality(exact, law) < 1e-4
    for other in (
        Law(law.critical + 0.1, law.inverse_nu, law.height),
        Law(law.critical, 1.3 * law.inverse_nu, law.height),
    ):
        assert quality(exact, other) > 1


def test_the_quality_of_pure_noise_is_one():
    """At the right law the residuals are in units of their own errors: their mean square is 1."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        noisy = [Points(p.size, p.control, p.mean + rng.normal(size=200) * p.error, p.error) for p in points_of(ISING)]
        found.append(quality(noisy, ISING))
    assert np.mean(found) == pytest.approx(1, abs=0.05)


def houdayer_hartmann(points, law):
    """S as the paper says it: around every point, a line fitted to the two neighbours in each other size."""
    found = []
    for own, other_points in ((p, [q for q in points if q is not p]) for p in points):
        for x, y, dy in zip(*law.scaled(own), strict=True):
            near = []
            for xs, ys, dys in map(law.scaled, other_points):
                after = [j for j in range(len(xs) - 1) if xs[j] <= x <= xs[j + 1]]
                near += [(xs[j], ys[j], dys[j]) for j in (after[0], after[0] + 1)] if after else []
            if near:
                at, height, error = np.array(near).T
                line, covariance = np.polyfit(at, height, 1, w=1 / error, cov="unscaled")
                found.append((y - line @ [x, 1]) ** 2 / (dy**2 + [x, 1] @ covariance @ [x, 1]))
    return np.mean(found)


def test_the_quality_is_that_of_the_paper():
    """On grids of every size's own, some points of which lie beyond all others, with unequal errors."""
    rng, points = np.random.default_rng(0), []
    for p in points_of(ISING, sizes=(8, 12, 30), points=15):
        control, error = np.sort(p.control + 0.01 * rng.normal(size=15)), rng.uniform(0.01, 0.1, 15)
        points.append(Points(p.size, control, p.mean + error * rng.normal(size=15), error))
    for law in (ISING, Law(2.2, 0.8, 0.1), Law(2.5, 1.4, -0.5)):
        assert quality(points, law) == pytest.approx(houdayer_hartmann(points, law), rel=1e-6)


def test_the_quality_does_not_depend_on_units():
    points = [Points(p.size, p.control, 7 * p.mean, 7 * p.error) for p in points_of(ISING)]
    off = Law(2.3, 1.1, -0.1)
    assert quality(points, off) == pytest.approx(quality(points_of(ISING), off))


@pytest.mark.parametrize("law", [ISING, Law(0.5, 0.625, 0.0)])
def test_known_exponents_are_found_within_their_intervals(law):
    found = collapsed(trials(law, points=25, window=3 * 8**-law.inverse_nu), height=None, resamples=40)
    known = {"critical": law.critical, "nu": 1 / law.inverse_nu, "height": law.height}
    for name, interval in found.intervals.items():
        assert interval.low <= known[name] <= interval.high, name
        assert interval.half < {"critical": 0.03, "nu": 0.2, "height": 0.05}[name]
    assert 0.5 < found.quality < 1.6
    assert found.warnings == ()


def test_intervals_are_as_wide_as_estimates_scatter():
    """Over independent data sets the estimate's own spread is what the bootstrap says, within its error."""
    found = [
        collapsed(trials(seed=s, sizes=(8, 24), points=9, window=0.3), height=-0.125, resamples=20) for s in range(8)
    ]
    scatter = np.std([f.law.critical for f in found], ddof=1)
    told = np.mean([f.intervals["critical"].half / 1.96 for f in found])
    assert 0.5 < told / scatter < 2


def test_a_smallest_size_that_drives_the_fit_is_told():
    """Corrections to scaling of 1/L² belong to the smallest size alone."""
    found = collapsed(
        trials(sizes=(4, 16, 32, 64), correction=2.0, points=25, window=0.15), height=-0.125, resamples=30
    )
    assert any(warning.startswith("Without size 4, ") for warning in found.warnings)
    assert found.warnings[0].startswith("The points lie off one curve")


def test_intervals_stretch_where_errors_do_not_explain_the_scatter():
    good = collapsed(trials(), height=-0.125, resamples=20)
    bad = collapsed(trials(correction=1.0), height=-0.125, resamples=20)
    assert good.quality < 1.5 < bad.quality
    assert bad.intervals["critical"].half > 1.5 * good.intervals["critical"].half


def test_three_seeds_do_not_spoil_a_collapse_by_chance():
    """At the true law S is about 1 with three seeds as with many; each by its own error it would be 2 and more."""
    found = [
        np.mean([quality([s.points for s in samples_of(trials(seed=d, seeds=n, noise=0.05))], ISING) for d in range(6)])
        for n in (3, 20)
    ]
    assert found == pytest.approx([1, 1], abs=0.35)


def samples_of(frame):
    return scaling._samples(gather(Rows.of(frame), ["size", "T"], "m"), "size", "T")


def test_a_crossover_without_a_transition_is_told():
    frame = trials(Law(2.269, 1e-9, 0.0), sizes=(8, 16, 32), window=3, points=13, noise=0.05)
    told = collapsed(frame, resamples=5).warnings
    assert told[0] == "The curves lie on one curve as they are, whatever the size: nothing tells of a transition."


def test_two_sizes_tell_nothing_of_the_smaller_and_far_points_nothing_of_a_bend():
    told = collapsed(trials(sizes=(8, 32), points=11, window=0.4), height=-0.125, resamples=5).warnings
    assert "Too little is left without size 8 to tell whether it drives the fit." in told
    far = collapsed(trials(sizes=(8, 32), points=7, window=1.5), height=-0.125, resamples=5).warnings
    assert far[0].endswith("Between points the curves bend: measure more of them.")


def test_a_critical_point_outside_the_window_is_told():
    frame = trials(window=0.4, points=33)
    found = collapsed(frame[frame["T"] > 2.3], height=-0.125, resamples=5)
    assert "The critical point lies outside what was measured." in found.warnings
    assert np.isnan(found.intervals["critical"].low), "five resamplings make no interval"


def test_what_cannot_be_collapsed_is_said():
    with pytest.raises(AnalysisError, match="at least two values of `size`"):
        collapsed(trials(sizes=(8,)))
    with pytest.raises(AnalysisError, match="two seeds"):
        collapsed(trials(seeds=1))
    with pytest.raises(AnalysisError, match="agree everywhere at size = 8"):
        collapsed(trials(noise=0.0))
    with pytest.raises(AnalysisError, match="--control size: each needs a column of its own"):
        collapse(Rows.of(trials()), value="m", size="size", control="size")


def test_seeds_are_drawn_whole():
    """A seed that lies high at all controls moves the critical point, but not the shape: its points stay together."""
    sample = scaling.Sample(8, Repeats(np.arange(4.0), np.arange(3.0)[:, None] + np.zeros((3, 4))))
    means = [sample.drawn(np.random.default_rng(s)).mean for s in range(5)]
    assert all((mean == mean[0]).all() for mean in means)
    assert len({mean[0] for mean in means}) > 1


@pytest.fixture(scope="module")
def pruned() -> pd.DataFrame:
    return pd.read_parquet(PRUNED).assign(over_teacher=lambda rows: 1 / rows["teacher_width"])


@pytest.fixture(scope="module")
def scaled(pruned: pd.DataFrame) -> scaling.Collapse:
    """With 1/h_T for a size: where only nodes over those of the teacher matter, ν is 1 and the critical number 0."""
    columns = {"value": "scaled_excess", "size": "over_teacher", "control": "nodes_kept"}
    return collapse(Rows.of(pruned), **columns, resamples=20)


def test_pruned_students_of_all_teachers_break_down_at_the_same_place(pruned, scaled):
    assert scaled.law.inverse_nu == pytest.approx(1, abs=0.15)
    assert scaled.intervals["nu"].low < 1 < scaled.intervals["nu"].high < 4
    assert -10 < scaled.intervals["critical"].low < 0 < scaled.intervals["critical"].high < 10
    for wrong in (0.2, 2.0):
        assert quality(scaled.points, Law(scaled.law.critical, wrong)) > 3 * scaled.quality
    mean = pruned.groupby(["teacher_width", "nodes_kept"])["scaled_excess"].mean()
    edges = [(mean[width] < 1e-3).idxmax() / width for width in (10, 20, 40)]
    assert all(0.8 < edge <= 1 for edge in edges)


def test_the_heights_of_pruned_students_do_not_collapse(pruned, scaled):
    """At half of the teacher's nodes errors differ by factors, and no height that is a power of the size helps."""
    half = pruned[2 * pruned["nodes_kept"] == pruned["teacher_width"]].groupby("teacher_width")["scaled_excess"].mean()
    assert half[10] > 3 * half[20] > 3 * half[40]
    assert scaled.warnings[0].startswith("The points lie off one curve")
    columns = {"value": "scaled_excess", "size": "over_teacher", "control": "nodes_kept"}
    free = collapse(Rows.of(pruned), **columns, height=None, resamples=5)
    assert free.warnings[0].startswith("The points lie off one curve")


@pytest.fixture(scope="module")
def ising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = trials(seeds=3, sizes=(8, 32), points=11).rename(columns={"T": "temperature"}).to_dict("records")
    metrics = {"m": ""}
    return example.write(
        tmp_path_factory.mktemp("r") / "ising", rows, parameters={"size": "", "temperature": ""}, metrics=metrics
    )


def test_the_verb_draws_and_tells(ising: Path, tmp_path: Path, capsys):
    outputs = [tmp_path / "c.png", tmp_path / "c.csv"]
    command(str(ising), value="m", size="size", control="temperature", height=-0.125, output=outputs)
    said = Image.open(outputs[0]).text["Description"]
    assert "Critical temperature = 2.2" in said and "h = −0.125 as given; 95 % bootstrap over seeds" in said
    numbers = pd.read_csv(outputs[1], comment="#").set_index("name")
    assert numbers.loc["critical", "estimate"] == pytest.approx(2.269, abs=0.02)
    assert list(numbers.index) == ["critical", "nu", "quality", "overlap"]
    assert "Critical temperature" in capsys.readouterr().out


def test_collapsed_points_are_drawn_on_axes_of_ones_own():
    axes = Figure().subplots()
    assert drawn(trials(sizes=(8, 16), points=9), value="m", size="size", control="T", height=-0.125, ax=axes) is axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["8", "16"]
    assert len(axes.containers) == 2


def test_the_bounds_of_nu_are_positive_however_wide():
    """Curves of two sizes that hardly differ bound ν from nowhere near."""
    rng = np.random.default_rng(0)
    rows = [
        {"size": size, "c": c, "seed_init": s, "v": float(np.tanh(c - 1) + 0.3 * rng.normal())}
        for size in (10, 11)
        for c in np.linspace(0, 2, 9)
        for s in range(4)
    ]
    found = collapse(Rows.of(pd.DataFrame(rows)), value="v", size="size", control="c").intervals["nu"]
    assert 0 < found.low < found.mean < found.high
    assert found.high > 3 * found.low
