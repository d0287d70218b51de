"""A handbook, served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forethought import Engine, Policy
from forethought.context import Context
from forethought.errors import InvalidPolicy, StoreError
from forethought.fold import complete
from forethought.policy import load
from forethought.search.vote import Vote
from forethought.shape.behaviors import Behavior, to_toml
from forethought.shape.handbook import Advised, Handbook
from forethought.shape.retrieval import Shelf
from forethought.stack import stack
from forethought.testing import CapturingSink, Script, Scripted
from forethought.wire import Note, Request, text_of

VIETA = Behavior(name="vieta", instruction="Read the sum of roots off the coefficients.", topic="roots", state="active")
SQUARE = Behavior(
    name="square_it", instruction="Isolate roots on one side, then square.", topic="roots", state="active"
)
SHELF = Shelf([VIETA, SQUARE])
QUESTION = "What is the sum of the roots, with both on one side?"


def system_of(request: Request) -> str:
    assert request.messages[0]["role"] in ("system", "developer")
    return text_of(request.messages[0])


async def asked(request: Request, layer: Advised | Handbook) -> Request:
    backend = Scripted("6")
    await complete(stack(backend, [layer]), request)
    return backend.requests[0]


async def test_joins_the_system_message() -> None:
    """What fits is added as a system message, name and instruction, before the question."""
    system = system_of(await asked(Request.of(QUESTION), Advised(SHELF, 1)))
    assert system.endswith("\n- vieta: Read the sum of roots off the coefficients.")


async def test_keeps_the_callers_system_message() -> None:
    """The caller's system message stays, and stays first, so that a cache of it holds."""
    system = system_of(await asked(Request.of(QUESTION, system="Be brief."), Advised(SHELF, 1)))
    assert system.startswith("Be brief.\n")
    assert "vieta" in system


async def test_keeps_parts() -> None:
    """A system message of parts gets one more."""
    message = {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}
    request = Request((message, {"role": "user", "content": QUESTION}))
    assert (await asked(request, Advised(SHELF, 1))).messages[0]["content"][0] == message["content"][0]
    assert "vieta" in system_of(await asked(request, Advised(SHELF, 1)))


async def test_instructions_alone() -> None:
    """Without citing only the instructions are added, one a line, since every token is paid for."""
    system = system_of(await asked(Request.of(QUESTION), Advised(SHELF, cite=False)))
    assert system == f"{SQUARE.instruction}\n{VIETA.instruction}"


async def test_same_words_for_other_questions() -> None:
    """Two questions that the same behaviors fit get the same system message, so that prompts begin alike."""
    layer = Advised(SHELF)
    questions = [Request.of(QUESTION), Request.of("Is there a sum of roots on either side?")]
    assert len({system_of(await asked(question, layer)) for question in questions}) == 1


@pytest.mark.parametrize("shelf", [Shelf(), Shelf([replace(VIETA, state="quarantined")]), SHELF])
async def test_nothing_fits(shelf: Shelf) -> None:
    """Where nothing fits the layer is the stream itself."""
    request = Request.of("Who wrote this?")
    assert await asked(request, Advised(shelf)) == request


async def test_reports_what_was_used() -> None:
    """Done tells what was served, what the model named, and the tokens that serving cost."""
    backend = Scripted(Script("6", reasoning="By vieta, 6."))
    answer = await complete(stack(backend, [Advised(SHELF)]), Request.of(QUESTION))
    report = answer.done.report["handbook"]
    assert (report["served"], report["cited"]) == (["square_it", "vieta"], ["vieta"])
    assert 0 < report["input_tokens"] <= answer.usage.prompt_tokens


async def test_a_part_of_a_word_is_no_name() -> None:
    """A name within another word does not count as cited."""
    answer = await complete(stack(Scripted("vietas square_its"), [Advised(SHELF)]), Request.of(QUESTION))
    assert answer.done.report["handbook"]["cited"] == []


