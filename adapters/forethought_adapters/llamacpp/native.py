"""llama.cpp in a thin, typed wrapper, to be used by one thread; only `log`, `hidden` and `vectors` touch it besides."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forethought.errors import InvalidModelFile

from .gguf_check import check
from .guard import CUT
from .log import Log
from .options import Options

_llama: Any = importlib.import_module("llama_cpp")  # its annotations know no ctypes pointers: Any is the honest type

_NO_ROOM = 1
_CONTROL: int = _llama.LLAMA_TOKEN_ATTR_CONTROL | _llama.LLAMA_TOKEN_ATTR_UNKNOWN
_SPECIAL: int = _CONTROL | _llama.LLAMA_TOKEN_ATTR_USER_DEFINED


class NativeError(RuntimeError):
    """llama.cpp failed in a way that leaves the context unusable."""


class Model:
    """A loaded model with one context of `cells` KV cells shared by `slots` sequences.

    `watch` is a native callback that sees tensors while they are computed; whoever gives it keeps it alive.
    Raises InvalidModelFile where the file, or what llama.cpp makes of it, is no model to chat with. Not safe
    for use by two threads, not even in turns without a lock: concurrent use aborts the process.
    """

    def __init__(self, options: Options, slots: int, watch: Any = None) -> None:
        check(options.path)
        log = Log(options.verbose)
        self._model: Any = _load(options, log)
        self._vocab: Any = _llama.llama_model_get_vocab(self._model)
        self.trained: int = _llama.llama_model_n_ctx_train(self._model)
        self.vocabulary: int = _llama.llama_vocab_n_tokens(self._vocab)
        self.layers: int = _llama.llama_model_n_layer(self._model)
        self.width: int = _llama.llama_model_n_embd(self._model)
        self._context: Any = _contextualise(self._model, options, self.trained, slots, watch)
        if not self._context:
            _llama.llama_model_free(self._model)
            raise InvalidModelFile(str(options.path), f"llama.cpp made no context for it{log.reason}")
        self._memory: Any = _llama.llama_get_memory(self._context)
        self.cells: int = min(options.cells(self.trained), _llama.llama_n_ctx(self._context))
        self.batch: int = _llama.llama_n_batch(self._context)
        self._batch = Batch(self.batch)
        self._buffer = ctypes.create_string_buffer(256)

    @property
    def shares(self) -> bool:
        """Whether a part of a sequence can be copied: recurrent state knows only its end."""
        return not (_llama.llama_model_is_recurrent(self._model) or _llama.llama_model_is_hybrid(self._model))

    @property
    def chat_template(self) -> str:
        """The Jinja source in the file, empty where there is none."""
        source: bytes | None = _llama.llama_model_chat_template(self._model, None)
        return (source or b"").decode("utf-8", "replace")

    @property
    def description(self) -> str:
        """What llama.cpp calls it: architecture, size, quantisation."""
        buffer = ctypes.create_string_buffer(256)
        _llama.llama_model_desc(self._model, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def architecture(self) -> str:
        """What the file says of its architecture, such as `llama`."""
        buffer = ctypes.create_string_buffer(64)
        _llama.llama_model_meta_val_str(self._model, b"general.architecture", buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def bos(self) -> str:
        """The text of the token that begins a sequence, empty where there is none."""
        return self._text_of(_llama.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> str:
        """The text of the token that ends a sequence, empty where there is none."""
        return self._text_of(_llama.llama_vocab_eos(self._vocab))

    def marks(self, template: str) -> Iterator[str]:
        """Spellings of special tokens: control tokens, and of the others those that `template` writes, or may put
        together of a role: not the HTML tags that some vocabularies have."""
        for token in range(self.vocabulary):
            attributes: int = _llama.llama_vocab_get_attr(self._vocab, token)
            if attributes & _SPECIAL:
                text = _llama.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                written = text in template or text.startswith(("<|", "<｜"))
                if text.strip() and (written or attributes & _CONTROL):
                    yield text

    def tokenize(self, text: str, *, begin: bool = True) -> list[int]:
        """Token ids of `text`, special tokens read as such; with `begin`, begun as the model wants it, once.

        No token reaches across a CUT.
        """
        first, *rest = text.split(CUT)
        begin = begin and not (self.bos and first.startswith(self.bos))
        return [*self._tokenize(first, begin), *chain.from_iterable(self._tokenize(piece, False) for piece in rest)]

    def knows(self, mark: str) -> bool:
        """Whether `mark` is one token."""
        return len(self.tokenize(mark, begin=False)) == 1

    def _tokenize(self, text: str, begin: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        ids = (ctypes.c_int32 * room)()
        count: int = _llama.llama_tokenize(self._vocab, raw, len(raw), ids, room, begin, True)
        if count < 0:
            raise NativeError(f"a text of {len(raw)} bytes has {-count} tokens")
        return list(ids[:count])

    def piece(self, token: int, *, special: bool) -> bytes:
        """The bytes of `token`; those of a control token only where `special`."""
        size: int = _llama.llama_token_to_piece(self._vocab, token, self._buffer, len(self._buffer), 0, special)
        if size < 0:
            self._buffer = ctypes.create_string_buffer(-size)
            return self.piece(token, special=special)
        return self._buffer.raw[:size]

    def is_end(self, token: int) -> bool:
        """Whether `token` ends a generation."""
        return bool(_llama.llama_vocab_is_eog(self._vocab, token))

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], slots: Sequence[int], wanted: Sequence[bool]
    ) -> Any:
        """Evaluate a batch; returns the logits of the wanted tokens, (wanted, vocabulary) float32, in batch order.

        The rows are valid until the next call. Returns None where no cells were free; raises NativeError.
        """
        code: int = _llama.llama_decode(self._context, self._batch.fill(tokens, positions, slots, wanted))
        if code == _NO_ROOM:
            return None
        if code:
            raise NativeError(f"llama_decode failed with {code}")
        return self._rows(sum(wanted))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let sequence `target` share the first `length` tokens of `source`."""
        _llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def remove(self, slot: int) -> None:
        """Forget sequence `slot`."""
        _llama.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def steer(self, rows: NDArray[np.float32]) -> None:
        """Add row i of `rows`, (layers - 1, width), to what layer i + 1 puts out for each token from now on."""
        rows = np.ascontiguousarray(rows, np.float32)
        pointer: Any = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        code: int = _llama.llama_set_adapter_cvec(self._context, pointer, rows.size, self.width, 1, self.layers - 1)
        if code:
            raise NativeError(f"llama_set_adapter_cvec failed with {code}")

    def automaton(self, grammar: str) -> Automaton | None:
        """A reader of texts of `grammar` (GBNF), None where llama.cpp makes nothing of it; close it after use."""
        sampler: Any = _llama.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
        return Automaton(sampler, self.vocabulary) if sampler else None

    def close(self) -> None:
        """Free context and model; nothing may be called after it."""
        _llama.llama_free(self._context)
        _llama.llama_model_free(self._model)

    def _rows(self, count: int) -> NDArray[np.float32]:
        if not count:
            return np.empty((0, self.vocabulary), np.float32)
        start: Any = _llama.llama_get_logits(self._context)
        return np.ctypeslib.as_array(start, shape=(count, self.vocabulary))

    def _text_of(self, token: int) -> str:
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""


