//! The embedded provider: answers offline, streams, calls tools when told to, and counts tokens, so that every feature
//! can be tried without a key. It speaks OpenAI Chat Completions and is reached like any other provider.
//!
//! It answers with the last user text. With a tool choice that forces a tool, or a last user text that begins with
//! `call NAME` followed by a JSON object, it calls that tool. The model `slow` pauses before each word.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::base::json::{self, Raw};
use crate::base::{Fault, FaultKind};
use crate::dialect::codec;
use crate::ir::{Dialect, Operation, OutputFormat, Part, Request, Role, Tool, ToolChoice};
use crate::upstream::{AnswerBody, BodyError};

/// The dialect it speaks.
pub const DIALECT: Dialect = Dialect::OpenAiChat;

/// The pause of the model `slow` before each word.
const PAUSE: Duration = Duration::from_millis(100);
/// Dimensions of its embeddings, unless others are asked for.
const DIMENSIONS: u64 = 8;
const DIMENSIONS_MAX: u64 = 4096;

/// Answers a request body of its dialect.
///
/// # Errors
/// The request cannot be read.
pub fn answer(body: &Bytes, operation: Operation) -> Result<Response<AnswerBody>, Fault> {
    match operation {
        Operation::Chat => chat(body),
        Operation::Embeddings => embeddings(body),
        Operation::CountTokens | Operation::Models | Operation::Opaque => {
            Err(Fault::caller(FaultKind::NotFound, "The echo provider has no such endpoint."))
        }
    }
}

enum Said {
    Words(String),
    Call { name: String, arguments: String },
}

fn chat(body: &Bytes) -> Result<Response<AnswerBody>, Fault> {
    let request = codec(DIALECT).decode_request(body)?;
    let said = say(&request);
    let input = (body.len() as u64).div_ceil(4);
    let output = match &said {
        Said::Words(words) => words.split_whitespace().count() as u64,
        Said::Call { arguments, .. } => (arguments.len() as u64).div_ceil(4),
    };
    if !request.stream {
        let mut out = Vec::with_capacity(512);
        whole(&request, &said, input, output, &mut out);
        return Ok(respond("application/json", Pieces { pieces: vec![out.into()].into_iter(), pause: None, timer: None }));
    }
    let pieces = stream(&request, &said, input, output);
    let pause = (request.model == "slow").then_some(PAUSE);
    Ok(respond("text/event-stream; charset=utf-8", Pieces { pieces: pieces.into_iter(), pause, timer: None }))
}

fn respond(content_type: &'static str, body: Pieces) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::local(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn say(request: &Request<'_>) -> Said {
    let last = request.messages.iter().rev().find(|message| message.role == Role::User);
    let mut words = String::new();
    for part in last.into_iter().flat_map(|message| &message.parts) {
        collect_words(part, &mut words);
    }
    let name_of = |tool: &Tool<'_>| match tool {
        Tool::Function { name, .. } | Tool::Custom { name, .. } => Some(name.read().into_owned()),
        Tool::Opaque { .. } => None,
    };
    let answered = last.is_some_and(|message| message.parts.iter().any(|part| matches!(part, Part::ToolResult { .. })));
    let asked = words.strip_prefix("call ").map(|rest| rest.split_once(' ').unwrap_or((rest, "{}")));
    let forced = match &request.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name.read().into_owned()),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => request.tools.iter().find_map(name_of),
        _ => None,
    };
    let known = |name: &str| request.tools.iter().filter_map(name_of).any(|tool| tool == name);
    let name = match (&asked, forced) {
        _ if answered || request.tool_choice == Some(ToolChoice::None) => None,
        (Some((name, _)), _) if known(name) => Some((*name).to_owned()),
        (_, forced) => forced,
    };
    if let Some(name) = name {
        let arguments = asked.map_or("{}", |(_, arguments)| arguments.trim());
        let sound = Raw::parse(arguments.as_bytes()).is_ok_and(Raw::is_object);
        return Said::Call { name, arguments: if sound { arguments.to_owned() } else { "{}".to_owned() } };
    }
    match request.output {
        Some(OutputFormat::JsonObject | OutputFormat::JsonSchema { .. }) => {
            let sound = Raw::parse(words.trim().as_bytes()).is_ok_and(Raw::is_object);
            let mut echoed = Vec::new();
            json::object(&mut echoed, |out| out.string("echo", &words));
            Said::Words(if sound { words } else { String::from_utf8_lossy(&echoed).into_owned() })
        }
        _ => Said::Words(words),
    }
}

fn collect_words(part: &Part<'_>, words: &mut String) {
    let mut add = |text: &str| {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(text);
    };
    match part {
        Part::Text { text, .. } => add(&text.read()),
        Part::ToolResult { parts, .. } => parts.iter().for_each(|part| collect_words(part, words)),
        Part::Media(media) => add(match media.kind {
            crate::ir::MediaKind::Image => "[image]",
            crate::ir::MediaKind::Audio => "[audio]",
            crate::ir::MediaKind::Document => "[document]",
            crate::ir::MediaKind::Video => "[video]",
        }),
        _ => {}
    }
}

fn usage(out: &mut json::Object<'_>, input: u64, output: u64) {
    out.object("usage", |out| {
        out.u64("prompt_tokens", input);
        out.u64("completion_tokens", output);
        out.u64("total_tokens", input + output);
    });
}

fn head(out: &mut json::Object<'_>, request: &Request<'_>, object: &str) {
    out.string("id", "chatcmpl-echo");
    out.string("object", object);
    out.u64("created", 1_767_225_600);
    out.string("model", &request.model);
}

