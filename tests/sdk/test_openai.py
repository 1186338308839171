"""The official OpenAI SDK through outrider, against both kinds of upstream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
import shapes
from conftest import DIRECT, MODELS, Pair, Sidecar, wait_until
from pydantic import BaseModel
from upstream import Call, Drop, Received, Reply, Turn, Upstream, anthropic_events, error, openai_events, stream, stream_error

HI = [{"role": "user", "content": "Say hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time", "parameters": {"type": "object", "properties": {}}}}
CALLS = [Call("call_oslo", "weather", '{"city":"Oslo","note":"a \\"quoted\\" \\u00e9 é"}'), Call("call_now", "clock", "{}")]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(pair: Pair, **options: Any) -> Any:
    return pair.openai().chat.completions.create(**{"model": pair.model, "messages": HI, **options})


def sound(pair: Pair) -> dict[str, Any]:
    """The request that reached the upstream, which must be one its vendor would take."""
    body = pair.upstream.last.json
    assert shapes.check_request(pair.kind, body) == [], json.dumps(body)[:2000]
    return body


def middle(pair: Pair) -> int:
    """How many events of a streamed `one two three` end with the first word."""
    return 2 if pair.kind == "openai" else 4


# ---- answers ------------------------------------------------------------------------------------

def test_plain(pair: Pair) -> None:
    pair.upstream.script(Turn(text="Hei på deg, \"venn\" 🌲\n", input_tokens=11, cached_tokens=6, output_tokens=4))
    answer = ask(pair)
    assert answer.object == "chat.completion" and answer.id and answer.created > 1_600_000_000
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "Hei på deg, \"venn\" 🌲\n"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (17, 4, 21)
    assert answer.usage.prompt_tokens_details.cached_tokens == 6
    body = sound(pair)
    assert body["model"] == (pair.model if DIRECT else MODELS[pair.kind])


def test_plain_async(pair: Pair) -> None:
    async def go() -> Any:
        async with pair.async_openai() as client:
            return await client.chat.completions.create(model=pair.model, messages=HI)

    assert asyncio.run(go()).choices[0].message.content == "Hello there, friend."


@pytest.mark.parametrize("usage", [False, True], ids=["no-usage", "usage"])
def test_stream(pair: Pair, usage: bool) -> None:
    pair.upstream.script(Turn(text="one two three", input_tokens=7, cached_tokens=2, output_tokens=5))
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(ask(pair, stream=True, **options))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert sum(1 for c in chunks if c.choices and c.choices[0].delta.role) == 1
    assert len({c.id for c in chunks}) == 1 and len({c.created for c in chunks}) == 1
    told = [c.usage for c in chunks if c.usage]
    if not usage:
        assert told == [], "usage was not asked for"
        assert all(c.choices for c in chunks), "a chunk without choices breaks clients that did not ask for usage"
    else:
        assert len(told) == 1 and chunks[-1].usage and chunks[-1].choices == []
        assert (told[0].prompt_tokens, told[0].completion_tokens, told[0].prompt_tokens_details.cached_tokens) == (9, 5, 2)
    sound(pair)


def test_stream_helper(pair: Pair) -> None:
    pair.upstream.script(Turn(text="one two three"))
    with pair.openai().chat.completions.stream(model=pair.model, messages=HI) as s:
        deltas = [e.delta for e in s if e.type == "content.delta"]
        final = s.get_final_completion()
    assert "".join(deltas) == "one two three" == final.choices[0].message.content


def test_stream_async(pair: Pair) -> None:
    async def go() -> str:
        async with pair.async_openai() as client:
            s = await client.chat.completions.create(model=pair.model, messages=HI, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in s if c.choices])

    assert asyncio.run(go()) == "Hello there, friend."


def test_a_stream_is_not_held_back(pair: Pair) -> None:
    gate = pair.upstream.gate()
    turn = Turn(text="one two three", between={middle(pair): [gate]})
    pair.upstream.script(turn)
    s = iter(ask(pair, stream=True))
    first = next(c.choices[0].delta.content for c in s if c.choices and c.choices[0].delta.content)
    assert first == "one ", "the first words must arrive while the upstream still waits"
    gate.open()
    assert "".join(c.choices[0].delta.content or "" for c in s if c.choices) == "two three"


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_finish_reasons(pair: Pair, finish: str, streamed: bool) -> None:
    pair.upstream.script(Turn(text="So far", finish=finish))
    if streamed:
        reasons = [c.choices[0].finish_reason for c in ask(pair, stream=True) if c.choices]
        assert reasons[-1] == finish and set(reasons[:-1]) <= {None}
    else:
        assert ask(pair).choices[0].finish_reason == finish


# ---- tools --------------------------------------------------------------------------------------

def test_parallel_tools_and_the_second_turn(pair: Pair) -> None:
    pair.upstream.script(Turn(text="Let me look.", calls=CALLS), Turn(text="Cold, at noon."))
    first = ask(pair, tools=[WEATHER, CLOCK])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and message.content == "Let me look."
    assert [(c.id, c.type, c.function.name) for c in message.tool_calls] == [("call_oslo", "function", "weather"), ("call_now", "function", "clock")]
    assert [json.loads(c.function.arguments) for c in message.tool_calls] == [json.loads(c.arguments) for c in CALLS]
    body = sound(pair)
    tools = {t["function"]["name"]: t["function"]["parameters"] for t in body["tools"]} if pair.kind == "openai" else {t["name"]: t["input_schema"] for t in body["tools"]}
    assert tools["weather"] == WEATHER["function"]["parameters"] and tools["clock"]["type"] == "object"

    results = [{"role": "tool", "tool_call_id": "call_oslo", "content": "-3 °C"}, {"role": "tool", "tool_call_id": "call_now", "content": "12:00"}]
    second = ask(pair, tools=[WEATHER, CLOCK], messages=[*HI, message.model_dump(exclude_none=True), *results, {"role": "user", "content": "And?"}])
    assert second.choices[0].message.content == "Cold, at noon."
    body = sound(pair)
    if pair.kind == "anthropic":
        uses = [b for b in body["messages"][1]["content"] if b["type"] == "tool_use"]
        assert [(u["id"], u["input"]) for u in uses] == [(c.id, json.loads(c.arguments)) for c in CALLS]
        answer = body["messages"][2]
        assert answer["role"] == "user" and [b.get("tool_use_id") for b in answer["content"][:2]] == ["call_oslo", "call_now"]
        assert "-3 °C" in json.dumps(answer["content"][0], ensure_ascii=False) and "And?" in json.dumps(body["messages"][2:])
    else:
        assert [m["role"] for m in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]


def test_streamed_tool_arguments(pair: Pair) -> None:
    pair.upstream.script(Turn(text="Let me look.", calls=CALLS))
    calls: dict[int, dict[str, str]] = {}
    deltas = 0
    finish = None
    for chunk in ask(pair, tools=[WEATHER, CLOCK], stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            entry = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
            if call.id:
                assert not entry["id"], "the id is told once"
                entry["id"] = call.id
            entry["name"] += (call.function.name or "") if call.function else ""
            entry["arguments"] += (call.function.arguments or "") if call.function else ""
            deltas += 1
        finish = (chunk.choices[0].finish_reason if chunk.choices else None) or finish
    assert sorted(calls) == [0, 1], "the index counts tool calls only, from 0"
    assert [(c["id"], c["name"], json.loads(c["arguments"])) for c in calls.values()] == [(c.id, c.name, json.loads(c.arguments)) for c in CALLS]
    assert finish == "tool_calls" and deltas > 5, "arguments must come as they are made"


def test_streamed_tools_in_the_helper(pair: Pair) -> None:
    pair.upstream.script(Turn(calls=CALLS))
    with pair.openai().chat.completions.stream(model=pair.model, messages=HI, tools=[WEATHER, CLOCK]) as s:
        final = s.get_final_completion()
    assert [json.loads(c.function.arguments) for c in final.choices[0].message.tool_calls] == [json.loads(c.arguments) for c in CALLS]


def test_a_call_without_arguments_streams_an_object(pair: Pair) -> None:
    pair.upstream.script(Turn(calls=[Call("call_now", "clock", "" if pair.kind == "anthropic" else "{}")]))
    text = "".join(call.function.arguments or "" for c in ask(pair, tools=[CLOCK], stream=True) if c.choices for call in c.choices[0].delta.tool_calls or [])
    assert json.loads(text) == {}


@pytest.mark.parametrize(
    ("choice", "there"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "clock"}}, {"type": "tool", "name": "clock"}),
    ],
    ids=["auto", "none", "required", "named"],
)
def test_tool_choice(pair: Pair, choice: Any, there: dict[str, Any]) -> None:
    ask(pair, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert sound(pair)["tool_choice"] == (choice if pair.kind == "openai" else there)


def test_one_call_at_a_time(pair: Pair) -> None:
    ask(pair, tools=[WEATHER], parallel_tool_calls=False)
    body = sound(pair)
    if pair.kind == "openai":
        assert body["parallel_tool_calls"] is False
    else:
        assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_foreign_tool_names_come_back(pair: Pair) -> None:
    """A name that the target would refuse is changed there and restored here."""
    name = "files.read/all"
    tool = {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}

    def answer(request: Received) -> Turn:
        body = request.json
        there = body["tools"][0]["function"]["name"] if pair.kind == "openai" else body["tools"][0]["name"]
        return Turn(calls=[Call("call_1", there, "{}")])

    pair.upstream.script(answer, answer)
    assert ask(pair, tools=[tool]).choices[0].message.tool_calls[0].function.name == name
    names = [c.function.name for chunk in ask(pair, tools=[tool], stream=True) if chunk.choices for c in chunk.choices[0].delta.tool_calls or [] if c.function.name]
    assert names == [name]


# ---- structured output --------------------------------------------------------------------------

class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_structured_output(pair: Pair, streamed: bool) -> None:
    pair.upstream.script(Turn(text='{"name":"Ada","age":36}'))
    if streamed:
        with pair.openai().chat.completions.stream(model=pair.model, messages=HI, response_format=Person) as s:
            answer: Any = s.get_final_completion()
    else:
        answer = pair.openai().chat.completions.parse(model=pair.model, messages=HI, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    body = sound(pair)
    if pair.kind == "anthropic":
        format_ = body["output_config"]["format"]
        assert format_["type"] == "json_schema" and set(format_["schema"]["properties"]) == {"name", "age"}
        assert format_["schema"]["additionalProperties"] is False
    else:
        assert body["response_format"]["json_schema"]["name"] == "Person"


def test_json_object(pair: Pair) -> None:
    pair.upstream.script(Turn(text='{"a":1}'))
    raw = pair.openai().chat.completions.with_raw_response.create(model=pair.model, messages=[{"role": "user", "content": "json please"}], response_format={"type": "json_object"})
    assert json.loads(raw.parse().choices[0].message.content) == {"a": 1}
    if pair.kind == "anthropic":
        assert "response_format" in raw.headers.get("x-outrider-lossy", ""), "Anthropic has no json_object: that must be said"
    sound(pair)


# ---- what a request may hold --------------------------------------------------------------------

def test_system_and_developer(pair: Pair) -> None:
    messages = [{"role": "system", "content": "Be terse."}, {"role": "developer", "content": "Speak Norwegian."}, *HI, {"role": "assistant", "content": "Hei."}, {"role": "system", "content": "Now English."}, {"role": "user", "content": "Again"}]
    ask(pair, messages=messages)
    body = sound(pair)
    text = json.dumps(body)
    assert all(word in text for word in ("Be terse.", "Speak Norwegian.", "Now English.", "Again"))
    if pair.kind == "openai":
        assert body["messages"] == messages
    else:
        system = json.dumps(body["system"])
        assert system.index("Be terse.") < system.index("Speak Norwegian.")
        assert "Now English." not in system, "a later system message stays in place"


def test_images(pair: Pair) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    ask(pair, messages=[{"role": "user", "content": parts}])
    content = sound(pair)["messages"][0]["content"]
    if pair.kind == "openai":
        assert content == parts
    else:
        assert [b["type"] for b in content] == ["text", "image", "image"]
        assert content[1]["source"] == {"type": "url", "url": "https://example.com/a.png"}
        assert content[2]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}


def test_a_file_becomes_a_document(pair: Pair) -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    ask(pair, messages=[{"role": "user", "content": [file, {"type": "text", "text": "Sum up"}]}])
    block = sound(pair)["messages"][0]["content"][0]
    if pair.kind == "anthropic":
        assert block["type"] == "document" and block["source"] == {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}


def test_sampling_and_limits(pair: Pair) -> None:
    ask(pair, temperature=0, max_tokens=123, stop=["END", "STOP"], user="user-1")
    body = sound(pair)
    assert body["temperature"] == 0, "zero is a value"
    if pair.kind == "anthropic":
        assert (body["max_tokens"], body["stop_sequences"], body["metadata"]) == (123, ["END", "STOP"], {"user_id": "user-1"})
    else:
        assert (body["max_tokens"], body["stop"], body["user"]) == (123, ["END", "STOP"], "user-1")


def test_max_completion_tokens(pair: Pair) -> None:
    ask(pair, max_completion_tokens=77)
    body = sound(pair)
    assert body["max_tokens" if pair.kind == "anthropic" else "max_completion_tokens"] == 77


def test_anthropic_needs_a_limit(pair: Pair) -> None:
    ask(pair)
    if pair.kind == "anthropic":
        assert pair.upstream.last.json["max_tokens"] >= 8192


def test_several_answers_are_refused_where_impossible(pair: Pair) -> None:
    if pair.kind == "openai":
        return ask(pair, n=2) and None
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pair, n=2)
    assert "n" == caught.value.param and pair.upstream.requests == []


# ---- reasoning ----------------------------------------------------------------------------------

@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_reasoning(pair: Pair, streamed: bool) -> None:
    pair.upstream.script(Turn(text="42", reasoning="Six times seven.", reasoning_tokens=3))
    model = pair.named("reasoner")
    if streamed:
        deltas = [c.choices[0].delta for c in ask(pair, model=model, reasoning_effort="high", stream=True) if c.choices]
        thought = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
        text = "".join(d.content or "" for d in deltas)
    else:
        message = ask(pair, model=model, reasoning_effort="high").choices[0].message
        thought, text = message.reasoning_content, message.content
    assert (thought, text) == ("Six times seven.", "42")
    body = sound(pair)
    if pair.kind == "anthropic":
        assert body["thinking"]["type"] == "adaptive" and body["output_config"]["effort"] == "high"
    else:
        assert body["reasoning_effort"] == "high"


def test_reasoning_tokens(pair: Pair) -> None:
    if pair.kind == "openai":
        pair.upstream.script(Turn(text="42", reasoning_tokens=3))
        assert ask(pair).usage.completion_tokens_details.reasoning_tokens == 3


# ---- errors -------------------------------------------------------------------------------------

ERROR_TYPES = {"anthropic": {401: "authentication_error", 403: "permission_error", 400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error", 404: "not_found_error", 413: "request_too_large"}}


@pytest.mark.parametrize(
    ("status", "expected", "statuses"),
    [
        (400, openai.BadRequestError, {400}),
        (401, openai.APIStatusError, {401, 502}),
        (403, openai.APIStatusError, {403, 502}),
        (404, openai.NotFoundError, {404}),
        (429, openai.RateLimitError, {429}),
        (500, openai.InternalServerError, {500, 502}),
        (503, openai.InternalServerError, {503}),
        (529, openai.InternalServerError, {503, 529}),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_upstream_errors_are_typed(pair: Pair, status: int, expected: type[openai.APIStatusError], statuses: set[int], streamed: bool) -> None:
    type_ = ERROR_TYPES.get(pair.kind, {}).get(status, "some_error")
    pair.upstream.script(error(pair.kind, status, "upstream says no", type_, code="why" if pair.kind == "openai" else None))
    with pytest.raises(expected) as caught:
        ask(pair, stream=streamed)
    assert caught.value.status_code in statuses
    assert isinstance(caught.value.body, dict) and caught.value.body["message"], "the OpenAI shape: {error: {message, type, param, code}}"
    assert "upstream says no" in caught.value.message
    if pair.kind == "openai":
        assert caught.value.status_code == status and caught.value.code == "why"


def test_unknown_model_names_the_nearest(sidecar: Sidecar) -> None:
    client = Pair("openai", None, sidecar.app).openai()  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="on-opnai", messages=HI)
    assert "on-openai" in caught.value.message and caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"model":"on-openai","messages":[', "JSON"),
        (b"[]", "object"),
        (b'{"messages":[]}', "model"),
        (b'{"model":7,"messages":[]}', "model"),
        (b'{"model":"on-anthropic","messages":7}', "messages"),
        (b'{"model":"on-anthropic","messages":[{"role":"user","content":7}]}', "messages[0].content"),
        (b'{"model":"on-anthropic","messages":[{"role":"king","content":"x"}]}', "messages[0].role"),
        (b'{"model":"on-openai","model":"on-anthropic","messages":[]}', "model"),
        (b'{"model":"on-openai","Model":"on-anthropic","messages":[]}', "Model"),
        (b'{"model":"on-openai","messages":[]} trailing', "JSON"),
        (b"", ""),
        (b"\xff\xfe", ""),
        (b'{"model":"on-anthropic","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
    ],
    ids=["cut", "array", "no-model", "model-number", "messages-number", "content-number", "role", "duplicate", "case-variant", "trailing", "empty", "bytes", "deep"],
)
def test_malformed_requests(sidecar: Sidecar, upstreams: dict[str, Upstream], http: Any, body: bytes, named: str) -> None:
    answer = http.post(f"{sidecar.app}/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    fault = answer.json()["error"]
    assert fault["type"] == "invalid_request_error" and named.lower() in fault["message"].lower(), fault
    assert upstreams["openai"].requests == upstreams["anthropic"].requests == []


def test_bad_request_is_typed(sidecar: Sidecar) -> None:
    client = Pair("openai", None, sidecar.app).openai()  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="on-anthropic", messages=[{"role": "user", "content": 5}])  # type: ignore[list-item]


def test_retry_after_reaches_the_sdk(pair: Pair) -> None:
    type_ = "rate_limit_error"
    pair.upstream.script(error(pair.kind, 429, "slow down", type_, retry_after="7"))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(pair)
    assert caught.value.response.headers["retry-after"] == "7"


def test_the_sdks_own_retry_gets_through(pair: Pair) -> None:
    pair.upstream.script(error(pair.kind, 429, "slow down", "rate_limit_error"), Turn(text="second try"))
    answer = pair.openai(max_retries=1).chat.completions.create(model=pair.model, messages=HI)
    assert answer.choices[0].message.content == "second try" and len(pair.upstream.requests) == 2


def test_stream_error_in_the_middle(pair: Pair) -> None:
    head = Turn(text="one two three", cut_after=middle(pair))
    pieces = list(_events(pair, head))
    type_ = "overloaded_error" if pair.kind == "anthropic" else "server_error"
    pair.upstream.script(stream([*pieces, stream_error(pair.kind, "no more today", type_)]))
    seen = []
    with pytest.raises(openai.APIError, match="no more today"):
        for chunk in ask(pair, stream=True):
            seen.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
    assert "".join(seen).startswith("one ")


@pytest.mark.parametrize("drop", [False, True], ids=["ended", "dropped"])
def test_truncated_stream_raises(pair: Pair, sidecar: Sidecar, drop: bool) -> None:
    """The SDK itself takes an end without `[DONE]` for a whole answer: outrider must not."""
    pair.upstream.script(Turn(text="one two three", cut_after=middle(pair), drop=drop))
    seen = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in ask(pair, stream=True):
            seen.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
    assert "".join(seen).startswith("one "), "what came before the cut is kept"
    assert not isinstance(caught.value, openai.APIConnectionError), "the end must be an error event in the dialect, not a torn connection"


def _events(pair: Pair, turn: Turn) -> list[bytes]:
    events = openai_events(turn, MODELS[pair.kind], False) if pair.kind == "openai" else anthropic_events(turn, MODELS[pair.kind])
    return events[: turn.cut_after]


def test_early_stream_error_is_a_status(pair: Pair, sidecar: Sidecar) -> None:
    """An error as the first event, under status 200: nothing was sent yet, so it becomes a real status."""
    type_, code = ("rate_limit_error", None) if pair.kind == "anthropic" else ("insufficient_quota", "insufficient_quota")
    pair.upstream.script(stream([stream_error(pair.kind, "quota is gone", type_, code)]))
    with pytest.raises(openai.RateLimitError, match="quota is gone"):
        ask(pair, stream=True)


@pytest.mark.fresh
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("failure", ["status", "close", "early"])
def test_the_next_target_answers(pair: Pair, sidecar: Sidecar, upstreams: dict[str, Upstream], failure: str, streamed: bool) -> None:
    other = upstreams["anthropic" if pair.kind == "openai" else "openai"]
    other.script(Turn(text="from the other"))
    failures = {
        "status": error(pair.kind, 503, "busy", "overloaded_error"),
        "close": Reply(chunked=True, pieces=[Drop()]),
        "early": stream([stream_error(pair.kind, "overloaded", "overloaded_error" if pair.kind == "anthropic" else "server_error")]) if streamed else error(pair.kind, 500, "x", "api_error"),
    }
    pair.upstream.script(failures[failure])
    raw = pair.openai().chat.completions.with_raw_response.create(model=pair.named("first"), messages=HI, stream=streamed)
    assert raw.headers["x-outrider-attempts"] == "2" and raw.headers["x-outrider-target"] == f"{other.kind}/{MODELS[other.kind]}"
    answer = raw.parse()
    text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices) if streamed else answer.choices[0].message.content
    assert text == "from the other"


def test_an_answer_that_is_no_answer(pair: Pair, sidecar: Sidecar) -> None:
    for reply in (Reply(headers={"content-type": "text/html"}, pieces=[b"<html>hi</html>"]), Reply(pieces=[b"{oops"]), Reply(pieces=[b""])):
        pair.upstream.script(reply)
        with pytest.raises(openai.InternalServerError) as caught:
            ask(pair)
        assert caught.value.status_code == 502 and caught.value.body["message"]


# ---- time and cancelling ------------------------------------------------------------------------

def test_the_clients_own_timeout_reaches_the_upstream(pair: Pair) -> None:
    pair.upstream.script(Reply(chunked=True, pieces=[pair.upstream.gate()]))
    with pytest.raises(openai.APITimeoutError):
        pair.openai(timeout=0.3).chat.completions.create(model=pair.model, messages=HI)
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


def test_closing_a_stream_reaches_the_upstream(pair: Pair) -> None:
    pair.upstream.script(Turn(text="one two three", between={middle(pair): [pair.upstream.gate()]}))
    client = pair.openai()
    s = client.chat.completions.create(model=pair.model, messages=HI, stream=True)
    next(iter(s))
    s.close()
    client.close()
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_no_first_token(pair: Pair, sidecar: Sidecar, streamed: bool) -> None:
    pair.upstream.script(Reply(chunked=True, pieces=[pair.upstream.gate()]))
    with pytest.raises(openai.APIStatusError) as caught:
        ask(pair, model=pair.named("short"), stream=streamed)
    assert caught.value.status_code in (504, 408) and caught.value.body["message"]
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


def test_a_stall_in_the_middle(pair: Pair, sidecar: Sidecar) -> None:
    pair.upstream.script(Turn(text="one two three", between={middle(pair): [pair.upstream.gate()]}))
    seen = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in ask(pair, model=pair.named("short"), stream=True):
            seen.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
    assert "".join(seen).startswith("one ") and not isinstance(caught.value, openai.APIConnectionError)
    wait_until(pair.upstream.last.gone.is_set, 1, "the cancelling of the upstream call")


def test_nobody_listens(start: Any) -> None:
    sidecar = start(text='[listen]\napp = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[providers.openai]\nkind = "openai"\napi_key = "sk-nobody"\nbase_url = "http://127.0.0.1:1/v1"\n')
    with pytest.raises(openai.InternalServerError) as caught:
        Pair("openai", None, sidecar.app).openai().chat.completions.create(model="openai/gpt-4.1", messages=HI)  # type: ignore[arg-type]
    assert caught.value.status_code in (502, 503)


# ---- the other endpoints ------------------------------------------------------------------------

@pytest.mark.parametrize("format_", [None, "float", "base64"])
def test_embeddings(upstreams: dict[str, Upstream], sidecar: Sidecar, format_: str | None) -> None:
    client = Pair("openai", upstreams["openai"], sidecar.app).openai()
    options = {"encoding_format": format_} if format_ else {}
    answer = client.embeddings.create(model="embedder", input=["a", "b"], **options)
    if format_ == "base64":
        assert isinstance(answer.data[0].embedding, str)
    else:
        assert [d.embedding for d in answer.data] == [[0.5, -0.25, 0.0], [0.5, -0.25, 1.0]]
    assert answer.usage.prompt_tokens == 5
    assert upstreams["openai"].last.json["model"] == "text-embedding-3-small" and upstreams["openai"].last.path == "/v1/embeddings"


def test_embeddings_where_there_are_none(sidecar: Sidecar, upstreams: dict[str, Upstream]) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        Pair("openai", upstreams["openai"], sidecar.app).openai().embeddings.create(model="on-anthropic", input="a")
    assert caught.value.status_code in (400, 404, 501) and caught.value.body["message"] and upstreams["anthropic"].requests == []


def test_models(sidecar: Sidecar) -> None:
    client = Pair("openai", None, sidecar.app).openai()  # type: ignore[arg-type]
    listed = list(client.models.list())
    assert {"on-openai", "on-anthropic", "embedder"} <= {m.id for m in listed}
    assert all(m.object == "model" and isinstance(m.created, int) and m.owned_by for m in listed)
    assert client.models.retrieve("on-openai").id == "on-openai"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")


# ---- many at once -------------------------------------------------------------------------------

def test_many_streams_are_not_mixed(pair: Pair) -> None:
    def echo(request: Received) -> Turn:
        content = request.json["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        return Turn(text=" ".join([text] * 20))

    pair.upstream.default(echo)

    async def one(client: openai.AsyncOpenAI, n: int) -> tuple[int, str]:
        s = await client.chat.completions.create(model=pair.model, messages=[{"role": "user", "content": f"nr-{n}"}], stream=True)
        return n, "".join([c.choices[0].delta.content or "" async for c in s if c.choices])

    async def go() -> list[tuple[int, str]]:
        async with pair.async_openai(timeout=30) as client:
            return await asyncio.gather(*(one(client, n) for n in range(50)))

    for n, text in asyncio.run(go()):
        assert text == " ".join([f"nr-{n}"] * 20)
