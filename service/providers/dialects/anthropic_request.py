"""A request in our proto as the JSON body of the Messages API.

| field | what becomes of it |
|---|---|
| messages | turns that alternate; system and developer text goes to `system` |
| max_tokens | as it is; a default where absent, for the API wants one |
| temperature | at most 1; to models that take none, and beside thinking, only 1 is harmless |
| top_p | as it is; left out where `temperature` is in its way, or thinking and it is below 0.95 |
| stop | `stop_sequences`, without blank ones |
| tools, tool_choice | the same in other words; `required` is `any` |
| parallel_tool_calls | false: `disable_parallel_tool_use` |
| response_format | `json_schema`: `output_config.format`; `json_object`: asked for in `system`, not |
|  | enforced, and so named among the ignored |
| reasoning_effort | see anthropic_reasoning.py |
| user | `metadata.user_id`; its hash if it is not opaque, for the API refuses e-mail addresses |
| service_tier | `auto`, `standard_only`; OpenAI's `priority` and `default` stand for these |

All others have no equal and are named, unless they ask for what happens anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import anthropic_schema as schema
from service.providers.dialects import anthropic_turns as blocks
from service.providers.dialects.anthropic_models import Claude, claude
from service.providers.dialects.anthropic_reasoning import Reasoning, reasoning
from service.providers.dialects.turns import split_system, turns

_LEAST_TOP_P = 0.95  # beside thinking
_OPAQUE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_.:-]{1,256}")
_TIERS = {
    "auto": "auto",
    "priority": "auto",
    "standard_only": "standard_only",
    "default": "standard_only",
}
_JSON_ONLY = "Answer with one JSON object and nothing else: no other text, no code fence."
# Fields without an equal, and what of them asks for nothing.
_NO_EQUAL = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "seed": None,
    "logprobs": False,
    "top_logprobs": None,
    "n": 1,
    "prompt_cache_key": None,
    "chat_template_kwargs": None,
}


class Encoder:
    """Encodes one request. `ignored` names, in order, what had to be left out."""

    def __init__(self, request: pb.ChatCompletionRequest, model: str) -> None:
        self._request = request
        self._model = model
        self._takes: Claude = claude(model)
        self.ignored: dict[str, None] = {}

    def body(
        self, default_max_tokens: int, extra_body: Mapping[str, Any], *, stream: bool
    ) -> bytes:
        """Return the body. Raises InvalidRequest for an image that the API cannot take."""
        request = self._request
        system, others = split_system(request.messages)
        conversation = turns(others)
        thought = reasoning(
            request,
            self._takes,
            thinkable=not self._demands_call()
            and not blocks.is_mid_call_without_thoughts(conversation),
        )
        self._name("reasoning_effort", not thought.honoured)
        own: dict[str, Any] = {"model": self._model}
        if request.HasField("max_tokens"):
            own["max_tokens"] = request.max_tokens
        own |= self._conversation(system, conversation)
        own |= self._sampling(thought) | self._tools()
        if thought.thinking:
            own["thinking"] = thought.thinking
        if output := self._output(thought):
            own["output_config"] = output
        own |= self._caller()
        if stream:
            own["stream"] = True
        self._name_the_rest()
        return orjson.dumps({"max_tokens": default_max_tokens + thought.room, **extra_body, **own})

    def _name(self, field: str, ignored: bool = True) -> None:
        if ignored:
            self.ignored[field] = None

    def _demands_call(self) -> bool:
        choice = self._request.tool_choice
        return choice.WhichOneof("choice") == "function" or choice.mode == choice.MODE_REQUIRED

    def _conversation(self, system: list[str], conversation: list[Any]) -> dict[str, Any]:
        if self._request.response_format.WhichOneof("format") == "json_object":
            system = [*system, _JSON_ONLY]
        spoken = blocks.texts(system)
        try:
            messages = blocks.messages(conversation)
        except blocks.UnusableImage as bad:
            raise blocks.refusal_of(bad, self._request) from None
        if not messages:  # the API wants at least one, so the instructions are what is said
            return {"messages": [{"role": "user", "content": spoken}]}
        return {"system": spoken, "messages": messages} if spoken else {"messages": messages}

    def _sampling(self, thought: Reasoning) -> dict[str, Any]:
        request, takes, found = self._request, self._takes, dict[str, Any]()
        fixed = thought.thinks or not takes.sampling
        if request.HasField("temperature"):
            if not fixed:
                found["temperature"] = min(request.temperature, 1.0)
            self._name(
                "temperature",
                request.temperature != 1 and found.get("temperature") != request.temperature,
            )
        if request.HasField("top_p"):
            fits = takes.sampling and (takes.both_samplings or "temperature" not in found)
            if fits and (not fixed or request.top_p >= _LEAST_TOP_P):
                found["top_p"] = request.top_p
            self._name("top_p", request.top_p != 1 and "top_p" not in found)
        if stops := [stop for stop in request.stop if stop.strip()]:
            found["stop_sequences"] = stops
        self._name("stop", len(stops) < len(request.stop))
        return found

    def _tools(self) -> dict[str, Any]:
        request = self._request
        if request.tools:
            choice = self._choice()
            if request.HasField("parallel_tool_calls") and not request.parallel_tool_calls:
                choice = choice or {"type": "auto"}
                if choice["type"] != "none":
                    choice["disable_parallel_tool_use"] = True
            tools = {"tools": [self._tool(tool) for tool in request.tools]}
            return tools | {"tool_choice": choice} if choice else tools
        # A conversation with calls in it has to say what was called.
        names = {call.name: None for message in request.messages for call in message.tool_calls}
        if not names:
            return {}
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
        return {"tools": tools, "tool_choice": {"type": "none"}}

    def _choice(self) -> dict[str, Any]:
        choice = self._request.tool_choice
        if self._demands_call():
            if not self._takes.forced_tools:
                self._name("tool_choice")
                return {"type": "auto"}
            if choice.function:
                return {"type": "tool", "name": choice.function}
            return {"type": "any"}
        modes = {choice.MODE_AUTO: {"type": "auto"}, choice.MODE_NONE: {"type": "none"}}
        return dict(modes.get(choice.mode, {}))

    def _tool(self, tool: pb.Tool) -> dict[str, Any]:
        found: dict[str, Any] = {"name": tool.name}
        if tool.HasField("description"):
            found["description"] = tool.description
        parameters = schema.typed_object(tool.parameters or "{}")
        if tool.strict:
            parameters, whole = schema.rewrite(parameters)
            self._name("tools[].function.strict", not whole)
            found["strict"] = True
        found["input_schema"] = orjson.Fragment(parameters)
        return found

    def _output(self, thought: Reasoning) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if thought.effort:
            found["effort"] = thought.effort
        form = self._request.response_format
        if form.json_schema.HasField("schema"):
            text, whole = schema.rewrite(form.json_schema.schema)
            self._name("response_format.json_schema.strict", form.json_schema.strict and not whole)
            found["format"] = {"type": "json_schema", "schema": orjson.Fragment(text)}
        elif form.WhichOneof("format") is not None:
            self._name("response_format")
        return found

    def _caller(self) -> dict[str, Any]:
        request, found = self._request, dict[str, Any]()
        if user := request.user:
            opaque = user if _OPAQUE.fullmatch(user) else blake2s(user.encode()).hexdigest()
            found["metadata"] = {"user_id": opaque}
        if request.service_tier in _TIERS:
            found["service_tier"] = _TIERS[request.service_tier]
        self._name(
            "service_tier", request.HasField("service_tier") and not found.get("service_tier")
        )
        return found

    def _name_the_rest(self) -> None:
        request = self._request
        for field, nothing in _NO_EQUAL.items():
            if request.HasField(field) and getattr(request, field) != nothing:
                self._name(field)
        self._name("logit_bias", bool(request.logit_bias))
        self._name("metadata", bool(request.metadata))
        for message in request.messages:
            self._name("messages[].name", message.HasField("name"))
            for part in message.content:
                detail = part.image_url.detail
                self._name("messages[].content[].image_url.detail", detail not in ("", "auto"))
