//! The three dialects that this day is about: requests of callers, answers of providers, and how a caller reads them.

use serde_json::{Value, json};

/// A dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tongue {
    Chat,
    Claude,
    Gemini,
}

/// What a caller understood of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its text.
    pub text: String,
    /// How many end marks it had; a whole answer has one.
    pub ends: usize,
    /// How many error events, or the error that it was.
    pub errors: usize,
    /// What the dialect does not allow.
    pub wrong: Vec<String>,
}

/// What an answer says that it took, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
}

impl Usage {
    /// Where it does not matter.
    pub const ANY: Self = Self { input: 9, output: 20 };
}

/// What stands in a prompt, so that the request can be told wherever it turns up.
pub fn tag(number: u64) -> String {
    format!("tag-{number:08}")
}

/// The number of the tag in a text.
pub fn tag_in(text: &str) -> Option<u64> {
    text.split("tag-").nth(1)?.get(..8)?.parse().ok()
}

/// What the mock of this name says about a tag.
pub fn text_of(mock: &str, number: u64) -> String {
    format!("The {mock} one has heard of {}, which it was glad to hear, and it says \"so\" in twelve or more words.", tag(number))
}

/// The text in pieces.
pub fn pieces(text: &str) -> Vec<&str> {
    let third = text.match_indices(' ').map(|(at, _)| at + 1).skip(2).step_by(5);
    let (mut pieces, mut begin) = (Vec::new(), 0);
    for at in third.chain([text.len()]) {
        pieces.push(&text[begin..at]);
        begin = at;
    }
    pieces
}

