"""Mistakes that whoever draws a figure can mend."""

from collections.abc import Iterable
from difflib import get_close_matches

from tsd.errors import UserError


class AnalysisError(UserError):
    """What was asked of the results, what they hold instead, and what to ask next."""


def unknown(what: str, name: str, names: Iterable[str], remedy: str = "") -> AnalysisError:
    """The error for a name that is none of `names`: the nearest one, then all of them."""
    names = sorted(names)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    listed = ", ".join(f"`{n}`" for n in names) or "none"
    return AnalysisError(f"There is no {what} `{name}`.{hint}\nThere are {listed}.{remedy and chr(10) + remedy}")
