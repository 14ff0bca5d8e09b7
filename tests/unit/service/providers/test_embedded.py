"""The engine's process, as far as it can be seen without a model."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import pytest

from service.providers.call import Call
from service.providers.embedded import EmbeddedEngine, require_engine
from service.providers.engine_process import EngineError
from service.providers.http_client.client import HttpClient
from service.providers.http_client.dialing import Dialer
from service.providers.model_store import LocalModelError
from tests.support.parts import require_part


def private_directories() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("llmbase-*"))


@pytest.fixture
def no_model(tmp_path: Path) -> Path:
    path = tmp_path / "no-model.gguf"
    path.write_bytes(b"this is no model")
    return path


def test_without_the_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'llmbase\[local\]'"):
        require_engine()


async def test_a_model_that_is_not_there_says_what_to_run(tmp_path: Path):
    require_part(importlib.util.find_spec("xllamacpp"), "xllamacpp is not installed")
    with pytest.raises(LocalModelError, match="llmbase model pull smollm2-135m-instruct"):
        await EmbeddedEngine(models_dir=tmp_path).start()


async def test_a_file_that_is_no_model_is_one_line_and_leaves_nothing_behind(
    no_model: Path, tmp_path: Path
):
    require_part(importlib.util.find_spec("xllamacpp"), "xllamacpp is not installed")
    before = private_directories()
    with pytest.raises(EngineError) as caught:
        await EmbeddedEngine(no_model, models_dir=tmp_path, n_threads=1).start()
    message = str(caught.value)
    assert message.startswith("the model no-model.gguf cannot be loaded: ")
    assert "magic" in message
    assert "\n" not in message
    assert private_directories() == before


async def test_a_model_that_loads_for_too_long_is_given_up(no_model: Path, tmp_path: Path):
    require_part(importlib.util.find_spec("xllamacpp"), "xllamacpp is not installed")
    before = private_directories()
    engine = EmbeddedEngine(no_model, models_dir=tmp_path, n_threads=1, start_timeout=0.001)
    with pytest.raises(EngineError, match=r"not loaded after 0\.001 s"):
        await engine.start()
    assert private_directories() == before


async def test_an_engine_that_is_not_running_refuses_connections(tmp_path: Path):
    engine = EmbeddedEngine(models_dir=tmp_path)
    client = HttpClient(Dialer(5, unix=str(engine.socket)))
    with pytest.raises(FileNotFoundError):
        await client.post(f"{engine.base_url}/chat/completions", {}, b"{}", Call("r"))
    await client.close()
    await engine.stop()
