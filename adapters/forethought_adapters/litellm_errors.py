"""Translates litellm's exceptions into our tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from forethought.errors import UpstreamError, UpstreamProtocol, UpstreamStatus, UpstreamTimeout, UpstreamUnreachable


def _status(error: Any) -> UpstreamError:
    if any(type(cause).__name__ == "APIConnectionError" for cause in _causes(error)):
        return UpstreamUnreachable(str(error))  # which litellm reports as a status of 500
    body = getattr(error, "body", None)
    if isinstance(body, str):
        content = body.encode()
    else:
        content = to_json({"error": body or {"message": str(error), "type": type(error).__name__}}, fallback=str)
    headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
    return UpstreamStatus(int(getattr(error, "status_code", None) or 400), content, headers)


def _timeout(error: Any) -> UpstreamError:
    return UpstreamTimeout(str(error))


def _unreachable(error: Any) -> UpstreamError:
    return UpstreamUnreachable(str(error))


def _protocol(error: Any) -> UpstreamError:
    return UpstreamProtocol(str(error))


def _broken_off(error: Any) -> UpstreamError:
    """What litellm raises for any failure inside a stream; the reason is in the chain of causes."""
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return UpstreamTimeout(str(error))
    return UpstreamUnreachable(str(error)) if error.is_pre_first_chunk else UpstreamProtocol(str(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):
        if error is None:
            return
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


# fmt: off
KINDS: Mapping[str, Callable[[Any], UpstreamError]] = {
    **dict.fromkeys((
        "APIError", "AuthenticationError", "BadGatewayError", "BadRequestError", "BlockedPiiEntityError",
        "BudgetExceededError", "ContentPolicyViolationError", "ContextWindowExceededError",
        "GuardrailRaisedException", "ImageFetchError", "InternalServerError", "InvalidRequestError",
        "LiteLLMUnknownProvider", "MockException", "ModelNotMappedError", "ModifyResponseException",
        "NotFoundError", "PaymentRequiredError", "PermissionDeniedError", "RateLimitError",
        "RejectedRequestError", "SensitiveDataRouteException", "ServiceUnavailableError",
        "UnprocessableEntityError", "UnsupportedParamsError", "VectorStoreSearchError",
    ), _status),
    **dict.fromkeys(("APIResponseValidationError", "JSONSchemaValidationError", "OpenAIError"), _protocol),
    "APIConnectionError": _unreachable,
    "MidStreamFallbackError": _broken_off,
    "Timeout": _timeout,
}
# fmt: on


def foreign_errors(litellm: Any) -> tuple[type[Exception], ...]:
    """The exception classes of this litellm that `translated` knows."""
    return tuple(getattr(litellm.exceptions, name) for name in KINDS if hasattr(litellm.exceptions, name))


def translated(error: Exception) -> UpstreamError:
    """The error of our tree that says the same; the nearest known class decides."""
    kind = next(KINDS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in KINDS)
    return kind(error)
