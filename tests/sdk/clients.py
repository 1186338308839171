"""The vendors' clients and the frameworks over them, each behind the same few questions.

`Client.ask` puts a question to a model through the sidecar and tells what came back in neutral words, so that one
test can be asked of every client in front of every vendor.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}}, "required": ["city", "degrees"], "additionalProperties": False}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = "How cold is it in Oslo?"
SYSTEM = "You are brief."
KEY = "sk-client-must-stay-here"


@dataclass
class Said:
    """What a client understood."""

    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tokens: tuple[int, int] | None = None
    pieces: int = 1
    """In how many pieces the text came."""
    again: Callable[[str], "Said"] | None = None
    """Answers the tool calls, and asks on."""


class Client:
    """One client. `dialect` is what it speaks; `base` the sidecar's address."""

    name = ""
    dialect = ""
    kinds = ("plain", "stream", "tools", "streamed tools", "structured", "error")

    def __init__(self, base: str) -> None:
        self.base = base

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False) -> Said:
        raise NotImplementedError

    def status(self, error: Exception) -> int | None:
        """The HTTP status that the client's own error tells."""
        return getattr(error, "status_code", None)


# ---- the vendors' SDKs --------------------------------------------------------------------------

class OpenAIChat(Client):
    name, dialect = "openai chat", "openai"

    def client(self) -> Any:
        import openai

        return openai.OpenAI(base_url=f"{self.base}/v1", api_key=KEY, max_retries=0, timeout=15)

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, messages: list[Any] | None = None) -> Said:
        options: dict[str, Any] = {}
        if tools:
            options["tools"] = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": WEATHER}}]
        if structured:
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}
        messages = messages or [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        if stream:
            with self.client().chat.completions.stream(model=model, messages=messages, stream_options={"include_usage": True}, **options) as events:
                pieces = sum(1 for event in events if event.type == "content.delta")
                answer = events.get_final_completion()
        else:
            pieces, answer = 1, self.client().chat.completions.create(model=model, messages=messages, **options)
        message = answer.choices[0].message
        calls = [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []]

        def again(result: str) -> Said:
            results = [{"role": "tool", "tool_call_id": c.id, "content": result} for c in message.tool_calls]
            said = message.to_dict(mode="json")
            return self.ask(model, stream=stream, tools=tools, messages=[*messages, {k: v for k, v in said.items() if k != "parsed"}, *results])

        return Said(message.content or "", calls, (answer.usage.prompt_tokens, answer.usage.completion_tokens), pieces, again)


class OpenAIResponses(OpenAIChat):
    name, dialect = "openai responses", "responses"

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, items: list[Any] | None = None) -> Said:  # type: ignore[override]
        options: dict[str, Any] = {}
        if tools:
            options["tools"] = [{"type": "function", "name": "weather", "description": "The weather", "parameters": WEATHER, "strict": False}]
        if structured:
            options["text"] = {"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}}
        items = items or [{"role": "user", "content": QUESTION}]
        common = {"model": model, "instructions": SYSTEM, "input": items, "store": False, **options}
        if stream:
            with self.client().responses.stream(**common) as events:
                pieces = sum(1 for event in events if event.type == "response.output_text.delta")
                answer = events.get_final_response()
        else:
            pieces, answer = 1, self.client().responses.create(**common)
        asked = [item for item in answer.output if item.type == "function_call"]

        def again(result: str) -> Said:
            results = [{"type": "function_call_output", "call_id": call.call_id, "output": result} for call in asked]
            said = [{k: v for k, v in item.to_dict(mode="json").items() if v is not None and k != "parsed_arguments"} for item in answer.output]
            return self.ask(model, stream=stream, tools=tools, items=[*items, *said, *results])

        calls = [(call.name, json.loads(call.arguments)) for call in asked]
        return Said(answer.output_text, calls, (answer.usage.input_tokens, answer.usage.output_tokens), pieces, again)


class Anthropic(Client):
    name, dialect = "anthropic", "anthropic"

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, messages: list[Any] | None = None) -> Said:
        import anthropic

        client = anthropic.Anthropic(base_url=self.base, api_key=KEY, max_retries=0, timeout=15)
        options: dict[str, Any] = {}
        if tools:
            options["tools"] = [{"name": "weather", "description": "The weather", "input_schema": WEATHER}]
        if structured:
            options["output_config"] = {"format": {"type": "json_schema", "schema": CITY}}
        messages = messages or [{"role": "user", "content": QUESTION}]
        common = {"model": model, "max_tokens": 1000, "system": SYSTEM, "messages": messages, **options}
        if stream:
            with client.messages.stream(**common) as events:
                pieces = sum(1 for event in events if event.type == "text")
                answer = events.get_final_message()
        else:
            pieces, answer = 1, client.messages.create(**common)
        uses = [block for block in answer.content if block.type == "tool_use"]

        def again(result: str) -> Said:
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": result} for use in uses]
            said = [block.to_dict(mode="json") for block in answer.content]
            return self.ask(model, stream=stream, tools=tools, messages=[*messages, {"role": "assistant", "content": said}, {"role": "user", "content": results}])

        usage = answer.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        text = "".join(block.text for block in answer.content if block.type == "text")
        return Said(text, [(use.name, use.input) for use in uses], (usage.input_tokens + read + written, usage.output_tokens), pieces, again)


