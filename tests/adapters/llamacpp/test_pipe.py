"""What crosses the pipe between two processes of ours."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import EngineStopped, ForethoughtError, InvalidModelFile, InvalidRequest
from forethought_adapters.llamacpp.pipe import Child, receive, send

facts = st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)
errors = (
    st.builds(InvalidRequest, st.text(), facts, st.text())
    | st.builds(InvalidModelFile, st.text(), st.text())
    | st.builds(EngineStopped, st.text())
    | st.builds(RuntimeError, st.text(), st.integers())
)


@given(st.lists(errors))
def test_errors_cross_whole(sent: list[Exception]) -> None:
    """An error arrives with its class, its message and its facts, wherever in a message it stands."""
    pipe = io.BytesIO()
    send(pipe, {"errors": sent})
    pipe.seek(0)
    received = receive(pipe)["errors"]
    assert [(type(e), str(e), vars(e)) for e in received] == [(type(e), str(e), vars(e)) for e in sent]


@given(st.lists(facts), st.integers(min_value=1))
def test_messages_come_in_order_and_whole(messages: list[Any], missing: int) -> None:
    """Messages arrive as they were sent; one that was cut is an end, not a message."""
    pipe = io.BytesIO()
    for message in messages:
        send(pipe, message)
    whole = pipe.getvalue()
    pipe.seek(0)
    assert [receive(pipe) for _ in messages] == messages
    if messages:
        last = io.BytesIO()
        send(last, messages[-1])
        cut = min(missing, len(last.getvalue()))
        pipe = io.BytesIO(whole[:-cut])
        assert [receive(pipe) for _ in messages[:-1]] == messages[:-1]
    with pytest.raises(EOFError):
        receive(pipe)


def test_a_child_that_cannot_start_is_an_error() -> None:
    """A child that ends without an answer raises EngineStopped with its exit code."""
    child = Child("forethought.errors")
    with pytest.raises(EngineStopped, match="exit code 0") as raised:
        child.ask("anything")
    assert isinstance(raised.value, ForethoughtError)
    child.end()
    assert child.dead
