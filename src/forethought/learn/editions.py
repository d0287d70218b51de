"""A row of editions: what is learned is written anew with every change, so that any change can be gone back to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import ForethoughtError, InvalidRequest, StoreConflict, StoreError
from ..ports import Store
from ..wire import JSON, is_object

T = TypeVar("T")

KEPT = 100
"""Editions that stay, the latest among them; earlier ones go unless they were gone back to."""


@dataclass(frozen=True, slots=True)
class Edition(Generic[T]):
    """What was written as `version` (0: nothing yet); `why` says what changed."""

    version: int
    why: str
    content: T


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How a content is kept: the `empty` one that is there before any edition, and its fields as JSON, both ways.

    `read` raises ForethoughtError, KeyError or TypeError for what is no such content.
    """

    empty: T
    write: Callable[[T], JSON]
    read: Callable[[JSON], T]


class Editions(Generic[T]):
    """The editions below `prefix` in `store`, numbered from 1.

    Any number of writers, in any number of processes: an edition is claimed by writing it where nothing is, so each
    change is based on the one before it and none is lost; a writer that dies leaves a whole edition or none. Of an
    edition that has gone an empty row is left, so that its number is never given out again. Every method raises
    StoreError where the store cannot be read or written.
    """

    def __init__(self, store: Store, prefix: str, form: Form[T], *, keep: int = KEPT) -> None:
        self._store = store
        self._prefix = prefix
        self._form = form
        self._keep = max(1, keep)

    async def version(self) -> int:
        """The number of the latest edition; 0 where nothing was written yet."""
        found = await self._store.get(self._latest)
        version = int(found[0]) if found else 0
        while await self._store.get(self._key(version + 1)) is not None:  # whoever wrote it has not said so yet
            version += 1
        return version

    async def latest(self) -> Edition[T]:
        return await self.edition(await self.version())

    async def edition(self, version: int) -> Edition[T]:
        """What was written as `version`; raises InvalidRequest where that is not there, or not any more."""
        if version == 0:
            return Edition(0, "", self._form.empty)
        found = await self._store.get(self._key(version)) if version > 0 else None
        if found is None or found[0] is None:
            raise InvalidRequest("version", version, f"{await self._there()} are there")
        return self._read(version, found[0])

    async def history(self) -> list[Edition[T]]:
        """Every edition that is still there, oldest first."""
        rows = [(int(key), value) for key, value in await self._rows() if value is not None]
        return [self._read(version, value) for version, value in sorted(rows, key=lambda row: row[0])]

    async def change(self, edit: Callable[[T], T], why: str) -> Edition[T]:
        """Write what `edit` makes of the latest edition, again and again until nobody came in between.

        Whoever comes in between has written, so somebody always gets on. Where `edit` changes nothing, nothing is
        written.
        """
        while True:
            before = await self.latest()
            content = edit(before.content)
            if content == before.content:
                return before
            version = before.version + 1
            try:
                await self._store.put(self._key(version), {"why": why, **self._form.write(content)}, version=0)
            except StoreConflict:
                continue
            await self._store.put(self._latest, version)
            await self._prune(version - self._keep)
            return Edition(version, why, content)

    async def rollback(self, version: int) -> Edition[T]:
        """Write a new edition that holds exactly what `version` held, which stays from now on."""
        content = (await self.edition(version)).content
        if version:
            found = await self._store.get(self._key(version))
            with suppress(StoreConflict):  # somebody else does the same, or it has gone since it was read
                if found is not None and is_object(found[0]):
                    await self._store.put(self._key(version), {**found[0], "referred": True}, version=found[1])
        return await self.change(lambda _: content, f"rolled back to {version}")

    async def forget(self, why: str = "forgotten") -> Edition[T]:
        """Write an empty edition and erase all that came before it."""
        edition = await self.change(lambda _: self._form.empty, why)
        for key, value in await self._rows():
            if value is not None and int(key) < edition.version:
                await self._store.put(self._key(int(key)), None)
        return edition

    async def _prune(self, version: int) -> None:
        """Erase `version` and, where a writer died before it could, those below it."""
        while version > 0:
            found = await self._store.get(self._key(version))
            if found is None or found[0] is None:
                return
            if not (is_object(found[0]) and found[0].get("referred")):
                await self._store.put(self._key(version), None)
            version -= 1

    async def _rows(self) -> list[tuple[str, Any]]:
        rows = [(key.removeprefix(self._prefix), value) async for key, value, _ in self._store.scan(self._prefix)]
        return [(number, value) for number, value in rows if number.isdecimal()]

    async def _there(self) -> str:
        there = sorted(int(key) for key, value in await self._rows() if value is not None)
        return f"{there[0]} to {there[-1]}" if there else "none"

    def _read(self, version: int, value: Any) -> Edition[T]:
        try:
            return Edition(version, str(value["why"]), self._form.read(value))
        except (ForethoughtError, KeyError, TypeError) as error:
            raise StoreError(f"{self._key(version)!r}: what is stored there is no edition of this: {error}") from error

    @property
    def _latest(self) -> str:
        return f"{self._prefix}latest"

    def _key(self, version: int) -> str:
        return f"{self._prefix}{version}"