class Gemini(Client):
    name, dialect = "google-genai", "gemini"

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, contents: list[Any] | None = None) -> Said:
        from google import genai
        from google.genai import types

        client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=self.base, timeout=15000))
        options: dict[str, Any] = {"system_instruction": SYSTEM}
        if tools:
            declaration = types.FunctionDeclaration(name="weather", description="The weather", parameters_json_schema=WEATHER)
            options["tools"] = [types.Tool(function_declarations=[declaration])]
        if structured:
            options |= {"response_mime_type": "application/json", "response_json_schema": CITY}
        contents = contents or [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
        config = types.GenerateContentConfig(**options)
        if stream:
            answers = list(client.models.generate_content_stream(model=model, contents=contents, config=config))
        else:
            answers = [client.models.generate_content(model=model, contents=contents, config=config)]
        parts = [part for answer in answers for candidate in answer.candidates or [] for part in (candidate.content and candidate.content.parts) or []]
        asked = [part.function_call for part in parts if part.function_call]
        words = [part.text for part in parts if part.text and not part.thought]

        def again(result: str) -> Said:
            results = [types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": result})) for call in asked]
            turns = [types.Content(role="model", parts=[p for p in parts if p.text or p.function_call]), types.Content(role="user", parts=results)]
            return self.ask(model, stream=stream, tools=tools, contents=[*contents, *turns])

        usage = answers[-1].usage_metadata
        output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return Said("".join(words), [(call.name, dict(call.args or {})) for call in asked], (usage.prompt_token_count, output), len(words), again)

    def status(self, error: Exception) -> int | None:
        return getattr(error, "code", None)


class Bedrock(Client):
    name, dialect = "boto3", "bedrock"

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, messages: list[Any] | None = None) -> Said:
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, read_timeout=15, proxies={})
        client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=self.base, aws_access_key_id="AKIDCLIENT", aws_secret_access_key=KEY, config=config)
        options: dict[str, Any] = {}
        if tools:
            options["toolConfig"] = {"tools": [{"toolSpec": {"name": "weather", "description": "The weather", "inputSchema": {"json": WEATHER}}}]}
        if structured:
            schema = {"jsonSchema": {"name": "city", "schema": json.dumps(CITY)}}
            options["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": schema}}
        messages = messages or [{"role": "user", "content": [{"text": QUESTION}]}]
        common = {"modelId": model, "system": [{"text": SYSTEM}], "messages": messages, **options}
        if stream:
            content, usage, pieces = self.gather(client.converse_stream(**common)["stream"])
        else:
            answer = client.converse(**common)
            content, usage, pieces = answer["output"]["message"]["content"], answer["usage"], 1
        uses = [block["toolUse"] for block in content if "toolUse" in block]

        def again(result: str) -> Said:
            results = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": result}]}} for use in uses]
            return self.ask(model, stream=stream, tools=tools, messages=[*messages, {"role": "assistant", "content": content}, {"role": "user", "content": results}])

        text = "".join(block.get("text", "") for block in content)
        given = usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
        return Said(text, [(use["name"], use["input"]) for use in uses], (given, usage["outputTokens"]), pieces, again)

    @staticmethod
    def gather(events: Any) -> tuple[list[dict[str, Any]], dict[str, int], int]:
        """What boto3 leaves to the app: blocks out of deltas."""
        blocks: dict[int, dict[str, Any]] = {}
        usage: dict[str, int] = {}
        pieces = 0
        for event in events:
            if start := event.get("contentBlockStart"):
                blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
            elif part := event.get("contentBlockDelta"):
                index, delta = part["contentBlockIndex"], part["delta"]
                if "text" in delta:
                    pieces += 1
                    block = blocks.setdefault(index, {"text": ""})
                    block["text"] += delta["text"]
                elif "toolUse" in delta:
                    blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
                elif reasoning := delta.get("reasoningContent"):
                    said = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})["reasoningContent"].setdefault("reasoningText", {"text": ""})
                    said["text"] += reasoning.get("text", "")
                    if "signature" in reasoning:
                        said["signature"] = reasoning["signature"]
            elif "metadata" in event:
                usage = event["metadata"]["usage"]
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        return [blocks[index] for index in sorted(blocks)], usage, pieces

    def status(self, error: Exception) -> int | None:
        response = getattr(error, "response", None)
        return response["ResponseMetadata"]["HTTPStatusCode"] if response else None


