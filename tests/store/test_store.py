"""What every store keeps to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import StoreConflict, StoreError
from forethought.ports import Store
from forethought.store.memory import MemoryStore

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


class TestStore:
    """One suite over all stores."""

    async def test_what_was_never_put_is_none(self, store: Store) -> None:
        """A key without a value has neither value nor version."""
        assert await store.get("key") is None

    @pytest.mark.parametrize("value", [None, True, 0, -1.5, "text", [1, [2]], {"a": {"b": None}}, "思\n\0", 10**30])
    async def test_a_value_comes_back_as_it_was(self, store: Store, value: Any) -> None:
        """Any JSON value is kept, null among them."""
        assert await store.put("key", value) == 1
        assert await store.get("key") == (value, 1)

    async def test_a_large_value_comes_back_whole(self, store: Store) -> None:
        """A megabyte is a value like any other."""
        await store.put("key", {"text": "x" * 1_000_000})
        found = await store.get("key")
        assert found is not None
        assert len(found[0]["text"]) == 1_000_000

    async def test_every_write_counts_the_version_up(self, store: Store) -> None:
        """The version is the number of writes."""
        assert [await store.put("key", value) for value in "abc"] == [1, 2, 3]
        assert await store.get("key") == ("c", 3)

    async def test_a_write_based_on_an_old_version_is_refused(self, store: Store) -> None:
        """The conflict names both versions, and nothing is overwritten."""
        await store.put("key", "a")
        await store.put("key", "b")
        with pytest.raises(StoreConflict) as caught:
            await store.put("key", "c", version=1)
        assert (caught.value.key, caught.value.expected, caught.value.current) == ("key", 1, 2)
        assert await store.get("key") == ("b", 2)

    async def test_version_zero_stands_for_no_value_yet(self, store: Store) -> None:
        """Only the first of two can create a key."""
        assert await store.put("key", "a", version=0) == 1
        with pytest.raises(StoreConflict):
            await store.put("key", "b", version=0)

    async def test_numbers_add_up(self, store: Store) -> None:
        """Adding starts at 0, goes both ways, and is read and versioned like any value."""
        assert [await store.add("sum", amount) for amount in (5, -7, 10**20)] == [5, -2, 10**20 - 2]
        assert await store.get("sum") == (10**20 - 2, 3)

    async def test_additions_at_once_are_all_counted(self, store: Store) -> None:
        """A hundred tasks that add one make a hundred."""
        sums = await asyncio.gather(*(store.add("sum", 1) for _ in range(100)))
        assert sorted(sums) == list(range(1, 101))

    @pytest.mark.parametrize("value", ["1", 1.5, True, None, [1]])
    async def test_nothing_can_be_added_to_what_is_no_integer(self, store: Store, value: Any) -> None:
        """The error names the key, and the value stays."""
        await store.put("key", value)
        with pytest.raises(StoreError, match="'key': an integer is expected"):
            await store.add("key", 1)
        assert await store.get("key") == (value, 1)

    @pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), float("nan"), {("a", "b"): 1}])
    async def test_what_is_not_json_is_refused(self, store: Store, value: Any) -> None:
        """The error names the key, and nothing is stored."""
        with pytest.raises(StoreError, match="'key': only JSON"):
            await store.put("key", value)
        assert await store.get("key") is None

    async def test_a_value_is_not_shared_with_the_caller(self, store: Store) -> None:
        """Changing what was put, or what was got, changes nothing in the store."""
        mine = [1]
        await store.put("key", mine)
        mine.append(2)
        found = await store.get("key")
        assert found is not None
        found[0].append(3)
        assert await store.get("key") == ([1], 1)

    async def test_a_scan_yields_what_begins_with_the_prefix_in_order(self, store: Store) -> None:
        """Keys are compared as text, without wildcards."""
        for key in ("b/2", "a%", "b/1", "b", "B/1", "b/10"):
            await store.put(key, key.upper())
        assert [row async for row in store.scan("b/")] == [("b/1", "B/1", 1), ("b/10", "B/10", 1), ("b/2", "B/2", 1)]
        assert [key async for key, _, _ in store.scan("a_")] == []

    async def test_a_scan_of_nothing_yields_everything(self, store: Store) -> None:
        """The empty prefix begins every key, however many there are."""
        for index in range(250):
            await store.add(f"{index:03}", index)
        assert [value async for _, value, _ in store.scan("")] == list(range(250))

    async def test_a_store_can_change_during_a_scan(self, store: Store) -> None:
        """A scan that writes while it reads ends."""
        await store.add("a", 1)
        await store.add("b", 1)
        async for key, _, _ in store.scan(""):
            await store.add(f"{key}/more", 1)
        assert await store.get("b/more") == (1, 1)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), json_values), max_size=8))
async def test_the_last_write_of_a_key_is_what_is_read(writes: list[tuple[str, Any]]) -> None:
    """A store is a dictionary of the last values, with the number of writes beside each."""
    store = MemoryStore()
    last: dict[str, tuple[str, Any, int]] = {}
    for key, value in writes:
        version = await store.put(key, value)
        last[key] = (key, value, last[key][2] + 1 if key in last else 1)
        assert version == last[key][2]
    assert [row async for row in store.scan("")] == sorted(last.values(), key=lambda row: row[0])
