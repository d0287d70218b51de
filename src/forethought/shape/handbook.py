"""A handbook: before anyone thinks, the few behaviors that fit the question join the system message.

Metacognitive Reuse (Didolkar et al., arXiv 2509.13237), whose behavior-conditioned inference this is. There 40
behaviors are served, found by embeddings or by a topic, and what they cost as input is not counted. Here up to
`k` = 5 are, found by words, and their input is reported: 40 cost more than they save on all but the longest thoughts.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from .. import plugins, tokens
from ..errors import InvalidPolicy, StoreError
from ..ports import Backend, Stream
from ..wire import JSON, Delta, Done, Event, Note, Request, is_array
from .behaviors import Behavior, read
from .retrieval import Shelf

HANDBOOKS = "forethought.handbooks"
"""Entry points of packages that bring a handbook: a function without arguments that gives back the path of its file."""


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
    """

    kind: ClassVar[str] = "handbook"

    shelves: Shelves
    k: int = 5
    cite: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 100:
            raise InvalidPolicy("handbook.k", self.k, "1 to 100 behaviors are expected")

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
        return shelf.fitting(request.question, self.k), []


class _Opened:
    """Holds what was read; apart from the fields, which alone make up the policy."""

    __slots__ = ("_shelf",)
    _shelf: Shelf


@dataclass(frozen=True, slots=True)
class Handbook(_Opened):
    """Serves up to `k` behaviors of a handbook file that fit the question, in the system message.

    `book` is the name of an installed handbook, or the path of a TOML file below the working directory: a
    request may bring a policy along, and must not reach other files by it. The file is read once, when the
    policy is. With `cite` the model is asked to name what it uses; without, only the instructions are added.
    Raises InvalidPolicy for a file that is not there or wrong.
    """

    kind: ClassVar[str] = "handbook"

    book: str = ""
    k: int = 5
    cite: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shelf", Shelf(_opened(self.book) if self.book else ()))
        Advised(self._shelf, self.k)

    def stream(self, inner: Backend, request: Request, /) -> Stream:
        if not self._shelf.behaviors:
            return inner.stream(request)
        return Advised(self._shelf, self.k, self.cite).stream(inner, request)


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
