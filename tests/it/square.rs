//! Any dialect in, any provider out: each recorded answer of one dialect, asked for in each other dialect.
//!
//! What must survive: the words, the tool calls with their arguments, why it stopped, what it cost, and what kind of
//! error it was.

use bytes::Bytes;
use http::StatusCode;
use outrider::base::FaultKind;
use outrider::base::framing::{Framer, Framing};
use outrider::dialect::codec;
use outrider::ir::{Answer, Dialect, FinishReason, Fold, Part, unfold};
use serde_json::{Value, json};

use crate::corpus::script;
use crate::support::corpus::{Exchange, Table};
use crate::support::{Reply, World};

/// One provider for each dialect, each with an alias.
pub const SQUARE: &str = r#"
[providers.openai_chat]
kind = "openai"
api_key = "sk-operator"
base_url = "http://openai_chat.test/v1"
dialects = ["openai_chat"]
[providers.openai_responses]
kind = "openai"
api_key = "sk-operator"
base_url = "http://openai_responses.test/v1"
dialects = ["openai_responses"]
[providers.anthropic]
kind = "anthropic"
api_key = "sk-operator"
base_url = "http://anthropic.test/v1"
[providers.gemini]
kind = "gemini"
api_key = "sk-operator"
base_url = "http://gemini.test/v1beta"
[providers.bedrock]
kind = "bedrock"
api_key = "sk-operator"
base_url = "http://bedrock.test"
region = "us-east-1"
[[models]]
name = "to-openai_chat"
targets = [{ provider = "openai_chat", model = "gpt-4.1-mini" }]
retry = { attempts = 1 }
[[models]]
name = "to-openai_responses"
targets = [{ provider = "openai_responses", model = "gpt-4.1-mini" }]
retry = { attempts = 1 }
[[models]]
name = "to-anthropic"
targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }]
retry = { attempts = 1 }
[[models]]
name = "to-gemini"
targets = [{ provider = "gemini", model = "gemini-2.5-flash" }]
retry = { attempts = 1 }
[[models]]
name = "to-bedrock"
targets = [{ provider = "bedrock", model = "us.anthropic.claude-haiku-4-5-20251001-v1:0" }]
retry = { attempts = 1 }
"#;

/// The path on which a caller of this dialect asks for `model`, and its body.
pub fn ask(dialect: Dialect, model: &str, stream: bool, mut body: Value) -> (String, Value) {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Anthropic => {
            body["model"] = model.into();
            body["stream"] = stream.into();
            if !stream {
                body.as_object_mut().unwrap().remove("stream_options");
            } else if dialect == Dialect::OpenAiChat {
                body["stream_options"] = json!({ "include_usage": true });
            }
            let path = match dialect {
                Dialect::OpenAiChat => "/v1/chat/completions",
                Dialect::OpenAiResponses => "/v1/responses",
                _ => "/v1/messages",
            };
            (path.to_owned(), body)
        }
        Dialect::Gemini => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            (format!("/v1beta/models/{model}:{method}"), body)
        }
        Dialect::Bedrock => (format!("/model/{model}/{}", if stream { "converse-stream" } else { "converse" }), body),
    }
}

/// The least that a caller of this dialect may ask.
pub fn plain(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAiChat => json!({"messages": [{"role": "user", "content": "hi"}]}),
        Dialect::OpenAiResponses => json!({"input": "hi"}),
        Dialect::Anthropic => json!({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        Dialect::Bedrock => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
    }
}

/// What must survive a translation.
#[derive(Debug, PartialEq)]
pub struct Facts {
    pub words: String,
    pub calls: Vec<(String, Value)>,
    pub finish: Option<FinishReason>,
    pub tokens: Option<(Option<u64>, Option<u64>)>,
}

/// The facts of an answer.
pub fn facts(answer: &Answer<'_>) -> Facts {
    let mut words = String::new();
    let mut calls = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => words.push_str(&text.read()),
            Part::ToolCall { name, arguments, custom, .. } => {
                let arguments = arguments.read();
                // Where a dialect has no free-form tools, their text is the member `input` of an object.
                let value = if *custom {
                    json!({ "input": arguments })
                } else if matches!(arguments.trim(), "" | "null") {
                    Value::Object(Default::default())
                } else {
                    match serde_json::from_str(&arguments) {
                        // What breaks off is no JSON, however it is wrapped.
                        Ok(Value::Object(members)) if members.len() == 1 && members.contains_key("_raw") => Value::Null,
                        Ok(value) => value,
                        Err(_) => Value::Null,
                    }
                };
                calls.push((name.read().into_owned(), value));
            }
            _ => {}
        }
    }
    if let (true, Some(why)) = (words.is_empty(), answer.finish.as_ref().and_then(|f| f.explanation.as_ref())) {
        // Where a dialect has no place for the reason of a refusal, it is its words.
        words.push_str(&why.read());
    }
    let declined = answer.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let finish = answer.finish.as_ref().map(|f| match f.reason {
        // OpenAI ends a refusal with `stop`, Anthropic with a word of its own.
        FinishReason::Stop if declined => FinishReason::ContentFilter,
        // Only Anthropic has a word for it.
        FinishReason::Pause => FinishReason::Length,
        other => other,
    });
    Facts { words, calls, finish, tokens: answer.usage.map(|u| (u.input_tokens, u.output_tokens)) }
}

