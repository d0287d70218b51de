"""Where memories are kept, and answers that wait for feedback."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought import Request
from forethought.errors import StoreError
from forethought.learn.consolidate import Attempt, Comparison
from forethought.learn.constraints import Constraint, Suite
from forethought.learn.keeper import EXPIRES_S, PATIENCE, SLOTS, Keeper
from forethought.learn.memory import Memory, identity
from forethought.learn.signature import Signature
from forethought.store.disk import DiskStore
from forethought.store.memory import MemoryStore
from forethought.testing import FakeClock

QUESTION = "a=3 b=a+4 c=b-2 c?"
A: dict[str, Any] = {"name": "a", "layers": [{"kind": "vote", "samples": 4}]}
B: dict[str, Any] = {"name": "b"}
SUITE = Suite(identity(A))


def comparison(score: float | None = 1.0, answer: str = "42") -> Comparison:
    attempts = (Attempt(A, answer, 400, None, score, "default"), Attempt(B, answer, 100, None, score, "given"))
    return Comparison(Signature.of(Request.of(QUESTION)), attempts, identity(A), 0, "0a1b")


class TestWaiting:
    async def test_it_comes_back_as_it_was(self) -> None:
        """What waits is given back whole, with the tenant whose it is."""
        keeper = Keeper(MemoryStore())
        await keeper.wait("run_1", "me", "acme", comparison(None))
        taken = await keeper.take("run_1", "me")
        assert taken is not None
        assert (taken.tenant, taken.comparison) == ("acme", comparison(None))

    async def test_only_once(self) -> None:
        """It is given out once, and its answers are not in the store any more."""
        store = MemoryStore()
        keeper = Keeper(store)
        await keeper.wait("run_1", "me", "", comparison(None, "secret"))
        assert await keeper.take("run_1", "me") is not None
        assert await keeper.take("run_1", "me") is None
        assert "secret" not in str([row async for row in store.scan("")])

    @pytest.mark.parametrize(("late", "known"), [(0.0, True), (1.0, False)])
    async def test_it_expires(self, late: float, known: bool) -> None:
        """Feedback that comes too late is not taken."""
        clock = FakeClock(1000)
        keeper = Keeper(MemoryStore(), clock=clock)
        await keeper.wait("run_1", "me", "", comparison(None))
        clock.advance(EXPIRES_S + late)
        assert (await keeper.take("run_1", "me") is not None) is known

    async def test_it_is_bounded(self) -> None:
        """However many answers wait, they take no more rows than there are slots."""
        store = MemoryStore()
        keeper = Keeper(store)
        for number in range(300):
            await keeper.wait(f"run_{number}", "me", "", comparison(None))
        rows = [key async for key, _, _ in store.scan("")]
        assert len(rows) <= 300
        assert all(int(key.rpartition("/")[2]) < SLOTS for key in rows)

    @pytest.mark.parametrize(
        "row", [3, {"run": "run_1", "by": "me"}, {"run": "run_1", "by": "me", "tenant": "", "at": 0, "comparison": {}}]
    )
    async def test_foreign_rows(self, row: object) -> None:
        """What is no answer that waits is not taken for one."""
        store = MemoryStore()
        keeper = Keeper(store)
        await keeper.wait("run_1", "me", "", comparison(None))
        (key,) = [key async for key, _, _ in store.scan("")]
        await store.put(key, row)
        assert await keeper.take("run_1", "me") is None

    async def test_two_that_take_at_once(self, tmp_path: Path) -> None:
        """Of two processes that get the same feedback one learns from it."""
        async with DiskStore(tmp_path) as one, DiskStore(tmp_path) as other:
            await Keeper(one).wait("run_1", "me", "", comparison(None))
            taken = await asyncio.gather(*(Keeper(store).take("run_1", "me") for store in (one, other)))
        assert sum(each is not None for each in taken) == 1


class TestLearning:
    async def test_it_is_an_edition(self) -> None:
        """What is learned is written as an edition that says what was compared."""
        keeper = Keeper(MemoryStore())
        assert await keeper.learn("", comparison(), SUITE) == ()
        assert [each.why for each in await keeper.editions("").history()] == ["compared a, b"]
        assert (await keeper.memory("")).compared == 1

    async def test_other_writers_are_seen(self, tmp_path: Path) -> None:
        """What another process learned is served as soon as it is written."""
        async with DiskStore(tmp_path) as one, DiskStore(tmp_path) as other:
            reader = Keeper(one)
            assert (await reader.memory("")).compared == 0
            await Keeper(other).learn("", comparison(), SUITE)
            assert (await reader.memory("")).compared == 1

    async def test_a_violation_is_not_written(self) -> None:
        """An edition that newly violates the suite is not written, and why is told once."""
        keeper = Keeper(MemoryStore())
        suite = Suite(identity(A), [Constraint(QUESTION, 0.6)])
        await keeper.learn("", comparison(1.0), suite)
        await keeper.learn("", comparison(0.0), suite)
        assert (await keeper.memory("")).compared == 1
        assert ["less than 0.6" in each for each in keeper.refused("")] == [True]
        assert keeper.refused("") == ()

    async def test_what_violates_is_retired(self) -> None:
        """Where a policy that won breaks a constraint it is retired, and what taught that is written."""
        keeper = Keeper(MemoryStore())
        suite = Suite(identity(A), [Constraint(QUESTION, 0.99)], epsilon=0.5)
        for _ in range(8):
            await keeper.learn("", comparison(1.0), suite)
        wrong = replace(comparison(0.0), attempts=(comparison(0.0).attempts[1],))
        assert await keeper.learn("", wrong, suite) == ()
        (cell,) = (await keeper.memory("")).cells
        assert (cell.records[identity(B)].state, cell.records[identity(B)].trials) == ("retired", 9)

    async def test_what_was_violated_before_does_not_stop_learning(self) -> None:
        """A constraint that never held refuses no edition, so that learning can mend it."""
        keeper = Keeper(MemoryStore())
        suite = Suite(identity(A), [Constraint(QUESTION, 1.0)])
        await keeper.learn("", comparison(0.0), SUITE)
        assert await keeper.learn("", comparison(0.0), suite) == ()
        assert (await keeper.memory("")).compared == 2

    async def test_a_crash_between_writes(self, tmp_path: Path) -> None:
        """Where a writer dies between its two writes, its edition is there and the next comes after it."""

        class Dying(DiskStore):
            async def put(self, key: str, value: Any, /, *, version: int | None = None) -> int:
                if key.endswith("/latest"):
                    raise StoreError("killed")
                return await super().put(key, value, version=version)

        async with Dying(tmp_path) as store:
            with pytest.raises(StoreError, match="killed"):
                await Keeper(store).learn("", comparison(), SUITE)
        async with DiskStore(tmp_path) as store:
            await Keeper(store).learn("", comparison(), SUITE)
            assert [each.version for each in await Keeper(store).editions("").history()] == [1, 2]
            assert (await Keeper(store).memory("")).compared == 2

    async def test_rollback(self) -> None:
        """Going back serves what was served then, at once."""
        keeper = Keeper(MemoryStore())
        for _ in range(3):
            await keeper.learn("", comparison(), SUITE)
        await keeper.rollback("", 1)
        assert (await keeper.memory("")).compared == 1

    async def test_forgetting(self) -> None:
        """What is forgotten is gone, for this tenant alone."""
        keeper = Keeper(MemoryStore())
        await keeper.learn("acme", comparison(), SUITE)
        await keeper.learn("", comparison(), SUITE)
        await keeper.forget("acme")
        assert await keeper.memory("acme") == Memory()
        assert (await keeper.memory("")).compared == 1


class TestPatience:
    async def test_it_ends(self) -> None:
        """Without a score only so many comparisons are begun."""
        keeper = Keeper(MemoryStore())
        begun = [await keeper.may_compare("", Memory()) for _ in range(PATIENCE + 2)]
        assert begun == [True] * PATIENCE + [False] * 2

    async def test_scores_renew_it(self) -> None:
        """Each scored comparison allows for more."""
        keeper = Keeper(MemoryStore())
        for _ in range(PATIENCE + 1):
            await keeper.may_compare("", Memory())
        assert await keeper.may_compare("", Memory(compared=1))

    @pytest.mark.parametrize("act", ["forget", "rollback"])
    async def test_beginning_anew_renews_it(self, act: str) -> None:
        """After forgetting or going back, comparisons may begin again."""
        keeper = Keeper(MemoryStore())
        for _ in range(PATIENCE):
            await keeper.may_compare("", Memory())
        await (keeper.forget("") if act == "forget" else keeper.rollback("", 0))
        assert await keeper.may_compare("", Memory())


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1)), max_size=8))
@settings(deadline=None)
async def test_tenants_are_apart(taught: list[tuple[str, float]]) -> None:
    """Whatever tenants are called, each has the memory that its own comparisons alone would make."""
    keeper = Keeper(MemoryStore())
    for tenant, score in taught:
        await keeper.learn(tenant, comparison(score), SUITE)
    for tenant in {tenant for tenant, _ in taught}:
        alone = Keeper(MemoryStore())
        for each, score in taught:
            if each == tenant:
                await alone.learn(tenant, comparison(score), SUITE)
        assert await keeper.memory(tenant) == await alone.memory(tenant)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(deadline=None)
async def test_writers_at_once_lose_nothing(scores: list[float]) -> None:
    """What several learn at once is all counted."""

    class Slow(MemoryStore):
        async def get(self, key: str, /) -> tuple[Any, int] | None:
            await asyncio.sleep(0)
            return await super().get(key)

    store = Slow()
    await asyncio.gather(*(Keeper(store).learn("", comparison(score), SUITE) for score in scores))
    assert (await Keeper(store).memory("")).compared == len(scores)
