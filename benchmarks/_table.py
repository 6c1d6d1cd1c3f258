"""A table of measurements, with the machine and the versions they were made on."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSIONS = ("torch", "ray", "duckdb", "pyarrow", "numpy")


@dataclass(frozen=True)
class Table:
    """Rows under a header; `notes` say what is in the timing and what is not."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """For people, and for Markdown."""
        cells = [[str(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        first, *rest = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([self.title, "", first, rule, *rest, "", *self.notes]).rstrip()


def machine() -> dict[str, str]:
    """Where a measurement was made: processor, cores, load, versions."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "load": f"{os.getloadavg()[0]:.1f}"}
    return found | {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS}


def report(verb: str, tables: Sequence[Table], as_json: bool) -> None:
    """Print the tables under the machine's header."""
    if as_json:
        print(json.dumps({"benchmark": verb, "machine": machine(), "tables": [asdict(table) for table in tables]}))
        return
    print(f"{verb}: " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    for table in tables:
        print("", table.text(), sep="\n", flush=True)


def arguments(about: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
