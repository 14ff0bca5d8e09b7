"""The command: `python -m conformance`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance import ours, report
from conformance.asking import Caller
from conformance.lanes import Lane, Stage, lanes
from conformance.recordings import all_chats
from conformance.running import VARIANTS, Result, run
from conformance.schema import SCHEMA, Schema
from conformance.upstream.scripted_upstream import ScriptedUpstream

_PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; return 0 if all passed, 1 if not, 2 if there is nothing to run."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _lanes(options.shared, options.providers)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    results = asyncio.run(_run(options, chosen))
    if options.json:
        options.json.write_text(report.as_json(results), encoding="utf-8")
    print(report.text(results))
    return 0 if all(result.passed for result in results) else 1


async def _run(options: argparse.Namespace, chosen: list[Lane]) -> list[Result]:
    async with ScriptedUpstream(options.port) as upstream:
        stage, root = Stage(upstream), f"http://127.0.0.1:{upstream.port}"
        with contextlib.ExitStack() as stack:
            url, key = options.target, options.key
            if options.print_setup is not None:
                options.print_setup.write_text(_setup(chosen, root), encoding="utf-8")
            if url:
                print(_setup(chosen, root), flush=True)
                if options.wait:
                    await asyncio.to_thread(input, "Press Enter when the gateway is ready. ")
            else:
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                url, key = stack.enter_context(ours.llmbase(chosen, root, directory)), ours.KEY
            async with Caller(url, key, options.patience) as caller:
                return await run(chosen, options.variants, stage, caller, Schema(options.shared))


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
    add("--key", help="an API key of the gateway")
    add("--providers", type=_names, default=[], metavar="A,B", help="only these")
    add("--variants", type=_variants, default=list(VARIANTS), metavar="A,B", help="only these")
    add("--json", type=Path, metavar="FILE", help="write every result")
    add("--print-setup", type=Path, metavar="FILE", help="write what the gateway needs to know")
    add("--wait", action="store_true", help="wait for Enter before the first question")
    add("--port", type=int, default=0, help="of the scripted providers (default: a free one)")
    add("--patience", type=float, default=20.0, metavar="SECONDS", help="for one answer")
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
