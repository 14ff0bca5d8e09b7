"""The command: `python -m conformance`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance import ours, report
from conformance.asking import Caller
from conformance.lanes import Lane, Stage, lanes
from conformance.recordings import all_chats
from conformance.running import VARIANTS, Result, run
from conformance.schema import SCHEMA, Schema
from conformance.upstream.scripted_upstream import ScriptedUpstream

_PORT = 8765  # fixed, as it stands in the configuration of the gateway
_PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; return 0 if all passed, 1 if not, 2 if there is nothing to run."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _lanes(options.shared, options.providers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    port = options.port if options.port is not None else _PORT
    if options.print_setup and not options.target:
        options.print_setup.write_text(_setup(chosen, _root(port)), encoding="utf-8")
        return 0
    results = asyncio.run(_run(options, chosen, port if options.target else options.port or 0))
    if options.json:
        options.json.write_text(report.as_json(results), encoding="utf-8")
    print(report.text(results))
    return 0 if all(result.passed for result in results) else 1


async def _run(options: argparse.Namespace, chosen: list[Lane], port: int) -> list[Result]:
    async with ScriptedUpstream(port) as upstream:
        stage, root = Stage(upstream), _root(upstream.port)
        if options.print_setup:
            options.print_setup.write_text(_setup(chosen, root), encoding="utf-8")
        with _gateway(options, chosen, root) as (url, key):
            print(f"asking {url}; the providers are at {root}", file=sys.stderr, flush=True)
            async with Caller(url, key, options.patience) as caller:
                schema = Schema(options.shared)
                results = await run(chosen, options.variants, stage, caller, schema)
        if upstream.mistakes:
            raise ExceptionGroup("the scripted side failed", upstream.mistakes)
        return results


@contextlib.contextmanager
def _gateway(
    options: argparse.Namespace, chosen: list[Lane], root: str
) -> Iterator[tuple[str, str | None]]:
    """The URL of the gateway and a key for it: of one that runs already, or of llmbase."""
    if options.target:
        print(_setup(chosen, root), flush=True)
        yield options.target, options.key
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        ours.llmbase(chosen, root, Path(directory)) as url,
    ):
        yield url, ours.KEY


def _root(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _setup(chosen: Sequence[Lane], root: str) -> str:
    head = [
        "The gateway has to be configured with these providers and models.",
        "The second model is asked when the provider falls silent: its limits on silence",
        "(until the first content, and after it) must be shorter than --patience.",
        "",
        "provider  wire format  base URL  models",
    ]
    rows = [
        f"{lane.name}  {lane.dialect}  {lane.base_url(root)}  {lane.model} {lane.brisk_model}"
        for lane in chosen
    ]
    return "\n".join([*head, *rows]) + "\n"


def _lanes(shared: Path, providers: list[str]) -> list[Lane]:
    """Raises ValueError where recordings or the schema are missing."""
    if not shared.joinpath(*SCHEMA).exists() or not (shared / "traffic").is_dir():
        raise ValueError(f"{shared} has no recordings: set LLMBASE_SHARED or --shared")
    found = lanes(all_chats(shared / "traffic"))
    known = {lane.provider for lane in found}
    if unknown := set(providers) - known:
        raise ValueError(f"nothing is recorded of {', '.join(sorted(unknown))}")
    return [lane for lane in found if not providers or lane.provider in providers]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _variants(text: str) -> list[str]:
    names = _names(text)
    if unknown := set(names) - set(VARIANTS):
        raise argparse.ArgumentTypeError(
            f"{', '.join(sorted(unknown))} is not one of {', '.join(VARIANTS)}"
        )
    return names or list(VARIANTS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    add = parser.add_argument
    add("--target", metavar="URL", help="the gateway; without it llmbase is started")
    key = os.environ.get("CONFORMANCE_KEY")
    add("--key", default=key, help="an API key of the gateway (default: CONFORMANCE_KEY)")
    add("--providers", type=_names, default=[], metavar="A,B", help="only these")
    add("--variants", type=_variants, default=list(VARIANTS), metavar="A,B", help="only these")
    add("--json", type=Path, metavar="FILE", help="write every result")
    add(
        "--print-setup",
        type=Path,
        metavar="FILE",
        help="write what to configure; no run without --target",
    )
    add("--port", type=int, help=f"of the scripted providers (default: {_PORT} with --target)")
    add("--patience", type=float, default=60.0, metavar="SECONDS", help="for one answer")
    add(
        "--shared",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("LLMBASE_SHARED", _PROJECT.parent / "shared")),
        help="recordings and OpenAI's schema (default: LLMBASE_SHARED)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
