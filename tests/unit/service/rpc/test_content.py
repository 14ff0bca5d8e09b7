"""What spans have of what was asked and answered."""

import json

from llmbase.v1 import chat_completion_pb2 as pb

from service.rpc.content import Content, RecordedAnswer
from telemetry.spans import INPUT, OUTPUT

SECRET = "swordfish-swordfish"


class _Span:
    def __init__(self):
        self.told = {}

    def set(self, attribute, value):
        self.told[attribute] = json.loads(value)


class _Answer:
    route = pb.RouteFacts()
    usage = pb.Usage()

    def __init__(self, *deltas):
        self._deltas = list(deltas)
        self.closed = False

    async def read(self):
        return pb.ChatCompletionChunk(choices=[self._deltas.pop(0)]) if self._deltas else None

    def close(self):
        self.closed = True


def _text(text):
    return [pb.ContentPart(text=text)]


def test_all_kinds_of_messages_are_told_without_secrets_and_images():
    url = pb.ImageUrl(url="data:image/png;base64,QUJD")
    call = pb.ToolCall(id="c1", name="look", arguments=f'{{"for":"{SECRET}"}}')
    request = pb.ChatCompletionRequest(
        messages=[
            pb.Message(role=pb.ROLE_SYSTEM, content=_text(f"Mind {SECRET}.")),
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(image_url=url)]),
            pb.Message(role=pb.ROLE_ASSISTANT, reasoning_content="Hm", tool_calls=[call]),
            pb.Message(role=pb.ROLE_TOOL, tool_call_id="c1", content=_text("found")),
        ]
    )
    span = _Span()
    Content(span, [SECRET]).asked(request)
    assert span.told[INPUT] == [
        {"role": "system", "parts": [{"type": "text", "content": "Mind [redacted]."}]},
        {"role": "user", "parts": [{"type": "blob", "modality": "image"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm"},
                {
                    "type": "tool_call",
                    "id": "c1",
                    "name": "look",
                    "arguments": '{"for":"[redacted]"}',
                },
            ],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c1", "result": "found"}],
        },
    ]


def test_of_a_long_conversation_the_newest_is_told():
    messages = [
        pb.Message(role=pb.ROLE_USER, content=_text(f"{letter} " * 4000)) for letter in "abcdefgh"
    ]
    span = _Span()
    Content(span, []).asked(pb.ChatCompletionRequest(messages=messages))
    told = [message["parts"][0]["content"] for message in span.told[INPUT]]
    assert [text[0] for text in told] == ["f", "g", "h"]
    assert sum(map(len, told)) <= 16_384


def test_a_whole_answer_is_told():
    message = pb.Message(content=_text(f"It is {SECRET}"))
    choice = pb.Choice(message=message, finish_reason=pb.FINISH_REASON_LENGTH)
    span = _Span()
    Content(span, [SECRET]).answered(pb.ChatCompletion(choices=[choice]))
    parts = [{"type": "text", "content": "It is [redacted]"}]
    assert span.told[OUTPUT] == [{"role": "assistant", "parts": parts, "finish_reason": "length"}]


async def test_a_stream_is_told_when_it_is_closed_as_far_as_it_came():
    span = _Span()
    answer = _Answer(
        pb.ChoiceDelta(reasoning_content="Hm"),
        pb.ChoiceDelta(content=SECRET[:8]),
        pb.ChoiceDelta(content=SECRET[8:], index=0),
        pb.ChoiceDelta(index=1, content="x" * 100_000),
        pb.ChoiceDelta(index=1, content="y"),
    )
    recorded = RecordedAnswer(answer, Content(span, [SECRET]))
    while await recorded.read() is not None:
        assert not span.told
    recorded.close()
    assert answer.closed
    first, second = span.told[OUTPUT]
    assert first["parts"] == [
        {"type": "reasoning", "content": "Hm"},
        {"type": "text", "content": "[redacted]"},
    ]
    assert first["finish_reason"] == "unspecified"
    assert len(second["parts"][0]["content"]) < 16_384
