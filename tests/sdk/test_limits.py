"""Keys and limits as four SDKs see them: their own error types, and retries of their own that get through."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Iterator

import anthropic
import boto3
import httpx
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import BINARY, DIRECT, Sidecar
from google import genai
from google.genai import errors, types

pytestmark = pytest.mark.skipif(DIRECT, reason="there is no sidecar")

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


class Slow(BaseHTTPRequestHandler):
    """A provider that answers "wait" only when it is let go."""

    protocol_version = "HTTP/1.1"
    arrived: threading.Event
    let_go: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if b'"wait"' in body:
            type(self).arrived.set()
            type(self).let_go.wait(30)
        answer = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[tuple[str, type[Slow]]]:
    handler = type("Handler", (Slow,), {"arrived": threading.Event(), "let_go": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    handler.let_go.set()
    server.shutdown()


Start = Callable[[str], Sidecar]


@pytest.fixture
def start(tmp_path: Path, provider: tuple[str, type[Slow]]) -> Iterator[Start]:
    running: list[Sidecar] = []

    def begin(policy: str) -> Sidecar:
        base = f"""[listen]
app = "127.0.0.1:0"
admin = "127.0.0.1:0"
[providers.p]
kind = "openai"
api_key = "sk-test"
base_url = "{provider[0]}/v1"
[[models]]
name = "fast"
targets = [{{ provider = "p", model = "m" }}]
"""
        running.append(Sidecar(tmp_path / f"own{len(running)}", policy + base if policy.startswith("[identity]") else base + policy))
        return running[-1]

    yield begin
    for sidecar in running:
        sidecar.stop()


def ask_openai(base: str, key: str = "none", retries: int = 0) -> str:
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=retries)
    return client.chat.completions.create(model="fast", max_tokens=20, messages=[{"role": "user", "content": "hi"}]).choices[0].message.content


def ask_anthropic(base: str, key: str = "none", retries: int = 0) -> str:
    client = anthropic.Anthropic(base_url=base, api_key=key, max_retries=retries)
    return client.messages.create(model="fast", max_tokens=20, messages=[{"role": "user", "content": "hi"}]).content[0].text


def ask_gemini(base: str, key: str = "none", retries: int = 0) -> str:
    again = types.HttpRetryOptions(attempts=retries + 1, initial_delay=1.0)
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base, timeout=15000, retry_options=again))
    return client.models.generate_content(model="fast", contents="hi", config=types.GenerateContentConfig(max_output_tokens=20)).text


def ask_bedrock(base: str, key: str = "none", retries: int = 0) -> str:
    own = Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, proxies={})
    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=base, aws_access_key_id="A", aws_secret_access_key=key, config=own)
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    answer = client.converse(modelId="fast", messages=messages, inferenceConfig={"maxTokens": 20})
    return answer["output"]["message"]["content"][0]["text"]


ASK: dict[str, Callable[..., str]] = {"openai": ask_openai, "anthropic": ask_anthropic, "google-genai": ask_gemini, "boto3": ask_bedrock}


def refused(ask: Callable[[], Any]) -> tuple[str, int, str]:
    """The name of the SDK's error, its status, its message."""
    with pytest.raises(Exception) as caught:
        ask()
    error = caught.value
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"], str(error)
    if isinstance(error, errors.APIError):
        return str(error.status), error.code, str(error)
    assert isinstance(error, (openai.APIStatusError, anthropic.APIStatusError)), repr(error)
    return type(error).__name__, error.status_code, str(error)


LIMITED = {"openai": "RateLimitError", "anthropic": "RateLimitError", "google-genai": "RESOURCE_EXHAUSTED", "boto3": "ThrottlingException"}


@pytest.mark.parametrize("sdk", ASK)
def test_a_limit_is_the_sdks_own_error(start: Start, sdk: str) -> None:
    sidecar = start('[[limits]]\nname = "team-rate"\nrequests_per_minute = 1\n')
    assert ASK[sdk](sidecar.app) == "Hello"
    name, status, message = refused(lambda: ASK[sdk](sidecar.app))
    assert (name, status) == (LIMITED[sdk], 429)
    assert "team-rate" in message


