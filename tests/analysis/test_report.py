"""The web page of a sweep: read as text, and in a real browser where one is at hand."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import example_results as example
import pytest
from PIL import Image

from analysis.__main__ import app
from analysis.data.load import Results
from analysis.drawing.overview import apart, metrics, pictures, varying
from analysis.errors import AnalysisError
from analysis.writing.report import section
from analysis.writing.verify import verify

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
VOID = {"meta", "img", "input", "br"}


@pytest.fixture(scope="module")
def file(plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    failed = [
        {"a_b": x, "v": None, "state": "failed", "error_type": "E<1>", "error": "Trace\nE: a & b"} for x in (1, 2)
    ]
    done = [{"a_b": x, "v": 1.0 * x + s, "seed_init": s} for x in (1, 2, 3) for s in range(3)]
    other = example.write(folder / "other", failed + done, parameters={"a_b": "%"}, metrics={"v": ""})
    kept = json.loads((other / "sweep.json").read_text())
    made = ["python -m analysis lines results/other --x a_b --value v -o own.png"]
    made += ["python -m analysis table results/other --rows a_b --value v", "python -m analysis table results/o"]
    (other / "sweep.json").write_text(json.dumps(kept | {"question": "And what of a & b?", "analysis": made}))
    words = ["report", str(plane), str(other), "--question", "Does <width> help?", "-o", str(folder / "r.html")]
    app(words, result_action="return_value")
    return folder / "r.html"


def test_the_page_is_well_formed_and_loads_nothing(file: Path):
    class Reader(HTMLParser):
        open: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            loaded = [value for name, value in attrs if name in ("src", "href")]
            assert all(value.startswith(("data:", "#")) for value in loaded)
            self.open += [] if tag in VOID else [tag]

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    text = file.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert "http:" not in text and "https:" not in text
    assert """content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-""" in text


def test_the_page_says_what_was_asked_run_and_lost(file: Path):
    text = file.read_text()
    assert "Does &lt;width&gt; help?" in text
    assert "And what of a &amp; b?" in text, "the sweep's own question"
    assert "68 trials: 59 done, 5 diverged, 4 failed." in text
    assert (
        '<td class="text">E&lt;1&gt;</td><td data-value="2">2</td>' in text and "<pre>Trace\nE: a &amp; b</pre>" in text
    )
    assert "git 0123456" in text and ">nan<" not in text, "a failure without words"
    tips = re.findall(r'data-tip="([^"]*)"', text)
    assert "student_width 20, second 0.0001: 4 diverged" in tips
    assert any(re.fullmatch(r"student_width 60, second 0.001: 0\.\d+ ± 0\.\d+, n = 4", tip) for tip in tips)
    assert '<td data-value="200">200</td><td data-value="0.01">0.01</td><td data-value="4">4</td>' in text
    assert '<th scope="col" data-name="sweep" class="text">' in text, "a table of both sweeps"
    assert any(tip.startswith("a_b 1: 2 ± ") for tip in tips)


def test_the_page_knows_what_it_was_made_of(file: Path):
    facts = json.loads(re.search(r"<!-- tsd: (.*) -->", file.read_text())[1])
    assert [lock["trials"] for lock in facts["locks"]] == [68, 11]
    assert str(verify(file)) == "fresh"
    plane, other = facts["results"]
    assert verify(file, [other, plane]).state == "stale", "the second sweep is not the first"
    with pytest.raises(AnalysisError, match="shows 2 of a sweep's results and not 1"):
        verify(file, [plane])


def test_a_folder_without_results_has_no_report(tmp_path: Path):
    with pytest.raises(AnalysisError):
        app(["report", str(tmp_path / "none"), "-o", str(tmp_path / "r.html")], result_action="return_value")
    assert not list(tmp_path.glob("*.html"))


def browse(file: Path, folder: Path, *options: str, address: str = "") -> str:
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", *options]
    run = subprocess.run([*command, file.as_uri() + address], capture_output=True, text=True, timeout=120, check=True)
    return run.stdout


HANDS = """
const said = [], first = sel => document.querySelector(sel), event = (at, kind, more) => at.dispatchEvent(
  new (kind.startsWith("pointer") ? PointerEvent : kind === "keydown" ? KeyboardEvent : Event)(
    kind, { bubbles: true, ...more }));
const sift = words => { first("input").value = words; event(first("input"), "input");
  return first("output").textContent; };
