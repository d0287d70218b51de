"""JSON in and out: the fast parser first, and a lenient one for what is valid JSON all the same."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from ..errors import InvalidRequest


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object; raises InvalidRequest that says where the text stops being one."""
    value = _read(body)
    if not isinstance(value, dict):
        raise InvalidRequest("body", _excerpt(body), "a JSON object is expected")
    return {**value}


def write(value: Any) -> bytes:
    """Compact JSON; numbers that JSON cannot say become null."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:  # half of a surrogate pair, which JSON can only say escaped
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def _read(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        # What the fast parser refuses may be valid: a lone surrogate, or more than 200 levels of nesting.
        try:
            return json.loads(body.decode())
        except (ValueError, RecursionError):
            raise InvalidRequest("body", _excerpt(body), f"valid JSON is expected: {error}") from None


def _excerpt(body: bytes) -> str:
    return body[:60].decode("utf-8", "replace")
