"""What can go wrong with a results folder, told as what, where and what to do next."""

from __future__ import annotations

import errno
import re

from tsd.errors import UserError


class StoreError(UserError):
    """A results folder that cannot be read or written, or that is not what it should be."""


class ArtefactError(StoreError):
    """An artefact that no longer is what was stored."""


class Damaged(Exception):
    """The file `name` is cut short or changed. It never leaves the store."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason


_SAFE = "Nothing that was stored before is touched."
_ELSEWHERE = "choose another place with --results"
_AGAIN = "Then give the same command again: it goes on with what is missing."

_CURES = {
    errno.ENOSPC: f"The disk is full. {_SAFE} Free some space there, or {_ELSEWHERE}. {_AGAIN}",
    errno.EDQUOT: f"Your disk quota is used up. {_SAFE} Free some space there, or {_ELSEWHERE}. {_AGAIN}",
    errno.EFBIG: f"The file is larger than this system allows. {_SAFE} Raise `ulimit -f`, or {_ELSEWHERE}. {_AGAIN}",
    errno.EACCES: f"This user has no permission for that. {_SAFE} Ask the owner for it, or {_ELSEWHERE}.",
    errno.EPERM: f"This user has no permission for that. {_SAFE} Ask the owner for it, or {_ELSEWHERE}.",
    errno.EROFS: f"That disk is mounted read-only. {_SAFE} Mount it for writing, or {_ELSEWHERE}.",
    errno.ENOTDIR: f"A file stands where a folder is expected. {_SAFE} Move it away, or {_ELSEWHERE}.",
    errno.EEXIST: f"A file stands where a folder is expected. {_SAFE} Move it away, or {_ELSEWHERE}.",
    errno.ENAMETOOLONG: f"The path is too long for this system. {_SAFE} Shorten it, or {_ELSEWHERE}.",
}


def told(error: OSError, action: str, where: str) -> StoreError:
    """`error` of the operating system, met while doing `action` ("write") to `where`, in words that help."""
    cure = _CURES.get(
        error.errno or 0,
        f"The system says: {error.strerror or error}. {_SAFE} See that the place is there, or {_ELSEWHERE}.",
    )
    return StoreError(f"Could not {action} {where}. {cure}")


_CREDENTIALS = (
    "The store does not let this user in. Credentials come from the environment: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role of the machine; see that they are there, and may read and write"
)
_REMOTE_CURES = {
    r"NO_SUCH_BUCKET": "There is no such bucket: make it, or see that its name is right",
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|HTTP status 40[13]\b": _CREDENTIALS,
    r"NETWORK_CONNECTION": "Nobody answers there: see that the network is up and that AWS_ENDPOINT_URL, "
    "for a store that is not Amazon's, is right",
}
"""By what an object store says."""


def told_remote(error: Exception, action: str, where: str) -> StoreError:
    """`error` of an object store, met while doing `action` to `where`."""
    said = _secret(" ".join(str(error).split()))[:400].rstrip(".")
    cures = (cure for sign, cure in _REMOTE_CURES.items() if re.search(sign, said))
    cure = next(cures, "Check address, bucket, credentials and network")
    return StoreError(
        f"Could not {action} {where}. The storage says: {said}. {_SAFE} {cure}; or {_ELSEWHERE}. {_AGAIN}"
    )


def _secret(text: str) -> str:
    """`text` with user, password and options taken out of every URI in it."""
    return re.sub(r"(://)[^/\s'\"]*@|\?[^\s'\"]*=[^\s'\"]*", r"\1", text)