# ---- frameworks over them -----------------------------------------------------------------------

class LangChain(Client):
    """LangChain's chat model, by the vendor's integration."""

    name, dialect = "langchain-openai", "openai"

    def model(self, model: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=model, base_url=f"{self.base}/v1", api_key=KEY, max_retries=0, timeout=15, stream_usage=True)

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, messages: list[Any] | None = None) -> Said:
        from langchain_core.messages import ToolMessage

        chat = self.model(model)
        messages = messages or [("system", SYSTEM), ("human", QUESTION)]
        if structured:
            schema = {"title": "city", "description": "A city and its temperature.", **CITY}
            return Said(json.dumps(chat.with_structured_output(schema, method="json_schema").invoke(messages)))
        if tools:
            chat = chat.bind_tools([{"name": "weather", "description": "The weather", "parameters": WEATHER}])
        pieces = 1
        if stream:
            chunks = list(chat.stream(messages))
            pieces = sum(1 for chunk in chunks if chunk.text)
            answer = chunks[0]
            for chunk in chunks[1:]:
                answer = answer + chunk
        else:
            answer = chat.invoke(messages)

        def again(result: str) -> Said:
            results = [ToolMessage(result, tool_call_id=call["id"]) for call in answer.tool_calls]
            return self.ask(model, stream=stream, tools=tools, messages=[*messages, answer, *results])

        usage = answer.usage_metadata
        return Said(str(answer.text), [(c["name"], c["args"]) for c in answer.tool_calls], (usage["input_tokens"], usage["output_tokens"]), pieces, again)


class LangChainResponses(LangChain):
    name, dialect = "langchain-openai responses", "responses"

    def model(self, model: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=model, base_url=f"{self.base}/v1", api_key=KEY, max_retries=0, timeout=15, use_responses_api=True, store=False)


class LangChainAnthropic(LangChain):
    name, dialect = "langchain-anthropic", "anthropic"

    def model(self, model: str) -> Any:
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model=model, base_url=self.base, api_key=KEY, max_retries=0, timeout=15, max_tokens=1000)


class PydanticAI(Client):
    """A pydantic-ai agent: it runs the tool and asks on by itself."""

    name, dialect = "pydantic-ai openai", "openai"

    def model(self, model: str) -> Any:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=self.openai()))

    def openai(self) -> Any:
        import openai

        return openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=KEY, max_retries=0, timeout=15)

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False) -> Said:
        from pydantic import BaseModel
        from pydantic_ai import Agent, NativeOutput

        class City(BaseModel):
            city: str
            degrees: int

        calls: list[tuple[str, dict[str, Any]]] = []
        agent: Any = Agent(self.model(model), instructions=SYSTEM, retries=0, **({"output_type": NativeOutput(City)} if structured else {}))
        if tools:

            @agent.tool_plain
            def weather(city: str) -> str:
                """The weather."""
                calls.append(("weather", {"city": city}))
                return "-3 °C"

        words = 0

        async def watch(_: Any, events: Any) -> None:
            nonlocal words
            async for event in events:
                words += event.event_kind == "part_delta" and bool(getattr(event.delta, "content_delta", ""))

        async def go() -> Said:
            run = await agent.run(QUESTION, event_stream_handler=watch if stream else None)
            usage = run.usage() if callable(run.usage) else run.usage
            output = run.output.model_dump_json() if structured else run.output
            return Said(output, calls, (usage.input_tokens, usage.output_tokens), words + 1 if stream else 1)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asyncio.run(go())


