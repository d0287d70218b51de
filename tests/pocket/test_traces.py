from __future__ import annotations

import random
import re
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from forethought_pocket.chat import SPECIALS, encode
from forethought_pocket.tasks import split_of
from forethought_pocket.traces import PROBE, Conversation, conversation, conversations

SEEDS = st.integers(0, 2**32)
QUESTION = re.compile(r"[a-z]=\d (?:[a-z]=\S+ )+[a-z]\?|\d to \d by \S+ \S+ in \d\?")


def text(made: Conversation) -> str:
    return "".join(segment.text for segment in made)


@given(SEEDS)
def test_a_conversation_ends_in_something_learned(seed: int) -> None:
    """Every conversation teaches: its last piece is the model's own."""
    made = conversation(random.Random(seed))
    assert made[-1].learned
    assert not made[0].learned


@given(SEEDS)
def test_no_training_question_is_of_another_split(seed: int) -> None:
    """Everything the model is trained on, history included, is of the training split."""
    questions = QUESTION.findall(text(conversation(random.Random(seed))))
    assert questions
    assert {split_of(question) for question in questions} == {"train"}


@given(SEEDS)
def test_a_thought_is_opened_and_closed_once(seed: int) -> None:
    """A conversation holds at most one thought, never nested, and a probed one stays open."""
    made = text(conversation(random.Random(seed)))
    assert made.count("<think>") == 1
    assert made.count("</think>") == (0 if PROBE in made else 1)


@given(SEEDS)
def test_what_is_injected_is_never_learned(seed: int) -> None:
    """The model is not taught to write probes or the user's side."""
    learned = [segment.text for segment in conversation(random.Random(seed)) if segment.learned]
    assert not any(PROBE in piece or "<|user|>" in piece or "<|system|>" in piece for piece in learned)


def test_the_same_seed_gives_the_same_conversations() -> None:
    """Training data is a function of the seed."""
    assert list(islice(conversations(7), 50)) == list(islice(conversations(7), 50))


def test_traces_are_short_and_vary() -> None:
    """Half of the conversations fit in 200 tokens and nearly all in 400."""
    sizes = sorted(len(encode(text(made))) for made in islice(conversations(1), 1000))
    assert sizes[500] < 200
    assert sizes[950] < 400
    assert sizes[-1] <= 1024


def test_every_special_is_trained() -> None:
    """No special token is left as it was initialised."""
    made = "".join(text(one) for one in islice(conversations(2), 200))
    assert all(special in made for special in SPECIALS)
