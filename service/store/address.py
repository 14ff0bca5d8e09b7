"""Where a store is. A URL's password is in no text that comes out of here. Pure."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from service.config import StoreConfig
from service.mendable import ConfigError

_FILE = "llmbase.db"


class StoreError(ConfigError):
    """The store cannot be opened; one line."""


def store_url(config: StoreConfig, data_directory: Path) -> URL:
    """Return where the store is. Raises StoreError."""
    if config.url is None:
        return URL.create("sqlite", database=str(data_directory / _FILE))
    try:
        url = make_url(config.url.get_secret_value())
    except (ArgumentError, ValueError):  # either's text can quote the password
        raise StoreError(
            "store.url: is not a URL; special characters of a password are written as %XX"
        ) from None
    if not url.database:
        missing = "file: sqlite:///PATH" if url.drivername == "sqlite" else "database: .../NAME"
        raise StoreError(f"store.url: must name a {missing}")
    return _as_the_driver_says(url)


def place_of(url: URL) -> str:
    """Return what may be said of where a store is: no user, no password, no options."""
    if url.drivername == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    return f"{url.drivername}://{url.host or ''}{port}/{url.database}"


def _as_the_driver_says(url: URL) -> URL:
    """PostgreSQL's own name for how to use TLS is `sslmode`, its driver's is `ssl`."""
    mode = url.query.get("sslmode")
    if mode is None or url.drivername == "sqlite":
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
