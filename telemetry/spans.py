"""What spans there are and what they say: one table, which the documentation's is checked against.

Names are OpenTelemetry's where it has one (HTTP, RPC and GenAI conventions), else begin with
`llmbase.`. But for ids and for the two of `CONTENT`, no value holds what a caller or a provider
wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUEST = "request"  # of the REST door
RPC = "RPC"
ATTEMPT = "attempt"

FIRST_CONTENT = "llmbase.first_content"  # the one event: a stream's first content has arrived


@dataclass(frozen=True, slots=True, eq=False)  # one is itself: keys of mappings that cost little
class Attribute:
    """A name, the spans that have it, and what its values are."""

    name: str
    spans: tuple[str, ...]
    help: str


_ALL = (REQUEST, RPC, ATTEMPT)

HTTP_METHOD = Attribute(
    "http.request.method", (REQUEST,), "`GET`, `POST`, ...; `_OTHER` for what is no method of HTTP"
)
HTTP_ROUTE = Attribute("http.route", (REQUEST,), "the route, such as `/v1/models/{id}`; no path")
HTTP_STATUS = Attribute(
    "http.response.status_code", (REQUEST, ATTEMPT), "as it was sent, or as the provider said it"
)
RPC_SYSTEM = Attribute("rpc.system.name", (RPC,), "`grpc`, in the one process, too")
RPC_METHOD = Attribute("rpc.method", (RPC,), "such as `llmbase.v1.ChatCompletionService/...`")
RPC_STATUS = Attribute("rpc.response.status_code", (RPC,), "`OK`, or gRPC's word for the error")
ERROR_TYPE = Attribute(
    "error.type",
    _ALL,
    "the error's reason; of an attempt how it failed: `connect`, `slow`, `status`, `rejected`, "
    "`truncated`, `malformed`, `reported`; `cancelled` when the caller left, `ended` when the "
    "deadline or a drain came",
)
REQUEST_ID = Attribute("llmbase.request_id", (REQUEST, RPC), "the id that the logs have, too")
CALLER = Attribute("llmbase.caller", (RPC,), "the name of the key or identity; never the key")
OPERATION = Attribute("gen_ai.operation.name", (RPC, ATTEMPT), "`chat`")
STREAM = Attribute("gen_ai.request.stream", (ATTEMPT,), "whether a stream was asked for")
REQUEST_MODEL = Attribute(
    "gen_ai.request.model",
    (RPC, ATTEMPT),
    "the model that was asked for, if there is one of that id; of an attempt the provider's name "
    "for it",
)
RESPONSE_MODEL = Attribute("gen_ai.response.model", (RPC,), "the model that answered")
PROVIDER_NAME = Attribute(
    "gen_ai.provider.name", (ATTEMPT,), "whose API is spoken: `openai`, `aws.bedrock`, ..."
)
SERVER_ADDRESS = Attribute("server.address", (ATTEMPT,), "the provider's host, or its socket")
SERVER_PORT = Attribute("server.port", (ATTEMPT,), "and its port")
PROVIDER = Attribute("llmbase.provider", (RPC, ATTEMPT), "the provider, as configured")
MODEL = Attribute("llmbase.model", (ATTEMPT,), "the model, by its public id")
KIND = Attribute(
    "llmbase.attempt.kind", (ATTEMPT,), "`original`, `repeat`, `hedge` or `continuation`"
)
OUTCOME = Attribute(
    "llmbase.attempt.outcome",
    (ATTEMPT,),
    "`answered`, `lost` (another was faster), or what `error.type` says",
)
ATTEMPTS = Attribute("llmbase.attempts", (RPC,), "how many there were")
FALLBACK = Attribute("llmbase.fallback", (RPC,), "whether another model answered")
REPLAYED = Attribute("llmbase.replayed", (RPC,), "true if it was another call's answer")
INPUT_TOKENS = Attribute("gen_ai.usage.input_tokens", (RPC, ATTEMPT), "the prompt's")
OUTPUT_TOKENS = Attribute("gen_ai.usage.output_tokens", (RPC, ATTEMPT), "the answer's")
CACHED_TOKENS = Attribute(
    "gen_ai.usage.cache_read.input_tokens", (RPC, ATTEMPT), "of the prompt's, where there were any"
)
REASONING_TOKENS = Attribute(
    "gen_ai.usage.reasoning.output_tokens", (RPC, ATTEMPT), "of the answer's, where there were any"
)
ESTIMATED = Attribute("llmbase.usage.estimated", (RPC, ATTEMPT), "true if the provider gave none")
FINISH_REASONS = Attribute(
    "gen_ai.response.finish_reasons", (ATTEMPT,), "of each choice: `stop`, `length`, ..."
)
FIRST_CHUNK = Attribute(
    "gen_ai.response.time_to_first_chunk", (ATTEMPT,), "of a stream, in seconds"
)
INPUT = Attribute(
    "gen_ai.input.messages", (RPC,), "only with `telemetry.content`: the messages, redacted"
)
OUTPUT = Attribute(
    "gen_ai.output.messages", (RPC,), "only with `telemetry.content`: the answer, redacted"
)

CONTENT = (INPUT, OUTPUT)

# Everything there is.
ATTRIBUTES: tuple[Attribute, ...] = (
    HTTP_METHOD,
    HTTP_ROUTE,
    HTTP_STATUS,
    RPC_SYSTEM,
    RPC_METHOD,
    RPC_STATUS,
    ERROR_TYPE,
    REQUEST_ID,
    CALLER,
    OPERATION,
    STREAM,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    PROVIDER_NAME,
    SERVER_ADDRESS,
    SERVER_PORT,
    PROVIDER,
    MODEL,
    KIND,
    OUTCOME,
    ATTEMPTS,
    FALLBACK,
    REPLAYED,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CACHED_TOKENS,
    REASONING_TOKENS,
    ESTIMATED,
    FINISH_REASONS,
    FIRST_CHUNK,
    *CONTENT,
)
