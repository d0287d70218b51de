"""What a request may ask for, and what it is told otherwise."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import CONTEXT, write_tiny

from forethought.errors import EngineStopped, ForethoughtError, InvalidModelFile, InvalidRequest
from forethought.fold import complete
from forethought.wire import Delta, Request
from forethought_adapters.llamacpp import LlamaCpp, open_backend


async def refusal(backend: LlamaCpp, request: Request) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        await complete(backend, request)
    return refused.value


async def test_a_prompt_too_long_is_refused(backend: LlamaCpp) -> None:
    """A prompt that can never fit names messages and n_ctx."""
    error = await refusal(backend, Request.of("x" * CONTEXT))
    assert error.field == "messages"
    assert f"n_ctx {CONTEXT}" in error.hint


async def test_the_context_ends_a_ceiling_beyond_it(backend: LlamaCpp) -> None:
    """A max_tokens beyond the context is a ceiling that is never reached: the text ends as `length` before it."""
    answer = await complete(backend, Request.of("x" * 400, temperature=0, max_tokens=10 * CONTEXT))
    assert (answer.finish_reason, answer.usage.total_tokens) == ("length", CONTEXT)


async def test_the_last_token_that_fits_is_written(backend: LlamaCpp) -> None:
    """A request that just fits is served to its end."""
    request = Request.of("x" * 100, temperature=0, max_tokens=CONTEXT - 103)
    answer = await complete(backend, request)
    assert answer.usage.completion_tokens == CONTEXT - 103


async def test_without_max_tokens_the_context_ends_it(backend: LlamaCpp) -> None:
    """Without max_tokens a text that does not end goes on to the end of the context."""
    answer = await complete(backend, Request.of("x" * 400, temperature=0))
    assert (answer.finish_reason, answer.usage.total_tokens) == ("length", CONTEXT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", "hot"),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("top_logprobs", 21),
        ("max_tokens", 0),
        ("max_tokens", "many"),
        ("seed", "lucky"),
        ("stop", [5]),
        ("stop", 5),
        ("n", 2),
        ("logit_bias", {"100000": 1}),
        ("logit_bias", {"five": 1}),
        ("logit_bias", [5]),
        ("logit_bias.5", {"5": 101}),
        ("repetition_penalty", 0),
        ("repeat_penalty", "much"),
        ("chat_template_kwargs", [1]),
    ],
)
async def test_a_field_that_cannot_be_served_is_named(backend: LlamaCpp, name: str, value: Any) -> None:
    """A field out of its range, or one that would change the answer and is not supported, is refused by name."""
    error = await refusal(backend, Request.of("x", **{name.partition(".")[0]: value}))
    assert error.field == name


async def test_an_image_is_refused_by_its_place(backend: LlamaCpp) -> None:
    """A content part that is no text is named with message and place."""
    parts = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    error = await refusal(backend, Request(({"role": "user", "content": parts},)))
    assert error.field == "messages[0].content[1]"


async def test_a_refusal_harms_nobody(backend: LlamaCpp) -> None:
    """After refusals the engine serves the next request and holds nothing."""
    await refusal(backend, Request.of("x" * CONTEXT))
    assert (await complete(backend, Request.of("x", max_tokens=3))).text
    assert (backend.occupancy.live, backend.occupancy.waiting) == (0, 0)


async def test_a_stop_string_ends_the_answer(backend: LlamaCpp) -> None:
    """The answer ends before a stop string that spans tokens, and none of it is shown."""
    whole = await complete(backend, Request.of("x", temperature=0, max_tokens=60))
    stop = whole.text[20:24]
    answer = await complete(backend, Request.of("x", temperature=0, max_tokens=60, stop=[stop]))
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.finish_reason == "stop"


async def test_text_streams_as_it_is_written(backend: LlamaCpp) -> None:
    """The answer arrives in many pieces."""
    async with backend.stream(Request.of("x", temperature=0, max_tokens=40)) as events:
        pieces = [event async for event in events if isinstance(event, Delta)]
    assert len(pieces) == 40


async def test_the_model_may_be_any_name(backend: LlamaCpp) -> None:
    """`model` in the request is not checked, and the answer carries the backend's own name."""
    answer = await complete(backend, Request.of("x", model="gpt-17", max_tokens=1))
    assert answer.done.meta["model"] == backend.capabilities.name == "tiny"


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF", b"GGUF\x09\x00\x00\x00" + bytes(40)])
async def test_a_foreign_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    """A file that is no GGUF is reported with its path, and nothing crashes."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InvalidModelFile, match=r"model\.gguf"):
        await complete(open_backend(path), Request.of("x"))


async def test_what_llama_cpp_refuses_is_told(tmp_path: Path) -> None:
    """A well-formed file that llama.cpp cannot load is reported with llama.cpp's own reason."""
    path = write_tiny(tmp_path / "model.gguf", architecture="lemur")
    with pytest.raises(InvalidModelFile, match="unknown model architecture: 'lemur'"):
        await complete(open_backend(path), Request.of("x"))


