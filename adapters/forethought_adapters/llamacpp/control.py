"""Control vectors: a direction for each layer, in a GGUF file as llama.cpp's own tools write and read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from forethought.errors import InvalidModelFile

from .gguf_check import check

ARCHITECTURE = "controlvector"
_DIRECTION = re.compile(r"direction\.([1-9]\d{0,3})")
_STUMBLES = (ValueError, LookupError, OverflowError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class ControlVector:
    """`directions` by layer, each (width,) float32, and the architecture that the file at `path` says they are for.

    Layers are counted from 0, and direction i is added to what layer i puts out; llama.cpp never steers layer 0.
    """

    path: Path
    hint: str
    directions: Mapping[int, NDArray[np.float32]]

    def rows(self, *, architecture: str, layers: int, width: int, scale: float = 1.0) -> NDArray[np.float32]:
        """`scale` times one row for each layer from 1 on, (layers - 1, width), zero where the file has no direction.

        Raises InvalidModelFile where the vector was made for another model than this one, or is too long when scaled.
        """
        if self.hint != architecture and self.hint in _architectures():
            _refuse(self.path, f"{ARCHITECTURE}.model_hint: {self.hint!r}, where the model is {architecture!r}")
        rows = np.zeros((max(0, layers - 1), width))
        for layer, direction in self.directions.items():
            if layer >= layers:
                _refuse(self.path, f"direction.{layer}: layers 1 to {layers - 1} of this model can be steered")
            if len(direction) != width:
                _refuse(self.path, f"direction.{layer}: {len(direction)} numbers, where the model is {width} wide")
            rows[layer - 1] = direction
        if np.abs(rows).max(initial=0) * abs(scale) > np.finfo(np.float32).max:
            _refuse(self.path, f"{scale:g} times its numbers, as steering_scale says, is more than a float32 holds")
        return (rows * scale).astype(np.float32)


def read(path: Path) -> ControlVector:
    """The control vector in the file at `path`; raises InvalidModelFile naming what is wrong with it."""
    from gguf import GGUFReader  # noqa: PLC0415 - an optional package, which few engines need

    check(path)
    try:
        reader: Any = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: (tensor.tensor_type.name, tensor.data) for tensor in reader.tensors}
    except _STUMBLES as error:
        raise InvalidModelFile(str(path), f"it cannot be read: {error}") from error
    architecture = fields.get("general.architecture")
    if architecture != ARCHITECTURE:
        _refuse(path, f"general.architecture: {architecture!r}, where a control vector has {ARCHITECTURE!r}")
    directions = dict(_direction(path, name, *tensor) for name, tensor in tensors.items())
    return ControlVector(path, str(fields.get(f"{ARCHITECTURE}.model_hint", "")), directions)


def write(vector: ControlVector) -> None:
    """Write `vector` to its file, for `read` and for llama.cpp's `--control-vector`; raises OSError."""
    from gguf import GGUFWriter  # noqa: PLC0415 - as above

    writer: Any = GGUFWriter(vector.path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", vector.hint)
    writer.add_int32(f"{ARCHITECTURE}.layer_count", len(vector.directions))
    for layer, direction in vector.directions.items():
        writer.add_tensor(f"direction.{layer}", np.ascontiguousarray(direction, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _direction(path: Path, name: str, kind: str, data: NDArray[Any]) -> tuple[int, NDArray[np.float32]]:
    found = _DIRECTION.fullmatch(name)
    if found is None:
        _refuse(path, f"tensor {name!r}: names from direction.1 on are expected")
    if kind != "F32" or data.ndim != 1:
        _refuse(path, f"{name}: {kind} of {data.ndim} dimensions, where F32 of one is expected")
    if not np.isfinite(data).all():
        _refuse(path, f"{name}: numbers that are not finite")
    return int(found[1]), np.array(data, np.float32)


def _architectures() -> set[str]:
    """The names by which llama.cpp knows architectures; a hint that is none of them says nothing."""
    from gguf import MODEL_ARCH_NAMES  # noqa: PLC0415 - as above

    return set(MODEL_ARCH_NAMES.values())


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InvalidModelFile(str(path), reason)
