"""The example that the documentation shows runs as it stands."""

import runpy
import sys
from pathlib import Path

import example_results as example
import numpy as np
from matplotlib import pyplot

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "read_results.py"


def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch, capsys):
    rng, trials, points = np.random.default_rng(0), [], []
    for layer in ("spectral", "direct"):
        for width in (3, 5, 10):
            for samples in (100, 300, 1000):
                for seed in range(3):
                    error = float(np.exp(0.1 * rng.normal()) / samples)
                    points += [(len(trials), "test_mse", step, error * 10 / step) for step in (1, 5, 10)]
                    setting = {"layer": layer, "student_width": width, "samples": samples, "seed_init": seed}
                    trials.append(setting | {"test_mse": error})
    parameters = {"layer": "", "student_width": "nodes", "samples": ""}
    told = {"parameters": parameters, "metrics": {"test_mse": "target²"}, "steps": {"test_mse": "step"}}
    folder = example.write(tmp_path / "r", trials, curves=points, **told)
    pyplot.switch_backend("Agg")
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(folder)])
    ended = runpy.run_path(str(EXAMPLE), run_name="__main__")
    out = capsys.readouterr().out
    assert "| samples \\\\ student width (nodes) | 3 | 5 | 10 |" in out
    assert [len(ended["left"].lines) >= 3, len(ended["right"].patches)] == [True, 6]
    assert ended["axes"].get_xlabel() == "student width (nodes)"
    pyplot.close("all")
