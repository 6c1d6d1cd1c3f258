"""What is fast, measured side by side: `python -m benchmarks VERB`; each verb is a file of this folder.

A verb has flags of its own (`python -m benchmarks engine --help`).
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

VERBS = sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py"))


def main(words: list[str]) -> int:
    """Run the verb that the first word names, with the rest for its arguments."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__, "Verbs: " + ", ".join(VERBS), sep="\n")
        return 0
    verb, *rest = words
    if verb not in VERBS:
        print(f"`{verb}` is no benchmark; there are {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {verb}", *rest]
    runpy.run_module(f"benchmarks.{verb}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
