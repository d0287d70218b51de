"""Tool calls, told from text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forethought.errors import InvalidRequest
from forethought.wire import JSON
from forethought_adapters.llamacpp.tools import (
    CHANNEL,
    HERMES,
    LLAMA,
    MISTRAL,
    CallReader,
    Syntax,
    Tools,
    offered,
    reading,
    syntax_of,
)

NAMES = frozenset({"add", "now"})
SYNTAXES = st.sampled_from([HERMES, LLAMA, MISTRAL, CHANNEL])

CALLS = st.sampled_from(
    [
        '{"name": "add", "arguments": {"a": "</tool_call>"}}',
        '{"name": "now", "parameters": {}}',
        '{"name": "now"}',
        "<function=add>\n<parameter=a>\n1\n</parameter>\n</function>",
        '[{"name": "now"}, {"name": "add", "arguments": "{}"}]',
    ]
)
SCRAPS = st.sampled_from(
    [
        "<tool_call>",
        "<|channel|>commentary ",
        "to=functions.",
        "add",
        "<|message|>",
        "</tool_call>",
        "<function=",
        "</function>",
        "</parameter>",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "<tool",
        "\n",
        ";",
        "{",
        "}",
        '"',
        "x",
        " <",
    ]
)
ANSWERS = st.lists(CALLS | SCRAPS | st.text(max_size=3), max_size=12).map("".join)
PLACES = st.lists(st.integers(0, 200), max_size=12)


def read(syntax: Syntax, pieces: list[str]) -> tuple[str, list[Any]]:
    """The text and the calls, with their arguments as values, that come of these pieces."""
    reader = CallReader(Tools(syntax, NAMES, frozenset({("say", "text")})))
    parts = [*map(reader.feed, pieces), reader.flush()]
    calls = [piece for part in parts for piece in part.calls]
    assert [piece["index"] for piece in calls] == list(range(len(calls)))
    return "".join(part.text for part in parts), [named(piece) for piece in calls]


def named(piece: JSON) -> tuple[str, Any]:
    return piece["function"]["name"], json.loads(piece["function"]["arguments"])


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


ADD = '{"name": "add", "arguments": {"a": 1}}'
NOW = '{"name": "now", "arguments": {}}'
TAGGED = """<function=say>
<parameter=text>
12
</parameter>
<parameter=times>
12
</parameter>
<parameter=loud>
True
</parameter>
<parameter=to>
you
and me
</parameter>
</function>"""
add, now = ("add", {"a": 1}), ("now", {})
tagged = ("say", {"text": "12", "times": 12, "loud": True, "to": "you\nand me"})


@pytest.mark.parametrize(
    ("syntax", "answer", "text", "calls"),
    [
        (HERMES, f"<tool_call>\n{ADD}\n</tool_call>", "", [add]),
        (HERMES, f"<tool_call>{ADD}</tool_call>\n<tool_call>{NOW}</tool_call>\n", "", [add, now]),
        (HERMES, f"Let me see.\n\n<tool_call>{ADD}</tool_call>", "Let me see.", [add]),
        (HERMES, f"<tool_call>{ADD}</tool_call>\nDone. ", "\nDone. ", [add]),
        (HERMES, f"<tool_call>{ADD}\n", "", [add]),
        (HERMES, f"<tool_call>{ADD}</tool", "", [add]),
        (HERMES, f"<tool_call>\n{TAGGED}\n</tool_call>\n<tool_call>{ADD}</tool_call>", "", [tagged, add]),
        (HERMES, "<tool_call>\n<function=now>\n</function>", "", [now]),
        (LLAMA, f"<|python_tag|>{ADD}", "", [add]),
        (LLAMA, '{"name": "add", "parameters": {"a": 1}}', "", [add]),
        (LLAMA, '{"type": "function", "function": {"name": "now", "parameters": {}}}', "", [now]),
        (LLAMA, f"\n{ADD}; {NOW}\n", "", [add, now]),
        (LLAMA, f"Well: <|python_tag|>{ADD};{NOW}", "Well:", [add, now]),
        (CHANNEL, '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1}', "", [add]),
        (CHANNEL, ' to=functions.add<|channel|>commentary json<|message|>{"a": 1}', "", [add]),
        (MISTRAL, f"[TOOL_CALLS][{ADD}, {NOW}]", "", [add, now]),
    ],
)
def test_calls_are_read(syntax: Syntax, answer: str, text: str, calls: list[Any]) -> None:
    """Calls are told from the text around them, in the syntax of each family."""
    assert read(syntax, [answer]) == (text, calls)


@pytest.mark.parametrize(
    ("syntax", "answer"),
    [
        (HERMES, "no calls at all\n"),
        (HERMES, "Write <tool_call> to call."),
        (HERMES, "<tool_call>"),
        (HERMES, '<tool_call>{"name": "add"'),
        (HERMES, '<tool_call>{"name": "add", "arguments": {}}}</tool_call>'),
        (HERMES, '<tool_call>{"name": 5}</tool_call>'),
        (HERMES, '<tool_call>{"name": "add", "arguments": [1]}</tool_call>'),
        (HERMES, '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "add", "arguments": {"a": 1e999}}</tool_call>'),
        (HERMES, r'<tool_call>{"name": "add", "arguments": {"a": "\ud800"}}</tool_call>'),
        (HERMES, "<tool_call>[]</tool_call>"),
        (HERMES, "<tool_call>" + "[" * 100_000 + "</tool_call>"),
        (HERMES, "<tool_call><function=add><parameter=a>1</function></tool_call>"),
        (HERMES, "<tool_call><function=></function></tool_call>"),
        (HERMES, "<tool_call><function=add><parameter=a>1</parameter>"),
        (HERMES, ADD),
        (CHANNEL, '<|channel|>commentary to=functions.add <|message|>{"a": '),
        (CHANNEL, "<|channel|>commentary to=functions.<|message|>{}"),
        (CHANNEL, "<|channel|>commentary to=functions"),
        (LLAMA, '<|python_tag|>brave_search.call(query="x")'),
        (LLAMA, f"{ADD} and so on"),
        (LLAMA, '{"name": "Ann", "arguments": {}}'),
        (LLAMA, '{"answer": 5}'),
    ],
    ids=range(23),
)
def test_what_is_no_call_stays_text(syntax: Syntax, answer: str) -> None:
    """A call that is malformed, unfinished or quoted stays the text that it is, to the last blank."""
    assert read(syntax, [answer]) == (answer, [])


def test_a_call_follows_one_that_is_none() -> None:
    """After a malformed call the next one is still read."""
    assert read(HERMES, ['<tool_call>{"name": </tool_call>', f"<tool_call>{ADD}</tool_call>"]) == (
        '<tool_call>{"name": </tool_call>',
        [add],
    )


@given(SYNTAXES, ANSWERS, PLACES)
@example(HERMES, '<tool_call>{"name":"add","arguments":{"a":"</tool_call>","b":true}}</tool_call>', list(range(80)))
def test_any_cut_gives_the_same(syntax: Syntax, answer: str, places: list[int]) -> None:
    """However an answer is cut into pieces, its text and its calls are those of the whole."""
    assert read(syntax, cut(answer, places)) == read(syntax, [answer])


@given(SYNTAXES, ANSWERS)
def test_nothing_is_lost(syntax: Syntax, answer: str) -> None:
    """Without a call the text is what was written."""
    text, calls = read(syntax, [answer])
    assert calls or text == answer


def test_a_call_comes_out_when_it_is_closed() -> None:
    """Text is shown as it comes, a call with its closing mark, before the answer ends."""
    reader = CallReader(Tools(HERMES, NAMES))
    assert reader.feed("So: <tool").text == "So:"
    assert reader.feed(f"_call>{ADD}").calls == ()
    assert [named(piece) for piece in reader.feed("</tool_call>").calls] == [add]


def test_an_answer_in_json_streams() -> None:
    """An object whose first key belongs to no call is not held back until the end."""
    reader = CallReader(Tools(LLAMA, NAMES))
    assert reader.feed('{"answer').text == ""
    assert reader.feed('": [1').text == '{"answer": [1'


def test_calls_have_ids_of_their_own() -> None:
    """Every call has another id."""
    reader = CallReader(Tools(HERMES, NAMES))
    calls = reader.feed(f"<tool_call>{NOW}</tool_call>" * 9).calls
    assert len({call["id"] for call in calls}) == 9


def test_the_template_tells_the_syntax() -> None:
    """What a chat template mentions is how its model calls."""
    assert syntax_of("... return in <tool_call></tool_call> tags") is HERMES
    assert syntax_of("{% if message.role == 'ipython' %}") is syntax_of("<|python_tag|>") is LLAMA
    assert syntax_of("[TOOL_CALLS]") is MISTRAL
    assert syntax_of("<|channel|>commentary ") is CHANNEL
    assert syntax_of("{{ messages[0].content }}") is None


TOOL: JSON = {"type": "function", "function": {"name": "add", "parameters": {}}}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"tools": 5}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": TOOL}, "tool_choice"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(params: JSON, field: str) -> None:
    """What is no function, or a choice that nothing enforces, is refused by name."""
    with pytest.raises(InvalidRequest) as refused:
        offered(params)
    assert refused.value.field == field


def test_the_schema_tells_strings() -> None:
    """Which parameters are strings is read from the schemas of the tools."""
    properties = {"a": {"type": "string"}, "b": {"type": ["null", "string"]}, "c": {"type": "integer"}, "d": {}, "e": 5}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}
    assert reading(HERMES, [tool, {"name": "g"}]) == Tools(HERMES, frozenset("fg"), frozenset({("f", "a"), ("f", "b")}))


def test_no_tools_are_offered_by_choice() -> None:
    """With a choice of none the model hears of no tool."""
    assert offered({"tools": [TOOL], "tool_choice": "none"}) == []
    assert offered({"tools": [TOOL], "tool_choice": "auto"}) == [TOOL]
