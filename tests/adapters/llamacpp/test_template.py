"""From messages to the text a model continues."""

from __future__ import annotations

from typing import Any

import pytest

from forethought.errors import InvalidRequest
from forethought.thinking import THINK, Phase
from forethought.wire import Prefix, Request
from forethought_adapters.llamacpp.template import ChatTemplate, Rendered

PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
OPENING = PLAIN + r"{{ '<think>\n' }}"
QWEN = (
    PLAIN
    + r"""
{%- for m in messages if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"""
)


def rendered(source: str, prefix: Prefix | None = None, *, known: bool = False, **params: Any) -> Rendered:
    template = ChatTemplate(source, bos="<s>", eos="</s>", tags=THINK, known_tags=known)
    return template.render(Request(({"role": "user", "content": "Q"},), params, prefix))


Q = "[user]Q[assistant]"


@pytest.mark.parametrize(
    ("source", "prefix", "text", "phase"),
    [
        (PLAIN, None, "", Phase.BEFORE),
        (OPENING, None, "<think>\n", Phase.THINKING),
        (PLAIN, Prefix("so"), "<think>so", Phase.THINKING),
        (OPENING, Prefix("so"), "<think>\nso", Phase.THINKING),
        (QWEN, Prefix("so"), "<think>\nso", Phase.THINKING),
        (PLAIN, Prefix("so", closed=True), "<think>so</think>", Phase.ANSWERING),
        (OPENING, Prefix("so", closed=True), "<think>\nso</think>", Phase.ANSWERING),
        (QWEN, Prefix("so", closed=True), "<think>\nso\n</think>\n\n", Phase.ANSWERING),
        (QWEN, Prefix("so\n", "A"), "<think>\nso\n</think>\n\nA", Phase.ANSWERING),
        (QWEN, Prefix("", "A"), "<think>\n\n</think>\n\nA", Phase.ANSWERING),
        (PLAIN, Prefix("", "A"), "A", Phase.ANSWERING),
        (PLAIN, Prefix(), "", Phase.BEFORE),
    ],
)
def test_a_prefix_is_spelled_as_the_model_would(source: str, prefix: Prefix | None, text: str, phase: Phase) -> None:
    """What was said follows the prompt, in the tags and line ends that the template uses, and sets the phase."""
    assert rendered(source, prefix) == Rendered(Q + text, phase)


def test_a_model_that_knows_the_tags_gets_them() -> None:
    """Where the vocabulary has the tags they are written though the template never does."""
    assert rendered(PLAIN, Prefix(), known=True) == Rendered(Q + "<think>", Phase.THINKING)
    assert rendered(PLAIN, Prefix(answer="A"), known=True).text == Q + "<think></think>A"


def test_thinking_can_be_switched_off() -> None:
    """`enable_thinking`, `chat_template_kwargs` and an effort of none all reach the template."""
    off = Rendered(Q + "<think>\n\n</think>\n\n", Phase.ANSWERING)
    assert rendered(QWEN, enable_thinking=False) == off
    assert rendered(QWEN, chat_template_kwargs={"enable_thinking": False}) == off
    assert rendered(QWEN, reasoning_effort="none") == off


def test_an_empty_thought_is_reopened_for_a_prefix() -> None:
    """A prefix with thinking replaces the empty thought that a template wrote to forbid it."""
    assert rendered(QWEN, Prefix("so"), enable_thinking=False) == Rendered(Q + "<think>\nso", Phase.THINKING)


def test_an_answer_follows_the_empty_thought() -> None:
    """A prefix of an answer alone follows the empty thought of the template."""
    assert rendered(QWEN, Prefix(answer="A"), enable_thinking=False).text == Q + "<think>\n\n</think>\n\nA"


def test_what_templates_expect_is_there() -> None:
    """Tokens, tools, JSON without HTML escapes, and the date are at hand."""
    source = "{{ bos_token }}{{ eos_token }}{{ tools | tojson }}{{ strftime_now('%Y') | length }}{# [TOOL_CALLS] #}"
    assert rendered(source, tools=[{"name": "<é>"}]).text == '<s></s>[{"name": "<é>"}]4'


