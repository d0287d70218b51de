from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought_pocket.chat import END, SPECIALS, VOCABULARY, decode, encode, prompt

jinja2 = pytest.importorskip("jinja2")

TEMPLATE = (files("forethought_pocket") / "data" / "chat_template.jinja").read_text()
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("system", "user", "assistant")), "content": st.text("ab \n?=+7<>/", max_size=12)}
    ),
    max_size=4,
)


def rendered(messages: list[dict[str, str]], **options: object) -> str:
    return jinja2.Template(TEMPLATE.strip()).render(messages=messages, **options)


@given(st.lists(st.one_of(st.text(), st.sampled_from(SPECIALS))))
def test_decoding_undoes_encoding(pieces: list[str]) -> None:
    """Text with and without specials survives the way to ids and back."""
    text = "".join(pieces)
    assert decode(encode(text)) == text


@given(st.text("abc é€\n"))
def test_a_byte_is_a_token(text: str) -> None:
    """Text without specials has as many tokens as bytes."""
    assert encode(text) == list(text.encode())


def test_a_special_is_one_token() -> None:
    """Every special has its own id, the last ones of the vocabulary."""
    assert [encode(special) for special in SPECIALS] == [[VOCABULARY - 6 + n] for n in range(6)]
    assert encode("<|end|>") == [END]


@given(MESSAGES, st.booleans())
def test_the_template_says_what_the_model_was_trained_on(messages: list[dict[str, str]], thinking: bool) -> None:
    """The shipped template and the training code render the same prompt."""
    shown = rendered(messages, add_generation_prompt=True, enable_thinking=thinking)
    assert shown == prompt(messages, thinking=thinking)


def test_thinking_is_on_unless_switched_off() -> None:
    """Without `enable_thinking` the model may think."""
    assert rendered([], add_generation_prompt=True) == "<|assistant|>"


def test_earlier_thoughts_are_not_shown_again() -> None:
    """A past assistant turn is rendered without its thinking."""
    turn = {"role": "assistant", "content": "<think>a=1\nso 1</think>1"}
    assert rendered([turn]) == "<|assistant|>1<|end|>"


def test_content_in_parts_and_foreign_roles_are_understood() -> None:
    """Developers count as system, tools as users, and text parts are joined."""
    parts = [{"type": "text", "text": "a=1 "}, {"type": "text", "text": "a?"}]
    shown = rendered([{"role": "developer", "content": "direct"}, {"role": "tool", "content": parts}])
    assert shown == "<|system|>direct<|end|><|user|>a=1 a?<|end|>"
