"""Starts the real binary on free ports, and the scripted upstreams behind it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import anthropic
import httpx
import openai
import pytest
from upstream import Upstream

PACKAGE = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("OUTRIDER_BIN", PACKAGE / "target/release/outrider"))
DIRECT = os.environ.get("OUTRIDER_DIRECT") == "1"

PROVIDER_KEYS = {"openai": "sk-provider-openai-7f3a91c2", "anthropic": "sk-ant-provider-5d20be44"}
CLIENT_KEY = "sk-client-must-stay-here"

# For each upstream kind: the alias and the model it stands for.
MODELS = {"openai": "gpt-4.1-mini", "anthropic": "claude-sonnet-4-6"}

# Proxy variables of the machine must not come between the test and loopback.
for name in list(os.environ):
    if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "openai_api_key", "anthropic_api_key", "anthropic_auth_token", "openai_base_url", "anthropic_base_url"):
        del os.environ[name]


def wait_until(condition: Callable[[], Any], seconds: float = 5.0, what: str = "the condition") -> Any:
    """Polls until the condition is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.01)


# ---- the sidecar --------------------------------------------------------------------------------

class Sidecar:
    """One running `outrider`."""

    def __init__(self, directory: Path, config: str | None, env: dict[str, str] | None = None, args: list[str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.file = directory / "sidecar.toml"
        if config is not None:
            self.file.write_text(config)
        self.log_file = directory / "stderr.log"
        command = [str(BINARY), *(args if args is not None else ["run", "-c", str(self.file)])]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(directory), **(env or {})}
        self.lines: list[str] = []
        self.urls: dict[str, str] = {}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        end = time.monotonic() + 10
        while not {"app", "admin"} <= self.urls.keys():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"outrider did not start (exit {self.process.poll()}); stdout {self.lines}, log:\n{self.log()}")
            time.sleep(0.005)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if match := re.fullmatch(r"listening (\w+) (http://127\.0\.0\.1:\d+)", line.strip()):
                self.urls[match[1]] = match[2]

    @property
    def app(self) -> str:
        return self.urls["app"]

    @property
    def admin(self) -> str:
        return self.urls["admin"]

    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """The log lines that are JSON objects."""
        out = []
        for line in self.log().splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                out.append(value)
        return out

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 10) -> int:
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        assert "panicked at" not in self.log(), f"outrider panicked:\n{self.log()}"


def config(upstreams: dict[str, Upstream], models: str = "", drain_timeout: str = "5s", extra: str = "", claims: dict[str, list[str]] | None = None) -> str:
    """A sidecar.toml with one provider for each upstream, named as its kind."""
    parts = [f'[listen]\napp = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndrain_timeout = "{drain_timeout}"\n', '[identity]\nteam = "tests"\napp = "sdk"\n', extra]
    for name, upstream in upstreams.items():
        kind = upstream.kind
        table = f'[providers.{name}]\nkind = "{kind}"\napi_key = "{PROVIDER_KEYS[kind]}"\nbase_url = "{upstream.url}/v1"\n'
        if claims and name in claims:
            table += f"models = {json.dumps(claims[name])}\n"
        parts.append(table)
    return "\n".join([*parts, models])


def alias(name: str, targets: list[tuple[str, str]], attempts: int = 1, timeout: str = "", strict: bool = False) -> str:
    """One `[[models]]` table."""
    listed = ", ".join(f'{{ provider = "{p}", model = "{m}" }}' for p, m in targets)
    text = f'[[models]]\nname = "{name}"\ntargets = [{listed}]\nretry = {{ attempts = {attempts} }}\n'
    return text + (f"timeout = {{ {timeout} }}\n" if timeout else "") + ("strict = true\n" if strict else "") + "\n"


SHORT = 'connect = "1s", first_token = "400ms", idle = "400ms", total = "3s"'


def standard_models() -> str:
    out = ""
    for kind, model in MODELS.items():
        out += alias(f"on-{kind}", [(kind, model)])
        out += alias(f"strict-{kind}", [(kind, model)], strict=True)
        out += alias(f"short-{kind}", [(kind, model)], timeout=SHORT)
        other = "anthropic" if kind == "openai" else "openai"
        out += alias(f"first-{kind}", [(kind, model), (other, MODELS[other])], attempts=2)
    out += alias("reasoner-openai", [("openai", "gpt-5-mini")])
    out += alias("reasoner-anthropic", [("anthropic", "claude-sonnet-4-6")])
    out += alias("embedder", [("openai", "text-embedding-3-small")])
    return out


