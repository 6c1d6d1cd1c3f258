"""Tables: which cells tie, how numbers are rounded, and what each format says."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from scipy import stats as reference

from analysis import load
from analysis.__main__ import app
from analysis.data.load import Results
from analysis.data.rows import Rows, Source
from analysis.errors import AnalysisError
from analysis.statistics.compare import Comparison, compare, direction
from analysis.statistics.intervals import Interval, holm, iqm_interval
from analysis.writing.footer import told
from analysis.writing.hypertext import page
from analysis.writing.latex import latex, tex
from analysis.writing.provenance import provenance
from analysis.writing.rounding import Rounding, in_words
from analysis.writing.tables import Said, Table, comma_separated, markdown

METHODS = ("method", "samples_per_class")
DOCUMENT = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{t.tex}\end{document}"


def compared(data, axes=METHODS, value="test_accuracy", **options) -> Comparison:
    options = {"better": None, "reference": None, "interval": "t"} | options
    return compare(Rows.of(data), axes, value, **options)


def _more(comparison: Comparison) -> str:
    return " ".join(told(comparison, {}).more)


def table(folder: Path, axes=METHODS, value="test_accuracy", **options) -> Table:
    """What the verb `table` prints of a folder; its path is left out, so that texts are equal everywhere."""
    rows = Results.open(folder).rows()
    comparison = compared(rows, axes, value, **options)
    found = provenance(told(comparison, {"rows": axes[0]}), comparison.cells, rows.source)
    facts = found.facts | {"source": found.facts["source"] | {"results": "results/here"}}
    return in_words(comparison, type(found)(found.notes, facts))


def test_a_cell_is_the_mean_of_its_seeds_with_students_interval(few_samples: Path):
    values = load(few_samples, where="method = 'kd' and samples_per_class = 50")["test_accuracy"]
    low, high = reference.t.interval(0.95, 3, loc=values.mean(), scale=reference.sem(values))
    entry = compared(load(few_samples)).entries["kd", 50]
    assert entry.n == 4
    assert (entry.mean.low, entry.mean.high) == pytest.approx((low, high))


def test_the_best_of_a_column_and_its_ties_are_found_seed_by_seed(few_samples: Path):
    """`none` lies within the interval of `kd`, yet kd wins on every seed: paired, they differ."""
    found = compared(load(few_samples))
    kd, none = found.entries["kd", 50].mean, found.entries["none", 50].mean
    assert none.high > kd.low
    assert {place for place, entry in found.entries.items() if entry.best} == {
        ("kd", 10), ("at", 10), ("kd", 50), ("at", 50),
    }  # fmt: skip
    assert found.pairings == {"paired"}


def test_without_shared_seeds_rows_are_compared_by_welch(few_samples: Path):
    trials = load(few_samples).assign(seed_data=0)
    trials["seed_init"] += 100 * (trials["method"] == "none")
    found = compared(trials)
    assert found.pairings == {"paired", "Welch"}
    assert found.entries["none", 50].best, "unpaired, the difference drowns in the seeds"


def test_where_less_is_better_the_least_is_best():
    frame = pd.DataFrame({"method": ["a", "a", "b", "b"], "test_mse": [1.0, 1.1, 5.0, 5.1], "seed_init": [0, 1, 0, 1]})
    best = compared(frame, ("method", None), "test_mse").entries
    assert best["a", None].best
    assert not best["b", None].best
    assert compared(frame, ("method", None), "test_mse", better="max").entries["b", None].best


@pytest.mark.parametrize(
    ("value", "way"),
    [("test_accuracy", "max"), ("agreement", "max"), ("test_mse", "min"), ("nll", "min"), ("alive_nodes", None)],
)
def test_a_metrics_name_says_what_is_better(value, way):
    assert direction(value) == way


def test_one_seed_has_no_interval_and_no_ties(one_seed: Path):
    found = compared(load(one_seed))
    assert all(np.isnan(entry.mean.low) for entry in found.entries.values())
    assert found.pairings == set()
    assert sum(entry.best for entry in found.entries.values()) == 2
    assert "±" not in markdown(table(one_seed))


def test_equal_means_are_both_best_without_an_interval():
    frame = pd.DataFrame({"method": ["a", "b", "c"], "test_accuracy": [0.9, 0.9, 0.8], "seed_init": 0})
    assert [e.best for e in compared(frame, ("method", None)).entries.values()] == [True, True, False]


def test_one_seed_is_compared_with_nothing_and_the_footer_says_so():
    trials = [("a", s, 0.8 + 0.01 * s) for s in range(4)] + [("b", s, 0.7 + 0.01 * s**2) for s in range(4)]
    frame = pd.DataFrame([*trials, ("c", 0, 0.79)], columns=["method", "seed_init", "test_accuracy"])
    found = compared(frame, ("method", None))
    assert [e.best for e in found.entries.values()] == [True, False, False]
    assert "what does not differ from it (95 %, paired by seed); one seed is compared with nothing." in _more(found)


def test_a_cell_that_lost_a_setting_is_told_and_in_no_comparison(few_samples: Path):
    """`at` diverged at 10 samples with seed 0: its mean is of 50 samples alone, and the highest."""
    found = compared(load(few_samples), ("method", "seed_init"), reference="at")
    lost = found.entries["at", 0]
    assert (lost.settings, lost.asked) == (1, 2)
    assert lost.mean.mean > found.entries["kd", 0].mean.mean
    assert [found.entries[m, 0].best for m in ("none", "kd", "at")] == [False, True, False]
    assert found.entries["kd", 0].difference is None
    assert found.entries["kd", 1].difference is not None
    cells = dict(in_words(found, provenance(told(found, {}), found.cells, Source())).lines)
    assert cells["at"][0].note == "1 diverged, 1 of 2 settings"
    assert "A cell that lost all trials of a setting is in no comparison." in _more(found)


def test_rows_columns_and_value_are_three_columns(few_samples: Path):
    for axes, value in ((("method", "method"), "nll"), (("nll", None), "nll"), (("method", "nll"), "nll")):
        with pytest.raises(AnalysisError, match="each needs a column of its own"):
            compared(load(few_samples), axes, value)


def test_differences_are_to_the_reference_and_paired(few_samples: Path):
    found = compared(load(few_samples), reference="none")
    trials = load(few_samples, where="samples_per_class = 50").pivot(index="seed_init", columns="method")
    wanted = reference.ttest_rel(trials["test_accuracy", "kd"], trials["test_accuracy", "none"])
    difference = found.entries["kd", 50].difference.interval
    assert (difference.low, difference.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert found.entries["none", 50].difference is None


def test_a_reference_may_be_a_number(few_samples: Path):
    found = compared(load(few_samples), ("samples_per_class", "method"), reference="10")
    assert found.entries[50, "kd"].difference is not None
    with pytest.raises(AnalysisError, match="`11`"):
        compared(load(few_samples), ("samples_per_class", "method"), reference="11")


def test_a_reference_may_be_the_row_without_a_name(few_samples: Path):
    nameless = load(few_samples).replace({"method": {"none": ""}})
    found, wanted = (
        compared(data, reference=name).entries["kd", 50].difference.interval
        for data, name in ((nameless, ""), (load(few_samples), "none"))
    )
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_places_without_trials_are_counted_not_hidden(panels: Path):
    found = compared(load(panels, where="panel = 'a'"), ("second", "student_width"), "test_mse")
    assert found.missing() == 1
    assert ("relu", 40) not in found.entries
    assert (found.entries["relu", 20].n, found.entries["relu", 20].diverged) == (0, 2)


def test_a_table_of_lost_trials_alone_says_so(tmp_path: Path):
    trials = [{"method": m, "v": None, "seed_init": s, "state": "failed"} for m in "ab" for s in range(2)]
    folder = example.write(tmp_path / "r", trials, parameters={"method": ""}, metrics={"v": ""})
    notes = table(folder, ("method", None), "v").notes
    assert "No mean: every trial failed or diverged." in notes
    assert "one seed" not in notes


@pytest.mark.parametrize(
    ("interval", "others", "text"),
    [
        (Interval(0.81234, 0.80824, 0.81644), [], "0.8123 ± 0.0041"),
        (Interval(81.234, 80.7, 81.768), [], "81.23 ± 0.53"),
        (Interval(1234.5, 1134.5, 1334.5), [], "1234 ± 100"),
        (Interval(-0.5, -0.61, -0.39), [], "−0.50 ± 0.11"),
        (Interval(0.5, 0.4, 0.7), [], "0.50 [0.40, 0.70]"),
        (Interval(0.81234, np.nan, np.nan), [], "0.8123"),
        (Interval(20.0, 20.0, 20.0), [], "20.00 ± 0.00"),
        (Interval(0.0, 0.0, 0.0), [], "0 ± 0"),
        (Interval(-0.001, -0.5, 0.498), [], "0.00 ± 0.50"),
        (Interval(0.1, 0.1 - 2e-17, 0.1 + 2e-17), [], "0.1000 ± 0.0000"),
        (Interval(1.234e-5, 1.19e-5, 1.278e-5), [], "(1.234 ± 0.044) × 10⁻⁵"),
        (Interval(2.5, 2.0, 3.0), [Interval(2.5e-4, 2e-4, 3e-4)], "2.50 ± 0.50"),
        (Interval(2.5e-4, 2e-4, 3e-4), [Interval(2.5, 2.0, 3.0)], "(2.50 ± 0.50) × 10⁻⁴"),
        (Interval(2.5e-4, np.nan, np.nan), [Interval(2.5, np.nan, np.nan)], "2.50 × 10⁻⁴"),
    ],
)
def test_numbers_are_rounded_to_what_their_interval_supports(interval, others, text):
    assert Rounding.of([interval, *others]).text(interval) == text


@pytest.mark.parametrize("write", [markdown, latex, page])
@pytest.mark.parametrize("options", [{"reference": "none"}, {"axes": ("method", None), "interval": "bootstrap"}])
def test_tables_as_printed(few_samples: Path, snapshot, write, options):
    assert write(table(few_samples, **options)) == snapshot


def test_csv_has_twelve_digits_and_describes_itself(few_samples: Path):
    found = compared(load(few_samples), reference="none")
    lines = list(csv.DictReader(io.StringIO(comma_separated(found, Source(sweep="few", git_sha=("abc",))))))
    assert [(line["method"], line["samples_per_class"]) for line in lines] == [
        (m, s) for m in ("none", "kd", "at") for s in ("10", "50")
    ]
    kd = lines[3]
    assert float(kd["mean"]) == pytest.approx(found.entries["kd", 50].mean.mean, rel=1e-11)
    assert (kd["seeds"], kd["best"], kd["unit"], kd["level"], kd["git_sha"]) == ("4", "True", "fraction", "0.95", "abc")
    assert (lines[0]["difference"], lines[4]["diverged"]) == ("", "1")
    assert kd["difference_how"] == "paired"


def test_a_csv_that_holds_its_own_marks_is_read_back():
    rows = [(m, s, 0.5 + s) for m in NAMES for s in range(2)]
    found = compared(pd.DataFrame(rows, columns=["method", "seed_init", "v"]), ("method", None), "v")
    text = comma_separated(found, Source()) + "# tsd: {}\n"
    read = pd.read_csv(io.StringIO(text), comment="#", keep_default_na=False)
    assert sorted(read["method"]) == sorted(NAMES)


@pytest.mark.parametrize(
    ("write", "pattern"), [(markdown, r"<!-- tsd: (.*) -->"), (latex, r"% tsd: (.*)"), (page, r"<!-- tsd: (.*) -->")]
)
def test_tables_end_with_their_provenance(few_samples: Path, write, pattern):
    found = table(few_samples)
    dashes = Table(**{**vars(found), "facts": json.dumps({"where": "a --> b"})})
    assert json.loads(re.search(pattern, write(found))[1])["counts"]["trials"] == 24
    assert json.loads(re.search(pattern, write(dashes))[1]) == {"where": "a --> b"}


class Balance(HTMLParser):
    """Counts tags, and sees that they close in order and that nothing is loaded."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert not {"src", "href"} & {name for name, _ in attrs}
        self.open += [tag] if tag != "meta" else []
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed_and_says_what_each_head_belongs_to(few_samples: Path):
    seen = Balance(page(table(few_samples, reference="none"))).seen
    heads = [attrs["scope"] for tag, attrs in seen if tag == "th"]
    assert heads == ["col"] * 4 + ["row"] * 3
    assert [tag for tag, _ in seen].count("caption") == 1
    assert ("html", {"lang": "en"}) in seen


