"""Tools in rollouts: a harmless one may be called to see where that leads, any other ends the rollout uncalled."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from ..context import Usage
from ..errors import UpstreamProtocol
from ..fold import Partial
from ..ports import Backend, Capabilities
from ..wire import JSON, Completion, Delta, Done, Event, Note, Request, is_object


@dataclass(frozen=True, slots=True)
class Tool:
    """What stands behind the name of a tool: `call` is given the arguments and tells the result as text.

    A tool counts as `destructive`, and is never called in a rollout, unless it says that it is not.
    """

    call: Callable[[JSON], Awaitable[str]]
    destructive: bool = True


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A backend whose harmless tool calls are carried out, at most `rounds` times in a stream, and gone on from.

    The first call of a destructive or unknown tool ends the stream as it would without, nothing of that turn being
    executed. What a tool raises is told to the model as its result.
    """

    inner: Backend
    tools: Mapping[str, Tool]
    rounds: int

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @asynccontextmanager
    async def stream(self, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with AsyncExitStack() as opened, aclosing(self._events(request, opened)) as events:
            yield events

    async def _events(self, request: Request, opened: AsyncExitStack) -> AsyncGenerator[Event, None]:
        spent = Usage()
        for left in range(self.rounds, -1, -1):
            partial, done = Partial(), None
            async for event in await opened.enter_async_context(self.inner.stream(request)):
                if isinstance(event, Done):
                    done = event
                    break
                if isinstance(event, Delta):
                    partial.add(event)
                yield event
            if done is None:
                raise UpstreamProtocol("the stream ended without saying why it ended")
            await opened.aclose()
            spent += done.usage
            said = partial.completion(done)
            if not (left and said.tool_calls and all(map(self._is_harmless, said.tool_calls))):
                yield replace(done, usage=spent)
                return
            request = await self._go_on(request, said)
            yield Note(REHEARSED, ", ".join(_name(call) for call in said.tool_calls))

    def _is_harmless(self, call: JSON) -> bool:
        tool = self.tools.get(_name(call))
        return tool is not None and not tool.destructive

    async def _go_on(self, request: Request, said: Completion) -> Request:
        """The next turn: what was thought and called, and what the tools told."""
        begun = request.prefix.reasoning if request.prefix else ""
        turn = {**said.message, **({"reasoning_content": begun + said.reasoning} if begun + said.reasoning else {})}
        results = [
            {"role": "tool", "tool_call_id": call.get("id", ""), "content": await self._result(call)}
            for call in said.tool_calls
        ]
        return replace(request, messages=(*request.messages, turn, *results), prefix=None)

    async def _result(self, call: JSON) -> str:
        try:
            given = json.loads(call["function"].get("arguments") or "{}")
            if not is_object(given):
                return f"error: the arguments are to be an object, got {given!r}"
            return await self.tools[_name(call)].call(given)
        except Exception as error:  # noqa: BLE001  whatever a tool raises is what the model has to reckon with
            return f"error: {error}"


def _name(call: JSON) -> str:
    function = call.get("function")
    return str(function.get("name", "")) if is_object(function) else ""


REHEARSED = "rehearsed"
"""Kind of the note that stands where tools were called and the stream goes on."""