def test_messages_are_made_plain() -> None:
    """Text parts are joined, null is empty, a developer is the system, call arguments are objects."""
    call = {"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    messages: tuple[dict[str, Any], ...] = (
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    )
    source = (
        "{% for m in messages %}{{ m.role }}:{{ m.content }};{% if m.tool_calls %}"
        "{{ m.tool_calls[0].function.arguments.x }}{% endif %}{% endfor %}"
    )
    assert ChatTemplate(source, tags=THINK).render(Request(messages)).text == "system:ab;assistant:;1"


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
ROUND = (
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "2"},
)
EACH = "{% for m in messages %}{% for c in m.tool_calls %}"
END = "{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "source",
    [
        EACH + "{{ c.function.arguments | tojson }}" + END,
        EACH + "{{ 'a' and '' + c.function.arguments }}" + END,
        EACH + "{{ c.function.arguments }}" + END,
        EACH + "{% set a = c.function.arguments %}{{ a if a is string else a | tojson }}" + END,
    ],
)
def test_call_arguments_are_what_the_template_wants(source: str) -> None:
    """Templates that spell arguments out get objects, those that write what they are given get JSON."""
    assert ChatTemplate(source, tags=THINK).render(Request(ROUND)).text == '{"x": 1}'


def test_a_call_without_content_has_none() -> None:
    """Content is null beside calls where the template can take that, else an empty string."""
    asks = "{% for m in messages %}{% if m.tool_calls %}{{ 'null' if m.content is none else 'text' }}{% endif %}"
    assert ChatTemplate(asks + "{% endfor %}", tags=THINK).render(Request(ROUND)).text == "null"
    asks += "{{ m.content.strip() }}{% endfor %}"
    assert ChatTemplate(asks, tags=THINK).render(Request(ROUND)).text == "text2"


def test_a_result_is_named_after_its_call() -> None:
    """The result of a tool has the name of the call it answers."""
    assert ChatTemplate("{{ messages[1].name }}", tags=THINK).render(Request(ROUND)).text == "f"


def test_reasoning_has_each_of_its_names() -> None:
    """What the assistant thought is found under whatever name the template reads."""
    message = {"role": "assistant", "content": "A", "reasoning": "so", "refusal": None, "tool_calls": None}
    source = "{{ messages[0].thinking }} {{ messages[0].reasoning_content }} {{ 'tool_calls' in messages[0] }}"
    assert ChatTemplate(source, tags=THINK).render(Request((message,))).text == "so so False"


def test_marks_for_training_are_passed_over() -> None:
    """What stands between the marks of a training template is rendered like the rest."""
    assert rendered("{% generation %}{{ messages[0].content }}{% endgeneration %}").text == "Q"


def test_json_is_spelled_as_the_template_asks() -> None:
    """The options that templates give to their JSON are obeyed."""
    source = "{{ ['é'] | tojson(ensure_ascii=False) }}{{ ['é'] | tojson(ensure_ascii=True, separators=(',', ':')) }}"
    assert rendered(source).text == r'["é"]["\u00e9"]'


def test_tools_that_cannot_be_called_are_refused() -> None:
    """A template that speaks of no calls gets no tools, unless the choice is none anyway."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(InvalidRequest, match="no calls"):
        rendered(PLAIN, tools=tools)
    assert rendered(PLAIN, tools=tools, tool_choice="none").tools is None


@pytest.mark.parametrize("source", ["{{ raise_exception('no!') }}", "{{ messages[0]['content'] + 5 }}", "{{ 1 // 0 }}"])
def test_what_a_template_refuses_is_in_the_messages(source: str) -> None:
    """A template that raises, or stumbles, refuses the messages."""
    with pytest.raises(InvalidRequest, match="chat template refuses"):
        rendered(source)


def test_a_template_is_sandboxed() -> None:
    """A hostile template reaches nothing."""
    with pytest.raises(InvalidRequest, match="unsafe"):
        rendered("{{ ''.__class__.__mro__[1].__subclasses__() }}")
