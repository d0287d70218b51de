"""Lets through only tokens that keep an answer within its grammar."""

from __future__ import annotations

import codecs
from copy import copy
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forethought.errors import InvalidRequest
from forethought.thinking import Phase, Splitter, Tags

from .grammar import Grammar

_UTF8 = codecs.getincrementaldecoder("utf-8")


class Automaton(Protocol):
    """A grammar being read token by token; `native.Automaton` is the real one."""

    def allowed(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]: ...
    def accept(self, token: int) -> bool: ...
    def close(self) -> None: ...


class Speller(Protocol):
    """What the gate must know of a model; `native.Model` is the real one."""

    def tokenize(self, text: str, *, begin: bool = True) -> list[int]: ...
    def piece(self, token: int, *, special: bool) -> bytes: ...
    def is_end(self, token: int) -> bool: ...
    def automaton(self, grammar: str) -> Automaton | None: ...


class Gate:
    """Keeps one answer within a grammar; the thinking, and blanks between it and the answer, are free.

    An answer is whole characters of tokens that show: neither control tokens nor bytes that are no UTF-8 come
    through. It ends where the grammar lets it; a thought may end the stream. `said` is what already stands of the
    answer. Raises InvalidRequest where the grammar does not parse, or where `said` does not begin a text of it.
    """

    __slots__ = ("_automaton", "_blank", "_decoder", "_grammar", "_marks", "_native", "_parting", "_tags")

    def __init__(self, grammar: Grammar, native: Speller, tags: Tags, phase: Phase, said: str = "") -> None:
        self._grammar = grammar
        self._native = native
        self._tags = tags
        self._parting: Splitter | None = None if phase is Phase.ANSWERING else Splitter(tags, phase)
        self._marks = [tag for tag in (tags.open, tags.answer) if self._opens(tag)]
        self._blank = False
        self._decoder = _UTF8("strict" if phase is Phase.ANSWERING else "replace")
        self._automaton = self._started()
        if not self._consume(said):
            self.close()
            raise InvalidRequest(grammar.field, grammar.text, f"an answer within it does not begin with {said!r}")

    def take(self, token: int) -> bool:
        """Whether `token` may come next; if so, it has come."""
        if self._native.is_end(token):
            return self._may_end(token)
        if self._parting is not None:
            return self._take_parting(token, self._parting)
        piece = self._piece(token)
        return (self._blank and piece.isspace()) or self._take_answer(token, piece)

    def allowed(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """For each of `ids` whether it may come next; `take` may still refuse some."""
        if self._parting is None:
            return self._automaton.allowed(ids)
        if self._parting.phase is Phase.THINKING:
            return np.ones(len(ids), np.bool_)
        marked = np.isin(ids, self._continuing(self._parting.held.lstrip()))
        return marked if self._parting.held else marked | self._automaton.allowed(ids)

    def close(self) -> None:
        """Free what is native; nothing may be taken after it."""
        self._automaton.close()

    def _may_end(self, token: int) -> bool:
        parting = self._parting
        if parting is not None and (parting.phase is Phase.THINKING or parting.held):
            return parting.phase is Phase.THINKING
        return bool(self._automaton.allowed(np.array([token]))[0])

    def _take_parting(self, token: int, parting: Splitter) -> bool:
        """All may come that is of a thought or of a tag, and what closes them and begins an answer that fits."""
        piece, state = self._piece(token), self._decoder.getstate()
        text = self._decoder.decode(piece)
        after = copy(parting)
        rest = after.feed(text).answer
        partial = bool(self._decoder.getstate()[0])
        if parting.phase is Phase.BEFORE and not self._continues(parting.held + text, partial):
            self._decoder.setstate(state)
            return (self._blank and piece.isspace()) or self._begin(token, piece, parting.held + text)
        if after.phase is Phase.ANSWERING:
            if partial or not self._consume(rest):
                self._decoder.setstate(state)
                return False
            self._answer(blank=not rest)
        else:
            self._parting = after
            self._blank = parting.phase is Phase.THINKING
        return True

    def _begin(self, token: int, piece: bytes, text: str) -> bool:
        """Begin the answer without a tag: by `token` alone, or by `text` where some of it was held back."""
        parting, decoder, blank = self._parting, self._decoder, self._blank
        held = parting.held if parting else ""
        self._answer(blank=False)
        if self._consume(text) if held else self._take_answer(token, piece):
            return True
        self._parting, self._decoder, self._blank = parting, decoder, blank
        return False

    def _take_answer(self, token: int, piece: bytes) -> bool:
        state = self._decoder.getstate()
        if self._spells(piece) and self._automaton.accept(token):
            self._blank = False
            return True
        self._decoder.setstate(state)
        return False

    def _spells(self, piece: bytes) -> bool:
        """Whether `piece` goes on in UTF-8, of which llama.cpp reads more than there is; the decoder has read it."""
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            return False
        begun = self._decoder.getstate()[0]
        return bool(piece) and b"\0" not in piece and not b"\xed\xa0" <= begun < b"\xee"  # a surrogate, found too late

    def _answer(self, *, blank: bool) -> None:
        self._parting, self._blank, self._decoder = None, blank, _UTF8("strict")

    def _consume(self, text: str) -> bool:
        """Read `text` as the beginning of the answer; where that does not fit nothing is read."""
        tokens = self._native.tokenize(text, begin=False) if text else []
        spelled = b"".join(self._native.piece(token, special=False) for token in tokens)
        if spelled == text.encode("utf-8", "replace") and all(map(self._automaton.accept, tokens)):
            return True
        self._automaton.close()
        self._automaton = self._started()
        return False

    def _continues(self, text: str, partial: bool) -> bool:
        """Whether `text`, from the first word on, is, begins or begins with a tag that may stand there."""
        start = text.lstrip()
        tagged = any(mark.startswith(start) or start.startswith(mark) for mark in self._marks)
        return tagged and bool(start) and not partial

    def _continuing(self, held: str) -> list[int]:
        """The tokens by which a tag goes on after `held`."""
        rests = (mark[len(held) :] for mark in self._marks if mark.startswith(held))
        return [self._native.tokenize(rest, begin=False)[0] for rest in rests if rest]

    def _opens(self, tag: str) -> bool:
        """Whether the vocabulary has `tag`, or a control token it begins with: else a `<` would lead astray."""
        tokens = self._native.tokenize(tag, begin=False) if tag else []
        return len(tokens) == 1 or (bool(tokens) and not self._native.piece(tokens[0], special=False))

    def _piece(self, token: int) -> bytes:
        """The bytes that `token` shows: of the control tokens those alone that tags are made of show any."""
        whole = self._native.piece(token, special=True)
        known = any(whole in tag.encode() for tag in self._tags)
        return whole if known else self._native.piece(token, special=False)

    def _started(self) -> Automaton:
        automaton = self._native.automaton(self._grammar.text)
        if automaton is None:
            hint = "it does not parse as a grammar of llama.cpp with a rule named root and no left recursion"
            raise InvalidRequest(self._grammar.field, self._grammar.text, hint)
        return automaton
