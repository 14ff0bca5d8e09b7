"""What the labels of the door's metrics can be: its tables' words, and no caller's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway import errors
from gateway.transcoding.request import REQUEST

# Beside what the tables have: answers, CORS' own answer, what HTTP itself refuses, and who left.
_MORE_CODES = (200, 204, 400, 405, 411, 413, 415, 417, 431, 499)


def known_labels(routes: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return the values of each label for a door of these routes."""
    rows = (*errors.BY_REASON.values(), *errors.OF_THE_DOOR.values())
    return {
        "code": frozenset(map(str, (*_MORE_CODES, *(row.status for row in rows)))),
        "form": frozenset({"whole", "stream"}),
        "parameter": frozenset(REQUEST.rows),
        "route": frozenset(routes),
    }