/// Folds a stream of this dialect.
pub fn folded(dialect: Dialect, framing: Framing, stream: &[u8]) -> Result<Fold, String> {
    let mut fold = Fold::default();
    let mut decoder = codec(dialect).stream_decoder();
    let mut framer = Framer::new(framing, 16 << 20);
    let mut bytes = stream.to_vec();
    if framing == Framing::Sse {
        bytes.extend_from_slice(b"\n\n");
    }
    let mut unread = None;
    framer
        .push(Bytes::from(bytes), |frame| {
            if let Err(fault) = decoder.decode(&frame, &mut |event| fold.add(&event)) {
                unread.get_or_insert(fault.to_string());
            }
        })
        .map_err(|error| format!("{error:?}"))?;
    match unread {
        Some(fault) => Err(fault),
        None => Ok(fold),
    }
}

fn whole(dialect: Dialect, body: &[u8]) -> Result<Fold, (FaultKind, String)> {
    let mut fold = Fold::default();
    let answer = codec(dialect).decode_answer(body).map_err(|fault| (fault.kind, fault.to_string()))?;
    unfold(&answer, |event| fold.add(&event));
    Ok(fold)
}

/// Tells every recorded answer of the other dialects in `caller`'s.
pub async fn told_in(caller: Dialect, all: &[Exchange]) -> Table {
    let mut table = Table::default();
    let requests: Vec<&Exchange> =
        all.iter().filter(|e| e.api != "vertex.rawPredict" && e.chat() == Some(caller) && e.request.is_some()).collect();
    let answers = all.iter().filter(|e| e.chat().is_some_and(|dialect| dialect != caller));
    // Gemini's arrays are streams that this gateway never asks for.
    let answers = answers.filter(|e| !(e.stream && e.status == 200 && e.framing() == Framing::JsonArray));
    for (nth, answer) in answers.enumerate() {
        let outcome = tell(caller, answer, requests.get(nth % requests.len().max(1)).copied()).await;
        let row = table.row(answer);
        match outcome {
            Ok(losses) => {
                row.translated += 1;
                row.lossy += usize::from(!losses.is_empty());
                losses.into_iter().for_each(|name| *row.lost.entry(name).or_default() += 1);
            }
            Err(failure) => row.failed.push(failure),
        }
    }
    table
}

