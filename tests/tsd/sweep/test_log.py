"""Log lines of workers say what they are about."""

import io
import logging
import re

import pytest

from tsd.sweep import log
from tsd.sweep.__main__ import main
from tsd.sweep.log import LOG, Lines, about

FAILING = """\
name: rare
study: distill
fixed:
  {dataset: gaussian, gaussian_dim: 4, gaussian_classes: 3, gaussian_samples: 60, teacher: mlp, teacher_width: 8,
   teacher_depth: 1, teacher_epochs: 1, student: mlp, student_width: 4, student_depth: 1, steps: 3, method: none,
   samples_per_class: 15}
seeds: {teacher: 3}
"""
"""Of the three drawn worlds the third has too few samples of its rarest class, as nobody knows beforehand."""


@pytest.fixture
def lines():
    """What is written, line by line."""
    out = io.StringIO()
    handler, level = logging.StreamHandler(out), LOG.level
    handler.setFormatter(Lines())
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield lambda: out.getvalue().splitlines()
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def test_a_line_is_about_the_innermost_and_all_around_it(lines):
    with about(sweep="kd", pack="p1"):
        with about(trial="t1"):
            LOG.warning("odd")
        logging.getLogger("tsd.engine").info("plain")
    LOG.info("outside")
    assert [re.sub(r"^\S+ \S+ ", "", line) for line in lines()] == [
        "WARNING sweep=kd pack=p1 trial=t1 odd",
        "INFO sweep=kd pack=p1 plain",
        "INFO outside",
    ]


def test_a_pack_tells_what_it_stored_and_which_trial_failed_and_why(lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rare.yaml").write_text(FAILING)
    assert main(["rare.yaml", "--here"]) == 1
    [failed] = [line for line in lines() if "WARNING" in line]
    assert re.search(r"sweep=rare pack=\w{32} trial=\w{32} failed: .*15 samples of each class", failed)
    stored = [line for line in lines() if "stored" in line]
    assert stored and all(re.search(r"INFO sweep=rare pack=\w{32} stored \d trials? in", line) for line in stored)


def test_stderr_gets_each_line_once(monkeypatch):
    before, level, out = list(LOG.handlers), LOG.level, io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    try:
        log.to_stderr()
        log.to_stderr()
        LOG.info("once")
    finally:
        LOG.handlers, LOG.level = before, level
    assert out.getvalue().count("once") == 1
