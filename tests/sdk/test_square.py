"""Every client in front of every vendor: plain, stream, tools, structured output, errors, through the real binary."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest
from clients import FRAMEWORKS, NPM, QUESTION, VENDORS, Client
from conftest import Sidecar, need_binary
from upstream import Call, Turn, Upstream, error

# For each upstream kind: the provider's table, and the model asked for there.
PROVIDERS = {
    "openai": ('kind = "openai"\nbase_url = "{url}/v1"\ndialects = ["openai_chat"]', "gpt-4.1-mini"),
    "responses": ('kind = "openai"\nbase_url = "{url}/v1"\ndialects = ["openai_responses"]', "gpt-4.1-mini"),
    "anthropic": ('kind = "anthropic"\nbase_url = "{url}/v1"', "claude-sonnet-4-6"),
    "gemini": ('kind = "gemini"\nbase_url = "{url}/v1beta"', "gemini-2.5-flash"),
    "bedrock": ('kind = "bedrock"\nbase_url = "{url}"\nregion = "us-east-1"', "us.anthropic.claude-sonnet-4-6"),
}
CALL = Call("call_oslo_1", "weather", '{"city":"Oslo"}')
COLD = {"city": "Oslo", "degrees": -3}


def policy(urls: dict[str, str]) -> str:
    text = '[listen]\napp = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
    for name, (table, model) in PROVIDERS.items():
        text += f'[providers.{name}]\n{table.format(url=urls[name])}\napi_key = "sk-provider-{name}-7f3a91c2"\n'
        text += f'[[models]]\nname = "on-{name}"\ntargets = [{{ provider = "{name}", model = "{model}" }}]\nretry = {{ attempts = 1 }}\n'
    return text


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sidecar, dict[str, Upstream]]]:
    need_binary()
    upstreams = {kind: Upstream(kind) for kind in PROVIDERS}
    sidecar = Sidecar(tmp_path_factory.mktemp("square"), policy({kind: one.url for kind, one in upstreams.items()}))
    yield sidecar, upstreams
    sidecar.stop()
    for one in upstreams.values():
        one.stop()


@pytest.fixture(params=[*VENDORS, *FRAMEWORKS, *NPM], ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest, square: tuple[Sidecar, dict[str, Upstream]]) -> Client:
    return request.param(square[0].app)


@pytest.fixture(params=list(PROVIDERS))
def upstream(request: pytest.FixtureRequest, square: tuple[Sidecar, dict[str, Upstream]]) -> Upstream:
    one = square[1][request.param]
    one.reset()
    return one


def asked(upstream: Upstream) -> str:
    """What the vendor was asked last, as text; the key of the app is not in it."""
    last = upstream.last
    assert "must-stay-here" not in json.dumps(last.headers) + last.body.decode(), "the app's own key left the machine"
    return json.dumps(last.json, ensure_ascii=False)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_plain(client: Client, upstream: Upstream, stream: bool) -> None:
    upstream.script(Turn(text="Minus three degrees, é 🌲.", input_tokens=11, cached_tokens=6, output_tokens=5))
    said = client.ask(f"on-{upstream.kind}", stream=stream)
    assert said.text == "Minus three degrees, é 🌲." and said.calls == []
    assert said.tokens == (17, 5)
    assert said.pieces > 1 if stream else said.pieces == 1
    assert QUESTION in asked(upstream) and "You are brief." in asked(upstream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools(client: Client, upstream: Upstream, stream: bool) -> None:
    upstream.script(Turn(text="Let me look.", reasoning="Cold, I guess.", calls=[CALL]), Turn(text="It is minus three."))
    said = client.ask(f"on-{upstream.kind}", stream=stream, tools=True)
    assert said.calls == [("weather", {"city": "Oslo"})]
    if said.again is not None:
        said = said.again("-3 °C")
    assert said.text.endswith("It is minus three.")
    second = asked(upstream)
    # Google's clients put the result into a JSON text, in which the degree sign may be escaped.
    assert "-3 " in second and "Oslo" in second, "the call and its result reach the vendor"
    if client.dialect == upstream.kind or upstream.kind in ("gemini", "bedrock", "anthropic", "responses"):
        assert second.count("weather") >= 2, "the call is told beside the tool"


def test_structured(client: Client, upstream: Upstream) -> None:
    upstream.script(Turn(text=json.dumps(COLD)))
    said = client.ask(f"on-{upstream.kind}", structured=True)
    assert json.loads(said.text) == COLD
    request = asked(upstream)
    assert "degrees" in request and "integer" in request, "the schema reaches the vendor"


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_errors(client: Client, upstream: Upstream, status: int) -> None:
    words = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error", 503: "overloaded_error"}
    upstream.default(error(upstream.kind, status, f"the vendor says no ({status})", words[status]))
    with pytest.raises(Exception) as caught:
        client.ask(f"on-{upstream.kind}")
    told: Any = caught.value
    seen = {client.status(told)} | {client.status(cause) for cause in (told.__cause__, told.__context__) if cause is not None}
    # Anthropic's word for an overload is 529.
    expected = {status, 529} if status == 503 else {status}
    assert seen & expected, f"{seen}: {told!r}"
    assert "the vendor says no" in str(told) + str(told.__cause__)
