"""The official Anthropic SDK through outrider, against both kinds of upstream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest
import shapes
from conftest import DIRECT, MODELS, Pair, Sidecar, wait_until
from pydantic import BaseModel
from upstream import Call, Drop, Received, Reply, Turn, Upstream, anthropic_events, error, openai_events, sse, stream, stream_error

HI = [{"role": "user", "content": "Say hello"}]
WEATHER = {"name": "weather", "description": "The weather of a city", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
CLOCK = {"name": "clock", "description": "The time", "input_schema": {"type": "object", "properties": {}}}
CALLS = [Call("toolu_oslo", "weather", '{"city":"Oslo","note":"a \\"quoted\\" \\u00e9 é"}'), Call("toolu_now", "clock", "{}")]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"


def ask(pair: Pair, **options: Any) -> Any:
    return pair.anthropic().messages.create(**{"model": pair.model, "max_tokens": 500, "messages": HI, **options})


def sound(pair: Pair) -> dict[str, Any]:
    """The request that reached the upstream, which must be one its vendor would take."""
    body = pair.upstream.last.json
    assert shapes.check_request(pair.kind, body) == [], json.dumps(body)[:2000]
    return body


def middle(pair: Pair) -> int:
    """How many events of a streamed `one two three` end with the first word."""
    return 2 if pair.kind == "openai" else 4


def text_of(events: list[Any]) -> str:
    return "".join(e.delta.text for e in events if e.type == "content_block_delta" and e.delta.type == "text_delta")


def check_grammar(events: list[Any]) -> None:
    """message_start, then blocks that never overlap with dense indices, message_delta, message_stop."""
    events = [e for e in events if e.type != "ping"]
    assert events[0].type == "message_start" and events[0].message.usage is not None and events[0].message.content == []
    assert [e.type for e in events[-2:]] == ["message_delta", "message_stop"]
    open_, following = None, 0
    for event in events[1:-2]:
        if event.type == "content_block_start":
            assert open_ is None and event.index == following, "blocks must not overlap, indices are dense"
            open_, following = event.index, following + 1
        elif event.type == "content_block_delta":
            assert event.index == open_, "a delta for a block that is not open"
        else:
            assert event.type == "content_block_stop" and event.index == open_
            open_ = None
    assert open_ is None


# ---- answers ------------------------------------------------------------------------------------

def test_plain(pair: Pair) -> None:
    pair.upstream.script(Turn(text="Hei på deg, \"venn\" 🌲\n", input_tokens=11, cached_tokens=6, output_tokens=4))
    answer = ask(pair)
    assert answer.type == "message" and answer.role == "assistant" and answer.id
    assert [(b.type, b.text) for b in answer.content] == [("text", "Hei på deg, \"venn\" 🌲\n")]
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (11, 6, 4)
    assert sound(pair)["model"] == (pair.model if DIRECT else MODELS[pair.kind])


def test_plain_async(pair: Pair) -> None:
    async def go() -> Any:
        async with pair.async_anthropic() as client:
            return await client.messages.create(model=pair.model, max_tokens=50, messages=HI)

    assert asyncio.run(go()).content[0].text == "Hello there, friend."


def test_stream(pair: Pair) -> None:
    pair.upstream.script(Turn(text="one two three", input_tokens=7, cached_tokens=2, output_tokens=5))
    events = list(ask(pair, stream=True))
    check_grammar(events)
    assert text_of(events) == "one two three"
    last = events[-2]
    assert last.delta.stop_reason == "end_turn" and last.usage.output_tokens == 5
    sound(pair)


def test_stream_helper_and_usage(pair: Pair) -> None:
    pair.upstream.script(Turn(text="one two three", input_tokens=7, cached_tokens=2, output_tokens=5))
    with pair.anthropic().messages.stream(model=pair.model, max_tokens=50, messages=HI) as s:
        text = "".join(s.text_stream)
        final = s.get_final_message()
    assert text == "one two three" == final.content[0].text
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (7, 2, 5)


def test_stream_async(pair: Pair) -> None:
    async def go() -> str:
        async with pair.async_anthropic() as client, client.messages.stream(model=pair.model, max_tokens=50, messages=HI) as s:
            return "".join([t async for t in s.text_stream])

    assert asyncio.run(go()) == "Hello there, friend."


def test_a_stream_is_not_held_back(pair: Pair) -> None:
    gate = pair.upstream.gate()
    pair.upstream.script(Turn(text="one two three", between={middle(pair): [gate]}))
    with pair.anthropic().messages.stream(model=pair.model, max_tokens=50, messages=HI) as s:
        words = iter(s.text_stream)
        assert next(words) == "one ", "the first words must arrive while the upstream still waits"
        gate.open()
        assert "".join(words) == "two three"


@pytest.mark.parametrize(("finish", "reason"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_stop_reasons(pair: Pair, finish: str, reason: str, streamed: bool) -> None:
    pair.upstream.script(Turn(text="So far", finish=finish))
    if streamed:
        events = list(ask(pair, stream=True))
        check_grammar(events)
        assert events[-2].delta.stop_reason == reason
    else:
        assert ask(pair).stop_reason == reason


# ---- tools --------------------------------------------------------------------------------------

@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_parallel_tools_and_the_second_turn(pair: Pair, streamed: bool) -> None:
    pair.upstream.script(Turn(text="Let me look.", calls=CALLS), Turn(text="Cold, at noon."))
    if streamed:
        with pair.anthropic().messages.stream(model=pair.model, max_tokens=500, messages=HI, tools=[WEATHER, CLOCK]) as s:
            first: Any = s.get_final_message()
    else:
        first = ask(pair, tools=[WEATHER, CLOCK])
    assert first.stop_reason == "tool_use"
    assert [b.type for b in first.content] == ["text", "tool_use", "tool_use"]
    assert [(b.id, b.name, b.input) for b in first.content[1:]] == [(c.id, c.name, json.loads(c.arguments)) for c in CALLS]
    body = sound(pair)
    tools = {t["function"]["name"]: t["function"]["parameters"] for t in body["tools"]} if pair.kind == "openai" else {t["name"]: t["input_schema"] for t in body["tools"]}
    assert tools["weather"] == WEATHER["input_schema"]

    results = [{"type": "tool_result", "tool_use_id": "toolu_oslo", "content": "-3 °C"}, {"type": "tool_result", "tool_use_id": "toolu_now", "content": [{"type": "text", "text": "12:00"}]}, {"type": "text", "text": "And?"}]
    second = ask(pair, tools=[WEATHER, CLOCK], messages=[*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}])
    assert second.content[0].text == "Cold, at noon."
    body = sound(pair)
    if pair.kind == "openai":
        assert [m["role"] for m in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
        assert [(c["id"], json.loads(c["function"]["arguments"])) for c in body["messages"][1]["tool_calls"]] == [(c.id, json.loads(c.arguments)) for c in CALLS]
        assert body["messages"][1]["content"] in ("Let me look.", [{"type": "text", "text": "Let me look."}])
        assert [m["tool_call_id"] for m in body["messages"][2:4]] == ["toolu_oslo", "toolu_now"]
        assert "-3 °C" in str(body["messages"][2]["content"]) and "12:00" in str(body["messages"][3]["content"])


def test_streamed_tool_arguments(pair: Pair) -> None:
    pair.upstream.script(Turn(text="Let me look.", calls=CALLS))
    events = list(ask(pair, tools=[WEATHER, CLOCK], stream=True))
    check_grammar(events)
    parts: dict[int, str] = {}
    for event in events:
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            parts[event.index] = parts.get(event.index, "") + event.delta.partial_json
    assert [json.loads(p or "{}") for p in parts.values()] == [json.loads(c.arguments) for c in CALLS]
    assert sum(1 for e in events if e.type == "content_block_delta" and e.delta.type == "input_json_delta") > 5, "arguments must come as they are made"
    assert events[-2].delta.stop_reason == "tool_use"


def test_interleaved_tool_deltas_do_not_overlap(pair: Pair) -> None:
    """Some OpenAI-like hosts interleave the deltas of parallel calls; Anthropic's grammar has no word for it."""
    if pair.kind != "openai":
        pytest.skip("an OpenAI upstream only")

    def chunk(calls: list[dict[str, Any]], finish: str | None = None) -> bytes:
        return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": calls} if calls else {}, "finish_reason": finish}]})

    start = [{"index": i, "id": c.id, "type": "function", "function": {"name": c.name, "arguments": ""}} for i, c in enumerate(CALLS)]
    pieces = [chunk([start[0]]), chunk([start[1]]), chunk([{"index": 0, "function": {"arguments": '{"city":'}}]), chunk([{"index": 1, "function": {"arguments": "{"}}]), chunk([{"index": 0, "function": {"arguments": '"Oslo"}'}}, {"index": 1, "function": {"arguments": "}"}}]), chunk([], "tool_calls"), b"data: [DONE]\n\n"]
    pair.upstream.script(stream(pieces), stream(pieces))
    check_grammar(list(ask(pair, tools=[WEATHER, CLOCK], stream=True)))
    with pair.anthropic().messages.stream(model=pair.model, max_tokens=500, messages=HI, tools=[WEATHER, CLOCK]) as s:
        final = s.get_final_message()
    assert [(b.name, b.input) for b in final.content] == [("weather", {"city": "Oslo"}), ("clock", {})]


