"""What an image of megabytes takes of a gateway while it passes through: two copies at a time.

Without what `wire.leftovers` gives back it is four: what was freed stays in the heap, between what
is still in use, and the next copy does not fit.
"""

from __future__ import annotations

import platform
from pathlib import Path

from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says
from tests.support.parts import require_part
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

MEGABYTES = 8
COPIES = 3.8  # at their peak: two, one that orjson or upb makes for itself, and what goes with it


class _Memory:
    """The memory of a process, in MB."""

    def __init__(self, pid: int) -> None:
        self._at = Path(f"/proc/{pid}")
        self._before = self._read("VmRSS")

    def forget(self) -> None:
        """Begin a new peak."""
        (self._at / "clear_refs").write_text("5")

    def grown(self) -> float:
        """By how much, at most, it has been more than at the beginning."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> float:
        lines = (self._at / "status").read_text().splitlines()
        (line,) = (it for it in lines if it.startswith(name))
        return int(line.split()[1]) / 1024


async def test_an_image_is_held_twice_at_a_time_not_four_times(
    sidecar: Deployment, upstream: ScriptedUpstream
) -> None:
    require_part(platform.libc_ver()[0] == "glibc", "only glibc's malloc is asked to give back")
    upstream.on("one", says("Hello"))
    url = "data:image/png;base64," + "iVBORw0K" * (MEGABYTES * 2**20 // 8)
    image = [{"type": "image_url", "image_url": {"url": url}}]
    body = hello(messages=[{"role": "user", "content": image}])
    async with RestDoor(sidecar.http, KEY) as door:
        for _ in range(3):
            assert (await door.ask(hello())).complete
        gateway = _Memory(sidecar.processes[0].pid)
        grown = []
        for _ in range(8):
            gateway.forget()
            assert (await door.ask(body)).complete
            grown.append(gateway.grown())
    # The first ones find a heap without holes, and a busy machine has more of one under way.
    assert min(grown[2:]) < COPIES * MEGABYTES
