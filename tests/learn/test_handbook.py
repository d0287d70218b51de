"""The book of a tenant's behaviors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidRequest, StoreError, UpstreamTimeout
from forethought.learn.handbook import Book, Edition, Library
from forethought.learn.trial import Outcome, Trial
from forethought.shape.behaviors import Behavior
from forethought.store.disk import DiskStore
from forethought.store.memory import MemoryStore
from support.embedding import Embedding

WORDS = ["Read the sum off the coefficients.", "Square both sides.", "Count the complement.", "Draw the circle first."]
NAMES = st.sampled_from(["vieta", "square", "count", "draw"])
candidates = st.builds(
    Behavior,
    name=NAMES,
    instruction=st.sampled_from(WORDS),
    state=st.sampled_from(["quarantined", "active", "retired"]),
    sources=st.lists(st.sampled_from("pqr"), max_size=2).map(tuple),
)


def candidate(name: str = "vieta", instruction: str = WORDS[0], *sources: str) -> Behavior:
    return Behavior(name=name, instruction=instruction, sources=sources)


def won(behavior: Behavior, *, problems: int = 20, first: int = 0) -> Trial:
    """A trial in which the behavior halves the tokens of every problem."""
    return Trial(behavior, tuple(Outcome(f"t{n}", True, True, 50, 100) for n in range(first, first + problems)))


def lost(behavior: Behavior) -> Trial:
    """A trial in which the behavior doubles the tokens of every problem."""
    return Trial(behavior, tuple(Outcome(f"t{n}", True, True, 200, 100) for n in range(20)))


Act = Callable[[Book], Awaitable[object]]


async def _settle(book: Book, name: str, *, good: bool) -> None:
    for behavior in (await book.latest()).behaviors:
        if behavior.name == name:
            await book.settle([won(behavior) if good else lost(behavior)])


async def _rollback(book: Book, back: int) -> None:
    await book.rollback(max(0, await book.version() - back))


acts: st.SearchStrategy[Act] = st.one_of(
    st.lists(candidates, max_size=3).map(lambda some: lambda book: book.propose(some)),
    st.tuples(NAMES, st.booleans()).map(lambda told: lambda book: _settle(book, told[0], good=told[1])),
    st.integers(0, 3).map(lambda back: lambda book: _rollback(book, back)),
)


async def test_empty() -> None:
    """A book that nobody wrote in is edition 0, without behaviors."""
    assert await Book(MemoryStore()).latest() == Edition()


async def test_candidates_are_held_in_quarantine() -> None:
    """Whatever state and merits a candidate says it has, it begins in quarantine with none."""
    boasting = replace(candidate(), state="active", uses=99, wins=99, tokens_saved=999)
    edition = await Book(MemoryStore()).propose([boasting])
    assert edition.behaviors == (candidate(),)


async def test_a_winner_is_promoted() -> None:
    """A behavior that won its trial is active, with what it has earned."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    promoted = (await book.settle([won(candidate())]))["vieta"]
    assert (promoted.state, promoted.uses, promoted.wins, promoted.tokens_saved) == ("active", 20, 20, 1000)


async def test_a_loser_is_retired() -> None:
    """A behavior that lost its trial is retired, an active one too."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    await book.settle([won(candidate())])
    assert (await book.settle([lost(candidate())]))["vieta"].state == "retired"


async def test_too_few_problems() -> None:
    """A trial on too few problems changes no state."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    assert (await book.settle([won(candidate(), problems=19)]))["vieta"].state == "quarantined"


async def test_its_own_problems_prove_nothing() -> None:
    """Problems that a behavior was drawn from do not count in its trial."""
    book = Book(MemoryStore())
    drawn = candidate("vieta", WORDS[0], "t3")
    await book.propose([drawn])
    assert (await book.settle([won(drawn)]))["vieta"].state == "quarantined"


async def test_a_trial_of_other_words() -> None:
    """A trial of another instruction under the same name promotes nothing."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    assert (await book.settle([won(candidate("vieta", WORDS[1]))]))["vieta"].state == "quarantined"


async def test_retired_stays_known() -> None:
    """A retired behavior that is proposed anew stays retired."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    await book.retire("vieta")
    assert [each.state for each in (await book.propose([candidate("anew")])).behaviors] == ["retired"]


async def test_nothing_changed() -> None:
    """A change that changes nothing writes no edition."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    assert (await book.propose([candidate()])).version == 1


async def test_rollback_is_an_edition() -> None:
    """Going back writes a new edition and keeps those between."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    await book.retire("vieta")
    await book.rollback(1)
    assert [(each.version, each.why) for each in await book.history()] == [
        (1, "proposed vieta"),
        (2, "retired vieta"),
        (3, "rolled back to 1"),
    ]


