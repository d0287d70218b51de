"""The ports: a strategy over a backend is a backend, and everything that takes part has one of these shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from .context import Usage
from .wire import JSON, Completion, Delta, Event, Request, TokenLogprob

Stream: TypeAlias = AbstractAsyncContextManager[AsyncIterator[Event]]


class Continuation(IntEnum):
    """How far a backend lets us speak for the assistant; a higher level includes the lower ones."""

    TURNS = 0
    """Only a new user turn."""
    ANSWER = 1
    """Prefill of the answer."""
    REASONING = 2
    """Continue inside the thinking."""
    RAW = 3
    """Our own template, token by token."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the bottom of a stack can do.

    `local` backends cost no money. `chars_per_token` is the documented estimate for prompts that nobody
    has counted yet. `fork` says that branches of one prompt share its evaluation. What is asked of a `metered`
    backend, such as an engine, is already charged to the budget and the run of the request.
    """

    name: str = "backend"
    continuation: Continuation = Continuation.TURNS
    logprobs: bool = False
    top_logprobs: int = 0
    fork: bool = False
    grammar: bool = False
    local: bool = False
    metered: bool = False
    chars_per_token: float = 4.0


class Backend(Protocol):
    """Anything that can be asked: a server, a local model, a fake, or a strategy over any of these."""

    @property
    def capabilities(self) -> Capabilities: ...

    def stream(self, request: Request, /) -> Stream:
        """Entering starts the work, leaving ends it, whatever the reason.

        The iterator yields any number of Delta and Note and then exactly one Done. Leaving early closes
        every stream below; at the bottom the upstream request is really aborted. Raises UpstreamError
        where the upstream fails, and a stream that ends without Done is such a failure.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """The events of a call that its backend counts as it goes on; may be asked after the stream was left, too."""

    @property
    def usage(self) -> Usage | None:
        """What the call has taken so far, written or not yet read; None before anything is known."""
        ...


class Layer(Protocol):
    """A strategy: answers a request with as many calls of the inner backend as it likes."""

    def stream(self, inner: Backend, request: Request, /) -> Stream: ...


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that answering one request can take: upstream calls, and completion tokens (None: no bound)."""

    requests: int = 1
    output_tokens: int | None = None

    def times(self, factor: int) -> Bound:
        tokens = None if self.output_tokens is None else self.output_tokens * factor
        return Bound(self.requests * factor, tokens)


@runtime_checkable
class Bounded(Protocol):
    """A layer whose worst case can be computed without running it."""

    def worst_case(self, inner: Bound, /) -> Bound: ...


@runtime_checkable
class Demanding(Protocol):
    """A layer that needs something of the backend below; asked once, when the stack is built."""

    def missing(self, capabilities: Capabilities, /) -> str | None:
        """The capability that is missing, in words, or None when the layer or its fallback can run."""
        ...


@runtime_checkable
class Learning(Protocol):
    """A layer, or a backend, that learns from how good its answers turned out to be."""

    async def feedback(self, run_id: str, score: float, *, answer: str | None = None) -> bool:
        """Take the `score`, 0 to 1, of what run `run_id` answered; `answer` says what it should have been.

        True where it knew the run. Whoever knows the id of a run may say how good it was: it is not to be guessed.
        Raises StoreError where what was learned cannot be kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Continue:
    """Let the stream go on.

    With this decision as with Stop and Inject, `facts` are JSON values which the run and the report of the answer
    tell under the layer's kind; of a fact told twice the later value stands.
    """

    facts: JSON | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the thinking here: `say` is added to it, it is closed, and the answer is written."""

    reason: str
    say: str = ""
    facts: JSON | None = None


@dataclass(frozen=True, slots=True)
class Inject:
    """Add `text` to what the model has thought, and let it go on from there.

    `turn` is what a new user turn says where the backend cannot continue inside the thinking; without it nothing is
    injected there.
    """

    text: str
    facts: JSON | None = None
    turn: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask what the model would say after `suffix`, without adding it to the thought.

    `temperature` None keeps that of the request. With `top_logprobs` the answer comes with the logprobs of its
    tokens, each with so many alternatives.
    """

    suffix: str
    max_tokens: int
    temperature: float | None = None
    top_logprobs: int | None = None


