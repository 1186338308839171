"""Recorded traffic of OpenAI and Anthropic through the real binary, judged by the vendors' own SDK types.

Same dialect: the upstream gets exactly the bytes sent, the client exactly the bytes recorded. Other dialect: the
upstream's request is one its vendor would take with every text in it, the client's answer is one its SDK reads with
every fact in it. The recordings are not part of the repository: `OUTRIDER_CORPUS`, or `../shared/traffic` beside the
package; without them all of this is skipped.
"""

from __future__ import annotations

import base64
import collections
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pydantic
import pytest
import shapes
from anthropic import NOT_GIVEN
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from conftest import PACKAGE, Sidecar, config, need_binary
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from test_anthropic import check_grammar
from upstream import Received, Reply, Upstream

CORPUS = Path(os.environ.get("OUTRIDER_CORPUS", PACKAGE.parent / "shared/traffic"))
APIS = {"openai": ("chat.completions", "embeddings"), "anthropic": ("messages", "messages.count_tokens")}
OTHER = {"openai": "anthropic", "anthropic": "openai"}
CHAT = {"openai": "chat.completions", "anthropic": "messages"}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
PIECE_BYTES = 997

pytestmark = pytest.mark.skipif(not (CORPUS / "given").is_dir(), reason=f"NO RECORDED TRAFFIC at {CORPUS}: nothing was checked (set OUTRIDER_CORPUS)")


# ---- the recordings -----------------------------------------------------------------------------

@dataclass
class Exchange:
    id: str
    kind: str
    api: str
    stream: bool
    tags: list[str]
    path: str
    request: dict[str, Any] | None
    headers: dict[str, str]
    status: int
    content_type: str
    answer: bytes

    @property
    def is_chat(self) -> bool:
        return self.api == CHAT[self.kind]

    def ends(self) -> bool:
        """Whether a streamed answer has its dialect's end mark and no error."""
        mark = b"[DONE]" if self.kind == "openai" else b"message_stop"
        return mark in self.answer and b"event: error" not in self.answer and b'data: {"error"' not in self.answer

    def reply(self) -> Reply:
        whole = not self.stream or self.status != 200
        pieces = [self.answer] if whole else [self.answer[i : i + PIECE_BYTES] for i in range(0, len(self.answer), PIECE_BYTES)]
        return Reply(self.status, {"content-type": self.content_type}, list(pieces), chunked=not whole)


def load() -> list[Exchange]:
    out = []
    for folder in ("given", "extras/errors"):
        for file in sorted((CORPUS / folder).glob("*.json")):
            data = json.loads(file.read_text())
            if "response" not in data or data.get("provider") not in APIS or data.get("api") not in APIS[data["provider"]]:
                continue
            response = data["response"]
            if "body_text" in response:
                answer = response["body_text"].encode()
            elif "body_base64" in response:
                answer = base64.b64decode(response["body_base64"])
            else:
                answer = json.dumps(response.get("body"), ensure_ascii=False).encode()
            request = (data.get("request") or {}).get("body") if "response_only" not in data["tags"] else None
            stream = bool(data["stream"]) and response["status"] == 200
            type_ = (response.get("headers") or {}).get("content-type") or ("text/event-stream" if stream else "application/json")
            headers = {k: v for k, v in ((data.get("request") or {}).get("headers") or {}).items() if k.lower() in ("anthropic-version", "anthropic-beta", "content-type")}
            path = (data.get("request") or {}).get("path") or PATHS[data["provider"]]
            out.append(Exchange(data["id"], data["provider"], data["api"], stream, data["tags"], path, request if isinstance(request, dict) else None, headers, response["status"], type_, answer))
    return out


EXCHANGES = load() if (CORPUS / "given").is_dir() else []


def of(kind: str, **conditions: Any) -> list[Exchange]:
    return [e for e in EXCHANGES if e.kind == kind and all(getattr(e, k) == v for k, v in conditions.items())]


@dataclass
class Tally:
    checked: int = 0
    exact: int = 0
    translated: int = 0
    refused: int = 0
    failed: int = 0
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)


TALLY = Tally()


