"""Vectors for tests: a server's answers, and an embedder that takes the server's place where none is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from forethought.errors import ForethoughtError

from .upstream import Answer, Received, Response, raw

TOPICS: Mapping[str, tuple[str, ...]] = {
    "roots": ("root", "polynomial", "zeros"),
    "circles": ("circle", "chord", "round"),
    "counting": ("count", "arrangements", "how many"),
}


def vector(text: str) -> list[float]:
    """How often a text speaks of each topic, whatever words it uses, and a little of nothing."""
    return [*(float(sum(text.lower().count(w) for w in words)) for words in TOPICS.values()), 0.1]


def embeds(*, backwards: bool = False) -> Answer:
    """The vectors of what was asked, as OpenAI's `/embeddings` gives them; `backwards` in the other order."""

    def answer(request: Received) -> Response:
        rows = [
            {"object": "embedding", "index": index, "embedding": vector(text)}
            for index, text in enumerate(request.json["input"])
        ]
        body = {"object": "list", "data": rows[::-1] if backwards else rows, "model": request.json["model"]}
        return raw(json.dumps(body).encode(), content_type="application/json")(request)

    return answer


class Embedding:
    """An embedder that keeps what it was asked; with `failure` it raises that instead of answering."""

    def __init__(self, failure: ForethoughtError | None = None) -> None:
        self.failure = failure
        self.asked: list[list[str]] = []

    @property
    def name(self) -> str:
        return "topics"

    async def embed(self, texts: Sequence[str], /) -> list[list[float]]:
        self.asked.append(list(texts))
        if self.failure is not None:
            raise self.failure
        return [vector(text) for text in texts]