fn call(out: &mut json::Object<'_>, name: &str, arguments: &str) {
    out.string("id", "call_echo");
    out.string("type", "function");
    out.object("function", |out| {
        out.string("name", name);
        out.string("arguments", arguments);
    });
}

fn whole(request: &Request<'_>, said: &Said, input: u64, output: u64, out: &mut Vec<u8>) {
    json::object(out, |out| {
        head(out, request, "chat.completion");
        out.array("choices", |out| {
            out.object(|out| {
                out.u64("index", 0);
                out.object("message", |out| {
                    out.string("role", "assistant");
                    match said {
                        Said::Words(words) => out.string("content", words),
                        Said::Call { name, arguments } => {
                            out.null("content");
                            out.array("tool_calls", |out| out.object(|out| call(out, name, arguments)));
                        }
                    }
                    out.null("refusal");
                });
                out.null("logprobs");
                out.string("finish_reason", finish(said));
            });
        });
        usage(out, input, output);
    });
}

fn finish(said: &Said) -> &'static str {
    match said {
        Said::Words(_) => "stop",
        Said::Call { .. } => "tool_calls",
    }
}

fn stream(request: &Request<'_>, said: &Said, input: u64, output: u64) -> Vec<Bytes> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut event = |fill: &dyn Fn(&mut json::Object<'_>)| {
        let mut out = b"data: ".to_vec();
        json::object(&mut out, |out| {
            head(out, request, "chat.completion.chunk");
            fill(out);
        });
        out.extend_from_slice(b"\n\n");
        pieces.push(out.into());
    };
    let choice = |out: &mut json::Object<'_>, finish: Option<&str>, delta: &dyn Fn(&mut json::Object<'_>)| {
        out.array("choices", |out| {
            out.object(|out| {
                out.u64("index", 0);
                out.object("delta", |out| delta(out));
                match finish {
                    Some(reason) => out.string("finish_reason", reason),
                    None => out.null("finish_reason"),
                }
            });
        });
    };
    event(&|out| {
        choice(out, None, &|out| {
            out.string("role", "assistant");
            out.string("content", "");
        });
    });
    match said {
        Said::Words(words) => {
            for word in words.split_inclusive(' ') {
                event(&|out| choice(out, None, &|out| out.string("content", word)));
            }
        }
        Said::Call { name, arguments } => {
            let step = |out: &mut json::Object<'_>, arguments: &str, first: bool| {
                choice(out, None, &|out| {
                    out.array("tool_calls", |out| {
                        out.object(|out| {
                            out.u64("index", 0);
                            match first {
                                true => call(out, name, ""),
                                false => out.object("function", |out| out.string("arguments", arguments)),
                            }
                        });
                    });
                });
            };
            event(&|out| step(out, "", true));
            event(&|out| step(out, arguments, false));
        }
    }
    event(&|out| choice(out, Some(finish(said)), &|_| ()));
    if request.stream_usage {
        event(&|out| {
            out.array("choices", |_| ());
            usage(out, input, output);
        });
    }
    pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
    pieces
}

/// Vectors that are the same for the same text, and of length one.
fn embeddings(body: &Bytes) -> Result<Response<AnswerBody>, Fault> {
    let raw = Raw::parse(body).map_err(|error| Fault::bad_request(format!("The body is not valid JSON: {error}.")))?;
    let Some(input) = raw.member("input") else { return Err(Fault::bad_request("`input` is missing.").at("input")) };
    // A string, a list of strings, a list of tokens, or a list of such lists.
    let tokens = |raw: Raw<'_>| raw.elements().next().is_some_and(|first| first.number().is_some());
    let texts: Vec<Raw<'_>> = if input.is_array() && !tokens(input) { input.elements().collect() } else { vec![input] };
    let dimensions = raw.member("dimensions").and_then(Raw::u64).unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX);
    let base64 = raw.member("encoding_format").and_then(Raw::string).is_some_and(|format| format == "base64");
    let mut out = Vec::with_capacity(1024);
    json::object(&mut out, |out| {
        out.string("object", "list");
        out.array("data", |out| {
            for (index, text) in texts.iter().enumerate() {
                let vector = vector(text.get(), dimensions);
                out.object(|out| {
                    out.string("object", "embedding");
                    out.u64("index", index as u64);
                    if base64 {
                        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                        out.string("embedding", &STANDARD.encode(&bytes));
                    } else {
                        out.array("embedding", |out| vector.iter().for_each(|x| out.item().extend_from_slice(x.to_string().as_bytes())));
                    }
                });
            }
        });
        out.raw("model", raw.member("model").unwrap_or(Raw::literal("\"echo\"")));
        let tokens: u64 = texts.iter().map(|text| (text.get().len() as u64).div_ceil(4)).sum();
        out.object("usage", |out| {
            out.u64("prompt_tokens", tokens);
            out.u64("total_tokens", tokens);
        });
    });
    Ok(respond("application/json", Pieces { pieces: vec![out.into()].into_iter(), pause: None, timer: None }))
}

fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    // A generator seeded by it: the same text points the same way.
    let mut rng = crate::base::rng::RootRng::seeded(crate::base::digest::fnv1a(text)).fork();
    let raw: Vec<f32> = (0..dimensions).map(|_| rng.below(2001) as f32 / 1000.0 - 1.0).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| x / length).collect()
}

/// Its body: ready pieces, with a pause before each where the model is slow.
struct Pieces {
    pieces: std::vec::IntoIter<Bytes>,
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(pause) = self.pause {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        Poll::Ready(self.pieces.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.len() == 0
    }
}
