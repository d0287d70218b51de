"""Looks at a GGUF file before llama.cpp does, because its loader may crash on a bad one."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from forethought.errors import InvalidModelFile

_MAX_TENSORS = 1 << 20
_MAX_FIELDS = 1 << 16
_MAX_DIMENSIONS = 4
_VERSIONS = (2, 3)
_ALIGNMENT = 32


def check(path: Path) -> None:
    """Raise InvalidModelFile unless the header of `path` is whole and every tensor lies within the file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _Header(content).check()
    except FileNotFoundError as error:
        raise InvalidModelFile(str(path), "there is no such file") from error
    except OSError as error:
        raise InvalidModelFile(str(path), f"it cannot be read: {error.strerror}") from error
    except _BadHeaderError as error:
        raise InvalidModelFile(str(path), str(error)) from error
    except ValueError as error:  # mmap of an empty file
        raise InvalidModelFile(str(path), "it is empty") from error


class _BadHeaderError(Exception):
    """What is wrong with a header."""


class _Header:
    """Reads a GGUF header from its beginning, field by field."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 0
        self._alignment = _ALIGNMENT

    def check(self) -> None:
        """Raise _BadHeaderError at the first thing that is wrong."""
        if self._content[:4] != b"GGUF":
            raise _BadHeaderError("it does not begin with the letters GGUF")
        self._at = 4
        version = self._number("I")
        if version not in _VERSIONS:
            raise _BadHeaderError(f"GGUF version {version}, where 2 or 3 can be read")
        tensors, fields = self._number("Q"), self._number("Q")
        if not 0 < tensors <= _MAX_TENSORS or not 0 < fields <= _MAX_FIELDS:
            raise _BadHeaderError(f"it claims {tensors} tensors and {fields} metadata fields")
        for _ in range(fields):
            self._field()
        ends = [self._tensor() for _ in range(tensors)]
        self._check_size(max(ends))

    def _check_size(self, end: int) -> None:
        start = -(-self._at // self._alignment) * self._alignment
        size = len(self._content)
        if start + end > size:
            raise _BadHeaderError(f"truncated: {size} bytes, where its tensors need {start + end}")

    def _field(self) -> None:
        name = self._text()
        kind = self._number("I")
        value = self._value(kind)
        if name == b"general.alignment":
            if not isinstance(value, int) or value < 1 or value & (value - 1):
                raise _BadHeaderError(f"general.alignment is {value!r}, where a power of two is expected")
            self._alignment = value

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _NUMBERS:
            raise _BadHeaderError(f"a metadata field of unknown type {kind}")
        return self._number(_NUMBERS[kind])

    def _skip_array(self) -> None:
        kind, count = self._number("I"), self._number("Q")
        if kind in _NUMBERS:
            self._skip(count * struct.calcsize("<" + _NUMBERS[kind]))
        elif kind == _STRING and count <= len(self._content):
            for _ in range(count):
                self._skip(self._number("Q"))
        else:
            raise _BadHeaderError(f"a metadata array of type {kind} and length {count}")

    def _tensor(self) -> int:
        """Where the tensor ends, from the start of the data; at least where it starts, for a type we do not know."""
        self._text()
        dimensions = self._number("I")
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            raise _BadHeaderError(f"a tensor of {dimensions} dimensions")
        elements = 1
        for _ in range(dimensions):
            elements *= self._number("Q")
        block, size = _TYPES.get(self._number("I"), (1, 0))
        start: int = self._number("Q")
        return start + elements // block * size

    def _text(self) -> bytes:
        length = self._number("Q")
        start = self._at
        self._skip(length)
        return self._content[start : self._at]

    def _number(self, code: str) -> Any:
        start = self._at
        self._skip(struct.calcsize("<" + code))
        return struct.unpack_from("<" + code, self._content, start)[0]

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._content):
            raise _BadHeaderError(f"truncated within its header, at {len(self._content)} bytes")


_STRING, _ARRAY = 8, 9
_NUMBERS = dict(enumerate("BbHhIif?")) | dict(enumerate("Qqd", 10))

# ggml's tensor types: elements in a block, bytes of a block.
_TYPES = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 40),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    30: (1, 2),  # BF16
}