const tip = () => first("#tip").style.visibility + " " + first("#tip").textContent;
const picture = first(".picture"), mark = picture.querySelector("i");
event(mark, "pointermove"); said.push(tip() === "visible " + mark.dataset.tip);
event(document.body, "pointerover"); said.push(tip() === "hidden ");
event(picture, "keydown", { key: "ArrowRight" }); said.push(tip() === "visible " + mark.dataset.tip);
event(picture, "keydown", { key: "Escape" }); said.push(tip() === "hidden ");
const narrow = picture.offsetWidth; first("figure button").click();
said.push(picture.offsetWidth > narrow, first("figure button").getAttribute("aria-expanded") === "true");
for (const words of ["student_width=60 second<0.01", "test_MSE>1e9", "no such", "zz=1", "0.0001"])
  said.push(sift(words));
sift(""); const body = first("#cells0 tbody"), names = [...document.querySelectorAll("#cells0 th")];
const mse = names.findIndex(th => th.dataset.name === "test_mse"), sorted = () => {
  names[mse].querySelector("button").click();
  const found = [...body.rows].map(row => Number(row.cells[mse].dataset.value));
  return found.slice(0, 2).concat(found.slice(-1)); };
said.push(sorted(), names[mse].getAttribute("aria-sort"), sorted());
document.body.textContent = JSON.stringify(said);
"""


def seen(file: Path, folder: Path, script: str, *options: str, address: str = "") -> Any:
    """What a script says that runs on the page, which allows none but its own: its policy is taken off."""
    probe = folder / "probe.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", file.read_text())
    probe.write_text(text.replace("</body>", f"<script>{{{script}}}</script></body>"))
    shown = browse(probe, folder / "b", "--dump-dom", *options, address=address)
    return json.loads(html.unescape(re.search(r"<body>(.*?)</body>", shown, re.S)[1]))


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_browser_shows_values_enlarges_filters_and_sorts(file: Path, tmp_path: Path):
    *acts, low, order, high = seen(file, tmp_path, HANDS)
    assert acts == [True] * 6 + ["2 rows", "0 rows", "0 rows", "0 rows", "5 rows"]
    assert low[0] < low[1] and high[0] > high[1] and order == "ascending"
    assert low[2] is high[2] is None, "a cell without a mean comes last"


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_words_behind_the_address_filter_and_nothing_in_them_breaks_the_page(file: Path, tmp_path: Path):
    some = browse(file, tmp_path, "--dump-dom", address="#60%200.01")
    assert "1 row<" in some and some.count('hidden=""') == 16 + 3
    assert ">0 rows<" in browse(file, tmp_path, "--dump-dom", address="#%")


EVIL = '</script><script>window.name="bad"</script><img src=x onerror="window.name=1">--><svg onload=window.name=1>'


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_no_name_or_value_of_a_sweep_becomes_part_of_the_page(tmp_path: Path):
    trials = [{EVIL: EVIL + str(x), "n": x, "v": 1.0 * x, "seed_init": s} for x in range(3) for s in range(2)]
    lost = {EVIL: EVIL, "n": 1, "v": None, "state": "failed", "error_type": EVIL, "error": EVIL}
    folder = example.write(tmp_path / "r", [*trials, lost], parameters={EVIL: EVIL, "n": "$x"}, metrics={"v": EVIL})
    told = {"question": EVIL, "name": EVIL, "fixed": {EVIL: [EVIL, {EVIL: "${x}"}]}, "provenance": {"git_sha": EVIL}}
    (folder / "sweep.json").write_text(json.dumps(json.loads((folder / "sweep.json").read_text()) | told))
    app(["report", str(folder), str(folder), "-o", str(tmp_path / "r.html")], result_action="return_value")
    ask = """const count = what => document.querySelectorAll(what).length;
        document.body.textContent = JSON.stringify(
          [window.name, count("script"), count("img") - count("figure"), count("svg")])"""
    assert seen(tmp_path / "r.html", tmp_path, ask) == ["", 2, 0, 0], "the page's script and this one"
    assert str(verify(tmp_path / "r.html")) == "fresh"


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_sweep_of_nothing_but_losses_and_one_of_one_trial_have_a_page(state: str, tmp_path: Path, capsys):
    frame = 'Traceback\n  File "a.py", line 3, in {}\nMemoryError: {}'
    trials = [
        {
            "w": w,
            "v": None,
            "state": state,
            "error_type": "MemoryError",
            "error": frame.format("f" if w > 2 else "g", w),
        }
        for w in (2, 4, 8)
    ]
    lost = example.write(tmp_path / "lost", trials, parameters={"w": ""}, metrics={"v": ""})
    (lost / "sweep.json").write_text(json.dumps(json.loads((lost / "sweep.json").read_text()) | {"trials": 5}))
    one = example.write(tmp_path / "one", [{"w": 2, "v": 0.25}], parameters={"w": ""}, metrics={"v": "%"})
    for folder in (lost, one):
        app(["report", str(folder), "-o", str(tmp_path / f"{folder.name}.html")], result_action="return_value")
    text = (tmp_path / "lost.html").read_text()
    assert f"5 trials: 3 {state}, 2 missing." in text and "<h3>Figures" not in text
    if state == "failed":
        assert '<td data-value="1">1</td><td class="text">w 2</td><td class="text">MemoryError: 2</td>' in text
        assert text.count("<details>") == 2
    assert '<td data-value="0.25">0.25</td>' in (tmp_path / "one.html").read_text()
    assert "No interval: one seed" in (tmp_path / "one.html").read_text()


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_phone_shows_the_page_without_scrolling_sideways_and_a_screen_has_sweeps_side_by_side(file, tmp_path: Path):
    script = """const tops = [...document.querySelectorAll("section")].map(one => one.getBoundingClientRect().top);
        document.body.textContent = JSON.stringify([document.documentElement.scrollWidth, innerWidth, tops]);"""
    wide, room, tops = seen(file, tmp_path, script, "--window-size=500,900")
    assert wide <= room and tops[0] < tops[1]
    wide, room, tops = seen(file, tmp_path, script, "--window-size=1300,900")
    assert wide <= room and tops[0] == tops[1]


CONTRASTS = """
const channels = colour => colour.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const behind = at => { const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
  return a ? [r, g, b] : behind(at.parentElement); };
