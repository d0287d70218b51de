"""How the families mark their thinking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.thinking import THINK, Phase, Splitter, Tags
from forethought.wire import Prefix, Request
from forethought_adapters.llamacpp.families import FAMILIES, HARMONY, recognise
from forethought_adapters.llamacpp.template import ChatTemplate


@pytest.mark.parametrize("tags", FAMILIES)
def test_the_template_tells_the_family(tags: Tags) -> None:
    """The tags that a template writes are the model's, whatever is in its vocabulary."""
    assert recognise(f"{{{{ '{tags.open}' + messages[0].thinking }}}}", lambda mark: True) == tags


def test_the_vocabulary_tells_the_family() -> None:
    """Where the template writes no tags, those that are tokens are the model's, else the usual ones."""
    assert recognise("", lambda mark: mark in ("[THINK]", "[/THINK]")) == ("[THINK]", "[/THINK]", "")
    assert recognise("", lambda mark: False) == THINK


WHOLE = "<|channel|>analysis<|message|>1+1<|end|><|start|>assistant<|channel|>final<|message|>2"


@given(st.lists(st.integers(0, len(WHOLE)), max_size=9))
def test_channels_are_parted(places: list[int]) -> None:
    """The analysis channel is thinking, the final one the answer, however the text is cut."""
    ends = sorted({*places, len(WHOLE)})
    splitter = Splitter(HARMONY)
    parts = [splitter.feed(WHOLE[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    parts.append(splitter.flush())
    assert ("".join(part.reasoning for part in parts), "".join(part.answer for part in parts)) == ("1+1", "2")


SOURCE = (
    "<|start|>user<|message|>{{ messages[0].content }}<|end|><|start|>assistant{# <|channel|>analysis<|message|> #}"
)


@pytest.mark.parametrize(
    ("prefix", "spelled", "phase"),
    [
        (None, "", Phase.BEFORE),
        (Prefix("1+1"), "<|channel|>analysis<|message|>1+1", Phase.THINKING),
        (Prefix("1+1", "2"), WHOLE, Phase.ANSWERING),
        (Prefix("", "2"), "<|channel|>final<|message|>2", Phase.ANSWERING),
    ],
)
def test_a_prefix_is_spelled_in_channels(prefix: Prefix | None, spelled: str, phase: Phase) -> None:
    """What was said goes into its channels, and thinking that never was into none."""
    messages = ({"role": "user", "content": "?"},)
    rendered = ChatTemplate(SOURCE, tags=HARMONY).render(Request(messages, prefix=prefix))
    assert rendered.text == "<|start|>user<|message|>?<|end|><|start|>assistant" + spelled
    assert rendered.phase is phase
