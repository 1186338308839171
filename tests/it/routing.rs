//! Rules, strategies and fit, on whole exchanges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use outrider::pipeline;
use serde_json::{Value, json};

use crate::support::{Script, World};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;

/// Two vendors' worth of models behind one scripted host each, and rules among them.
const POLICY: &str = r#"
[identity]
team = "search"
[providers.small]
kind = "openai"
api_key = "sk-small"
base_url = "http://small.test/v1"
[providers.large]
kind = "openai"
api_key = "sk-large"
base_url = "http://large.test/v1"
[[models]]
name = "little"
targets = [{ provider = "small", model = "gpt-4.1-nano" }]
[[models]]
name = "big"
targets = [{ provider = "large", model = "gpt-4.1" }]
[[models]]
name = "either"
strategy = "cheapest"
targets = [{ provider = "large", model = "gpt-4.1" }, { provider = "small", model = "gpt-4.1-nano" }]
[[models]]
name = "sighted"
targets = [{ provider = "small", model = "blind" }, { provider = "large", model = "gpt-4.1" }]
[[models]]
name = "shared"
strategy = "weighted"
targets = [{ provider = "small", model = "gpt-4.1-nano", weight = 3 }, { provider = "large", model = "gpt-4.1", weight = 1 }]
[[capabilities]]
provider = "small"
model = "blind"
vision = false
[[routes]]
name = "no secrets"
when = { words = ["password"] }
deny = "Passwords do not belong into prompts."
[[routes]]
name = "batch"
when = { tag = "batch" }
use = "either"
[[routes]]
name = "easy"
when = { model = "auto", max_input_tokens = 400, has_tools = false, max_difficulty = 0.4 }
use = "little"
[[routes]]
name = "hard"
when = { model = "auto" }
use = "big"
"#;

fn world() -> World {
    let world = World::new(POLICY);
    for name in ["small", "large"] {
        world.always(name, Script::json(200, ANSWER));
    }
    world
}

fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

async fn target(world: &World, headers: &[(&str, &str)], body: &Value) -> String {
    let reply = world.post_with(CHAT, headers, body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-outrider-target").to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_first_rule_that_holds_names_the_model() {
    let world = world();
    let easy = chat("auto", "Is this review positive or negative? \"I love it.\"");
    assert_eq!(target(&world, &[], &easy).await, "small/gpt-4.1-nano");
    let mut tools = easy.clone();
    tools["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    assert_eq!(target(&world, &[], &tools).await, "large/gpt-4.1");
    assert_eq!(target(&world, &[], &chat("auto", &"word ".repeat(2_000))).await, "large/gpt-4.1");
    // What no rule is about keeps the model it asked for.
    assert_eq!(target(&world, &[], &chat("big", "Is this review positive?")).await, "large/gpt-4.1");
    assert_eq!(target(&world, &[("x-outrider-tag", "batch")], &chat("big", "hi")).await, "small/gpt-4.1-nano");
    let unknown = world.post(CHAT, chat("nobody", "hi").to_string()).await;
    assert_eq!(unknown.status, 404);
    world.assert_settled(6);
}

#[tokio::test(start_paused = true)]
async fn a_rule_may_refuse_in_the_callers_dialect() {
    let world = world();
    let body = json!({"model": "big", "max_tokens": 9, "messages": [{"role": "user", "content": "my Password is hunter2"}]});
    let refused = world.post(MESSAGES, body.to_string()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["error"]["type"], "permission_error");
    assert_eq!(refused.json()["error"]["message"], "Passwords do not belong into prompts.");
    let refused = world.post(CHAT, chat("auto", "the password, please").to_string()).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].as_str()), (403, Some("denied_by_rule")));
    assert_eq!(world.metric("outrider_upstream_attempts_total", &[]), 0.0);
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_still_passes_as_it_is() {
    let world = world();
    let odd = r#"{"model":"either","messages":[{"role":"user","content":[{"type":"hologram","x":1}]},{"role":"martian","content":"hi"}]}"#;
    let reply = world.post(CHAT, odd).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test(start_paused = true)]