class Automaton:
    """Reads a text of a grammar token by token; a token that does not fit leaves it where it was."""

    _FIELDS = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])

    def __init__(self, sampler: Any, vocabulary: int) -> None:
        self._sampler = sampler
        self._candidates = np.zeros(vocabulary, self._FIELDS)
        kind: Any = _llama.llama_token_data_p
        pointer: Any = self._candidates.ctypes.data_as(kind)
        self._array: Any = _llama.llama_token_data_array(pointer, 0, -1, False)

    def allowed(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """For each token whether it may come next; asking for all of a large vocabulary takes tens of milliseconds."""
        candidates = self._candidates[: len(ids)]
        candidates["id"], candidates["logit"] = ids, 0
        self._array.size = len(ids)
        _llama.llama_sampler_apply(self._sampler, ctypes.byref(self._array))
        fits: NDArray[np.bool_] = candidates["logit"] == 0
        return fits

    def accept(self, token: int) -> bool:
        """Go on by `token` where it fits; returns whether it does. One that does not would abort the process."""
        if not self.allowed(np.array([token]))[0]:
            return False
        _llama.llama_sampler_accept(self._sampler, token)
        return True

    def close(self) -> None:
        """Free it; closing twice changes nothing."""
        sampler, self._sampler = self._sampler, None
        if sampler is not None:
            _llama.llama_sampler_free(sampler)


class Batch:
    """A llama_batch over numpy memory, filled by whole columns."""

    def __init__(self, size: int) -> None:
        self._columns = [np.zeros(size, np.int32) for _ in range(3)]
        self._wanted = np.zeros(size, np.int8)
        self._ones = np.ones(size, np.int32)
        pointer: Any = ctypes.POINTER(ctypes.c_int32)
        token, position = (column.ctypes.data_as(pointer) for column in self._columns[:2])
        start, step = self._columns[2].ctypes.data, self._columns[2].itemsize
        self._slots: Any = (pointer * size)(*(ctypes.cast(start + step * i, pointer) for i in range(size)))
        self._batch: Any = _llama.llama_batch(
            0, token, None, position, self._ones.ctypes.data_as(pointer), self._slots,
            self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )  # fmt: skip

    def fill(self, *columns: Iterable[int]) -> Any:
        *numbers, wanted = (list(column) for column in columns)
        size = len(wanted)
        for column, values in zip(self._columns, numbers, strict=True):
            column[:size] = values
        self._wanted[:size] = wanted
        self._batch.n_tokens = size
        return self._batch


def _load(options: Options, log: Log) -> Any:
    params = _llama.llama_model_default_params()
    params.n_gpu_layers = options.n_gpu_layers
    params.main_gpu = options.main_gpu
    if options.split_mode is not None:
        params.split_mode = options.split_mode
    model = _llama.llama_model_load_from_file(str(options.path).encode(), params)
    if not model:
        raise InvalidModelFile(str(options.path), f"llama.cpp cannot load it{log.reason}")
    if not _llama.llama_model_has_decoder(model):
        _llama.llama_model_free(model)
        raise InvalidModelFile(str(options.path), "it writes no text: it has no decoder")
    return model


def _contextualise(model: Any, options: Options, trained: int, slots: int, watch: Any) -> Any:
    params = _llama.llama_context_default_params()
    # Room for fewer tokens than there are sequences would abort the process.
    params.n_ctx = max(options.cells(trained), slots)
    params.n_batch = params.n_ubatch = max(options.n_batch, slots)
    params.n_seq_max = slots
    if watch is not None:
        params.cb_eval = watch
        params.type_k = params.type_v = _llama.GGML_TYPE_F32  # what is read is not rounded on its way
    params.n_threads = params.n_threads_batch = options.threads
    if not _llama.llama_supports_gpu_offload():
        params.flash_attn_type = 0  # on a CPU it is slower and loses two digits of the logits
    params.kv_unified = True  # with it a part of a sequence can be copied; without, that aborts the process
    return _llama.llama_init_from_model(model, params)