@pytest.mark.parametrize(
    ("choice", "there"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "clock"}, {"type": "function", "function": {"name": "clock"}}),
    ],
    ids=["auto", "none", "any", "tool"],
)
def test_tool_choice(pair: Pair, choice: Any, there: Any) -> None:
    ask(pair, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert sound(pair)["tool_choice"] == (there if pair.kind == "openai" else choice)


def test_one_call_at_a_time(pair: Pair) -> None:
    ask(pair, tools=[WEATHER], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    body = sound(pair)
    if pair.kind == "openai":
        assert body["parallel_tool_calls"] is False and body["tool_choice"] == "auto"


def test_results_with_errors_and_images(pair: Pair) -> None:
    use = [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}, {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}}]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    results = [{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "no such city"}, {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "a clock face"}, image]}]
    ask(pair, tools=[WEATHER, CLOCK], messages=[*HI, {"role": "assistant", "content": use}, {"role": "user", "content": results}])
    body = sound(pair)
    if pair.kind == "openai":
        assert "no such city" in json.dumps(body["messages"][2]) and "a clock face" in json.dumps(body["messages"][3])
        assert PNG in json.dumps(body), "the image must not get lost"
        assert all(p.get("type") == "text" for m in body["messages"] if m["role"] == "tool" and isinstance(m["content"], list) for p in m["content"])


