"""The requests: chat completions of a chosen size, the same bytes on every machine."""

from __future__ import annotations

import json
from pathlib import Path

SENTENCE = 'You are a careful assistant; answer "briefly" and cite.\nThe quick brown fox jumps over the lazy dog, naive cafe. '
WORDS_PER_MESSAGE = 500

# name -> (model, bytes, streamed)
REQUESTS = {
    "2k": ("gpt-4o-mini", 2_038, False),
    "100k": ("gpt-4o-mini", 102_392, False),
    "stream": ("gpt-4o-mini", 2_038, True),
    "translated-2k": ("translated", 2_038, False),
    "translated-100k": ("translated", 102_392, False),
    "translated-stream": ("translated", 2_038, True),
}


def write_all(directory: Path) -> dict[str, Path]:
    """Writes every request into `directory` and returns their files by name."""
    files = {}
    for name, (model, size, streamed) in REQUESTS.items():
        files[name] = directory / f"{name}.json"
        files[name].write_text(request(model, size, streamed))
    return files


def request(model: str, size: int, streamed: bool) -> str:
    """A conversation of `size` bytes: a system message, then user messages, the last one cut to fit."""
    text = (SENTENCE * (1 + size // len(SENTENCE)))[:size]
    while True:
        pieces = [text[at : at + WORDS_PER_MESSAGE] for at in range(0, len(text), WORDS_PER_MESSAGE)]
        messages = [{"role": "system", "content": "You are helpful."}, *({"role": "user", "content": piece} for piece in pieces)]
        body = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 256, "stream": streamed, "user": "tenant-42"}
        encoded = json.dumps(body, separators=(",", ":"))
        if len(encoded) <= size:
            return encoded
        text = text[: -max(1, (len(encoded) - size) // 2)]
