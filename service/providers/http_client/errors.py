"""What can go wrong before an answer has begun. No text here quotes what was sent or received.

Beside these, a client raises OSError (TimeoutError, ssl.SSLError) where there is no connection.
"""

from __future__ import annotations


class HttpFailure(Exception):
    """There is no answer."""


class RequestRefused(HttpFailure):
    """This cannot be sent: its URL or a header is not what HTTP allows. Nothing was."""


class ConnectionLost(HttpFailure):
    """The connection was closed before the answer began; the request may have been received."""


class BadAnswer(HttpFailure):
    """What came is no HTTP, or more of it than is read."""


class ProxyRefused(HttpFailure):
    """The proxy makes no connection to where it was asked to."""


class ClientClosed(HttpFailure):
    """The client was closed."""
