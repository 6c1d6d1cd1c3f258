"""Mistakes a user can mend. They are shown as written, without a traceback, and end with exit code 2."""


class UserError(Exception):
    """What went wrong, where, and what to do next, in the words of the user's own file or command."""

    exit_code = 2


class ClusterError(UserError):
    """No cluster answers where one was asked for."""

    exit_code = 3
