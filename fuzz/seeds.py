"""Writes recorded traffic, where it is, as seeds for the fuzz targets: `seeds.py FOLDER`."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from pathlib import Path

CORPUS = Path(os.environ.get("OUTRIDER_CORPUS", Path(__file__).resolve().parents[1] / "../shared/traffic"))
APIS = {"chat.completions": "openai_chat", "responses": "openai_responses", "messages": "anthropic", "generateContent": "gemini", "converse": "bedrock"}
BYTES_MAX = 16_384


def lines(stream: bytes) -> bytes:
    """A binary event stream as `NAME PAYLOAD` lines, which is what the target reads."""
    out = []
    at = 0
    while at + 16 <= len(stream):
        total, head = struct.unpack_from("!II", stream, at)
        headers, payload = stream[at + 12 : at + 12 + head], stream[at + 12 + head : at + total - 4]
        name, place = b"", 0
        while place < len(headers):
            size = headers[place]
            key = headers[place + 1 : place + 1 + size]
            (length,) = struct.unpack_from("!H", headers, place + 2 + size)
            value = headers[place + 4 + size : place + 4 + size + length]
            if key in (b":event-type", b":exception-type"):
                name = value
            place += 4 + size + length
        out.append(name + b" " + payload.replace(b"\n", b" "))
        at += total
    return b"\n".join(out)


def main(folder: Path) -> None:
    if not (CORPUS / "given").is_dir():
        print(f"SKIPPED: no recorded traffic at {CORPUS}; the kept corpora alone are the seeds", file=sys.stderr)
        return
    for file in sorted((CORPUS / "given").glob("*.json")):
        exchange = json.loads(file.read_text())
        dialect = APIS.get(exchange.get("api")) if isinstance(exchange, dict) else None
        if dialect is None:
            continue
        request, response = exchange.get("request") or {}, exchange["response"]
        seeds: dict[str, bytes] = {}
        if isinstance(request.get("body"), dict):
            seeds[f"request-{dialect}"] = seeds["json"] = json.dumps(request["body"]).encode()
        if response.get("body") is not None:
            seeds[f"answer-{dialect}"] = json.dumps(response["body"]).encode()
        if text := response.get("body_text"):
            seeds[f"stream-{dialect}"] = text.encode()
            seeds["framer-json_array" if text.startswith("[") else "framer-sse"] = b"\x07" + text.encode()
        if raw := response.get("body_base64"):
            stream = base64.b64decode(raw)
            seeds["framer-eventstream"] = b"\x07" + stream
            seeds[f"stream-{dialect}"] = lines(stream)
        for target, seed in seeds.items():
            if len(seed) <= BYTES_MAX:
                path = folder / target / file.stem
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(seed)


main(Path(sys.argv[1]))
