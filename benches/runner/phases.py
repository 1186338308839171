"""What is measured of one entry in one round."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import bodies
from runner.process import LOAD_CORE, MOCK_PORT, Entry, Failed, Process, cpu_us, pinned, prefer, rss_kb, start

CONNECTIONS = 64
RATE = 500
STREAMS = 50
HELD = 1_000


@dataclass(frozen=True)
class Pace:
    """How long each phase takes, in seconds, and how often a proxy is started."""

    starts: int
    warm: float
    closed: float
    rate: float
    stream: float
    first: float
    ramp: int


QUICK = Pace(starts=2, warm=0.3, closed=1.0, rate=1.0, stream=1.2, first=1.0, ramp=1_000)
FULL = Pace(starts=4, warm=0.5, closed=3.0, rate=4.0, stream=3.0, first=4.0, ramp=500)


class Bench:
    """The mock, the tools and the requests, while they are there."""

    def __init__(self, tools: Path, work: Path, pace: Pace) -> None:
        self.tools, self.work, self.pace = tools, work, pace
        self.requests = bodies.write_all(work)
        self.mock = Process([str(tools / "mock"), "--port", str(MOCK_PORT)], LOAD_CORE, work / "mock.log")
        end = time.monotonic() + 5
        while not self.answers():
            if not self.mock.alive() or time.monotonic() > end:
                raise Failed(f"the mock did not start: {self.mock.said()}")
            time.sleep(0.01)

    def answers(self) -> bool:
        try:
            self.control("/__stats")
        except OSError:
            return False
        return True

    def control(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{MOCK_PORT}{path}", timeout=5) as answer:
            return json.load(answer)

    def probe(self) -> bytes:
        """The first request that a proxy gets."""
        body = self.requests["2k"].read_bytes()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def load(self, entry: Entry, mode: str, request: str, during: Callable[[], None] | None = None, **options: float) -> dict[str, Any]:
        """Runs the load generator and returns its report. `during` is called while it runs."""
        command = [str(self.tools / "load"), mode, "--port", str(entry.port), "--body", str(self.requests[request])]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        with pinned(LOAD_CORE):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        prefer(child.pid)
        try:
            if during:
                during()
            said, _ = child.communicate(timeout=180)
        finally:
            if child.poll() is None:
                child.kill()
        if child.returncode != 0:
            raise Failed(f"load {mode} for {entry.name} ended with {child.returncode}")
        return json.loads(said)


def measure(bench: Bench, entry: Entry, hold: bool) -> dict[str, Any]:
    """One round of one entry. Raises `Failed` where it does not do what it is measured for."""
    result: dict[str, Any] = {}
    process = None
    if entry.command:
        starts = []
        for index in range(bench.pace.starts):
            if process:
                process.stop()
            process, ready = start(entry, bench.probe(), bench.work / f"{entry.name}.log")
            starts.append(ready)
        result["starts"] = starts
    try:
        Round(bench, entry, process or bench.mock, result).run(hold)
    finally:
        if process:
            process.stop()
    return result


class Round:
    """The phases, in order, of a proxy that runs."""

    def __init__(self, bench: Bench, entry: Entry, process: Process, result: dict[str, Any]) -> None:
        self.bench, self.entry, self.process, self.result = bench, entry, process, result

    def run(self, hold: bool) -> None:
        pace = self.bench.pace
        time.sleep(0.5)
        self.result["rss_idle_kb"] = rss_kb(self.process.pids())
        self.bench.load(self.entry, "closed", "2k", conns=CONNECTIONS, secs=pace.warm, warm=0)
        self.closed("2k")
        self.closed("100k")
        self.rate("2k")
        self.stream("stream")
        self.first("stream")
        if self.entry.translates:
            self.closed("translated-2k")
            self.closed("translated-100k")
            self.stream("translated-stream")
            self.first("translated-stream")
        self.result["rss_loaded_kb"] = rss_kb(self.process.pids())
        if hold:
            self.hold("stream")
            if self.entry.translates:
                self.hold("translated-stream")

    def closed(self, request: str) -> None:
        """A closed loop at full load: CPU per request."""
        report, cpu = self.metered(lambda: self.bench.load(self.entry, "closed", request, conns=CONNECTIONS, secs=self.bench.pace.closed, warm=0))
        self.check(report, request, report["ok"])
        wall = report["wall_s"]
        self.result[request] = {"cpu_us": cpu / report["ok"], "per_s": report["ok"] / wall, "busy": cpu / (wall * 1e6), "requests": report["ok"]}

    def rate(self, request: str) -> None:
        """A constant rate far below the limit: latency."""
        report, cpu = self.metered(lambda: self.bench.load(self.entry, "rate", request, rate=RATE, conns=CONNECTIONS, secs=self.bench.pace.rate, warm=0.3))
        self.check(report, request, report["ok"])
        self.result["rate"] = {**report["latency_us"], "cpu_us": cpu / report["ok"], "late": report["late"]}

    def stream(self, request: str) -> None:
        """Streams of 100 events 10 ms apart: CPU per event."""
        self.bench.control("/__config?chunks=100&gap_ms=10")
        report, cpu = self.metered(lambda: self.bench.load(self.entry, "stream", request, conns=STREAMS, secs=self.bench.pace.stream, warm=0.2))
        self.check(report, request, report["complete"])
        self.result[request] = {"cpu_us": cpu / report["chunks"], "chunks": report["chunks"], "delay_us": report["delay_us"]}

    def first(self, request: str) -> None:
        """Short streams, a few at once: time to the first event."""
        self.bench.control("/__config?chunks=4&gap_ms=10")
        report, _ = self.metered(lambda: self.bench.load(self.entry, "stream", request, conns=10, secs=self.bench.pace.first, warm=0.2, ramp=97))
        self.check(report, request, report["complete"])
        self.result[f"first-{request}"] = report["first_us"]

    def hold(self, request: str) -> None:
        """A thousand streams, all open at once: memory."""
        ramp = self.bench.pace.ramp
        rising = HELD / ramp
        self.bench.control(f"/__config?chunks={int(rising) + 5}&gap_ms=1000")
        held: dict[str, int] = {}

        def watch() -> None:
            end = time.monotonic() + rising + 10
            while self.bench.control("/__stats")["open"] < HELD and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(1.2)
            held["rss_kb"] = rss_kb(self.process.pids())

        report, _ = self.metered(lambda: self.bench.load(self.entry, "hold", request, during=watch, conns=HELD, ramp=ramp, secs=rising + 10))
        self.check(report, request, report["complete"])
        if report["most_open"] < HELD:
            raise Failed(f"{self.entry.name}: only {report['most_open']} of {HELD} streams were open at once")
        per_stream = (held["rss_kb"] - self.result["rss_idle_kb"]) / HELD
        self.result[f"held-{request}"] = {**held, "kb_per_stream": per_stream}

    def metered(self, load: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float]:
        """A load's report, and the CPU microseconds that the proxy used meanwhile."""
        self.bench.control("/__reset")
        pids = self.process.pids()
        before = cpu_us(pids)
        report = load()
        used = cpu_us(pids) - before
        if self.process is not self.bench.mock:
            self.process.forget_log()
        return report, used

    def check(self, report: dict[str, Any], request: str, whole: int) -> None:
        """A wrong answer is not fast: each one is an answer, whole, and came from the API that was meant."""
        name, bad = self.entry.name, report["not_ok"] + report["broken"]
        if bad or not report["ok"]:
            raise Failed(f"{name}, {request}: {report['ok']} answers, {report['not_ok']} with another status than 200, {report['broken']} broken off; first: {report['sample']}")
        if whole != report["ok"]:
            raise Failed(f"{name}, {request}: {whole} of {report['ok']} streams said that they were complete")
        if '"choices"' not in report["sample"]:
            raise Failed(f"{name}, {request}: not an answer: {report['sample']}")
        counts = self.bench.control("/__stats")
        asked, other = (counts["messages"], counts["chat"]) if request.startswith("translated") else (counts["chat"], counts["messages"])
        if asked < report["ok"] or other:
            raise Failed(f"{name}, {request}: {report['ok']} answers, but the provider was asked {asked} times, and {other} times through the wrong API")
