"""Mistakes that whoever draws a figure can mend."""

from collections.abc import Iterable
from difflib import get_close_matches

from tsd.store import UserError


class AnalysisError(UserError):
    """What was asked of the results, what they hold instead, and what to ask next."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is likely to be meant."""
    return next(iter(get_close_matches(name, list(names), n=1)), None)


def unknown(what: str, name: str, names: Iterable[str], place: str) -> AnalysisError:
    """The error for a name that is none of `names`: the nearest one, then all of them.

    Args:
        what: what was named, such as "column".
        place: where it was looked for or asked for, such as "results/digits" or "--reference".
    """
    names = sorted(names)
    if not names:
        return AnalysisError(f"{place}: there is no {what} `{name}`, nor any other.")
    near = nearest(name, names)
    hint = f" Did you mean `{near}`?" if near else ""
    listed = ", ".join(f"`{n}`" for n in names)
    return AnalysisError(f"{place}: there is no {what} `{name}`.{hint}\nIt could be {listed}.")