class PydanticAIResponses(PydanticAI):
    name, dialect = "pydantic-ai responses", "responses"

    def model(self, model: str) -> Any:
        from pydantic_ai.models.openai import OpenAIResponsesModel
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIResponsesModel(model, provider=OpenAIProvider(openai_client=self.openai()))


class PydanticAIAnthropic(PydanticAI):
    name, dialect = "pydantic-ai anthropic", "anthropic"

    def model(self, model: str) -> Any:
        import anthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.profiles import ModelProfile
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = anthropic.AsyncAnthropic(base_url=self.base, api_key=KEY, max_retries=0, timeout=15)
        # By its name the model is none that pydantic-ai knows.
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client), profile=ModelProfile(supports_json_schema_output=True))


class PydanticAIGoogle(PydanticAI):
    name, dialect = "pydantic-ai google", "gemini"

    def model(self, model: str) -> Any:
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(model, provider=GoogleProvider(api_key=KEY, base_url=self.base))


class LiteLLM(Client):
    """LiteLLM as a client: `dialect/model` at the sidecar's address."""

    name, dialect, prefix, path = "litellm openai", "openai", "openai", "/v1"

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False, messages: list[Any] | None = None) -> Said:
        import litellm

        litellm.telemetry = False
        litellm.suppress_debug_info = True
        options: dict[str, Any] = {}
        if tools:
            options["tools"] = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": WEATHER}}]
        if structured:
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}
        messages = messages or [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        common = {"model": f"{self.prefix}/{model}", "messages": messages, "api_base": f"{self.base}{self.path}", "api_key": KEY, "num_retries": 0, "timeout": 15, **options}
        pieces = 1
        if stream:
            chunks = list(litellm.completion(stream=True, stream_options={"include_usage": True}, **common))
            pieces = sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)
            answer = litellm.stream_chunk_builder(chunks, messages=messages)
        else:
            answer = litellm.completion(**common)
        message = answer.choices[0].message
        calls = [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []]

        def again(result: str) -> Said:
            results = [{"role": "tool", "tool_call_id": c.id, "content": result} for c in message.tool_calls]
            return self.ask(model, stream=stream, tools=tools, messages=[*messages, message.model_dump(exclude_none=True), *results])

        return Said(message.content or "", calls, (answer.usage.prompt_tokens, answer.usage.completion_tokens), pieces, again)


class LiteLLMAnthropic(LiteLLM):
    name, dialect, prefix, path = "litellm anthropic", "anthropic", "anthropic", ""


# ---- npm's clients ------------------------------------------------------------------------------

class NodeError(Exception):
    """An error that one of npm's clients threw."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status_code = status


class Node(Client):
    """A client from npm, by `js/ask.mjs`; it runs the tool and asks on by itself."""

    called = ""

    def ask(self, model: str, *, stream: bool = False, tools: bool = False, structured: bool = False) -> Said:
        what = {"client": self.called, "base": self.base, "model": model, "stream": stream, "tools": tools, "structured": structured}
        fixed = {"key": KEY, "question": QUESTION, "system": SYSTEM, "schema": CITY, "weather": WEATHER}
        script = Path(__file__).parent / "js" / "ask.mjs"
        environment = {"PATH": os.environ["PATH"], "AI_SDK_LOG_WARNINGS": "false"}
        done = subprocess.run(["node", str(script)], input=json.dumps(what | fixed), env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        if error := told.get("error"):
            raise NodeError(error["message"], error["status"])
        return Said(told["text"], [(name, arguments) for name, arguments in told["calls"]], tuple(told["tokens"]), told["pieces"])


def node(called: str, dialect: str) -> type[Node]:
    return type("Node", (Node,), {"name": f"npm {called}", "called": called, "dialect": dialect})


VENDORS: list[type[Client]] = [OpenAIChat, OpenAIResponses, Anthropic, Gemini, Bedrock]
FRAMEWORKS: list[type[Client]] = [
    LangChain,
    LangChainResponses,
    LangChainAnthropic,
    PydanticAI,
    PydanticAIResponses,
    PydanticAIAnthropic,
    PydanticAIGoogle,
    LiteLLM,
    LiteLLMAnthropic,
]
NPM: list[type[Client]] = [
    node("openai chat", "openai"),
    node("openai responses", "responses"),
    node("anthropic", "anthropic"),
    node("ai openai", "openai"),
    node("ai openai responses", "responses"),
    node("ai anthropic", "anthropic"),
    node("ai google", "gemini"),
]
