"""A fault that the user can mend is one line on standard error and exit code 1, not a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import grpc

from service.mendable import Mendable


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what a user can mend into click's own one-line error."""
    try:
        yield
    except Mendable as error:
        raise click.ClickException(str(error)) from None
    except grpc.aio.AioRpcError as error:
        said = f"{error.code().name}: {error.details()}"
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            said = f"{said.removesuffix('.')}. Set LLMBASE_API_KEY, or give --key."
        raise click.ClickException(said) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
