"""The one tree of errors.

    ForethoughtError
    ├── InvalidRequest          the caller's JSON is not a request we can serve
    ├── InvalidPolicy           a policy file or value is wrong: names line and field
    ├── MissingCapability       a layer needs what the backend below cannot do
    ├── MissingExtra            an optional package is not installed
    ├── BudgetExceeded          a run has nothing at all to show within its budget
    ├── InvalidModelFile        a GGUF that is truncated, foreign or too new
    ├── EngineStopped           the in-process engine was closed or died under a request
    ├── StoreError              what outlives a request could not be read or written
    │   └── StoreConflict       somebody else has written since: read again, then write
    └── UpstreamError           the model's server failed
        ├── UpstreamStatus      it answered with an error status: kept with body and headers
        ├── UpstreamTimeout     it said nothing for too long
        ├── UpstreamUnreachable no connection could be made, or it broke before an answer
        └── UpstreamProtocol    it answered something that is not a completion

Adapters translate foreign exceptions into this tree with ``raise … from``. Errors carry their facts as
attributes; messages name the field, the value and what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ForethoughtError(Exception):
    """Every error that Forethought raises on purpose."""


class InvalidRequest(ForethoughtError):
    """A field of the caller's request is not usable; carries `field`, `value` and `hint`."""

    def __init__(self, field: str, value: object, hint: str) -> None:
        super().__init__(f"{field}: got {_short(value)}; {hint}")
        self.field = field
        self.value = value
        self.hint = hint


class InvalidPolicy(ForethoughtError):
    """A policy is wrong at `field`; `line` is its line in the file where there is one."""

    def __init__(self, field: str, value: object, hint: str, *, source: str = "", line: int | None = None) -> None:
        place = f"{source}:{line}: " if source and line else f"{source}: " if source else ""
        super().__init__(f"{place}{field}: got {_short(value)}; {hint}")
        self.field = field
        self.value = value
        self.hint = hint
        self.source = source
        self.line = line


class MissingCapability(ForethoughtError):
    """The layer `layer` needs `capability`, which the backend `backend` does not have."""

    def __init__(self, layer: str, backend: str, capability: str) -> None:
        super().__init__(f"layer {layer!r} needs {capability} and backend {backend!r} does not offer it")
        self.layer = layer
        self.backend = backend
        self.capability = capability


class MissingExtra(ForethoughtError):
    """An optional package is needed: says which extra installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package!r} is not installed; pip install 'forethought[{extra}]'")
        self.package = package
        self.extra = extra


class BudgetExceeded(ForethoughtError):
    """Nothing could be answered within `limit` of scope `scope`: `allowed` were granted, `spent` are gone."""

    def __init__(self, scope: str, limit: str, allowed: object, spent: object, hint: str = "") -> None:
        super().__init__(f"budget of {scope!r}: {limit} is {allowed}, spent {spent}{'; ' + hint if hint else ''}")
        self.scope = scope
        self.limit = limit
        self.allowed = allowed
        self.spent = spent


class InvalidModelFile(ForethoughtError):
    """The file at `path` cannot be loaded as a GGUF model, for `reason`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r} is not a usable GGUF file: {reason}")
        self.path = path
        self.reason = reason


class EngineStopped(ForethoughtError):
    """The in-process engine ended while, or before, this request was served."""


class StoreError(ForethoughtError):
    """A store could not be read or written; nothing was half-written."""


class StoreConflict(StoreError):
    """`key` is at version `current`, not at `expected`, on which the refused write was based (0: no value)."""

    def __init__(self, key: str, expected: int, current: int) -> None:
        super().__init__(f"{key!r} is at version {current}, not {expected}; read it again and repeat the change")
        self.key = key
        self.expected = expected
        self.current = current


class UpstreamError(ForethoughtError):
    """The model's server failed."""

    @property
    def transient(self) -> bool:
        """Whether asking again may help."""
        return False


class UpstreamStatus(UpstreamError):
    """The upstream answered with an error status; `body` (bytes) and `headers` are kept as they came."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"upstream answered {status}: {_short(body.decode('utf-8', 'replace'), 300)}")
        self.status = status
        self.body = body
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}

    @property
    def transient(self) -> bool:
        return self.headers.get("x-should-retry", "").lower() != "false" and (
            self.status in (408, 409, 429) or self.status >= 500
        )

    @property
    def retry_after(self) -> float | None:
        """Seconds that the upstream asks to wait, or None where it does not say."""
        for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
            try:
                return float(self.headers[name]) * unit
            except (KeyError, ValueError):
                continue
        return None


class UpstreamTimeout(UpstreamError):
    """The upstream was silent for longer than allowed."""

    @property
    def transient(self) -> bool:
        return True


class UpstreamUnreachable(UpstreamError):
    """No connection, or it broke before the answer began."""

    @property
    def transient(self) -> bool:
        return True


class UpstreamProtocol(UpstreamError):
    """What came back is not a completion: HTML, broken SSE, a stream without an end."""


def _short(value: Any, width: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"