const seen = at => at ? getComputedStyle(at).opacity * seen(at.parentElement) : 1;
const contrast = at => {
  const under = behind(at), share = seen(at), ink = channels(getComputedStyle(at).color);
  const pair = [light(under), light(ink.slice(0, 3).map((c, i) => share * c + (1 - share) * under[i]))];
  return (Math.max(...pair) + .05) / (Math.min(...pair) + .05); };
const texts = [...document.body.querySelectorAll("*")].filter(at => at.tagName !== "SCRIPT" && at.checkVisibility()
  && [...at.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const cards = [...document.querySelectorAll(".figures .wide")];
document.body.textContent = JSON.stringify([texts.length, Math.min(...texts.map(contrast)),
  light(behind(document.body)), cards.map(at => light(behind(at)))]);
"""


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_by_day_and_by_night_all_words_read_and_figures_lie_on_white(scheme: str, file: Path, tmp_path: Path):
    option = f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}"
    texts, least, page, cards = seen(file, tmp_path, CONTRASTS, option)
    assert texts > 50 and least >= 4.5, "the contrast that WCAG 2.2 asks of small print"
    assert (page < 0.05) == (scheme == "dark") and cards == pytest.approx([1, 1, 1])


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_what_a_browser_paints_is_not_blank_and_prints(file: Path, tmp_path: Path):
    browse(file, tmp_path / "b", "--window-size=1200,1600", f"--screenshot={tmp_path / 's.png'}")
    colours = Image.open(tmp_path / "s.png").convert("RGB").getcolors(1 << 20)
    assert len(colours) > 500
    browse(file, tmp_path / "b", f"--print-to-pdf={tmp_path / 'p.pdf'}")
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")


def test_columns_that_move_together_count_as_one_axis(tmp_path: Path):
    zipped = {"spectral": (0.005, 300), "direct": (0.002, 500)}
    trials = [
        {"width": w, "layer": name, "lr": lr, "batch": batch, "v": w * lr + s, "seed_init": s}
        for w in (1, 2, 3)
        for name, (lr, batch) in zipped.items()
        for s in range(2)
    ]
    units = dict.fromkeys(("width", "layer", "lr", "batch"), "")
    steps = {"spectral": (0, 3, 6), "direct": (0, 4, 8)}
    curves = [(i, "loss", at, 1.0 / (1 + at)) for i, t in enumerate(trials) for at in steps[t["layer"]]]
    folder = example.write(
        tmp_path / "r", trials, parameters=units, metrics={"v": ""}, curves=curves, steps={"loss": "step"}
    )
    results = Results.open(folder)
    rows = results.rows()
    assert apart(rows, varying(rows)) == ["width", "layer"]
    lines, loss = pictures(results, rows)
    assert lines.told.facts["asked"] == {"x": "width", "value": "v", "by": "layer"}
    assert loss.told.facts["asked"]["by"] == "layer", "by width, the curves of both layers share step 0 alone"


def test_figures_show_what_depends_on_its_place_on_axes_that_are_even(tmp_path: Path):
    trials = [
        {"x": x, "y": y, "v": float(x * y), "flat": 0.1 * s, "kind_of": f"{x}{s}", "seed_init": s}
        for x in (1, 10, 100)
        for y in (1, 2, 3)
        for s in range(2)
    ]
    units = {"v": "", "flat": "", "kind_of": ""}
    results = Results.open(example.write(tmp_path / "r", trials, parameters={"x": "", "y": ""}, metrics=units))
    rows = results.rows()
    assert metrics(results, rows) == ["v", "flat", "kind_of"]
    [drawn] = pictures(results, rows)
    assert drawn.told.facts["asked"] == {"x": "x", "y": "y", "value": "v", "log_x": True, "log_value": True}


def test_figures_and_tables_that_the_file_of_a_sweep_asks_for_come_first(few_samples: Path, tmp_path: Path):
    made = "python -m analysis {} results/few_samples "
    lines = "--x samples_per_class --value test_accuracy --by method --where \"method <> 'at'\" -o by_method.png"
    commands = [
        made.format("lines") + lines,
        made.format("table") + f"--rows method --value nll --reference none --output={tmp_path / 't.md'} -o t.tex",
        made.format("phase") + "--x <b> --y method --value nll -o p.png",
        made.format("lines") + "--x 'nll",
        made.format("sql") + "'select 1'",
        made.format("table") + "--rows method --value nll --published /etc/passwd",
        "python -m analysis lines results/another --x a --value b -o f.png",
    ]
    folder = tmp_path / "few"
    shutil.copytree(few_samples, folder)
    told = json.loads((folder / "sweep.json").read_text()) | {"analysis": commands}
    (folder / "sweep.json").write_text(json.dumps(told))
    app(["report", str(folder), "-o", str(tmp_path / "r.html")], result_action="return_value")
    text = (tmp_path / "r.html").read_text()
    titles = re.findall(r"<h3>(.*?)</h3>|<figcaption><b>(.*?)\.</b>|<caption>(.*?)</caption>", text)
    first = ["Figures of the sweep", "by method", "NLL (nats) by method; lower is better"]
    assert [next(filter(None, one)) for one in titles][:3] == first
    assert re.search('alt="by method. [^"]*Only where method &lt;&gt; &#x27;at&#x27;.', text)
    assert "<b>by method.</b>  <button" in text, "what stands in the picture does not stand under it too"
    refused = re.findall(r"Not made: <code>(.*?)</code> – (.*?)</p>", text)
    assert "there is no column `&lt;b&gt;`" in refused[0][1]
    assert [said for _, said in refused[1:]] == [
        "No closing quotation",
        "It reads /etc/passwd, which is not below this folder.",
        "It reads results/another and not these results.",
    ]
    assert text.count("<!-- tsd:") == 1 and str(verify(tmp_path / "r.html")) == "fresh"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["r.html"]


def test_what_a_sweep_file_of_other_shapes_says_is_told_as_it_stands(tmp_path: Path):
    told = {
        "axes": {"x": 3},
        "zip": [{"y": [[1, 2], 3]}],
        "when": [{"axes": {"z": "word"}}],
        "fixed": [1],
        "seeds": 7,
        "provenance": {"git_sha": 3, "versions": ["torch"]},
    }
    folder = example.write(tmp_path / "r", [{"x": 1, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    (folder / "sweep.json").write_text(json.dumps(told))
    facts = dict(section(str(folder)).facts)
    shown = {"x": "3", "together, 1": "y: [1, 2], 3", "when None": "z: word", "seeds": "7", "code": "git 3"}
    assert facts | shown == facts and facts["versions"] == "torch"


def test_a_setting_of_one_method_alone_does_not_keep_the_others_from_being_drawn(tmp_path: Path):
    trials = [
        {"method": method, "beta": beta, "v": beta or 0.5, "seed_init": s}
        for method, beta in (("kd", None), ("dkd", 1.0), ("dkd", 8.0))
        for s in range(2)
    ]
    folder = example.write(tmp_path / "r", trials, parameters={"method": "", "beta": ""}, metrics={"v": ""})
    results = Results.open(folder)
    [drawn] = pictures(results, results.rows())
    assert drawn.told.facts["asked"] == {"x": "method", "value": "v"}
    assert [tip.words for tip in drawn.tips] == ["method dkd: 4.5 ± 0", "method kd: 0.5 ± 0"]
    app(["report", str(folder), "-o", str(tmp_path / "r.html")], result_action="return_value")
    lines = re.findall(r"<tr>(<td.*?)</tr>", (tmp_path / "r.html").read_text())
    cells = [re.findall(r">([^<]*)</td>", line) for line in lines]
    assert cells == [["1", "dkd", "2", "1 ± 0"], ["8", "dkd", "2", "8 ± 0"], ["", "kd", "2", "0.5 ± 0"]]
