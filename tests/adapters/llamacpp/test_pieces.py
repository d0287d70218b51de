"""Tokens as text."""

from __future__ import annotations

from forethought.thinking import THINK, Phase
from forethought_adapters.llamacpp.pieces import Pieces
from forethought_adapters.llamacpp.sampling import Picked
from forethought_adapters.llamacpp.writing import Writer


class Letters:
    """A model of two tokens: the letter a, and the end of thinking."""

    def __init__(self) -> None:
        self.asked = 0

    def piece(self, token: int, *, special: bool) -> bytes:
        self.asked += 1
        return (b"a", THINK.close.encode() if special else b"")[token]


def writer() -> Writer:
    return Writer(THINK, Phase.THINKING, (), None)


def test_what_a_writer_goes_by_is_shown() -> None:
    """The control token that ends the thinking shows its text, which the writer reads."""
    assert Pieces(Letters()).shown(1, writer()) == THINK.close.encode()


def test_spelled_once() -> None:
    """The model is asked about a token the first time only."""
    letters = Letters()
    pieces = Pieces(letters)
    pieces.shown(0, writer())
    asked = letters.asked
    assert pieces.shown(0, writer()) == b"a"
    assert letters.asked == asked


def test_logprobs_name_control_tokens() -> None:
    """A token and its rivals stand under their names, control tokens too."""
    named = Pieces(Letters()).logprob(Picked(0, -0.5, ((0, -0.5), (1, -1.0))))
    assert (named.token, named.logprob) == ("a", -0.5)
    assert named.top == (("a", -0.5), (THINK.close, -1.0))
