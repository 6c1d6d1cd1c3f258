"""Mistakes a user can mend. They are shown as written, without a traceback, and end with exit code 2."""

import sys


class UserError(Exception):
    """What went wrong, where, and what to do next, in the words of the user's own file or command."""

    exit_code = 2


class ClusterError(UserError):
    """No cluster answers where one was asked for."""

    exit_code = 3


def lacking(missing: ModuleNotFoundError) -> UserError:
    """The error of a Python without a package, and which Python has it."""
    return UserError(
        f"{sys.executable} does not have the package {missing.name}, which tsd needs. `make install` puts all of them "
        "into `.venv`, and `. .venv/bin/activate` makes its Python the one of this command."
    )
