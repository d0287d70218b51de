"""The whole front as one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import answers
from .. import policy as policies_
from ..budget import Budget
from ..errors import ForethoughtError, MissingCapability
from ..front import jsonio
from ..front.errors import Refused, failure_of
from ..front.feedback import PATH as FEEDBACK
from ..front.select import Selector
from ..policy import Policy
from ..ports import Backend, Sink
from ..pricing import Prices
from .asgi import request_id
from .chat import Access, Chat, Thinkers
from .feedback import Feedback
from .models import Models
from .upstream import Closing, Keyed, Relaying

MAX_BODY_BYTES = 32 << 20


def create_app(
    backend: Backend,
    *,
    policies: Mapping[str, Policy] | None = None,
    default: Policy | str | Path | None = None,
    model_ids: Sequence[str] | None = None,
    pass_through_key: bool = False,
    heartbeat_s: float = 15.0,
    max_body_bytes: int = MAX_BODY_BYTES,
    budget: Budget | None = None,
    sinks: Sequence[Sink] | None = None,
) -> Starlette:
    """An OpenAI-compatible server over `backend`, as an ASGI app; it closes the backend when it is shut down.

    `policies` are those that a request may name (all that are installed), `default` is taken where it names
    none. `model_ids` are listed where the upstream cannot list its own. With `pass_through_key` the upstream
    is asked with the key of each caller. `heartbeat_s` is the longest silence in a stream, `budget` caps every
    single request, `sinks` are told of every run. Raises InvalidPolicy, and MissingCapability where the
    default policy cannot run on this backend.
    """
    if pass_through_key and not isinstance(backend, Keyed):
        raise MissingCapability("pass_through_key", backend.capabilities.name, "being asked with a caller's key")
    known = policies_.available() if policies is None else policies
    chosen = _default(default, known)
    thinkers = Thinkers(backend, sinks)
    thinkers.of(chosen, backend)
    access = Access(backend, pass_through_key)
    selector = Selector(known, chosen, budget)
    chat = Chat(access, selector, thinkers, heartbeat_s, max_body_bytes, isinstance(backend, Relaying))
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route(f"/v1{FEEDBACK}", Feedback(access, selector, max_body_bytes), methods=["POST"]),
            *_catalogue(Models(backend, known, model_ids), access),
            Route("/healthz", _healthy),
            Route("/readyz", _ready),
        ],
        exception_handlers={ForethoughtError: _failed, HTTPException: _unknown, Exception: _failed},
        lifespan=_lifespan(backend),
    )
    app.state.draining = False
    return app


def _default(chosen: Policy | str | Path | None, known: Mapping[str, Policy]) -> Policy | None:
    if isinstance(chosen, str) and chosen in known:
        return known[chosen]
    return None if chosen is None else policies_.load(chosen)


def _catalogue(models: Models, access: Access) -> list[Route]:
    async def all_models(request: Request) -> Response:
        listed = await models.all(access.backend_for(request.scope))
        return _json({"object": "list", "data": list(listed.values())})

    async def one_model(request: Request) -> Response:
        listed = await models.all(access.backend_for(request.scope))
        name = request.path_params["id"]
        if name not in listed:
            raise Refused(404, "model_not_found", f"there is no model {name!r}", param="model")
        return _json(listed[name])

    return [Route("/v1/models", all_models), Route("/v1/models/{id:path}", one_model)]


async def _healthy(_: Request) -> Response:
    return _json({"status": "ok"})


async def _ready(request: Request) -> Response:
    draining = request.app.state.draining
    return _json({"status": "draining" if draining else "ready"}, 503 if draining else 200)


async def _failed(_: Request, error: Exception) -> Response:
    failure = failure_of(error)
    headers = [*failure.headers, *request_id()]
    return Response(failure.body, failure.status, {k.decode("latin-1"): v.decode("latin-1") for k, v in headers})


async def _unknown(request: Request, error: Exception) -> Response:
    """No such address, or no such method there."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    code = "unknown_url" if status == 404 else "method_not_allowed"
    return await _failed(request, Refused(status, code, f"{request.method} {request.url.path} is not served here"))


def _json(value: object, status: int = 200) -> Response:
    return Response(jsonio.write(value), status, media_type="application/json")


def _lifespan(backend: Backend) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Reads what is slow to read before the first request, in threads, and closes the backend after the last."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await Prices().load()
        await answers.load()
        yield
        if isinstance(backend, Closing):
            await backend.aclose()

    return lifespan
