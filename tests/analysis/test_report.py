"""The web page of a sweep: read as text, and in a real browser where one is at hand."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import example_results as example
import pytest
from PIL import Image

from analysis.__main__ import app
from analysis.data.load import Results
from analysis.drawing.overview import apart, pictures, varying
from analysis.errors import AnalysisError
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
    (other / "sweep.json").write_text(json.dumps(kept | {"question": "And what of a & b?"}))
    words = ["report", str(plane), str(other), "--question", "Does <width> help?", "-o", str(folder / "r.html")]
    app(words, result_action="return_value")
    return folder / "r.html"


def test_the_page_is_well_formed_and_loads_nothing(file: Path):
    class Reader(HTMLParser):
        open: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            loaded = [value for name, value in attrs if name in ("src", "href")]
            assert all(value.startswith("data:") for value in loaded)
            self.open += [] if tag in VOID else [tag]

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    text = file.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)


def test_the_page_says_what_was_asked_run_and_lost(file: Path):
    text = file.read_text()
    assert "Does &lt;width&gt; help?" in text
    assert "And what of a &amp; b?" in text, "the sweep's own question"
    assert "68 trials: 59 done, 5 diverged, 4 failed." in text
    assert "<td>2</td>" in text and "E&lt;1&gt;" in text and "E: a &amp; b" in text
    assert "git 0123456" in text
    tips = re.findall(r'data-tip="([^"]*)"', text)
    assert "student_width 20, second 0.0001: 4 diverged" in tips
    assert any(re.fullmatch(r"student_width 60, second 0.001: 0\.\d+ ± 0\.\d+, n = 4", tip) for tip in tips)
    assert any(tip.startswith("a_b 1: 2 ± ") for tip in tips)


def test_the_page_knows_what_it_was_made_of(file: Path):
    facts = json.loads(re.search(r"<!-- tsd: (.*) -->", file.read_text())[1])
    assert [lock["trials"] for lock in facts["locks"]] == [68, 11]
    assert str(verify(file)) == "fresh"
    assert verify(file, facts["results"][0]).state == "stale", "the second sweep is not the first"


def test_a_folder_without_results_has_no_report(tmp_path: Path):
    with pytest.raises(AnalysisError):
        app(["report", str(tmp_path / "none"), "-o", str(tmp_path / "r.html")], result_action="return_value")
    assert not list(tmp_path.glob("*.html"))


def browse(file: Path, folder: Path, *options: str, address: str = "") -> str:
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", *options]
    run = subprocess.run([*command, file.as_uri() + address], capture_output=True, text=True, timeout=120, check=True)
    return run.stdout


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_browser_runs_the_page_and_its_filter(file: Path, tmp_path: Path):
    whole = browse(file, tmp_path, "--dump-dom")
    assert "17 rows" in whole and "3 rows" in whole
    some = browse(file, tmp_path, "--dump-dom", address="#60%200.01")
    assert "1 row<" in some and some.count('hidden=""') == 16 + 3


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_phone_shows_the_page_without_scrolling_sideways(file: Path, tmp_path: Path):
    probe = tmp_path / "probe.html"
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    probe.write_text(file.read_text().replace("</body>", script))
    shown = browse(probe, tmp_path / "b", "--window-size=500,900", "--dump-dom")
    wide, room = map(int, re.search(r"<title>(\d+) of (\d+)</title>", shown).groups())
    assert wide <= room


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
    phase, loss = pictures(results)
    assert phase.told.facts["asked"] == {"x": "width", "y": "layer", "value": "v"}
    assert loss.told.facts["asked"]["by"] == "layer", "by width, the curves of both layers share step 0 alone"
