"""Golden files: `<dialect>/<case>/` holds what goes in and what must come out; a folder is a test.

* `request.json`, a ChatCompletionRequest in proto JSON, goes out as `sent.json` (path, headers and
  body; perhaps the names of what was left out), and as a stream as `sent_stream.json`, whichever is
  there. A case without one sends the one of its name in `requests/`, which is for all dialects.
* `answer.json`, a whole answer as the provider sends it, becomes `completion.json`.
* `answer.sse` (or `.bin`, or `.ndjson`), a stream, becomes `chunks.json`: one chunk for each event
  that brings something, and the last one.
* `fault.json` is how either fails: kind, status and what is told.
* `dialect.json` is what the provider's configuration says besides; without it, a `base_url`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.errors import ProviderFault
from service.providers.dialects import DIALECTS
from service.providers.dialects.compatible import COMPATIBLE
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
            wanted = _load(case / name)
            sent = _sent(dialect, case, stream)
            assert {key: sent[key] for key in sent if key != "ignored" or key in wanted} == wanted
            checked += 1
    if "answer.json" in files:
        assert _answered(dialect, (case / "answer.json").read_bytes()) == _outcome(case)
        checked += 1
    for name in files.intersection(STREAMS):
        assert _streamed(dialect, (case / name).read_bytes()) == _outcome(case)
        checked += 1
    assert checked, "a case without anything to check"


# Rows of data are one dialect but for their spellings; Mistral's differ the most.
ROWS = {row.name for row in COMPATIBLE} - {"mistral"}
# Another llmbase is sent our proto as it is; the embedded engine is OpenAI's dialect and a prompt.
TRANSLATORS = sorted(DIALECTS.keys() - ROWS - {"llmbase", "embedded"})
# For us alone: no provider sees them.
OURS = {"idempotency_key", "last_chunk_sequence", "llmbase"}


@pytest.mark.parametrize("dialect", TRANSLATORS)
def test_every_dialect_has_a_request_with_everything_in_it(dialect: str) -> None:
    cases = [case for case in CASES if case.parent.name == dialect]
    sending = [case for case in cases if any(case.glob("sent*.json"))]
    seen = {name for case in sending for name in _set(_request(case))}
    assert set(_fields(pb.ChatCompletionRequest.DESCRIPTOR)) - seen == set()


def _set(message: Message) -> Iterator[str]:
    """Yield the fields that are set, by the names of their messages, at every depth."""
    for field, value in message.ListFields():
        if field.containing_type.name != "ChatCompletionRequest" or field.name not in OURS:
            yield f"{field.containing_type.name}.{field.name}"
            below = value if isinstance(value, Sequence) else [value]
            for inner in below:
                if isinstance(inner, Message):
                    yield from _set(inner)


def _fields(message: Descriptor) -> Iterator[str]:
    """Yield all fields that there are."""
    for field in message.fields:
        if message.name != "ChatCompletionRequest" or field.name not in OURS:
            yield f"{message.name}.{field.name}"
            inner = field.message_type
            if inner is not None and not inner.GetOptions().map_entry:
                yield from _fields(inner)


def _dialect(case: Path) -> Dialect:
    path, name = case / "dialect.json", case.parent.name
    how = _load(path) if path.exists() else {"base_url": "https://provider.example/v1"}
    return DIALECTS[name].build(ProviderConfig(dialect=name, **how))


def _sent(dialect: Dialect, case: Path, stream: bool) -> Any:
    http = dialect.encode(_request(case), "provider-model", stream=stream)
    return {
        "path": http.path,
        "headers": dict(http.headers),
        "body": json.loads(http.body),
        "ignored": list(http.ignored),
    }


def _request(case: Path) -> pb.ChatCompletionRequest:
    own, shared = case / "request.json", HERE / "requests" / f"{case.name}.json"
    text = (own if own.exists() else shared).read_bytes()
    return json_format.Parse(text, pb.ChatCompletionRequest())


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
