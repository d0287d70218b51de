"""What is asked of each kind of server, to the letter."""

from __future__ import annotations

import pytest

from forethought.errors import InvalidPolicy, MissingCapability
from forethought.ports import Continuation
from forethought.wire import Prefix, Request
from forethought_adapters.flavours import FLAVOURS, body_of, flavour_of, splitter_of, thinking_is_over

ASK = Request.of("6*7?", model="m")
USER = {"role": "user", "content": "6*7?"}
PLAIN = {"model": "m", "messages": [USER], "stream": True, "stream_options": {"include_usage": True}}
OPEN = Prefix("six times")
CLOSED = Prefix("six times seven", closed=True)
BEGUN = Prefix("six times seven", "It is")


def continued(flavour: str, prefix: Prefix) -> dict[str, object]:
    body = body_of(FLAVOURS[flavour], Request(ASK.messages, ASK.params, prefix))
    assert body["messages"][:-1] == [USER]
    return body


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_plain_request_asks_for_a_stream_with_usage(flavour: str) -> None:
    """Without a prefix every server is asked alike; a prefix that says nothing is none."""
    assert body_of(FLAVOURS[flavour], ASK) == PLAIN
    assert body_of(FLAVOURS[flavour], Request(ASK.messages, ASK.params, Prefix())) == PLAIN


def test_unknown_fields_pass_and_n_does_not() -> None:
    """Fields we do not know reach the server; `n` does not, and other stream options are kept."""
    request = ASK.with_params(n=4, top_k=3, extra={"a": None}, stream_options={"include_obfuscation": False})
    body = body_of(FLAVOURS["generic"], request)
    assert body == {
        **PLAIN,
        "top_k": 3,
        "extra": {"a": None},
        "stream_options": {"include_obfuscation": False, "include_usage": True},
    }


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_ceiling_has_the_name_that_the_server_knows(flavour: str) -> None:
    """Servers that know only the older name of the ceiling get that."""
    name = "max_tokens" if flavour in ("deepseek", "generic") else "max_completion_tokens"
    body = body_of(FLAVOURS[flavour], ASK.with_params(max_completion_tokens=9))
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 9}


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        (Prefix(answer="It is"), "It is"),
        (CLOSED, "<think>\nsix times seven\n</think>\n\n"),
        (BEGUN, "<think>\nsix times seven\n</think>\n\nIt is"),
        (Prefix(closed=True), "<think>\n\n</think>\n\n"),
    ],
)
def test_vllm_continues_the_text_of_the_last_message(prefix: Prefix, text: str) -> None:
    """vLLM is given the thinking as text and told to continue the message."""
    assert continued("vllm", prefix) == {
        **PLAIN,
        "messages": [USER, {"role": "assistant", "content": text}],
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


@pytest.mark.parametrize(("prefix", "field"), [(OPEN, "reasoning_content"), (CLOSED, "content"), (BEGUN, "content")])
def test_llamacpp_continues_the_field_that_is_named(prefix: Prefix, field: str) -> None:
    """llama.cpp goes on in the thinking or in the answer, and leaves the parsing to us."""
    message = {"role": "assistant", "content": prefix.answer, "reasoning_content": prefix.reasoning}
    assert continued("llamacpp", prefix) == {
        **PLAIN,
        "messages": [USER, message],
        "continue_final_message": field,
        "add_generation_prompt": False,
        "reasoning_format": "none",
    }


def test_deepseek_marks_the_prefix() -> None:
    """DeepSeek is told which message is a prefix, with the thinking beside it."""
    message = {"role": "assistant", "content": "It is", "prefix": True, "reasoning_content": "six times seven"}
    assert continued("deepseek", BEGUN) == {**PLAIN, "messages": [USER, message]}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("prefix", "needed"), [(OPEN, Continuation.REASONING), (BEGUN, Continuation.ANSWER)])
def test_what_a_server_cannot_continue_is_refused(flavour: str, prefix: Prefix, needed: Continuation) -> None:
    """A prefix beyond the server's level is refused before anything is asked."""
    if FLAVOURS[flavour].continuation >= needed:
        assert body_of(FLAVOURS[flavour], Request(ASK.messages, {}, prefix))["messages"][-1]["role"] == "assistant"
        return
    with pytest.raises(MissingCapability, match=f"{needed.name.lower()}.*{flavour}"):
        body_of(FLAVOURS[flavour], Request(ASK.messages, {}, prefix))


@pytest.mark.parametrize(
    ("url", "flavour"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai", "openai"),
        ("https://api.deepseek.com/beta", "deepseek"),
        ("http://127.0.0.1:8080/v1", "generic"),
        ("https://openrouter.ai/api/v1", "generic"),
    ],
)
def test_the_host_tells_the_flavour(url: str, flavour: str) -> None:
    """`auto` knows the two hosts whose ways are fixed; all others are generic."""
    assert flavour_of("auto", url) is FLAVOURS[flavour]


def test_deepseek_continues_only_under_beta() -> None:
    """Outside its beta URL DeepSeek does not say that it can continue an answer."""
    assert flavour_of("auto", "https://api.deepseek.com/v1").continuation is Continuation.TURNS


def test_an_unknown_flavour_is_refused_with_those_that_are() -> None:
    """The error names the flavours that exist."""
    with pytest.raises(InvalidPolicy, match=r"flavour: got 'tgi'.*vllm"):
        flavour_of("tgi", "http://127.0.0.1")


def test_only_an_open_thought_can_still_be_split() -> None:
    """After the thinking is closed there is nothing left to split."""
    assert thinking_is_over(Request(ASK.messages, {}, BEGUN))
    assert splitter_of(FLAVOURS["vllm"], Request(ASK.messages, {}, BEGUN)) is None
    assert splitter_of(FLAVOURS["llamacpp"], Request(ASK.messages, {}, OPEN)) is not None