@pytest.fixture(scope="module", autouse=True)
def report(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    t = TALLY
    writer = request.config.pluginmanager.getplugin("terminalreporter")
    if t.checked == 0 or writer is None:
        return
    writer.ensure_newline()
    writer.write_line(f"corpus: checked {t.checked} exact {t.exact} translated {t.translated} refused {t.refused} failed {t.failed}")
    for reason, count in t.reasons.most_common():
        writer.write_line(f"corpus: {count:4} {reason}")


# ---- facts --------------------------------------------------------------------------------------

@dataclass
class Facts:
    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = ""
    usage: tuple[int, int, int] | None = None
    """Input with the cached ones, cached, output."""
    refused: bool = False


FINISHES = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length", "tool_use": "tool_calls", "refusal": "content_filter", "function_call": "tool_calls"}


def sse_frames(data: bytes) -> list[tuple[str | None, str]]:
    frames = []
    for block in data.decode().replace("\r\n", "\n").split("\n\n"):
        event, lines = None, []
        for line in block.split("\n"):
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                lines.append(line[5:].removeprefix(" "))
        if lines:
            frames.append((event, "\n".join(lines)))
    return frames


def arguments(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def openai_facts(data: bytes, stream: bool, ours: bool) -> Facts:
    """Reads an answer by the SDK's types; strictly where it is ours."""
    usage: Any = None
    if stream:
        state: Any = ChatCompletionStreamState()
        frames = sse_frames(data)
        if ours:
            assert frames[-1][1] == "[DONE]", f"the last frame is {frames[-1]}"
            assert not any(e for e, _ in frames), "OpenAI streams have no event names"
        reasoning = ""
        for _, text in frames:
            if text.startswith("[DONE]"):
                break
            value = json.loads(text)
            chunk = ChatCompletionChunk.model_validate(value) if ours else ChatCompletionChunk.construct(**value)
            usage = chunk.usage or usage
            state.handle_chunk(chunk)
            reasoning += "".join(getattr(c.delta, "reasoning_content", None) or "" for c in chunk.choices)
        answer = state.current_completion_snapshot
    else:
        value = json.loads(data)
        answer = ChatCompletion.model_validate(value) if ours else ChatCompletion.construct(**value)
        reasoning = getattr(answer.choices[0].message, "reasoning_content", None) or ""
        usage = answer.usage
    message = answer.choices[0].message
    facts = Facts(text=(message.content or "") + (message.refusal or ""), reasoning=reasoning, refused=bool(message.refusal))
    for call in message.tool_calls or []:
        if call.type == "custom":
            facts.calls.append((call.custom.name, {"input": call.custom.input}))
        else:
            facts.calls.append((call.function.name, arguments(call.function.arguments)))
    if getattr(message, "function_call", None):
        facts.calls.append((message.function_call.name, arguments(message.function_call.arguments)))
    facts.finish = answer.choices[0].finish_reason or ""
    if usage is not None:
        cached = (usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0) or 0
        facts.usage = (usage.prompt_tokens, cached, usage.completion_tokens)
        if ours:
            assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return settle(facts)


EVENTS: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RawMessageStreamEvent)


def anthropic_facts(data: bytes, stream: bool, ours: bool) -> Facts:
    answer = anthropic_strictly(data, stream) if ours else anthropic_loosely(data, stream)
    facts = Facts(finish=answer["stop_reason"] or "")
    for block in answer["content"]:
        if block["type"] == "text":
            facts.text += block["text"]
        elif block["type"] == "thinking":
            facts.reasoning += block["thinking"]
        elif block["type"] == "tool_use":
            facts.calls.append((block["name"], block["input"]))
    counted = [answer["usage"]]
    # What Anthropic bills beside the counters: a sum over the iterations tells it, which other dialects have no room for.
    if not ours:
        counted += [each for each in answer["usage"].get("iterations") or [] if each["type"] in ("compaction", "advisor_message")]
    usage = {k: sum(each.get(k) or 0 for each in counted) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")}
    total = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    facts.usage = (total, usage["cache_read_input_tokens"], usage["output_tokens"])
    return settle(facts)


def anthropic_strictly(data: bytes, stream: bool) -> dict[str, Any]:
    """By the SDK's types and its own accumulator, and by the grammar of the stream."""
    if not stream:
        return Message.model_validate(json.loads(data)).model_dump()
    answer: Any = None
    seen = []
    buffers: dict[int, bytes] = {}
    for event, text in sse_frames(data):
        value = json.loads(text)
        assert event == value["type"], f"event: {event} does not name {value['type']}"
        if value["type"] == "ping":
            continue
        seen.append(EVENTS.validate_python(value))
        answer = accumulate_event(event=seen[-1], current_snapshot=answer, json_bufs=buffers, output_format=NOT_GIVEN)  # type: ignore[arg-type]
    check_grammar(seen)
    return dict(answer.model_dump(warnings=False))


def anthropic_loosely(data: bytes, stream: bool) -> dict[str, Any]:
    """Recordings hold beta blocks that the SDK's types do not name: plain objects then."""
    if not stream:
        return dict(json.loads(data))
    answer: dict[str, Any] = {"content": {}}
    for _, text in sse_frames(data):
        value = json.loads(text)
        if value["type"] == "message_start":
            answer.update(usage=value["message"]["usage"], stop_reason=None)
        elif value["type"] == "content_block_start":
            answer["content"][value["index"]] = {**value["content_block"], "json": ""}
        elif value["type"] == "content_block_delta":
            block, delta = answer["content"][value["index"]], value["delta"]
            for key, member in (("text", "text"), ("thinking", "thinking"), ("partial_json", "json")):
                if key in delta:
                    block[member] = block.get(member, "") + (delta[key] or "")
        elif value["type"] == "message_delta":
            answer["stop_reason"] = value["delta"].get("stop_reason")
            answer["usage"].update({k: v for k, v in (value.get("usage") or {}).items() if v is not None})
    blocks = [answer["content"][i] for i in sorted(answer["content"])]
    for block in blocks:
        if block["type"] == "tool_use" and block["json"]:
            block["input"] = json.loads(block["json"])
    return {**answer, "content": blocks}


def settle(facts: Facts) -> Facts:
    facts.finish = FINISHES.get(facts.finish, facts.finish)
    if facts.calls and facts.finish == "stop":
        facts.finish = "tool_calls"  # OpenAI says `stop` after a forced call; what the caller must do is the same
    return facts


READERS: dict[str, Callable[[bytes, bool, bool], Facts]] = {"openai": openai_facts, "anthropic": anthropic_facts}


def differences(there: Facts, here: Facts, usage_told: bool) -> list[str]:
    """What of the upstream's answer is not in the client's."""
    out = []
    if there.text != here.text:
        out.append(f"text: {there.text[:80]!r} became {here.text[:80]!r}")
    if there.reasoning and there.reasoning != here.reasoning:
        out.append(f"reasoning: {there.reasoning[:80]!r} became {here.reasoning[:80]!r}")
    if there.calls != here.calls:
        out.append(f"calls: {str(there.calls)[:200]} became {str(here.calls)[:200]}")
    same = there.finish == here.finish or (there.refused and here.finish in ("stop", "content_filter")) or there.finish in ("", "pause_turn")
    if not same:
        out.append(f"finish: {there.finish} became {here.finish}")
    if usage_told and there.usage is not None and there.usage != here.usage:
        out.append(f"usage (input, cached, output): {there.usage} became {here.usage}")
    return out


def texts(kind: str, body: dict[str, Any]) -> list[str]:
    """Every text that the model was meant to read, thinking aside."""
    out: list[str] = []

    def of_content(content: Any) -> None:
        if isinstance(content, str):
            out.append(content)
        for part in content if isinstance(content, list) else []:
            if part.get("type") in ("text", "input_text", "output_text"):
                out.append(part.get("text", ""))
            elif part.get("type") == "refusal":
                out.append(part.get("refusal", ""))
            elif part.get("type") == "tool_result":
                of_content(part.get("content"))
            elif part.get("type") == "document" and isinstance(part.get("source"), dict) and part["source"].get("type") == "text":
                out.append(part["source"].get("data", ""))

    if kind == "anthropic":
        of_content(body.get("system"))
    for message in body.get("messages", []):
        of_content(message.get("content"))
    return [t for t in out if t.strip()]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


def lost_texts(kind: str, sent: dict[str, Any], received: dict[str, Any]) -> list[str]:
    everything = "\n".join(strings(received))
    return [t for t in texts(kind, sent) if t.strip() not in everything]


def calls_asked(kind: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """The tool calls in the history, in order."""
    out: list[tuple[str, Any]] = []
    for message in body.get("messages", []):
        if message.get("role") != "assistant":
            continue
        if kind == "openai":
            out += [(c["id"], arguments(c["function"]["arguments"])) for c in message.get("tool_calls") or [] if "function" in c]
        elif isinstance(message.get("content"), list):
            out += [(b["id"], b["input"]) for b in message["content"] if b.get("type") == "tool_use"]
    return out


# ---- the two sidecars ---------------------------------------------------------------------------

@dataclass
class Side:
    kind: str
    upstream: Upstream
    sidecar: Sidecar
    http: httpx.Client

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return self.http.post(f"{self.sidecar.app}{path}", content=body, headers={"content-type": "application/json", **headers})


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    """One sidecar for each vendor, whose only provider claims every name: so a recorded model name stays as it is."""
    need_binary()
    out = {}
    for kind in APIS:
        upstream = Upstream(kind)
        sidecar = Sidecar(tmp_path_factory.mktemp(f"corpus-{kind}"), config({kind: upstream}, claims={kind: ["*"]}))
        out[kind] = Side(kind, upstream, sidecar, httpx.Client(timeout=20, trust_env=False))
    yield out
    for side in out.values():
        side.http.close()
        side.sidecar.stop()
        side.upstream.stop()


def settle_faults(faults: list[str]) -> None:
    TALLY.failed += len({f.split(": ", 1)[0] for f in faults})
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:25])


# ---- checks -------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", list(APIS))
def test_the_checks_take_the_recordings(kind: str) -> None:
    """What the vendor took, our reading of its rules must take too; what it said, our readers must read."""
    for exchange in of(kind, status=200):
        if exchange.is_chat and exchange.answer and (not exchange.stream or exchange.ends()):
            facts = READERS[kind](exchange.answer, exchange.stream, False)
            assert facts.finish or b"finish_details" in exchange.answer, exchange.id


@pytest.mark.parametrize("kind", list(APIS))
def test_same_dialect_is_exact(sides: dict[str, Side], kind: str) -> None:
    side, faults = sides[kind], []
    for exchange in of(kind):
        if exchange.request is None:
            continue
        TALLY.checked += 1
        body = json.dumps(exchange.request, ensure_ascii=False).encode()
        side.upstream.reset()
        side.upstream.default(exchange.reply())
        try:
            answer = side.post(exchange.path, body, exchange.headers)
        except httpx.HTTPError as error:
            faults.append(f"{exchange.id}: {error!r}")
            continue
        found = []
        if answer.status_code != exchange.status:
            found.append(f"{exchange.id}: status {answer.status_code}, recorded {exchange.status}: {answer.text[:200]}")
        elif answer.content != exchange.answer and not (exchange.stream and not exchange.ends() and answer.content.startswith(exchange.answer)):
            at = next((i for i, (a, b) in enumerate(zip(answer.content, exchange.answer, strict=False)) if a != b), min(len(answer.content), len(exchange.answer)))
            found.append(f"{exchange.id}: answer differs at byte {at} of {len(exchange.answer)} ({len(answer.content)} came): {answer.content[max(0, at - 40) : at + 60]!r}, recorded {exchange.answer[max(0, at - 40) : at + 60]!r}")
        if not side.upstream.requests:
            found.append(f"{exchange.id}: nothing reached the upstream: {answer.status_code} {answer.text[:200]}")
        else:
            received = side.upstream.requests[0]
            if received.body != body and not only_usage_was_added(exchange.request, received):
                found.append(f"{exchange.id}: the request was changed: {received.body[:300]!r}")
            if received.target != exchange.path:
                found.append(f"{exchange.id}: asked for {received.target}, sent {exchange.path}")
        faults += found
        TALLY.exact += not found
    settle_faults(faults)


def only_usage_was_added(sent: dict[str, Any], received: Received) -> bool:
    """A stream that did not ask for usage is metered by asking for it: the one change that is allowed."""
    options = sent.get("stream_options") or {}
    if not sent.get("stream") or "messages" not in sent or options.get("include_usage"):
        return False
    return bool(received.json == {**sent, "stream_options": {**options, "include_usage": True}})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", list(APIS))
def test_other_dialect_keeps_the_facts(sides: dict[str, Side], kind: str, stream: bool) -> None:
    """`kind` is what the client speaks."""
    other = OTHER[kind]
    side, faults = sides[other], []
    answers = [e for e in of(other, status=200, stream=stream) if e.is_chat and e.request and (not stream or e.ends()) and b'"index": 1, "message"' not in e.answer]
    requests = [e for e in of(kind) if e.is_chat and e.request is not None and bool(e.request.get("stream")) == stream]
    # Each request once, and each answer at least once.
    count = max(len(answers), len(requests))
    for exchange, source in itertools.islice(zip(itertools.cycle(requests), itertools.cycle(answers)), count):
        assert exchange.request is not None and source.request is not None
        TALLY.checked += 1
        sent = {**exchange.request, "model": source.request["model"]}
        label = f"{exchange.id} + {source.id}"
        side.upstream.reset()
        side.upstream.default(source.reply())
        try:
            answer = side.post(PATHS[kind], json.dumps(sent, ensure_ascii=False).encode(), exchange.headers)
        except httpx.HTTPError as error:
            faults.append(f"{label}: {error!r}")
            continue
        if answer.status_code == 400:
            TALLY.refused += 1
            TALLY.reasons[refusal(kind, answer)] += 1
            if side.upstream.requests:
                faults.append(f"{label}: refused with 400, yet the upstream was asked")
            continue
        if answer.status_code != 200:
            faults.append(f"{label}: {answer.status_code} {answer.text[:300]}")
            continue
        found = []
        if exchange.status == 200:
            received = side.upstream.last.json
            found += [f"{label}: upstream request: {f}" for f in shapes.check_request(other, received)]
            found += [f"{label}: lost text {t[:80]!r}" for t in lost_texts(kind, sent, received)[:3]]
            if received.get("model") != sent["model"]:
                found.append(f"{label}: model {received.get('model')}")
            if bool(received.get("stream")) != stream:
                found.append(f"{label}: stream is {received.get('stream')}")
            if [a for _, a in calls_asked(kind, sent)] != [a for _, a in calls_asked(other, received)]:
                found.append(f"{label}: calls in the history {str(calls_asked(kind, sent))[:200]} became {str(calls_asked(other, received))[:200]}")
        try:
            here = READERS[kind](answer.content, stream, True)
            there = READERS[other](source.answer, stream, False)
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises is the finding
            faults.append(f"{label}: the SDK cannot read the answer: {type(error).__name__} {str(error)[:300]}")
            continue
        told = not (kind == "openai" and stream and not (sent.get("stream_options") or {}).get("include_usage"))
        if told and here.usage is None and there.usage is not None:
            found.append(f"{label}: no usage")
        found += [f"{label}: {d}" for d in differences(there, here, told)]
        faults += found
        TALLY.translated += not found
    settle_faults(faults)


def refusal(kind: str, answer: httpx.Response) -> str:
    fault = answer.json()["error"]
    where = fault.get("param") or ""
    text = fault["message"]
    return f"{kind}: {where or ''} {text[:110]}".replace("\n", " ")


@pytest.mark.parametrize("kind", list(APIS))
def test_errors_in_the_other_dialect(sides: dict[str, Side], kind: str) -> None:
    """Recorded error answers of the other vendor, as the client of `kind` sees them."""
    other = OTHER[kind]
    side, faults = sides[other], []
    body = json.dumps({"model": "some-model", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}).encode()
    for source in of(other):
        if source.status == 200 or not source.is_chat:
            continue
        TALLY.checked += 1
        side.upstream.reset()
        side.upstream.default(source.reply())
        answer = side.post(PATHS[kind], body, {})
        try:
            try:
                theirs = json.loads(source.answer)["error"]
            except ValueError:  # a page of some proxy: its text is the message
                theirs = {"message": source.answer.decode()[:40].split("\n")[0].strip()}
            ours = answer.json()
            fault = ours["error"]
            assert answer.status_code // 100 == source.status // 100 or (source.status in (401, 403) and answer.status_code == 502), f"status {source.status} became {answer.status_code}"
            bill = kind == "anthropic" and theirs.get("code") == "insufficient_quota" and answer.status_code == 402
            assert bill or source.status not in (400, 404, 429) or answer.status_code == source.status, f"status {source.status} became {answer.status_code}"
            assert theirs["message"] in fault["message"], f"message {fault['message']!r} lacks {theirs['message']!r}"
            assert kind == "openai" or (ours["type"] == "error" and fault["type"]), "not Anthropic's shape"
            assert kind == "anthropic" or {"message", "type", "param", "code"} <= fault.keys(), "not OpenAI's shape"
        except (AssertionError, KeyError, ValueError, TypeError) as error:
            faults.append(f"{source.id}: {error!r} in {answer.status_code} {answer.text[:200]}")
            continue
        TALLY.translated += 1
    settle_faults(faults)


def test_embeddings_by_type(sides: dict[str, Side]) -> None:
    side = sides["openai"]
    for exchange in of("openai", api="embeddings", status=200):
        if exchange.request is None or exchange.request.get("encoding_format") == "base64":
            continue
        side.upstream.reset()
        side.upstream.default(exchange.reply())
        answer = side.post("/v1/embeddings", json.dumps(exchange.request).encode(), {})
        assert answer.status_code == 200
        CreateEmbeddingResponse.model_validate(answer.json())
