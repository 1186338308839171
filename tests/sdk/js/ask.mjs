// Puts one question to a model through the sidecar with one of npm's clients, runs the tool where it is called, and
// tells what came back as JSON on stdout. Asked by `clients.py`: {client, base, model, stream, tools, structured} on stdin.
import { readFileSync } from "node:fs";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";

const { client, base, model, stream, tools, structured, key, question, system, schema, weather } = JSON.parse(readFileSync(0, "utf8"));
const RESULT = "-3 °C";

async function openaiChat() {
  const api = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 15000 });
  const messages = [{ role: "system", content: system }, { role: "user", content: question }];
  const said = { text: "", calls: [], pieces: 0 };
  for (;;) {
    const body = { model, messages };
    if (tools) body.tools = [{ type: "function", function: { name: "weather", description: "The weather", parameters: weather } }];
    if (structured) body.response_format = { type: "json_schema", json_schema: { name: "city", schema, strict: true } };
    let answer;
    if (stream) {
      const events = api.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
      events.on("content.delta", () => said.pieces++);
      answer = await events.finalChatCompletion();
    } else {
      answer = await api.chat.completions.create(body);
      said.pieces++;
    }
    const message = answer.choices[0].message;
    said.text += message.content ?? "";
    said.tokens ??= [answer.usage.prompt_tokens, answer.usage.completion_tokens];
    const calls = message.tool_calls ?? [];
    if (calls.length === 0) return said;
    said.calls.push(...calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]));
    messages.push(message, ...calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: RESULT })));
  }
}

async function openaiResponses() {
  const api = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: 15000 });
  const input = [{ role: "user", content: question }];
  const said = { text: "", calls: [], pieces: 0 };
  for (;;) {
    const body = { model, instructions: system, input, store: false };
    if (tools) body.tools = [{ type: "function", name: "weather", description: "The weather", parameters: weather, strict: false }];
    if (structured) body.text = { format: { type: "json_schema", name: "city", schema, strict: true } };
    let answer;
    if (stream) {
      const events = api.responses.stream(body);
      events.on("response.output_text.delta", () => said.pieces++);
      answer = await events.finalResponse();
    } else {
      answer = await api.responses.create(body);
      said.pieces++;
    }
    said.text += answer.output.flatMap((item) => (item.type === "message" ? item.content : [])).map((part) => part.text).join("");
    said.tokens ??= [answer.usage.input_tokens, answer.usage.output_tokens];
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (calls.length === 0) return said;
    said.calls.push(...calls.map((call) => [call.name, JSON.parse(call.arguments)]));
    const { parsed, ...rest } = answer;
    input.push(...rest.output, ...calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: RESULT })));
  }
}

async function anthropic() {
  const api = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0, timeout: 15000 });
  const messages = [{ role: "user", content: question }];
  const said = { text: "", calls: [], pieces: 0 };
  for (;;) {
    const body = { model, max_tokens: 1000, system, messages };
    if (tools) body.tools = [{ name: "weather", description: "The weather", input_schema: weather }];
    if (structured) body.output_config = { format: { type: "json_schema", schema } };
    let answer;
    if (stream) {
      const events = api.messages.stream(body);
      events.on("text", () => said.pieces++);
      answer = await events.finalMessage();
    } else {
      answer = await api.messages.create(body);
      said.pieces++;
    }
    said.text += answer.content.filter((block) => block.type === "text").map((block) => block.text).join("");
    const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens } = answer.usage;
    said.tokens ??= [input_tokens + (cache_read_input_tokens ?? 0) + (cache_creation_input_tokens ?? 0), output_tokens];
    const calls = answer.content.filter((block) => block.type === "tool_use");
    if (calls.length === 0) return said;
    said.calls.push(...calls.map((call) => [call.name, call.input]));
    messages.push({ role: "assistant", content: answer.content });
    messages.push({ role: "user", content: calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: RESULT })) });
  }
}

const PROVIDERS = {
  "ai openai": () => createOpenAI({ baseURL: `${base}/v1`, apiKey: key }).chat(model),
  "ai openai responses": () => createOpenAI({ baseURL: `${base}/v1`, apiKey: key }).responses(model),
  "ai anthropic": () => createAnthropic({ baseURL: `${base}/v1`, apiKey: key })(model),
  "ai google": () => createGoogleGenerativeAI({ baseURL: `${base}/v1beta`, apiKey: key })(model),
};

async function ai() {
  const calls = [];
  const look = tool({
    description: "The weather",
    inputSchema: jsonSchema(weather),
    execute: async (input) => {
      calls.push(["weather", input]);
      return RESULT;
    },
  });
  const options = { model: PROVIDERS[client](), system, prompt: question, maxRetries: 0, stopWhen: stepCountIs(3) };
  if (tools) options.tools = { weather: look };
  if (structured) options.output = Output.object({ schema: jsonSchema(schema) });
  if (client === "ai openai responses") options.providerOptions = { openai: { store: false } };
  let pieces = 0;
  let answer;
  if (stream) {
    const run = streamText({ ...options, onError: () => {} });
    for await (const part of run.fullStream) {
      if (part.type === "text-delta") pieces++;
      if (part.type === "error") throw part.error;
    }
    answer = { steps: await run.steps };
  } else {
    answer = await generateText(options);
    pieces = 1;
  }
  const usage = answer.steps[0].usage;
  const text = answer.steps.map((step) => step.text).join("");
  return { text, calls, pieces, tokens: [usage.inputTokens, usage.outputTokens] };
}

const CLIENTS = { "openai chat": openaiChat, "openai responses": openaiResponses, anthropic };
try {
  console.log(JSON.stringify(await (CLIENTS[client] ?? ai)()));
} catch (error) {
  console.log(JSON.stringify({ error: { status: error.status ?? error.statusCode ?? null, message: `${error.message} ${error.responseBody ?? ""}` } }));
}
