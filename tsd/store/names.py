"""Where a results folder lies and what its files may be called; nothing in a name leads out of its folder."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from tsd.store.errors import StoreError

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")
_LEADS_ELSEWHERE = ("", ".", "..")


def is_uri(root: str) -> bool:
    """Whether `root` is a URI (`s3://bucket/folder`), not a path."""
    return bool(_URI.match(root))


def absolute(root: str) -> str:
    """A path, or a file:// URI, as an absolute path, which means the same in every folder; other URIs as they are.

    Raises StoreError where a URI holds credentials, which would travel wherever it goes: into commands, logs and lists.
    """
    if root.lower().startswith("file://"):
        root = unquote(urlsplit(root).path)
    if is_uri(root) and "@" in urlsplit(root).netloc:
        raise StoreError(
            f"{shown(root)} was given with credentials in the address, where everybody sees them. Give the address "
            "alone with --results, and the credentials in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    return root if is_uri(root) else str(Path(root).absolute())


def shown(root: str) -> str:
    """A URI without user, password and options; a path as it is."""
    if not is_uri(root):
        return root
    parts = urlsplit(root)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def join(root: str, name: str) -> str:
    """The folder `name` under `root`. Raises StoreError where `name` is no plain name."""
    if name in _LEADS_ELSEWHERE or re.search(r"[/\\\x00-\x1f\x7f]", name):
        raise StoreError(
            f"{name!r} cannot be the name of a results folder: it is empty, leads elsewhere or has control characters. "
            "Use letters, digits, `_` and `-`."
        )
    if not is_uri(root):
        return str(Path(root) / name)
    parts = urlsplit(root)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def key(text: str) -> str:
    """`text`, which is to be part of a file's name. Raises StoreError where it has more than letters, digits, `_.-`."""
    if not _KEY.fullmatch(text):
        raise StoreError(
            f"{text!r} cannot be part of a file's name: that has letters, digits and `_.-` only, 128 at most."
        )
    return text


def relative(name: str) -> str:
    """`name`, a file's name below the root. Raises StoreError where it leads out of it."""
    if any(part in _LEADS_ELSEWHERE for part in name.split("/")) or "\0" in name:
        raise StoreError(f"{name!r} leads out of the results folder.")
    return name


def below(folder: str, name: str) -> str:
    """The file `name` of `folder`, where "" is the root."""
    return f"{folder}/{name}" if folder else name
