"""The conversation as Gemini's contents: turns of `user` and `model`, made of parts.

A tool's result names its function, which our messages do not: the name is that of the call with the
same id, made earlier. Results stand in the order of their calls, because where there are no ids
only the order tells two results of one function apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects import gemini_state as state
from service.providers.dialects.turns import Turn, parse_data_url, split_system, text_of, turns

_Part = dict[str, Any]

# What Google documents for a call whose signature is lost, as in a history from another model.
SUBSTITUTE_SIGNATURE = "skip_thought_signature_validator"
# An empty text is refused, and so is a turn without parts.
_NOTHING: list[_Part] = [{"text": " "}]

_IMAGE_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
}
_UNKNOWN_IMAGE = "image/jpeg"
_FILES_API = "https://generativelanguage.googleapis.com/"


class Conversation:
    """Translates one request's messages.

    `with_ids` says whether the API takes ids of calls, `with_signatures` whether the model refuses
    a call without a thought signature.
    """

    def __init__(
        self, messages: Sequence[pb.Message], *, with_ids: bool, with_signatures: bool
    ) -> None:
        self._messages = messages
        self._with_ids = with_ids
        self._with_signatures = with_signatures
        self._names: dict[str, str] = {}  # of functions, by the id of the call
        self._order: dict[str, int] = {}  # of the latest turn's calls, by their ids

    def encode(self) -> dict[str, Any]:
        """Return `contents`, and `systemInstruction` if there is one.

        System messages alone are asked as the user's: there must be something to answer. Raises
        InvalidRequest for a tool's result without a call, and for an image that is not base64.
        """
        system, others = split_system(self._messages)
        instruction = [{"text": text} for text in system if text]
        contents = []
        for turn in turns(others):
            parts = self._model(turn.messages) if turn.assistant else self._user(turn)
            role = "model" if turn.assistant else "user"
            contents.append({"role": role, "parts": parts or _NOTHING})
        if not contents:
            return {"contents": [{"role": "user", "parts": instruction or _NOTHING}]}
        if not instruction:
            return {"contents": contents}
        return {"systemInstruction": {"parts": instruction}, "contents": contents}

    def _model(self, messages: Iterable[pb.Message]) -> list[_Part]:
        calls = [call for message in messages for call in message.tool_calls]
        self._names.update((call.id, call.name) for call in calls)
        self._order = {call.id: position for position, call in enumerate(calls)}
        parts = [part for message in messages for part in self._message(message)]
        if self._with_signatures:
            _substitute_signature(parts)
        return parts

    def _message(self, message: pb.Message) -> list[_Part]:
        """Return an assistant's parts: its text is cut where signed parts of it begin and end."""
        text = text_of(message) or message.refusal
        calls = [self._call(call) for call in message.tool_calls]
        parts: list[_Part] = []
        said = called = 0
        for signed in state.signatures(message.provider_state):
            end = signed.start + signed.length
            if signed.thought:
                thought = message.reasoning_content[signed.start : end]
                part: _Part = {"text": thought, "thought": True}
            else:
                parts += _text(text[said : signed.start])
                part = {"text": text[max(said, signed.start) : end]}
                said = max(said, end)
            parts += calls[called : signed.calls]
            called = max(called, signed.calls)
            parts.append(part | {"thoughtSignature": signed.signature})
        return parts + _text(text[said:]) + calls[called:]

    def _call(self, call: pb.ToolCall) -> _Part:
        function: dict[str, Any] = {"name": call.name, "args": _arguments(call.arguments)}
        if self._with_ids:
            function["id"] = call.id
        part: _Part = {"functionCall": function}
        for signed in state.signatures(call.provider_state):
            part["thoughtSignature"] = signed.signature
        return part

    def _user(self, turn: Turn) -> list[_Part]:
        last = len(self._order)
        results = sorted(turn.results, key=lambda r: self._order.get(r.tool_call_id, last))
        parts = [self._result(result) for result in results]
        for message in turn.messages:
            for position, part in enumerate(message.content):
                if part.WhichOneof("part") == "image_url":
                    parts.append(self._image(part.image_url.url, message, position))
                else:
                    parts += _text(part.text)
        return parts

    def _result(self, message: pb.Message) -> _Part:
        name = self._names.get(message.tool_call_id) or message.name
        if not name:
            raise InvalidRequest(
                f"{self._path(message)}.tool_call_id",
                "must be the id of a tool call of an earlier assistant message",
            )
        function: dict[str, Any] = {"name": name, "response": _response(text_of(message))}
        if self._with_ids:
            function["id"] = message.tool_call_id
        return {"functionResponse": function}

    def _image(self, url: str, message: pb.Message, position: int) -> _Part:
        if url[:5].lower() != "data:":
            return {"fileData": _file(url)}
        data = parse_data_url(url)
        if data is None:
            raise InvalidRequest(
                f"{self._path(message)}.content[{position}].image_url.url",
                "must be base64, as in data:image/png;base64,...",
            )
        return {"inlineData": {"mimeType": data.mime_type, "data": data.base64}}

    def _path(self, message: pb.Message) -> str:
        """Return where a message stands; of equal ones the first, which is as wrong."""
        return f"messages[{list(self._messages).index(message)}]"


def _text(text: str) -> list[_Part]:
    return [{"text": text}] if text else []


def _arguments(text: str) -> orjson.Fragment | dict[str, Any]:
    """Return a call's arguments as an object, as they were written; {} for what is not one."""
    return orjson.Fragment(text) if isinstance(_parsed(text), dict) else {}


def _response(text: str) -> orjson.Fragment | dict[str, Any]:
    """Return a result as the object that is wanted: itself, or what it is under `output`."""
    value = _parsed(text)
    if isinstance(value, dict):
        return orjson.Fragment(text)
    return {"output": orjson.Fragment(text) if isinstance(value, list) else text}


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _file(url: str) -> dict[str, str]:
    """Return an image by reference. Google wants its type, and only its name can tell it.

    What the files API holds has a type already.
    """
    if url.startswith(_FILES_API):
        return {"fileUri": url}
    extension = url.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    return {"fileUri": url, "mimeType": _IMAGE_TYPES.get(extension, _UNKNOWN_IMAGE)}


def _substitute_signature(parts: list[_Part]) -> None:
    """Sign the first call of a turn in which no call is signed."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = SUBSTITUTE_SIGNATURE
