"""A handbook: before anyone thinks, the few behaviors that fit the question join the system message.

Metacognitive Reuse (Didolkar et al., arXiv 2509.13237), whose behavior-conditioned inference this is. There 40
behaviors are served, found by embeddings or by a topic, and what they cost as input is not counted. Here up to
`k` = 5 are, found by words and, with an embedder, by meaning, and their input is reported: 40 cost more than they save
on all but the longest thoughts.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from .. import plugins, tokens
from ..errors import ForethoughtError, InvalidPolicy, StoreError
from ..ports import KINDS, Backend, Embedder, Stream
from ..wire import JSON, Delta, Done, Event, Note, Request, is_array
from .behaviors import Behavior, read
from .meaning import PATIENCE_S, meaning_of
from .retrieval import Shelf, ends

HANDBOOKS = "forethought.handbooks"
"""Entry points of packages that bring a handbook: a function without arguments that gives back the path of its file."""

EMBEDDERS = "forethought.embedders"
"""Entry points of the kinds of `embeddings`: dataclasses of their options, each an Embedder."""

CLOSE = 0.3
"""The cosine from which on a behavior counts as close; models differ in how close they put what is unrelated."""

EMBEDDED = 2_000
"""Characters of a question that are embedded, half of them from its end: many embedding models read 512 tokens."""


class Shelves(Protocol):
    """Where the behaviors of a tenant are found; a `Shelf` serves all tenants alike."""

    async def shelf(self, tenant: str, /) -> Shelf:
        """What may be served to `tenant`; raises StoreError where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Advised:
    """Serves up to `k` behaviors out of `shelves`; for a policy file there is `Handbook`.

    They stand at the end of the system message, in the order of topic and name, so that prompts begin alike.
    With `cite` the model is asked to name what it uses; without, the instructions stand alone, one a line, and
    nobody knows which were used. Done reports `handbook`: the names `served` and `cited`, and the
    `input_tokens` that serving them cost (an estimate). Where nothing fits, or the shelf cannot be read, the
    layer is the stream itself.

    With `embeddings` those count too whose cosine with the question is at least `closeness`, and the two rankings are
    fused by their reciprocal ranks. Behaviors are embedded once, questions each time; what that costs is not counted.
    Where the embedder fails or is slow, words alone decide, and the run says so.
    """

    kind: ClassVar[str] = "handbook"

    shelves: Shelves
    k: int = 5
    cite: bool = True
    embeddings: Embedder | None = None
    closeness: float = CLOSE

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 100:
            raise InvalidPolicy("handbook.k", self.k, "1 to 100 behaviors are expected")
        if not -1 <= self.closeness <= 1:
            raise InvalidPolicy("handbook.closeness", self.closeness, "a cosine, -1 to 1, is expected")
        if self.embeddings is not None:
            meaning_of(self.embeddings)  # what it needs should be missed now

    @asynccontextmanager
    async def stream(self, inner: Backend, request: Request, /) -> AsyncIterator[AsyncIterator[Event]]:
        behaviors, notes = await self._fitting(request)
        advice = advised(behaviors, cite=self.cite) if behaviors else ""
        asked = with_system(request, advice) if advice else request
        spent = tokens.estimate(advice, inner.capabilities.chars_per_token)
        if behaviors:
            notes.append(Note("served", ", ".join(each.name for each in behaviors), {"input_tokens": spent}))
        async with inner.stream(asked) as events:
            if not notes:
                yield events
                return
            async with aclosing(_told(events, notes, behaviors, spent)) as told:
                yield told

    async def _fitting(self, request: Request) -> tuple[Sequence[Behavior], list[Note]]:
        try:
            shelf = await self.shelves.shelf(request.context.tenant)
        except StoreError as error:  # advice that cannot be had is no reason not to answer
            return (), [Note("failed", str(error))]
        close, notes = await self._close(shelf, request)
        return shelf.fitting(request.question, self.k, close), notes

    async def _close(self, shelf: Shelf, request: Request) -> tuple[Sequence[int], list[Note]]:
        """The places of the behaviors that are close in meaning; none, and why, where that cannot be found out."""
        question = request.question
        if self.embeddings is None or not shelf.texts or not question.strip():
            return (), []
        try:
            meaning, patience = meaning_of(self.embeddings), _patience(request)
            asked = ends(question, EMBEDDED)
            return await meaning.closest(asked, shelf.texts, self.closeness, patience_s=patience), []
        except ForethoughtError as error:
            return (), [Note("by_words", str(error), {"embeddings": self.embeddings.name})]