@pytest.mark.parametrize("sdk", ASK)
def test_the_sdks_retries_get_through(start: Start, provider: tuple[str, type[Slow]], sdk: str) -> None:
    sidecar = start('[[limits]]\nname = "few"\nmax_concurrent = 1\n')
    handler = provider[1]

    def occupy() -> None:
        body = {"model": "fast", "messages": [{"role": "user", "content": "wait"}]}
        httpx.post(f"{sidecar.app}/v1/chat/completions", json=body, timeout=30, trust_env=False)

    other = threading.Thread(target=occupy)
    other.start()
    assert handler.arrived.wait(10)
    threading.Timer(0.7, handler.let_go.set).start()
    assert ASK[sdk](sidecar.app, retries=5) == "Hello"
    other.join()
    metrics = httpx.get(f"{sidecar.admin}/metrics", trust_env=False).text
    assert 'outrider_limit_decisions_total{limit="few",decision="reject"}' in metrics, "it was not refused first"


def test_openai_reads_what_is_left(start: Start) -> None:
    sidecar = start('[[limits]]\nname = "l"\nrequests_per_minute = 10\ntokens_per_minute = 1000\n')
    client = openai.OpenAI(base_url=f"{sidecar.app}/v1", api_key="none")
    raw = client.chat.completions.with_raw_response.create(model="fast", max_tokens=20, messages=[{"role": "user", "content": "hi"}])
    assert raw.headers["x-ratelimit-limit-requests"] == "10"
    assert raw.headers["x-ratelimit-remaining-requests"] == "9"
    assert 0 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 1000
    own = anthropic.Anthropic(base_url=sidecar.app, api_key="none")
    answer = own.messages.with_raw_response.create(model="fast", max_tokens=20, messages=[{"role": "user", "content": "hi"}])
    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "8"


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_a_spent_budget_is_not_tried_again(start: Start, sdk: str) -> None:
    prices = '[[prices]]\nprovider = "p"\nmodel = "m"\ninput_usd = 1\noutput_usd = 10\n'
    sidecar = start(f'{prices}[[limits]]\nname = "purse"\nbudget_usd_per_day = 0.0001\n')
    began = time.monotonic()
    name, status, message = refused(lambda: ASK[sdk](sidecar.app, retries=5))
    assert time.monotonic() - began < 5, "it waited for a budget"
    assert "purse" in message
    # Anthropic's API tells an exhausted balance by a status of its own.
    assert status == (402 if sdk == "anthropic" else 429), name
    metrics = httpx.get(f"{sidecar.admin}/metrics", trust_env=False).text
    assert 'outrider_limit_decisions_total{limit="purse",decision="reject"} 1\n' in metrics


@pytest.mark.parametrize("sdk", ["google-genai", "boto3"])
def test_a_spent_budget_is_not_tried_for_ever(start: Start, sdk: str) -> None:
    prices = '[[prices]]\nprovider = "p"\nmodel = "m"\ninput_usd = 1\noutput_usd = 10\n'
    sidecar = start(f'{prices}[[limits]]\nname = "purse"\nbudget_usd_per_day = 0.0001\n')
    name, status, message = refused(lambda: ASK[sdk](sidecar.app, retries=2))
    # Bedrock has a word of its own for it, which is not tried again; Gemini has none.
    assert (name, status) == (("ServiceQuotaExceededException", 400) if sdk == "boto3" else (LIMITED[sdk], 429)), message
    assert "purse" in message
    metrics = httpx.get(f"{sidecar.admin}/metrics", trust_env=False).text
    tries = next(int(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if 'limit="purse",decision="reject"' in line)
    assert tries == (1 if sdk == "boto3" else 3)


def stream_openai(base: str) -> Any:
    client = openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)
    return list(client.chat.completions.create(model="fast", max_tokens=20, stream=True, messages=[{"role": "user", "content": "hi"}]))


def stream_anthropic(base: str) -> Any:
    with anthropic.Anthropic(base_url=base, api_key="none", max_retries=0).messages.stream(model="fast", max_tokens=20, messages=[{"role": "user", "content": "hi"}]) as events:
        return list(events)


def stream_gemini(base: str) -> Any:
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=base, timeout=15000))
    return list(client.models.generate_content_stream(model="fast", contents="hi", config=types.GenerateContentConfig(max_output_tokens=20)))


def stream_bedrock(base: str) -> Any:
    own = Config(retries={"total_max_attempts": 1}, proxies={})
    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=base, aws_access_key_id="A", aws_secret_access_key="none", config=own)
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    return list(client.converse_stream(modelId="fast", messages=messages, inferenceConfig={"maxTokens": 20})["stream"])


