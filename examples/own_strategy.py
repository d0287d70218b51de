"""A strategy of your own: ask until two answers agree. A strategy over a backend is a backend."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from forethought import Backend, Delta, Engine, Event, Note, Policy, Request, complete, open_backend
from forethought.ports import Bound


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Asks one at a time until two answers agree, at most `opinions` times."""

    kind = "second_opinion"
    opinions: int = 5

    def worst_case(self, inner: Bound, /) -> Bound:
        return inner.times(self.opinions)

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        async with aclosing(self._events(inner, request)) as events:
            yield events

    async def _events(self, inner: Backend, request: Request) -> AsyncGenerator[Event, None]:
        heard: set[str] = set()
        for index in range(self.opinions):
            answer = await complete(inner, request.branch(index))
            yield Note("opinion", answer.text)
            if answer.text in heard:
                break
            heard.add(answer.text)
        yield Delta(answer.text, answer.reasoning)
        yield answer.done


engine = Engine(open_backend("pocket"), Policy("careful", layers=(SecondOpinion(),)))
answer = asyncio.run(engine.ask("a=3 b=a+4 c=b+8 c?"))
print(answer.text, "after", answer.usage.requests, "opinions and", answer.usage.completion_tokens, "tokens")
