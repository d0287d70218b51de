"""`forethought steer-vector`: a vector from sampled or given pairs, and what it does."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from forethought import open_backend

from .conftest import Forethought

pytestmark = pytest.mark.usefixtures("local_engine")
FEW = ("--count", "8", "--samples", "3", "--at", "last", "--try", "12")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A file with two pairs of thoughts."""
    lines = [
        {"prompt": "a=3 b=a+4 b?", "short": "b=3+4=7\nso 7", "long": "b=3+4=7\nso 7\n\ncheck\nb=3+4=7\nso 7"},
        {"messages": [{"role": "user", "content": "c=1 d=c+1 d?"}], "short": "d=1+1=2\nso 2", "long": "so 2 " * 9},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


async def test_derive_and_try(forethought: Forethought, tmp_path: Path) -> None:
    """A vector is derived from thoughts of the pocket model and tried at each scale, and none, on other problems."""
    done = await forethought("steer-vector", *FEW, "--scale", "-0.4")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "steering.gguf").exists()
    assert "pairs of thoughts" in done.out
    rows = {words[0]: words for words in map(str.split, done.out.splitlines()) if len(words) > 5}
    assert float(rows["-0.4"][4]) != float(rows["0"][4])
    assert "12 problems, the same seeds at every scale" in done.out


async def test_given_pairs(forethought: Forethought, tmp_path: Path, pairs: Path) -> None:
    """Pairs from a file are used as they are, and nothing is sampled or tried."""
    done = await forethought("steer-vector", "v.gguf", "--pairs", str(pairs))
    assert done.code == 0
    assert "2 pairs of thoughts, 12.0 tokens against 38.5 on average" in done.out
    assert "scale" not in done.out
    steered = open_backend("pocket", steering_vector=tmp_path / "v.gguf")
    assert steered.capabilities.local


async def test_asking_with_a_vector(forethought: Forethought, pairs: Path) -> None:
    """The vector is an option of whatever answers with a model in this process."""
    await forethought("steer-vector", "v.gguf", "--pairs", str(pairs))
    asking = ("ask", "a=3 b=a+4 c=b*2 c?", "--pocket", "--temperature", "0", "--json")
    plain, none, steered = [
        json.loads((await forethought(*asking, *more)).out)["reasoning"]
        for more in ((), ("--steering-vector", "v.gguf", "--steering-scale", "0"), ("--steering-vector", "v.gguf"))
    ]
    assert plain == none != steered


@pytest.mark.parametrize("command", [("ask", "?"), ("serve",)], ids=["ask", "serve"])
async def test_a_server_takes_no_vector(forethought: Forethought, command: tuple[str, ...]) -> None:
    """A model behind a server cannot be steered, which is said before it is asked."""
    refused = await forethought(*command, "--upstream", "http://127.0.0.1:9/v1", "--steering-vector", "v.gguf")
    assert refused.code == 2
    assert "--steering-vector" in refused.err


async def test_problems_of_a_file_are_parted(forethought: Forethought, tmp_path: Path) -> None:
    """Of the problems in a file one half is sampled and the other tried."""
    names = "abcdefghijklmnpqrstu"
    rows = [{"question": f"{a}=3 {b}={a}+4 {b}?", "answer": 7} for a, b in pairwise(names)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = await forethought("steer-vector", "--problems", "sums.jsonl", "--samples", "4", "--scale", "0")
    assert (done.code, done.err) == (0, "")
    assert "9 problems, the same seeds at every scale" in done.out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"prompt": "x?", "short": "y"}', "pairs.jsonl:1.long: "),
        ('{"prompt": "x?", "short": "", "long": "z"}', "pairs.jsonl:1.short: "),
        ('{"short": "y", "long": "z"}', "either prompt or messages is expected"),
        ("not json", "pairs.jsonl:1: "),
        ("", "a line"),
    ],
)
async def test_a_bad_line_is_named(forethought: Forethought, tmp_path: Path, line: str, complaint: str) -> None:
    """What is wrong in a file of pairs is told with line and field, and is the caller's to mend."""
    (tmp_path / "pairs.jsonl").write_text(line, encoding="utf-8")
    done = await forethought("steer-vector", "--pairs", "pairs.jsonl")
    assert done.code == 2
    assert complaint in done.err
    assert not (tmp_path / "steering.gguf").exists()


async def test_no_pair_is_found(forethought: Forethought, tmp_path: Path) -> None:
    """Where no problem was solved twice, it is said what to ask for instead."""
    (tmp_path / "hard.jsonl").write_text('{"question": "a=3 b=a+4 b?", "answer": 8}', encoding="utf-8")
    done = await forethought("steer-vector", "--problems", "hard.jsonl")
    assert done.code == 2
    assert "none of 1 problems got two right answers" in " ".join(done.err.replace("│", "").split())


async def test_the_folder_is_there(forethought: Forethought) -> None:
    """A place where no file can be written is told of before anything is sampled."""
    done = await forethought("steer-vector", "nowhere/v.gguf")
    assert done.code == 2
    assert "there is no folder nowhere" in done.err


async def test_help_teaches(forethought: Forethought) -> None:
    """The help says what is done, where it comes from, and how the vector is used."""
    done = await forethought("steer-vector", "--help")
    for said in ("hidden states", "arXiv 2506.15647", "which sign shortens", "steering_vector"):
        assert said in done.out
