"""Are two answers the same."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.answers import Clusters, canonical, load, same

SAME = [
    ("0.5", "1/2"),
    ("0.5", r"\frac12"),
    ("0.50", r"$\dfrac{1}{2}$"),
    ("1,234", "1234.0"),
    ("1{,}234", "1234"),
    ("50%", "0.5"),
    (r"50\%", "50"),
    ("50 percent", "50%"),
    ("72 dollars", "$72"),
    ("72 dollars", "72"),
    ("5 cm", "5"),
    ("5cm", "5 centimeters"),
    ("1.5e3", "1500"),
    (r"1.5 \times 10^{3}", "1500"),
    ("1 1/2", "1.5"),
    (r"1\frac{1}{2}", "3/2"),
    ("0.333333", "1/3"),
    ("-5", "−5"),
    (r"90^\circ", "90 degrees"),
    (r"10\text{ cm}", "10"),
    ("$x=5$", "5"),
    ("(-5)", "-5"),
    (r"$\frac{3}{4}$ cup", "0.75"),
    ("(C)", "c"),
    ("C.", "(C)"),
    (r"\text{(C)}", "C"),
    ('{"a": 1, "b": [2]}', '{"b":[2.0],"a":1}'),
    ("The cat", "cat."),
    ("Yes!", "yes"),
    ("**Paris**", "paris"),
]

DIFFERENT = [
    ("5", "6"),
    ("1000000", "1000001"),
    ("5 cm", "5 kg"),
    ("5!", "5"),
    ("5 million", "5"),
    ("2 pi", "2"),
    ("1,2", "12"),
    ("2024-01-02", "2024-02-01"),
    ("7-4", "3"),
    ("[1, 2]", "[2, 1]"),
    ('{"a": true}', '{"a": 1}'),
    ('{"a": "1"}', '{"a": 1}'),
    ("listen", "silent"),
    ("if x:\n    a()\nb()", "if x:\n    a()\n    b()"),
    ("", "0"),
]

SYMBOLIC = [
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("2*x", "2x"),
    (r"\sqrt{4}", "2"),
    ("-13.0 + 8.0i", "-13+8i"),
    (r"\left(3, \frac{\pi}{2}\right)", r"(3,\pi/2)"),
    (r"2\pi", "6.283185"),
    (r"\{1, \frac{4}{2}\}", "2, 1"),
    (r"x \in [0.5, 1]", r"[\frac12, 1]"),
    (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
    ("x+y=5", "y+x=5"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2.0 \end{pmatrix}"),
    (r"\frac{\sin x}{\cos x} + \frac{\cos x}{\sin x}", r"\frac{1}{\sin x \cos x}"),
]

NOT_EQUAL = [
    ("x+1", "x+2"),
    ("|x|", "x"),
    ("(0,1)", "[0,1]"),
    ("(1,1)", "(2,2)"),
    (r"\{1,1\}", r"\{1,2\}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}"),
    (r"\sin^{12}x\cos^{13}x\tan^{11}x", r"\cos^{12}x\sin^{13}x\tan^{11}x"),
    ("(x+y+z+w)^{99}", "(x+y+z+v)^{99}"),
    ("(" * 40 + "x+1" + ")" * 40, "x+2"),
]

answers = st.one_of(
    st.text(),
    st.from_regex(r"[-+$]?\d{1,3}(,\d{3})?(\.\d+)?([/eE]\d{1,2})?( ?%| [a-z]{2,6})?", fullmatch=True),
    st.from_regex(r"\\?[a-z]{1,4}[{(\[]?[x0-9]?[\^!+*/]?\{?\d?[})\]]{0,2}", fullmatch=True),
    st.sampled_from([side for pair in SAME + DIFFERENT for side in pair]),
)


@pytest.mark.parametrize(("a", "b"), SAME)
def test_two_notations_of_one_answer_are_the_same(a: str, b: str) -> None:
    """Numbers, units, choices, JSON and words are compared by what they say, in either order."""
    assert same(a, b)
    assert same(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_two_answers_that_only_look_alike_differ(a: str, b: str) -> None:
    """What a reader would tell apart stays apart, in either order."""
    assert not same(a, b)
    assert not same(b, a)


@pytest.mark.skipif(find_spec("math_verify") is None, reason="needs the extra 'math'")
@pytest.mark.parametrize(("a", "b"), SYMBOLIC)
def test_formulas_are_compared_by_meaning(a: str, b: str) -> None:
    """Two ways to write one formula are the same where `math-verify` is installed."""
    assert same(a, b)
    assert same(b, a)


@pytest.mark.parametrize(("a", "b"), NOT_EQUAL)
def test_formulas_that_differ_are_told_apart_in_time(a: str, b: str) -> None:
    """No proof is attempted, so what a simplifier would take minutes over is answered like the rest."""
    assert not same(a, b)
    assert not same(b, a)


def test_formulas_are_compared_off_the_main_thread() -> None:
    """No signal is needed, so any thread may compare."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(same, *SYMBOLIC[0]).result() == same(*SYMBOLIC[0])


