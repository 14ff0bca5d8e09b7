"""The process of `llmbase gateway`: settings from arguments or the environment, one door."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from gateway import log
from gateway.address import parse_address
from gateway.app import Settings, build_app
from gateway.connection import open_channel
from gateway.door import start_http


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; return the exit code."""
    options = _parser(os.environ).parse_args(argv)
    settings = Settings(
        max_body=options.max_body,
        cors=tuple(origin.strip() for origin in options.cors.split(",") if origin.strip()),
        keepalive=options.keepalive,
        drain=options.drain,
    )
    log.configure()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run(options.service, options.http, settings))


async def run(service: str, http: str, settings: Settings) -> int:
    """Serve `http` from the service at `service` until a signal comes; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_channel(service, settings.max_body) as channel:
        try:
            door = await start_http(build_app(channel, settings), http)
        except OSError as error:
            sys.stderr.write(f"llmbase gateway: cannot listen on {http}: {error.strerror}\n")
            return 1
        sys.stdout.write(f"ready {door.url}\n")
        sys.stdout.flush()
        await stop.wait()
        await door.stop(settings.drain)
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's maker of event loops where it runs, else None for asyncio's own."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - it cannot be imported everywhere

    return uvloop.new_event_loop


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser; the environment gives the defaults, so that a flag wins over it."""

    def default(name: str, fallback: str) -> str:
        return environment.get(f"LLMBASE_{name}") or fallback

    parser = argparse.ArgumentParser(
        prog="llmbase gateway", description="Serve the REST API from a llmbase service."
    )
    parser.add_argument(
        "--service",
        default=default("SERVICE", "127.0.0.1:50051"),
        type=_address,
        help="the service: HOST:PORT or unix:PATH (LLMBASE_SERVICE; %(default)s)",
    )
    parser.add_argument(
        "--http",
        default=default("HTTP", "127.0.0.1:8080"),
        type=_address,
        help="where to listen: HOST:PORT or unix:PATH (LLMBASE_HTTP; %(default)s)",
    )
    parser.add_argument(
        "--max-body",
        default=default("MAX_BODY", str(Settings().max_body)),
        type=int,
        help="largest request body in bytes (LLMBASE_MAX_BODY; %(default)s)",
    )
    parser.add_argument(
        "--cors",
        default=default("CORS", ""),
        help="origins whose pages may call, separated by commas, or * (LLMBASE_CORS; none)",
    )
    parser.add_argument(
        "--keepalive",
        default=default("KEEPALIVE", "15"),
        type=float,
        help="seconds of silence in a stream before a comment (LLMBASE_KEEPALIVE; %(default)s)",
    )
    parser.add_argument(
        "--drain",
        default=default("DRAIN", "30"),
        type=float,
        help="seconds that open streams get at the end (LLMBASE_DRAIN; %(default)s)",
    )
    return parser


def _address(text: str) -> str:
    parse_address(text)
    return text


if __name__ == "__main__":
    sys.exit(main())
