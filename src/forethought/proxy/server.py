"""Runs the app on uvicorn, and lets what has begun come to its end when it stops."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette


@dataclass(frozen=True, slots=True)
class Drain:
    """How a server stops: `notice_s` seconds of failing `/readyz`, then up to `drain_s` for running answers."""

    notice_s: float = 0.0
    drain_s: float = 30.0


GARBAGE = 20_000
"""New objects between two collections: requests leave few cycles behind, so the default of 700 looks too often."""


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    drain: Drain = Drain(),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the URL. Raises OSError where the address is not to be had."""
    listening, url = _listen(host, port)
    if ready is not None:
        ready(url)
    gc.freeze()  # what is loaded by now lives as long as the server: collections need not look at it again
    gc.set_threshold(GARBAGE, 20, 50)
    _Server(app, drain).run(sockets=[listening])


@asynccontextmanager
async def serving(
    app: Starlette, *, host: str = "127.0.0.1", port: int = 0, drain: Drain = Drain()
) -> AsyncIterator[str]:
    """Serve in this event loop while the block is open, and give its URL; signals are left alone."""
    listening, url = _listen(host, port)
    server = _Embedded(app, drain)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield url
    finally:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    def __init__(self, app: Starlette, drain: Drain) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=round(drain.drain_s),
            )
        )
        self._app = app
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.draining = True
        await asyncio.sleep(self._drain.notice_s)
        await super().shutdown(sockets)


class _Embedded(_Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    shown = f"[{host}]" if ":" in host else host
    return listening, f"http://{shown}:{listening.getsockname()[1]}"
