"""The walls of the house: who may import whom, how big a thing may grow, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

import pytest

import forethought

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "src/forethought", ROOT / "adapters/forethought_adapters", ROOT / "adapters/forethought_pocket"]
FILES = sorted(chain.from_iterable(package.rglob("*.py") for package in PACKAGES))
SPINE = sorted(PACKAGES[0].rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef

VENDORS = {"openai", "anthropic", "litellm", "llama_cpp", "torch", "langchain_core", "pydantic_ai", "redis"}
SIBLINGS = {"forethought_adapters", "forethought_pocket", "forethought_policies"}

# From the innermost room outwards; a module imports only from its own room and from those before it.
ROOMS = [
    {"errors"},
    {"context"},
    {"wire"},
    {"ports"},
    {"limits", "ledger", "budget", "trace", "tally", "answers", "tokens", "pricing", "thinking", "fold", "store",
     "plugins", "toml_lines", "stack", "otel_names", "otel_content", "otel"},
    {"testing", "judge", "retry", "throttle", "meter", "shape", "steer"},
    {"policy", "kinds"},
    {"search", "learn"},
    {"engine"},
    {"front"},
    {"clients"},
    {"proxy", "evaluate"},
    {"cli"},
]  # fmt: skip


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def functions(files: list[Path]) -> Iterator[tuple[str, int]]:
    for file in files:
        for node in ast.walk(tree(file)):
            if isinstance(node, Function):
                yield f"{file.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGES[0]).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Dotted names of what a module imports at run time, those of its own package in full."""
    package = file.relative_to(ROOT / "src").with_suffix("").parts if file.is_relative_to(ROOT / "src") else ()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level]
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def inner_edges() -> dict[str, set[str]]:
    """Which module of the spine imports which."""
    names = {
        ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): file for file in SPINE
    }
    edges: dict[str, set[str]] = {}
    for name, file in names.items():
        edges[name] = set()
        for target in imports(file):
            for candidate in (target, target.rpartition(".")[0]):
                if candidate in names and candidate != name:
                    edges[name].add(candidate)
                    break
    return edges


def test_every_module_has_a_room() -> None:
    """Each module of the spine stands in one of the rooms."""
    assert {room_of(file) for file in SPINE} - {"__init__"} <= set().union(*ROOMS)


@pytest.mark.parametrize("file", SPINE, ids=lambda file: str(file.relative_to(PACKAGES[0])))
def test_imports_point_inwards(file: Path) -> None:
    """A module imports from its own room and from those further in, never outwards."""
    rank = {name: index for index, room in enumerate(ROOMS) for name in room}
    here = rank.get(room_of(file), len(ROOMS))
    ours = [name.split(".") for name in imports(file) if name.startswith("forethought.")]
    outwards = [".".join(name) for name in ours if rank.get(name[1], -1) > here]
    assert outwards == []


def test_no_cycle() -> None:
    """No module of the spine imports itself by way of others."""
    edges = inner_edges()

    def reaches(start: str, seen: frozenset[str], at: str) -> bool:
        return any(step == start or (step not in seen and reaches(start, seen | {step}, step)) for step in edges[at])

    assert [name for name in edges if name != "forethought" and reaches(name, frozenset(), name)] == []


@pytest.mark.parametrize("file", SPINE, ids=lambda file: str(file.relative_to(PACKAGES[0])))
def test_no_vendor_and_no_sibling(file: Path) -> None:
    """The spine imports no vendor's SDK and none of the packages that are found by entry point."""
    assert {name.split(".")[0] for name in imports(file)} & (VENDORS | SIBLINGS) == set()


@pytest.mark.parametrize("file", SPINE, ids=lambda file: str(file.relative_to(PACKAGES[0])))
def test_no_hidden_import(file: Path) -> None:
    """Nothing is imported inside a function."""
    hidden = [
        f"{function.name}:{node.lineno}"
        for function in ast.walk(tree(file))
        if isinstance(function, Function)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_first_line_says_why(file: Path) -> None:
    """Each module says in its first line why it exists."""
    assert (ast.get_docstring(tree(file)) or "").strip()


def test_files_are_small() -> None:
    """No file is over 400 lines, and the median is at most 150."""
    sizes = {str(file.relative_to(ROOT)): lines(file) for file in FILES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
    assert median(sizes.values()) <= 150


def test_functions_are_small() -> None:
    """No function is over 60 lines, nine in ten are at most 30, and the median is at most 8."""
    sizes = dict(functions(FILES))
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    assert quantiles(sizes.values(), n=10)[-1] <= 30
    assert median(sizes.values()) <= 8


def test_public_names() -> None:
    """What the door exports is exactly what it names, sorted."""
    assert forethought.__all__ == sorted(forethought.__all__)
    assert [name for name in forethought.__all__ if not hasattr(forethought, name)] == []
    public = {name for name, value in vars(forethought).items() if not name.startswith("_") and not is_module(value)}
    assert public - {"annotations"} == set(forethought.__all__) - {"__version__"}


def is_module(value: object) -> bool:
    return type(value).__name__ == "module"


IMPORT = """
import sys, threading
seen = []
REACHING = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir"}

def watch(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event in REACHING or (writes and ".pyc" not in str(args[0])):
        seen.append((event, args[0]))

sys.addaudithook(watch)
import forethought
heavy = "openai litellm llama_cpp aiohttp starlette uvicorn numpy httpx rich typer sympy requests tenacity".split()
print([name for name in heavy if name in sys.modules], threading.active_count(), seen)
"""


def test_import_is_free() -> None:
    """Importing starts no thread, opens no connection, writes no file and loads nothing heavy."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1 []"
