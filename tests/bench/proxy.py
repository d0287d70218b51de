"""What the proxy costs: CPU per request against a bare relay and LiteLLM's proxy, in one run and as ratios.

CPU is user + system of the serving process, as the operating system counts it. In each round the servers take
turns, so that a machine whose speed drifts treats them alike; every bar is computed round by round, and the median
counts. Writes its figures to `proxy.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
import uvloop
from wire import TOKENS, Load

HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".venvs" / "litellm-proxy"
LITELLM = "litellm[proxy]==1.106.2"
QUESTION = "A train leaves at noon and another at one. When do they meet? " * 4
MODES = {"plain": 1, "short": 1, "streamed": TOKENS}
"""The tokens that are asked for: in one piece, as a stream of one token, as a stream of many.

Forethought's spine always asks the upstream for a stream. The short stream shows what a request costs it, and
the long one what each further event does.
"""
SHARES = {"plain": 1, "short": 2, "streamed": 4}
"""The requests are divided by these, so that each mode takes about as long."""


@dataclass(slots=True)
class Server:
    """A server under test, and the CPU microseconds per request that each round measured."""

    name: str
    port: int
    process: psutil.Process
    rounds: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})

    def cpu_s(self) -> float:
        """User and system seconds of the process and its children, nanoseconds fine where the system has it."""
        return sum(_cpu_s(process) for process in (self.process, *self.process.children(recursive=True)))

    def lowest(self, mode: str) -> float:
        return min(self.rounds[mode], default=float("nan"))

    def median(self, mode: str) -> float:
        return statistics.median(self.rounds[mode])


def _cpu_s(process: psutil.Process) -> float:
    if sys.platform == "linux":
        return time.clock_gettime(~process.pid << 3 | 2)  # the CPU clock of another process, as in clock_getcpuclockid
    times = process.cpu_times()
    return times.user + times.system


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def started(command: list[str], port: int, within_s: float, env: dict[str, str] | None = None) -> Iterator[int]:
    """A process that listens on `port`, by its id; raises RuntimeError where it does not `within_s` seconds."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(env or {})}
    )
    try:
        for _ in range(int(within_s / 0.1)):
            if _listens(port):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{command[0]} did not listen on {port} within {within_s} s")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def body(mode: str) -> bytes:
    asked = {"model": "fake", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": MODES[mode]}
    return json.dumps(asked if mode == "plain" else {**asked, "stream": True}).encode()


async def measure(server: Server, mode: str, count: int) -> float:
    """CPU microseconds per request, after a warm-up of a tenth as many."""
    await Load(server.port, body(mode), max(16, count // 10)).run()
    before = server.cpu_s()
    await Load(server.port, body(mode), count).run()
    return (server.cpu_s() - before) / count * 1e6


def ours(stack: ExitStack, kinds: list[str], upstream: int) -> list[Server]:
    servers: list[Server] = []
    for kind in kinds:
        port = free_port()
        command = [sys.executable, str(HERE / "fronts.py"), kind, str(port), f"http://127.0.0.1:{upstream}/v1"]
        servers.append(Server(kind, port, psutil.Process(stack.enter_context(started(command, port, 30)))))
    return servers


def litellm(stack: ExitStack, upstream: int) -> Server | None:
    """LiteLLM's proxy from a venv of its own, which is made where it is missing; None where it cannot be had."""
    program = VENV / "bin" / "litellm"
    try:
        if not program.exists():
            print(f"installing {LITELLM} into {VENV}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True, timeout=120)
            install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", LITELLM]
            subprocess.run(install, check=True, timeout=900)
        port = free_port()
        config = VENV / "bench.yaml"
        config.write_text(
            "model_list:\n  - model_name: fake\n    litellm_params:\n      model: openai/fake\n"
            f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: sk-upstream\n"
        )
        command = [str(program), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
        env = {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # like ours, it asks its caller for no key
        }
        return Server("litellm", port, psutil.Process(stack.enter_context(started(command, port, 120, env))))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"LiteLLM's proxy is left out: {error}", flush=True)
        return None


async def rounds(servers: list[Server], count: int, number: int) -> None:
    for turn in range(number):
        for mode in MODES:
            for server in servers:
                share = count // SHARES[mode]
                share = max(32, share // 10) if server.name == "litellm" else share
                server.rounds[mode].append(await measure(server, mode, share))
        shown = {s.name: "/".join(f"{s.rounds[mode][-1]:.0f}" for mode in MODES) for s in servers}
        print(f"round {turn + 1}: {shown}", flush=True)


EVENTS_OF_ONE = 3
"""Events in the stream of one token: the role, the token, the end."""


class Bar(NamedTuple):
    """A figure with what it has to be: at most `limit`, or at least where it is a `floor`."""

    text: str
    value: float
    unit: str
    limit: float
    floor: bool = False

    @property
    def held(self) -> bool:
        return self.value >= self.limit if self.floor else self.value <= self.limit


def bars_of(cpu: dict[str, dict[str, float]]) -> list[Bar]:
    """Each bar, from the microseconds per request of one round, by server and mode."""
    bare, none, vote = cpu["bare"], cpu["none"], cpu["vote"]
    bars = [Bar(f"no layers / bare relay, {mode}", none[mode] / bare[mode], "x", 1.3) for mode in MODES]
    added = {mode: vote[mode] - none[mode] for mode in MODES}
    event = (added["streamed"] - added["short"]) / (TOKENS - 1)
    bars.append(Bar("the spine adds per request", added["short"] - EVENTS_OF_ONE * event, "us", 250))
    bars.append(Bar("the spine adds per streamed event", event, "us", 15))
    if "litellm" in cpu:
        for mode, least in (("plain", 20), ("streamed", 40)):
            ratio = cpu["litellm"][mode] / none[mode]
            bars.append(Bar(f"LiteLLM's proxy / no layers, {mode}", ratio, "x", least, floor=True))
    return bars


def verdicts(servers: list[Server]) -> list[Bar]:
    """Each bar with the median of what the rounds measured."""
    turns = range(len(servers[0].rounds["plain"]))
    rounds = [bars_of({s.name: {mode: s.rounds[mode][turn] for mode in MODES} for s in servers}) for turn in turns]
    return [bars[0]._replace(value=statistics.median(bar.value for bar in bars)) for bars in zip(*rounds, strict=True)]


def report(servers: list[Server]) -> bool:
    print(f"\nCPU microseconds per request, median (lowest) of {len(servers[0].rounds['plain'])} rounds:")
    for server in servers:
        cells = [f"{mode} {server.median(mode):8.0f} ({server.lowest(mode):.0f})" for mode in MODES]
        print(f"  {server.name:8} {'   '.join(cells)}")
    bars = verdicts(servers)
    for bar in bars:
        wanted = f"{'at least' if bar.floor else 'at most'} {bar.limit:g}"
        print(f"  {'pass' if bar.held else 'FAIL'}  {bar.text}, {wanted}: {bar.value:.2f} {bar.unit}")
    written = {
        "rounds_us": {server.name: server.rounds for server in servers},
        "bars": [{**bar._asdict(), "held": bar.held} for bar in bars],
    }
    (HERE / "proxy.json").write_text(json.dumps(written, indent=2) + "\n")
    return all(bar.held for bar in bars)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1600, help="plain requests a round; a quarter streamed")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pace-ms", type=float, default=0.0, help="between two events of the upstream")
    parser.add_argument("--only", nargs="*", default=["bare", "none", "vote", "litellm"])
    options = parser.parse_args()
    with ExitStack() as stack:
        upstream = free_port()
        wire = [sys.executable, str(HERE / "wire.py"), str(upstream), str(options.pace_ms / 1000)]
        stack.enter_context(started(wire, upstream, 30))
        servers = ours(stack, [kind for kind in options.only if kind != "litellm"], upstream)
        rival = litellm(stack, upstream) if "litellm" in options.only else None
        servers += [rival] if rival else []
        uvloop.run(rounds(servers, options.requests, options.rounds))
        held = report(servers)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
