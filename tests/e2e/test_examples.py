"""Every example runs as it is and does what it says, against real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.javascript import node_directory
from tests.support.openai_wire import says, stream
from tests.support.parts import require_part
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import stall

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MODEL = "zai-org/glm-5"


async def _run(deployment: Deployment, *command: str | Path, cwd: Path | None = None) -> str:
    """What the command prints, told where the doors are; it must end well."""
    told = {
        "LLMBASE_API_KEY": KEY,
        "LLMBASE_MODEL": MODEL,
        "LLMBASE_GRPC": deployment.grpc,
        "LLMBASE_URL": deployment.http,
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | told,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def _python(deployment: Deployment, name: str, *arguments: str) -> str:
    return await _run(deployment, sys.executable, EXAMPLES / name, *arguments)


async def test_a_whole_answer_over_grpc(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("It calls ", "itself."))

    assert await _python(one_process, "grpc_unary.py") == (
        "It calls itself.\nFINISH_REASON_STOP, 15 tokens, answered by zai-org/glm-5 at alpha\n"
    )


async def test_a_stream_over_grpc_to_its_end(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Once upon ", "a time."))

    said = await _python(one_process, "grpc_stream.py")

    assert said == "Once upon a time.\nThe end: 15 tokens.\n"


async def test_a_stream_over_grpc_that_is_cancelled_is_closed_at_the_provider(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    role, once, *_ = says("Once upon a time").events()
    upstream.on("glm-5", stream(role, once, stall))

    said = await _python(one_process, "grpc_stream.py", "60", "10")

    assert said == "Once upon a time\nEnough.\n"
    exchange = await upstream.arrival()
    await exchange.left.wait(timeout=10)


async def test_a_stream_over_grpc_that_reaches_its_deadline_says_so(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    role, once, *_ = says("Once").events()
    upstream.on("glm-5", stream(role, once, stall))

    said = await _python(one_process, "grpc_stream.py", "2")

    assert said.endswith("\nOut of time.\n")


async def test_the_details_of_an_error_over_grpc(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    assert await _python(one_process, "grpc_errors.py") == (
        "INVALID_ARGUMENT: temperature: must be between 0 and 2\n"
        "reason INVALID_REQUEST in llmbase.ai\n"
        "field temperature must be between 0 and 2\n"
    )


async def test_both_shapes_with_curl(one_process: Deployment, upstream: ScriptedUpstream) -> None:
    require_part(shutil.which("curl"), "curl is not installed")
    upstream.on("glm-5", says("Hello"), says("Hel", "lo"))

    whole, _, streamed = (await _run(one_process, "sh", EXAMPLES / "curl.sh")).partition("\n")

    assert json.loads(whole)["choices"][0]["message"]["content"] == "Hello"
    assert streamed.startswith("data: {") and streamed.endswith("data: [DONE]\n\n")


async def test_the_openai_sdk_for_python(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hello"), says("Once upon ", "a time."))

    _check_sdk(await _python(one_process, "openai_python.py"))


async def test_the_openai_sdk_for_javascript(
    one_process: Deployment, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(node_directory() / "node_modules")
    script = shutil.copy(EXAMPLES / "openai_javascript.mjs", tmp_path)
    upstream.on("glm-5", says("Hello"), says("Once upon ", "a time."))

    _check_sdk(await _run(one_process, "node", script, cwd=tmp_path))


def _check_sdk(said: str) -> None:
    pattern = r"Hello\nOnce upon a time\.\n15 tokens\nmodel_not_found - req_[0-9a-f]{24}\n"
    assert re.fullmatch(pattern, said), said


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_is_run_here_and_listed_there(path: Path) -> None:
    if path.name == "README.md":
        return
    assert f"({path.name})" in (EXAMPLES / "README.md").read_text()
    assert f'"{path.name}"' in Path(__file__).read_text()
