"""Vectors from a real server that speaks `/embeddings`."""

from __future__ import annotations

import asyncio

import pytest

from forethought.errors import (
    InvalidPolicy,
    InvalidRequest,
    UpstreamProtocol,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from forethought_adapters.openai_embeddings import OpenAIEmbeddings
from support.embedding import embeds, vector
from support.upstream import SILENCE, Upstream, fails, late, raw

TEXTS = ["Sum of the roots", "Two chords of a circle", "How many?"]


def embedder(upstream: Upstream, **options: int | float | str) -> OpenAIEmbeddings:
    given = {"model": "m", "url": upstream.base_url, "retries": 0, **options}
    return OpenAIEmbeddings(**given)  # type: ignore[arg-type]


async def test_a_vector_for_each_text(upstream: Upstream) -> None:
    """What comes back are the vectors of the texts, in their order."""
    upstream.script(embeds())
    assert await embedder(upstream).embed(TEXTS) == [vector(text) for text in TEXTS]


async def test_what_is_asked(upstream: Upstream) -> None:
    """The server is asked for plain numbers of this model, with the key."""
    upstream.script(embeds())
    await embedder(upstream, api_key="secret").embed(TEXTS)
    (request,) = upstream.requests
    assert (request.path, request.headers["authorization"]) == ("/v1/embeddings", "Bearer secret")
    assert request.json == {"model": "m", "input": TEXTS, "encoding_format": "float"}


async def test_in_the_order_of_their_index(upstream: Upstream) -> None:
    """A server that answers in another order is understood by its indices."""
    upstream.script(embeds(backwards=True))
    assert await embedder(upstream).embed(TEXTS) == [vector(text) for text in TEXTS]


async def test_batches(upstream: Upstream) -> None:
    """No request holds more texts than a batch has."""
    upstream.script(embeds())
    assert await embedder(upstream, batch=2).embed(TEXTS) == [vector(text) for text in TEXTS]
    assert [request.json["input"] for request in upstream.requests] == [TEXTS[:2], TEXTS[2:]]


async def test_one_connection(upstream: Upstream) -> None:
    """Equal embedders share a connection, so that a policy that a request brings along opens none."""
    upstream.script(embeds())
    for _ in range(3):
        await embedder(upstream).embed(TEXTS)
    assert (len(upstream.requests), upstream.connections) == (3, 1)


async def test_asks_again(upstream: Upstream) -> None:
    """A transient failure is asked again, after the wait that the server names."""
    upstream.script(fails(503, retry_after="0"), embeds())
    assert len(await embedder(upstream, retries=1).embed(TEXTS)) == len(TEXTS)


async def test_what_fails_for_good(upstream: Upstream) -> None:
    """A refusal is raised with its status and body, and not asked again."""
    upstream.script(fails(400, "too long"))
    with pytest.raises(UpstreamStatus, match="too long"):
        await embedder(upstream, retries=2).embed(TEXTS)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"data": [{"embedding": "AAAA", "index": 0}]}',
        b'{"data": [{"embedding": [1.0], "index": 0}]}',
    ],
)
async def test_what_is_no_answer(upstream: Upstream, body: bytes) -> None:
    """Anything but a vector for each text is a failure of the upstream."""
    upstream.script(raw(body))
    with pytest.raises(UpstreamProtocol):
        await embedder(upstream).embed(TEXTS)


async def test_silence(upstream: Upstream) -> None:
    """A server that says nothing is not waited for."""
    upstream.script(late(SILENCE, embeds()))
    with pytest.raises(UpstreamTimeout):
        await embedder(upstream, timeout_s=0.05).embed(TEXTS)


async def test_nobody_there(upstream: Upstream) -> None:
    """A server that is not there is unreachable."""
    with pytest.raises(UpstreamUnreachable):
        await OpenAIEmbeddings(url="http://127.0.0.1:9/v1", retries=0).embed(TEXTS)


async def test_no_text(upstream: Upstream) -> None:
    """Half a character, which is no JSON, is an error of ours."""
    with pytest.raises(InvalidRequest):
        await embedder(upstream).embed(["\ud800"])


async def test_leaving_aborts(upstream: Upstream) -> None:
    """Cancelled, the request is really aborted."""
    upstream.script(late(SILENCE, embeds()))
    task = asyncio.ensure_future(embedder(upstream, timeout_s=60).embed(TEXTS))
    for _ in range(1000):
        if upstream.live:
            break
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await upstream.quiet()


def test_connections_end_with_their_loop() -> None:
    """Nothing is left open when the event loop ends, and another loop opens its own."""

    async def ask() -> int:
        async with Upstream(embeds()) as server:
            return len(await embedder(server).embed(TEXTS))

    assert [asyncio.run(ask()) for _ in range(2)] == [len(TEXTS)] * 2


async def test_server_of_the_environment(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the server and its key, and the key of another server is not sent there."""
    upstream.script(embeds())
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
    monkeypatch.setenv("FORETHOUGHT_EMBEDDINGS_URL", upstream.base_url)
    await OpenAIEmbeddings().embed(TEXTS)
    monkeypatch.setenv("FORETHOUGHT_EMBEDDINGS_KEY", "of-embeddings")
    await OpenAIEmbeddings().embed(TEXTS)
    assert [r.headers.get("authorization") for r in upstream.requests] == [None, "Bearer of-embeddings"]


@pytest.mark.parametrize("options", [{"batch": 0}, {"retries": -1}, {"timeout_s": -1}, {"url": "file:///etc"}])
def test_wrong_options(options: dict[str, int]) -> None:
    """What makes no sense is refused when it is made."""
    with pytest.raises(InvalidPolicy, match=rf"embeddings\.{next(iter(options))}"):
        OpenAIEmbeddings(**options)  # type: ignore[arg-type]


def test_the_key_is_not_shown() -> None:
    """The key does not stand in the representation."""
    assert "secret" not in repr(OpenAIEmbeddings(api_key="secret"))
