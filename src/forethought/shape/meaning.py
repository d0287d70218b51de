"""How close texts are in meaning: cosines of the vectors that an embedder gives, each text embedded once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import islice
from typing import Any

from ..errors import ForethoughtError, MissingExtra, UpstreamProtocol, UpstreamTimeout, UpstreamUnreachable
from ..ports import Embedder

KEPT = 2_048
"""Vectors that are remembered for each embedder, unless one handbook has more: 13 MB of 1,536 numbers each."""

AT_ONCE = 64
"""Texts that are embedded before their vectors are kept, so that what a failure interrupts goes on from there."""

PATIENCE_S = 5.0
"""How long a question waits for vectors, at most."""

REST_S = 10.0
"""How long questions do without an embedder that has just failed one, so that they do not all wait for it."""


class Meaning:
    """What texts mean to one embedder; raises MissingExtra without numpy.

    Every method raises what the embedder raises, and UpstreamProtocol where it brings back no vectors of one length.
    """

    def __init__(self, embedder: Embedder, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            self._numpy: Any = import_module("numpy")
        except ModuleNotFoundError as missing:
            raise MissingExtra("numpy", "embeddings") from missing
        self._embedder = embedder
        self._known: dict[str, Any] = {}
        self._clock = clock
        self._rests_until = clock()

    async def closest(
        self, question: str, texts: Sequence[str], least: float, *, patience_s: float = PATIENCE_S
    ) -> list[int]:
        """The places of the texts whose cosine with the question is at least `least`, the closest first.

        Raises UpstreamTimeout after `patience_s`, and UpstreamUnreachable for `REST_S` after it has failed a question
        with as much patience as any.
        """
        if self._clock() < self._rests_until:
            raise UpstreamUnreachable(f"{self._embedder.name}: it has just failed, and is left alone for a while")
        try:
            async with asyncio.timeout(patience_s):
                cosines: Any = await self.vectors(texts) @ (await self._embedded([question]))[0]
        except TimeoutError as late:
            if patience_s >= PATIENCE_S:
                self._rests_until = self._clock() + REST_S
            raise UpstreamTimeout(f"{self._embedder.name}: no vectors within {patience_s:.3g} s") from late
        except ForethoughtError:
            self._rests_until = self._clock() + REST_S
            raise
        close = [place for place in range(len(texts)) if cosines[place] >= least]
        return sorted(close, key=lambda place: -cosines[place])

    async def vectors(self, texts: Sequence[str]) -> Any:
        """The unit vectors of texts that come again, as rows of an array; only those not known yet are embedded."""
        found = {text: self._known.pop(text) for text in texts if text in self._known}
        self._known |= found  # what is used stays longest
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            new = dict(zip(some, await self._embedded(some), strict=True))
            self._known |= new
            found |= new
        while len(self._known) > max(KEPT, len(found)):
            del self._known[next(iter(self._known))]
        return self._numpy.stack([found[text] for text in texts])

    async def _embedded(self, texts: Sequence[str]) -> Any:
        """Unit vectors, as rows."""
        given = await self._embedder.embed(texts)
        try:
            rows = self._numpy.asarray(given, dtype=self._numpy.float32)
        except (TypeError, ValueError) as error:
            raise self._wrong(f"vectors of one length are expected: {error}") from error
        if rows.ndim != 2 or len(rows) != len(texts) or not self._numpy.isfinite(rows).all():
            raise self._wrong(f"{len(texts)} vectors of finite numbers are expected, and these are {rows.shape}")
        if any(len(known) != rows.shape[1] for known in islice(self._known.values(), 1)):
            self._known.clear()
            raise self._wrong("its vectors had another length before, and are all asked for anew")
        lengths = self._numpy.linalg.norm(rows, axis=1, keepdims=True)
        return rows / self._numpy.maximum(lengths, 1e-12)  # what has no direction is close to nothing

    def _wrong(self, why: str) -> UpstreamProtocol:
        return UpstreamProtocol(f"{self._embedder.name}: {why}")


@lru_cache(maxsize=8)
def meaning_of(embedder: Embedder) -> Meaning:
    """The one memory of an embedder and of all that equal it, however many policies name it."""
    return Meaning(embedder)