async def test_in_the_run() -> None:
    """The run tells what was served and what was cited."""
    sink = CapturingSink()
    engine = Engine(Scripted("By vieta: 6"), Policy("p", layers=(Advised(SHELF, 1),)), sinks=[sink])
    async with engine.stream(Request.of(QUESTION)) as events:
        notes = {event.kind: event.text async for event in events if isinstance(event, Note)}
    assert notes == {"served": "vieta", "cited": "vieta"}


async def test_every_sample_is_advised() -> None:
    """Over a vote, every sample gets the same advice."""
    backend = Scripted("6")
    await complete(stack(backend, [Advised(SHELF), Vote(3)]), Request.of(QUESTION))
    assert len({system_of(request) for request in backend.requests}) == 1


class Broken:
    async def shelf(self, tenant: str, /) -> Shelf:
        raise StoreError("the disk is full")


class Tenants:
    async def shelf(self, tenant: str, /) -> Shelf:
        return Shelf([VIETA] if tenant == "a" else [SQUARE])


async def test_no_shelf_is_no_reason_not_to_answer() -> None:
    """A shelf that cannot be read leaves the question as it is, and the run says so."""
    backend = Scripted("6")
    async with stack(backend, [Advised(Broken())]).stream(Request.of(QUESTION)) as events:
        notes = [event.kind async for event in events if isinstance(event, Note)]
    assert (notes, backend.requests[0]) == (["failed"], Request.of(QUESTION))


async def test_shelf_of_the_tenant() -> None:
    """Each request is advised from the shelf of its own tenant."""
    for tenant, name in (("a", "vieta"), ("b", "square_it")):
        request = replace(Request.of(QUESTION), context=Context(tenant=tenant))
        assert name in system_of(await asked(request, Advised(Tenants())))


async def test_leaving_early_closes_the_stream() -> None:
    """After the caller leaves, no call goes on."""
    backend = Scripted(Script("6", reasoning="very long thought"))
    async with stack(backend, [Advised(SHELF)]).stream(Request.of(QUESTION)) as events:
        await anext(events)
        await anext(events)
    assert backend.live == 0


def test_installed_policy_round_trip() -> None:
    """A policy with an installed handbook equals itself through TOML."""
    policy = Policy("p", layers=(Handbook("pocket", cite=False),))
    assert Policy.from_toml(policy.to_toml()) == policy


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a handbook and a policy that names it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('name = "mine"\n[[layers]]\nkind = "handbook"\nbook = "book.toml"\nk = 1\n')
    Path("book.toml").write_text(to_toml([VIETA, SQUARE]))


@pytest.mark.usefixtures("files")
async def test_from_a_policy_file() -> None:
    """A policy file names a handbook file, and what fits is served."""
    backend = Scripted("6")
    await Engine(backend, load("mine.toml")).ask(QUESTION)
    assert "vieta" in system_of(backend.requests[0])


def test_wrong_handbook_in_a_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handbook that is wrong is told of when the policy is loaded."""
    monkeypatch.chdir(tmp_path)
    Path("book.toml").write_text('[[behaviors]]\nname = "No Name"\ninstruction = "x"\n')
    with pytest.raises(InvalidPolicy, match=r"layers\[0\]\.book.*book\.toml:2: behaviors\[0\]\.name"):
        Policy.from_json({"name": "p", "layers": [{"kind": "handbook", "book": "book.toml"}]})


@pytest.mark.parametrize("book", ["../book.toml", "/etc/book.toml", "a/../../book.toml", "link/book.toml", "a\0.toml"])
def test_no_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, book: str) -> None:
    """A policy, which a request may bring along, reaches no file outside the working directory."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "book.toml").write_text(to_toml([VIETA]))
    (inside / "link").symlink_to(tmp_path)
    monkeypatch.chdir(inside)
    with pytest.raises(InvalidPolicy, match="below the working directory"):
        Handbook(book)


def test_unknown_handbook() -> None:
    """An unknown name is refused with the names there are."""
    with pytest.raises(InvalidPolicy, match=r"'nope'.*pocket"):
        Handbook("nope")


@pytest.mark.parametrize("k", [0, 101])
def test_wrong_k(k: int) -> None:
    """A number of behaviors that makes no sense is refused."""
    with pytest.raises(InvalidPolicy, match=r"handbook\.k"):
        Handbook("pocket", k=k)