# ---- fixtures -----------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def session_upstreams() -> Iterator[dict[str, Upstream]]:
    upstreams = {"openai": Upstream("openai"), "anthropic": Upstream("anthropic")}
    yield upstreams
    for upstream in upstreams.values():
        upstream.stop()


@pytest.fixture
def upstreams(session_upstreams: dict[str, Upstream]) -> Iterator[dict[str, Upstream]]:
    for upstream in session_upstreams.values():
        upstream.reset()
    yield session_upstreams
    for upstream in session_upstreams.values():
        upstream.reset()


def need_binary() -> None:
    if DIRECT:
        pytest.skip("OUTRIDER_DIRECT: no binary")
    if not BINARY.exists():
        pytest.fail(f"no binary at {BINARY}: run `cargo build --release`, or set OUTRIDER_BIN")


@pytest.fixture(scope="session")
def session_sidecar(session_upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    need_binary()
    sidecar = Sidecar(tmp_path_factory.mktemp("sidecar"), shared_config(session_upstreams))
    yield sidecar
    sidecar.stop()


def shared_config(upstreams: dict[str, Upstream]) -> str:
    return config(upstreams, standard_models(), claims={"openai": ["gpt-*", "text-*"], "anthropic": ["claude-*"]})


@pytest.fixture
def sidecar(request: pytest.FixtureRequest, session_sidecar: Sidecar, upstreams: dict[str, Upstream], tmp_path: Path) -> Iterator[Sidecar]:
    """The shared sidecar with the aliases of `standard_models`; one of its own for a test marked `fresh`, which must not meet the
    breakers that other tests' failures have opened."""
    if request.node.get_closest_marker("fresh"):
        fresh = Sidecar(tmp_path / "fresh", shared_config(upstreams))
        yield fresh
        fresh.stop()
        return
    if not session_sidecar.alive():
        pytest.fail(f"outrider died earlier (exit {session_sidecar.process.poll()}):\n{session_sidecar.log()[-4000:]}")
    yield session_sidecar
    assert session_sidecar.alive(), f"outrider died (exit {session_sidecar.process.poll()}):\n{session_sidecar.log()[-4000:]}"


@pytest.fixture
def start(tmp_path: Path, upstreams: dict[str, Upstream]) -> Iterator[Callable[..., Sidecar]]:
    """Starts sidecars of the test's own: `start(models, drain_timeout=…)`."""
    need_binary()
    running: list[Sidecar] = []

    def go(models: str = "", *, text: str | None = None, env: dict[str, str] | None = None, args: list[str] | None = None, **options: Any) -> Sidecar:
        toml = text if text is not None or args is not None else config(upstreams, models or standard_models(), **options)
        running.append(Sidecar(tmp_path / f"sidecar{len(running)}", toml, env, args))
        return running[-1]

    yield go
    for one in running:
        one.stop()


@dataclass
class Pair:
    """One client dialect against one upstream kind."""

    kind: str
    upstream: Upstream
    base: str

    @property
    def model(self) -> str:
        return f"on-{self.kind}"

    def named(self, prefix: str) -> str:
        return f"{prefix}-{self.kind}"

    def openai(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.base}/v1", api_key=CLIENT_KEY, **{"max_retries": 0, "timeout": 15, **options})

    def async_openai(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=CLIENT_KEY, **{"max_retries": 0, "timeout": 15, **options})

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.base, api_key=CLIENT_KEY, **{"max_retries": 0, "timeout": 15, **options})

    def async_anthropic(self, **options: Any) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.base, api_key=CLIENT_KEY, **{"max_retries": 0, "timeout": 15, **options})


@pytest.fixture(params=["openai", "anthropic"])
def pair(request: pytest.FixtureRequest, upstreams: dict[str, Upstream]) -> Iterator[Pair]:
    """The test's module speaks one dialect; the upstream behind is of either kind."""
    kind = request.param
    if DIRECT:
        if kind not in request.module.__name__:
            pytest.skip("OUTRIDER_DIRECT: same dialect only")
        yield Pair(kind, upstreams[kind], upstreams[kind].url)
        return
    sidecar: Sidecar = request.getfixturevalue("sidecar")
    yield Pair(kind, upstreams[kind], sidecar.app)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client
