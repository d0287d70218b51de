"""The servers that are compared: `python fronts.py bare|none|vote PORT UPSTREAM_URL`.

`bare` is the least that a relay on Starlette and aiohttp can be: it reads the body, sends it on and gives the
answer back. `none` is Forethought with no layers, `vote` the same with a vote of one, and so with the whole
spine in the path.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from forethought.policy import Policy
from forethought.proxy import create_app, serve
from forethought.search.vote import Vote
from forethought_adapters.openai_http import open_backend


def bare(upstream: str) -> Starlette:
    """A relay that does nothing else; also no look at the body, no errors, no limits."""
    session: aiohttp.ClientSession

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal session
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield

    async def relay(request: Request) -> Response:
        headers = {"content-type": "application/json", "authorization": "Bearer sk-upstream"}
        body = await request.body()
        answer = await session.post(f"{upstream}/chat/completions", data=body, headers=headers)
        kind = answer.headers["content-type"]
        if kind.startswith("application/json"):
            async with answer:
                return Response(await answer.read(), answer.status, media_type=kind)

        async def chunks() -> AsyncIterator[bytes]:
            async with answer:
                async for chunk in answer.content.iter_any():
                    yield chunk

        return StreamingResponse(chunks(), answer.status, media_type=kind)

    return Starlette(routes=[Route("/v1/chat/completions", relay, methods=["POST"])], lifespan=lifespan)


def ours(upstream: str, policy: Policy | None) -> Starlette:
    return create_app(open_backend(upstream, api_key="sk-upstream"), default=policy)


def main(kind: str, port: str, upstream: str) -> None:
    policy = Policy("vote of one", layers=(Vote(samples=1),)) if kind == "vote" else None
    serve(bare(upstream) if kind == "bare" else ours(upstream, policy), port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