def test_in_a_notebook_a_table_styles_itself_alone(few_samples: Path):
    """No page within a page, and every rule of its style begins with its own class."""
    text = table(few_samples)._repr_html_()
    assert not {"html", "body", "title"} & {tag for tag, _ in Balance(text).seen}
    rules = re.sub(r"{[^}]*}", "", text[text.index("<style>") + 7 : text.index("</style>")])
    assert all(rule.strip().startswith(".tsd-table") for rule in rules.replace(",", "\n").split("\n") if rule.strip())


NASTY = r"100%_of {x} & $y$ # ~tilde ^hat \slash <a> |b| “q” ± − × ≤ … 10⁻⁵"
NAMES = [
    NASTY, "[kd, at]", "*star*", "_lead_", "a_b", "$x$ and $y$", "&lt;", "~~s~~", "[a](b)", "`code`", "a--b", "<b>",
    "\\", "#1", '"q", r', "α → Δ",
]  # fmt: skip


def test_markdown_shows_names_as_they_stand():
    found = Table("t", "c", "", ["v"], [(name, [Said("1", bold=True)]) for name in NAMES], "", "{}")
    shown = MarkdownIt().enable(["table", "strikethrough"]).render(markdown(found))
    cells = re.findall(r"<tr>\n<td[^>]*>(.*?)</td>", shown)
    assert [html.unescape(cell) for cell in cells] == NAMES
    assert r"a_b" in markdown(found), "inside of a word an underscore needs no escape"


