"""`python -m tsd.sweep`: one command line, from its words to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from cyclopts import CycloptsError, UnusedCliTokensError

from tsd.errors import UserError
from tsd.sweep.verbs import app


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's.

    Returns:
        0 all asked-for trials stored, 1 some failed, 2 bad input, 3 no cluster, 130 interrupted, 141 nobody reads on.
    """
    given = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        _must_be_verb_or_file(given)
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except UnusedCliTokensError as error:
        unused = " ".join(error.unused_tokens or ())
        print(
            f"`{unused}` belongs to nothing here. A flag such as --set is given once for each value.", file=sys.stderr
        )
        return UserError.exit_code
    except CycloptsError as error:
        print(error, file=sys.stderr)
        return UserError.exit_code
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on with what is missing.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code if isinstance(code, int) else 0


def _must_be_verb_or_file(words: Sequence[str]) -> None:
    """Raises UserError where the first word is neither, and would be taken for the name of a file."""
    verbs = [name for name in app if not name.startswith("-")]
    first = words[0]
    if first in verbs or first.startswith("-") or "." in first or Path(first).exists():
        return
    near = "".join(f" Did you mean `{name}`?" for name in get_close_matches(first, verbs, n=1))
    raise UserError(f"`{first}` is neither a command ({', '.join(verbs)}) nor a sweep file.{near}")


if __name__ == "__main__":
    sys.exit(main())
