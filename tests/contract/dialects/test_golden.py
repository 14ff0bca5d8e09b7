"""Golden files: `<dialect>/<case>/` holds what goes in and what must come out; a folder is a test.

* `request.json`, a ChatCompletionRequest in proto JSON, goes out as `sent.json` (path, headers and
  body), and as a stream as `sent_stream.json`, whichever is there.
* `answer.json`, a whole answer as the provider sends it, becomes `completion.json`.
* `answer.sse` (or `.bin`, or `.ndjson`), a stream, becomes `chunks.json`: one chunk for each event
  that brings something, and the last one.
* `fault.json` is how either fails: kind, status and what is told.
* `dialect.json` is what the provider's configuration says besides; without it, a `base_url`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.errors import ProviderFault
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import Dialect

HERE = Path(__file__).parent
CASES = sorted(path for path in HERE.glob("*/*/") if path.parent.name in DIALECTS)
STREAMS = ("answer.sse", "answer.bin", "answer.ndjson")
KNOWN = {
    *("dialect.json", "request.json", "sent.json", "sent_stream.json", "fault.json"),
    *("answer.json", "completion.json", "chunks.json", *STREAMS),
}


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case_is_translated_as_its_files_say(case: Path) -> None:
    files = {path.name for path in case.iterdir()}
    assert files <= KNOWN, "a file that nothing looks at"
    dialect = _dialect(case)
    checked = 0
    for name, stream in (("sent.json", False), ("sent_stream.json", True)):
        if name in files:
            assert _sent(dialect, case, stream) == _load(case / name)
            checked += 1
    if "answer.json" in files:
        assert _answered(dialect, (case / "answer.json").read_bytes()) == _outcome(case)
        checked += 1
    for name in files.intersection(STREAMS):
        assert _streamed(dialect, (case / name).read_bytes()) == _outcome(case)
        checked += 1
    assert checked, "a case without anything to check"


def _dialect(case: Path) -> Dialect:
    path, name = case / "dialect.json", case.parent.name
    how = _load(path) if path.exists() else {"base_url": "https://provider.example/v1"}
    return DIALECTS[name].build(ProviderConfig(dialect=name, **how))


def _sent(dialect: Dialect, case: Path, stream: bool) -> Any:
    request = json_format.Parse((case / "request.json").read_bytes(), pb.ChatCompletionRequest())
    http = dialect.encode(request, "provider-model", stream=stream)
    return {"path": http.path, "headers": dict(http.headers), "body": json.loads(http.body)}


def _answered(dialect: Dialect, body: bytes) -> Any:
    try:
        return _as_json(dialect.decode(body))
    except ProviderFault as fault:
        return _fault(fault)


def _streamed(dialect: Dialect, body: bytes) -> Any:
    framer, decoder = dialect.framer(), dialect.decode_stream()
    chunks = []
    try:
        for event in [*framer.feed(body), *framer.end()]:
            chunk = pb.ChatCompletionChunk()
            decoder.decode(event, chunk)
            if chunk.choices:
                chunks.append(_as_json(chunk))
        chunks.append(_as_json(decoder.finish()))
    except ProviderFault as fault:
        return _fault(fault)
    return chunks


def _outcome(case: Path) -> Any:
    (name,) = {"completion.json", "chunks.json", "fault.json"} & {p.name for p in case.iterdir()}
    return _load(case / name)


def _fault(fault: ProviderFault) -> dict[str, Any]:
    return {"kind": fault.kind.value, "status": fault.status, "told": fault.told}


def _as_json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _load(path: Path) -> Any:
    return json.loads(path.read_bytes())