impl Tongue {
    /// The path that a caller of it asks.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Claude => "/v1/messages",
            Self::Gemini => "/v1beta/models",
        }
    }

    /// A caller's request.
    pub fn request(self, model: &str, number: u64, stream: bool) -> String {
        self.ask(model, &format!("Say something of {}.", tag(number)), 100, stream)
    }

    /// A caller's request with this prompt, for so many tokens at most.
    pub fn ask(self, model: &str, prompt: &str, max_tokens: u64, stream: bool) -> String {
        let messages = json!([{"role": "user", "content": prompt}]);
        let mut body = json!({"model": model, "max_tokens": max_tokens, "stream": stream, "messages": messages});
        if stream && self == Self::Chat {
            body["stream_options"] = json!({"include_usage": true});
        }
        body.to_string()
    }

    /// A provider's whole answer.
    pub fn whole(self, model: &str, text: &str, usage: Usage) -> String {
        let Usage { input, output } = usage;
        let body = match self {
            Self::Chat => json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}, "future_member": {"x": 1},
            }),
            Self::Claude => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": input, "output_tokens": output}, "future_member": {"x": 1},
            }),
            Self::Gemini => gemini(model, text, Some("STOP"), usage),
        };
        body.to_string()
    }

    /// A provider's stream, event by event, and how many of them come before the first content.
    pub fn events(self, model: &str, text: &str, usage: Usage) -> (Vec<String>, usize) {
        let Usage { input, output } = usage;
        match self {
            Self::Chat => {
                let chunk = |delta: Value, finish: Option<&str>| {
                    let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
                    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model, "choices": choices});
                    data(&chunk)
                };
                let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
                let last = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model, "choices": [], "usage": usage});
                let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
                events.extend(pieces(text).iter().map(|piece| chunk(json!({"content": piece}), None)));
                events.extend([chunk(json!({}), Some("stop")), data(&last), "data: [DONE]\n\n".to_owned()]);
                (events, 1)
            }
            Self::Claude => {
                let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": input, "output_tokens": 1}});
                let mut events = vec![
                    named(&json!({"type": "message_start", "message": message})),
                    named(&json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
                    named(&json!({"type": "ping"})),
                ];
                let delta =
                    |piece: &&str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
                events.extend(pieces(text).iter().map(|piece| named(&delta(piece))));
                events.extend([
                    named(&json!({"type": "content_block_stop", "index": 0})),
                    named(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": output}})),
                    named(&json!({"type": "message_stop"})),
                ]);
                (events, 3)
            }
            Self::Gemini => {
                let pieces = pieces(text);
                let last = pieces.len() - 1;
                let event = |(at, piece): (usize, &&str)| data(&gemini(model, piece, (at == last).then_some("STOP"), usage));
                (pieces.iter().enumerate().map(event).collect(), 0)
            }
        }
    }

    /// A provider's error, as the body of an answer.
    pub fn error(self, status: u16, text: &str, wait: Option<f64>) -> String {
        let body = match self {
            Self::Chat => json!({"error": {"message": text, "type": "server_error", "param": null, "code": null}}),
            Self::Claude => json!({"type": "error", "error": {"type": "api_error", "message": text}, "request_id": "req_1"}),
            Self::Gemini => {
                let details =
                    wait.map(|wait| json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{wait}s")}]));
                json!({"error": {"code": status, "message": text, "status": "UNAVAILABLE", "details": details.unwrap_or(json!([]))}})
            }
        };
        body.to_string()
    }

    /// A provider's error, as an event of a stream.
    pub fn error_event(self) -> String {
        match self {
            Self::Chat => {
                data(&json!({"error": {"message": "The server had an error.", "type": "server_error", "param": null, "code": null}}))
            }
            Self::Claude => named(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
            Self::Gemini => data(&json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})),
        }
    }

    /// Reads a whole answer as a caller of this dialect.
    pub fn read_whole(self, body: &str) -> Told {
        let Ok(body) = serde_json::from_str::<Value>(body) else {
            return Told { wrong: vec![format!("no JSON: {body}")], ..Told::default() };
        };
        if body["error"].is_object() {
            return Told { errors: 1, text: body["error"]["message"].as_str().unwrap_or_default().to_owned(), ..Told::default() };
        }
        let (text, finish) = match self {
            Self::Chat => (&body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"] == "stop"),
            Self::Claude => (&body["content"][0]["text"], body["stop_reason"] == "end_turn"),
            Self::Gemini => (&body["candidates"][0]["content"]["parts"][0]["text"], body["candidates"][0]["finishReason"] == "STOP"),
        };
        match text.as_str() {
            Some(text) => Told { text: text.to_owned(), ends: usize::from(finish), ..Told::default() },
            None => Told { wrong: vec![format!("no text: {body}")], ..Told::default() },
        }
    }

    /// Reads a stream as a caller of this dialect.
    pub fn read_stream(self, body: &str) -> Told {
        let mut told = Told::default();
        for frame in body.split_inclusive("\n\n") {
            let Some(frame) = frame.strip_suffix("\n\n") else {
                told.wrong.push(format!("half a frame: {frame:?}"));
                continue;
            };
            let data = frame.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect::<Vec<_>>().join("\n");
            if data == "[DONE]" {
                told.ends += 1;
                continue;
            }
            let Ok(event) = serde_json::from_str::<Value>(&data) else {
                // A comment, or a name alone.
                if !data.is_empty() || !frame.starts_with(':') {
                    told.wrong.push(format!("no event: {frame:?}"));
                }
                continue;
            };
            if told.ends + told.errors > 0 {
                told.wrong.push(format!("after the end: {frame:?}"));
            }
            if event["error"].is_object() {
                told.errors += 1;
                continue;
            }
            match self {
                Self::Chat => told.text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default()),
                Self::Claude if event["type"] == "message_stop" => told.ends += 1,
                Self::Claude => told.text.push_str(event["delta"]["text"].as_str().unwrap_or_default()),
                Self::Gemini => {
                    let candidate = &event["candidates"][0];
                    told.text.push_str(candidate["content"]["parts"][0]["text"].as_str().unwrap_or_default());
                    told.ends += usize::from(candidate["finishReason"].is_string());
                }
            }
        }
        told
    }
}

fn gemini(model: &str, text: &str, finish: Option<&str>, usage: Usage) -> Value {
    let Usage { input, output } = usage;
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let usage = json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output});
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r1"})
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}
