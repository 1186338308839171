"""What goes up, what comes down, and what never does."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from conftest import CLIENT_KEY, MODELS, PROVIDER_KEYS, Pair, Sidecar
from upstream import Received, Reply, Upstream, error

HI = [{"role": "user", "content": "Say hello"}]
LEAKS = {
    "cookie": "session=client-cookie",
    "x-api-key": CLIENT_KEY,
    "x-goog-api-key": CLIENT_KEY,
    "api-key": CLIENT_KEY,
    "proxy-authorization": "Basic Y2xpZW50",
    "x-outrider-user": "user-1",
    "x-outrider-tag": "label",
    "te": "trailers",
    "x-hop": "only-here",
    "connection": "keep-alive, x-hop",
}
ENDPOINTS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def post(sidecar: Sidecar, http: Any, dialect: str, model: str, headers: dict[str, str] | None = None, **members: Any) -> Any:
    return http.post(f"{sidecar.app}{ENDPOINTS[dialect]}", json={"model": model, "max_tokens": 50, "messages": HI, **members}, headers=headers or {})


def everything(request: Received) -> str:
    return "\n".join(f"{k}: {v}" for k, v in request.headers) + "\n" + request.target


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_credentials_stay_and_the_providers_key_goes(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, dialect: str, kind: str) -> None:
    answer = post(sidecar, http, dialect, f"on-{kind}", {"authorization": f"Bearer {CLIENT_KEY}", **LEAKS})
    assert answer.status_code == 200, answer.text
    received = upstreams[kind].last
    told = everything(received)
    assert CLIENT_KEY not in told and "client-cookie" not in told and "Y2xpZW50" not in told and "only-here" not in told
    assert not [k for k, _ in received.headers if k.lower().startswith("x-outrider")]
    if kind == "openai":
        assert received.header("authorization") == f"Bearer {PROVIDER_KEYS[kind]}" and received.header("x-api-key") is None
    else:
        assert PROVIDER_KEYS[kind] in (received.header("x-api-key") or received.header("authorization") or "")
        assert not (received.header("x-api-key") and received.header("authorization"))
    assert received.header("host") == upstreams[kind].url.removeprefix("http://")
    assert received.header("content-type") == "application/json"
    lengths = [v for k, v in received.headers if k.lower() == "content-length"]
    assert lengths == [str(len(received.body))] or (not lengths and received.header("transfer-encoding") == "chunked")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_the_answer_says_who_and_how(sidecar: Sidecar, http: Any, upstreams: dict[str, Upstream], dialect: str, kind: str, stream: bool) -> None:
    answer = post(sidecar, http, dialect, f"on-{kind}", stream=stream)
    assert answer.headers["x-outrider-request-id"]
    assert answer.headers["x-outrider-target"] == f"{kind}/{MODELS[kind]}"
    assert answer.headers["x-outrider-attempts"] == "1"
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    again = post(sidecar, http, dialect, f"on-{kind}", stream=stream)
    assert again.headers["x-outrider-request-id"] != answer.headers["x-outrider-request-id"]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_an_upstream_cannot_set_our_headers_or_cookies(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, dialect: str) -> None:
    body = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}'
    upstreams["openai"].script(Reply(200, {"content-type": "application/json", "x-outrider-target": "forged", "set-cookie": "a=b", "keep-alive": "timeout=5", "x-request-id": "req_up"}, [body]))
    answer = post(sidecar, http, dialect, "on-openai")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-outrider-target"] == f"openai/{MODELS['openai']}" and "keep-alive" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_the_sdks_request_id(sidecar: Sidecar, upstreams: dict[str, Upstream]) -> None:
    pair = Pair("openai", upstreams["openai"], sidecar.app)
    upstreams["openai"].script(error("openai", 400, "no", "invalid_request_error"))
    with pytest.raises(openai.BadRequestError) as caught:
        pair.openai().chat.completions.create(model="on-openai", messages=HI)
    assert caught.value.response.headers["x-outrider-request-id"]


def test_a_provider_key_in_an_upstreams_error_is_removed(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any) -> None:
    for kind in ("openai", "anthropic"):
        for dialect in ("openai", "anthropic"):
            upstreams[kind].script(error(kind, 401, f"Incorrect API key provided: {PROVIDER_KEYS[kind]}.", "authentication_error", x_echo=PROVIDER_KEYS[kind]))
            answer = post(sidecar, http, dialect, f"on-{kind}")
            assert answer.status_code in (401, 502), answer.text
            assert PROVIDER_KEYS[kind] not in answer.text and PROVIDER_KEYS[kind] not in str(answer.headers)
            assert "Incorrect API key" in answer.text
            upstreams[kind].script(error(kind, 200, f"key {PROVIDER_KEYS[kind]}", "authentication_error"))
            assert PROVIDER_KEYS[kind] not in post(sidecar, http, dialect, f"on-{kind}").text
    assert not any(key in sidecar.log() for key in PROVIDER_KEYS.values())


# ---- what could not be said ---------------------------------------------------------------------

@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_loss_is_named(sidecar: Sidecar, upstreams: dict[str, Upstream], stream: bool) -> None:
    client = Pair("anthropic", upstreams["anthropic"], sidecar.app).openai()
    raw = client.chat.completions.with_raw_response.create(model="on-anthropic", messages=HI, seed=7, frequency_penalty=0.5, stream=stream)
    named = [n.strip() for n in raw.headers["x-outrider-lossy"].split(",")]
    assert {"seed", "frequency_penalty"} <= set(named)
    assert "seed" not in upstreams["anthropic"].last.json


def test_nothing_lost_says_nothing(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any) -> None:
    for dialect in ("openai", "anthropic"):
        for kind in ("openai", "anthropic"):
            assert "x-outrider-lossy" not in post(sidecar, http, dialect, f"on-{kind}").headers
    assert "x-outrider-lossy" not in post(sidecar, http, "openai", "on-openai", seed=7).headers


def test_strict_refuses_a_loss(sidecar: Sidecar, upstreams: dict[str, Upstream]) -> None:
    client = Pair("anthropic", upstreams["anthropic"], sidecar.app).openai()
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="strict-anthropic", messages=HI, seed=7)
    assert "seed" in caught.value.message and upstreams["anthropic"].requests == []
    assert client.chat.completions.create(model="strict-anthropic", messages=HI, max_tokens=5).choices[0].message.content
    assert client.chat.completions.create(model="strict-openai", messages=HI, seed=7).choices[0].message.content


def test_strict_refuses_a_loss_the_other_way(sidecar: Sidecar, upstreams: dict[str, Upstream]) -> None:
    client = Pair("openai", upstreams["openai"], sidecar.app).anthropic()
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="strict-openai", max_tokens=5, messages=HI, extra_body={"top_k": 3})
    assert "top_k" in caught.value.api_message and upstreams["openai"].requests == []


def test_unknown_members_are_named_or_kept(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any) -> None:
    answer = post(sidecar, http, "openai", "on-anthropic", brand_new={"a": 1})
    assert "brand_new" in answer.headers["x-outrider-lossy"]
    answer = post(sidecar, http, "openai", "on-openai", brand_new={"a": 1})
    assert upstreams["openai"].last.json["brand_new"] == {"a": 1}


# ---- who may come in ----------------------------------------------------------------------------

@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"host": "evil.example"}, {403, 421, 400}),
        ({"origin": "https://evil.example"}, {403}),
        ({"sec-fetch-site": "cross-site"}, {403}),
    ],
    ids=["host", "origin", "fetch-site"],
)
def test_pages_of_the_web_are_refused(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, headers: dict[str, str], statuses: set[int]) -> None:
    answer = post(sidecar, http, "openai", "on-openai", headers)
    assert answer.status_code in statuses and upstreams["openai"].requests == []


@pytest.mark.parametrize("path", ["/v2/chat", "/v1/chat/completions/x", "/%2e%2e/v1/models", "//v1/models"])
def test_unknown_paths(sidecar: Sidecar, http: Any, path: str) -> None:
    answer = http.get(f"{sidecar.app}{path}")
    assert answer.status_code in (400, 404, 405)


def test_wrong_method(sidecar: Sidecar, http: Any) -> None:
    answer = http.get(f"{sidecar.app}/v1/chat/completions")
    assert answer.status_code == 405 and answer.json()["error"]["message"]


def test_claude_codes_first_knock(sidecar: Sidecar, http: Any) -> None:
    assert http.head(f"{sidecar.app}/api/hello").status_code in (200, 204, 404)


def test_provider_slash_model(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any) -> None:
    assert post(sidecar, http, "openai", "openai/gpt-4.1").status_code == 200
    assert upstreams["openai"].last.json["model"] == "gpt-4.1"
    assert post(sidecar, http, "openai", "anthropic/claude-sonnet-4-6").status_code == 200
    assert upstreams["anthropic"].last.json["model"] == "claude-sonnet-4-6"


def test_claimed_bare_name(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any) -> None:
    assert post(sidecar, http, "anthropic", "gpt-4.1-nano").status_code == 200
    assert upstreams["openai"].last.json["model"] == "gpt-4.1-nano"
