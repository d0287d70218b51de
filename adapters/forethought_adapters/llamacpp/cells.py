"""Which KV cells are in use: one that several sequences share counts once."""

from __future__ import annotations

from collections.abc import Iterable


class Cells:
    """Numbers the cells of a unified KV cache and counts who holds each."""

    __slots__ = ("_free", "_holders", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self._holders = [0] * total
        self._free = list(range(total - 1, -1, -1))

    @property
    def free(self) -> int:
        """How many cells nobody holds."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """`count` cells for one new holder; there must be so many free ones."""
        taken = [self._free.pop() for _ in range(count)]
        for cell in taken:
            self._holders[cell] = 1
        return taken

    def share(self, cells: Iterable[int]) -> None:
        """One more holder of each of `cells`."""
        for cell in cells:
            self._holders[cell] += 1

    def drop(self, cells: Iterable[int]) -> None:
        """One holder less of each of `cells`; what nobody holds is free."""
        for cell in cells:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                self._free.append(cell)