STREAM: dict[str, Callable[[str], Any]] = {"openai": stream_openai, "anthropic": stream_anthropic, "google-genai": stream_gemini, "boto3": stream_bedrock}


@pytest.mark.parametrize("sdk", STREAM)
def test_a_refused_stream_is_the_same_error(start: Start, sdk: str) -> None:
    sidecar = start('[[limits]]\nname = "team-rate"\nrequests_per_minute = 1\n')
    assert ASK[sdk](sidecar.app) == "Hello"
    name, status, message = refused(lambda: STREAM[sdk](sidecar.app))
    assert (name, status) == (LIMITED[sdk], 429) and "team-rate" in message


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_when_to_come_back_is_true(start: Start, sdk: str) -> None:
    sidecar = start('[[limits]]\nname = "team-rate"\nrequests_per_minute = 1\n')
    assert ASK[sdk](sidecar.app) == "Hello"
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)) as caught:
        ASK[sdk](sidecar.app)
    headers = caught.value.response.headers
    assert 50 <= int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert ("anthropic-ratelimit-requests-reset" in headers) == (sdk == "anthropic")


def test_a_crowd_of_sdks_gets_through_by_its_own_retries(start: Start) -> None:
    sidecar = start('[[limits]]\nname = "few"\nmax_concurrent = 2\n')

    async def all_of_them() -> list[str]:
        one = openai.AsyncOpenAI(base_url=f"{sidecar.app}/v1", api_key="none", max_retries=10)
        other = anthropic.AsyncAnthropic(base_url=sidecar.app, api_key="none", max_retries=10)

        async def ask(number: int) -> str:
            messages: Any = [{"role": "user", "content": "hi"}]
            if number % 2:
                return (await one.chat.completions.create(model="fast", max_tokens=20, messages=messages)).choices[0].message.content or ""
            return (await other.messages.create(model="fast", max_tokens=20, messages=messages)).content[0].text

        return await asyncio.gather(*(ask(number) for number in range(16)))

    assert asyncio.run(all_of_them()) == ["Hello"] * 16
    metrics = httpx.get(f"{sidecar.admin}/metrics", trust_env=False).text
    assert 'outrider_limit_decisions_total{limit="few",decision="reject"}' in metrics, "nobody was refused first"


def test_boto3_presents_an_outrider_key_in_a_header(start: Start) -> None:
    """Its bearer tokens go over TLS only, so the app adds the header by botocore's own events."""
    made = subprocess.run([str(BINARY), "key", "new", "--team", "search"], capture_output=True, text=True, check=True)
    key = next(word for word in made.stdout.split() if word.startswith("ork-"))
    sidecar = start(f"[identity]\nrequire_key = true\n{made.stdout[made.stdout.index('[[keys]]') :]}\n")

    def ask(presented: str) -> str:
        config = Config(retries={"total_max_attempts": 1}, proxies={})
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=sidecar.app, aws_access_key_id="A", aws_secret_access_key="S", config=config)
        client.meta.events.register("before-sign.bedrock-runtime.*", lambda request, **_: request.headers.add_header("x-api-key", presented))
        answer = client.converse(modelId="fast", messages=[{"role": "user", "content": [{"text": "hi"}]}])
        return answer["output"]["message"]["content"][0]["text"]

    assert ask(key) == "Hello"
    name, status, _ = refused(lambda: ask("ork-wrong"))
    assert status in (401, 403), (name, status)


KEYED = ["openai", "anthropic", "google-genai"]


@pytest.mark.parametrize("sdk", KEYED)
def test_an_outrider_key_goes_where_the_sdk_puts_its_key(start: Start, sdk: str) -> None:
    made = subprocess.run([str(BINARY), "key", "new", "--team", "search", "--name", "ci"], capture_output=True, text=True, check=True)
    key = next(word for word in made.stdout.split() if word.startswith("ork-"))
    table = made.stdout[made.stdout.index("[[keys]]") :]
    assert key not in table
    sidecar = start(f"[identity]\nrequire_key = true\n{table}\n")
    assert ASK[sdk](sidecar.app, key=key) == "Hello"
    for wrong in ["ork-wrong", "sk-something-else"]:
        name, status, _ = refused(lambda: ASK[sdk](sidecar.app, key=wrong))
        assert status == 401 and name in ("AuthenticationError", "UNAUTHENTICATED")
    assert key not in sidecar.log()
