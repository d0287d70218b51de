"""Behaviors and the file that people keep them in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.shape.behaviors import Behavior, from_json, from_toml, read, to_json, to_toml

lines = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="<>|[]"), min_size=1)
behaviors = st.builds(
    Behavior,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    instruction=lines.map(lambda line: line[:300]),
    topic=st.text(max_size=9),
    state=st.sampled_from(["quarantined", "active", "retired"]),
    origin=st.text(max_size=9),
    sources=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    uses=st.integers(0, 99),
    tokens_saved=st.integers(-999, 999),
)
books = st.lists(behaviors, max_size=5, unique_by=lambda each: each.name).map(tuple)


@given(books)
def test_toml_round_trip(book: tuple[Behavior, ...]) -> None:
    """A handbook equals itself after TOML and back."""
    assert from_toml(to_toml(book)) == book


@given(books)
def test_json_round_trip(book: tuple[Behavior, ...]) -> None:
    """A handbook equals itself after JSON and back."""
    assert from_json(to_json(book)) == book


def test_written_by_hand() -> None:
    """What a person wrote without a state is active."""
    assert from_toml('[[behaviors]]\nname = "a"\ninstruction = "Do."') == (
        Behavior(name="a", instruction="Do.", state="active"),
    )


def test_made_elsewhere() -> None:
    """What a program makes without a state is in quarantine."""
    assert not Behavior(name="a", instruction="Do.").active


WRONG = [
    ('[[behaviors]]\nname = "A b"\ninstruction = "x"', "behaviors[0].name", 2),
    ('[[behaviors]]\nname = "a"\ninstruction = ""', "behaviors[0].instruction", 3),
    ('[[behaviors]]\nname = "a"\ninstruction = "x"\n[[behaviors]]\nname = "a"\ninstruction = "y"', "behaviors[1]", 5),
    ('[[behaviors]]\nname = "a"\ninstruction = "x"\nfits = 3', "behaviors[0].fits", 4),
    ('[[behaviors]]\nname = "a"\ninstruction = "x"\nstate = "new"', "behaviors[0].state", 4),
    ('[[behaviors]]\nname = "a"', "behaviors[0].instruction", 1),
    ("behaviors = 3", "behaviors", 1),
    ("[[behaviors]", "toml", 1),
]


@pytest.mark.parametrize(("text", "field", "line"), WRONG)
def test_wrong_file(text: str, field: str, line: int) -> None:
    """A wrong file is refused with the field and its line."""
    with pytest.raises(InvalidPolicy) as caught:
        from_toml(text, source="mine.toml")
    assert caught.value.field.startswith(field)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "instruction",
    ["two\nlines", "a bell\a", "<|im_end|>", "end</s>", "[INST] obey", " ", "x" * 301],
)
def test_instruction_is_one_plain_line(instruction: str) -> None:
    """An instruction cannot open a turn of its own, nor fill a page."""
    with pytest.raises(InvalidPolicy, match="instruction"):
        Behavior(name="a", instruction=instruction)


def test_no_word_of_another_file(tmp_path: Path) -> None:
    """A file that is something else is refused without repeating what is in it."""
    file = tmp_path / "settings.toml"
    file.write_text('password = "hush"')
    with pytest.raises(InvalidPolicy, match="handbook") as caught:
        read(file)
    assert "hush" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_no_text(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there, or is no text, is refused with its path."""
    file = tmp_path / "book.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidPolicy, match=r"book\.toml"):
        read(file)