async fn tell(caller: Dialect, answer: &Exchange, request: Option<&Exchange>) -> Result<Vec<String>, String> {
    let theirs = answer.chat().unwrap();
    let recorded = request.and_then(|request| request.request.clone());
    let asked = request.map_or("plain", |request| request.id.as_str());
    let (reply, asked) = match exchange(caller, theirs, answer, recorded.unwrap_or_else(|| plain(caller))).await? {
        Some(reply) => (reply, asked),
        // Refused before it was sent: the request says something that the target cannot. The answer is told all the same.
        None => (exchange(caller, theirs, answer, plain(caller)).await?.ok_or("a plain request was refused")?, "plain"),
    };
    let told = String::from_utf8_lossy(&reply.body).into_owned();
    let context =
        |what: &str| format!("{asked} ({}) → {}: {what}\n    {}", caller.label(), answer.id, &told[..told.floor_char_boundary(600)]);
    let losses = || reply.header("x-outrider-lossy").split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let same_fault = |kind: FaultKind| {
        let got = codec(caller).decode_error(reply.status, &reply.headers, &reply.body);
        match reply.status != StatusCode::OK && alike(got.kind, kind) {
            true => Ok(losses()),
            false => Err(context(&format!("expected {kind:?}, got {} {:?}", reply.status, got.kind))),
        }
    };
    if answer.status != 200 {
        let status = StatusCode::from_u16(answer.status).unwrap();
        return same_fault(codec(theirs).decode_error(status, &answer.headers, &answer.response).kind);
    }
    let (expected, got) = match answer.stream {
        true => {
            let expected = match folded(theirs, answer.framing(), &answer.response) {
                Ok(fold) => fold,
                Err(_) if reply.status != StatusCode::OK => return Ok(losses()),
                Err(fault) => return Err(context(&format!("their stream: {fault}"))),
            };
            if let (Some(fault), true) = (expected.fault(), reply.status != StatusCode::OK) {
                return same_fault(fault.kind);
            }
            // Only the grammars that have no end mark end with the reason.
            let markless = matches!(theirs, Dialect::Gemini | Dialect::Bedrock) && expected.finish().is_some();
            let whole = expected.ended() || markless;
            let got = folded(caller, codec(caller).framing(), &reply.body).map_err(|fault| context(&fault))?;
            let (broken, told) = (expected.fault().is_some() || !whole, got.fault().is_some());
            if broken && (told || reply.status != StatusCode::OK) {
                return Ok(losses());
            }
            if broken || told {
                return Err(context(&format!("a broken stream must be told as one: {:?}", got.fault())));
            }
            (expected, got)
        }
        false => {
            let expected = match whole(theirs, &answer.response) {
                Ok(fold) => fold,
                Err((kind, _)) => return same_fault(kind),
            };
            if reply.status != StatusCode::OK {
                return Err(context(&format!("the status {}", reply.status)));
            }
            (expected, whole(caller, &reply.body).map_err(|(_, fault)| context(&fault))?)
        }
    };
    let (expected, got) = (expected.into_answer(), got.into_answer());
    let why = expected.finish.as_ref().and_then(|finish| finish.explanation.as_ref()).map(|why| why.read().into_owned());
    let (mut expected, mut got) = (facts(&expected), facts(&got));
    if expected.tokens.is_none_or(|(input, output)| input.is_none() || output.is_none()) {
        got.tokens = expected.tokens;
    }
    if let Some(why) = why {
        // The reason of a refusal is told beside the words, as the words, or named as lost.
        let unsaid = got.words.is_empty() && caller == Dialect::Bedrock;
        if got.words == format!("{}{why}", expected.words) || unsaid {
            got.words.clone_from(&expected.words);
        }
    }
    if expected.finish.is_none_or(|finish| finish == FinishReason::Other) {
        // No reason that the other dialect has a word for, though it must name one.
        (expected.finish, got.finish) = (None, None);
    }
    match got == expected {
        true => Ok(losses()),
        false => Err(context(&format!("\n    got      {got:?}\n    expected {expected:?}\n"))),
    }
}

/// Kinds that a dialect tells apart by words alone.
fn alike(got: FaultKind, expected: FaultKind) -> bool {
    let class = |kind: FaultKind| match kind {
        FaultKind::ContextTooLong | FaultKind::Blocked | FaultKind::Unsupported => FaultKind::BadRequest,
        FaultKind::UpstreamProtocol => FaultKind::UpstreamFailed,
        FaultKind::ModelNotFound => FaultKind::NotFound,
        FaultKind::BudgetExhausted => FaultKind::RateLimited,
        other => other,
    };
    class(got) == class(expected)
}

/// Asks; `None` where the request was refused before anything was sent.
async fn exchange(caller: Dialect, theirs: Dialect, answer: &Exchange, request: Value) -> Result<Option<Reply>, String> {
    let world = World::new(SQUARE);
    let provider = world.always(theirs.label(), script(answer));
    let (path, body) = ask(caller, &format!("to-{}", theirs.label()), answer.stream, request);
    let reply = world.post(&path, serde_json::to_vec(&body).unwrap()).await;
    crate::support::settle().await;
    world.assert_settled(1);
    match provider.seen().is_empty() {
        true if reply.status.is_client_error() => Ok(None),
        true => Err(format!("nothing was sent, yet {} {}", reply.status, String::from_utf8_lossy(&reply.body))),
        false => Ok(Some(reply)),
    }
}
