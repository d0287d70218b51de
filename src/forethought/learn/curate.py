"""Draws behaviors from a solved problem in three steps: solve it, reflect on the solution, extract what is reusable.

The prompts follow those described for Metacognitive Reuse (Didolkar et al., arXiv 2509.13237), in our own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..answers import extract
from ..context import Context
from ..errors import InvalidPolicy
from ..fold import complete
from ..ports import Backend
from ..shape.behaviors import Behavior
from ..wire import JSON, Request, is_array, is_object
from .leakage import leak
from .written import answer_in, values_in


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that did not get as far as quarantine, and why."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Curated:
    """What one problem brought: candidates for quarantine, and what was refused."""

    candidates: tuple[Behavior, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Curator:
    """Asks `backend` three times for each problem; `params` are fields of the body, such as model and temperature.

    The model that reflects is best the one that will be advised, or a stronger one.
    """

    backend: Backend
    params: JSON
    context: Context = Context()

    async def curate(self, source: str, question: str, answer: str = "") -> Curated:
        """Behaviors drawn from the problem `source`; none that tells its answer, known or found, or its constants.

        `answer` is the right one where it is known. Raises what the backend raises; what a model writes is
        never an error, it only yields nothing.
        """
        solution = await self._ask(SOLVE.format(question=question))
        told = f"The right answer is: {answer}\n\n" if answer else ""
        reflection = await self._ask(REFLECT.format(question=question, solution=solution, told=told))
        listed = await self._ask(EXTRACT.format(question=question, solution=solution, reflection=reflection))
        answers = [each for each in (answer, extract(solution, question)) if each]
        candidates: list[Behavior] = []
        refused: list[Refused] = []
        for name, instruction, topic in parse(listed):
            why = next(filter(None, (leak(instruction, question, each) for each in answers or [""])), "")
            try:
                made = _behavior(name, instruction, topic, source, self.backend.capabilities.name)
            except InvalidPolicy as wrong:
                why = wrong.hint
            else:
                candidates += [] if why else [made]
            refused += [Refused(f"{name}: {instruction}", why)] if why else []
        return Curated(tuple(candidates), tuple(refused))

    async def _ask(self, prompt: str) -> str:
        request = replace(Request.of(prompt, **self.params), context=self.context)
        return (await complete(self.backend, request)).text


def parse(text: str) -> list[tuple[str, str, str]]:
    """Name, instruction and topic of each behavior in what a model wrote: JSON anywhere in it, else `name: …` lines.

    JSON may be fenced, a list of objects, an object of instructions by name, or either under `behaviors`. Never
    raises.
    """
    text = answer_in(text)
    found = next((rows for value in values_in(text) if (rows := list(_rows(value)))), None)
    if found is None:
        lines = (_LINE.match(line.strip()) for line in text.splitlines())
        found = [(line[1], line[2].strip('*`" '), "") for line in lines if line]
    return [(_name(name), " ".join(instruction.split()), " ".join(topic.split())) for name, instruction, topic in found]


def _rows(value: Any) -> Iterator[tuple[str, str, str]]:
    if is_object(value) and (is_array(value.get("behaviors")) or is_object(value.get("behaviors"))):
        value = value["behaviors"]
    if is_object(value):
        value = [value] if "instruction" in value else [{"name": name, "instruction": v} for name, v in value.items()]
    for row in value if is_array(value) else ():
        if is_object(row):
            name, instruction = row.get("name") or row.get("behavior_name"), row.get("instruction")
            if isinstance(name, str) and isinstance(instruction, str):
                yield name, instruction, str(row.get("topic") or "")


def _name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_").removeprefix("behavior_")
    return name.lstrip("0123456789_")[:60].rstrip("_")


def _behavior(name: str, instruction: str, topic: str, source: str, origin: str) -> Behavior:
    return Behavior(name=name, instruction=instruction, topic=topic.lower()[:60], origin=origin, sources=(source,))


_LINE = re.compile(r"(?:[-*•]|\d+[.)])?\s*[*`\"]*([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+)[*`\"]*\s*:\s*(\S.*)")

SOLVE = """\
Solve this problem. Reason step by step, and give the final answer in \\boxed{{}}.

Problem: {question}"""

REFLECT = """\
Here is a problem and a solution that somebody wrote.

Problem: {question}

Solution: {solution}

{told}Look back on how it was solved, not on what came out. Was each step sound? Which were detours, repetitions or \
needless checks? Which general skill or rule, had it been at hand, would have made the solution shorter or surer? \
Speak of skills that carry over to other problems, never of this problem's numbers or its answer."""

EXTRACT = """\
Here are a problem, a solution, and thoughts on how it was solved.

Problem: {question}

Solution: {solution}

Reflection: {reflection}

Write down the skills in this that will help with other problems of the kind. Each has a name of a few words joined \
by underscores, one line that tells what to do and when, and a topic of one or two words. Do not repeat numbers of \
the problem, and do not tell its answer. Give only JSON:

[{{"name": "complete_the_square", "instruction": "When …, do …", "topic": "quadratic equations"}}]"""
