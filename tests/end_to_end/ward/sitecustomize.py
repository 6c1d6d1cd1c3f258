"""Makes the study `ward` known to every Python that is started with this folder in PYTHONPATH: driver, workers, and
what they fork."""

from pathlib import Path

import tsd.studies

tsd.studies.__path__.append(str(Path(__file__).parent / "studies"))
