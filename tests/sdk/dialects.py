"""What a model says in OpenAI's Responses, Gemini's and Bedrock's words, whole and streamed. Standard library only.

Each renderer takes the path, the request's body and the turn, and gives the content type with either the whole answer
or the pieces of a stream; `None` where the path is not one of the vendor's.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from typing import Any, Iterator

Rendered = "tuple[str, dict[str, Any] | list[bytes]] | None"
SSE = "text/event-stream"
JSON = "application/json"


def split(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


# ---- OpenAI Responses ---------------------------------------------------------------------------

def responses_items(turn: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if turn.reasoning:
        items.append({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": turn.reasoning}], "encrypted_content": turn.signature})
    if turn.text:
        items.append({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}]})
    for n, call in enumerate(turn.calls):
        items.append({"type": "function_call", "id": f"fc_{n}", "call_id": call.id, "name": call.name, "arguments": call.arguments, "status": "completed"})
    return items


def responses_whole(turn: Any, model: str, status: str | None = None) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(turn.reason())
    total = turn.input_tokens + turn.cached_tokens + turn.written_tokens
    usage = {
        "input_tokens": total,
        "input_tokens_details": {"cached_tokens": turn.cached_tokens},
        "output_tokens": turn.output_tokens,
        "output_tokens_details": {"reasoning_tokens": turn.reasoning_tokens},
        "total_tokens": total + turn.output_tokens,
    }
    begun = status == "in_progress"
    return {
        "id": "resp_up1",
        "object": "response",
        "created_at": 1790000000,
        "status": status or ("incomplete" if reason else "completed"),
        "error": None,
        "incomplete_details": {"reason": reason} if reason and not begun else None,
        "instructions": None,
        "model": model,
        "output": [] if begun else responses_items(turn),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None if begun else usage,
    }


def responses_events(turn: Any, model: str) -> Iterator[bytes]:
    number = 0

    def event(kind: str, **members: Any) -> bytes:
        nonlocal number
        data = {"type": kind, "sequence_number": number, **members}
        number += 1
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()

    yield event("response.created", response=responses_whole(turn, model, "in_progress"))
    yield event("response.in_progress", response=responses_whole(turn, model, "in_progress"))
    for index, item in enumerate(responses_items(turn)):
        at = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "reasoning":
            yield event("response.output_item.added", output_index=index, item={"type": "reasoning", "id": item["id"], "summary": []})
            yield event("response.reasoning_summary_part.added", **at, summary_index=0, part={"type": "summary_text", "text": ""})
            for word in split(turn.reasoning, 8):
                yield event("response.reasoning_summary_text.delta", **at, summary_index=0, delta=word)
            yield event("response.reasoning_summary_text.done", **at, summary_index=0, text=turn.reasoning)
            yield event("response.reasoning_summary_part.done", **at, summary_index=0, part=item["summary"][0])
        elif item["type"] == "message":
            yield event("response.output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []})
            yield event("response.content_part.added", **at, content_index=0, part={"type": "output_text", "text": "", "annotations": [], "logprobs": []})
            for word in turn.pieces_of_text():
                yield event("response.output_text.delta", **at, content_index=0, delta=word, logprobs=[])
            yield event("response.output_text.done", **at, content_index=0, text=turn.text, logprobs=[])
            yield event("response.content_part.done", **at, content_index=0, part=item["content"][0])
        else:
            yield event("response.output_item.added", output_index=index, item={**item, "arguments": "", "status": "in_progress"})
            for piece in split(item["arguments"], 5):
                yield event("response.function_call_arguments.delta", **at, delta=piece)
            yield event("response.function_call_arguments.done", **at, name=item["name"], arguments=item["arguments"])
        yield event("response.output_item.done", output_index=index, item=item)
    whole = responses_whole(turn, model)
    yield event(f"response.{whole['status']}", response=whole)


def responses(path: str, body: dict[str, Any], turn: Any) -> Any:
    if path != "/v1/responses":
        return None
    model = body.get("model", "none")
    return (SSE, list(responses_events(turn, model))) if body.get("stream") else (JSON, responses_whole(turn, model))


# ---- Gemini -------------------------------------------------------------------------------------

def gemini_parts(turn: Any) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if turn.reasoning:
        parts.append({"text": turn.reasoning, "thought": True})
    if turn.text:
        parts.append({"text": turn.text})
    for n, call in enumerate(turn.calls):
        part: dict[str, Any] = {"functionCall": {"name": call.name, "args": json.loads(call.arguments or "{}")}}
        if n == 0:
            part["thoughtSignature"] = turn.signature
        parts.append(part)
    return parts


def gemini_answer(turn: Any, model: str, parts: list[dict[str, Any]], last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}.get(turn.reason(), "STOP")
    prompt = turn.input_tokens + turn.cached_tokens + turn.written_tokens
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": turn.output_tokens - turn.reasoning_tokens, "totalTokenCount": prompt + turn.output_tokens}
    if turn.cached_tokens:
        usage["cachedContentTokenCount"] = turn.cached_tokens
    if turn.reasoning_tokens:
        usage["thoughtsTokenCount"] = turn.reasoning_tokens
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "up1"}


def gemini_events(turn: Any, model: str) -> Iterator[bytes]:
    parts: list[dict[str, Any]] = []
    for part in gemini_parts(turn):
        if "functionCall" in part:
            parts.append(part)
        elif part.get("thought"):
            parts += [{"text": word, "thought": True} for word in split(turn.reasoning, 8)]
        else:
            parts += [{"text": word} for word in turn.pieces_of_text()]
    for n, part in enumerate(parts or [{"text": ""}]):
        yield f"data: {json.dumps(gemini_answer(turn, model, [part], n + 1 >= len(parts)))}\r\n\r\n".encode()


def gemini(path: str, body: dict[str, Any], turn: Any) -> Any:
    match = re.fullmatch(r"/v1beta/models/([^:]+):(generateContent|streamGenerateContent|countTokens)", path)
    if match is None:
        return None
    model, method = match.groups()
    if method == "countTokens":
        return JSON, {"totalTokens": turn.input_tokens}
    if method == "streamGenerateContent":
        return SSE, list(gemini_events(turn, model))
    return JSON, gemini_answer(turn, model, gemini_parts(turn), True)


# ---- Bedrock Converse ---------------------------------------------------------------------------

def message(kind: str, payload: dict[str, Any], how: str = "event") -> bytes:
    """One binary message of `application/vnd.amazon.eventstream`."""
    name = ":event-type" if how == "event" else ":exception-type"
    headers = b""
    for key, value in ((name, kind), (":content-type", JSON), (":message-type", how)):
        headers += struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    head = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return head + struct.pack("!I", zlib.crc32(head))


def bedrock_content(turn: Any) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if turn.reasoning:
        content.append({"reasoningContent": {"reasoningText": {"text": turn.reasoning, "signature": turn.signature}}})
    if turn.text:
        content.append({"text": turn.text})
    return content + [{"toolUse": {"toolUseId": c.id, "name": c.name, "input": json.loads(c.arguments or "{}")}} for c in turn.calls]


def bedrock_stop(turn: Any) -> str:
    return {"length": "max_tokens", "content_filter": "content_filtered", "tool_calls": "tool_use"}.get(turn.reason(), "end_turn")


def bedrock_usage(turn: Any) -> dict[str, int]:
    usage = {"inputTokens": turn.input_tokens, "outputTokens": turn.output_tokens}
    if turn.cached_tokens or turn.written_tokens:
        usage |= {"cacheReadInputTokens": turn.cached_tokens, "cacheWriteInputTokens": turn.written_tokens}
    return {**usage, "totalTokens": sum(usage.values())}


def bedrock_events(turn: Any) -> Iterator[bytes]:
    yield message("messageStart", {"role": "assistant"})
    for index, block in enumerate(bedrock_content(turn)):
        at = {"contentBlockIndex": index}
        if use := block.get("toolUse"):
            call = next(c for c in turn.calls if c.id == use["toolUseId"])
            yield message("contentBlockStart", {**at, "start": {"toolUse": {"toolUseId": call.id, "name": call.name}}})
            deltas: list[dict[str, Any]] = [{"toolUse": {"input": piece}} for piece in split(call.arguments, 5)]
        elif "text" in block:
            deltas = [{"text": word} for word in turn.pieces_of_text()]
        else:
            deltas = [{"reasoningContent": {"text": word}} for word in split(turn.reasoning, 8)]
            deltas.append({"reasoningContent": {"signature": turn.signature}})
        for delta in deltas:
            yield message("contentBlockDelta", {**at, "delta": delta})
        yield message("contentBlockStop", at)
    yield message("messageStop", {"stopReason": bedrock_stop(turn)})
    yield message("metadata", {"usage": bedrock_usage(turn), "metrics": {"latencyMs": 5}})


def bedrock(path: str, body: dict[str, Any], turn: Any) -> Any:
    if path.endswith("/converse-stream"):
        return "application/vnd.amazon.eventstream", list(bedrock_events(turn))
    if not path.endswith("/converse"):
        return None
    return JSON, {
        "output": {"message": {"role": "assistant", "content": bedrock_content(turn)}},
        "stopReason": bedrock_stop(turn),
        "usage": bedrock_usage(turn),
        "metrics": {"latencyMs": 5},
    }


# ---- errors -------------------------------------------------------------------------------------

def openai_error(status: int, text: str) -> tuple[Any, dict[str, str]]:
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": text, "type": kind, "param": None, "code": "rate_limit_exceeded" if status == 429 else None}}, {}


def gemini_error(status: int, text: str) -> tuple[Any, dict[str, str]]:
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"error": {"code": status, "message": text, "status": words.get(status, "INTERNAL")}}, {}


def bedrock_error(status: int, text: str) -> tuple[Any, dict[str, str]]:
    words = {400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException", 429: "ThrottlingException", 503: "ServiceUnavailableException"}
    return {"message": text}, {"x-amzn-ErrorType": words.get(status, "InternalServerException")}


ERRORS = {"responses": openai_error, "gemini": gemini_error, "bedrock": bedrock_error}
RENDER = {"responses": responses, "gemini": gemini, "bedrock": bedrock}
