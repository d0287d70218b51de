"""A control vector steers every request of a backend, and a file that is none is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forethought.errors import InvalidModelFile
from forethought.fold import complete
from forethought.wire import Request
from forethought_adapters.llamacpp import open_backend
from forethought_adapters.llamacpp.control import ControlVector, read, write

WIDTH, LAYERS = 32, 2
ASKED = Request.of("Say something.", temperature=0, max_tokens=16, logprobs=True, top_logprobs=3)


def file(path: Path, directions: Mapping[int, float], *, hint: str = "llama", width: int = WIDTH) -> Path:
    """A control vector with the same number all over a direction."""
    made = {layer: np.full(width, value, np.float32) for layer, value in directions.items()}
    write(ControlVector(path, hint, made))
    return path


async def said(model: Path, **options: object) -> list[float]:
    """The logprobs of an answer, those of the alternatives included."""
    async with open_backend(model, n_threads=1, n_parallel=2, **options) as backend:
        answer = await complete(backend, ASKED)
    return [each for entry in answer.logprobs for each in (entry.logprob, *(value for _, value in entry.top))]


async def refusal(model: Path, vector: Path) -> str:
    async with open_backend(model, n_threads=1, steering_vector=vector) as backend:
        with pytest.raises(InvalidModelFile) as refused:
            await backend.load()
    assert refused.value.path == str(vector)
    return refused.value.reason


async def test_a_vector_of_zeros_changes_nothing(model_file: Path, tmp_path: Path) -> None:
    """With a direction of no length every logprob is what it was."""
    assert await said(model_file, steering_vector=file(tmp_path / "zero.gguf", {1: 0.0})) == await said(model_file)


async def test_a_vector_changes_what_is_said(model_file: Path, tmp_path: Path) -> None:
    """A direction is felt, and the other way round differently."""
    vector = file(tmp_path / "v.gguf", {1: 0.5})
    there, back, without = [
        await said(model_file, steering_vector=vector, steering_scale=scale) for scale in (1.0, -1.0, 0.0)
    ]
    assert there != without != back != there


async def test_a_scale_of_zero_is_no_vector(model_file: Path, tmp_path: Path) -> None:
    """Scaled by zero the vector is as if it were not there."""
    vector = file(tmp_path / "v.gguf", {1: 0.5})
    assert await said(model_file, steering_vector=vector, steering_scale=0) == await said(model_file)


async def test_scale_and_vector_multiply(model_file: Path, tmp_path: Path) -> None:
    """Twice a vector is a vector of twice the length."""
    once, twice = file(tmp_path / "once.gguf", {1: 0.25}), file(tmp_path / "twice.gguf", {1: 0.5})
    scaled = await said(model_file, steering_vector=once, steering_scale=2.0)
    assert scaled == await said(model_file, steering_vector=twice)


async def test_the_last_layer_is_moved_as_told(model_file: Path, tmp_path: Path) -> None:
    """A direction far longer than any state is all that the logits still depend on: every place says the same."""
    vector = file(tmp_path / "far.gguf", {LAYERS - 1: 1e6})
    logprobs = await said(model_file, steering_vector=vector)
    assert np.ptp(logprobs[::4]) < 1e-3


async def test_an_isolated_engine_is_steered(model_file: Path, tmp_path: Path) -> None:
    """In a process of its own the engine is steered as in a thread."""
    vector = file(tmp_path / "v.gguf", {1: 0.5})
    isolated = await said(model_file, steering_vector=vector, isolation="process")
    assert isolated == pytest.approx(await said(model_file, steering_vector=vector), abs=1e-3)


async def test_an_isolated_engine_tells_of_a_bad_vector(model_file: Path, tmp_path: Path) -> None:
    """The refusal crosses from the process where it happened."""
    vector = file(tmp_path / "wide.gguf", {1: 1.0}, width=7)
    async with open_backend(model_file, isolation="process", steering_vector=vector) as backend:
        with pytest.raises(InvalidModelFile, match="7 numbers, where the model is 32 wide"):
            await backend.load()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A vector comes back from its file as it was."""
    path = tmp_path / "v.gguf"
    rows = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    write(ControlVector(path, "llama", dict(enumerate(rows, 1))))
    back = read(path)
    assert (back.hint, list(back.directions)) == ("llama", [1, 2, 3])
    assert np.array_equal(back.rows(architecture="llama", layers=4, width=5), rows)


