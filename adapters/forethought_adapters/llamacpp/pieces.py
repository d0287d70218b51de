"""Tokens as text: the bytes that each shows, and the names under which logprobs are told."""

from __future__ import annotations

from typing import Protocol

from forethought.wire import TokenLogprob

from .sampling import Picked
from .writing import Writer


class Speller(Protocol):
    """What is needed of a model; `native.Model` is the real one."""

    def piece(self, token: int, *, special: bool) -> bytes: ...


class Pieces:
    """Spells tokens, and remembers how."""

    def __init__(self, speller: Speller) -> None:
        self._speller = speller
        self._known = dict[int, bytes](), dict[int, bytes]()  # where no calls are read, and where they are

    def shown(self, token: int, writer: Writer) -> bytes:
        """The bytes a token shows; of the control tokens only those by which `writer` goes show any."""
        known = self._known[writer.reads_calls]
        piece = known.get(token)
        if piece is None:
            whole = self._speller.piece(token, special=True)
            piece = known[token] = whole if writer.knows(whole) else self._speller.piece(token, special=False)
        return piece

    def logprob(self, picked: Picked) -> TokenLogprob:
        """What was measured of a token, under its name and those of its rivals."""
        top = tuple((self._name(token), logprob) for token, logprob in picked.top)
        return TokenLogprob(self._name(picked.token), picked.logprob, top)

    def _name(self, token: int) -> str:
        return self._speller.piece(token, special=True).decode("utf-8", "replace")
