"""A handbook whose behaviors are found by meaning too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from forethought import Budget, Engine, Policy
from forethought.errors import ForethoughtError, InvalidPolicy, UpstreamTimeout
from forethought.fold import complete
from forethought.policy import load
from forethought.shape.behaviors import Behavior, to_toml
from forethought.shape.handbook import Advised, Handbook
from forethought.shape.retrieval import Shelf
from forethought.stack import stack
from forethought.testing import Scripted
from forethought.wire import Note, Request, text_of
from forethought_adapters.openai_embeddings import OpenAIEmbeddings
from support.embedding import Embedding, embeds
from support.upstream import Upstream, fails


class Hanging(Embedding):
    async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
        await super().embed(texts)
        await asyncio.sleep(60)
        raise AssertionError


VIETA = Behavior(name="vieta", instruction="Read the sum of the roots off the coefficients.", state="active")
CHORDS = Behavior(name="chords", instruction="Multiply both parts of each chord.", state="active")
SHELF = Shelf([VIETA, CHORDS])
OTHER_WORDS = "Where are the zeros of this polynomial?"


async def served(layer: Advised | Handbook, question: str) -> list[str]:
    answer = await complete(stack(Scripted("6"), [layer]), Request.of(question))
    return list(answer.done.report.get("handbook", {}).get("served", []))


async def test_in_other_words() -> None:
    """A behavior that shares no word with the question is found by what it means."""
    assert await served(Advised(SHELF), OTHER_WORDS) == []
    assert await served(Advised(SHELF, embeddings=Embedding()), OTHER_WORDS) == ["vieta"]


async def test_what_both_rankings_find_stands_first() -> None:
    """Of two behaviors, the one that fits by words and by meaning is served before one that only shares words."""
    layer = Advised(SHELF, 1, embeddings=Embedding())
    assert await served(layer, "Which sum of both parts have the zeros of a polynomial?") == ["vieta"]


@pytest.mark.parametrize(("closeness", "names"), [(0.3, ["vieta"]), (1.0, [])])
async def test_closeness(closeness: float, names: list[str]) -> None:
    """Only what is as close as was asked for counts as close."""
    assert await served(Advised(SHELF, embeddings=Embedding(), closeness=closeness), OTHER_WORDS) == names


@pytest.mark.parametrize("question", ["", " \n"])
async def test_nothing_is_asked(question: str) -> None:
    """Where there is no question, or nothing to serve, nothing is embedded."""
    embedder = Embedding()
    await served(Advised(SHELF, embeddings=embedder), question)
    await served(Advised(Shelf(), embeddings=embedder), OTHER_WORDS)
    assert embedder.asked == []


async def test_a_failure_leaves_the_words() -> None:
    """An embedder that fails leaves what words find, and the run says so."""
    embedder = Embedding(UpstreamTimeout("silent"))
    notes: list[Note] = []
    async with stack(Scripted("6"), [Advised(SHELF, embeddings=embedder)]).stream(
        Request.of("What is the sum of the roots?")
    ) as events:
        notes += [event async for event in events if isinstance(event, Note)]
    assert [(note.kind, note.text) for note in notes][:2] == [("by_words", "silent"), ("served", "vieta")]


@pytest.mark.parametrize("closeness", [-1.1, 1.1])
def test_no_cosine(closeness: float) -> None:
    """What is no cosine is refused."""
    with pytest.raises(InvalidPolicy, match=r"handbook\.closeness"):
        Handbook("pocket", closeness=closeness)


POLICY = """
name = "mine"
[[layers]]
kind = "handbook"
book = "book.toml"
closeness = 0.5
[layers.embeddings]
kind = "openai"
model = "MODEL"
"""


@pytest.fixture
def policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream, request: pytest.FixtureRequest
) -> Policy:
    """A policy file with embeddings, in a working directory with its handbook; each test has a model of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETHOUGHT_EMBEDDINGS_URL", upstream.base_url)
    Path("book.toml").write_text(to_toml([VIETA, CHORDS]))
    Path("mine.toml").write_text(POLICY.replace("MODEL", request.node.name))
    return load("mine.toml")


async def test_from_a_policy_file(policy: Policy, upstream: Upstream) -> None:
    """A policy file names an embedding model, and a real server embeds the handbook and the question."""
    upstream.script(embeds())
    backend = Scripted("6")
    await Engine(backend, policy).ask(OTHER_WORDS)
    assert "vieta" in text_of(backend.requests[0].messages[0])
    assert [len(request.json["input"]) for request in upstream.requests] == [2, 1]


async def test_no_server(policy: Policy, upstream: Upstream) -> None:
    """Where the server refuses, the question is answered all the same."""
    upstream.script(fails(401, "no key"))
    assert (await Engine(Scripted("6"), policy).ask(OTHER_WORDS)).text == "6"


def test_round_trip(policy: Policy) -> None:
    """The policy equals itself through TOML."""
    assert Policy.from_toml(policy.to_toml()) == policy
    assert policy.layers == (Handbook("book.toml", embeddings=OpenAIEmbeddings("test_round_trip"), closeness=0.5),)


@pytest.mark.parametrize("field", ["url", "api_key"])
def test_no_server_and_no_key_in_a_policy(field: str) -> None:
    """A policy, which a request may bring along, does not choose where questions and keys are sent."""
    layer = {"kind": "handbook", "embeddings": {"kind": "openai", field: "http://127.0.0.1:9"}}
    with pytest.raises(InvalidPolicy, match=rf"layers\[0\]\.embeddings\.{field}.*the fields are"):
        Policy.from_json({"name": "p", "layers": [layer]})


def test_unknown_kind() -> None:
    """An unknown kind is refused with the kinds that there are."""
    layer = {"kind": "handbook", "embeddings": {"kind": "majority"}}
    with pytest.raises(InvalidPolicy, match=r"embeddings\.kind.*the kinds are .*openai"):
        Policy.from_json({"name": "p", "layers": [layer]})


async def test_a_budget_of_time() -> None:
    """An embedder that hangs takes no more than a part of the time that a budget leaves, and is not blamed for it."""
    embedder = Hanging()
    engine = Engine(
        Scripted("6"), Policy("p", budget=Budget(time_limit_s=1.0), layers=(Advised(SHELF, embeddings=embedder),))
    )
    assert (await engine.ask("What is the sum of the roots?")).done.report["handbook"]["served"] == ["vieta"]
    await engine.ask("What is the sum of the roots?")
    assert len(embedder.asked) == 2


async def test_any_failure_of_ours() -> None:
    """Whatever error of ours an embedder raises, the question is answered."""
    assert await served(Advised(SHELF, embeddings=Embedding(ForethoughtError("odd"))), "The roots?") == ["vieta"]
