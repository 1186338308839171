"""A scripted upstream: HTTP/1.1 on loopback that speaks one of the vendors' dialects (`dialects.py` has the newer ones).

A test tells it what to answer (`script`, `default`), then looks at what it received (`requests`). What to answer is a
`Turn` (rendered in the upstream's own dialect, whole or streamed as the request asks), a `Reply` (bytes and pauses,
as they are), or a function of the request that returns one of them. Standard library only, so that nothing between
the test and the wire repairs a mistake.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import json
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Union

import dialects

HOLD_SECONDS_MAX = 20.0


# ---- what was received --------------------------------------------------------------------------

@dataclass
class Received:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when the peer closed before the answer was whole."""
    gone_at: float = 0.0

    @property
    def path(self) -> str:
        return self.target.split("?", 1)[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        return ", ".join(values) if values else None


# ---- what to answer -----------------------------------------------------------------------------

class Gate:
    """A pause that ends when the test opens it, the peer goes, or HOLD_SECONDS_MAX is over."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def open(self) -> None:
        self.event.set()


class Drop:
    """Closes the connection here, in the middle of whatever was being said."""


Piece = Union[bytes, Gate, Drop]


@dataclass
class Reply:
    """An answer as it goes over the wire. One piece of bytes is sent with a length, more as chunks."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    pieces: list[Piece] = field(default_factory=list)
    chunked: bool = False


@dataclass
class Call:
    id: str
    name: str
    arguments: str


@dataclass
class Turn:
    """What a model says, free of any dialect."""

    text: str = ""
    words: list[str] | None = None
    """The text in the pieces that a stream sends; by default split after spaces."""
    reasoning: str = ""
    signature: str = "c2lnbmF0dXJlLW9mLXRoaW5raW5n"
    calls: list[Call] = field(default_factory=list)
    finish: str = ""
    """OpenAI's word (`stop`, `length`, `tool_calls`, `content_filter`); by default what the calls imply."""
    stop_sequence: str | None = None
    input_tokens: int = 17
    """Without the cached ones."""
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 9
    reasoning_tokens: int = 0
    between: dict[int, list[Piece]] = field(default_factory=dict)
    """Pieces put before the n-th event of a stream."""
    cut_after: int | None = None
    """Ends the stream after so many events."""
    drop: bool = False
    """With `cut_after`: drop the connection instead of ending the body."""

    def reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    def pieces_of_text(self) -> list[str]:
        if self.words is not None:
            return self.words
        return [w for w in self.text.replace(" ", " \0").split("\0") if w]


def error(kind: str, status: int, message: str, type_: str, code: str | None = None, **headers: str) -> Reply:
    """A vendor's error answer."""
    if kind in dialects.ERRORS:
        body, more = dialects.ERRORS[kind](status, message)
        headers = {**more, **headers}
    elif kind == "openai":
        body = {"error": {"message": message, "type": type_, "param": None, "code": code}}
    else:
        body = {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_upstream_1"}
    head = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Reply(status, head, [json.dumps(body).encode()])


def stream_error(kind: str, message: str, type_: str, code: str | None = None) -> bytes:
    """The frame by which a vendor breaks off a stream."""
    if kind == "openai":
        return sse({"error": {"message": message, "type": type_, "param": None, "code": code}})
    return sse({"type": "error", "error": {"type": type_, "message": message}}, event="error")


def sse(data: Any, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def stream(pieces: Iterable[Piece], status: int = 200, **headers: str) -> Reply:
    """Pieces as an event stream."""
    return Reply(status, {"content-type": "text/event-stream", **headers}, list(pieces), chunked=True)


Answer = Union[Turn, Reply, Callable[[Received], "Answer"]]


# ---- OpenAI Chat Completions --------------------------------------------------------------------

def openai_usage(turn: Turn) -> dict[str, Any]:
    prompt = turn.input_tokens + turn.cached_tokens + turn.written_tokens
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": turn.output_tokens, "total_tokens": prompt + turn.output_tokens}
    usage["prompt_tokens_details"] = {"cached_tokens": turn.cached_tokens, "audio_tokens": 0}
    usage["completion_tokens_details"] = {"reasoning_tokens": turn.reasoning_tokens}
    return usage


def openai_whole(turn: Turn, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text if turn.text or not turn.calls else None, "refusal": None}
    if turn.reasoning:
        message["reasoning_content"] = turn.reasoning
    if turn.calls:
        message["tool_calls"] = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in turn.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": turn.reason()}
    return {"id": "chatcmpl-up1", "object": "chat.completion", "created": 1790000000, "model": model, "choices": [choice], "usage": openai_usage(turn), "system_fingerprint": "fp_1"}


def openai_events(turn: Turn, model: str, with_usage: bool) -> list[bytes]:
    def chunk(delta: dict[str, Any] | None, finish: str | None = None, **extra: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        body = {"id": "chatcmpl-up1", "object": "chat.completion.chunk", "created": 1790000000, "model": model, "choices": choices}
        if with_usage:
            body["usage"] = None
        return sse({**body, **extra})

    out = [chunk({"role": "assistant", "content": ""})]
    if turn.reasoning:
        out += [chunk({"reasoning_content": w}) for w in split(turn.reasoning, 8)]
    out += [chunk({"content": w}) for w in turn.pieces_of_text()]
    starts = [chunk({"tool_calls": [{"index": i, "id": c.id, "type": "function", "function": {"name": c.name, "arguments": ""}}]}) for i, c in enumerate(turn.calls)]
    for i, call in enumerate(turn.calls):
        out.append(starts[i])
        out += [chunk({"tool_calls": [{"index": i, "function": {"arguments": a}}]}) for a in split(call.arguments, 5)]
    out.append(chunk({}, turn.reason()))
    if with_usage:
        out.append(chunk(None, usage=openai_usage(turn)))
    return [*out, b"data: [DONE]\n\n"]


# ---- Anthropic Messages -------------------------------------------------------------------------

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def anthropic_stop(turn: Turn) -> dict[str, Any]:
    reason = "stop_sequence" if turn.stop_sequence else STOP_REASONS[turn.reason()]
    return {"stop_reason": reason, "stop_sequence": turn.stop_sequence}


def anthropic_usage(turn: Turn, output: int | None = None) -> dict[str, Any]:
    usage: dict[str, Any] = {"input_tokens": turn.input_tokens, "cache_creation_input_tokens": turn.written_tokens, "cache_read_input_tokens": turn.cached_tokens}
    usage["output_tokens"] = turn.output_tokens if output is None else output
    return usage


def anthropic_blocks(turn: Turn) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if turn.reasoning:
        blocks.append({"type": "thinking", "thinking": turn.reasoning, "signature": turn.signature})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    return blocks + [{"type": "tool_use", "id": c.id, "name": c.name, "input": json.loads(c.arguments or "{}")} for c in turn.calls]


def anthropic_whole(turn: Turn, model: str) -> dict[str, Any]:
    head = {"id": "msg_up1", "type": "message", "role": "assistant", "model": model, "content": anthropic_blocks(turn)}
    return {**head, **anthropic_stop(turn), "usage": anthropic_usage(turn)}


def anthropic_events(turn: Turn, model: str) -> list[bytes]:
    def event(kind: str, **members: Any) -> bytes:
        return sse({"type": kind, **members}, event=kind)

    message = {"id": "msg_up1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None, "stop_sequence": None}
    out = [event("message_start", message={**message, "usage": anthropic_usage(turn, 1)}), event("ping")]
    index = 0

    def block(start: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        nonlocal index
        out.append(event("content_block_start", index=index, content_block=start))
        out.extend(event("content_block_delta", index=index, delta=d) for d in deltas)
        out.append(event("content_block_stop", index=index))
        index += 1

    if turn.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": w} for w in split(turn.reasoning, 8)]
        block({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, {"type": "signature_delta", "signature": turn.signature}])
    if turn.text:
        block({"type": "text", "text": ""}, [{"type": "text_delta", "text": w} for w in turn.pieces_of_text()])
    for call in turn.calls:
        deltas = [{"type": "input_json_delta", "partial_json": a} for a in ["", *split(call.arguments, 5)]]
        block({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas)
    out.append(event("message_delta", delta=anthropic_stop(turn), usage=anthropic_usage(turn)))
    return [*out, event("message_stop")]


def split(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


# ---- the server ---------------------------------------------------------------------------------

class Upstream:
    """One upstream of one kind, in a thread of its own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lock = threading.Lock()
        self.loop = asyncio.new_event_loop()
        self.server: asyncio.AbstractServer | None = None
        self.connections = 0
        self.reset()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        if not ready.wait(10) or self.server is None:
            raise RuntimeError("the scripted upstream did not start")

    # -- told by the test

    def reset(self) -> None:
        """Forgets scripts and requests. Answers under way belong to the test before: their gates open."""
        with self.lock:
            for gate in getattr(self, "gates", []):
                gate.open()
            self.gates: list[Gate] = []
            self.queue: collections.deque[Answer] = collections.deque()
            self.fallback: Answer = Turn(text="Hello there, friend.")
            self.received: list[Received] = []

    def script(self, *answers: Answer) -> None:
        """What to answer next, in order; then the default again."""
        with self.lock:
            self.queue.extend(answers)

    def default(self, answer: Answer) -> None:
        with self.lock:
            self.fallback = answer

    def gate(self) -> Gate:
        gate = Gate()
        with self.lock:
            self.gates.append(gate)
        return gate

    @property
    def requests(self) -> list[Received]:
        with self.lock:
            return list(self.received)

    @property
    def last(self) -> Received:
        requests = self.requests
        assert requests, "the upstream received nothing"
        return requests[-1]

    def wait_for_requests(self, count: int, seconds: float = 5.0) -> list[Received]:
        end = time.monotonic() + seconds
        while len(self.requests) < count and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.requests) >= count, f"the upstream received {len(self.requests)} requests, {count} expected"
        return self.requests

    def stop(self) -> None:
        self.reset()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    # -- the inside

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, backlog=512))
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        ready.set()
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await self._read(reader)) is not None:
                with self.lock:
                    self.received.append(request)
                    answer = self.queue.popleft() if self.queue else self.fallback
                if not await self._answer(request, answer, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _version = first.split(" ", 2)
        headers = [(k, v.strip()) for k, _, v in (line.partition(":") for line in lines)]
        known = {k.lower(): v for k, v in headers}
        if known.get("expect", "").lower() == "100-continue":
            raise ConnectionError("100-continue is not spoken here")
        if "chunked" in known.get("transfer-encoding", "").lower():
            body = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(known.get("content-length", "0")))
        return Received(method, target, headers, body)

    async def _answer(self, request: Received, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Says the answer; whether the connection may be used again."""
        while callable(answer):
            answer = answer(request)
        reply = render(self.kind, request, answer) if isinstance(answer, Turn) else answer
        monitor = Peer(reader, request)
        try:
            whole = not reply.chunked and len(reply.pieces) <= 1 and all(isinstance(p, bytes) for p in reply.pieces)
            head = [f"HTTP/1.1 {reply.status} Scripted"] + [f"{k}: {v}" for k, v in reply.headers.items()]
            if whole:
                body = reply.pieces[0] if reply.pieces else b""
                assert isinstance(body, bytes)
                writer.write("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body)
                await writer.drain()
                return not reader.at_eof()
            started = False

            def start() -> bytes:
                return "\r\n".join([*head, "transfer-encoding: chunked", "", ""]).encode()

            for piece in reply.pieces:
                if monitor.left():
                    return False
                if isinstance(piece, Gate):
                    if not await monitor.wait(piece.event):
                        return False
                    continue
                if isinstance(piece, Drop):
                    writer.transport.abort()
                    return False
                writer.write((b"" if started else start()) + b"%x\r\n%s\r\n" % (len(piece), piece))
                started = True
                await writer.drain()
            writer.write((b"" if started else start()) + b"0\r\n\r\n")
            await writer.drain()
            return not reader.at_eof()
        except ConnectionError:
            monitor.mark()
            return False


class Peer:
    """Whether the peer is still there, without reading what it may say next."""

    def __init__(self, reader: asyncio.StreamReader, request: Received) -> None:
        self.reader = reader
        self.request = request

    def left(self) -> bool:
        if self.reader.at_eof() or self.reader.exception() is not None:
            self.mark()
        return self.request.gone.is_set()

    def mark(self) -> None:
        if not self.request.gone.is_set():
            self.request.gone_at = time.monotonic()
            self.request.gone.set()

    async def wait(self, event: threading.Event) -> bool:
        end = time.monotonic() + HOLD_SECONDS_MAX
        while not event.is_set() and time.monotonic() < end:
            if self.left():
                return False
            await asyncio.sleep(0.004)
        return True


# ---- a turn in a dialect ------------------------------------------------------------------------

def render(kind: str, request: Received, turn: Turn) -> Reply:
    if kind in dialects.RENDER and request.method == "POST" and request.body:
        answer = dialects.RENDER[kind](request.path, request.json, turn)
        if answer is None:
            return error(kind, 404, f"nothing at {request.target}", "not_found_error")
        content_type, events = answer
        if isinstance(events, dict):
            return Reply(headers={"content-type": content_type}, pieces=[json.dumps(events).encode()])
        return Reply(200, {"content-type": content_type}, list(events), chunked=True)
    if request.method == "GET" or not request.body:
        return error(kind, 404, f"nothing at {request.target}", "not_found_error")
    body = request.json
    if request.path.endswith("/embeddings"):
        return Reply(pieces=[json.dumps(embeddings(body)).encode()])
    if request.path.endswith("/count_tokens"):
        return Reply(pieces=[json.dumps({"input_tokens": turn.input_tokens}).encode()])
    expected = "/v1/chat/completions" if kind == "openai" else "/v1/messages"
    if request.path != expected:
        return error(kind, 404, f"nothing at {request.target}", "not_found_error")
    model = body.get("model", "none")
    if not body.get("stream"):
        whole = openai_whole(turn, model) if kind == "openai" else anthropic_whole(turn, model)
        return Reply(headers={"content-type": "application/json", "request-id": "req_up1", "x-request-id": "req_up1"}, pieces=[json.dumps(whole).encode()])
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    events: list[bytes] = openai_events(turn, model, with_usage) if kind == "openai" else anthropic_events(turn, model)
    pieces: list[Piece] = []
    for n, data in enumerate(events):
        if turn.cut_after is not None and n >= turn.cut_after:
            pieces.extend([Drop()] if turn.drop else [])
            break
        pieces.extend(turn.between.get(n, []))
        pieces.append(data)
    return stream(pieces)


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    rows = []
    for i, _ in enumerate(texts):
        vector = [0.5, -0.25, float(i)]
        data: Any = base64.b64encode(struct.pack("<3f", *vector)).decode() if body.get("encoding_format") == "base64" else vector
        rows.append({"object": "embedding", "index": i, "embedding": data})
    return {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": 5, "total_tokens": 5}}
