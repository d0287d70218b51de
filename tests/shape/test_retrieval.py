"""Which behaviors fit a question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.shape.behaviors import Behavior, from_toml
from forethought.shape.retrieval import Shelf, terms
from forethought_pocket import handbook_path, problems

BOOK = from_toml("""
[[behaviors]]
name = "inclusion_exclusion"
topic = "counting"
instruction = "To count a union of sets, add their sizes and subtract what was counted twice."

[[behaviors]]
name = "complement_counting"
topic = "counting"
instruction = "Where at least one is asked for, count all arrangements and subtract those without any."

[[behaviors]]
name = "vieta"
topic = "polynomials"
instruction = "Read sum and product of the roots off the coefficients of a quadratic, without solving it."

[[behaviors]]
name = "power_of_a_point"
topic = "geometry"
instruction = "For chords that cross within a circle, the products of their two parts are equal."

[[behaviors]]
name = "nothing"
topic = "products"
instruction = "x*0=0"
""")
SHELF = Shelf(BOOK)

FITS = [
    ("What is the sum of the roots of x^2 - 5x + 6?", "vieta"),
    ("Two chords of a circle cross at P. Find PD.", "power_of_a_point"),
    ("How many numbers lie in the union of both sets?", "inclusion_exclusion"),
    ("Of all arrangements, how many have at least one red ball?", "complement_counting"),
    ("a=3 b=a*0 c=b+2 c?", "nothing"),
    ("a=3 b=a * 0 c=b+2 c?", "nothing"),
]


@pytest.mark.parametrize(("question", "name"), FITS)
def test_best(question: str, name: str) -> None:
    """What shares the telling words or operations with a question comes first."""
    assert [behavior.name for behavior in SHELF.fitting(question, 1)] == [name]


@pytest.mark.parametrize("question", ["", "?!", "Who are you and what is this?", "a=3 b=a*7 c=b+0 c?", "哪一天?"])
def test_nothing_fits(question: str) -> None:
    """A question that shares no telling word with a behavior gets none."""
    assert SHELF.fitting(question, 5) == []


def test_stable_order() -> None:
    """Whatever the question, what is served stands in the order of topic and name."""
    served = SHELF.fitting("Count the sets of roots of a quadratic, and the arrangements of chords in a circle.", 5)
    assert [each.name for each in served] == ["complement_counting", "inclusion_exclusion", "power_of_a_point", "vieta"]


def test_far_behind() -> None:
    """What fits less than half as well as the best is left out, since its input would not pay."""
    question = "Sum and product of the roots of a quadratic with coefficients that count the sets?"
    assert [each.name for each in SHELF.fitting(question, 5)] == ["vieta"]


@given(st.text(max_size=200) | st.sampled_from([question for question, _ in FITS]), st.integers(1, 6))
def test_at_most_k(question: str, k: int) -> None:
    """Never more than k are served, whatever is asked."""
    assert len(SHELF.fitting(question, k)) <= k


def test_two_rankings() -> None:
    """What stands well by words and by meaning comes before what only one of them puts first."""
    question = "What is the sum of the roots of x^2 - 5x + 6?"
    places = [each.name for each in SHELF.behaviors]
    close = [places.index("power_of_a_point"), places.index("vieta")]
    assert [each.name for each in SHELF.fitting(question, 1, close)] == ["vieta"]
    assert {each.name for each in SHELF.fitting(question, 2, close)} == {"vieta", "power_of_a_point"}


def test_meaning_alone() -> None:
    """Where no word is shared, those are served that are closest in meaning."""
    assert SHELF.fitting("哪一天?", 2, [3, 1, 0]) == sorted(
        [SHELF.behaviors[3], SHELF.behaviors[1]], key=lambda each: (each.topic, each.name)
    )


@given(st.lists(st.sampled_from(["active", "quarantined", "retired"]), min_size=5, max_size=5))
def test_only_active(states: list[str]) -> None:
    """What is in quarantine or retired is never found."""
    book = [Behavior(name=f"b{index}", instruction="Mind the roots.", state=s) for index, s in enumerate(states)]  # type: ignore[arg-type]
    found = Shelf(book).fitting("Find the roots.", 9)
    assert [each.name for each in found] == [each.name for each in book if each.state == "active"]


def test_rare_words_tell_more() -> None:
    """A word that few behaviors have weighs more than one that all have."""
    book = [
        Behavior(name=f"b{n}", instruction=f"Triangle {w}.", state="active") for n, w in enumerate(["area", "angle"])
    ]
    assert [each.name for each in Shelf(book).fitting("The angle in a triangle", 1)] == ["b1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Roots and ROOTS", ["root", "root"]),
        ("queries", ["query"]),
        ("b=a+a c=q*0", ["x+x", "x*0"]),
        ("12 + n", ["12+x"]),
        ("well-known 3-4", ["well", "known", "3-4"]),
        ("1.5*2 ab*3", ["ab"]),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    """Words lose their plural, and in operations a lone letter stands for any other."""
    assert list(terms(text)) == expected


@pytest.mark.parametrize(
    ("kind", "served"), [("repeat", ["repeated_sum"]), ("zero", ["nothing_left"]), ("chain", []), ("verify", [])]
)
def test_pocket(kind: str, served: list[str]) -> None:
    """Problems of the pocket model get the rule that fits, and others none."""
    shelf = Shelf(from_toml(handbook_path().read_text()))
    found = {tuple(each.name for each in shelf.fitting(p.question, 5)) for p in problems("test", 200, kind=kind)}
    assert found == {tuple(served)}
