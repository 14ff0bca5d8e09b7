"""Takes out of a text what must not be told: secrets that are known, and what looks like one. Pure.

It is thorough rather than sparing: what is taken out by mistake is a word less in a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = "[redacted]"

_SHORTEST = 6  # characters of a secret: a shorter one is no secret, and is in every text
_LONGEST = 4096  # characters of what can be taken out as one

# Keys that say whose they are, and tokens of a form that nothing else has.
_KEYS = r"""
    \beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?
    | \b(?:llmbase_|sk-|pk-|rk-|sk_|rk_)[\w-]{12,}
    | \b(?:gsk_|hf_|gh[oprsu]_|github_pat_|glpat-|npm_|pypi-|nvapi-|r8_|pplx-|xai-|ya29\.)\w{16,}
    | \bxox[a-z]-[\w-]{10,}
    | \b(?:AIza[\w-]{30,}|(?:AKIA|ASIA)[0-9A-Z]{12,})
    | \b(?:bearer|basic)[ ]+[\w+/=.~-]{8,}
"""
# In prose also what stands beside a word for it, who somebody is, and what no word is as long as.
_PROSE = r"""
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \b(?:api[-_ ]?key|token|secret|password|passwd|authorization)
      ["']?[ ]*[:=][ ]*["']?[^\s"',;]{4,}
    | \b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+
    | \b\d(?:[ -]?\d){11,}\b
    | \b[A-Za-z0-9+/_-]{40,}={0,2}
"""
_FLAGS = re.VERBOSE | re.IGNORECASE | re.DOTALL
_IN_VALUE = re.compile(_KEYS, _FLAGS)
_IN_PROSE = re.compile(_KEYS + _PROSE, _FLAGS)


def without_keys(value: str, most: int) -> str:
    """Return a name, or what one is called by, at most so long, without what looks like a key."""
    return _IN_VALUE.sub(REDACTED, value[: most + _LONGEST])[:most]


class Redaction:
    """For prose. Knows secrets, beside what any secret looks like."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({it for it in secrets if len(it) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def redact(self, text: str, most: int) -> str:
        """Return the beginning of a text, at most so many characters, without what is secret.

        Of a text that is longer no secret is left that its end cuts in two.
        """
        cut = len(text) > most + _LONGEST
        shown = text[: most + _LONGEST]
        if self._known is not None:
            shown = self._known.sub(REDACTED, shown)
        shown = _IN_PROSE.sub(REDACTED, shown)
        if cut:
            shown = shown[:-_LONGEST]
        return shown[:most]