async def test_a_missing_file_is_reported_on_first_use(tmp_path: Path) -> None:
    """Opening reads nothing; the first request reports that there is no such file, and so does the next."""
    backend = open_backend(tmp_path / "nowhere.gguf")
    for _ in range(2):
        with pytest.raises(InvalidModelFile, match="no such file"):
            await complete(backend, Request.of("x"))


async def test_a_file_that_came_later_is_loaded(tmp_path: Path) -> None:
    """A load that failed may succeed the next time."""
    async with open_backend(tmp_path / "late.gguf", n_threads=1) as backend:
        with pytest.raises(InvalidModelFile):
            await backend.load()
        write_tiny(tmp_path / "late.gguf")
        assert (await complete(backend, Request.of("x", max_tokens=2))).text


async def test_a_model_without_template_needs_one(tmp_path: Path) -> None:
    """A file with no chat template is refused with the option that helps, and served with it."""
    path = write_tiny(tmp_path / "base.gguf", template=None)
    async with open_backend(path, n_threads=1) as backend:
        with pytest.raises(InvalidModelFile, match="chat_template="):
            await complete(backend, Request.of("x"))
    async with open_backend(path, n_threads=1, chat_template="{{ messages[0].content }}") as backend:
        assert (await complete(backend, Request.of("x", max_tokens=2))).usage.prompt_tokens == 1


async def test_a_broken_template_is_reported(model_file: Path) -> None:
    """A chat template that does not compile is the model's fault, not the request's."""
    async with open_backend(model_file, n_threads=1, chat_template="{% if %}") as backend:
        with pytest.raises(InvalidModelFile, match="does not compile"):
            await complete(backend, Request.of("x"))


async def test_a_closed_backend_refuses(model_file: Path) -> None:
    """A request to a closed backend gets EngineStopped, whether or not it was ever loaded."""
    backend = open_backend(model_file)
    await backend.aclose()
    with pytest.raises(EngineStopped):
        await complete(backend, Request.of("x"))


@pytest.mark.parametrize("options", [{"n_parallel": 0}, {"n_ctx": -1}, {"n_parallel": 1000}])
def test_impossible_options_are_named(model_file: Path, options: dict[str, int]) -> None:
    """An option out of its range is refused by name before anything is loaded."""
    with pytest.raises(ValueError, match=next(iter(options))):
        open_backend(model_file, **options)


async def test_errors_are_ours(backend: LlamaCpp) -> None:
    """Whatever random messages do to the template, the error is from our tree."""
    odd: list[Any] = [{"role": "user"}, {"role": "user", "content": 5}, {"role": "tool", "content": None}]
    for message in odd:
        try:
            await asyncio.wait_for(complete(backend, Request((message,), {"max_tokens": 2})), 30)
        except ForethoughtError:
            continue


WITHOUT = """
import sys
for name in ("llama_cpp", "numpy", "jinja2"):
    sys.modules[name] = None
from forethought_adapters.pocket import open_backend
try:
    open_backend()
except Exception as error:
    print(type(error).__name__, error.extra)
"""


@pytest.mark.real
def test_without_the_extra_its_name_is_told() -> None:
    """Without the optional packages the adapter still imports, and opening says which extra to install."""
    told = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "MissingExtra local\n"
