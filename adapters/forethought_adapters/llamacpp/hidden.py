"""Reads hidden states: what each layer puts out while a text is evaluated."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forethought.errors import InvalidModelFile, InvalidRequest

from .native import Model, NativeError
from .options import Options

_llama: Any = importlib.import_module("llama_cpp.llama_cpp")
_ggml: Any = _llama._lib  # noqa: SLF001 - finds the symbols of the very ggml that this libllama uses

_OUTPUT = re.compile(rb"l_out-(\d+)")
"""What llama.cpp calls the output of a layer, where a control vector has been added to it already."""

CHUNK = 64
"""Tokens of a batch: each one's logits are computed too, because only then does the last layer put out its state."""

_FLOAT = 4


class Hidden:
    """A model opened to be read instead of to write, for one thread; raises InvalidModelFile as `Model` does.

    It is not steered, whatever the options say.
    """

    def __init__(self, options: Options) -> None:
        self._tap = _Tap()
        self.model = Model(replace(options, n_parallel=1, n_batch=CHUNK), slots=1, watch=self._tap.callback)
        self._path = str(options.path)

    def mean(self, tokens: Sequence[int], start: int) -> NDArray[np.float64]:
        """The mean state of the tokens from `start` on, as each layer but the first puts it out: (layers - 1, width).

        Raises InvalidRequest where the tokens do not fit into the context, or where none are left from `start` on.
        """
        if not 0 <= start < len(tokens) <= self.model.cells:
            hint = f"with its prompt a thought may have {self.model.cells} tokens, and has at least one"
            raise InvalidRequest("prefix", f"{len(tokens)} tokens, {len(tokens) - start} of them thought", hint)
        total = np.zeros((self.model.layers - 1, self.model.width))
        self.model.remove(0)
        for first in range(0, len(tokens), CHUNK):
            states = self._states(tokens[first : first + CHUNK], first)
            total += states[:, max(0, start - first) :].sum(axis=1, dtype=np.float64)
        return total / (len(tokens) - start)

    def close(self) -> None:
        """Free the model; nothing may be called after it."""
        self.model.close()

    def _states(self, tokens: Sequence[int], first: int) -> NDArray[np.float32]:
        """The states of a batch that begins at position `first`: (layers - 1, tokens, width)."""
        count = len(tokens)
        self._tap.states.clear()
        if self.model.decode(tokens, range(first, first + count), [0] * count, [True] * count) is None:
            raise NativeError(f"no cells are free for {count} tokens")
        shape = (count, self.model.width)
        seen = [self._tap.states.get(layer) for layer in range(1, self.model.layers)]
        states = [state.reshape(shape) for state in seen if state is not None and state.size == count * shape[1]]
        if not states or len(states) < len(seen):
            raise InvalidModelFile(self._path, f"llama.cpp shows no layer outputs of {self.model.architecture!r}")
        return np.stack(states)


class _Tap:
    """Copies layer outputs while llama.cpp computes; `states` are those of the last batch by layer, flat."""

    def __init__(self) -> None:
        self.states: dict[int, NDArray[np.float32]] = {}
        self.callback: Any = _llama.ggml_backend_sched_eval_callback(self._watch)

    def _watch(self, tensor: int, ask: bool, _data: object) -> bool:
        """Asked first whether the tensor is wanted, then called again when it is computed; True goes on."""
        found = _OUTPUT.fullmatch(_get_name(tensor))
        if found and not ask:
            self.states[int(found[1])] = _content(tensor)
        return found is not None


def _content(tensor: int) -> NDArray[np.float32]:
    """A copy of a float32 tensor, from whatever device it is on; empty where it is of another type."""
    size: int = _count_bytes(tensor)
    content = np.empty(size // _FLOAT if size == _FLOAT * _count_elements(tensor) else 0, np.float32)
    _copy(tensor, content.ctypes.data, 0, content.nbytes)
    return content


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_ggml, name)
    function.restype, function.argtypes = result, arguments
    return function


_get_name = _function("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
_count_elements = _function("ggml_nelements", ctypes.c_int64, ctypes.c_void_p)
_count_bytes = _function("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
_copy = _function("ggml_backend_tensor_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