# ---- structured output --------------------------------------------------------------------------

class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_structured_output(pair: Pair, streamed: bool) -> None:
    pair.upstream.script(Turn(text='{"name":"Ada","age":36}'))
    if streamed:
        with pair.anthropic().messages.stream(model=pair.model, max_tokens=50, messages=HI, output_format=Person) as s:
            answer: Any = s.get_final_message()
    else:
        answer = pair.anthropic().messages.parse(model=pair.model, max_tokens=50, messages=HI, output_format=Person)
    assert answer.parsed_output == Person(name="Ada", age=36)
    body = sound(pair)
    if pair.kind == "openai":
        format_ = body["response_format"]
        assert format_["type"] == "json_schema" and set(format_["json_schema"]["schema"]["properties"]) == {"name", "age"} and format_["json_schema"]["name"]


# ---- what a request may hold --------------------------------------------------------------------

@pytest.mark.parametrize("system", ["Be terse.", [{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Speak Norwegian."}]], ids=["string", "blocks"])
def test_system(pair: Pair, system: Any) -> None:
    ask(pair, system=system)
    body = sound(pair)
    if pair.kind == "anthropic":
        assert body["system"] == system
    else:
        assert body["messages"][0]["role"] in ("system", "developer") and "Be terse." in json.dumps(body["messages"][0])
        assert isinstance(system, str) or "Speak Norwegian." in json.dumps(body["messages"])
        assert "cache_control" not in json.dumps(body)


def test_images(pair: Pair) -> None:
    blocks = [{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}, {"type": "text", "text": "What?"}]
    ask(pair, messages=[{"role": "user", "content": blocks}])
    content = sound(pair)["messages"][0]["content"]
    if pair.kind == "anthropic":
        assert content == blocks
    else:
        assert [p["type"] for p in content] == ["image_url", "image_url", "text"]
        assert [p["image_url"]["url"] for p in content[:2]] == ["https://example.com/a.png", f"data:image/png;base64,{PNG}"]


def test_documents(pair: Pair) -> None:
    blocks = [{"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}, {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}}, {"type": "text", "text": "Sum up"}]
    ask(pair, messages=[{"role": "user", "content": blocks}])
    content = sound(pair)["messages"][0]["content"]
    if pair.kind == "openai":
        file = next(p for p in content if p["type"] == "file")
        assert file["file"]["file_data"] == f"data:application/pdf;base64,{PDF}"
        assert "plain words" in json.dumps(content)


def test_sampling_and_limits(pair: Pair) -> None:
    older = {"anthropic-version": "2023-06-01"}
    ask(pair, stop_sequences=["END"], metadata={"user_id": "user-1"}, extra_body={"temperature": 0}, extra_headers=older)
    body = sound(pair)
    assert body["temperature"] == 0, "zero is a value"
    if pair.kind == "openai":
        assert body.get("max_completion_tokens", body.get("max_tokens")) == 500 and body["stop"] in (["END"], "END")
        assert "user-1" in (body.get("user"), body.get("safety_identifier"))
    else:
        assert pair.upstream.last.header("anthropic-version") == "2023-06-01", "the caller's version goes with the caller's bytes"


def test_a_version_is_sent_to_anthropic(pair: Pair) -> None:
    ask(pair)
    if pair.kind == "anthropic":
        assert pair.upstream.last.header("anthropic-version") == "2026-10-21"
    else:
        assert pair.upstream.last.header("anthropic-version") is None


def test_betas_reach_anthropic(pair: Pair) -> None:
    ask(pair, extra_headers={"anthropic-beta": "interleaved-thinking-2025-05-14"})
    expected = "interleaved-thinking-2025-05-14" if pair.kind == "anthropic" else None
    assert pair.upstream.last.header("anthropic-beta") == expected


# ---- thinking -----------------------------------------------------------------------------------

@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_thinking_and_its_replay(pair: Pair, streamed: bool) -> None:
    turn = Turn(text="Looking.", reasoning="Six times seven.", reasoning_tokens=3, calls=CALLS[:1])
    pair.upstream.script(turn)
    options: dict[str, Any] = {"model": pair.named("reasoner"), "max_tokens": 2000, "messages": HI, "tools": [WEATHER], "thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}
    if streamed:
        with pair.anthropic().messages.stream(**options) as s:
            first: Any = s.get_final_message()
    else:
        first = pair.anthropic().messages.create(**options)
    assert [b.type for b in first.content] == ["thinking", "text", "tool_use"]
    assert first.content[0].thinking == "Six times seven."
    body = sound(pair)
    if pair.kind == "anthropic":
        assert first.content[0].signature == turn.signature
    else:
        assert body["reasoning_effort"] == "high"
    result = {"type": "tool_result", "tool_use_id": "toolu_oslo", "content": "-3"}
    options["messages"] = [*HI, {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]}, {"role": "user", "content": [result]}]
    pair.anthropic().messages.create(**options)
    body = sound(pair)
    if pair.kind == "anthropic":
        assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "Six times seven.", "signature": turn.signature}
    else:
        assert "Six times seven." not in json.dumps([m.get("content") for m in body["messages"]]), "thinking is never sent as text"


def test_foreign_thinking_is_dropped(pair: Pair) -> None:
    history = [*HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "secret thought", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "ZGF0YQ=="}, {"type": "text", "text": "Hei"}]}, {"role": "user", "content": "And?"}]
    ask(pair, messages=history)
    body = sound(pair)
    if pair.kind == "openai":
        assert "secret thought" not in json.dumps(body) and "ZGF0YQ" not in json.dumps(body) and "Hei" in json.dumps(body)
    else:
        assert body["messages"] == history


# ---- errors -------------------------------------------------------------------------------------

@pytest.mark.parametrize(
    ("status", "expected", "statuses"),
    [
        (400, anthropic.BadRequestError, {400}),
        (401, anthropic.APIStatusError, {401, 502}),
        (403, anthropic.APIStatusError, {403, 502}),
        (404, anthropic.NotFoundError, {404}),
        (429, anthropic.RateLimitError, {429}),
        (500, anthropic.InternalServerError, {500, 502}),
        (503, anthropic.InternalServerError, {503, 529}),
        (529, anthropic.InternalServerError, {529}),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_upstream_errors_are_typed(pair: Pair, status: int, expected: type[anthropic.APIStatusError], statuses: set[int], streamed: bool) -> None:
    types = {401: "authentication_error", 403: "permission_error", 400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 503: "api_error", 529: "overloaded_error", 404: "not_found_error"}
    pair.upstream.script(error(pair.kind, status, "upstream says no", types[status]))
    with pytest.raises(expected) as caught:
        ask(pair, stream=streamed)
    assert caught.value.status_code in statuses
    assert caught.value.body["type"] == "error" and caught.value.type, "the Anthropic shape: {type: error, error: {type, message}}"
    assert "upstream says no" in caught.value.api_message
    if pair.kind == "anthropic":
        assert caught.value.status_code == status and caught.value.type == types[status]


def test_unknown_model_names_the_nearest(sidecar: Sidecar) -> None:
    client = Pair("anthropic", None, sidecar.app).anthropic()  # type: ignore[arg-type]
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="on-antropic", max_tokens=5, messages=HI)
    assert "on-anthropic" in caught.value.api_message and caught.value.type == "not_found_error"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"model":"on-anthropic","messages":[', "JSON"),
        (b"[]", "object"),
        (b'{"max_tokens":5,"messages":[]}', "model"),
        (b'{"model":"on-openai","max_tokens":5,"messages":7}', "messages"),
        (b'{"model":"on-openai","max_tokens":5,"messages":[{"role":"user","content":7}]}', "messages.0.content"),
        (b'{"model":"on-openai","max_tokens":"many","messages":[{"role":"user","content":"x"}]}', "max_tokens"),
        (b'{"model":"on-openai","max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_use"}]}]}', "messages.0.content.0"),
        (b'{"model":"on-openai","model":"on-anthropic","max_tokens":5,"messages":[]}', "model"),
    ],
    ids=["cut", "array", "no-model", "messages-number", "content-number", "max-tokens-string", "tool-use-bare", "duplicate"],
)
def test_malformed_requests(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, body: bytes, named: str) -> None:
    answer = http.post(f"{sidecar.app}/v1/messages", content=body, headers={"content-type": "application/json", "anthropic-version": "2023-06-01"})
    assert answer.status_code == 400, answer.text
    fault = answer.json()
    assert fault["type"] == "error" and fault["error"]["type"] == "invalid_request_error" and named.lower() in fault["error"]["message"].lower(), fault
    assert upstreams["openai"].requests == upstreams["anthropic"].requests == []


def test_bad_request_is_typed(sidecar: Sidecar) -> None:
    client = Pair("anthropic", None, sidecar.app).anthropic()  # type: ignore[arg-type]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="on-openai", max_tokens=5, messages=[{"role": "user", "content": 5}])  # type: ignore[list-item]


def test_retry_after_reaches_the_sdk(pair: Pair) -> None:
    pair.upstream.script(error(pair.kind, 429, "slow down", "rate_limit_error", retry_after="7"))
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(pair)
    assert caught.value.response.headers["retry-after"] == "7"


def test_the_sdks_own_retry_gets_through(pair: Pair) -> None:
    pair.upstream.script(error(pair.kind, 429, "slow down", "rate_limit_error"), Turn(text="second try"))
    answer = pair.anthropic(max_retries=1).messages.create(model=pair.model, max_tokens=5, messages=HI)
    assert answer.content[0].text == "second try" and len(pair.upstream.requests) == 2


def _events(pair: Pair) -> list[bytes]:
    turn = Turn(text="one two three")
    events = openai_events(turn, "m", False) if pair.kind == "openai" else anthropic_events(turn, "m")
    return events[: middle(pair)]


def test_stream_error_in_the_middle(pair: Pair) -> None:
    type_ = "overloaded_error" if pair.kind == "anthropic" else "server_error"
    pair.upstream.script(stream([*_events(pair), stream_error(pair.kind, "no more today", type_)]))
    seen = []
    with pytest.raises(anthropic.APIStatusError, match="no more today"):
        for event in ask(pair, stream=True):
            seen.append(event)
    assert text_of(seen) == "one "


@pytest.mark.parametrize("drop", [False, True], ids=["ended", "dropped"])
def test_truncated_stream_raises(pair: Pair, sidecar: Sidecar, drop: bool) -> None:
    pair.upstream.script(Turn(text="one two three", cut_after=middle(pair), drop=drop))
    seen = []
    with pytest.raises(anthropic.APIStatusError):
        for event in ask(pair, stream=True):
            seen.append(event)
    assert text_of(seen) == "one ", "what came before the cut is kept"


def test_early_stream_error_is_a_status(pair: Pair, sidecar: Sidecar) -> None:
    type_, code = ("rate_limit_error", None) if pair.kind == "anthropic" else ("insufficient_quota", "insufficient_quota")
    pair.upstream.script(stream([stream_error(pair.kind, "quota is gone", type_, code)]))
    # A used-up quota is a bill to pay, for which Anthropic has a status of its own.
    status = 429 if pair.kind == "anthropic" else 402
    with pytest.raises(anthropic.APIStatusError, match="quota is gone") as caught:
        ask(pair, stream=True)
    assert caught.value.status_code == status


@pytest.mark.fresh
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_the_next_target_answers(pair: Pair, sidecar: Sidecar, upstreams: dict[str, Upstream], streamed: bool) -> None:
    other = upstreams["anthropic" if pair.kind == "openai" else "openai"]
    for failure in (error(pair.kind, 503, "busy", "overloaded_error"), Reply(chunked=True, pieces=[Drop()])):
        other.script(Turn(text="from the other"))
        pair.upstream.script(failure)
        raw = pair.anthropic().messages.with_raw_response.create(model=pair.named("first"), max_tokens=50, messages=HI, stream=streamed)
        assert raw.headers["x-outrider-attempts"] == "2" and raw.headers["x-outrider-target"] == f"{other.kind}/{MODELS[other.kind]}"
        answer = raw.parse()
        assert (text_of(list(answer)) if streamed else answer.content[0].text) == "from the other"


# ---- time and cancelling ------------------------------------------------------------------------

def test_the_clients_own_timeout_reaches_the_upstream(pair: Pair) -> None:
    pair.upstream.script(Reply(chunked=True, pieces=[pair.upstream.gate()]))
    with pytest.raises(anthropic.APITimeoutError):
        pair.anthropic(timeout=0.3).messages.create(model=pair.model, max_tokens=5, messages=HI)
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


def test_closing_a_stream_reaches_the_upstream(pair: Pair) -> None:
    pair.upstream.script(Turn(text="one two three", between={middle(pair): [pair.upstream.gate()]}))
    client = pair.anthropic()
    with client.messages.stream(model=pair.model, max_tokens=50, messages=HI) as s:
        assert next(iter(s.text_stream)) == "one "
    client.close()
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_no_first_token(pair: Pair, sidecar: Sidecar, streamed: bool) -> None:
    pair.upstream.script(Reply(chunked=True, pieces=[pair.upstream.gate()]))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(pair, model=pair.named("short"), stream=streamed)
    assert caught.value.status_code in (504, 408) and caught.value.type in ("timeout_error", "api_error")
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


def test_a_stall_in_the_middle(pair: Pair, sidecar: Sidecar) -> None:
    pair.upstream.script(Turn(text="one two three", between={middle(pair): [pair.upstream.gate()]}))
    seen = []
    with pytest.raises(anthropic.APIStatusError):
        for event in ask(pair, model=pair.named("short"), stream=True):
            seen.append(event)
    assert text_of(seen) == "one "
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


# ---- the other endpoints ------------------------------------------------------------------------

def test_count_tokens(pair: Pair) -> None:
    pair.upstream.script(Turn(input_tokens=21))
    client = pair.anthropic()
    try:
        counted = client.messages.count_tokens(model=pair.model, messages=HI).input_tokens
    except anthropic.APIStatusError as fault:
        assert pair.kind == "openai" and fault.status_code in (404, 501) and fault.type, "where it cannot count, clients fall back on 404 and 501"
        return
    assert counted == 21 if pair.kind == "anthropic" else 0 < counted < 100


def test_models(sidecar: Sidecar) -> None:
    client = Pair("anthropic", None, sidecar.app).anthropic()  # type: ignore[arg-type]
    listed = list(client.models.list(limit=1000))
    assert {"on-openai", "on-anthropic"} <= {m.id for m in listed}
    assert all(m.type == "model" and m.display_name and m.created_at.year >= 1970 for m in listed)
    assert client.models.retrieve("on-anthropic").id == "on-anthropic"


# ---- many at once -------------------------------------------------------------------------------

def test_many_streams_are_not_mixed(pair: Pair) -> None:
    def echo(request: Received) -> Turn:
        content = request.json["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        return Turn(text=" ".join([text] * 20))

    pair.upstream.default(echo)

    async def one(client: anthropic.AsyncAnthropic, n: int) -> tuple[int, str]:
        async with client.messages.stream(model=pair.model, max_tokens=50, messages=[{"role": "user", "content": f"nr-{n}"}]) as s:
            return n, "".join([t async for t in s.text_stream])

    async def go() -> list[tuple[int, str]]:
        async with pair.async_anthropic(timeout=30) as client:
            return await asyncio.gather(*(one(client, n) for n in range(50)))

    for n, text in asyncio.run(go()):
        assert text == " ".join([f"nr-{n}"] * 20)
