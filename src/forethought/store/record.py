"""What a store keeps under a key, as JSON text, and the rules by which it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from ..errors import StoreConflict, StoreError


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON value and its version, which counts the writes from 1."""

    value: Any
    version: int

    @classmethod
    def read(cls, key: str, text: object) -> Self:
        """The record in `text`; raises StoreError where it is anything but one."""
        try:
            version, value = json.loads(str(text))
            return cls(value, int(version))
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{key!r}: what is stored there is not of this store; delete it") from error

    def text(self, key: str) -> str:
        """The record as JSON; raises StoreError where the value is none."""
        try:
            return json.dumps([self.version, self.value], allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{key!r}: only JSON values can be stored: {error}") from error


def replaced(key: str, current: Record | None, value: Any, expected: int | None) -> Record:
    """The record after a put; raises StoreConflict where `expected` is not the current version (0: no record yet)."""
    version = current.version if current else 0
    if expected is not None and expected != version:
        raise StoreConflict(key, expected, version)
    return Record(value, version + 1)


def added(key: str, current: Record | None, amount: int) -> Record:
    """The record after an addition; raises StoreError where what is there is no integer."""
    if current is None:
        return Record(amount, 1)
    if not isinstance(current.value, int) or isinstance(current.value, bool):
        raise StoreError(f"{key!r}: an integer is expected to add {amount} to, got {type(current.value).__name__}")
    return Record(current.value + amount, current.version + 1)
