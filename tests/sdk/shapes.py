"""Whether a request that reached an upstream is one its vendor would take: by the SDK's own request types, and by the
rules that types cannot say (tool pairing, alternation, empty text)."""

from __future__ import annotations

from typing import Any

import pydantic
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming

# Members that the APIs take and the SDK's newest types no longer name.
ANTHROPIC_OLDER = ("temperature", "top_p", "top_k")

_adapters: dict[Any, pydantic.TypeAdapter[Any]] = {}


def adapter(type_: Any) -> pydantic.TypeAdapter[Any]:
    if type_ not in _adapters:
        _adapters[type_] = pydantic.TypeAdapter(type_)
    return _adapters[type_]


def check_request(kind: str, body: dict[str, Any]) -> list[str]:
    """What is wrong with the request, in words; empty where it is sound."""
    return openai_faults(body) if kind == "openai" else anthropic_faults(body)


def typed(type_: Any, body: dict[str, Any]) -> list[str]:
    try:
        materialise(adapter(type_).validate_python(body))
    except pydantic.ValidationError as error:
        return [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:4]]
    return []


def materialise(value: Any) -> None:
    """Iterables in a TypedDict are validated on reading only."""
    if isinstance(value, dict):
        for v in value.values():
            materialise(v)
    elif not isinstance(value, (str, bytes, int, float, bool, type(None))):
        for v in value:
            materialise(v)


def openai_faults(body: dict[str, Any]) -> list[str]:
    faults = typed(CompletionCreateParamsStreaming if body.get("stream") else CompletionCreateParamsNonStreaming, body)
    waiting: list[str] = []
    for n, message in enumerate(body.get("messages", [])):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                faults.append(f"messages[{n}]: a result for {message.get('tool_call_id')!r}, waiting are {waiting}")
            else:
                waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            faults.append(f"messages[{n}]: role {role}, but results are missing for {waiting}")
            waiting = []
        if role == "assistant":
            waiting = [c["id"] for c in message.get("tool_calls") or []]
            if message.get("content") is None and not waiting and not message.get("refusal") and not message.get("audio"):
                faults.append(f"messages[{n}]: an assistant message with neither content nor calls")
            if "tool_calls" in message and not message["tool_calls"]:
                faults.append(f"messages[{n}].tool_calls: empty")
    if "tools" in body and not body["tools"]:
        faults.append("tools: empty")
    if not body.get("messages"):
        faults.append("messages: empty")
    if "stream_options" in body and not body.get("stream"):
        faults.append("stream_options without stream")
    return faults


def anthropic_faults(body: dict[str, Any]) -> list[str]:
    newest = {k: v for k, v in body.items() if k not in ANTHROPIC_OLDER}
    faults = typed(MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming, newest)
    waiting: list[str] = []
    before = None
    for n, message in enumerate(body.get("messages", [])):
        role, content = message.get("role"), message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])
        if n == 0 and role != "user":
            faults.append(f"messages[0]: role {role}, the first must be the user's")
        if not blocks:
            faults.append(f"messages[{n}].content: empty")
        results = [b["tool_use_id"] for b in blocks if b.get("type") == "tool_result"]
        if sorted(results) != sorted(waiting):
            faults.append(f"messages[{n}]: results {results}, expected {waiting}")
        if results and any(b.get("type") == "tool_result" for b in blocks[len(results) :]):
            faults.append(f"messages[{n}]: tool results must stand first")
        for m, block in enumerate(blocks):
            if block.get("type") == "text" and not block.get("text", "").strip():
                faults.append(f"messages[{n}].content[{m}]: empty text")
            if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
                faults.append(f"messages[{n}].content[{m}].input: not an object")
        waiting = [b["id"] for b in blocks if b.get("type") == "tool_use"] if role == "assistant" else []
        before = role
    if waiting and before == "assistant":
        faults.append(f"messages: results are missing for {waiting}")
    for n, tool in enumerate(body.get("tools") or []):
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            faults.append(f"tools[{n}].input_schema.type: not object")
    return faults
