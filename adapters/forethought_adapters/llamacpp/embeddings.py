"""Vectors of texts from a GGUF file in this process, on llama.cpp."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from forethought.errors import EngineStopped, InvalidPolicy, MissingExtra
from forethought.ports import IN_CODE


@dataclass(frozen=True, slots=True)
class LlamaCppEmbeddings:
    """The embedding model in the GGUF file `model`, loaded on first use and shared by all that name it.

    `model` is a path below the working directory, since a request may bring a policy along and must not reach other
    files by it; code may give any `path` instead. A model without a pooling of its own, which was made to write, is
    pooled by the mean. Raises InvalidPolicy for a path elsewhere, and MissingExtra without the extra `local`.
    """

    kind: ClassVar[str] = "llamacpp"

    model: str = ""
    path: Path | None = field(default=None, metadata=IN_CODE)

    def __post_init__(self) -> None:
        if find_spec("llama_cpp") is None:
            raise MissingExtra("llama-cpp-python", "local")
        if self.path is None and self.model:
            _below(self.model)

    @property
    def name(self) -> str:
        return f"{self.kind}/{(self.path or Path(self.model)).stem}"

    async def embed(self, texts: Sequence[str], /) -> Sequence[Any]:
        """A vector for each text; raises InvalidModelFile, and EngineStopped where llama.cpp fails.

        Left early, what has been begun is read to its end in its own thread.
        """
        return await _reader((self.path or _below(self.model)).resolve()).read(texts)


class _Reader:
    """A model and the one thread that touches it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        self._model: Any = None

    async def read(self, texts: Sequence[str]) -> Sequence[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, list(texts))

    def _read(self, texts: Sequence[str]) -> Sequence[Any]:
        native = import_module(".vectors", __package__)  # which imports llama.cpp
        if self._model is None:
            self._model = native.Embedding(self._path)
        try:
            return [self._model.vector(text) for text in texts]
        except native.NativeError as error:
            self._model = None  # its context is unusable, and a new one is made when it is next asked for
            raise EngineStopped(f"{self._path.name}: {error}") from error


@lru_cache(maxsize=2)
def _reader(path: Path) -> _Reader:
    return _Reader(path)


def _below(model: str) -> Path:
    try:
        path = Path(model).resolve()
        inside = path.is_relative_to(Path.cwd().resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, or what is no path at all
        inside = False
    if not inside or not model.endswith(".gguf"):
        raise InvalidPolicy(
            "embeddings.model", model, "the path of a .gguf file below the working directory is expected"
        )
    return Path(model)
