"""The distillation page shows every method as it declares itself."""

from dataclasses import asdict
from pathlib import Path

from tsd.methods import METHODS

PAGE = Path(__file__).parent.parent / "docs" / "distillation.md"


def table() -> str:
    """The methods as a Markdown table."""
    taxonomy = {name: asdict(METHODS.load(name).Method.taxonomy) for name in METHODS.names()}
    header = ["method", *next(iter(taxonomy.values()))]
    rows = [header, ["---"] * len(header), *([f"`{name}`", *row.values()] for name, row in taxonomy.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_page_shows_the_methods_as_they_are():
    shown = PAGE.read_text().split("<!-- methods: begin -->\n")[1].split("\n<!-- methods: end -->")[0]
    assert shown == table()
