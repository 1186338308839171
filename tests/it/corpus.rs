//! Every recorded exchange, through the line.
//!
//! In the same dialect, and on paths that are not understood, the bytes are the same, both ways. In another dialect the
//! facts survive (`square`).

use std::time::Duration;

use bytes::Bytes;
use outrider::ir::Dialect;
use serde_json::Value;

use crate::square;
use crate::support::corpus::{self, Exchange, Table};
use crate::support::{End, Script, World};

/// The recorded answer as a provider gives it: streams in odd pieces, so that each recording also tries the law of chunking.
pub fn script(exchange: &Exchange) -> Script {
    let mut headers = vec![("content-type", exchange.content_type.clone())];
    if let Some(kind) = exchange.headers.get("x-amzn-errortype") {
        headers.push(("x-amzn-errortype", kind.to_str().unwrap().to_owned()));
    }
    let size = if exchange.stream { 61 } else { exchange.response.len().max(1) };
    let pieces = exchange.response.chunks(size).map(|piece| (Duration::ZERO, Bytes::copy_from_slice(piece)));
    Script::Raw(exchange.status, headers, pieces.collect(), End::Close)
}

/// A world with one provider, `up`, that claims every model.
fn alone(kind: &str, base: &str) -> World {
    World::new(&format!(
        "[providers.up]\nkind = \"{kind}\"\napi_key = \"sk-operator-up\"\nbase_url = \"http://up.test{base}\"\nmodels = [\"*\"]\n"
    ))
}

/// How an exchange is asked: the world, the path of the app, the path that the provider must see.
struct Way {
    world: World,
    path: String,
    upstream: String,
    /// Whether the endpoint is one that we understand.
    native: bool,
}

fn way(exchange: &Exchange) -> Way {
    let native = |kind: &str, base: &str, path: String| Way { world: alone(kind, base), upstream: path.clone(), path, native: true };
    let tail = |mark: &str| exchange.path.split_once(mark).map(|(_, tail)| tail.to_owned());
    let fixed = |kind: &str, path: &str| native(kind, "/v1", path.to_owned());
    // Hosts that end their streams, or tell their usage, otherwise than OpenAI.
    let chat_kind = match exchange.provider.as_str() {
        host @ ("perplexity" | "openrouter" | "huggingface") => host,
        _ => "openai",
    };
    match exchange.api.as_str() {
        "chat.completions" => fixed(chat_kind, "/v1/chat/completions"),
        "embeddings" => fixed("openai", "/v1/embeddings"),
        "responses" => fixed("openai", "/v1/responses"),
        "messages" => fixed("anthropic", "/v1/messages"),
        "messages.count_tokens" => fixed("anthropic", "/v1/messages/count_tokens"),
        "generateContent" | "countTokens" | "embedContent" => match tail("/models/") {
            Some(tail) => native("gemini", "/v1beta", format!("/v1beta/models/{tail}")),
            None => opaque(exchange),
        },
        "converse" => native("bedrock", "", exchange.path.clone()),
        _ => opaque(exchange),
    }
}

fn opaque(exchange: &Exchange) -> Way {
    let path = if exchange.path.starts_with('/') { exchange.path.clone() } else { format!("/{}", exchange.path) };
    // What a URI cannot hold was put in by the recorder's scrubbing.
    let path = path.replace(['<', '>', ' '], "_");
    Way { world: alone("openai", ""), path: format!("/providers/up{path}"), upstream: path, native: false }
}

