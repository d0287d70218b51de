"""A child process that answers each message with one, over pipes of its own.

What crosses is pickled, because both ends are this program and nobody else holds the pipes. That keeps crashes
apart, not rights: the child may do whatever its parent may.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO, Any, cast

from forethought.errors import EngineStopped

_PATIENCE_S = 1.0


class Child:
    """A Python process that runs `module` and ends when its input does, hence with its parent at the latest."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a module of ours, in the interpreter that runs us
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt at the terminal is the parent's to handle
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended."""
        return self._process.poll() is not None

    def ask(self, message: object) -> Any:
        """Send a message and wait for the answer; raises it where it is an error, and EngineStopped without one."""
        try:
            send(self._input, message)
            answer = receive(self._output)
        except (OSError, EOFError) as error:
            raise EngineStopped(f"the engine's process {self._fate()}") from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def end(self) -> None:
        """Kill it and see it off; doing so twice changes nothing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()

    def _fate(self) -> str:
        try:
            code = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "does not answer"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def send(pipe: IO[bytes], message: object) -> None:
    """Write one message; raises OSError where nobody reads it."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    pipe.write(buffer.getbuffer())
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Wait for one message; raises EOFError where none comes any more."""
    try:
        return pickle.load(pipe)  # noqa: S301 - see above
    except pickle.UnpicklingError as error:
        raise EOFError("the other side ended within a message") from error


class _Pickler(pickle.Pickler):
    """Errors that are made of facts do not survive pickling by themselves: they keep only their message."""

    def reducer_override(self, obj: Any) -> Any:
        return (_rebuilt, (type(obj), obj.args, vars(obj))) if isinstance(obj, BaseException) else NotImplemented


def _rebuilt(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    vars(error).update(facts)
    return error
