"""What runs in the process of an isolated engine: one report for each list of orders, until they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import IO

from forethought.errors import InvalidRequest

from .isolated import Order, Report, Result
from .job import Job
from .pipe import receive, send
from .worker import Worker


def main() -> None:
    """Serve whoever started this process; what native code prints goes to the standard error."""
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, reports)
    except (EOFError, BrokenPipeError):
        pass  # the parent has gone, or wants nothing more
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to those whom the parent serves
        send(reports, error)
    os._exit(0)  # without taking native code down in good order: there is nothing to save


def serve(orders: IO[bytes], reports: IO[bytes]) -> None:
    """Load the model, tell of it, and work; raises EOFError at the end of the orders."""
    worker = Worker(receive(orders))
    send(reports, worker.facts)
    while True:
        send(reports, _obey(worker, receive(orders)))


def _obey(worker: Worker, orders: Sequence[Order]) -> Report:
    results = [refusal for key, job in orders for refusal in _take(worker, key, job)]
    if worker.busy:
        results += worker.step()
    return Report(results, worker.occupancy)


def _take(worker: Worker, key: int, job: Job | None) -> list[Result]:
    """Begin or drop a job; an error is its first and last result."""
    try:
        worker.cancel(key) if job is None else worker.submit(key, job)
    except InvalidRequest as error:
        return [(key, error)]
    return []


if __name__ == "__main__":
    main()
