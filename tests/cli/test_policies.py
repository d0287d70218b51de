"""`forethought policies`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from forethought import Policy, plugins
from forethought.cli.kinds import markdown
from forethought.policy import JUDGES, LAYERS, available

from .conftest import Forethought

RIGHT = """
name = "mine"

[[layers]]
kind = "vote"
samples = 4
"""


async def test_listing(forethought: Forethought) -> None:
    """Every installed policy is listed with its layers."""
    finished = await forethought("policies")
    assert finished.code == 0
    for name, policy in available().items():
        assert name in finished.out
        assert f"{policy.worst_case().requests} call" in finished.out


async def test_no_colour_in_a_pipe(forethought: Forethought) -> None:
    """What is piped on has no control characters in it."""
    assert "\x1b" not in (await forethought("policies")).out


async def test_show(forethought: Forethought) -> None:
    """A policy is shown as the TOML that it is read from."""
    shown = await forethought("policies", "show", "balanced")
    assert Policy.from_toml(shown.out) == available()["balanced"]


async def test_check_what_is_right(forethought: Forethought, tmp_path: Path) -> None:
    """A file that is right is called ok, with the most it can cost."""
    (tmp_path / "mine.toml").write_text(RIGHT)
    finished = await forethought("policies", "check", "mine.toml")
    assert (finished.code, finished.out) == (0, "ok mine.toml: policy 'mine', vote; at worst 4 calls\n")


@pytest.mark.parametrize(
    ("wrong", "place", "field"),
    [
        (RIGHT.replace("samples = 4", "samples = -4"), "mine.toml:6", "layers[0].samples"),
        (RIGHT.replace("samples", "sample"), "mine.toml:6", "layers[0].sample"),
        (RIGHT.replace('"vote"', '"veto"'), "mine.toml:5", "layers[0].kind"),
        (RIGHT.replace("[[layers]]", "[[layers]"), "mine.toml:4", "toml"),
        (RIGHT + "\n[budget]\ncost_limit = -1\n", "mine.toml:9", "budget.cost_limit"),
    ],
    ids=["value", "name", "kind", "syntax", "budget"],
)
async def test_check_what_is_wrong(
    forethought: Forethought, tmp_path: Path, wrong: str, place: str, field: str
) -> None:
    """One line names file, line and field, and the exit code is 2."""
    (tmp_path / "mine.toml").write_text(wrong)
    finished = await forethought("policies", "check", "mine.toml")
    assert finished.code == 2
    assert finished.err.startswith(f"forethought: {place}: {field}: got ")
    assert finished.err.count("\n") == 1


async def test_check_what_is_not_there(forethought: Forethought) -> None:
    """A file that cannot be read is one line, and the exit code is 2."""
    finished = await forethought("policies", "check", "none.toml")
    assert (finished.code, finished.err.count("\n")) == (2, 1)
    assert "none.toml" in finished.err


async def test_what_is_shown_is_toml(forethought: Forethought) -> None:
    """Without the name of a policy that exists nothing is printed, so that a file is not overwritten by an error."""
    finished = await forethought("policies", "show", "nope")
    assert (finished.code, tomllib.loads(finished.out)) == (2, {})


async def test_kinds(forethought: Forethought) -> None:
    """Every layer and judge that a policy can name is listed."""
    shown = (await forethought("policies", "kinds")).out
    for name in (*plugins.names(LAYERS), *plugins.names(JUDGES)):
        assert name in shown


async def test_one_kind(forethought: Forethought) -> None:
    """One kind is shown with its contract and its options, each with its default."""
    shown = (await forethought("policies", "kinds", "vote")).out
    assert "samples = 8" in shown
    assert "judge = majority" in shown
    assert "cancelled" in shown


async def test_unknown_kind(forethought: Forethought) -> None:
    """A kind that is not installed is an error that names those that are."""
    finished = await forethought("policies", "kinds", "veto")
    assert finished.code != 0
    assert "majority" in finished.err


def test_reference_in_the_readme() -> None:
    """The table of kinds in the README is the one that the code writes."""
    readme = Path(__file__).parents[2] / "README.md"
    assert markdown() in readme.read_text(encoding="utf-8")
