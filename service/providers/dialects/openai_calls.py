"""Tool calls: unique ids, arguments as JSON text, and the pieces of a stream sorted out.

Providers number, name and identify the pieces of a call in many ways; what goes on from here has
an own contiguous index, id and name on a call's first piece and nowhere else, and "{}" for a call
without arguments.
"""

from __future__ import annotations

from hashlib import blake2s

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import openai_state as state
from service.providers.dialects import openai_wire as wire

_LEGACY = -1  # the index under which the one `function_call` of the old form is kept


def legacy(function: wire.Function | None) -> wire.ToolCall | None:
    """Return the old `function_call` as a tool call; some send it empty beside real ones."""
    if function is None or not (function.name or function.arguments):
        return None
    return wire.ToolCall(index=_LEGACY, function=function)


class CallIds:
    """Gives the calls of one message their ids: the provider's, or an own one where that fails.

    An own id follows from `seed`, so that the same answer always gets the same one, and differs
    between answers, because a conversation holds the calls of many.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._given: set[str] = set()

    def give(self, native: str | None) -> str:
        """Return the id of the next call, for whatever the provider calls it."""
        given = native or ""
        attempt = 0
        while not given or given in self._given:
            text = f"{self._seed}/{len(self._given)}/{attempt}"
            given = "call_" + blake2s(text.encode(), digest_size=12).hexdigest()
            attempt += 1
        self._given.add(given)
        return given


def whole(message: wire.Message, seed: str) -> list[pb.ToolCall]:
    """Return the calls of a whole message. Raises ProviderFault for a call without a name."""
    calls = message.tool_calls or []
    if not calls and (old := legacy(message.function_call)):
        calls = [old]
    ids = CallIds(seed)
    found = []
    for call in calls:
        function = call.function
        if function is None or not function.name:
            raise _nameless()
        arguments = wire.arguments_text(function.arguments)
        found.append(
            pb.ToolCall(
                id=ids.give(call.id),
                name=function.name,
                arguments=arguments if arguments.strip() else "{}",
                provider_state=state.of_call(call),
            )
        )
    return found


class _Call:
    """A call of which more may come."""

    __slots__ = ("closed", "held", "index", "name", "native", "state", "told", "written")

    def __init__(self, index: int) -> None:
        self.index = index
        self.native = ""  # the provider's id
        self.name = ""
        self.told = False  # whether id and name have gone out
        self.held = ""  # arguments that may turn out to be none: blank, or a placeholder "{}"
        self.written: list[str] = []  # arguments that count, gone out or waiting for the name
        self.state = b""  # waiting for the name
        self.closed = False  # whether the held arguments have gone out after all

    def write(self, arguments: str) -> str:
        """Take a piece of the arguments and return what of them counts now.

        Some providers put "{}" before the real arguments: held until it is clear which it is.
        Raises ProviderFault MALFORMED for a piece that comes too late to be put right.
        """
        if self.written or not arguments:
            counts = arguments
        elif self.closed:
            raise ProviderFault(FaultKind.MALFORMED, "arguments after the finish reason")
        elif (self.held + arguments).strip() in ("", "{}"):
            self.held += arguments
            return ""
        else:
            counts = arguments if self.held.strip() else self.held + arguments
        if counts:
            self.written.append(counts)
        return counts

    def close(self) -> str:
        """Return the arguments that are still owed when no more will come."""
        if self.written or self.closed:
            return ""
        self.closed = True
        return self.held if self.held.strip() else "{}"

    def is_complete(self) -> bool:
        """Whether the arguments are a whole object; the beginning of one never is."""
        if not self.written:
            return bool(self.held.strip())
        if not self.written[-1].rstrip().endswith("}"):
            return False  # seen without putting it all together once more
        try:
            return isinstance(orjson.loads("".join(self.written)), dict)
        except orjson.JSONDecodeError:
            return False


class CallsInPieces:
    """The calls of one streamed choice."""

    def __init__(self, seed: str) -> None:
        self._ids = CallIds(seed)
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}  # the latest call at each of the provider's indexes
        self._called: dict[str, _Call] = {}  # by the provider's id
        self._closed = False

    def add(self, piece: wire.ToolCall, delta: pb.ChoiceDelta) -> None:
        """Append what the piece brings to `delta`. Raises ProviderFault MALFORMED."""
        function = piece.function or wire.Function()
        name = function.name or ""
        arguments = wire.arguments_text(function.arguments)
        call = self._call_of(piece, name, arguments)
        if piece.id and not call.native:
            call.native = piece.id
            self._called.setdefault(piece.id, call)
        call.name = call.name or name
        self._tell(call, call.write(arguments), state.of_call(piece), delta)

    def close(self, delta: pb.ChoiceDelta) -> None:
        """Append what is due when all calls are whole: "{}" where there were no arguments.

        Raises ProviderFault MALFORMED for a call that never got a name.
        """
        self._closed = True
        for call in self._calls:
            if not call.told:
                raise _nameless()
            if owed := call.close():
                delta.tool_calls.add(index=call.index, arguments=owed)

    def _call_of(self, piece: wire.ToolCall, name: str, arguments: str) -> _Call:
        """Find the call that a piece belongs to, or begin one.

        The index decides, but some providers send none, or 0 for every call; then the id does, but
        some make up a new one for every piece. What holds for all: only a call's first piece has
        to have a name, and names come whole.
        """
        known = self._called.get(piece.id) if piece.id else None
        latest = self._calls[-1] if self._calls else None
        call = (known or latest) if piece.index is None else self._at.get(piece.index)
        if call is not None and known is not None and not name:
            call = known
        if call is None or (name and call.name and _is_another(call, piece.id, name, arguments)):
            if self._closed:
                raise ProviderFault(FaultKind.MALFORMED, "a tool call after the finish reason")
            call = _Call(len(self._calls))
            self._calls.append(call)
        if piece.index is not None:
            self._at[piece.index] = call
        return call

    def _tell(self, call: _Call, arguments: str, opaque: bytes, delta: pb.ChoiceDelta) -> None:
        if not call.name:
            call.state += opaque
        elif not call.told:
            call.told = True
            delta.tool_calls.add(
                index=call.index,
                id=self._ids.give(call.native),
                name=call.name,
                arguments="".join(call.written),
                provider_state=call.state + opaque,
            )
        elif arguments or opaque:
            delta.tool_calls.add(index=call.index, arguments=arguments, provider_state=opaque)


def _is_another(call: _Call, given_id: str | None, name: str, arguments: str) -> bool:
    """Whether a piece with a name, found where `call` is, begins another call."""
    return (
        bool(given_id and call.native and given_id != call.native)
        or name != call.name
        or (bool(arguments.strip()) and call.is_complete())
    )


def _nameless() -> ProviderFault:
    return ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
