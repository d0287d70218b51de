"""Stop strings end a text in the same place however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forethought_adapters.llamacpp.stopping import StopStrings

LETTERS = st.text("ab.", max_size=12)


def through(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    watch = StopStrings(stops)
    shown = "".join(watch.feed(piece) for piece in pieces) + watch.flush()
    return shown, watch.stopped


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab.", max_size=4), max_size=4))
def test_pieces_do_not_matter(pieces: list[str], stops: list[str]) -> None:
    """The text ends where it ends when it comes in one piece."""
    assert through(stops, pieces) == through(stops, ["".join(pieces)])


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab.", min_size=1, max_size=4), max_size=4))
def test_no_stop_string_is_shown(pieces: list[str], stops: list[str]) -> None:
    """What is shown holds no stop string, is the beginning of the text, and all of it unless stopped."""
    text = "".join(pieces)
    shown, stopped = through(stops, pieces)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    assert stopped == any(stop in text for stop in stops)
    assert stopped or shown == text


def test_only_what_may_begin_a_stop_string_is_held() -> None:
    """Text goes out at once up to where a stop string may begin."""
    watch = StopStrings(["END"])
    assert [watch.feed(piece) for piece in ("one E", "N", "T")] == ["one ", "", "ENT"]
