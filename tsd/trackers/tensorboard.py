"""TensorBoard HParams: a session for every setting, its metrics the means over seeds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tsd.errors import UserError
from tsd.store import names
from tsd.trackers._report import Report

PACKAGE = "tensorboardX"
MOST = 2000
"""Sessions that the HParams page still shows at ease."""


def track(report: Report, at: str | None) -> str:
    """Write event files below the folder `at` (runs), in a folder of the sweep's name; earlier ones of it are replaced.

    Raises UserError where there are more settings than `MOST`, or the folder cannot be written to or would lie
    elsewhere.
    """
    from tensorboardX import SummaryWriter

    if report.settings.num_rows > MOST:
        raise UserError(
            f"{report.name} has {report.settings.num_rows:,} settings, and TensorBoard is shown {MOST:,} at most. "
            "Choose some with --where, or send the sweep to another tracker."
        )
    folder = Path(names.join(at or "runs", report.name))
    try:
        for old in folder.glob("**/events.out.tfevents.*"):
            old.unlink()
        with SummaryWriter(str(folder)) as writer:
            writer.add_text("sweep", _told(report))
            for row in report.settings.to_pylist():
                chosen = {name: row[name] for name in report.axes if row[name] is not None}
                measured = {name: row[name] for name in report.metrics if row[name] is not None}
                writer.add_hparams(dict(report.fixed) | chosen, measured | {"n": row["n"]}, name=_session(chosen))
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error.strerror}. Give another folder with --at.") from error
    return f"tensorboard --logdir {folder}"


def _session(chosen: dict[str, object]) -> str:
    return hashlib.blake2b(json.dumps(chosen, sort_keys=True).encode(), digest_size=6).hexdigest()


def _told(report: Report) -> str:
    facts = {"study": report.study, "results": report.place} | dict(report.about) | dict(report.summary)
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])