class _Opened:
    """Holds what was read; apart from the fields, which alone make up the policy."""

    __slots__ = ("_shelf",)
    _shelf: Shelf


@dataclass(frozen=True, slots=True)
class Handbook(_Opened):
    """Serves up to `k` behaviors of a handbook file that fit the question, in the system message.

    `book` is the name of an installed handbook, or the path of a TOML file below the working directory: a
    request may bring a policy along, and must not reach other files by it. The file is read once, when the
    policy is. With `cite` the model is asked to name what it uses; without, only the instructions are added. They are
    found by words, and with `embeddings`, such as `{kind = "openai", model = "…"}`, also by a cosine of at least
    `closeness`. Raises InvalidPolicy for a file that is not there or wrong.
    """

    kind: ClassVar[str] = "handbook"

    book: str = ""
    k: int = 5
    cite: bool = True
    embeddings: Embedder | None = field(default=None, metadata={KINDS: EMBEDDERS})
    closeness: float = CLOSE

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shelf", Shelf(_opened(self.book) if self.book else ()))
        self._advised()

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        return self._advised().stream(inner, request) if self._shelf.behaviors else inner.stream(request)

    def _advised(self) -> Advised:
        return Advised(self._shelf, self.k, self.cite, self.embeddings, self.closeness)


def installed(name: str) -> Path:
    """The file of an installed handbook; raises InvalidPolicy naming those there are."""
    try:
        path: Path = plugins.load(HANDBOOKS, name)()
    except plugins.UnknownPlugin as unknown:
        hint = f"the handbooks are {', '.join(unknown.known) or 'none'}, or the path of a .toml file"
        raise InvalidPolicy("handbook.book", name, hint) from None
    return path


def _opened(book: str) -> Sequence[Behavior]:
    try:
        return read(_below(book) if book.endswith(".toml") else installed(book))
    except InvalidPolicy as wrong:
        raise wrong if wrong.field == "handbook.book" else InvalidPolicy("handbook.book", book, str(wrong)) from None


def _below(book: str) -> Path:
    try:
        inside = Path(book).resolve().is_relative_to(Path.cwd().resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, or what is no path at all
        inside = False
    if not inside:
        raise InvalidPolicy("handbook.book", book, "a path below the working directory is expected")
    return Path(book)


def _patience(request: Request) -> float:
    """Seconds that the request may wait for vectors: half of what its budget has left for thinking, at most."""
    scope = request.context.scope
    deadline = None if scope is None else scope.deadline(answering=False)
    return PATIENCE_S if deadline is None else min(PATIENCE_S, (deadline - time.monotonic()) / 2)


def advised(behaviors: Sequence[Behavior], *, cite: bool) -> str:
    """What is added to the system message."""
    if not cite:
        return "\n".join(behavior.instruction for behavior in behaviors)
    return "\n".join([HEADING, *(f"- {behavior.name}: {behavior.instruction}" for behavior in behaviors)])


def with_system(request: Request, text: str) -> Request:
    """The request with `text` at the end of its system message, or as one where there is none."""
    none: JSON = {}
    first = request.messages[0] if request.messages else none
    if first.get("role") not in ("system", "developer"):
        return replace(request, messages=({"role": "system", "content": text}, *request.messages))
    content: Any = first.get("content")
    more = [*content, {"type": "text", "text": text}] if is_array(content) else f"{content or ''}\n{text}".lstrip("\n")
    return replace(request, messages=({**first, "content": more}, *request.messages[1:]))


def cited(behaviors: Sequence[Behavior], said: str) -> list[str]:
    """The names of those behaviors that are named in `said`."""
    return [each.name for each in behaviors if re.search(rf"\b{each.name}\b", said)]


async def _told(
    events: AsyncIterator[Event], notes: Sequence[Note], behaviors: Sequence[Behavior], spent: int
) -> AsyncGenerator[Event, None]:
    for note in notes:
        yield note
    said: list[str] = []
    async for event in events:
        if isinstance(event, Delta):
            said += (event.reasoning, event.text)
        if isinstance(event, Done) and behaviors:
            report = _report(behaviors, "".join(said), spent)
            yield Note("cited", ", ".join(report["cited"]))
            yield replace(event, report={**event.report, "handbook": report})
        else:
            yield event


def _report(behaviors: Sequence[Behavior], said: str, spent: int) -> JSON:
    return {
        "served": [behavior.name for behavior in behaviors],
        "cited": cited(behaviors, said),
        "input_tokens": spent,
    }


HEADING = (
    "These behaviors have helped with problems like this one. Where one fits, follow it instead of working it out "
    "anew, and name it in your thinking:"
)