@pytest.mark.parametrize("version", [-1, 2, 99])
async def test_no_such_edition(version: int) -> None:
    """Going back to an edition that is not there is refused, with those that are."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    with pytest.raises(InvalidRequest, match="1 to 1 are there"):
        await book.rollback(version)


async def test_no_such_behavior() -> None:
    """A name that is not in the book is refused, with those that are."""
    book = Book(MemoryStore())
    await book.propose([candidate()])
    with pytest.raises(InvalidRequest, match=r"'nope'.*vieta"):
        await book.retire("nope")


async def test_foreign_value() -> None:
    """What is no edition is refused, and not taken for an empty book."""
    store = MemoryStore()
    await store.put("handbook//1", {"behaviors": "gone"})
    with pytest.raises(StoreError, match="no edition"):
        await Book(store).latest()


@given(st.lists(acts, max_size=8))
async def test_rollback_restores_exactly(some: list[Act]) -> None:
    """After any acts, going back to any edition gives exactly the behaviors it held."""
    book = Book(MemoryStore())
    for act in some:
        await act(book)
    for edition in await book.history():
        assert (await book.rollback(edition.version)).behaviors == edition.behaviors


@given(st.lists(acts, max_size=6))
async def test_editions_do_not_change(some: list[Act]) -> None:
    """Whatever happens later, an edition stays as it was written."""
    book = Book(MemoryStore())
    seen: list[Edition] = []
    for act in some:
        await act(book)
        history = await book.history()
        assert history[: len(seen)] == seen
        seen = history


class Slow(MemoryStore):
    """A store whose every call lets others come in between."""

    async def get(self, key: str, /) -> tuple[object, int] | None:
        await asyncio.sleep(0)
        return await super().get(key)

    async def put(self, key: str, value: object, /, *, version: int | None = None) -> int:
        await asyncio.sleep(0)
        done = await super().put(key, value, version=version)
        await asyncio.sleep(0)
        return done


@given(st.lists(st.lists(acts, max_size=3), min_size=2, max_size=4))
async def test_versions_count_up(writers: list[list[Act]]) -> None:
    """Whatever several writers do at once, versions only count up, without a gap."""
    store = Slow()
    seen: list[int] = []

    async def write(some: list[Act]) -> None:
        book = Book(store)
        for act in some:
            await act(book)
            seen.append(await book.version())

    await asyncio.gather(*map(write, writers))
    history = await Book(store).history()
    assert seen == sorted(seen)
    assert [each.version for each in history] == list(range(1, len(history) + 1))


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4, unique=True))
async def test_no_change_is_lost(instructions: list[str]) -> None:
    """What several writers propose at once is all in the book afterwards."""
    store = Slow()
    await asyncio.gather(*(Book(store).propose([candidate("one", each)]) for each in instructions))
    latest = await Book(store).latest()
    assert {each.instruction for each in latest.behaviors} == set(instructions)
    assert len({each.name for each in latest.behaviors}) == len(instructions)


@given(st.lists(acts, max_size=8))
async def test_only_winners_are_served(some: list[Act]) -> None:
    """Whatever happens, nothing is served that has not won a trial."""
    library = Library(MemoryStore())
    for act in some:
        await act(library.book("a"))
        assert all(each.active and each.wins >= 20 for each in (await library.shelf("a")).behaviors)


@given(st.dictionaries(st.text(max_size=6), st.lists(candidates, min_size=1, max_size=3), min_size=2, max_size=4))
async def test_tenants_do_not_see_each_other(proposed: dict[str, list[Behavior]]) -> None:
    """What is proposed for one tenant, whatever the names, is in no other's book."""
    store = MemoryStore()
    alone = {tenant: (await Book(MemoryStore(), tenant).propose(some)).behaviors for tenant, some in proposed.items()}
    for tenant, some in proposed.items():
        await Book(store, tenant).propose(some)
    assert {tenant: (await Book(store, tenant).latest()).behaviors for tenant in proposed} == alone


async def test_shelf_follows_the_book() -> None:
    """A shelf is that of the latest edition, also after going back."""
    library = Library(MemoryStore())
    book = library.book()
    await book.propose([candidate()])
    await book.settle([won(candidate())])
    served = [len((await library.shelf("")).behaviors)]
    await book.rollback(1)
    assert [*served, len((await library.shelf("")).behaviors)] == [1, 0]


async def test_writer_that_died() -> None:
    """An edition whose writer died before it said so is found, and the next one comes after it."""
    store = MemoryStore()
    await Book(store).propose([candidate()])
    await store.put("handbook//latest", 0)
    assert (await Book(store).propose([candidate("square", WORDS[1])])).version == 2


async def test_between_runs(tmp_path: Path) -> None:
    """A book on disk is there again in the next run."""
    async with DiskStore(tmp_path) as store:
        await Book(store, "a").propose([candidate()])
    async with DiskStore(tmp_path) as store:
        assert (await Book(store, "a").latest())["vieta"] == candidate()


async def test_merged_by_meaning() -> None:
    """With an embedder, a candidate in other words is merged with what means the same."""
    book = Book(MemoryStore(), embeddings=Embedding())
    await book.propose([candidate("round", "Draw the circle first."), candidate("chord", "Cut it by a chord.", "p")])
    assert [each.name for each in (await book.latest()).behaviors] == ["round"]


async def test_merged_by_words_alone() -> None:
    """Where the embedder fails, words alone are compared, and the edition says so."""
    edition = await Book(MemoryStore(), embeddings=Embedding(UpstreamTimeout("silent"))).propose([candidate()])
    assert edition.why == "proposed vieta; compared by words alone, since silent"
