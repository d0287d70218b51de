"""How the common families of models mark their thinking."""

from __future__ import annotations

from collections.abc import Callable

from forethought.thinking import THINK, Tags

HARMONY = Tags("<|channel|>analysis<|message|>", "<|end|><|start|>assistant", "<|channel|>final<|message|>")
"""The channels of gpt-oss; what it writes for others than the user is told by `tools`."""

FAMILIES = (THINK, Tags("◁think▷", "◁/think▷"), Tags("[THINK]", "[/THINK]"), HARMONY)


def recognise(template: str, known: Callable[[str], bool]) -> Tags:
    """The tags that the source of a chat template writes, else those that are `known` to the vocabulary, else the
    usual ones."""
    written = (tags for tags in FAMILIES if tags.open in template)
    spelled = (tags for tags in FAMILIES if known(tags.open) and known(tags.close))
    return next(written, None) or next(spelled, THINK)
