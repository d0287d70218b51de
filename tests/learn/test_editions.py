"""A row of editions: nothing is lost, anything can be gone back to, and old ones go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidRequest, StoreError
from forethought.learn.editions import Edition, Editions, Form
from forethought.ports import Store
from forethought.store.disk import DiskStore
from forethought.store.memory import MemoryStore

Content = tuple[str, ...]
Row = Editions[Content]
LIST: Form[Content] = Form((), lambda content: {"items": list(content)}, lambda value: tuple(value["items"]))


def row(store: Store, keep: int = 100, prefix: str = "row/") -> Row:
    return Editions(store, prefix, LIST, keep=keep)


async def add(editions: Row, *items: str) -> None:
    for item in items:
        await editions.change(lambda known, item=item: (*known, item), f"added {item}")  # type: ignore[misc]


async def versions(editions: Row) -> list[int]:
    return [each.version for each in await editions.history()]


Act = Callable[[Row], Awaitable[object]]


async def _back(editions: Row, by: int) -> None:
    there = [0, *await versions(editions)]
    await editions.rollback(there[max(0, len(there) - 1 - by)])


acts: st.SearchStrategy[Act] = st.one_of(
    st.sampled_from("abc").map(lambda item: lambda editions: add(editions, item)),
    st.integers(0, 9).map(lambda by: lambda editions: _back(editions, by)),
    st.just(lambda editions: editions.forget()),
)


async def test_empty() -> None:
    """Before anything is written there is edition 0 with the empty content, and no history."""
    editions = row(MemoryStore())
    assert (await editions.latest(), await editions.history()) == (Edition(0, "", ()), [])


async def test_a_change_is_an_edition() -> None:
    """Each change is written with what it was."""
    editions = row(MemoryStore())
    await add(editions, "a", "b")
    assert await editions.history() == [Edition(1, "added a", ("a",)), Edition(2, "added b", ("a", "b"))]


async def test_no_change_is_no_edition() -> None:
    """A change that changes nothing writes nothing."""
    editions = row(MemoryStore())
    await add(editions, "a")
    assert (await editions.change(lambda known: known, "nothing")).version == 1


async def test_old_editions_go() -> None:
    """Only so many editions stay, the latest among them, and numbers go on."""
    editions = row(MemoryStore(), keep=3)
    await add(editions, *"abcde")
    assert await versions(editions) == [3, 4, 5]
    assert (await editions.latest()).content == tuple("abcde")


async def test_what_has_gone_is_refused() -> None:
    """An edition that has gone is named with those that are there."""
    editions = row(MemoryStore(), keep=2)
    await add(editions, *"abc")
    with pytest.raises(InvalidRequest, match="version: got 1; 2 to 3 are there"):
        await editions.edition(1)


async def test_what_was_gone_back_to_stays() -> None:
    """An edition that was gone back to stays, however many come after it."""
    editions = row(MemoryStore(), keep=2)
    await add(editions, "a", "b")
    await editions.rollback(1)
    await add(editions, *"cdef")
    assert await versions(editions) == [1, 6, 7]
    assert (await editions.edition(1)).content == ("a",)


async def test_forgetting_erases() -> None:
    """After forgetting, nothing of what was written is in the store any more."""
    store = MemoryStore()
    editions = row(store)
    await add(editions, "secret", "more")
    await editions.rollback(1)
    edition = await editions.forget()
    assert (edition.content, await versions(editions)) == ((), [4])
    assert not any("secret" in str(value) for key, value, _ in [each async for each in store.scan("")])


async def test_a_writer_that_slept(tmp_path: Path) -> None:
    """A writer that slept while the edition after its own came and went does not write that number again."""
    async with DiskStore(tmp_path) as store:
        await add(row(store, keep=1), *"abcd")
        with pytest.raises(StoreError):
            await store.put("row/1", {"why": "late", "items": []}, version=0)


@pytest.mark.parametrize("said", [0, 1, None])
async def test_a_writer_that_died(said: int | None) -> None:
    """An edition whose writer died before it said so is found, also where those before it have gone."""
    store = MemoryStore()
    await add(row(store, keep=2), *"abcd")
    await store.put("row/latest", said or 0)
    assert (await row(store, keep=2).latest()).version == 4


async def test_a_writer_that_died_before_it_cleared_up() -> None:
    """Editions that a dead writer should have erased are erased by the next."""
    store = MemoryStore()
    await add(row(store), *"abcdef")
    await add(row(store, keep=2), "g")
    assert await versions(row(store)) == [6, 7]


@pytest.mark.parametrize("value", [3, "text", {"why": "x"}, {"items": []}])
async def test_foreign_values(value: object) -> None:
    """What is no edition is refused, and not taken for an empty one."""
    store = MemoryStore()
    await store.put("row/1", value)
    with pytest.raises(StoreError, match="no edition"):
        await row(store).latest()


async def test_rows_are_apart() -> None:
    """Rows with other prefixes share nothing."""
    store = MemoryStore()
    await add(row(store, prefix="one/"), "a")
    await add(row(store, prefix="other/"), "b")
    assert (await row(store, prefix="one/").latest()).content == ("a",)


@given(st.lists(acts, max_size=12), st.integers(1, 4))
async def test_any_acts(some: list[Act], keep: int) -> None:
    """Whatever is done, versions count up, the latest stays, and any edition there can be gone back to exactly."""
    editions = row(MemoryStore(), keep)
    for act in some:
        before = await editions.version()
        await act(editions)
        assert await editions.version() - before in (0, 1)
        there = await versions(editions)
        assert there[-1:] == ([await editions.version()] if await editions.version() else [])
    for edition in await editions.history():
        if edition.version in await versions(editions):  # a rollback is an edition too, and may push one out
            assert (await editions.rollback(edition.version)).content == edition.content


@given(st.integers(1, 3), st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=8, unique=True))
async def test_no_change_is_lost(keep: int, items: list[str]) -> None:
    """What many writers add at once is all there afterwards, however few editions stay."""

    class Slow(MemoryStore):
        async def get(self, key: str, /) -> tuple[object, int] | None:
            await asyncio.sleep(0)
            return await super().get(key)

        async def put(self, key: str, value: object, /, *, version: int | None = None) -> int:
            await asyncio.sleep(0)
            return await super().put(key, value, version=version)

    store = Slow()
    await asyncio.gather(*(add(row(store, keep), item) for item in items))
    assert sorted((await row(store, keep).latest()).content) == sorted(items)


async def test_writers_on_disk(tmp_path: Path) -> None:
    """Two stores on one directory, each with several writers, lose no change."""
    async with DiskStore(tmp_path) as one, DiskStore(tmp_path) as other:
        await asyncio.gather(*(add(row(store, 5), f"{n}", f"{n}!") for n, store in enumerate((one, other, one, other))))
        assert len((await row(one, 5).latest()).content) == 8
        assert await versions(row(other, 5)) == [4, 5, 6, 7, 8]
