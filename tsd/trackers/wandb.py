"""Weights & Biases: one run a sweep, with its settings as a table and the rows as an artifact."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tsd.errors import UserError
from tsd.trackers._report import Report

PACKAGE = "wandb"
PROJECT = "tsd"
MOST = 10_000
"""Rows that a table on a page takes; the artifact has all of them."""


def track(report: Report, at: str | None) -> str:
    """Send to the project `at` (tsd) of whoever the environment says (WANDB_API_KEY, WANDB_MODE=offline, WANDB_DIR).

    The run's id is made from the place of the results, so that a sweep that is sent again goes on with its run. Raises
    UserError where it cannot be sent.
    """
    import pyarrow.parquet
    import wandb

    try:
        with wandb.init(
            project=at or PROJECT,
            name=report.name,
            id=report.key,
            config={**report.fixed, "study": report.study, "results": report.place, "tsd": dict(report.about)},
            resume=None if wandb.setup().settings.mode == "offline" else "allow",
        ) as run:
            run.summary.update(dict(report.summary))
            table = report.settings.slice(0, MOST)
            rows = [list(row.values()) for row in table.to_pylist()]
            run.log({"settings": wandb.Table(columns=table.column_names, data=rows)})
            with TemporaryDirectory() as folder:
                kept = Path(folder) / "trials.parquet"
                pyarrow.parquet.write_table(report.trials, kept)
                artifact = wandb.Artifact(re.sub(r"[^A-Za-z0-9_.-]", "_", f"{report.name}-trials"), type="results")
                artifact.add_file(str(kept))
                run.log_artifact(artifact)
                run.finish()
            return str(run.dir if run.offline else run.url)
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"Weights & Biases did not take {report.name}: {' '.join(str(error).split())[:300]}. Log in with `wandb "
            "login`, or keep it here with WANDB_MODE=offline; results are not touched."
        ) from error
