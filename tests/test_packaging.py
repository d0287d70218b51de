"""What is built is whole: data files travel, and every entry point loads."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONAL = {"starlette", "uvicorn", "litellm", "llama_cpp", "openai"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a freshly built wheel."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True)
    (built,) = out.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_every_policy_travels(wheel: set[str]) -> None:
    """Each policy file of the checkout is in the wheel."""
    here = {f"forethought_policies/{file.name}" for file in (ROOT / "policies/forethought_policies").glob("*.toml")}
    assert len(here) >= 4
    assert here <= wheel


def test_the_model_travels(wheel: set[str]) -> None:
    """The embedded model and its chat template are in the wheel."""
    assert {"forethought_pocket/data/pocket.gguf", "forethought_pocket/data/chat_template.jinja"} <= wheel


@pytest.mark.parametrize(
    "package", ["forethought", "forethought_adapters", "forethought_pocket", "forethought_policies"]
)
def test_types_travel(wheel: set[str], package: str) -> None:
    """Each import package says that it is typed."""
    assert f"{package}/py.typed" in wheel


def test_nothing_else_travels(wheel: set[str]) -> None:
    """The wheel holds the four import packages and nothing beside them."""
    packages = {"forethought", "forethought_adapters", "forethought_pocket", "forethought_policies"}
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == packages


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "point",
    [
        point
        for group in ("backends", "layers", "judges", "policies", "clients", "problems")
        for point in entry_points(group=f"forethought.{group}")
    ],
    ids=lambda point: f"{point.group}:{point.name}",
)
def test_entry_points_load(point: object) -> None:
    """Every entry point of the distribution loads."""
    assert point.load()  # type: ignore[attr-defined]