def test_without_the_extra_formulas_are_compared_as_written() -> None:
    """Where `math-verify` cannot be imported, numbers and text are compared as ever and nothing fails."""
    script = """
import sys
sys.modules["math_verify"] = None
from forethought.answers import same
print(same("1/2", "0.5"), same("x+1", "1+x"), same("x + 1", "x + 1"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "False", "True"]


async def test_the_engine_for_formulas_can_be_loaded_ahead() -> None:
    """Loading ahead changes no answer, with the extra or without it."""
    await load()
    assert same("1/2", "0.5")
    assert not same("x+1", "x+2")


@pytest.mark.parametrize(
    "bomb",
    ["9^{9^{9^{9}}}", "9**9**9**9", "((9^{999})^{999})^{999}", "99999999!", r"\sum_{i=1}^{99999999} i^9", "9^{9!}"],
)
def test_a_formula_that_explodes_is_compared_as_written(bomb: str) -> None:
    """A tower of powers or a huge factorial never reaches the evaluator."""
    assert same(bomb, bomb)
    assert not same(bomb, "x+1")


@given(answers)
def test_an_answer_is_the_same_as_itself(answer: str) -> None:
    """`same` is reflexive on any text."""
    assert same(answer, answer)


@given(answers, answers)
def test_the_order_of_two_answers_does_not_matter(a: str, b: str) -> None:
    """`same` is symmetric on any two texts."""
    assert same(a, b) == same(b, a)


@given(st.integers(-(10**9), 10**9), st.integers(1, 1000))
def test_a_fraction_has_one_key_in_all_notations(top: int, bottom: int) -> None:
    """`a/b` and `\\frac{a}{b}`, with or without separators, are one key."""
    assert canonical(f"{top}/{bottom}") == canonical(rf"\frac{{{top}}}{{{bottom}}}") == canonical(f"{top:,} / {bottom}")


@given(st.text(alphabet='[]{}"\\, 1', max_size=30).map(lambda text: text * 2_000))
def test_long_texts_have_a_key(text: str) -> None:
    """Tens of thousands of brackets are neither an error nor a long wait."""
    assert canonical(text) == canonical(text)


def test_the_first_answer_stands_for_its_cluster() -> None:
    """Answers join the cluster they equal; its first one is its representative."""
    clusters = Clusters()
    assert [clusters.add(answer) for answer in ("1/2", "7", "0.5", "seven", r"\frac{1}{2}")] == [0, 1, 0, 2, 0]
    assert list(clusters.answers) == ["1/2", "7", "seven"]
    assert list(clusters.counts) == [3, 1, 1]


@pytest.mark.parametrize("empty", ["", " ", "\n\t"])
def test_an_empty_answer_belongs_to_no_cluster(empty: str) -> None:
    """No answer equals no other, not even another missing one."""
    clusters = Clusters()
    assert clusters.add(empty) is None
    assert clusters.add(empty) is None
    assert len(clusters) == 0


@given(st.lists(answers, max_size=12))
def test_every_answer_has_one_place(said: list[str]) -> None:
    """The counts of the clusters add up to the answers that were given."""
    clusters = Clusters()
    places = [clusters.add(answer) for answer in said]
    assert sum(clusters.counts) == sum(place is not None for place in places)
    assert all(same(said[index], clusters.answers[place]) for index, place in enumerate(places) if place is not None)
