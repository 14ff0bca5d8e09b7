"""aiohttp's protocol of a connection, but for what it says too much.

Bytes that are no request it answers with a plain text that shows the line it could not read. That
may be the one with the caller's key in it, and whoever stands between would have it, too: ours is
the envelope, and nothing of what they were.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway import errors


class HttpProtocol(web.RequestHandler):
    """One connection's."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer, after which the connection ends.

        Raises ConnectionError where another answer has begun.
        """
        super().handle_error(request, status, exc, message)
        error = errors.internal_error() if status >= 500 else _unreadable(status, exc)
        response = web.Response(
            status=error.status,
            body=error.body(),
            content_type="application/json",
            headers={"Server": "llmbase"},
        )
        response.force_close()
        return response


def _unreadable(status: int, exc: BaseException | None) -> errors.HttpError:
    if isinstance(exc, LineTooLong):
        return errors.http_error(status, "A line of the request's head is too long.")
    return errors.http_error(status, "The request could not be read as HTTP/1.1.")
