"""Events out of bytes, however they are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forethought_adapters.sse import Events

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:  c", b": note", b"event: x", b"id: 1", b"", b"", b"da"]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def events(*chunks: bytes) -> list[bytes]:
    reader = Events()
    found = [data for chunk in chunks for data in reader.feed(chunk)]
    return found + reader.close()


@given(STREAMS, st.lists(st.integers(0, 80), max_size=8))
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """However the bytes are cut, the events are those of the whole."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    assert events(*(stream[a:b] for a, b in pairwise(edges))) == events(stream)


@given(st.lists(st.text(alphabet="ab: {}", min_size=1), max_size=5), st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_event_is_found(texts: list[str], end: str) -> None:
    """What was sent as data is read, with any kind of line end."""
    stream = "".join(f"data: {text}{end}{end}" for text in texts)
    assert events(stream.encode()) == [text.encode() for text in texts]


def test_comments_and_names_are_left_out() -> None:
    """Keep-alive comments, event names, ids and retry times are no data."""
    assert events(b": ping\n\nevent: delta\nid: 7\nretry: 10\ndata: x\n\n") == [b"x"]


def test_lines_of_one_event_are_joined() -> None:
    """Several data lines are one event."""
    assert events(b"data: {\ndata: }\n\n") == [b"{\n}"]


def test_a_mark_at_the_start_is_skipped() -> None:
    """A byte order mark does not spoil the first event, also when it arrives in pieces."""
    assert events(b"\xef", b"\xbb\xbfdata: x\n\n") == [b"x"]


def test_events_come_as_soon_as_they_are_whole() -> None:
    """An event is given out with the line end that completes it, whatever follows."""
    reader = Events()
    assert reader.feed(b"data: 1\r\n\r") == [b"1"]
    assert reader.feed(b"\ndata: 2\r\n") == []
    assert reader.feed(b"\r\n") == [b"2"]


def test_the_last_blank_line_may_be_missing() -> None:
    """An event at the very end counts without its blank line."""
    assert events(b"data: 1\n\ndata: [DONE]") == [b"1", b"[DONE]"]
