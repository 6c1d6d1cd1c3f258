"""Read the results of a sweep in Python, cell by cell: `python docs/examples/read_results.py results/NAME`.

Make them first: `python -m tsd.sweep sweeps/quickstart_theory.yaml`. Lines that begin with # %% part the cells of a
notebook; editors that know notebooks run them one by one.
"""

# %% Trials are a pandas table: a row for each, parameters and metrics under their own names.
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from analysis import load
from analysis.figures.histogram import histogram
from analysis.figures.lines import lines
from analysis.figures.phase import phase
from analysis.figures.table import table

results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/quickstart_theory")
trials = load(results, where="layer = 'spectral'")
print(trials[["student_width", "samples", "seed_init", "test_mse"]].head())

# %% A figure is a function of them that returns its axes.
axes = phase(trials, x="student_width", y="samples", value="test_mse", log_x=True, log_y=True, log_value=True)

# %% Or that draws on axes of your own, beside others.
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
lines(trials, x="samples", value="test_mse", by="student_width", log_x=True, log_value=True, ax=left)
histogram(trials, value="test_mse", by="samples", log_value=True, ax=right)

# %% A table shows itself in a notebook; its formats are functions of it.
from analysis.writing.tables import markdown  # noqa: E402

print(markdown(table(trials, rows="samples", columns="student_width", value="test_mse")))

# %% Curves are long: a row for each trial and step.
steps = load(results, curve="test_mse")
print(steps.groupby("step")["test_mse"].median().tail(3))

# %% What does not fit into memory stays in DuckDB.
from analysis.data.load import Results  # noqa: E402

opened = Results.open(results)
print(opened.connection.sql("SELECT layer, samples, avg(test_mse) FROM trials GROUP BY ALL ORDER BY ALL"))
rows = opened.rows("layer = 'direct'")  # rows.relation is a DuckDB relation; figures take either
axes = phase(rows, x="student_width", y="samples", value="test_mse", log_x=True, log_y=True)
print(rows.relation.aggregate("samples, avg(test_mse)"))
