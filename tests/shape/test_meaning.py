"""How close texts are in meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamTimeout
from forethought.shape.meaning import AT_ONCE, KEPT, REST_S, Meaning, meaning_of
from forethought.testing import FakeClock
from forethought_adapters.openai_embeddings import OpenAIEmbeddings
from support.embedding import Embedding

BOOK = ("Read the roots off.", "Multiply the parts of a chord.", "Count the arrangements.")


async def test_the_closest_first() -> None:
    """What means the same in other words comes first, and what means something else is left out."""
    assert await Meaning(Embedding()).closest("Where are the zeros of the polynomial in a circle?", BOOK, 0.3) == [0, 1]


async def test_a_text_is_embedded_once() -> None:
    """Questions come and go; what they are compared with is embedded only once."""
    embedder = Embedding()
    meaning = Meaning(embedder)
    for question in ("A circle?", "A root?"):
        await meaning.closest(question, BOOK, 0.3)
    assert embedder.asked == [list(BOOK), ["A circle?"], ["A root?"]]


async def test_only_what_is_new() -> None:
    """Of a new edition only what is new in it is embedded."""
    embedder = Embedding()
    meaning = Meaning(embedder)
    await meaning.vectors(BOOK)
    await meaning.vectors([*BOOK, "Draw a circle."])
    assert embedder.asked == [list(BOOK), ["Draw a circle."]]


async def test_goes_on_after_a_failure() -> None:
    """What was embedded before a failure is not asked for again."""

    class Breaking(Embedding):
        async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
            self.failure = UpstreamTimeout("slow") if len(self.asked) == 1 else None
            return await super().embed(texts)

    embedder = Breaking()
    meaning = Meaning(embedder)
    texts = [f"text {number}" for number in range(AT_ONCE + 1)]
    with pytest.raises(UpstreamTimeout):
        await meaning.vectors(texts)
    assert (await meaning.vectors(texts)).shape == (AT_ONCE + 1, 4)
    assert [len(asked) for asked in embedder.asked] == [AT_ONCE, 1, 1]


async def test_bounded() -> None:
    """What was needed longest ago is forgotten."""
    embedder = Embedding()
    meaning = Meaning(embedder)
    await meaning.vectors(["first"])
    await meaning.vectors([f"text {number}" for number in range(KEPT)])
    before = len(embedder.asked)
    await meaning.vectors([f"text {KEPT - 1}"])
    await meaning.vectors(["first"])
    assert embedder.asked[before:] == [["first"]]


@pytest.mark.parametrize("given", [[], [[1.0]], [[1.0], [1.0, 2.0], [1.0]], [1.0, 2.0, 3.0], [[float("nan")]] * 3])
async def test_what_is_no_vectors(given: list[list[float]]) -> None:
    """Too few, of different lengths, no rows or no numbers: a failure of the embedder, not a crash."""

    class Odd(Embedding):
        async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
            return given

    with pytest.raises(UpstreamProtocol, match="topics"):
        await Meaning(Odd()).vectors(BOOK)


async def test_another_length() -> None:
    """A model that was changed on its server is noticed, and everything asked for anew."""

    class Changing(Embedding):
        async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
            rows = await super().embed(texts)
            return rows if len(self.asked) == 1 else [[*row, 0.0] for row in rows]

    clock = FakeClock()
    meaning = Meaning(Changing(), clock)
    await meaning.vectors(BOOK)
    with pytest.raises(UpstreamProtocol, match="length"):
        await meaning.closest("A circle?", BOOK, 0.3)
    clock.advance(REST_S)
    assert await meaning.closest("A circle?", BOOK, 0.3) == [1]


async def test_left_alone() -> None:
    """After a failure an embedder is not asked for a while, so that not every question waits for it."""
    clock, embedder = FakeClock(), Embedding(UpstreamTimeout("slow"))
    meaning = Meaning(embedder, clock)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await meaning.closest("A circle?", BOOK, 0.3)
    assert len(embedder.asked) == 1
    embedder.failure = None
    clock.advance(REST_S)
    assert await meaning.closest("A circle?", BOOK, 0.3) == [1]


async def test_whoever_leaves_says_nothing_of_the_embedder() -> None:
    """A question that is cancelled is no failure."""

    class Slow(Embedding):
        async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
            rows = await super().embed(texts)
            await asyncio.sleep(60 if len(self.asked) == 1 else 0)
            return rows

    embedder = Slow()
    meaning = Meaning(embedder)
    task = asyncio.ensure_future(meaning.closest("A circle?", BOOK, 0.3))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await meaning.closest("A circle?", BOOK, 0.3) == [1]


def test_one_memory() -> None:
    """Equal embedders share one memory, so that a policy read twice embeds its handbook once."""
    url = "http://127.0.0.1:9/v1"
    assert meaning_of(OpenAIEmbeddings("m", url=url)) is meaning_of(OpenAIEmbeddings("m", url=url))
    assert meaning_of(OpenAIEmbeddings("m", url=url)) is not meaning_of(OpenAIEmbeddings("n", url=url))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8, unique=True), st.text(max_size=40), st.floats(-1, 1))
async def test_places(texts: list[str], question: str, least: float) -> None:
    """Whatever is asked, what comes back are places, none twice, and a lower bar lets no place be lost."""
    meaning = Meaning(Embedding())
    close = await meaning.closest(question, texts, least)
    assert len(set(close)) == len(close) <= len(texts)
    assert set(close) <= set(await meaning.closest(question, texts, -1.1))
