"""What whoever runs a process can mend: it is told in one line, and is no fault of ours."""

from __future__ import annotations


class Mendable(Exception):
    """The message is for the user: what is wrong, and where."""


class ConfigError(Mendable):
    """The file cannot be used; the message has one line per fault, each naming its key."""
