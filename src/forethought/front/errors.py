"""Which status, body and headers an error becomes, in the OpenAI shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ..errors import (
    BudgetExceeded,
    EngineStopped,
    ForethoughtError,
    InvalidPolicy,
    InvalidRequest,
    MissingCapability,
    StoreError,
    UpstreamError,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from . import jsonio

Headers = list[tuple[bytes, bytes]]
INVALID = "invalid_request_error"
NO_RETRY = (b"x-should-retry", b"false")
"""Clients repeat 408, 409, 429 and 5xx by themselves; this keeps them from paying twice for what cannot help."""


class Refused(ForethoughtError):
    """The front itself turns a request down, with `status` and `code`."""

    def __init__(self, status: int, code: str, message: str, *, type: str = INVALID, param: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.status = status
        self.code = code
        self.type = type
        self.param = param


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it goes out: `error` is the object inside `body`."""

    status: int
    error: Mapping[str, Any]
    body: bytes
    headers: Headers


def failure_of(error: Exception) -> Failure:
    """What the caller is told of an error; of one that nobody expected no more than that."""
    if isinstance(error, UpstreamStatus):
        return _passed_on(error)
    status, kind, code = _class_of(error)
    param = getattr(error, "field", None) or getattr(error, "param", None)
    message = str(error) if isinstance(error, ForethoughtError) else "the server failed; its log says why"
    said = {"message": message, "type": kind, "param": param, "code": code}
    again = isinstance(error, EngineStopped) or (isinstance(error, UpstreamError) and error.transient)
    headers: Headers = [(b"content-type", b"application/json")]
    return Failure(status, said, jsonio.write({"error": said}), headers if again else [*headers, NO_RETRY])


def _class_of(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, Refused):
        return error.status, error.type, error.code
    for kind, status, name, code in _KINDS:
        if isinstance(error, kind):
            return status, name, code
    return 500, "server_error", "internal_error"


def _passed_on(error: UpstreamStatus) -> Failure:
    """Status and body as the upstream sent them, with the headers that steer a client's retries."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in error.headers.items()
        if name in _KEPT or name.startswith("x-ratelimit-")
    ]
    if not error.transient and "x-should-retry" not in error.headers:
        headers.append(NO_RETRY)
    return Failure(error.status, _said_in(error), error.body, headers)


def _said_in(error: UpstreamStatus) -> Mapping[str, Any]:
    try:
        return {**from_json(error.body)["error"]}
    except (ValueError, TypeError, KeyError):
        return {"message": str(error), "type": "upstream_error", "param": None, "code": error.status}


_KEPT = frozenset({"content-type", "retry-after", "retry-after-ms", "x-should-retry", "x-request-id"})
_KINDS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (InvalidRequest, 400, INVALID, "invalid_value"),
    (InvalidPolicy, 400, INVALID, "invalid_policy"),
    (MissingCapability, 400, INVALID, "missing_capability"),
    (BudgetExceeded, 402, "insufficient_quota", "budget_exceeded"),
    (UpstreamTimeout, 504, "upstream_error", "upstream_timeout"),
    (UpstreamUnreachable, 502, "upstream_error", "upstream_unreachable"),
    (UpstreamProtocol, 502, "upstream_error", "upstream_protocol"),
    (EngineStopped, 503, "server_error", "engine_stopped"),
    (StoreError, 503, "server_error", "store_unavailable"),
)
