"""The shipped file itself, run by llama.cpp."""

from __future__ import annotations

from typing import Any

import pytest

from forethought_pocket import RULES, Problem, is_right, model_path, problems
from forethought_pocket.chat import END, encode, prompt
from forethought_pocket.tasks import reach
from forethought_pocket.thoughts import BRIEF
from forethought_pocket.traces import DIRECT, PROBE, TRANSITIONS

llama_cpp = pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def model() -> Any:
    """The pocket model, loaded once."""
    return llama_cpp.Llama(str(model_path()), n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)


def say(model: Any, text: str, *, limit: int = 300) -> str:
    made = model.create_completion(encode(text), max_tokens=limit, temperature=0.0)
    return str(made["choices"][0]["text"])


def right(model: Any, asked: list[Problem]) -> float:
    said = [say(model, prompt(problem.messages)) for problem in asked]
    return sum(map(is_right, asked, said)) / len(asked)


def test_the_file_is_a_few_megabytes() -> None:
    """The model is small enough to travel in the wheel."""
    assert model_path().stat().st_size < 4_000_000


@pytest.mark.parametrize(
    "text", ["a=3 b=a+4 b?", "  \n\n 'll 123 don't   é€", "<|user|>1<|end|><|assistant|><think>\n\nWait</think>7"]
)
def test_llama_cpp_reads_the_tokens_that_were_trained(model: Any, text: str) -> None:
    """A byte is a token and a special is a token, in llama.cpp as in training."""
    assert model.tokenize(text.encode(), add_bos=False, special=True) == encode(text)


def test_thinking_tags_are_rendered_as_text(model: Any) -> None:
    """A client sees `<think>` and `</think>`, but no turn marker."""
    assert model.detokenize(encode("<think>a</think>7<|end|>")) == b"<think>a</think>7"


def test_generation_ends_by_itself(model: Any) -> None:
    """The end-of-turn token is the file's end-of-sequence token."""
    assert model.token_eos() == END
    made = model.create_chat_completion([{"role": "user", "content": "a=3 b=a+4 b?"}], temperature=0.0)
    assert made["choices"][0]["finish_reason"] == "stop"


def test_easy_chains_are_mostly_right(model: Any) -> None:
    """Thinking gets at least two of three short chains right."""
    assert right(model, problems("test", 12, difficulty=2)) > 2 / 3


def test_told_to_be_direct_it_does_not_think(model: Any) -> None:
    """Under the system message `direct` the thought is empty and the answer a digit."""
    [problem] = problems("test", 1)
    said = say(model, prompt([{"role": "system", "content": DIRECT}, *problem.messages]))
    assert said.startswith("<think></think>")
    assert said[-1].isdigit()


def test_a_rule_shortens_a_repeated_sum(model: Any) -> None:
    """With the rule in the system message, rule included, at least 40% of the tokens go."""
    asked = problems("test", 5, kind="repeat")
    rule = {"role": "system", "content": RULES["repeat"]}
    plain = sum(len(say(model, prompt(problem.messages))) for problem in asked)
    ruled = sum(len(say(model, prompt([rule, *problem.messages]))) + len(rule["content"]) for problem in asked)
    assert ruled < 0.6 * plain


@pytest.mark.parametrize("closing", ["</think>", f"\n{TRANSITIONS[0]}\n</think>"])
def test_a_closed_thought_is_answered(model: Any, closing: str) -> None:
    """After an injected close the answer that stands in the thought is given."""
    begun = f"<think>b=3+4=7\nso 7\n\ncheck{closing}"
    assert say(model, prompt([{"role": "user", "content": "a=3 b=a+4 b?"}]) + begun) == "7"


def test_a_probe_is_answered_with_a_digit(model: Any) -> None:
    """In mid-thought the probe suffix draws out the answer that stands."""
    begun = f"<think>b=3+4=7\nc=7-2=5\nso 5\n\ncheck\nb=3{PROBE}"
    assert say(model, prompt([{"role": "user", "content": "a=3 b=a+4 c=b-2 c?"}]) + begun, limit=1) == "5"


def test_a_doubt_makes_it_look_again(model: Any) -> None:
    """After an injected `Wait` a mistake in the thought is mended."""
    begun = "<think>b=0-4=4\nc=4+1=5\nso 5\n\nWait"
    said = say(model, prompt([{"role": "user", "content": "a=0 b=a-4 c=b+1 c?"}]) + begun)
    assert said.endswith("</think>7")


def test_a_right_first_move_shows_and_a_wrong_one_too(model: Any) -> None:
    """Of both first moves of a reach problem one ends in `yes`, right, and the other `stuck`."""
    for problem in problems("test", 4, kind="reach"):
        task = reach(problem.question)
        begun = [f"<think>{task.start}{move}" for move in task.moves]
        said = [say(model, prompt(problem.messages) + start) for start in begun]
        assert ["yes\nso " in text for text in said] == [is_right(problem, text) for text in said]
        assert sorted("stuck" in text for text in said) == [False, True]


def test_proposed_answers_are_judged(model: Any) -> None:
    """Of balanced proposals at least nine in ten are judged right."""
    assert right(model, problems("test", 10, kind="verify")) >= 0.9


def test_asked_to_be_brief_it_does_not_check(model: Any) -> None:
    """Under the system message `brief` a thought is one block."""
    [problem] = problems("test", 1)
    said = say(model, prompt([{"role": "system", "content": BRIEF}, *problem.messages]))
    assert "\n\n" not in said


def test_it_names_the_rule_that_fits(model: Any) -> None:
    """A question followed by ` rule?` is answered with its rule, or `none`."""
    for kind, rule in {**RULES, "chain": "none"}.items():
        [problem] = problems("test", 1, kind=kind)
        said = say(model, prompt([{"role": "user", "content": f"{problem.question} rule?"}]))
        assert said == f"<think></think>{rule}"
