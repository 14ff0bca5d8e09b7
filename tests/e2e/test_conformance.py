"""The conformance kit passes llmbase, and does not pass a gateway that hides faults."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from conformance.running import VARIANTS
from tests.support.shared import PROJECT, require_shared, shared_path

# Each framing of streams: server-sent events, frames of AWS, lines of JSON, and an array. Stalls
# take a second each, so a provider with many streams goes without.
SOME = {"vllm", "venice", "ollama", "vertex"}
MORE = {"bedrock", "xai"}


async def conformance(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    require_shared("traffic")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "conformance",
        *arguments,
        cwd=PROJECT,
        env=os.environ | {"LLMBASE_SHARED": str(shared_path())},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode()


def check_run(code: int, printed: str, results: Path) -> tuple[set[str], set[str]]:
    """Hold the outcome against a run without failures; return its providers and variants."""
    assert code == 0, printed
    rows = json.loads(results.read_text())["results"]
    assert all(row["passed"] for row in rows)
    assert printed.splitlines()[-1] == f"{len(rows)} passed, 0 failed"
    return {row["provider"] for row in rows}, {row["variant"] for row in rows}


async def test_llmbase_conforms_in_every_variant(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    code, printed = await conformance("--providers", ",".join(SOME), "--json", str(results))

    assert check_run(code, printed, results) == (SOME, set(VARIANTS))


async def test_reviewed_differences_are_counted_and_pass(tmp_path: Path) -> None:
    results, variants = tmp_path / "results.json", {"as-recorded", "gzip", "cut", "garbage"}
    which = ("--providers", ",".join(MORE), "--variants", ",".join(variants))
    code, printed = await conformance(*which, "--json", str(results))

    assert check_run(code, printed, results) == (MORE, variants)
    assert "Reviewed differences: 15 recordings, 30 results" in printed
    assert "11 x xAI counts reasoning" in printed


@pytest.mark.matrix
@pytest.mark.timeout(600)
async def test_llmbase_conforms_before_all_recorded_providers(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    code, printed = await conformance("--json", str(results))

    there = {path.parent.parent.name for path in shared_path("traffic").glob("*/*/meta.json")}
    assert check_run(code, printed, results) == (there, set(VARIANTS))


@pytest.fixture
async def hiding_gateway(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A gateway that passes on what comes and ends every stream as if it were whole.

    Gives its URL, and the file from which it learns where its provider is.
    """
    setup = tmp_path / "setup.txt"

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = await request.read()
        lane = json.loads(asked)["model"].split("/")[0]
        base = next(
            line.split()[2]
            for line in setup.read_text().splitlines()
            if line.startswith(f"{lane} ")
        )
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        said = b""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.post(f"{base}/chat/completions", data=asked) as response:
                    async for piece in response.content.iter_any():
                        said += piece
            except aiohttp.ClientError:
                pass
        await reply.prepare(request)
        whole, between, _ = said.rpartition(b"\n\n")
        await reply.write(whole + between)
        if b"[DONE]" not in said:
            await reply.write(_INVENTED)
        return reply

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", setup
    finally:
        await runner.cleanup()


_INVENTED = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


async def test_a_gateway_that_invents_an_ending_fails_and_the_case_is_named(
    hiding_gateway: tuple[str, Path],
) -> None:
    url, setup = hiding_gateway
    target = ("--target", url, "--port", "0", "--print-setup", str(setup), "--providers", "avian")
    cases = [path.name for path in require_shared("traffic", "avian").iterdir()]

    code, printed = await conformance(*target, "--variants", "as-recorded,one-byte")
    assert (code, printed.splitlines()[-1]) == (0, "4 passed, 0 failed")

    code, printed = await conformance(*target, "--variants", "as-recorded,cut,reset")
    assert code == 1
    assert len(cases) == 2
    for case in cases:
        for variant in ("cut", "reset"):
            assert f"avian/{case} [{variant}]: it looks like a whole answer" in printed
    assert printed.splitlines()[-1] == "2 passed, 4 failed"


async def test_a_gateway_that_never_asks_its_provider_fails() -> None:
    nobody = "http://127.0.0.1:1"
    code, printed = await conformance(
        "--target", nobody, "--port", "0", "--providers", "avian", "--variants", "empty"
    )

    assert code == 1
    assert "the provider was never asked" in printed


async def test_the_setup_for_another_gateway_is_written_without_a_run(tmp_path: Path) -> None:
    setup = tmp_path / "setup.txt"
    code, printed = await conformance("--print-setup", str(setup), "--providers", "ollama,cohere")

    assert (code, printed) == (0, "")
    assert [line.split()[:3] for line in setup.read_text().splitlines() if "http://" in line] == [
        ["cohere", "cohere", "http://127.0.0.1:8765/cohere"],
        ["ollama", "ollama", "http://127.0.0.1:8765/ollama"],
        ["ollama-openai", "openai", "http://127.0.0.1:8765/ollama-openai/v1"],
    ]


async def test_a_run_without_recordings_says_so(tmp_path: Path) -> None:
    code, printed = await conformance("--shared", str(tmp_path))

    assert (code, printed) == (2, "")
