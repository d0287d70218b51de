"""llama.cpp opened to embed instead of to write, to be used by one thread."""

from __future__ import annotations

import ctypes
import importlib
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forethought.errors import InvalidModelFile

from .gguf_check import check
from .log import Log
from .native import Batch, NativeError

_llama: Any = importlib.import_module("llama_cpp")

LONGEST = 2_048
"""Tokens of a text that are read, at most; fewer where the model was trained on fewer."""


class Embedding:
    """The model in the GGUF file at `path`, with its own pooling; one that has none is pooled by the mean.

    Raises InvalidModelFile where llama.cpp makes no embedding model of it. Freed with the last reference.
    """

    def __init__(self, path: Path) -> None:
        check(path)
        log = Log(verbose=False)
        self._model: Any = _llama.llama_model_load_from_file(str(path).encode(), _llama.llama_model_default_params())
        if not self._model:
            raise InvalidModelFile(str(path), f"llama.cpp cannot load it{log.reason}")
        weakref.finalize(self, _llama.llama_model_free, self._model)
        self._vocab: Any = _llama.llama_model_get_vocab(self._model)
        self._width: int = _llama.llama_model_n_embd(self._model)
        self._longest = max(1, min(LONGEST, int(_llama.llama_model_n_ctx_train(self._model))))
        self._context: Any = self._pooled()
        if not self._context:
            raise InvalidModelFile(str(path), f"llama.cpp makes no embeddings of it{log.reason}")
        weakref.finalize(self, _llama.llama_free, self._context)  # the last to be registered is the first to go
        self._batch = Batch(self._longest)

    def vector(self, text: str) -> NDArray[np.float32]:
        """What the model makes of `text`, of which it reads `LONGEST` tokens: (width,); nothing, of no tokens."""
        tokens = self._tokens(text)[: self._longest]
        if not tokens:
            return np.zeros(self._width, np.float32)
        memory: Any = _llama.llama_get_memory(self._context)
        if memory:  # an encoder has none
            _llama.llama_memory_clear(memory, True)
        count = len(tokens)
        code: int = _llama.llama_decode(self._context, self._batch.fill(tokens, range(count), [0] * count, [1] * count))
        found: Any = None if code else _llama.llama_get_embeddings_seq(self._context, 0)
        if not found:
            raise NativeError(f"llama_decode failed with {code}")
        return np.array(np.ctypeslib.as_array(found, shape=(self._width,)))

    def _pooled(self) -> Any:
        """A context that pools, None where there can be none: a ranking model gives no vectors."""
        context = self._contextualised(None)
        pooling: int = _llama.llama_pooling_type(context) if context else _llama.LLAMA_POOLING_TYPE_RANK
        if pooling in (_llama.LLAMA_POOLING_TYPE_MEAN, _llama.LLAMA_POOLING_TYPE_CLS, _llama.LLAMA_POOLING_TYPE_LAST):
            return context
        if context:
            _llama.llama_free(context)
        unpooled = pooling == _llama.LLAMA_POOLING_TYPE_NONE
        return self._contextualised(_llama.LLAMA_POOLING_TYPE_MEAN) if unpooled else None

    def _contextualised(self, pooling: int | None) -> Any:
        params = _llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self._longest  # an encoder sees all of a text at once
        params.n_seq_max = 1
        params.embeddings = True
        if pooling is not None:
            params.pooling_type = pooling
        return _llama.llama_init_from_model(self._model, params)

    def _tokens(self, text: str) -> list[int]:
        """Token ids as the model wants a text begun and ended; what is spelled like a special token is text."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        ids = (ctypes.c_int32 * room)()
        count: int = _llama.llama_tokenize(self._vocab, raw, len(raw), ids, room, True, False)
        if count < 0:
            raise NativeError(f"a text of {len(raw)} bytes has {-count} tokens")
        return list(ids[:count])
