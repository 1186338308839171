"""The scripted upstream itself, without outrider in between: what the other tests lean on."""

from __future__ import annotations

import anthropic
import openai
import pytest
import shapes
from conftest import Pair, wait_until
from upstream import Call, Turn, Upstream, error

TURN = Turn(text="Let me look.", reasoning="They ask for two cities.", calls=[Call("call_1", "weather", '{"city":"Oslo"}'), Call("call_2", "weather", "{}")], cached_tokens=5, reasoning_tokens=3)


@pytest.mark.parametrize("stream", [False, True])
def test_openai_turn(upstreams: dict[str, Upstream], stream: bool) -> None:
    up = upstreams["openai"]
    up.script(TURN)
    client = Pair("openai", up, up.url).openai()
    if stream:
        with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}], stream_options={"include_usage": True}) as s:
            answer = s.get_final_completion()
    else:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    message = answer.choices[0].message
    assert message.content == "Let me look."
    assert [(c.id, c.function.arguments) for c in message.tool_calls] == [("call_1", '{"city":"Oslo"}'), ("call_2", "{}")]
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert shapes.check_request("openai", up.last.json) == []


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_turn(upstreams: dict[str, Upstream], stream: bool) -> None:
    up = upstreams["anthropic"]
    up.script(TURN)
    client = Pair("anthropic", up, up.url).anthropic()
    ask = dict(model="m", max_tokens=50, messages=[{"role": "user", "content": "hi"}])
    if stream:
        with client.messages.stream(**ask) as s:
            answer = s.get_final_message()
    else:
        answer = client.messages.create(**ask)
    assert [b.type for b in answer.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert answer.content[0].signature and answer.content[2].input == {"city": "Oslo"}
    assert answer.usage.cache_read_input_tokens == 5
    assert shapes.check_request("anthropic", up.last.json) == []


def test_errors(upstreams: dict[str, Upstream]) -> None:
    for kind, library in (("openai", openai), ("anthropic", anthropic)):
        up = upstreams[kind]
        up.script(error(kind, 429, "slow down", "rate_limit_error", retry_after="3"))
        pair = Pair(kind, up, up.url)
        with pytest.raises(library.RateLimitError) as caught:
            if kind == "openai":
                pair.openai().chat.completions.create(model="m", messages=[])
            else:
                pair.anthropic().messages.create(model="m", messages=[], max_tokens=5)
        assert caught.value.response.headers["retry-after"] == "3"


def test_a_closed_peer_is_seen(upstreams: dict[str, Upstream]) -> None:
    up = upstreams["openai"]
    up.script(Turn(text="one two three", between={2: [up.gate()]}))
    client = Pair("openai", up, up.url).openai()
    stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    next(stream)
    stream.close()
    client.close()
    wait_until(up.last.gone.is_set, 2, "the close")


def test_faulty_requests_are_found() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert shapes.check_request("openai", {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "x"}]})
    assert shapes.check_request("openai", {"model": "m", "messages": [{"role": "sistem", "content": "x"}]})
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert shapes.check_request("anthropic", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [use]}, {"role": "user", "content": "x"}]})
    assert shapes.check_request("anthropic", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
