"""Processes: started pinned, measured by the kernel's own clocks, ended by their id."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOCK_PORT = 9000

# One run leaves the proxy a core of its own and gives the other to everything that is not measured.
PROXY_CORE, LOAD_CORE = 0, 1


class Failed(Exception):
    """A process did not do what the bench needs of it."""


@dataclass
class Entry:
    """Something to measure: a proxy in front of the mock, or the mock itself where there is no command."""

    name: str
    port: int
    command: list[str] | None = None
    binary: Path | None = None
    announces: bool = False
    translates: bool = False


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Children started inside inherit the core: no helper process is between them and the clock."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A child with all its descendants."""

    def __init__(self, command: list[str], core: int, log: Path, announces: bool = False) -> None:
        self.log = log
        self.port: int | None = None
        log.unlink(missing_ok=True)
        with log.open("ab") as stderr, pinned(core):
            self.started = time.monotonic()
            stdout = subprocess.PIPE if announces else subprocess.DEVNULL
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, bufsize=0, start_new_session=True)
        self.pid = self.child.pid
        prefer(self.pid)

    def pids(self) -> list[int]:
        return tree(self.pid)

    def announced(self, line_start: bytes) -> bool:
        """Whether a line on stdout that begins so has come by now."""
        assert self.child.stdout is not None
        while select.select([self.child.stdout], [], [], 0)[0]:
            line = self.child.stdout.readline()
            if line.startswith(line_start):
                return True
            if not line:
                return False
        return False

    def alive(self) -> bool:
        return self.child.poll() is None

    def said(self) -> str:
        return self.log.read_bytes()[-600:].decode(errors="replace").strip()

    def forget_log(self) -> None:
        """Empties the log, which at full load grows by megabytes a second. It is open for appending, so that no hole is left."""
        os.truncate(self.log, 0)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for what is left of the tree."""
        pids = self.pids()
        signal_all(pids, signal.SIGTERM)
        try:
            self.child.wait(4)
        except subprocess.TimeoutExpired:
            signal_all(pids, signal.SIGKILL)
            self.child.wait(5)
        if self.child.stdout:
            self.child.stdout.close()
        if self.port:
            until_free(self.port)


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def prefer(pid: int) -> None:
    """Shields a process group from other work on the machine, where that is allowed: all measured groups alike."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-20")


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parent = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_us(pids: list[int]) -> float:
    """Microseconds of CPU that processes have used, user and system, in all threads that are or were."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            # The kernel's number for the CPU clock of another process (clock_getcpuclockid(3)).
            total += time.clock_gettime((~pid << 3) | 2) * 1e6
    return total


def rss_kb(pids: list[int]) -> int:
    """Resident memory in KiB; pages that processes share count once for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            if match := re.search(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M):
                total += int(match[1])
    return total


def steal() -> tuple[int, int]:
    """Ticks that the hypervisor took, and all ticks."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return ticks[7], sum(ticks)


def open_to(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def until_free(port: int, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while open_to(port):
        if time.monotonic() > end:
            raise Failed(f"port {port} is still taken {seconds} s after its process was ended")
        time.sleep(0.02)


def ask(port: int, request: bytes) -> bytes:
    """Sends one raw request on a connection of its own and returns the start of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        return connection.recv(65536)


def start(entry: Entry, probe: bytes, log: Path, seconds: float = 20) -> tuple[Process, dict[str, float]]:
    """Starts a proxy and returns it with the milliseconds to its announcement and to its first 200."""
    assert entry.command
    if open_to(entry.port):
        raise Failed(f"port {entry.port} is taken by another process")
    process = Process(entry.command, PROXY_CORE, log, entry.announces)
    process.port = entry.port
    ready: dict[str, float] = {}
    last = b""
    while True:
        elapsed = (time.monotonic() - process.started) * 1e3
        if entry.announces and "listening_ms" not in ready and process.announced(b"listening app "):
            ready["listening_ms"] = (time.monotonic() - process.started) * 1e3
        try:
            last = ask(entry.port, probe)
        except OSError as fault:
            last = str(fault).encode()
        if last.startswith(b"HTTP/1.1 200"):
            ready["ready_ms"] = (time.monotonic() - process.started) * 1e3
            break
        if not process.alive() or elapsed > seconds * 1e3:
            process.stop()
            raise Failed(f"{entry.name} did not answer with 200 (last: {last[:160]!r}); its log ends: {process.said()}")
        time.sleep(0.0005)
    if entry.announces and "listening_ms" not in ready and process.announced(b"listening app "):
        ready["listening_ms"] = ready["ready_ms"]
    return process, ready