async fn what_a_target_cannot_hold_is_not_sent_to_it() {
    let world = world();
    let mut body = chat("sighted", "hi");
    assert_eq!(target(&world, &[], &body).await, "small/blind");
    body["messages"][0]["content"] = json!([
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]);
    assert_eq!(target(&world, &[], &body).await, "large/gpt-4.1");
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_is_asked_and_the_dearer_one_when_it_fails() {
    let world = World::new(POLICY);
    world.always("large", Script::json(200, ANSWER));
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    let small = world.provider("small", move |_, _| match is_well.load(Ordering::SeqCst) {
        false => Script::json(500, r#"{"error":{"message":"down"}}"#),
        true => Script::json(200, ANSWER),
    });
    let mut served = Vec::new();
    for number in 0..20 {
        well.store(number < 3, Ordering::SeqCst);
        served.push(target(&world, &[], &chat("either", "hi")).await);
    }
    assert!(served[..3].iter().all(|target| target == "small/gpt-4.1-nano"), "{served:?}");
    assert!(served[3..].iter().all(|target| target == "large/gpt-4.1"), "{served:?}");
    // After five failures it is left alone.
    assert_eq!(small.seen().len(), 3 + 5);
    // It is looked after again, by one request at a time, and comes back when it is well.
    well.store(true, Ordering::SeqCst);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        target(&world, &[], &chat("either", "hi")).await;
    }
    assert!(small.seen().len() > 3 + 5 + 80, "{}", small.seen().len());
}

#[tokio::test(start_paused = true)]
async fn weights_are_shares() {
    let world = world();
    let mut shares = BTreeMap::new();
    for _ in 0..2_000 {
        *shares.entry(target(&world, &[], &chat("shared", "hi")).await).or_insert(0_u32) += 1;
    }
    // Three of four, within four standard deviations of a binomial.
    let small = shares["small/gpt-4.1-nano"];
    assert!((1_500_i64 - i64::from(small)).abs() < 80, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn explain_takes_the_same_decisions_and_sends_nothing() {
    let world = world();
    let explain = async |model: &str, text: &str| -> Value {
        let request = Request::post(CHAT).header("x-outrider-user", "alice").body(()).unwrap();
        let (head, ()) = request.into_parts();
        assert_eq!(head.method, Method::POST);
        let document = pipeline::explain(&world.line, head, Bytes::from(chat(model, text).to_string())).await.unwrap();
        serde_json::from_slice(&document).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&document)))
    };
    let easy = explain("auto", "Is this review positive or negative?").await;
    assert_eq!(easy["caller"]["team"], "search");
    assert_eq!(easy["caller"]["user"], "alice");
    assert_eq!(easy["model"]["name"], "little");
    let rules: Vec<_> =
        easy["rules"].as_array().unwrap().iter().map(|rule| (rule["rule"].as_str().unwrap(), rule["matches"].as_bool().unwrap())).collect();
    assert_eq!(rules[..3], [("no secrets", false), ("batch", false), ("easy", true)]);
    assert!(easy["rules"][1]["because"].as_str().unwrap().starts_with("tag: "), "{}", easy["rules"][1]);
    let cheapest = explain("either", "hi").await;
    let targets: Vec<_> = cheapest["targets"].as_array().unwrap().iter().map(|target| target["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["small/gpt-4.1-nano", "large/gpt-4.1"]);
    for target in cheapest["targets"].as_array().unwrap() {
        assert!(target["expected"]["cost_usd"].as_f64().unwrap() > 0.0 && !target["why"].as_str().unwrap().is_empty(), "{target}");
        assert_eq!(target["health"], "well");
    }
    let refused = explain("auto", "my password").await;
    assert_eq!(refused["refused"]["message"], "Passwords do not belong into prompts.");
    assert_eq!(world.metric("outrider_upstream_attempts_total", &[]), 0.0);
}
