//! Traps that only whole exchanges show.

use serde_json::json;

use super::*;
use crate::square::SQUARE;
use crate::support::{Script, World};

const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;

#[test]
fn t19_what_the_providers_own_tools_found_is_kept_refused_or_named() {
    let found = json!([{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, {"type": "text", "text": "found"}]);
    let asked =
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": found}, {"role": "user", "content": "b"}]});
    for to in [C, R, G, B] {
        match try_tell(A, to, model_of(to), asked.clone()) {
            Ok(sent) => assert!(!sent.notes.losses.is_empty(), "{to:?} {sent:?}"),
            Err(fault) => assert_eq!(fault.kind, FaultKind::Unsupported, "{to:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t48_t61_what_is_not_known_reaches_its_own_provider_untouched() {
    let items = r#"{"model":"openai_responses/m","input":[{"type":"agent_message","x":1},{"type":"additional_tools","tools":[{"type":"tool_search"}]},{"type":"reasoning","id":"rs","summary":[],"status":"completed"}]}"#;
    let details = r#"{"model":"openai_chat/m","messages":[{"role":"assistant","content":"x","reasoning_details":[{"type":"reasoning.encrypted","data":"d","odd":[1.50]}, 7]},{"role":"user","content":"y"}]}"#;
    for (path, name, body) in [("/v1/responses", "openai_responses", items), ("/v1/chat/completions", "openai_chat", details)] {
        let world = World::new(SQUARE);
        let provider = world.always(name, Script::json(200, "{}"));
        world.post(path, body).await;
        let seen = provider.seen();
        assert_eq!(&seen[0].body[..], body.replace(&format!("{name}/m"), "m").as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn t70_flags_of_anthropics_api_do_not_reach_another_host() {
    let world = World::new(SQUARE);
    let bedrock = world.always("bedrock", Script::json(200, ANSWER));
    let body = json!({"model": "to-bedrock", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]});
    let headers = [("anthropic-beta", "claude-code-20250219"), ("anthropic-version", "2023-06-01")];
    assert_eq!(world.post_with("/v1/messages?beta=true", &headers, body.to_string()).await.status, 200);
    let seen = &bedrock.seen()[0];
    assert!(!seen.headers.contains_key("anthropic-beta") && seen.uri.query().is_none(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn t96_a_refused_stream_keeps_its_status_and_its_words() {
    for caller in Dialect::ALL {
        for theirs in Dialect::ALL {
            let world = World::new(SQUARE);
            let mut error = Vec::new();
            let told = Fault::upstream(FaultKind::RateLimited, "the vendor says no");
            codec(theirs).encode_error(&told, reply(theirs).id, &mut error);
            let headers = vec![("content-type", "application/json".to_owned()), ("x-amzn-errortype", "ThrottlingException".to_owned())];
            world.always(theirs.label(), Script::Answer(429, headers, error.into()));
            let (path, body) = crate::square::ask(caller, &format!("to-{}", theirs.label()), true, crate::square::plain(caller));
            let reply = world.post(&path, body.to_string()).await;
            assert_eq!(reply.status, 429, "{caller:?} {theirs:?}");
            assert!(reply.text().contains("the vendor says no"), "{caller:?} {theirs:?} {}", reply.text());
            assert!(!reply.header("content-type").contains("stream"), "{caller:?} {theirs:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t102_the_path_names_the_model_that_was_decided_for() {
    let world = World::new(SQUARE);
    let bedrock = world.always("bedrock", Script::json(200, ANSWER));
    let body = json!({"messages": [{"role": "user", "content": [{"text": "a"}]}]}).to_string();
    assert_eq!(world.post("/model/to-bedrock/converse", &body).await.status, 200);
    assert_eq!(bedrock.seen()[0].uri.path(), "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse");
}

#[tokio::test(start_paused = true)]
async fn t110_an_encoding_that_is_null_is_none() {
    let world = World::new(SQUARE);
    let gemini = world.always("gemini", Script::json(200, r#"{"embeddings":[{"values":[0.5,-1]}]}"#));
    let body = json!({"model": "gemini/gemini-embedding-001", "input": "x", "encoding_format": null, "dimensions": null, "user": null});
    let reply = world.post("/v1/embeddings", body.to_string()).await;
    assert_eq!(reply.json()["data"][0]["embedding"], json!([0.5, -1]), "{}", reply.text());
    assert!(!gemini.seen()[0].body.windows(4).any(|word| word == b"null"), "{:?}", gemini.seen()[0].body);
}
