"""Where memories are kept, as editions, with the answers of which nobody has said yet how good they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from ..errors import StoreConflict
from ..ports import Store
from .consolidate import Comparison, consolidate
from .constraints import Suite, mended, violations
from .editions import Edition, Editions, Form
from .memory import Memory, from_json, title, to_json

SLOTS = 8192
"""Answers that can wait for feedback; of two that fall on one slot the older is forgotten."""
EXPIRES_S = 7 * 24 * 3600.0
PATIENCE = 20
"""Comparisons to begin for each one that brought a score, and as many to begin with."""
_CACHED = 256

_FORM: Form[Memory] = Form(
    Memory(), lambda memory: {"memory": to_json(memory)}, lambda value: from_json(value["memory"])
)


@dataclass(frozen=True, slots=True)
class Pending:
    """What run `run` of `tenant` answered, while it waits for its score since `at`; `by` names who asks for it.

    `comparison` is None where several answers of one run wait, of which nobody knows whose the score will be.
    """

    run: str
    by: str
    tenant: str
    at: float
    comparison: Comparison | None


_PENDING = TypeAdapter(Pending)


class Keeper:
    """The memories of all tenants in `store`, each its own row of editions; `clock` tells Unix time, in seconds.

    Every method raises StoreError where the store cannot be read or written.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._memories: dict[str, Edition[Memory]] = {}
        self._refused: dict[str, tuple[str, ...]] = {}

    def editions(self, tenant: str) -> Editions[Memory]:
        return Editions(self._store, f"experience/{quote(tenant, safe='')}/", _FORM)

    async def memory(self, tenant: str) -> Memory:
        """The latest edition of a tenant's memory; never another tenant's."""
        editions = self.editions(tenant)
        version = await editions.version()
        known = self._memories.pop(tenant, None)
        if known is None or known.version != version:
            known = await editions.edition(version)
        self._memories[tenant] = known
        if len(self._memories) > _CACHED:
            del self._memories[next(iter(self._memories))]
        return known.content

    async def learn(self, tenant: str, comparison: Comparison, suite: Suite) -> tuple[str, ...]:
        """Write what a comparison teaches.

        A policy that would now violate the suite is retired. Where that does not help, nothing is written, and what
        would be violated is returned; what was violated before stops nobody from learning.
        """
        broken: list[str] = []

        def edit(memory: Memory) -> Memory:
            after = consolidate(memory, comparison, epsilon=suite.epsilon)
            after = mended(after, suite) if violations(after, suite) else after
            before = {each.why for each in violations(memory, suite)}
            broken[:] = [each.why for each in violations(after, suite) if each.why not in before]
            return memory if broken else after

        names = ", ".join(title(each.policy) for each in comparison.attempts)
        await self.editions(tenant).change(edit, f"{'compared' if len(comparison.attempts) > 1 else 'scored'} {names}")
        if broken:
            self._refused[tenant] = tuple(broken)
        return tuple(broken)

    def refused(self, tenant: str) -> tuple[str, ...]:
        """Why what was last learned from feedback was not written, told once."""
        return self._refused.pop(tenant, ())

    async def may_compare(self, tenant: str, memory: Memory) -> bool:
        """Count one more comparison, unless too many were begun for the few that brought a score."""
        key = self._begun(tenant)
        found = await self._store.get(key)
        if found is not None and int(found[0]) >= PATIENCE * (memory.compared + 1):
            return False
        await self._store.add(key, 1)
        return True

    async def rollback(self, tenant: str, version: int) -> Edition[Memory]:
        """Go back to an edition, with patience for new comparisons."""
        edition = await self.editions(tenant).rollback(version)
        await self._store.put(self._begun(tenant), edition.content.compared)
        return edition

    async def forget(self, tenant: str) -> Edition[Memory]:
        """Erase all that was learned for a tenant."""
        edition = await self.editions(tenant).forget()
        await self._store.put(self._begun(tenant), 0)
        return edition

    async def wait(self, run_id: str, by: str, tenant: str, comparison: Comparison) -> None:
        """Keep what run `run_id` answered until feedback comes; `by` names who asks for it back.

        Where several answers of one run wait, as below a vote, none is learned from: a score is that of the run's.
        """
        key = _slot(run_id)
        while True:
            found = await self._store.get(key)
            known = None if found is None else _pending(found[0])
            several = known is not None and known.run == run_id
            pending = Pending(run_id, by, tenant, self._clock(), None if several else comparison)
            row = _PENDING.dump_python(pending, mode="json", exclude_defaults=True)
            try:
                await self._store.put(key, row, version=found[1] if found else 0)
            except StoreConflict:
                continue
            return

    async def take(self, run_id: str, by: str) -> Pending | None:
        """What waits for feedback on run `run_id`, given out once; None where nothing does, or not any more."""
        key = _slot(run_id)
        found = await self._store.get(key)
        pending = None if found is None else _pending(found[0])
        if found is None or pending is None or (pending.run, pending.by) != (run_id, by):
            return None
        try:
            await self._store.put(key, None, version=found[1])
        except StoreConflict:
            return None
        return pending if self._clock() - pending.at <= EXPIRES_S else None

    @staticmethod
    def _begun(tenant: str) -> str:
        return f"experience/{quote(tenant, safe='')}/begun"


def _pending(row: object) -> Pending | None:
    try:
        return _PENDING.validate_python(row)
    except ValidationError:
        return None


def _slot(run_id: str) -> str:
    digest = blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return f"experience-pending/{int.from_bytes(digest, 'big') % SLOTS}"