def test_a_layer_without_a_direction_is_left_alone(tmp_path: Path) -> None:
    """Where the file has no direction for a layer, its row is zero."""
    rows = read(file(tmp_path / "v.gguf", {2: 1.0}, width=3)).rows(architecture="llama", layers=4, width=3)
    assert rows.tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("directions", "hint", "width", "reason"),
    [
        ({1: 1.0}, "llama", 31, "direction.1: 31 numbers, where the model is 32 wide"),
        ({2: 1.0}, "llama", WIDTH, "direction.2: layers 1 to 1 of this model can be steered"),
        ({1: 1.0}, "qwen2", WIDTH, "controlvector.model_hint: 'qwen2', where the model is 'llama'"),
        ({1: math.nan}, "llama", WIDTH, "direction.1: numbers that are not finite"),
        ({1: math.inf}, "llama", WIDTH, "direction.1: numbers that are not finite"),
        ({0: 1.0}, "llama", WIDTH, "tensor 'direction.0': names from direction.1 on are expected"),
    ],
)
async def test_a_vector_that_does_not_fit(
    model_file: Path, tmp_path: Path, directions: dict[int, float], hint: str, width: int, reason: str
) -> None:
    """What is wrong with a vector is said, with the field and what would be right."""
    assert await refusal(model_file, file(tmp_path / "v.gguf", directions, hint=hint, width=width)) == reason


async def test_a_scale_can_be_too_much(model_file: Path, tmp_path: Path) -> None:
    """A vector that no float can hold once it is scaled is refused."""
    vector = file(tmp_path / "v.gguf", {1: 1e10})
    async with open_backend(model_file, steering_vector=vector, steering_scale=1e30) as backend:
        with pytest.raises(InvalidModelFile, match="1e\\+30 times its numbers"):
            await backend.load()


async def test_a_hint_that_is_no_architecture_says_nothing(model_file: Path, tmp_path: Path) -> None:
    """Other tools write names of their own as a hint; only one that contradicts the model counts."""
    vector = file(tmp_path / "v.gguf", {1: 0.5}, hint="mistral")
    assert await said(model_file, steering_vector=vector)


async def test_a_model_is_no_control_vector(model_file: Path) -> None:
    """The model itself is refused by its architecture."""
    assert await refusal(model_file, model_file) == (
        "general.architecture: 'llama', where a control vector has 'controlvector'"
    )


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (np.ones((2, WIDTH), np.float32), "direction.1: F32 of 2 dimensions, where F32 of one is expected"),
        (np.ones(WIDTH, np.float16), "direction.1: F16 of 1 dimensions, where F32 of one is expected"),
    ],
)
async def test_a_tensor_of_another_form(model_file: Path, tmp_path: Path, tensor: np.ndarray, reason: str) -> None:
    """A direction is a row of 32-bit floats and nothing else."""
    path = tmp_path / "v.gguf"
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_tensor("direction.1", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert await refusal(model_file, path) == reason


async def test_a_missing_file(model_file: Path, tmp_path: Path) -> None:
    """A path at which there is nothing is refused before the model is loaded."""
    assert await refusal(model_file, tmp_path / "none.gguf") == "there is no such file"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_vector(tmp_path: Path, share: float) -> None:
    """Wherever a vector was cut off, it is refused."""
    whole = file(tmp_path / "whole.gguf", {1: 1.0, 2: 2.0}).read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidModelFile):
        read(cut)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 300), byte=st.integers(0, 255))
def test_a_damaged_vector(tmp_path: Path, place: int, byte: int) -> None:
    """A wrong byte is refused or harmless: what is read has finite numbers, and never another error comes."""
    damaged = bytearray(file(tmp_path / "whole.gguf", {1: 1.0, 2: 2.0}).read_bytes())
    damaged[place] = byte
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    try:
        vector = read(path)
    except InvalidModelFile:
        return
    assert all(np.isfinite(direction).all() for direction in vector.directions.values())


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_is_a_number(model_file: Path, scale: float) -> None:
    """A scale that is not finite is refused when the backend is made."""
    with pytest.raises(ValueError, match="steering_scale: got"):
        open_backend(model_file, steering_scale=scale)