Decision: TypeAlias = Continue | Stop | Inject | Probe


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe brought back: the thought it added, then on a line of its own the answer, if it came to one."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream ended by itself; `thinking` says that it did so before an answer was begun."""

    finish_reason: str
    thinking: bool


Observed: TypeAlias = Delta | Probed | Ended
Steering: TypeAlias = Generator[Decision, Observed, None]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a steer is told before the first token: the request, and what may still be spent on thinking.

    `reasoning_tokens` and `output_tokens` are None where nothing limits them; the latter leaves out
    `answer_tokens`, which are held back for the answer.
    """

    request: Request
    capabilities: Capabilities
    reasoning_tokens: int | None = None
    output_tokens: int | None = None
    answer_tokens: int = 0


class Steer(Protocol):
    """Watches one stream while it is written and decides; does no I/O.

    The generator is primed with `next`, and then sent each observation; it answers with a decision. After
    Inject it is sent the next Delta, after Probe a Probed. It may return when it has nothing more to say.
    """

    def steer(self, situation: Situation, /) -> Steering: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """One finished answer of a search: its place in the fan-out, what it says and what it cost."""

    index: int
    answer: str
    completion: Completion
    usage: Usage = field(default_factory=Usage)


class Judge(Protocol):
    """Is told of each candidate as it lands; the search asks after every one whether it is decided."""

    def add(self, candidate: Candidate, /) -> None: ...

    @property
    def leader(self) -> Candidate | None: ...

    @property
    def decided(self) -> bool: ...

    @property
    def needed(self) -> int:
        """The fewest further candidates that could decide it; 0 once it is decided."""
        ...

    @property
    def report(self) -> Mapping[str, Any]:
        """What the caller should know of the choice, as JSON values."""
        ...


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a judge wants asked: of `backend`, or of the one that is judged where that is None.

    `key` counts from 0, is unique within the judge and the same in a repeated run, as is its seed then.
    """

    key: int
    request: Request
    backend: Backend | None = None


@runtime_checkable
class Inquiring(Protocol):
    """A judge that asks about its candidates; it does no I/O itself, the search asks for it.

    `inquiries` are the questions it wants answered now. The search reads them after everything that happens,
    asks those that are new and calls off those that are no longer among them; none is asked a second time.
    """

    def inquiries(self) -> Sequence[Inquiry]: ...

    def answered(self, inquiry: Inquiry, completion: Completion | None, /) -> str:
        """Take what came back, None where the call failed; returns in a few words what was made of it."""
        ...

    def missed(self) -> None:
        """One of the samples has failed and will never land."""
        ...


class Rule(Protocol):
    """How a search chooses: opens a judge for each request that it answers with up to `samples` candidates."""

    def open(self, samples: int, request: Request, /) -> Judge: ...

    def asks(self, samples: int, /) -> int:
        """The most calls of a model that its judge takes for `samples` candidates."""
        ...


class Embedder(Hashable, Protocol):
    """Turns texts into vectors whose cosine says how close they are in meaning; safe to share.

    Equal embedders give equal vectors, so that what one has embedded serves for the other.
    """

    @property
    def name(self) -> str: ...

    async def embed(self, texts: Sequence[str], /) -> Sequence[Sequence[float]]:
        """A vector for each text, in their order, all of one length; raises a ForethoughtError where it cannot."""
        ...


IN_CODE: Mapping[str, Any] = {"in_code": True}
"""Marks, as `metadata` of a dataclass field, an option such as a backend that no policy file can hold."""

KINDS = "kinds"
"""Names, in the `metadata` of a field, the entry points of the kinds that its table may have; else they are judges."""


class Store(Protocol):
    """What outlives a request: JSON values under string keys, each with a version that counts up."""

    async def get(self, key: str, /) -> tuple[Any, int] | None: ...

    async def put(self, key: str, value: Any, /, *, version: int | None = None) -> int:
        """Store and return the new version; with `version`, only where that is still the current one."""
        ...

    async def add(self, key: str, amount: int, /) -> int:
        """Add to an integer atomically, across processes, and return the sum."""
        ...

    def scan(self, prefix: str, /) -> AsyncIterator[tuple[str, Any, int]]: ...


class Moment(Protocol):
    """Something that happened in a run; `forethought.trace` has the kinds."""


class Sink(Protocol):
    """A callable that is told what happens in a run, as it happens."""

    def __call__(self, moment: Moment, /) -> None: ...
