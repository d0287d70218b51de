"""Counting and estimating tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought import tokens

bundled = pytest.mark.skipif(find_spec("litellm") is None, reason="needs the encodings that litellm ships")


@bundled
@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-4o", 4), ("openai/gpt-5-mini", 4), ("gpt-oss-20b", 4), ("gpt-4", 4), ("gpt-3.5-turbo", 4)],
)
def test_a_known_model_is_counted_exactly(model: str, expected: int) -> None:
    """`Hello, world!` has four tokens in the encodings of OpenAI."""
    assert tokens.known(model)
    assert tokens.count("Hello, world!", model) == expected


@pytest.mark.parametrize("model", ["", "claude-opus-5", "somebody/gpt-4o", "gpt2", "text-davinci-001", "gpt-"])
def test_an_unknown_model_is_estimated(model: str) -> None:
    """Without its own encoding a model gets the estimate, not another model's count."""
    assert not tokens.known(model)
    assert tokens.count("x" * 400, model) == 100


@bundled
def test_the_marks_of_a_template_are_plain_text() -> None:
    """A text that spells a special token is counted, not refused."""
    assert tokens.count("<|endoftext|>", "gpt-4o") > 1


@bundled
@given(st.text(alphabet=st.characters()))
def test_any_text_can_be_counted(text: str) -> None:
    """Lone surrogates included; only the empty text has no token."""
    assert (tokens.count(text, "gpt-4o") > 0) == bool(text)


@bundled
async def test_an_encoding_can_be_loaded_ahead() -> None:
    """`load` says whether there is an encoding to count with."""
    assert await tokens.load("gpt-4o")
    assert not await tokens.load("mistral-large")


@bundled
def test_counting_asks_neither_litellm_nor_the_network() -> None:
    """Where no socket can be opened a count is exact, litellm stays unimported and the environment as it was."""
    script = """
import json, os, socket, sys
before = dict(os.environ)
def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from forethought import tokens
print(json.dumps([tokens.count("Hello, world!", "gpt-4o"), "litellm" in sys.modules, dict(os.environ) == before]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [4, False, True]


@given(st.text())
def test_an_estimate_grows_with_the_text(text: str) -> None:
    """An estimate is 0 for no text only, and more text is never fewer tokens."""
    assert (tokens.estimate(text) > 0) == bool(text)
    assert tokens.estimate(text + "x" * 4) == tokens.estimate(text) + 1


def test_other_scripts_take_more_tokens_a_character() -> None:
    """A Chinese character is estimated by its three bytes, a Latin one by one."""
    assert tokens.estimate("思" * 400) == 3 * tokens.estimate("t" * 400)


def test_a_message_is_estimated_with_all_it_says() -> None:
    """Text parts, thoughts, names and arguments of calls are counted, and what the template adds."""
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "t" * 40}],
        "reasoning_content": "r" * 40,
        "tool_calls": [{"id": "x" * 99, "type": "function", "function": {"name": "n" * 8, "arguments": "a" * 32}}],
    }
    assert tokens.estimate_messages([message]) == tokens.REPLY_TOKENS + tokens.MESSAGE_TOKENS + 30


def test_an_image_has_a_flat_estimate() -> None:
    """A megabyte of base64 is one attachment, not a quarter of a million tokens."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    message = {"role": "user", "content": [image]}
    assert tokens.estimate_messages([message]) == tokens.REPLY_TOKENS + tokens.MESSAGE_TOKENS + tokens.ATTACHMENT_TOKENS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["role", "content", "type", "x"]), json_values), max_size=4),
    st.floats(1, 8),
)
def test_any_messages_have_an_estimate(messages: list[dict[str, object]], chars_per_token: float) -> None:
    """Odd but valid messages are no error, and each one costs something."""
    least = tokens.REPLY_TOKENS + len(messages) * tokens.MESSAGE_TOKENS
    assert tokens.estimate_messages(messages, chars_per_token) >= least
