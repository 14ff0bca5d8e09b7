"""`python -m gateway.openapi` prints the OpenAPI document: `make openapi` keeps it in docs/."""

from __future__ import annotations

import sys

from gateway.openapi.document import pretty

if __name__ == "__main__":
    sys.stdout.buffer.write(pretty())
