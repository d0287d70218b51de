"""Candidates meet what a book knows already."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.learn.merge import alike, comparison, merged
from forethought.shape.behaviors import Behavior
from support.embedding import Embedding

TEXT = "When a sum has many equal terms, write it as one product of term and count"
texts = st.sampled_from([TEXT, f"{TEXT}.", "Do it.", "Do it twice.", "Do not do it.", "x*0=0", "x*1=x"])
behaviors = st.builds(
    Behavior,
    name=st.sampled_from(["a", "b", "c"]),
    instruction=texts,
    state=st.sampled_from(["quarantined", "active", "retired"]),
    sources=st.lists(st.sampled_from("pqr"), max_size=2, unique=True).map(tuple),
)


@pytest.mark.parametrize("other", [TEXT, TEXT.upper(), f"{TEXT}.", TEXT.replace("many", "several")])
def test_alike(other: str) -> None:
    """Another case, a full stop or one word in many say the same."""
    assert alike(TEXT, other)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (TEXT, TEXT.replace("write", "do not write")),
        (f"{TEXT} 2", f"{TEXT} 3"),
        ("x*0=0", "x*1=x"),
        ("Square both sides.", "Draw the circle."),
        ("Multiply before you add.", "Add before you multiply."),
    ],
)
def test_not_alike(left: str, right: str) -> None:
    """A negation, a number, another order or other words say something else."""
    assert not alike(left, right)


def test_sources_are_joined() -> None:
    """What is known gains the sources of the candidate that says the same, and counts a version."""
    known = Behavior(name="sum", instruction=TEXT, state="active", sources=("p",), wins=7)
    (joined,) = merged([known], [Behavior(name="other", instruction=f"{TEXT}.", sources=("q", "p"))])
    assert (joined.name, joined.instruction, joined.sources, joined.wins, joined.version) == (
        "sum", TEXT, ("p", "q"), 7, 2,
    )  # fmt: skip


def test_a_taken_name() -> None:
    """A new instruction under a name that is taken gets another name."""
    book = merged([Behavior(name="a", instruction="Do it.")], [Behavior(name="a", instruction=TEXT)])
    assert [each.name for each in book] == ["a", "a_2"]


def test_candidates_meet_each_other() -> None:
    """Of two candidates that say the same one is kept."""
    twins = [Behavior(name=name, instruction=TEXT, sources=(name,)) for name in ("a", "b")]
    assert [each.sources for each in merged([], twins)] == [("a", "b")]


@given(st.lists(behaviors, max_size=5), st.lists(behaviors, max_size=5))
def test_what_is_known_stays(first: list[Behavior], second: list[Behavior]) -> None:
    """Merging never changes the name, the words, the state or the merits of what is known, nor its place."""
    known = merged([], first)
    after = merged(known, second)[: len(known)]
    told = [(each.name, each.instruction, each.state, each.wins) for each in known]
    assert [(each.name, each.instruction, each.state, each.wins) for each in after] == told


@given(st.lists(behaviors, max_size=6))
def test_twice_is_once(some: list[Behavior]) -> None:
    """Merging the same again changes nothing, and names stay apart."""
    book = merged([], some)
    assert merged(book, some) == book
    assert len({each.name for each in book}) == len(book)


CHORDS = "Multiply both parts of the chord."


async def test_other_words() -> None:
    """With an embedder, what means the same in other words is merged."""
    same = await comparison(Embedding(), [CHORDS, "Take a circle."])
    known = [Behavior(name="chords", instruction=CHORDS)]
    candidate = Behavior(name="circle", instruction="Take a circle.", sources=("p",))
    assert merged(known, [candidate]) == [*known, Behavior(name="circle", instruction="Take a circle.", sources=("p",))]
    assert [(each.name, each.sources) for each in merged(known, [candidate], same)] == [("chords", ("p",))]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (CHORDS, "Do not take a circle."),
        (CHORDS, "Take 2 circles."),
        (CHORDS, "Count."),
        ("Multiply a chord before a root.", "Multiply a root before a chord."),
    ],
)
async def test_not_the_same(left: str, right: str) -> None:
    """However close two are in meaning, a negation, a number or another order makes a difference."""
    assert not (await comparison(Embedding(), [left, right]))(left, right)


async def test_what_was_not_embedded() -> None:
    """A text that came later is compared by its words."""
    same = await comparison(Embedding(), [CHORDS])
    assert same(TEXT, f"{TEXT}.")
    assert not same(CHORDS, "Take a circle.")
