"""Asks again when the upstream fails before it has said anything."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from .errors import UpstreamError, UpstreamStatus
from .ports import Backend, Bound
from .wire import Event, Note, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to `attempts` calls until one begins to answer; a transient failure after that is raised as it is.

    Waits as long as the upstream asks (`retry-after`), else a random time within `wait_s` doubling up to
    `longest_wait_s`; where the upstream asks for a longer wait, the failure is raised at once. Each wait is
    told in a Note. Entering the stream waits for its first event.
    """

    kind: ClassVar[str] = "retry"
    attempts: int = 3
    wait_s: float = 0.5
    longest_wait_s: float = 30.0

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncGenerator[AsyncIterator[Event], None]:
        notes: list[Event] = []
        try:
            begun = await _begin(inner, request)
        except UpstreamError as error:  # what succeeds at once must not pay for the machinery of retries
            begun = await self._again(error, inner, request, notes.append)
        async with begun.closing:
            yield _joined(notes, begun)

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` brings back: the same tries for what is no stream, and nobody is told of them."""

        async def attempt() -> T:
            return await ask()

        return await self._retrying(lambda _: None)(attempt)

    def worst_case(self, inner: Bound, /) -> Bound:
        return inner.times(self.attempts)

    async def _again(
        self, failed: UpstreamError, inner: Backend, request: Request, tell: Callable[[Note], None]
    ) -> _Begun:
        failures = [failed]

        async def attempt() -> _Begun:
            if failures:
                raise failures.pop()
            return await _begin(inner, request)

        begun: _Begun = await self._retrying(tell)(attempt)
        return begun

    def _retrying(self, tell: Callable[[Note], None]) -> AsyncRetrying:
        backoff = wait_random_exponential(self.wait_s, self.longest_wait_s)

        def wait(state: RetryCallState) -> float:
            asked = _asked(_error(state))
            return backoff(state) if asked is None else asked

        def announce(state: RetryCallState) -> None:
            delay = state.upcoming_sleep
            tell(Note("retry", f"{_error(state)}; asking again in {delay:.1f} s", {"attempt": state.attempt_number}))

        return AsyncRetrying(
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(self._worth_it),
            wait=wait,
            before_sleep=announce,
            reraise=True,
        )

    def _worth_it(self, error: BaseException) -> bool:
        return isinstance(error, UpstreamError) and error.transient and (_asked(error) or 0.0) <= self.longest_wait_s


def _asked(error: BaseException | None) -> float | None:
    asked = error.retry_after if isinstance(error, UpstreamStatus) else None
    return None if asked is None else max(0.0, asked)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


class _Begun(NamedTuple):
    closing: AsyncExitStack
    first: Event | None
    events: AsyncIterator[Event]


async def _begin(inner: Backend, request: Request) -> _Begun:
    async with AsyncExitStack() as attempt:
        events = await attempt.enter_async_context(inner.stream(request))
        first = await anext(events, None)
        return _Begun(attempt.pop_all(), first, events)


async def _joined(notes: list[Event], begun: _Begun) -> AsyncIterator[Event]:
    for note in notes:
        yield note
    if begun.first is not None:
        yield begun.first
        async for event in begun.events:
            yield event
