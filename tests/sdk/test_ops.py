"""Running it: commands and exit codes, reload, drain, the admin listener, logs."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable

import httpx
import openai
import pytest
from conftest import BINARY, MODELS, PROVIDER_KEYS, Pair, Sidecar, alias, config, need_binary, standard_models, wait_until
from upstream import Turn, Upstream, error

HI = [{"role": "user", "content": "the-prompt-text-7731"}]
GOOD = '[listen]\napp = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n\n[providers.openai]\nkind = "openai"\napi_key = "sk-very-secret-1"\nbase_url = "http://127.0.0.1:9/v1"\n\n[[models]]\nname = "fast"\ntargets = [{ provider = "openai", model = "gpt-4.1-mini" }]\n'


def run(*args: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    need_binary()
    return subprocess.run([str(BINARY), *args], cwd=cwd, env={"HOME": str(cwd), **(env or {})}, capture_output=True, text=True, timeout=20)


def completion(sidecar: Sidecar, model: str, **options: Any) -> Any:
    return Pair("openai", None, sidecar.app).openai(**options).chat.completions.create(model=model, messages=HI)  # type: ignore[arg-type]


# ---- commands -----------------------------------------------------------------------------------

def test_version_and_help(tmp_path: Path) -> None:
    version = run("--version", cwd=tmp_path)
    assert version.returncode == 0 and version.stdout.startswith("outrider ")
    help_ = run("--help", cwd=tmp_path)
    assert help_.returncode == 0 and all(word in help_.stdout for word in ("run", "check", "print-config", "OUTRIDER_CONFIG"))
    for command in ("run", "check", "print-config"):
        assert run(command, "--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("args", [("nonsense",), ("check",), ("run", "--nonsense"), ("check", "a", "b")])
def test_wrong_usage_is_2(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_check_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    assert run("check", "s.toml", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("api_key", "api_kye", 7, ["providers.openai", "api_kye", "api_key"]),
        ('provider = "openai"', 'provider = "opnai"', 12, ["models", "opnai", "openai"]),
        ('kind = "openai"', 'kind = "opennai"', 6, ["providers.openai.kind", "opennai", "openai"]),
        ("[[models]]", "[[model]]", 10, ["model", "models"]),
        ('"127.0.0.1:0"\nadmin', '"127.0.0.1"\nadmin', 2, ["listen.app"]),
        ('"http://127.0.0.1:9/v1"', '"127.0.0.1:9/v1"', 8, ["providers.openai.base_url"]),
        ('api_key = "sk-very-secret-1"', 'api_key = "env:NOT_SET_ANYWHERE"', 7, ["NOT_SET_ANYWHERE"]),
        ('name = "fast"', 'name = ', 11, []),
        ('name = "fast"', 'name = "fast"\ntimeout = { idle = "soon" }', 12, ["idle"]),
    ],
    ids=["key", "reference", "kind", "table", "address", "url", "env", "syntax", "duration"],
)
def test_check_names_the_fault(tmp_path: Path, old: str, new: str, line: int, words: list[str]) -> None:
    assert old in GOOD
    (tmp_path / "s.toml").write_text(GOOD.replace(old, new, 1))
    done = run("check", "s.toml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"s.toml:{line}:" in said and all(w in said for w in words), said
    assert "sk-very-secret" not in said
    started = run("run", "-c", "s.toml", cwd=tmp_path)
    assert started.returncode == 1 and "listening" not in started.stdout


def test_check_a_missing_file(tmp_path: Path) -> None:
    done = run("check", "none.toml", cwd=tmp_path)
    assert done.returncode == 1 and "none.toml" in done.stdout + done.stderr


def test_print_config(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    done = run("print-config", "-c", "s.toml", cwd=tmp_path)
    assert done.returncode == 0 and "sk-very-secret" not in done.stdout + done.stderr
    assert all(w in done.stdout for w in ("drain_timeout", "first_token", "body_bytes_max", "fast", "http://127.0.0.1:9/v1"))
    again = run("print-config", cwd=tmp_path, env={"OUTRIDER_CONFIG": str(tmp_path / "s.toml")})
    assert again.stdout == done.stdout


# ---- reload -------------------------------------------------------------------------------------

@pytest.mark.parametrize("by", ["file", "sighup"])
def test_reload(start: Callable[..., Sidecar], upstreams: dict[str, Upstream], by: str) -> None:
    sidecar = start(alias("first", [("openai", "gpt-4.1-mini")]))
    with pytest.raises(openai.NotFoundError):
        completion(sidecar, "second")
    sidecar.file.write_text(config(upstreams, alias("second", [("openai", "gpt-4.1")])))
    if by == "sighup":
        sidecar.signal(signal.SIGHUP)

    def answered() -> bool:
        try:
            return bool(completion(sidecar, "second"))
        except openai.NotFoundError:
            return False

    wait_until(answered, 5, "the new alias")
    with pytest.raises(openai.NotFoundError):
        completion(sidecar, "first")


def test_reload_of_a_secret_file(start: Callable[..., Sidecar], upstreams: dict[str, Upstream], tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-file-one\n")
    text = config(upstreams, standard_models()).replace(f'"{PROVIDER_KEYS["openai"]}"', f'"file:{secret}"')
    sidecar = start(text=text)
    completion(sidecar, "on-openai")
    assert upstreams["openai"].last.header("authorization") == "Bearer sk-file-one"
    fresh = tmp_path / "key.new"
    fresh.write_text("sk-file-two\n")
    fresh.rename(secret)

    def rotated() -> bool:
        completion(sidecar, "on-openai")
        return upstreams["openai"].last.header("authorization") == "Bearer sk-file-two"

    wait_until(rotated, 5, "the new key")


def test_a_bad_file_is_refused(start: Callable[..., Sidecar], upstreams: dict[str, Upstream]) -> None:
    sidecar = start(alias("first", [("openai", "gpt-4.1-mini")]))
    good = sidecar.file.read_text()
    sidecar.file.write_text(good.replace("kind", "knid", 1))
    sidecar.signal(signal.SIGHUP)
    wait_until(lambda: "knid" in sidecar.log(), 5, "the refusal in the log")
    assert completion(sidecar, "first").choices[0].message.content
    assert httpx.get(f"{sidecar.admin}/readyz", trust_env=False).status_code == 200
    sidecar.file.write_text(good.replace('name = "first"', 'name = "third"'))
    sidecar.signal(signal.SIGHUP)

    def answered() -> bool:
        try:
            return bool(completion(sidecar, "third"))
        except openai.NotFoundError:
            return False

    wait_until(answered, 5, "the mended file")


def test_a_stream_survives_a_reload(start: Callable[..., Sidecar], upstreams: dict[str, Upstream]) -> None:
    sidecar = start(alias("first", [("openai", "gpt-4.1-mini")]))
    gate = upstreams["openai"].gate()
    upstreams["openai"].script(Turn(text="one two three", between={2: [gate]}))
    s = Pair("openai", None, sidecar.app).openai().chat.completions.create(model="first", messages=HI, stream=True)  # type: ignore[arg-type]
    chunks = iter(s)
    assert next(c for c in chunks if c.choices and c.choices[0].delta.content).choices[0].delta.content == "one "
    sidecar.file.write_text(config(upstreams, alias("second", [("openai", "gpt-4.1")])))
    sidecar.signal(signal.SIGHUP)

    def reloaded() -> bool:
        try:
            return bool(completion(sidecar, "second"))
        except openai.NotFoundError:
            return False

    wait_until(reloaded, 5, "the reload")
    gate.open()
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "two three"


# ---- drain --------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_drain_finishes_what_is_in_flight(start: Callable[..., Sidecar], upstreams: dict[str, Upstream], number: signal.Signals) -> None:
    sidecar = start()
    gate = upstreams["openai"].gate()
    upstreams["openai"].script(Turn(text="one two three", between={2: [gate]}))
    s = Pair("openai", None, sidecar.app).openai().chat.completions.create(model="on-openai", messages=HI, stream=True)  # type: ignore[arg-type]
    chunks = iter(s)
    assert next(c for c in chunks if c.choices and c.choices[0].delta.content).choices[0].delta.content == "one "
    sidecar.signal(number)

    def closed() -> bool:
        try:
            return httpx.post(f"{sidecar.app}/v1/chat/completions", json={"model": "on-openai", "messages": HI}, timeout=1, trust_env=False).status_code == 503
        except httpx.TransportError:
            return True

    wait_until(closed, 3, "the end of accepting")
    assert sidecar.alive(), "a stream is still running"
    gate.open()
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "two three"
    assert sidecar.wait(5) == 0


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_drain_timeout_cuts_in_the_dialect(start: Callable[..., Sidecar], upstreams: dict[str, Upstream], dialect: str, kind: str) -> None:
    sidecar = start(drain_timeout="300ms")
    upstreams[kind].script(Turn(text="one two three", between={(2 if kind == "openai" else 4): [upstreams[kind].gate()]}))
    path = "/v1/chat/completions" if dialect == "openai" else "/v1/messages"
    body = {"model": f"on-{kind}", "max_tokens": 50, "messages": HI, "stream": True}
    with httpx.stream("POST", f"{sidecar.app}{path}", json=body, timeout=10, trust_env=False) as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "one " in text and sidecar.alive():
                sidecar.signal(signal.SIGTERM) if not hasattr(sidecar, "told") else None
                sidecar.told = True  # type: ignore[attr-defined]
    frames = [f for f in text.split("\n\n") if f.strip()]
    fault = json.loads(frames[-1].split("data: ", 1)[1])
    if dialect == "openai":
        assert fault["error"]["message"] and "[DONE]" not in text
    else:
        assert frames[-1].startswith("event: error") and fault["type"] == "error" and fault["error"]["type"] and "message_stop" not in text
    assert sidecar.wait(5) == 0


def test_an_idle_drain_is_quick(start: Callable[..., Sidecar]) -> None:
    sidecar = start(drain_timeout="30s")
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{sidecar.app}/v1/models").status_code == 200
        sidecar.signal(signal.SIGTERM)
        assert sidecar.wait(3) == 0, "an idle kept-alive connection must not hold up the drain"


def test_drain_by_the_admin_listener(start: Callable[..., Sidecar], upstreams: dict[str, Upstream]) -> None:
    sidecar = start()
    gate = upstreams["openai"].gate()
    upstreams["openai"].script(Turn(text="one", between={1: [gate]}))
    done: list[str] = []
    worker = threading.Thread(target=lambda: done.append(completion_stream(sidecar)))
    worker.start()
    upstreams["openai"].wait_for_requests(1)
    assert httpx.post(f"{sidecar.admin}/drain", trust_env=False).status_code in (200, 202, 204)

    def unready() -> bool:
        try:
            return httpx.get(f"{sidecar.admin}/readyz", trust_env=False).status_code == 503
        except httpx.TransportError:
            return False

    wait_until(unready, 3, "503 from /readyz while draining")
    gate.open()
    worker.join(5)
    assert done == ["one"]


def completion_stream(sidecar: Sidecar) -> str:
    s = Pair("openai", None, sidecar.app).openai().chat.completions.create(model="on-openai", messages=HI, stream=True)  # type: ignore[arg-type]
    return "".join(c.choices[0].delta.content or "" for c in s if c.choices)


# ---- the admin listener -------------------------------------------------------------------------

def test_admin_pages(sidecar: Sidecar, http: Any) -> None:
    assert http.get(f"{sidecar.admin}/healthz").status_code == 200
    assert http.get(f"{sidecar.admin}/readyz").status_code == 200
    config_ = http.get(f"{sidecar.admin}/config")
    assert config_.status_code == 200 and "on-openai" in config_.text and not any(k in config_.text for k in PROVIDER_KEYS.values())
    status = http.get(f"{sidecar.admin}/status")
    assert status.status_code == 200 and isinstance(status.json(), dict) and not any(k in status.text for k in PROVIDER_KEYS.values())
    assert http.get(f"{sidecar.admin}/nothing").status_code == 404
    assert http.get(f"{sidecar.admin}/healthz", headers={"host": "evil.example"}).status_code in (400, 403, 421)
    assert http.post(f"{sidecar.admin}/drain", headers={"origin": "https://evil.example"}).status_code == 403
    assert http.get(f"{sidecar.app}/metrics").status_code == 404, "admin pages are not for the app"


def metric(text: str, name: str, **labels: str) -> float:
    total = 0.0
    for line in text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_metrics_count(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, dialect: str, kind: str, stream: bool) -> None:
    before = http.get(f"{sidecar.admin}/metrics").text
    upstreams[kind].script(Turn(text="one two", input_tokens=1000, cached_tokens=100, output_tokens=70))
    path = "/v1/chat/completions" if dialect == "openai" else "/v1/messages"
    assert http.post(f"{sidecar.app}{path}", json={"model": f"on-{kind}", "max_tokens": 5, "messages": HI, "stream": stream}).status_code == 200

    def grown() -> bool:
        after = http.get(f"{sidecar.admin}/metrics").text
        requests = metric(after, "outrider_requests_total") - metric(before, "outrider_requests_total")
        tokens = {t: metric(after, "gen_ai_client_token_usage_sum", gen_ai_token_type=t) - metric(before, "gen_ai_client_token_usage_sum", gen_ai_token_type=t) for t in ("input", "output")}
        return requests == 1 and tokens == {"input": 1100.0, "output": 70.0}

    wait_until(grown, 3, "one request, 1100 input and 70 output tokens (a stream's too, though the caller did not ask for usage)")
    after = http.get(f"{sidecar.admin}/metrics").text
    assert metric(after, "outrider_upstream_attempts_total") > metric(before, "outrider_upstream_attempts_total")
    assert metric(after, "gen_ai_client_operation_duration_seconds_count") > metric(before, "gen_ai_client_operation_duration_seconds_count")
    assert metric(after, "outrider_streams_open") == 0
    assert "the-prompt-text" not in after


# ---- logs ---------------------------------------------------------------------------------------

def test_one_line_for_each_exchange(start: Callable[..., Sidecar], upstreams: dict[str, Upstream], http: Any) -> None:
    sidecar = start()
    ids = []
    for kind, stream in (("openai", False), ("anthropic", True)):
        upstreams[kind].script(Turn(text="the-answer-text-9920"))
        answer = http.post(f"{sidecar.app}/v1/chat/completions", json={"model": f"on-{kind}", "messages": HI, "stream": stream})
        ids.append(answer.headers["x-outrider-request-id"])
    upstreams["openai"].script(error("openai", 400, "the-error-text", "invalid_request_error"))
    ids.append(http.post(f"{sidecar.app}/v1/messages", json={"model": "on-openai", "max_tokens": 5, "messages": HI}).headers["x-outrider-request-id"])
    ids.append(http.post(f"{sidecar.app}/v1/messages", content=b"{").headers["x-outrider-request-id"])
    wait_until(lambda: all(i in sidecar.log() for i in ids), 3, "the log lines")
    for i in ids:
        assert sum(1 for r in sidecar.records() if i in json.dumps(r)) == 1, "one line for each exchange"
    lines = [line for line in sidecar.log().splitlines() if line.strip()]
    assert all(isinstance(json.loads(line), dict) for line in lines), "JSON when stderr is not a terminal"
    log = sidecar.log()
    assert "the-prompt-text" not in log and "the-answer-text" not in log
    assert not any(k in log for k in PROVIDER_KEYS.values())
    good = next(r for r in sidecar.records() if ids[0] in json.dumps(r))
    assert "200" in json.dumps(good) and MODELS["openai"] in json.dumps(good)
