"""`forethought ask`."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from support.upstream import Upstream, fails, says

from .conftest import COMMAND, Forethought, environment

QUESTION = "a=3 b=a+4 b?"


async def test_only_the_answer_on_stdout(forethought: Forethought, upstream: Upstream) -> None:
    """The answer goes to stdout, and everything about it to stderr."""
    upstream.script(says("42", reasoning="six times seven"))
    finished = await forethought("ask", "6*7?", "--upstream", upstream.base_url)
    assert (finished.code, finished.out) == (0, "42\n")
    assert upstream.base_url in finished.err


async def test_what_is_asked(forethought: Forethought, upstream: Upstream) -> None:
    """Question, system message, model and sampling reach the server, and no field that was not given."""
    upstream.script(says("42"))
    options = ["--system", "Be brief.", "--model", "m", "--temperature", "0.5", "--seed", "7"]
    await forethought("ask", "6*7?", "--upstream", upstream.base_url, *options)
    asked = upstream.requests[-1].json
    assert [message["content"] for message in asked["messages"]] == ["Be brief.", "6*7?"]
    assert (asked["model"], asked["temperature"], asked["seed"]) == ("m", 0.5, 7)
    assert "max_tokens" not in asked


async def test_base_url_and_key_of_the_environment(forethought: Forethought, upstream: Upstream) -> None:
    """Without an option OPENAI_BASE_URL is asked, with OPENAI_API_KEY."""
    upstream.script(says("42"))
    finished = await forethought("ask", "6*7?", OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-test")
    assert finished.out == "42\n"
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-test"
    assert "sk-test" not in finished.err


async def test_a_policy_votes(forethought: Forethought, upstream: Upstream) -> None:
    """A policy is followed: a vote asks several times and gives the majority's answer."""
    upstream.script(says("41"), says("42"), says("42"), says("42"), says("42"), says("42"), says("42"), says("42"))
    finished = await forethought("ask", "6*7?", "--upstream", upstream.base_url, "--policy", "balanced", "--trace")
    assert finished.out == "42\n"
    assert "vote" in finished.err
    assert "spared" in finished.err


async def test_json(forethought: Forethought, upstream: Upstream) -> None:
    """With --json stdout is one object with the answer, its thinking, the usage and the whole run."""
    upstream.script(says("42", reasoning="six times seven"))
    told = json.loads((await forethought("ask", "6*7?", "--upstream", upstream.base_url, "--json")).out)
    assert (told["answer"], told["reasoning"]) == ("42", "six times seven")
    assert told["usage"]["completion_tokens"] == told["run"]["root"]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("arguments", [["ask", "-"], ["ask"]], ids=["dash", "nothing"])
async def test_question_from_a_pipe(forethought: Forethought, upstream: Upstream, arguments: list[str]) -> None:
    """A question may be piped in."""
    upstream.script(says("42"))
    finished = await forethought(*arguments, "--upstream", upstream.base_url, stdin="6*7?\n")
    assert finished.out == "42\n"
    assert upstream.requests[-1].json["messages"][-1]["content"] == "6*7?"


async def test_an_empty_question(forethought: Forethought) -> None:
    """Nothing asked is a usage error, and no model is asked."""
    finished = await forethought("ask", "--pocket", stdin=" \n")
    assert (finished.code, finished.out) == (2, "")


async def test_an_error_of_the_upstream_is_one_line(forethought: Forethought, upstream: Upstream) -> None:
    """An upstream that refuses is one line with its status and words, and exit code 1."""
    upstream.script(fails(401, "bad key"))
    finished = await forethought("ask", "6*7?", "--upstream", upstream.base_url)
    assert (finished.code, finished.out) == (1, "")
    complaint = finished.err.splitlines()[-1]
    assert complaint.startswith("forethought: ")
    assert "401" in complaint
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--policy", "nope"], "nope"),
        (["--budget-tokens", "0"], "output_tokens_limit"),
        (["--budget-usd", "much"], "cost_limit"),
        (["--upstream", "ftp://x"], "ftp://x"),
        (["--pocket", "--gguf", "m.gguf"], "only one"),
        (["--no-such-option"], "--no-such-option"),
    ],
    ids=["policy", "tokens", "money", "url", "two models", "option"],
)
async def test_wrong_usage(forethought: Forethought, options: list[str], word: str) -> None:
    """What the caller can mend ends with exit code 2 and names what is wrong."""
    finished = await forethought("ask", QUESTION, *options)
    assert (finished.code, finished.out) == (2, "")
    assert word in finished.err
    assert "Traceback" not in finished.err


async def test_interrupt(upstream: Upstream, tmp_path: Path) -> None:
    """Ctrl-C ends the command at once and quietly, and closes every call that was under way."""
    upstream.script(says("a long answer of many words", pause=30))
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "ask",
        "6*7?",
        "--upstream",
        upstream.base_url,
        "-p",
        "balanced",
        env=environment(tmp_path),
        stderr=PIPE,
    )
    for _ in range(600):
        if upstream.live == 4:
            break
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, told = await process.communicate()
    assert await upstream.quiet()
    assert process.returncode == 130
    assert b"Traceback" not in told
    assert upstream.aborted == 4


@pytest.mark.usefixtures("local_engine")
async def test_the_pocket_model_is_the_default(forethought: Forethought) -> None:
    """Without any option the embedded model answers, and stderr says so."""
    finished = await forethought("ask", QUESTION, "--policy", "balanced")
    assert finished.code == 0
    assert finished.out.strip().isdigit()
    assert "the embedded pocket model" in finished.err


@pytest.mark.usefixtures("local_engine")
async def test_a_budget_holds(forethought: Forethought) -> None:
    """No more than the budget is written, and there is still an answer."""
    told = json.loads((await forethought("ask", QUESTION, "-p", "balanced", "--budget-tokens", "60", "--json")).out)
    assert told["usage"]["completion_tokens"] <= 60
    assert told["answer"]


@pytest.mark.usefixtures("local_engine")
async def test_a_file_that_is_no_model(forethought: Forethought) -> None:
    """A file that is not a GGUF is one line that says why."""
    finished = await forethought("ask", QUESTION, "--gguf", "/dev/null")
    assert finished.code == 1
    assert finished.err.splitlines()[-1].startswith("forethought: '/dev/null' is not a usable GGUF file")
