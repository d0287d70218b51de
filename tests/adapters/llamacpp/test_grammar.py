"""Answers held to a grammar, in a backend that others use beside."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from tiny import FIRST_SPECIAL, SPECIALS

from forethought.errors import InvalidRequest
from forethought.fold import complete
from forethought.wire import Completion, Prefix, Request
from forethought_adapters.llamacpp import LlamaCpp

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
OPEN, CLOSE = (FIRST_SPECIAL + SPECIALS.index(tag) for tag in ("<think>", "</think>"))
PLAIN = {"chat_template_kwargs": {"enable_thinking": False}}


async def asked(backend: LlamaCpp, prefix: Prefix | None = None, **params: Any) -> Completion:
    """The answer without thinking, unless `prefix` is in a thought."""
    request = Request(({"role": "user", "content": "Who?"},), {"seed": 1, "max_tokens": 200, **PLAIN, **params}, prefix)
    return await asyncio.wait_for(complete(backend, request), 60)


@pytest.mark.parametrize("temperature", [0, 1])
async def test_an_answer_conforms_to_its_schema(backend: LlamaCpp, temperature: float) -> None:
    """A model that only chatters answers with an object of the schema, and ends by itself."""
    answer = await asked(backend, response_format=FORM, temperature=temperature)
    person = json.loads(answer.text)
    assert answer.finish_reason == "stop"
    assert (set(person), type(person["name"]), person["age"] in range(121)) == ({"name", "age"}, str, True)


async def test_json_object_is_any_object(backend: LlamaCpp) -> None:
    """`json_object` asks for an object of whatever content."""
    answers = [
        await asked(backend, response_format={"type": "json_object"}, seed=seed, logit_bias={str(ord("}") - 33): 9})
        for seed in range(6)
    ]
    ended = [json.loads(answer.text) for answer in answers if answer.finish_reason == "stop"]
    assert ended
    assert all(isinstance(value, dict) for value in ended)


async def test_a_gbnf_is_obeyed(backend: LlamaCpp) -> None:
    """`grammar` holds the answer to a GBNF, tags and all else aside."""
    answer = await asked(backend, grammar='root ::= ("ha" | "ho"){3} "!"')
    assert re.fullmatch(r"(ha|ho){3}!", answer.text)


async def test_the_thought_is_free(backend: LlamaCpp) -> None:
    """A grammar leaves the thinking as it is."""
    inside = Prefix(reasoning="So")
    free = await asked(backend, inside, temperature=0, max_tokens=30)
    held = await asked(backend, inside, temperature=0, max_tokens=30, grammar='root ::= "x"')
    assert (held.reasoning, held.text) == (free.reasoning, "")


async def test_the_answer_after_a_thought_is_held(backend: LlamaCpp) -> None:
    """Where the model opens and closes a thought by itself, what follows is within the grammar."""
    eager = {str(OPEN): 9, str(CLOSE): 9}
    answers = [
        await asked(backend, grammar='root ::= "yes" | "no"', logit_bias=eager, seed=seed, chat_template_kwargs={})
        for seed in range(12)
    ]
    assert {answer.text for answer in answers} <= {"yes", "no"}
    assert all(answer.usage.reasoning_tokens for answer in answers)


async def test_a_grammar_goes_on_from_what_was_said(backend: LlamaCpp) -> None:
    """An answer that was begun is continued to a text of the grammar as a whole."""
    begun = '{"name": "Al'
    answer = await asked(backend, Prefix(answer=begun), response_format=FORM)
    assert set(json.loads(begun + answer.text)) == {"name", "age"}


async def test_what_was_said_must_fit(backend: LlamaCpp) -> None:
    """An answer that was begun outside of the grammar cannot be continued within it."""
    with pytest.raises(InvalidRequest) as refused:
        await asked(backend, Prefix(answer="[1, 2"), response_format=FORM)
    assert refused.value.field == "response_format"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grammar", "root ::= ("),
        ("grammar", 'answer ::= "no root"'),
        ("grammar", "root ::= missing"),
        ("grammar", 'root ::= root "a"'),
        ("grammar", "  "),
        ("grammar", "# nothing"),
        ("grammar", 'root ::= "a\0b"'),
        ("grammar", 'root ::= "\ud800"'),
        ("grammar", "root ::= " + "(" * 100_000),
        ("grammar", 'root ::= "a"{5,2}'),
        ("grammar", 'root ::= "a"{0,2001}'),
        ("grammar", 'root ::= "a"{' + "9" * 5000 + "}"),
        ("grammar", 'root ::= "a"?{2000}'),
        ("grammar", 'root ::= x{2000}\nx ::= "a"?'),
        ("grammar", "root ::= <[5]> . !<think>{2}"),
        ("grammar", ["root"]),
        ("response_format", "json"),
        ("response_format", {"type": "xml"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"type": "animal"}}}),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}),
    ],
)
async def test_a_grammar_that_cannot_be_read_is_refused(backend: LlamaCpp, field: str, value: Any) -> None:
    """A grammar that does not parse is the request's fault, named by its field; the engine goes on."""
    with pytest.raises(InvalidRequest) as refused:
        await asked(backend, **{field: value})
    assert refused.value.field == field
    assert (await asked(backend, max_tokens=2)).usage.completion_tokens == 2


async def test_two_grammars_are_one_too_many(backend: LlamaCpp) -> None:
    """`grammar` beside `response_format` is refused."""
    with pytest.raises(InvalidRequest, match="not both"):
        await asked(backend, grammar='root ::= "a"', response_format=FORM)


async def test_a_grammar_is_of_one_sequence(backend: LlamaCpp) -> None:
    """Streams beside one that is held to a grammar write what they write alone."""
    alone = [await asked(backend, seed=seed, max_tokens=40) for seed in range(3)]
    held, *beside = await asyncio.gather(
        asked(backend, response_format=FORM), *(asked(backend, seed=seed, max_tokens=40) for seed in range(3))
    )
    assert [answer.text for answer in beside] == [answer.text for answer in alone]
    assert json.loads(held.text)


async def test_a_grammar_that_nothing_satisfies_ends_the_text(backend: LlamaCpp) -> None:
    """Where no token can follow, the text ends as cut off, and nobody else is harmed."""
    answer = await asked(backend, grammar="root ::= [z-a]")
    assert (answer.text, answer.finish_reason) == ("", "length")


async def test_leaving_early_frees_the_grammar(backend: LlamaCpp) -> None:
    """A stream that is left while held to a grammar leaves nothing live, and the next one is served."""
    for _ in range(20):
        async with backend.stream(Request.of("x", grammar='root ::= "a"{100}')) as events:
            await anext(events)
    assert (await asked(backend, grammar='root ::= "end"')).text == "end"
    assert (backend.occupancy.live, backend.occupancy.waiting) == (0, 0)


async def test_the_backend_says_it_takes_grammars(backend: LlamaCpp) -> None:
    """Capabilities tell of grammars."""
    assert backend.capabilities.grammar
