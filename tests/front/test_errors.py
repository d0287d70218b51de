"""Errors, as the OpenAI API tells of them."""

from __future__ import annotations

import pytest
from pydantic_core import from_json

from forethought.errors import (
    BudgetExceeded,
    EngineStopped,
    ForethoughtError,
    InvalidPolicy,
    InvalidRequest,
    MissingCapability,
    StoreError,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from forethought.front.errors import NO_RETRY, failure_of


@pytest.mark.parametrize(
    ("error", "status", "code", "repeated"),
    [
        (InvalidRequest("n", 0, "an integer of at least 1 is expected"), 400, "invalid_value", False),
        (InvalidPolicy("layers[0].kind", "x", "the kinds are vote"), 400, "invalid_policy", False),
        (MissingCapability("limit", "b", "continuation"), 400, "missing_capability", False),
        (BudgetExceeded("run", "request_limit", 1, 1), 402, "budget_exceeded", False),
        (UpstreamTimeout("silent"), 504, "upstream_timeout", True),
        (UpstreamUnreachable("refused"), 502, "upstream_unreachable", True),
        (UpstreamProtocol("html"), 502, "upstream_protocol", False),
        (EngineStopped("closed"), 503, "engine_stopped", True),
        (StoreError("locked"), 503, "store_unavailable", False),
    ],
)
def test_our_errors_have_a_status(error: ForethoughtError, status: int, code: str, repeated: bool) -> None:
    """Each becomes an error object under a status that an SDK knows; repeating is refused where it cannot help."""
    told = failure_of(error)
    said = from_json(told.body)["error"]
    assert (told.status, said["code"], said["message"]) == (status, code, str(error))
    assert said["param"] == getattr(error, "field", None)
    assert (NO_RETRY not in told.headers) is repeated


def test_an_upstream_error_is_relayed() -> None:
    """Status, body and retry headers of an upstream's error reach the caller as they came, its other headers do not."""
    headers = {"Retry-After": "3", "content-type": "text/html", "x-ratelimit-limit-requests": "9", "server": "x"}
    told = failure_of(UpstreamStatus(429, b"<html>", headers))
    assert (told.status, told.body) == (429, b"<html>")
    kept = [(b"retry-after", b"3"), (b"content-type", b"text/html"), (b"x-ratelimit-limit-requests", b"9")]
    assert told.headers == kept


def test_a_lasting_upstream_error_is_not_repeated() -> None:
    """An upstream's 400 tells the SDK not to try again."""
    assert NO_RETRY in failure_of(UpstreamStatus(400, b"{}")).headers


def test_foreign_errors_stay_private() -> None:
    """Of an error that nobody expected the caller learns nothing but that it happened."""
    told = failure_of(RuntimeError("secret"))
    assert told.status == 500
    assert b"secret" not in told.body


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff", b'{"error":"no"}', b'{"error":{"message":"no"}}'])
def test_an_upstream_error_in_mid_stream_has_a_message(body: bytes) -> None:
    """Whatever the upstream's body was, the error object that ends a stream has a message."""
    assert failure_of(UpstreamStatus(500, body)).error["message"]
