"""How sure a model is of what it has thought."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.errors import InvalidPolicy
from forethought.ports import Capabilities, Continuation, Probe, Probed
from forethought.steer.detector import PUBLISHED, VERBAL, Calibration, Detector, read, verbalised
from forethought.wire import TokenLogprob


def probed(next_token: Mapping[str, float]) -> Probed:
    """A probe whose next token has these probabilities, of which the first was chosen."""
    top = tuple((token, log(share)) for token, share in next_token.items())
    return Probed(top[0][0], (TokenLogprob(*top[0], top),))


def confidence(detector: Detector, *answers: Probed) -> tuple[float, list[Probe]]:
    """What the detector reads from these answers, and the probes it makes."""
    asking = detector.confidence()
    probes = [next(asking)]
    for answer in answers:
        try:
            probes.append(asking.send(answer))
        except StopIteration as ended:
            return ended.value, [probe for probe in probes if isinstance(probe, Probe)]
    raise AssertionError("the detector asks for more")


def test_published_formula() -> None:
    """ĉ = P(confident) + P(sure) + P(pretty) · [P(confident | pretty) + P(sure | pretty)]."""
    first = probed({" not": 0.3, " confident": 0.25, " sure": 0.15, " pretty": 0.3})
    then = probed({" sure": 0.5, " confident": 0.2, " certain": 0.3})
    read_, probes = confidence(PUBLISHED, first, then)
    assert read_ == pytest.approx(0.25 + 0.15 + 0.3 * 0.7)
    assert [probe.suffix for probe in probes] == [" So, I'm", " So, I'm pretty"]


def test_second_probe_only_where_it_could_decide() -> None:
    """What `pretty` could add is not asked for where it cannot reach the threshold."""
    assert len(confidence(PUBLISHED, probed({" confident": 0.6, " pretty": 0.3}))[1]) == 1
    assert len(confidence(PUBLISHED, probed({" not": 0.7, " pretty": 0.3}))[1]) == 1


def test_probes_are_small_and_greedy() -> None:
    """One token at temperature 0, with its alternatives."""
    [probe] = confidence(Detector("="), probed({"4": 0.9, "5": 0.1}))[1]
    assert (probe.max_tokens, probe.temperature, probe.top_logprobs) == (1, 0.0, 20)


def test_without_tokens_the_likeliest_counts() -> None:
    """A detector without tokens reads how certain the next token is, whichever it is."""
    assert confidence(Detector("="), probed({"4": 0.75, "5": 0.25}))[0] == pytest.approx(0.75)


def test_nothing_read_is_not_sure() -> None:
    """A probe that brings no logprobs reads as 0."""
    assert confidence(PUBLISHED, Probed("sure"))[0] == 0.0


@pytest.mark.parametrize(
    ("said", "share"),
    [("9", 0.9), ("9/10", 0.9), (" 10.", 1.0), ("seven", 0), ("", 0), ("42", 0), ("2024", 0), ("8 or 9", 0.8)],
)
def test_verbalised(said: str, share: float) -> None:
    """The first number counts, as a share of ten; anything else is no confidence."""
    assert verbalised(Probed(said)) == share


def test_what_fits() -> None:
    """Tokens need alternatives, certainty needs logprobs, and a number needs neither."""
    bare = Capabilities(continuation=Continuation.RAW)
    chosen = replace(bare, logprobs=True)
    fitting = [[d.fits(able) for d in (PUBLISHED, Detector("="), VERBAL)] for able in (bare, chosen)]
    assert fitting == [[False, False, True], [False, True, True]]


def test_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration equals itself through its file."""
    monkeypatch.chdir(tmp_path)
    calibration = Calibration(Detector("so ", ("4", "5"), threshold=0.25), "pocket", {"auroc": 0.7})
    Path("c.json").write_text(json.dumps(calibration.to_json()))
    assert read("c.json") == calibration


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "forethought calibrate"),
        ("{", "the file"),
        ("{}", "detector"),
        ('{"detector": {"suffix": "x", "threshold": "high"}}', r"detector\.threshold"),
        ('{"detector": {"suffix": "x", "threshold": 7}}', "threshold"),
    ],
    ids=["missing", "syntax", "empty", "type", "range"],
)
def test_wrong_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, told: str) -> None:
    """A file that is missing or wrong is refused, saying what is wrong with it."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("c.json").write_text(text)
    with pytest.raises(InvalidPolicy, match=rf"compress\.calibration: got 'c\.json'; .*{told}"):
        read("c.json")


def test_no_file_outside_the_working_directory(tmp_path: Path) -> None:
    """A policy that came with a request reaches no other files."""
    with pytest.raises(InvalidPolicy, match="below the working directory"):
        read(str(tmp_path / "c.json"))


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=9), st.sets(st.text(max_size=3)))
def test_confidence_is_a_share(next_token: Mapping[str, float], tokens: set[str]) -> None:
    """Whatever a backend says of the next token, the confidence is from 0 to 1."""
    assert 0 <= Detector("=", tuple(tokens)).mass(next_token) <= 1
