"""What the machine gives: a loop of llama_decode and the sampling, and nothing around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from forethought_adapters.llamacpp.job import Sampling
from forethought_adapters.llamacpp.sampling import Sampler

_llama: Any = llama_cpp


class Bare:
    """Decodes one token of each of `sequences` a step, and nothing else; what it writes it forgets."""

    def __init__(self, model: Path, sequences: int, *, cells: int, threads: int) -> None:
        self._sequences = sequences
        self._model = _llama.llama_model_load_from_file(str(model).encode(), _llama.llama_model_default_params())
        params = _llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = cells, sequences, True
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 0
        self._context = _llama.llama_init_from_model(self._model, params)
        self._memory = _llama.llama_get_memory(self._context)
        self._vocabulary = _llama.llama_vocab_n_tokens(_llama.llama_model_get_vocab(self._model))
        self._batch = _llama.llama_batch_init(params.n_batch, 0, 1)

    def run(self, steps: int, sampling: dict[str, Any], *, prompt: int = 0) -> None:
        """Begin anew, read so many tokens once for all sequences, and take so many steps."""
        _llama.llama_memory_clear(self._memory, False)
        if prompt:
            self._decode([300] * prompt, range(prompt), [0] * prompt)
            for index in range(1, self._sequences):
                _llama.llama_memory_seq_cp(self._memory, 0, index, 0, prompt)
        samplers = [Sampler(Sampling(**sampling, seed=seed)) for seed in range(self._sequences)]
        written = [300 + seed for seed in range(self._sequences)]
        for place in range(prompt, prompt + steps):
            rows = self._decode(written, [place] * self._sequences, range(self._sequences))
            written = [sampler.pick(row).token for sampler, row in zip(samplers, rows, strict=True)]

    def close(self) -> None:
        _llama.llama_batch_free(self._batch)
        _llama.llama_free(self._context)
        _llama.llama_model_free(self._model)

    def _decode(self, tokens: Sequence[int], places: Sequence[int], sequences: Sequence[int]) -> Any:
        """The logits of the last token of each sequence: a prompt is read for one."""
        batch = self._batch
        batch.n_tokens, single = len(tokens), len(set(sequences)) == 1
        for index, (token, place, sequence) in enumerate(zip(tokens, places, sequences, strict=True)):
            batch.token[index], batch.pos[index], batch.logits[index] = token, place, not single
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
        assert not _llama.llama_decode(self._context, batch)
        if single:
            return None
        start = _llama.llama_get_logits(self._context)
        return np.ctypeslib.as_array(start, shape=(len(tokens), self._vocabulary))