/// Passes one exchange through, in its own dialect. `Ok(true)`: request and answer byte for byte.
async fn passes(exchange: &Exchange) -> Result<bool, String> {
    let Way { world, path, upstream, native } = way(exchange);
    let provider = world.always("up", script(exchange));
    let canned = serde_json::json!({"model": "m", "messages": [], "stream": exchange.stream});
    let mut request = exchange.request.clone();
    if native {
        let sent = request.get_or_insert(canned);
        if sent["model"].as_str().is_none_or(str::is_empty) && !matches!(exchange.api.as_str(), "generateContent" | "converse") {
            sent["model"] = Value::String("m".into());
        }
        if exchange.stream && matches!(exchange.api.as_str(), "chat.completions" | "responses" | "messages") {
            sent["stream"] = Value::Bool(true);
        }
    }
    let body = request.as_ref().map(|request| serde_json::to_vec(request).unwrap()).unwrap_or_default();
    let method = http::Method::from_bytes(exchange.method.as_bytes()).ok().filter(|_| !native).unwrap_or(http::Method::POST);
    let reply = crate::support::read(world.open(method, &path, &[], &body).await).await;
    let check = |holds: bool, what: &str| {
        let told = String::from_utf8_lossy(&reply.body);
        if holds { Ok(()) } else { Err(format!("{}: {what}: {} {}", exchange.id, reply.status, &told[..told.floor_char_boundary(400)])) }
    };
    if exchange.stream && exchange.status == 200 && reply.status != 200 {
        // A stream that fails before its first content may still be another target's chance: the app gets its error as a status.
        let failed = exchange.chat().and_then(|theirs| square::folded(theirs, exchange.framing(), &exchange.response).ok());
        return check(failed.is_some_and(|fold| fold.fault().is_some()), "a refusal of a stream that did not fail").map(|()| true);
    }
    check(reply.status == exchange.status, "the status")?;
    check(!reply.cut, "the answer was cut")?;
    // Some hosts tell the usage though nobody asked; where we asked and the app did not, the piece that tells it is ours.
    let asked = request.as_ref().is_some_and(|request| request["stream_options"]["include_usage"] == true);
    let told = reply.body == exchange.response;
    let but_for_usage = exchange.api == "chat.completions" && !asked && reply.body == without_usage(&exchange.response);
    check(told || but_for_usage, "the answer's bytes")?;
    let seen = provider.seen();
    check(!seen.is_empty() && (seen.len() == 1 || exchange.status >= 429), "one request upstream")?;
    let decoded = |path: &str| percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let told = seen[0].uri.path_and_query().map(|path| decoded(path.as_str())).unwrap_or_default();
    let wanted = decoded(&upstream).replace("&key=", "").split("?key=").next().unwrap_or_default().to_owned();
    check(told == wanted, &format!("the path {told}, wanted {wanted}"))?;
    crate::support::settle().await;
    world.assert_settled(1);
    if seen[0].body == body {
        return Ok(true);
    }
    let mut received = seen[0].json();
    let request = request.unwrap_or_default();
    match request.get("stream_options") {
        Some(options) => received["stream_options"] = options.clone(),
        None => drop(received.as_object_mut().unwrap().remove("stream_options")),
    }
    check(received == request, "the request's members")?;
    Ok(false)
}

/// The stream without the pieces that tell of nothing but the usage.
fn without_usage(stream: &[u8]) -> Vec<u8> {
    let usage_only = |frame: &str| {
        let data = frame.trim_end().strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
        data.is_some_and(|data| data["usage"].is_object() && data["choices"].as_array().is_some_and(Vec::is_empty))
    };
    let text = String::from_utf8_lossy(stream);
    text.split_inclusive("\n\n").filter(|frame| !usage_only(frame)).collect::<String>().into_bytes()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn every_recorded_exchange_keeps_its_bytes_and_facts() {
    let all = corpus::load();
    let mut table = Table::default();
    let squares = std::thread::scope(|scope| {
        let asking: Vec<_> = Dialect::ALL
            .map(|caller| {
                scope.spawn({
                    let all = &all;
                    move || runtime().block_on(square::told_in(caller, all))
                })
            })
            .into();
        for exchange in &all {
            let passed = runtime().block_on(passes(exchange));
            let row = table.row(exchange);
            row.checked += 1;
            match passed {
                Ok(exact) => row.exact += usize::from(exact),
                Err(failure) => row.failed.push(failure),
            }
        }
        asking.into_iter().map(|asking| asking.join().unwrap()).collect::<Vec<_>>()
    });
    squares.into_iter().for_each(|square| table.merge(square));
    println!("{}", table.render());
    let failures = table.failures();
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.iter().take(200).map(|f| f.as_str()).collect::<Vec<_>>().join("\n")
    );
}
