//! Every recorded exchange of OpenAI (chat completions, embeddings) and Anthropic, through the line.
//!
//! In the same dialect the bytes are the same, both ways. In the other dialect the facts survive: the words, the tool
//! calls with their arguments, why it stopped, what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use outrider::dialect::codec;
use outrider::ir::{Answer, Dialect, FinishReason, Fold, Part};
use serde_json::Value;

use crate::support::corpus::{self, Exchange};
use crate::support::{End, Script, World};

const ANY: &str = r#"
[providers.openai]
kind = "openai"
api_key = "sk-operator-openai"
base_url = "http://openai.test/v1"
models = ["gpt*", "o1*", "o3*", "o4*", "chatgpt*", "text-*", "*davinci*", "openai-*"]
[providers.anthropic]
kind = "anthropic"
api_key = "sk-operator-anthropic"
base_url = "http://anthropic.test/v1"
[[models]]
name = "to-openai"
targets = [{ provider = "openai", model = "gpt-4.1-mini" }]
retry = { attempts = 1 }
[[models]]
name = "to-anthropic"
targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }]
retry = { attempts = 1 }
"#;

fn exchanges() -> Vec<Exchange> {
    corpus::load(|provider, api| {
        matches!((provider, api), ("openai", "chat.completions" | "embeddings") | ("anthropic", "messages" | "messages.count_tokens"))
    })
}

fn dialect(exchange: &Exchange) -> Dialect {
    if exchange.provider == "anthropic" { Dialect::Anthropic } else { Dialect::OpenAiChat }
}

fn script(exchange: &Exchange) -> Script {
    let headers = vec![("content-type", exchange.content_type.clone())];
    // Streams in odd pieces, so that each recording also tries the law of chunking.
    let size = if exchange.stream { 61 } else { exchange.response.len().max(1) };
    let pieces = exchange.response.chunks(size).map(|piece| (Duration::ZERO, Bytes::copy_from_slice(piece)));
    Script::Raw(exchange.status, headers, pieces.collect(), End::Close)
}

