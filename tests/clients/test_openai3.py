"""The same checks under version 3 of the `openai` SDK, which runs on httpx2, in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("FORETHOUGHT_OPENAI3_PYTHON") or ROOT / ".venvs/openai3/bin/python")
CHECKS = ("answers", "failures", "wrapping", "proxy")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason=f"no openai 3: {PYTHON} does not exist; `make test` installs it")
def test_openai_3_is_wrapped_and_drives_the_proxy() -> None:
    """Every check of the wrapped client, and of the client of the proxy, passes on openai 3 and httpx2."""
    version = _run("-c", "import openai; print(openai.__version__)").stdout
    assert version.startswith("3."), version
    checked = _run("-m", "pytest", "-q", *(f"tests/clients/test_openai_{name}.py" for name in CHECKS))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PYTHON), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