def test_latex_escapes_what_it_would_read():
    assert tex(r"a_b & 5 % {c} $ # ~ ^ \ <") == (
        r"a\_b \& 5 \% \{c\} \$ \# \textasciitilde{} \textasciicircum{} \textbackslash{} $<$"
    )
    assert tex("2 × 10⁻⁵ ± −1") == r"2 $\times$ 10$^{-5}$ $\pm$ $-$1"
    assert tex("[a]\n\n*b*--- α") == r"{[}a] *b*-{}-{}- $\alpha$"


def compiled(text: str, folder: Path) -> str:
    """What LaTeX says of a document of this table alone; no line is too long and no float too high for its page."""
    (folder / "t.tex").write_text(text)
    (folder / "doc.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout
    assert "too large" not in run.stdout
    return run.stdout


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_compiles_with_the_nastiest_of_names(tmp_path: Path):
    """With so many rows that they take several pages, and the longest name leaves room for one column alone."""
    trials = [
        {"method": m, "a_b": c, "test_accuracy": 0.5 + 0.01 * s, "seed_init": s}
        for m in [*NAMES, *(f"m{i}" for i in range(80))]
        for c in ("%", "[&]")
        for s in range(2)
    ]
    folder = example.write(
        tmp_path / "r_#1", trials, parameters={"method": "", "a_b": "%"}, metrics={"test_accuracy": "%"}
    )
    text = latex(table(folder, ("method", "a_b"), reference="m0"), "r_#1")
    assert text.count(r"\begin{table}") >= 3
    assert r"\label{tab:r_-1}" in text
    compiled(text, tmp_path)


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_a_table_of_many_columns_stays_on_its_page(tmp_path: Path):
    trials = [
        {"method": m, "width": 1000 * c, "test_accuracy": 0.5 + 0.01 * s + 0.001 * c, "seed_init": s}
        for m in ("none", "kd")
        for c in range(30)
        for s in range(3)
    ]
    folder = example.write(
        tmp_path / "r", trials, parameters={"method": "", "width": ""}, metrics={"test_accuracy": ""}
    )
    text = latex(table(folder, ("method", "width"), reference="none"))
    assert text.count(r"\begin{tabular}") > 2
    assert len(re.findall(r"\\textbf", text)) >= 30, "no column is lost"
    compiled(text, tmp_path)


def test_holm_lets_more_tie_and_says_so(few_samples: Path):
    """Among 40 methods that are one method but for noise, some seem to lose; adjusted for 39 comparisons, none do."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"method": f"m{m}", "seed_init": s, "test_accuracy": 0.8 + 0.01 * rng.normal()}
        for m in range(40)
        for s in range(8)
    )
    plain, adjusted = (compared(frame, ("method", None), correct=c) for c in (None, "holm"))
    tied = [sum(entry.best for entry in found.entries.values()) for found in (plain, adjusted)]
    assert tied[0] < tied[1] == 40
    assert "after Holm for 39 comparisons" in told(adjusted, {}).more[0]


def test_holm_adjusts_differences_to_the_reference_too(few_samples: Path):
    """Four comparisons: p is Holm's, and the intervals are Student's at 1 − 0.05 / 4."""
    plain, adjusted = (compared(load(few_samples), reference="none", correct=c) for c in (None, "holm"))
    places = [place for place, entry in plain.entries.items() if entry.difference]
    p = [plain.entries[place].difference.p for place in places]
    assert [adjusted.entries[place].difference.p for place in places] == pytest.approx(holm(p))
    trials = load(few_samples, where="samples_per_class = 50").pivot(index="seed_init", columns="method")
    wanted = reference.ttest_rel(trials["test_accuracy", "kd"], trials["test_accuracy", "none"])
    found = adjusted.entries["kd", 50].difference.interval
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(1 - 0.05 / 4)))
    assert "4 at once after Bonferroni" in told(adjusted, {}).more[1]
    assert "Bonferroni" not in told(plain, {}).more[1]


def test_of_inter_quartile_means_the_best_and_its_ties_are_told_by_them():
    """Two of eight seeds of `a` collapsed: its mean is less than that of `b`, its middle half is more."""
    rng, rows = np.random.default_rng(0), []
    for s in range(8):
        level = 0.8 + 0.01 * rng.normal()
        for method, gain in (("a", 0.02 if s > 1 else -0.7), ("b", 0.0), ("c", 0.02 + 0.002 * (-1) ** s)):
            rows.append({"method": method, "seed_init": s, "test_accuracy": level + gain})
    frame = pd.DataFrame(rows)
    means, middles = (compared(frame, ("method", None), interval=i, reference="b") for i in ("t", "iqm"))
    assert not means.entries["a", None].mean.mean > means.entries["b", None].mean.mean
    assert {place[0] for place, entry in middles.entries.items() if entry.best} == {"a", "c"}
    difference = middles.entries["c", None].difference
    middle = [iqm_interval(frame[frame.method == m]["test_accuracy"]).mean for m in "cb"]
    assert difference.interval.mean == pytest.approx(middle[0] - middle[1])
    assert difference.interval.excludes_zero()
    assert difference.p < 0.01
    assert middles.pairings == {"paired"}


def test_inter_quartile_means_are_told_as_such(few_samples: Path):
    found = compared(load(few_samples), interval="iqm")
    assert told(found, {}).interval.startswith("Inter-quartile mean over seeds")
    values = load(few_samples, where="method = 'kd' and samples_per_class = 50")["test_accuracy"]
    assert found.entries["kd", 50].mean.mean == pytest.approx(sorted(values)[1] / 2 + sorted(values)[2] / 2)


def test_a_bootstrap_says_where_it_cannot_hold_what_it_promises():
    """Three values enclose their median three times of four; an inter-quartile mean wins over another by no less."""
    rows = [(m, s, 0.8 + 0.1 * (m == "a") + 0.01 * s) for m in "ab" for s in range(6)]
    frame = pd.DataFrame(rows, columns=["method", "seed_init", "test_accuracy"])
    few, many = (compared(frame[frame.seed_init < n], ("method", None), interval="iqm") for n in (3, 6))
    assert "of 3 seeds it holds 75 % at most" in _more(few)
    assert "at most" not in _more(many)
    assert [sum(e.best for e in found.entries.values()) for found in (few, many)] == [2, 1]
    crossed = frame.assign(seed_teacher=frame.seed_init % 2, seed_init=frame.seed_init // 2)
    assert "takes seeds that cross as independent" in _more(compared(crossed, ("method", None), interval="bootstrap"))
    assert told(compared(crossed, ("method", None)), {}).interval.endswith(
        "in which the errors of streams that cross add up."
    )


def test_versions_of_a_study_are_not_mixed_without_a_word(tmp_path: Path, capsys):
    trials = [{"x": 1.0, "v": 1.0 * k, "seed_init": s, "study_version": k} for k in (9, 10) for s in range(3)]
    folder = example.write(tmp_path / "r", trials, parameters={"x": ""}, metrics={"v": ""})
    words = ["table", str(folder), "--rows", "x", "--value", "v"]
    app(words, result_action="return_value")
    assert "Mixed: made_up 9, made_up 10, whose numbers may differ" in capsys.readouterr().out
    app([*words, "--where", "study_version=10"], result_action="return_value")
    assert "Mixed" not in capsys.readouterr().out


def test_rows_are_named_on_one_line_and_without_exponents():
    frame = pd.DataFrame({"lr": [1e-5, 3.16e-7, 0.01, 20.0], "v": 1.0, "seed_init": 0})
    found = compared(frame, ("lr", None), "v")
    names = [name for name, _ in in_words(found, provenance(told(found, {}), found.cells, Source())).lines]
    assert names == ["3.16 × 10⁻⁷", "10⁻⁵", "0.01", "20"]
    found = compared(frame.assign(lr=["two\nlines", "", " ", "x"]), ("lr", None), "v")
    names = [name for name, _ in in_words(found, provenance(told(found, {}), found.cells, Source())).lines]
    assert names == ["(empty)", "(empty)", "two lines", "x"]


def test_a_mean_of_nothing_takes_its_digits_from_its_interval():
    """A paired difference that cancels to the last bit is zero within its interval, not a large power of ten."""
    nearly = Interval(4.4e-17, -0.0086, 0.0086)
    alone, beside = Rounding.of([nearly]), Rounding.of([nearly, Interval(0.031, 0.020, 0.042)])
    assert alone.text(nearly, signed=True) == beside.text(nearly, signed=True) == "+0.0000 ± 0.0086"
