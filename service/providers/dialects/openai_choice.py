"""One choice of a streamed answer: what has to be remembered of it, and what its chunks bring."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects import openai_answer as answer
from service.providers.dialects import openai_error as error
from service.providers.dialects import openai_facts as facts
from service.providers.dialects import openai_wire as wire
from service.providers.dialects.openai_calls import CallsInPieces, legacy
from service.providers.dialects.openai_state import StateInPieces


class ChoiceInPieces:
    """A choice of which more may come. Raises ProviderFault, and ValueError for garbage.

    `ended` says whether its finish word has come, `native` what it is.
    """

    __slots__ = ("calls", "ended", "index", "native", "seed", "state")

    def __init__(self, index: int, answer_id: str) -> None:
        self.index = index
        self.seed = f"{answer_id}/{index}"  # of the calls' own ids
        self.calls: CallsInPieces | None = None
        self.state: StateInPieces | None = None
        self.ended = False  # whether its finish word has come
        self.native = ""

    def take(
        self, given: wire.Choice, delta: wire.Message, chunk: pb.ChatCompletionChunk
    ) -> tuple[bool, bool]:
        """Append all that a chunk can bring, in any combination.

        Return whether that is anything at all, and whether any of it is content.
        """
        if given.error:
            raise error.fault(given.error, "in a choice")
        out = pb.ChoiceDelta()
        said = self._say(delta, out)
        if given.logprobs is not None:
            facts.add_logprobs(given.logprobs, out)
        if delta.reasoning_details or delta.reasoning_opaque or delta.extra_content:
            self.state = self.state or StateInPieces()
            self.state.add(delta)
        if given.finish_reason and not self.ended:
            facts.finish_reason(given.finish_reason, False)  # raises if it is no finish
            self.ended = True
            self.native = given.finish_reason
        if self.ended:
            self._close(out)
        return self._append(out, chunk), said

    def end(self, chunk: pb.ChatCompletionChunk) -> bool:
        """Append what is still owed when the stream ends without this choice's finish word.

        Return whether that is anything.
        """
        if self.ended:
            return False
        out = pb.ChoiceDelta()
        self._close(out)
        return self._append(out, chunk)

    def _say(self, delta: wire.Message, out: pb.ChoiceDelta) -> bool:
        text, thought, refusal = answer.said(delta)
        if text:
            out.content = text
        if thought:
            out.reasoning_content = thought
        if refusal:
            out.refusal = refusal
        pieces = delta.tool_calls
        if not pieces and (old := legacy(delta.function_call)):
            pieces = [old]
        if pieces:
            self.calls = self.calls or CallsInPieces(self.seed)
            for piece in pieces:
                self.calls.add(piece, out)
        return bool(text or thought or refusal or pieces)

    def _close(self, out: pb.ChoiceDelta) -> None:
        if self.calls is not None:
            self.calls.close(out)
        if self.state is not None:
            out.provider_state = self.state.take()

    def _append(self, out: pb.ChoiceDelta, chunk: pb.ChatCompletionChunk) -> bool:
        if not out.ByteSize():
            return False
        out.index = self.index
        chunk.choices.append(out)
        return True
