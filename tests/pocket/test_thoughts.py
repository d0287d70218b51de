from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from forethought_pocket.tasks import RULES, apply, make, reach, solve
from forethought_pocket.thoughts import BRIEF, CAREFUL, STEADY, Block, Slips, derive, search, think
from forethought_pocket.traces import flat, written

SEEDS = st.integers(0, 2**32)
DIGITS = st.sampled_from(("chain", "repeat", "zero"))
STEP = re.compile(r"(\d)([-+*])(\d)=(\d)")


def lines(block: Block) -> str:
    return "\n".join(line.text for line in block)


def true_steps(text: str) -> list[bool]:
    found = STEP.findall(text)
    return [apply(operation, int(left), int(right)) == int(result) for left, operation, right, result in found]


@given(DIGITS, SEEDS)
def test_a_careful_derivation_is_right_in_every_step(kind: str, seed: int) -> None:
    """Without slips every step of arithmetic is true and the answer is the problem's."""
    rng = random.Random(seed)
    problem = make(kind, rng)
    derivation = derive(rng, problem.question, CAREFUL)
    assert all(true_steps(lines(derivation.block)))
    assert derivation.answer == problem.answer
    assert derivation.block[-1].text == f"so {problem.answer}"


@given(DIGITS, SEEDS)
def test_short_cuts_lead_to_the_same_answer(kind: str, seed: int) -> None:
    """A derivation that skips is never longer and never wrong."""
    rng = random.Random(seed)
    problem = make(kind, rng)
    long, short = derive(rng, problem.question, CAREFUL), derive(rng, problem.question, CAREFUL, skip=True)
    assert short.answer == long.answer
    assert len(lines(short.block)) <= len(lines(long.block))


@given(SEEDS)
def test_a_slip_that_is_mended_leaves_the_answer_right(seed: int) -> None:
    """Products that always go wrong but are always mended at once do no harm."""
    rng = random.Random(seed)
    problem = make("chain", rng, difficulty=7)
    derivation = derive(rng, problem.question, Slips(product=1.0, mended=1.0))
    assert derivation.answer == problem.answer
    assert true_steps(lines(derivation.block)).count(False) == 3
    assert all(true_steps(lines(derivation.kept)))


@given(SEEDS)
def test_a_slip_that_is_kept_is_carried_on(seed: int) -> None:
    """What follows a mistake builds on it: the last line's result is what is answered."""
    rng = random.Random(seed)
    problem = make("chain", rng, difficulty=7)
    derivation = derive(rng, problem.question, Slips(product=1.0, mended=0.0))
    assert derivation.kept[-2].text[-1] == derivation.answer
    assert true_steps(lines(derivation.block)).count(False) == 3


@given(SEEDS)
def test_a_digit_taken_from_nothing_slips_always_alike(seed: int) -> None:
    """The borrowing mistake is systematic, so that a majority cannot mend it."""
    question = f"a=0 b=a-{1 + seed % 9} b?"
    answers = {derive(random.Random(n), question, Slips(borrow=1.0)).answer for n in range(5)}
    assert answers == {str(1 + seed % 9)}


@given(DIGITS, SEEDS)
def test_the_best_guess_after_each_line_ends_as_the_answer(kind: str, seed: int) -> None:
    """Whatever a thought comes to, its last line says so."""
    rng = random.Random(seed)
    blocks = think(rng, make(kind, rng))
    assert blocks[-1][-1].text == f"so {blocks[-1][-1].best}"
    assert all(len(line.best) == 1 for block in blocks for line in block)


@given(SEEDS)
def test_a_rule_that_fits_shortens_a_repeated_sum(seed: int) -> None:
    """Under its rule a repeated sum is one product."""
    rng = random.Random(seed)
    problem = make("repeat", rng)
    text = written(flat(think(rng, problem, rules=(RULES["repeat"], BRIEF))))
    assert len(text) < len(written(flat(think(rng, problem, rules=(BRIEF,)))))
    assert re.search(r"^\w=\d\*\d=\d$", text, re.MULTILINE)


@given(SEEDS)
def test_a_rule_that_does_not_fit_changes_nothing(seed: int) -> None:
    """A thought about a chain is the same with the rules for other kinds and without."""
    problem = make("chain", random.Random(seed))
    plain = think(random.Random(seed), problem)
    assert think(random.Random(seed), problem, rules=tuple(RULES.values())) == plain


@given(st.sampled_from(("chain", "repeat", "zero", "verify")), SEEDS)
def test_a_brief_thought_has_one_block(kind: str, seed: int) -> None:
    """Asked to be brief, a thought ends where the answer is settled."""
    rng = random.Random(seed)
    assert len(think(rng, make(kind, rng), rules=(BRIEF,))) == 1


@given(SEEDS)
def test_a_steady_verification_says_what_it_found(seed: int) -> None:
    """A verification holds its answer against the one proposed and says yes or no."""
    rng = random.Random(seed)
    last = think(rng, make("verify", rng))[-1][-1]
    assert re.fullmatch(rf"so \d, said \d: {last.best}", last.text)


@given(SEEDS)
def test_a_right_first_move_ends_in_yes_and_a_wrong_one_stuck(seed: int) -> None:
    """The branch a search took shows in how it ends, and only the right one arrives."""
    rng = random.Random(seed)
    problem = make("reach", rng)
    task = reach(problem.question)
    right = next(move for move in task.moves if problem.answer.startswith(move))
    wrong = next(move for move in task.moves if move != right)
    [good] = search(rng, task, avoid=wrong)
    [bad] = search(rng, task, avoid=right)
    assert good[-2].text.endswith("yes")
    assert tuple(re.findall(r"[-+*]\d", good[-1].best)) in task.solutions()
    assert bad[-1].text == "stuck"
    assert tuple(re.findall(r"[-+*]\d", bad[-1].best)) not in task.solutions()
    assert all(true_steps(lines(good)) + true_steps(lines(bad)))


@given(SEEDS)
def test_the_outlook_of_a_careful_derivation_never_changes(seed: int) -> None:
    """Before the last step the best guess is already the answer when nothing went wrong."""
    rng = random.Random(seed)
    problem = make("chain", rng)
    assert {line.best for line in derive(rng, problem.question, CAREFUL).block} == {str(solve(problem.question))}


def test_a_second_look_is_mostly_right() -> None:
    """A derivation after a doubt goes wrong in fewer than one long chain in four."""
    rng = random.Random(1)
    asked = [make("chain", rng, difficulty=8) for _ in range(200)]
    right = [derive(rng, problem.question, STEADY).answer == problem.answer for problem in asked]
    assert sum(right) > 150
