"""Memories of a few policies on a few kinds of problem, by hand and by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from forethought import Request
from forethought.learn.memory import Cell, Memory, Record, identity
from forethought.learn.signature import Signature

CHAIN = Signature.of(Request.of("a=3 b=a+4 c=b-2 c?"))
NEARLY = Signature.of(Request.of("a=3 b=a+4 c=b*2 d=c*7 e=d-1 e?"))
WORDS = Signature.of(Request.of("Who wrote Faust, and when was it first performed in public?"))
POLICIES = {name: {"name": name, "layers": [{"kind": "vote", "samples": n}]} for n, name in enumerate("abcd", 2)}
IDS = {name: identity(policy) for name, policy in POLICIES.items()}
DEFAULT = IDS["a"]


def record(name: str, right: int, trials: int, tokens: int = 100, state: str = "active") -> Record:
    """A policy that was right so often, at so many tokens a time."""
    return Record(POLICIES[name], state, "test", trials, float(right), trials, tokens * trials)  # type: ignore[arg-type]


def cell(signature: Signature, *records: Record) -> Cell:
    return Cell(signature, ("0a1b",), {identity(each.policy): each for each in records})


def remembered(*records: Record) -> Memory:
    return Memory((cell(CHAIN, *records),))


kinds = st.sampled_from([CHAIN, NEARLY, WORDS])
states = st.sampled_from(["active", "quarantined", "retired"])


@st.composite
def records(draw: st.DrawFn, name: str) -> Record:
    trials = draw(st.integers(0, 60))
    right = draw(st.integers(0, trials))
    return record(name, right, trials, draw(st.integers(1, 900)), draw(states))


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    cells: list[Cell] = []
    for signature in draw(st.lists(kinds, unique_by=lambda kind: kind.key)):
        names = draw(st.lists(st.sampled_from("abcd"), unique=True))
        cells.append(cell(signature, *(draw(records(name)) for name in names)))
    return Memory(tuple(cells), tuple(draw(st.lists(st.text(max_size=20), max_size=3))), draw(st.integers(0, 99)))
