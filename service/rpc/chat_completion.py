"""ChatCompletionService: check, call, map the error, return. No logic."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceServicer

from service.rpc.answers import Answers, StreamedAnswer
from service.rpc.calls import Calls, Context
from service.rpc.content import RecordedAnswer
from service.rpc.open_call import OpenCall


class ChatCompletionServicer(ChatCompletionServiceServicer):
    """Tells what `Answers` gets. The route goes out with the first content, as metadata too."""

    def __init__(self, calls: Calls, answers: Answers) -> None:
        self._calls = calls
        self._answers = answers

    async def CreateChatCompletion(  # noqa: N802 - gRPC's name
        self, request: ChatCompletionRequest, context: Context
    ) -> ChatCompletion:
        """Return the whole answer."""
        opened: OpenCall | None = None
        try:
            opened = await self._calls.open("CreateChatCompletion", context)
            opened.check(request)
            if self._calls.cohort.several:
                await self._calls.side_by_side(opened)
            completion, route = await self._answers.complete(request, opened)
            if self._calls.cohort.several:
                await self._calls.side_by_side(opened)
            opened.first = self._calls.clock()
            if opened.content is not None:
                opened.content.answered(completion)
            await context.send_initial_metadata(opened.initial_metadata(route))
            context.set_trailing_metadata(opened.trailing_metadata())
            opened.outcome = "OK"
            return completion
        except Exception as error:
            await self._calls.abort(context, error, "CreateChatCompletion", opened)
        finally:
            if opened is not None:
                self._calls.close(opened)

    async def StreamChatCompletion(  # type: ignore[override]  # noqa: N802
        self, request: ChatCompletionRequest, context: Context
    ) -> None:
        """Write the chunks of an answer."""
        opened: OpenCall | None = None
        answer: StreamedAnswer | None = None
        try:
            opened = await self._calls.open("StreamChatCompletion", context)
            opened.check(request)
            if self._calls.cohort.several:
                await self._calls.side_by_side(opened)
            answer = await self._answers.stream(request, opened)
            opened.first = self._calls.clock()
            if opened.content is not None:
                answer = RecordedAnswer(answer, opened.content)
            await context.send_initial_metadata(opened.initial_metadata(answer.route))
            while (chunk := await answer.read()) is not None:
                if chunk.last:
                    # From here on the caller may have it all, and be gone before we know.
                    opened.outcome = "OK"
                await context.write(chunk)
                opened.chunks += 1
            context.set_trailing_metadata(opened.trailing_metadata())
            opened.outcome = "OK"
        except Exception as error:
            await self._calls.abort(context, error, "StreamChatCompletion", opened)
        finally:
            try:
                if answer is not None:
                    answer.close()
            finally:  # whatever goes wrong with the answer: the call gives back what it holds
                if opened is not None:
                    opened.usage = answer.usage if answer is not None else None
                    self._calls.close(opened)
