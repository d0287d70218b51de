"""Of the answers that were sampled, which thoughts make a pair."""

from __future__ import annotations

from forethought.cli.steer_vector_pairs import Pair, sample
from forethought.evaluate.problems import Exam
from forethought.testing import Script, Scripted


class Sum:
    """A problem of one kind."""

    question, answer, difficulty = "6*7?", "42", 1
    messages = ({"role": "user", "content": "6*7?"},)


def _is_right(problem: Sum, text: str) -> bool:
    return text == problem.answer


async def found(backend: Scripted, samples: int, *, problems: int = 1, seed: int = 0) -> list[Pair]:
    told: list[int] = []
    exam = Exam([Sum()] * problems, _is_right)
    pairs = await sample(backend, exam, samples, temperature=0.7, seed=seed, told=told.append)
    assert told == list(range(1, problems * samples + 1))
    return pairs


def thoughts(pairs: list[Pair]) -> list[tuple[str, ...]]:
    return [tuple(each.prefix.reasoning for each in pair if each.prefix) for pair in pairs]


def thought(words: int, text: str = "42", **fields: str) -> Script:
    return Script(text, reasoning="hm " * words, **fields)  # type: ignore[arg-type]


async def test_the_shortest_and_the_longest_make_the_pair() -> None:
    """Of several right answers the shortest thought comes first and the longest second."""
    pairs = await found(Scripted(thought(3), thought(1), thought(9), thought(5)), 4)
    assert thoughts(pairs) == [("hm " * 1, "hm " * 9)]
    assert all(each.messages == Sum.messages for each in pairs[0])


async def test_wrong_answers_are_left_out() -> None:
    """A wrong answer is no example, however short or long its thought was."""
    pairs = await found(Scripted(thought(1, "41"), thought(2), thought(4), thought(99, "43")), 4)
    assert thoughts(pairs) == [("hm " * 2, "hm " * 4)]


async def test_cut_and_thoughtless_answers_are_left_out() -> None:
    """So is an answer that was cut off, and one that came without a thought."""
    pairs = await found(Scripted("42", thought(2), thought(4), thought(99, finish_reason="length")), 4)
    assert thoughts(pairs) == [("hm " * 2, "hm " * 4)]


async def test_two_lengths_are_needed() -> None:
    """A problem with one right answer, or with right thoughts of one length, gives no pair."""
    assert await found(Scripted(thought(2), thought(4, "41")), 2) == []
    assert await found(Scripted(thought(2)), 4) == []
    assert await found(Scripted("41"), 4) == []


async def test_each_problem_gives_its_own_pair() -> None:
    """The answers to one problem are not mixed with those to another."""
    pairs = await found(Scripted(thought(1), thought(2), thought(3), thought(4)), 2, problems=2)
    assert thoughts(pairs) == [("hm " * 1, "hm " * 2), ("hm " * 3, "hm " * 4)]


async def test_samples_have_seeds_of_their_own() -> None:
    """No two samples draw alike, the same seed draws the same again, and another one does not."""

    async def seeds(seed: int) -> list[object]:
        backend = Scripted(thought(1))
        await found(backend, 3, problems=2, seed=seed)
        assert {request.params["temperature"] for request in backend.requests} == {0.7}
        return [request.params["seed"] for request in backend.requests]

    assert len(set(await seeds(1))) == 6
    assert await seeds(1) == await seeds(1) != await seeds(2)