fn path(exchange: &Exchange) -> &'static str {
    match exchange.api.as_str() {
        "chat.completions" => "/v1/chat/completions",
        "embeddings" => "/v1/embeddings",
        "messages" => "/v1/messages",
        _ => "/v1/messages/count_tokens",
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_dialect_passes_untouched() {
    let (mut checked, mut exact_requests, mut patched) = (0, 0, 0);
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for exchange in exchanges() {
        let Some(request) = &exchange.request else {
            *skipped.entry("no request was kept").or_default() += 1;
            continue;
        };
        let Some(model) = request["model"].as_str() else {
            *skipped.entry("its request names no model").or_default() += 1;
            continue;
        };
        let world = World::new(&ANY.replace("retry = { attempts = 1 }", "").replace("name = \"to-openai\"", "name = \"unused\""));
        // A model that nobody claims by its name is asked for through its provider: then the name is patched.
        let provider_name = exchange.provider.as_str();
        let claimed = world.line.shared.snapshot.borrow().policy.find(model).is_ok();
        let mut sent = request.clone();
        if !claimed {
            sent["model"] = Value::String(format!("{provider_name}/{model}"));
        }
        let provider = world.always(provider_name, script(&exchange));
        let body = serde_json::to_vec(&sent).unwrap();
        let reply = world.post(path(&exchange), &body).await;
        assert_eq!(reply.status, exchange.status, "{}: {}", exchange.id, reply.text());
        assert!(!reply.cut, "{}", exchange.id);
        assert_eq!(reply.body, exchange.response, "{}", exchange.id);
        let seen = provider.seen();
        let seen = seen.last().unwrap_or_else(|| panic!("{}: nothing was sent", exchange.id));
        assert_eq!(seen.uri.path(), path(&exchange), "{}", exchange.id);
        let asks_usage = request["stream_options"]["include_usage"].as_bool() == Some(true);
        if claimed && (exchange.api != "chat.completions" || request["stream"].as_bool() != Some(true) || asks_usage) {
            assert_eq!(seen.body, body, "{}", exchange.id);
            exact_requests += 1;
        } else {
            let mut received = seen.json();
            if request["stream"].as_bool() == Some(true) && exchange.api == "chat.completions" {
                assert_eq!(received["stream_options"]["include_usage"], true, "{}", exchange.id);
                match request.get("stream_options") {
                    Some(options) => received["stream_options"] = options.clone(),
                    None => drop(received.as_object_mut().unwrap().remove("stream_options")),
                }
            }
            assert_eq!(&received, request, "{}", exchange.id);
            patched += 1;
        }
        checked += 1;
        crate::support::settle().await;
        world.assert_settled(1);
    }
    println!(
        "same dialect: checked {checked} exchanges, {exact_requests} requests byte for byte, {patched} patched as policy asks; skipped {skipped:?}"
    );
}

/// What must survive a translation.
#[derive(Debug, PartialEq)]
struct Facts {
    words: String,
    calls: Vec<(String, Value)>,
    finish: Option<FinishReason>,
    tokens: Option<(Option<u64>, Option<u64>)>,
}

fn facts(answer: &Answer<'_>) -> Facts {
    let mut words = String::new();
    let mut calls = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => words.push_str(&text.read()),
            Part::ToolCall { name, arguments, custom, .. } => {
                let arguments = arguments.read();
                // Where a dialect has no free-form tools, their text is the member `input` of an object.
                let value = if *custom {
                    serde_json::json!({ "input": arguments })
                } else if arguments.trim().is_empty() {
                    Value::Object(Default::default())
                } else {
                    serde_json::from_str(&arguments).unwrap_or(Value::Null)
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
        // OpenAI has no word for it.
        FinishReason::Pause => FinishReason::Length,
        other => other,
    });
    Facts { words, calls, finish, tokens: answer.usage.map(|u| (u.input_tokens, u.output_tokens)) }
}

fn folded(dialect: Dialect, stream: &[u8]) -> Fold {
    let mut fold = Fold::default();
    let mut decoder = codec(dialect).stream_decoder();
    let mut framer = outrider::base::sse::Framer::new(16 << 20);
    let mut bytes = stream.to_vec();
    bytes.extend_from_slice(b"\n\n");
    framer.push(Bytes::from(bytes), |frame| decoder.decode(&frame, &mut |event| fold.add(&event)).unwrap()).unwrap();
    fold
}

#[tokio::test(start_paused = true)]
async fn the_other_dialect_keeps_the_facts() {
    let all = exchanges();
    let chat: Vec<&Exchange> = all.iter().filter(|e| matches!(e.api.as_str(), "chat.completions" | "messages")).collect();
    let (mut translated, mut lossy) = (0, 0);
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut lost: BTreeMap<String, usize> = BTreeMap::new();
    for asking in [Dialect::OpenAiChat, Dialect::Anthropic] {
        // Each recorded request of one dialect meets recorded answers of the other, in turn.
        let requests: Vec<_> = chat.iter().filter(|e| dialect(e) == asking && e.request.is_some()).collect();
        for stream in [false, true] {
            let answers: Vec<_> = chat.iter().filter(|e| dialect(e) != asking && e.stream == stream && e.status == 200).collect();
            let asks_stream = |e: &Exchange| e.request.as_ref().is_some_and(|request| request["stream"] == true);
            let requests: Vec<_> = requests.iter().filter(|e| asks_stream(e) == stream).collect();
            for (nth, answer) in (0..requests.len().max(answers.len())).filter_map(|n| Some((n, answers.get(n % answers.len().max(1))?))) {
                let request = requests[nth % requests.len()];
                let world = World::new(ANY);
                let (name, alias, caller_path) = match asking {
                    Dialect::OpenAiChat => ("anthropic", "to-anthropic", "/v1/chat/completions"),
                    _ => ("openai", "to-openai", "/v1/messages"),
                };
                let provider = world.always(name, script(answer));
                let mut sent = request.request.clone().unwrap();
                sent["model"] = Value::String(alias.into());
                let reply = world.post(caller_path, serde_json::to_vec(&sent).unwrap()).await;
                let context = format!("{} → {}: {}", request.id, answer.id, reply.text());
                if provider.seen().is_empty() {
                    assert!(reply.status.is_client_error(), "{context}");
                    let error = &reply.json()["error"];
                    *refused.entry(error["message"].as_str().unwrap().to_owned()).or_default() += 1;
                    continue;
                }
                assert_eq!(reply.status, 200, "{context}");
                let theirs = dialect(answer);
                let expected = if stream {
                    let fold = folded(theirs, &answer.response);
                    assert!(fold.ended() || fold.fault().is_some(), "{context}");
                    fold
                } else {
                    let mut fold = Fold::default();
                    outrider::ir::unfold(&codec(theirs).decode_answer(&answer.response).unwrap(), |event| fold.add(&event));
                    fold
                };
                let got = if stream {
                    folded(asking, &reply.body)
                } else {
                    let mut fold = Fold::default();
                    outrider::ir::unfold(&codec(asking).decode_answer(&reply.body).unwrap(), |event| fold.add(&event));
                    fold
                };
                let wants_usage = !stream || asking == Dialect::Anthropic || sent["stream_options"]["include_usage"] == true;
                let (mut expected, mut got) = (facts(&expected.into_answer()), facts(&got.into_answer()));
                if !wants_usage || expected.tokens.is_none() {
                    (expected.tokens, got.tokens) = (None, None);
                }
                if expected.finish.is_none() {
                    // An old model told no reason; the other dialect must name one.
                    got.finish = None;
                }
                assert_eq!(got, expected, "{context}");
                translated += 1;
                let names = reply.header("x-outrider-lossy");
                if !names.is_empty() {
                    lossy += 1;
                    names.split(", ").for_each(|name| *lost.entry(name.to_owned()).or_default() += 1);
                }
                crate::support::settle().await;
                world.assert_settled(1);
            }
        }
    }
    println!("other dialect: checked {translated} exchanges, {lossy} of them lossy: {lost:?}");
    println!("other dialect: refused before sending: {refused:?}");
}
