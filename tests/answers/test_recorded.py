"""Extraction and voting on answers that real models gave; FORETHOUGHT_DATA names the directory of the recordings."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forethought.answers import extract, same
from forethought.judge.majority import Majority
from forethought.ports import Candidate
from forethought.wire import Completion

DATA = os.environ.get("FORETHOUGHT_DATA", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="FORETHOUGHT_DATA names no directory of recorded answers"),
]

SAMPLED = ["qwen25math_rm/math100_x8_rm", "rg_math_llama3b/amc23_step400", "rg_math_llama3b/aime24_step800"]


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The problems of one recording."""
    path = Path(DATA, f"{name}.jsonl.gz")
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the recordings")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@pytest.mark.parametrize("name", SAMPLED)
def test_what_is_extracted_is_right_where_the_recorded_score_says_so(name: str) -> None:
    """Ours and the recorded grader differ on fewer than one answer in a hundred."""
    verdicts = [
        same(extract(sample["text"], row["question"]), row["gold"]) == (float(sample["score"]) >= 0.99)
        for row in rows(name)
        for sample in row["samples"]
    ]
    assert sum(verdicts) >= 0.99 * len(verdicts)


def test_the_answer_of_every_worked_solution_is_found() -> None:
    """The boxed answers of MATH are extracted and equal to the gold answers."""
    assert all(same(extract(row["solution"]), row["answer"]) for row in rows("bench_math500/math500"))


def test_the_answer_after_hashes_is_found() -> None:
    """The answers of GSM8K follow four hashes."""
    solutions = [(row["answer"], row["question"]) for row in rows("bench_gsm8k/gsm8k_test")]
    assert all(extract(text, question) == text.split("#### ")[1] for text, question in solutions)


@pytest.mark.parametrize(("name", "saved"), [(SAMPLED[0], 0.3), (SAMPLED[1], 0.1)])
def test_stopping_early_keeps_the_majority(name: str, saved: float) -> None:
    """The stopped vote is right as often as that of all samples, within two points, and asks for fewer."""
    problems = list(rows(name))
    stopped = [poll(row, Majority()) for row in problems]
    right = [poll(row, Majority(confidence=1))[0] for row in problems]
    assert abs(sum(right) - sum(is_right for is_right, _ in stopped)) <= 0.02 * len(problems)
    assert sum(asked for _, asked in stopped) <= (1 - saved) * sum(len(row["samples"]) for row in problems)


def poll(row: dict[str, Any], rule: Majority) -> tuple[bool, int]:
    """Whether the vote on one problem is right, and how many samples it asked for."""
    judge = rule.open(len(row["samples"]))
    asked = 0
    while not judge.decided:
        text = row["samples"][asked]["text"]
        judge.add(Candidate(asked, extract(text, row["question"]), Completion(text=text)))
        asked += 1
    return judge.leader is not None and same(judge.leader.answer, row["gold"]), asked
