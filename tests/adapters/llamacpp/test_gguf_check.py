"""A bad file is found before llama.cpp sees it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forethought.errors import InvalidModelFile
from forethought_adapters.llamacpp.gguf_check import check


def test_a_whole_file_passes(model_file: Path) -> None:
    """A file that is right raises nothing."""
    check(model_file)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_found(model_file: Path, tmp_path: Path, share: float) -> None:
    """Wherever a file was cut off, it is refused."""
    whole = model_file.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidModelFile):
        check(cut)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 3000), byte=st.integers(0, 255))
def test_a_damaged_header_raises_nothing_else(model_file: Path, tmp_path: Path, place: int, byte: int) -> None:
    """A wrong byte in the header is found or harmless, and never another error."""
    damaged = bytearray(model_file.read_bytes())
    damaged[place] = byte
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    with suppress(InvalidModelFile):
        check(path)


def test_the_reason_is_told(model_file: Path, tmp_path: Path) -> None:
    """The message says how many bytes there are and how many are needed."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file.read_bytes()[:-100])
    size = model_file.stat().st_size
    with pytest.raises(InvalidModelFile, match=f"truncated: {size - 100} bytes"):
        check(cut)


def test_a_directory_is_no_model(tmp_path: Path) -> None:
    """A path that cannot be read as a file is refused."""
    with pytest.raises(InvalidModelFile, match="cannot be read"):
        check(tmp_path)
