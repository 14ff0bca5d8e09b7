"""What a request must be like, beyond what its types say. Pure; one rule, one line.

A fault names its field by its path in REST and proto alike (`messages[0].content[1].image_url.url`)
and says what is allowed. Sources: the REST contract and OpenAI's description of chat completions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.plain_message import Other
from service.providers.seen import Seen

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLES = frozenset(pb.Role.values()) - {pb.ROLE_UNSPECIFIED}
_EFFORTS = frozenset(pb.ReasoningEffort.values())
_MODES = frozenset(pb.ToolChoice.Mode.values()) - {pb.ToolChoice.MODE_UNSPECIFIED}
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_TOKEN_ID = re.compile(r"[0-9]{1,10}")
_DETAILS = ("auto", "low", "high")

# field: least, most
_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "max_tokens": (1, 2**31 - 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 8),
}
_LISTS = frozenset({"stop", "logit_bias", "metadata"})
# Schemas come again with every call of a program: so many that were found to be objects are known,
# of at most so many characters.
_KNOWN_SCHEMAS, _LONGEST_KNOWN = 256, 8192


def check(request: pb.ChatCompletionRequest) -> Seen:
    """Raise InvalidRequest for the first field that breaks a rule; return what was seen else."""
    seen = Seen(request)
    given = seen.given  # what is not there keeps to every rule
    if "model" not in given:
        raise InvalidRequest("model", "is required: the id of a model")
    for field in filter(_RANGES.__contains__, given):  # in the order of the proto
        least, most = _RANGES[field]
        if not least <= given[field] <= most:
            raise InvalidRequest(field, f"must be between {least} and {most}")
    if "messages" not in given:
        raise InvalidRequest("messages", "is required: at least one message")
    textual = True
    for other in seen.others:  # plain ones keep to the rules
        textual = _check_message(other, f"messages[{other.place}]") and textual
    seen.textual = textual
    if not _LISTS.isdisjoint(given):
        _check_lists(request)
    if not seen.tools.checked and "tools" in given:
        _check_tools(given["tools"])
        seen.tools.checked = True
    if "tool_choice" in given:
        _check_tool_choice(given["tool_choice"], seen.tools.names)
    if "response_format" in given:
        _check_format(request.response_format)
    if "reasoning_effort" in given and given["reasoning_effort"] not in _EFFORTS:
        words = "none, minimal, low, medium, high, xhigh, max"
        raise InvalidRequest("reasoning_effort", f"must be one of {words}")
    if "idempotency_key" in given or "last_chunk_sequence" in given:
        _check_repeating(request)
    if "top_logprobs" in given:
        _require(request.logprobs, "top_logprobs", "needs logprobs to be true")
    return seen


def _check_repeating(request: pb.ChatCompletionRequest) -> None:
    key = request.idempotency_key
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("idempotency_key", "must be 1 to 255 visible ASCII characters")
    if request.HasField("last_chunk_sequence"):
        after = request.last_chunk_sequence
        _require(after >= 0, "last_chunk_sequence", "must be the `sequence` of a chunk, or 0")
        _require(bool(key), "last_chunk_sequence", "needs an idempotency_key")


def _check_message(message: Other, path: str) -> bool:
    """Check one message, and say whether all of its parts are texts."""
    # Written out, so that no path is put together for a message that keeps to the rules.
    role = message.role
    if role not in _ROLES:
        raise InvalidRequest(
            f"{path}.role", "must be one of system, developer, user, assistant, tool"
        )
    textual = True
    given, parts = message.given, message.parts
    for j, part in enumerate(parts):
        if not part.HasField("text"):
            textual = False
            _check_part(part, role, f"{path}.content[{j}]")
    if role == pb.ROLE_ASSISTANT:
        if "tool_calls" in given:
            # A slice is the quickest way through.
            _check_tool_calls(given["tool_calls"][:], f"{path}.tool_calls")
        elif not (parts or "refusal" in given or "reasoning_content" in given):
            raise InvalidRequest(f"{path}.content", "is required unless the assistant calls tools")
    elif not parts:
        raise InvalidRequest(f"{path}.content", "is required: a string or parts")
    elif "tool_calls" in given:
        raise InvalidRequest(f"{path}.tool_calls", "is for assistant messages only")
    if role == pb.ROLE_TOOL:
        if not given.get("tool_call_id"):
            raise InvalidRequest(f"{path}.tool_call_id", "is required in tool messages")
    elif "tool_call_id" in given:
        raise InvalidRequest(f"{path}.tool_call_id", "is for tool messages only")
    return textual


def _check_part(part: pb.ContentPart, role: int, path: str) -> None:
    kind = part.WhichOneof("part")
    _require(kind is not None, f"{path}.type", "must be one of text, image_url, refusal")
    if kind == "image_url":
        _require(role == pb.ROLE_USER, f"{path}.type", "must be text: images are for user messages")
        _require(
            _is_image_url(part.image_url.url),
            f"{path}.image_url.url",
            "must be an https: URL, or a data: URL such as data:image/png;base64,...",
        )
        if part.image_url.HasField("detail"):
            detail = part.image_url.detail
            _require(detail in _DETAILS, f"{path}.image_url.detail", "must be auto, low or high")
    elif kind == "refusal":
        _require(
            role == pb.ROLE_ASSISTANT,
            f"{path}.type",
            "must be text: refusals are for assistant messages",
        )


def _is_image_url(url: str) -> bool:
    head = url[:256].lower()
    if head.startswith("https://"):
        return len(url) > len("https://") and not re.search(r"\s", url[:8192])
    return re.match(r"data:[\w.+-]+/[\w.+-]+(;[\w.=+-]+)*,", head) is not None


def _check_tool_calls(calls: Iterable[pb.ToolCall], path: str) -> None:
    seen = set()
    for j, call in enumerate(calls):
        given = call.id
        if not given:
            raise InvalidRequest(f"{path}[{j}].id", "is required")
        if given in seen:
            raise InvalidRequest(f"{path}[{j}].id", "must be unique in its message")
        seen.add(given)
        if not call.name:
            raise InvalidRequest(f"{path}[{j}].function.name", "is required")


def _check_lists(request: pb.ChatCompletionRequest) -> None:
    _require(len(request.stop) <= 4, "stop", "must be a string or up to 4 strings")
    for i, stop in enumerate(request.stop):
        _require(bool(stop), f"stop[{i}]", "must not be empty")
    for token, bias in request.logit_bias.items():
        path = f"logit_bias.{token[:20]}"
        _require(_TOKEN_ID.fullmatch(token) is not None, path, "must be a token id as its key")
        _require(-100 <= bias <= 100, path, "must be between -100 and 100")
    _require(len(request.metadata) <= 16, "metadata", "must have up to 16 entries")
    for key, value in request.metadata.items():
        _require(1 <= len(key) <= 64, "metadata", "must have keys of 1 to 64 characters")
        _require(len(value) <= 512, f"metadata.{key}", "must be up to 512 characters")


def _check_tools(tools: Sequence[pb.Tool]) -> None:
    _require(len(tools) <= 128, "tools", "must be up to 128 tools")
    names = set()
    for i, tool in enumerate(tools):
        name = tool.name
        if _TOOL_NAME.fullmatch(name) is None:
            rule = "must be 1 to 64 of a-z, A-Z, 0-9, _, -, . and :"
            raise InvalidRequest(f"tools[{i}].function.name", rule)
        if name in names:
            raise InvalidRequest(f"tools[{i}].function.name", "must be unique among the tools")
        names.add(name)
        if tool.HasField("parameters") and not _is_json_object(tool.parameters):
            raise InvalidRequest(f"tools[{i}].function.parameters", "must be an object")


def _check_tool_choice(given: pb.ToolChoice, names: Set[str]) -> None:
    choice = given.WhichOneof("choice")
    if choice == "function":
        _require(
            given.function in names,
            "tool_choice.function.name",
            "must be the name of one of the tools",
        )
    elif choice == "mode":
        mode = given.mode
        _require(mode in _MODES, "tool_choice", "must be auto, none, required or a function")
        if mode == pb.ToolChoice.MODE_REQUIRED:
            _require(bool(names), "tool_choice", "must be auto or none where there are no tools")
    else:
        raise InvalidRequest("tool_choice", "must be auto, none, required or a function")


def _check_format(form: pb.ResponseFormat) -> None:
    if form.WhichOneof("format") != "json_schema":
        return
    path = "response_format.json_schema"
    schema = form.json_schema
    _require(
        _SCHEMA_NAME.fullmatch(schema.name) is not None,
        f"{path}.name",
        "is required: 1 to 64 of a-z, A-Z, 0-9, _ and -",
    )
    if schema.HasField("schema"):
        _require(_is_json_object(schema.schema), f"{path}.schema", "must be an object")


def _is_json_object(text: str) -> bool:
    return (_is_known_object if len(text) <= _LONGEST_KNOWN else _is_object)(text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


_is_known_object = lru_cache(_KNOWN_SCHEMAS)(_is_object)


def _require(rule: bool, field: str, description: str) -> None:
    if not rule:
        raise InvalidRequest(field, description)
