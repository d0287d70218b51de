"""Every example runs as it stands, with no key and no network."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
NEEDS = {"proxy_client": "openai", "wrap_openai": "openai"}

pytestmark = pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    """It ends well, says something, and complains about nothing."""
    if find_spec(NEEDS.get(example.stem, "forethought")) is None:
        pytest.skip(f"{NEEDS[example.stem]} is not installed")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment = {**kept, **nowhere, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(example)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_first_one_is_short() -> None:
    """The first example fits on a postcard."""
    hello = next(example for example in EXAMPLES if example.stem == "hello")
    code = [line for line in hello.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    assert len(code) <= 10
