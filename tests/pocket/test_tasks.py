from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought_pocket import RULES, Problem, is_right, problems
from forethought_pocket.tasks import DIFFICULTIES, LETTERS, Split, canonical, make, reach, solve, split_of, steps

KINDS = st.sampled_from(sorted(DIFFICULTIES))
SEEDS = st.integers(0, 2**32)
DIGITS = ("chain", "repeat", "zero")


def made(kind: str, seed: int) -> Problem:
    return make(kind, random.Random(seed), agree=seed % 2 == 0)


def worked_out(question: str) -> int:
    """The answer by Python's own arithmetic."""
    names: dict[str, int] = {}
    *assignments, last = question.split()
    for assignment in assignments:
        name, _, body = assignment.partition("=")
        names[name] = eval(body, {}, names)  # the whole language is digits, names and + - *
    return names[last.rstrip("?")] % 10


@given(st.sampled_from(DIGITS), SEEDS)
def test_the_answer_is_what_python_makes_of_the_question(kind: str, seed: int) -> None:
    """An answer is the last digit of the question read as assignments in Python."""
    problem = made(kind, seed)
    assert problem.answer == str(worked_out(problem.question))


@given(SEEDS)
def test_a_verification_is_yes_exactly_when_the_proposal_is_true(seed: int) -> None:
    """`yes` stands for a proposed digit that is the answer, `no` for any other."""
    problem = made("verify", seed)
    question, shown, _ = problem.question.rsplit(" ", 2)
    assert (problem.answer == "yes") == (int(shown) == worked_out(question))


@given(SEEDS)
def test_every_way_to_the_target_begins_alike(seed: int) -> None:
    """A reach problem is lost by a wrong first move."""
    problem = made("reach", seed)
    solutions = reach(problem.question).solutions()
    assert solutions
    assert {path[0] for path in solutions} == {problem.answer[:2]}


@given(KINDS, SEEDS)
def test_its_own_answer_is_right(kind: str, seed: int) -> None:
    """The checker accepts a problem's answer bare, in a sentence and after thinking."""
    problem = made(kind, seed)
    assert is_right(problem, problem.answer)
    assert is_right(problem, f"The answer is {problem.answer}.")
    assert is_right(problem, f"<think>so 5, no yes *2+3 Wait</think>{problem.answer}<|end|>")


@given(st.sampled_from(DIGITS), SEEDS, st.integers(1, 9))
def test_another_digit_is_wrong(kind: str, seed: int, off: int) -> None:
    """The checker rejects every other digit."""
    problem = made(kind, seed)
    assert not is_right(problem, str((int(problem.answer) + off) % 10))


@given(KINDS, SEEDS)
def test_a_thought_that_was_never_closed_holds_no_answer(kind: str, seed: int) -> None:
    """An answer inside open thinking does not count."""
    problem = made(kind, seed)
    assert not is_right(problem, f"<think>so {problem.answer}")


@given(KINDS, st.text())
def test_any_text_can_be_checked(kind: str, text: str) -> None:
    """The checker never raises, whatever a model wrote."""
    is_right(made(kind, 1), text)


@given(SEEDS)
def test_any_path_that_arrives_is_right(seed: int) -> None:
    """A reach problem accepts each of its solutions and no other path."""
    problem = made("reach", seed)
    task = reach(problem.question)
    solutions = task.solutions()
    assert all(is_right(problem, "".join(path)) for path in solutions)
    assert not is_right(problem, "".join((*solutions[0], task.moves[0])))


@given(st.sampled_from(DIGITS), SEEDS, st.permutations(LETTERS))
def test_new_names_do_not_change_the_split(kind: str, seed: int, letters: list[str]) -> None:
    """A question stays in its split when its variables are renamed."""
    question = made(kind, seed).question
    renamed = re.sub(r"[a-z]", lambda found: letters[LETTERS.index(found.group())], question)
    assert split_of(renamed) == split_of(question)
    assert solve(renamed) == solve(question)


@given(SEEDS)
def test_a_verification_is_in_the_split_of_what_it_verifies(seed: int) -> None:
    """Verifying an answer cannot leak a test question into training."""
    question = made("verify", seed).question
    assert split_of(question) == split_of(question.rsplit(" ", 2)[0])


@pytest.mark.parametrize("kind", sorted(DIFFICULTIES))
def test_splits_do_not_overlap(kind: str) -> None:
    """No canonical question is in two splits."""
    splits: tuple[Split, ...] = ("train", "dev", "test")
    found = [{canonical(problem.question) for problem in problems(split, 100, kind=kind)} for split in splits]
    assert len(set.union(*found)) == sum(map(len, found))


@pytest.mark.parametrize("kind", sorted(DIFFICULTIES))
def test_the_same_arguments_give_the_same_problems(kind: str) -> None:
    """Problems are a function of their arguments; the seed is one of them."""
    assert problems("test", 30, seed=3, kind=kind) == problems("test", 30, seed=3, kind=kind)
    assert problems("test", 30, seed=3, kind=kind) != problems("test", 30, seed=4, kind=kind)


def test_these_are_the_first_test_problems() -> None:
    """The test split is the same on every machine and in every release."""
    assert [p.question for p in problems("test", 2)] == FIRST


FIRST = ["n=7 t=n*7 w=t+1 l=w+1 d=l*7 b=d-8 u=b*7 u?", "b=4 q=b-3 r=q-9 n=r-5 h=n+8 h?"]


@pytest.mark.parametrize("kind", sorted(DIFFICULTIES))
def test_problems_are_all_different(kind: str) -> None:
    """No question is asked twice."""
    questions = [p.question for p in problems("test", 200, kind=kind)]
    assert len(set(questions)) == 200


@given(st.integers(2, 8), SEEDS)
def test_the_difficulty_of_a_chain_is_its_steps(difficulty: int, seed: int) -> None:
    """A chain of difficulty n has n steps after its constant."""
    problem = make("chain", random.Random(seed), difficulty=difficulty)
    assert problem.difficulty == difficulty == len(steps(problem.question)) - 1


def test_half_of_the_verifications_are_false() -> None:
    """The verify kind is balanced."""
    answers = [p.answer for p in problems("test", 100, kind="verify")]
    assert answers.count("yes") == answers.count("no") == 50


def test_an_unknown_kind_is_refused() -> None:
    """A kind that does not exist is named in the error."""
    with pytest.raises(ValueError, match="'essay'"):
        problems("test", 1, kind="essay")


def test_a_split_cannot_give_more_than_it_holds() -> None:
    """Asking for too many different problems raises instead of repeating them."""
    with pytest.raises(ValueError, match="found only"):
        problems("test", 1500, kind="reach", difficulty=2)


def test_messages_carry_the_system_line_first() -> None:
    """A problem's system message comes before its question, when there is one."""
    problem = Problem("repeat", "a=2 b=a+a b?", "4", 1, system=RULES["repeat"])
    assert [message["role"] for message in problem.messages] == ["system", "user"]
    assert [m["role"] for m in problems("test", 1)[0].messages] == ["user"]
