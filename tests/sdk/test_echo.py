"""Zero configuration: no file, no keys, and still something answers."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import openai
import pytest
from conftest import Pair, Sidecar, wait_until

HI = [{"role": "user", "content": "the quick brown fox"}]
MODEL = "echo/echo"


@pytest.fixture
def echo(start: Callable[..., Sidecar], http: Any) -> Iterator[Pair]:
    """The default ports may be taken, so a file gives free ones and names the provider that would be there without it."""
    sidecar = start(text='[listen]\napp = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[providers.echo]\nkind = "echo"\n')
    yield Pair("echo", None, sidecar.app)  # type: ignore[arg-type]


def test_openai(echo: Pair) -> None:
    answer = echo.openai().chat.completions.create(model=MODEL, messages=HI)
    assert "quick brown fox" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_stream(echo: Pair) -> None:
    chunks = list(echo.openai().chat.completions.create(model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}))
    assert "quick brown fox" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens > 0


def test_anthropic(echo: Pair) -> None:
    answer = echo.anthropic().messages.create(model=MODEL, max_tokens=100, messages=HI)
    assert "quick brown fox" in answer.content[0].text and answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_anthropic_stream(echo: Pair) -> None:
    with echo.anthropic().messages.stream(model=MODEL, max_tokens=100, messages=HI) as s:
        final = s.get_final_message()
    assert "quick brown fox" in final.content[0].text and final.usage.output_tokens > 0


def test_tools_when_told_to(echo: Pair) -> None:
    tool = {"name": "weather", "description": "The weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
    answer = echo.anthropic().messages.create(model=MODEL, max_tokens=100, messages=HI, tools=[tool], tool_choice={"type": "tool", "name": "weather"})
    assert answer.stop_reason == "tool_use"
    assert [(b.name, type(b.input)) for b in answer.content if b.type == "tool_use"] == [("weather", dict)]
    function = {"type": "function", "function": {"name": "weather", "parameters": tool["input_schema"]}}
    with echo.openai().chat.completions.stream(model=MODEL, messages=HI, tools=[function], tool_choice="required") as s:
        choice = s.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls[0].function.name == "weather"


def test_count_tokens(echo: Pair) -> None:
    assert echo.anthropic().messages.count_tokens(model=MODEL, messages=HI).input_tokens > 0


def test_it_is_listed(echo: Pair) -> None:
    assert MODEL in {m.id for m in echo.openai().models.list()}
    assert MODEL in {m.id for m in echo.anthropic().models.list()}


def test_no_file_at_all(start: Callable[..., Sidecar]) -> None:
    """`outrider` alone, in an empty folder with an empty environment, on its default ports where they are free."""
    try:
        sidecar = start(args=[], env={})
    except RuntimeError as fault:
        if "in use" in str(fault).lower():
            pytest.skip("the default ports are taken on this machine")
        raise
    assert (sidecar.app, sidecar.admin) == ("http://127.0.0.1:4141", "http://127.0.0.1:4142")
    answer = Pair("echo", None, sidecar.app).openai().chat.completions.create(model=MODEL, messages=HI)  # type: ignore[arg-type]
    assert "quick brown fox" in answer.choices[0].message.content
    sidecar.process.terminate()
    assert sidecar.wait(5) == 0


def test_a_key_in_the_environment_makes_a_provider(start: Callable[..., Sidecar]) -> None:
    try:
        sidecar = start(args=[], env={"OPENAI_API_KEY": "sk-from-the-environment"})
    except RuntimeError as fault:
        if "in use" in str(fault).lower():
            pytest.skip("the default ports are taken on this machine")
        raise
    import httpx

    text = httpx.get(f"{sidecar.admin}/config", trust_env=False).text
    assert "providers.openai" in text and "sk-from-the-environment" not in text
    with pytest.raises(openai.NotFoundError):
        Pair("echo", None, sidecar.app).openai().chat.completions.create(model="nothing-of-that-name", messages=HI)  # type: ignore[arg-type]
    wait_until(sidecar.alive, 1, "life")
