"""The OpenAI SDK for JavaScript, with only base URL and key changed."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.javascript import node_directory
from tests.support.openai_wire import Call, says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import cut

SCRIPT = Path(__file__).with_name("sdk_javascript.mjs")
RECURSION = "Recursion is when a function calls itself until a base condition is met."


async def test_the_javascript_sdk_works_unchanged(
    one_process: Deployment, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    directory = node_directory()
    call = says(calls=[Call("c1", "weather", ['{"a"', ":1}"])])
    role, hel, *_ = says("Hel").events()
    upstream.on("glm-5", says(RECURSION), says("A ", "poem"), says("Hello"))
    upstream.on("one", call)
    upstream.on("json-answer", says('{"a": 1}'))
    upstream.on("first", stream(role, hel, cut))

    said = json.loads(await _run(directory, tmp_path, one_process))

    assert said["full"] == RECURSION
    assert said["requestId"]
    assert said["streamed"] == "A poem"
    assert said["usages"] == [[0, 15]], "once, and where OpenAI sends it"
    assert said["calls"] == said["streamedCalls"] == [["weather", '{"a":1}']]
    assert said["structured"] == {"a": 1}
    assert "zai-org/glm-5" in said["models"]
    assert said["model"] == "zai-org/glm-5"
    assert said["failures"] == {
        "unknownModel": ["NotFoundError", 404, "model_not_found"],
        "badField": ["BadRequestError", 400, None],
        "badKey": ["AuthenticationError", 401, "invalid_api_key"],
        "allFailed": ["InternalServerError", 502, "all_providers_failed"],
        "cut": ["APIError", None, "upstream_truncated"],
    }


async def _run(directory: Path, tmp_path: Path, deployment: Deployment) -> bytes:
    """Run the script where it finds the SDK; returns what it printed."""
    script = tmp_path / SCRIPT.name
    script.write_bytes(SCRIPT.read_bytes())
    (tmp_path / "node_modules").symlink_to(directory / "node_modules")
    environment = {
        "PATH": os.environ["PATH"],
        "LLMBASE_BASE_URL": f"{deployment.http}/v1",
        "LLMBASE_API_KEY": KEY,
    }
    process = await asyncio.create_subprocess_exec(
        "node", str(script), env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out
