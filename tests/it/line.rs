//! The line, from request to answer, on a still clock.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::support::{End, PAIR, Script, World, read, read_until, settle};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const ASK: &str = r#"{"model":"fast","messages":[{"role":"user","content":"hi"}]}"#;
const ASK_STREAM: &str =
    r#"{"model":"fast","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#;
const ASK_CLAUDE: &str = r#"{"model":"smart","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4.1-mini-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"future_member":{"x":1}}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}}"#;

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4.1-mini\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

const USAGE_CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4.1-mini\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";

fn openai_stream() -> String {
    [
        chunk(r#"{"role":"assistant","content":""}"#, "null"),
        chunk(r#"{"content":"Hel"}"#, "null"),
        chunk(r#"{"content":"lo"}"#, "null"),
        chunk("{}", "\"stop\""),
        USAGE_CHUNK.to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

fn claude_stream() -> String {
    [
        r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#,
        r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "event: ping\ndata: {\"type\": \"ping\"}",
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"event: content_block_stop
data: {"type":"content_block_stop","index":0}"#,
        r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ]
    .map(|event| format!("{event}\n\n"))
    .concat()
}

// === Bytes that pass ===

#[tokio::test(start_paused = true)]
async fn a_whole_answer_passes_byte_for_byte() {
    let world = World::pair();
    let provider = world.always("openai", Script::json(200, ANSWER));
    let reply = world.post(CHAT, ASK).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, ANSWER));
    assert_eq!(reply.header("x-outrider-target"), "openai/gpt-4.1-mini");
    assert_eq!(reply.header("x-outrider-attempts"), "1");
    assert_eq!(reply.header("x-outrider-request-id").len(), 32);
    // Only the alias was replaced.
    assert_eq!(provider.seen()[0].body, ASK.replace("fast", "gpt-4.1-mini"));
    world.assert_settled(1);
    assert_eq!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "input")]), 9.0);
}

#[tokio::test(start_paused = true)]
async fn unknown_members_and_spellings_survive() {
    let world = World::pair();
    let provider = world.always("openai", Script::json(200, ANSWER));
    let body = "{ \"future\" : 1.50, \"model\":\"openai/gpt-9\" ,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"hologram\",\"x\":\"\\u00e9\"}]}]}\n";
    assert_eq!(world.post(CHAT, body).await.status, 200);
    assert_eq!(provider.seen()[0].body, body.replace("openai/gpt-9", "gpt-9"));
}

#[tokio::test(start_paused = true)]
async fn streams_pass_byte_for_byte_however_they_are_cut() {
    for (alias, path, host, text) in [("fast", CHAT, "openai", openai_stream()), ("smart", MESSAGES, "anthropic", claude_stream())] {
        for size in [1, 2, 3, 7, 64, 1 << 20] {
            let world = World::pair();
            world.always(host, Script::sse(&text).chunked(size));
            let body = json!({"model": alias, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]});
            let reply = world.post(path, body.to_string()).await;
            assert_eq!(reply.text(), text, "{alias} in pieces of {size}");
            assert!(!reply.cut);
            settle().await;
            world.assert_settled(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_asked_for_and_withheld_from_who_did_not_ask() {
    let world = World::pair();
    let provider = world.always("openai", Script::sse(&openai_stream()));
    let body = ASK_STREAM.replace("\"stream_options\":{\"include_usage\":true},", "");
    let reply = world.post(CHAT, &body).await;
    assert_eq!(reply.text(), openai_stream().replace(USAGE_CHUNK, ""));
    assert_eq!(provider.seen()[0].json()["stream_options"]["include_usage"], true);
    settle().await;
    assert_eq!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "output")]), 2.0);
    // A refusal of usage is overruled, other options stay.
    let body = ASK_STREAM.replace("\"include_usage\":true", "\"include_usage\":false,\"include_obfuscation\":false");
    world.post(CHAT, &body).await;
    assert_eq!(provider.seen()[1].json()["stream_options"], json!({"include_usage": true, "include_obfuscation": false}));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_client_or_this_hop_goes_on() {
    let world = World::pair();
    let provider = world.always("openai", Script::json(200, ANSWER));
    let headers = [
        ("authorization", "Bearer client-secret"),
        ("x-api-key", "client-secret"),
        ("api-key", "client-secret"),
        ("x-goog-api-key", "client-secret"),
        ("cookie", "session=client-secret"),
        ("proxy-authorization", "client-secret"),
        ("openai-organization", "client-secret"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "client-secret"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-outrider-tag", "client-secret"),
        ("accept-encoding", "gzip, br"),
        ("openai-beta", "assistants=v2"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("user-agent", "OpenAI/Python"),
    ];
    world.post_with(CHAT, &headers, ASK).await;
    let seen = &provider.seen()[0];
    let all = format!("{:?}", seen.headers);
    assert!(!all.contains("client-secret") && !all.contains("10.0.0.1"), "{all}");
    let header = |name: &str| seen.headers.get(name).map_or("", |v| v.to_str().unwrap());
    assert_eq!(header("authorization"), "Bearer sk-operator-openai");
    assert_eq!(header("accept-encoding"), "identity");
    assert_eq!(header("openai-beta"), "assistants=v2");
    assert_eq!(header("host"), "openai.test");
    assert_eq!(header("user-agent"), "OpenAI/Python");
    assert!(header("traceparent").starts_with("00-4bf92f"));
}

#[tokio::test(start_paused = true)]
async fn cookies_and_framing_of_the_provider_stop_here() {
    let world = World::pair();
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("set-cookie", "a=b".to_owned()),
        ("x-ratelimit-remaining-requests", "99".to_owned()),
        ("x-outrider-target", "forged".to_owned()),
    ];
    world.always("openai", Script::Answer(200, headers, Bytes::from_static(ANSWER.as_bytes())));
    let reply = world.post(CHAT, ASK).await;
    assert_eq!(reply.header("set-cookie"), "");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), "99");
    assert_eq!(reply.header("x-outrider-target"), "openai/gpt-4.1-mini");
}

// === Translation ===

#[tokio::test(start_paused = true)]
async fn each_dialect_is_served_by_the_other() {
    let world = World::pair();
    let claude = world.always("anthropic", Script::json(200, MESSAGE));
    let openai = world.always("openai", Script::json(200, ANSWER));
    let reply = world.post(CHAT, ASK.replace("fast", "smart")).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["usage"]["prompt_tokens"], 9);
    let seen = &claude.seen()[0];
    assert_eq!(seen.uri.path(), "/v1/messages");
    assert_eq!(seen.headers["x-api-key"], "sk-operator-anthropic");
    assert_eq!(seen.headers["anthropic-version"], "2023-06-01");
    assert_eq!(seen.json()["messages"][0]["content"], "hi");
    let reply = world.post(MESSAGES, ASK_CLAUDE.replace("smart", "fast")).await.json();
    assert_eq!(reply["content"], json!([{"type": "text", "text": "Hello"}]));
    assert_eq!((&reply["stop_reason"], &reply["usage"]["output_tokens"]), (&json!("end_turn"), &json!(2)));
    assert_eq!(openai.seen()[0].json()["max_completion_tokens"], 100);
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn streams_are_translated_event_by_event() {
    let world = World::pair();
    world.always("anthropic", Script::events(&claude_stream(), Duration::from_secs(1), End::Close));
    let response = world.open(Method::POST, CHAT, &[], ASK_STREAM.replace("fast", "smart").as_bytes()).await;
    let started = tokio::time::Instant::now();
    let (_, mut body) = response.into_parts();
    // Each event leaves when it arrives: the first words are here before the second were sent.
    let first = read_until(&mut body, "Hel").await;
    assert!(!first.contains("\"lo\"") && started.elapsed() < Duration::from_secs(1), "{first}");
    let rest = read_until(&mut body, "[DONE]").await;
    assert!(rest.contains("\"finish_reason\":\"stop\"") && rest.contains("\"prompt_tokens\":9"), "{rest}");
    drop(body);
    world.assert_settled(1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_is_alive_where_it_is_translated() {
    let pause =
        |text: String| text.split_inclusive("\n\n").map(|e| (Duration::from_secs(25), Bytes::copy_from_slice(e.as_bytes()))).collect();
    for (path, ask, host, text, mark, pings) in [
        (CHAT, ASK_STREAM.replace("fast", "smart"), "anthropic", claude_stream(), ": ping\n\n", true),
        (
            MESSAGES,
            ASK_CLAUDE.replace("smart", "fast").replacen('{', "{\"stream\":true,", 1),
            "openai",
            openai_stream(),
            "event: ping\n",
            true,
        ),
        (CHAT, ASK_STREAM.to_owned(), "openai", openai_stream(), ": ping\n\n", false),
    ] {
        let world = World::pair();
        world.always(host, Script::Stream(pause(text), End::Close));
        let reply = world.post(path, ask).await;
        assert_eq!(reply.text().matches(mark).count() >= 2, pings, "{path} {host}: {}", reply.text());
        let ends = reply.text().contains("[DONE]") || reply.text().contains("message_stop");
        assert!(ends && !reply.text().contains("error"), "{}", reply.text());
    }
}

#[tokio::test(start_paused = true)]
async fn translated_streams_do_not_depend_on_how_they_are_cut() {
    for (path, alias, host, text) in [(CHAT, "smart", "anthropic", claude_stream()), (MESSAGES, "fast", "openai", openai_stream())] {
        let body = json!({"model": alias, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]});
        let mut whole = None;
        for size in [1 << 20, 1, 3, 7, 64] {
            let world = World::pair();
            world.always(host, Script::sse(&text).chunked(size));
            let reply = world.post(path, body.to_string()).await;
            let whole = whole.get_or_insert_with(|| reply.body.clone());
            assert_eq!(reply.text().as_bytes(), &whole[..], "{alias} in pieces of {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_and_a_drop_settle_at_most_what_the_whole_does() {
    for (path, alias, host, text) in [
        (CHAT, "fast", "openai", openai_stream()),
        (MESSAGES, "smart", "anthropic", claude_stream()),
        (CHAT, "smart", "anthropic", claude_stream()),
    ] {
        for events in 1..=text.matches("\n\n").count() {
            let world = World::pair();
            let prefix: String = text.split_inclusive("\n\n").take(events).collect();
            let provider = world.always(host, Script::events(&prefix, Duration::ZERO, End::Hang));
            let body = json!({"model": alias, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]});
            let body = body.to_string();
            let opening = world.open(Method::POST, path, &[], body.as_bytes());
            if let Ok(response) = tokio::time::timeout(Duration::from_secs(1), opening).await {
                let mut body = response.into_body();
                // Reads what there is, then leaves.
                while tokio::time::timeout(Duration::from_secs(1), http_body_util::BodyExt::frame(&mut body))
                    .await
                    .is_ok_and(|f| f.is_some())
                {}
            }
            settle().await;
            let spent = world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "output")]);
            assert!(spent <= 2.0, "{alias} after {events} events: {spent}");
            assert_eq!(provider.open(), 0);
            world.assert_settled(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn losses_are_named_and_refused_where_strict() {
    let world = World::pair();
    let claude = world.always("anthropic", Script::json(200, MESSAGE));
    let body = ASK.replace("\"messages\"", "\"seed\":7,\"messages\"");
    let reply = world.post(CHAT, body.replace("fast", "smart")).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-lossy")), (200, "seed"));
    let inner = r#"{"model":"smart","messages":[{"role":"user","content":[{"type":"text","text":"hi","x_mark":1}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"a":1}}]},{"role":"tool","tool_call_id":"c","content":"ok"}]}"#;
    let reply = world.post(CHAT, inner).await;
    assert_eq!(reply.header("x-outrider-lossy"), "messages[].content[].x_mark, messages[].tool_calls[].extra_content");
    let reply = world.post(CHAT, body.replace("fast", "strict")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["param"], "seed");
    assert_eq!(claude.seen().len(), 2);
    world.assert_settled(3);
}

// === Refusals ===

#[tokio::test(start_paused = true)]
async fn bad_requests_are_told_in_the_callers_dialect() {
    let world = World::pair();
    world.always("openai", Script::json(200, ANSWER));
    let cases: [(&str, &str, u16, &str); 13] = [
        (CHAT, "{\"model\":\"fast\",\n  \"messages\": [1 2]}", 400, "line 2 column 18"),
        (CHAT, "[]", 400, "an object"),
        (CHAT, "", 400, "an object"),
        (CHAT, "{\"messages\":[]}", 400, "`model` is missing"),
        (CHAT, "{\"model\":7,\"messages\":[]}", 400, "must be a string, found a number"),
        (CHAT, "{\"model\":\"fast\",\"stream\":\"yes\",\"messages\":[]}", 400, "true or false"),
        (CHAT, "{\"model\":\"fast\",\"stream\":true,\"stream_options\":\"x\",\"messages\":[]}", 400, "must be an object, found a string"),
        (CHAT, "{\"model\":\"fast\",\"model\":\"smart\",\"messages\":[]}", 400, "stands twice"),
        (CHAT, "{\"model\":\"fast\",\"Model\":\"smart\",\"messages\":[]}", 400, "stands twice"),
        (CHAT, "{\"Model\":\"fast\",\"messages\":[]}", 400, "must be spelt `model`"),
        (CHAT, "{\"model\":\"fsat\",\"messages\":[]}", 404, "did you mean \"fast\"?"),
        (MESSAGES, "{\"model\":\"fsat\",\"messages\":[]}", 404, "did you mean \"fast\"?"),
        ("/chit/complete", "{}", 404, "There is no endpoint"),
    ];
    for (path, body, status, text) in cases {
        let reply = world.post(path, body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        let error = &reply.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(text), "{body}: {error}");
        if path == MESSAGES {
            assert_eq!((&reply.json()["type"], &error["type"]), (&json!("error"), &json!("not_found_error")));
        }
    }
    let reply = world.get(CHAT).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
    let reply = world.post_with(CHAT, &[("content-encoding", "gzip")], ASK).await;
    assert!(reply.status == 400 && reply.text().contains("gzip"), "{}", reply.text());
    world.assert_settled(15);
}

#[tokio::test(start_paused = true)]
async fn bodies_and_memory_are_bounded() {
    let world = World::new(&format!("[bounds]\nbody_bytes_max = \"1KiB\"\nheld_bytes_max = \"1500B\"\n{PAIR}"));
    world.always("openai", Script::Hang);
    let big = format!("{{\"model\":\"fast\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", "x".repeat(1100));
    assert_eq!(world.post(CHAT, &big).await.status, 413);
    let fits = format!("{{\"model\":\"fast\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", "x".repeat(800));
    let waiting = world.open(Method::POST, CHAT, &[], fits.as_bytes());
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
    let reply = world.post(CHAT, &fits).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "1"));
}

#[tokio::test(start_paused = true)]
async fn a_providers_error_keeps_its_status_and_meaning() {
    let body = r#"{"error":{"message":"Rate limit reached for key sk-operator-openai","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let world = World::new(&PAIR.replace(
        "targets = [{ provider = \"openai\", model = \"gpt-4.1-mini\" }]",
        "retry = { attempts = 1 }\ntargets = [{ provider = \"openai\", model = \"gpt-4.1-mini\" }]",
    ));
    let headers = vec![("content-type", "application/json".to_owned()), ("retry-after", "7".to_owned())];
    world.always("openai", Script::Answer(429, headers, Bytes::from_static(body.as_bytes())));
    let reply = world.post(CHAT, ASK).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, "7"));
    assert_eq!(reply.text(), body.replace("sk-operator-openai", "[redacted]"), "the key is removed, the rest passes");
    let reply = world.post(MESSAGES, ASK_CLAUDE.replace("smart", "fast")).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, "7"));
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    assert!(!reply.text().contains("sk-operator"), "{}", reply.text());
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_it_says_is_a_bad_gateway() {
    let html = Script::Answer(200, vec![("content-type", "text/html".into())], Bytes::from_static(b"<html>portal</html>"));
    let cut = Script::Raw(
        200,
        vec![("content-type", "application/json".into()), ("content-length", "999".into())],
        vec![(Duration::ZERO, Bytes::from_static(b"{\"id\":"))],
        End::Cut,
    );
    for script in [html.clone(), Script::json(200, "{\"choices\":"), cut] {
        let world = World::pair();
        world.always("openai", script.clone());
        world.always("anthropic", script);
        for (path, body) in [(CHAT, ASK), (CHAT, ASK_STREAM), (MESSAGES, ASK_CLAUDE)] {
            let reply = world.post(path, body).await;
            assert_eq!(reply.status, 502, "{}", reply.text());
            assert!(reply.json()["error"]["message"].is_string());
        }
        world.assert_settled(3);
    }
}

// === Tries ===

#[tokio::test(start_paused = true)]
async fn the_next_target_answers_where_the_first_fails() {
    let failures = [
        Script::Refuse,
        Script::Drop,
        Script::json(500, "{}"),
        Script::json(503, "{}"),
        Script::json(429, "{}"),
        Script::json(401, r#"{"error":{"message":"bad key"}}"#),
        Script::json(404, r#"{"error":{"message":"no such model"}}"#),
        Script::Answer(502, vec![("content-type", "text/html".into())], Bytes::from_static(b"<html>bad gateway</html>")),
        Script::sse("data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"),
        Script::sse(&chunk(r#"{"role":"assistant","content":""}"#, "null")),
        Script::Stream(vec![], End::Cut),
        Script::Stream(vec![], End::Hang),
        Script::sse("<html>not a stream</html>\n\n"),
    ];
    for failure in failures {
        for stream in [false, true] {
            let is_stream = matches!(failure, Script::Stream(..));
            if is_stream && !stream {
                continue;
            }
            let world = World::pair();
            world.always("openai", failure.clone());
            let claude = world.always("anthropic", if stream { Script::sse(&claude_stream()) } else { Script::json(200, MESSAGE) });
            let body = if stream { ASK_STREAM } else { ASK }.replace("fast", "either");
            let reply = world.post(CHAT, body).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!((reply.header("x-outrider-attempts"), reply.header("x-outrider-target")), ("2", "anthropic/claude-haiku-4-5"));
            assert!(reply.text().contains("Hel"));
            assert_eq!(claude.seen().len(), 1);
            settle().await;
            world.assert_settled(1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_target_is_asked_for_what_the_first_cannot_do() {
    let world = World::pair();
    let openai = world.always("openai", Script::json(200, "{}"));
    let claude = world.always("anthropic", Script::json(200, MESSAGE));
    let body = r#"{"model":"either","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#;
    let reply = world.post(MESSAGES, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-outrider-target"), "anthropic/claude-haiku-4-5");
    assert_eq!((openai.seen().len(), claude.seen().len()), (0, 1));
    let reply = world.post(MESSAGES, body.replace("either", "fast")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test(start_paused = true)]
async fn the_callers_mistakes_are_not_tried_again() {
    let world = World::pair();
    let openai = world.always(
        "openai",
        Script::json(400, r#"{"error":{"message":"bad schema","type":"invalid_request_error","param":"tools","code":null}}"#),
    );
    let claude = world.always("anthropic", Script::json(200, MESSAGE));
    let reply = world.post(CHAT, ASK.replace("fast", "either")).await;
    assert_eq!(reply.status, 400);
    assert_eq!((openai.seen().len(), claude.seen().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_target_is_tried_again_after_the_wait_it_asked_for() {
    let world = World::pair();
    let openai = world.provider("openai", |_, nth| match nth {
        0 => Script::Answer(429, vec![("retry-after", "3".into())], Bytes::from_static(b"{}")),
        _ => Script::json(200, ANSWER),
    });
    let started = tokio::time::Instant::now();
    let reply = world.post(CHAT, ASK).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-outrider-attempts")), (200, "2"));
    assert_eq!(started.elapsed().as_secs(), 3);
    assert_eq!(openai.seen().len(), 2);
    // A long wait is the app's to decide.
    let world = World::pair();
    let openai = world.always("openai", Script::Answer(429, vec![("retry-after", "60".into())], Bytes::from_static(b"{}")));
    let reply = world.post(CHAT, ASK).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after"), openai.seen().len()), (429, "60", 1));
}

#[tokio::test(start_paused = true)]
async fn tries_are_bounded_and_the_last_real_error_is_told() {
    let world = World::pair();
    let openai =
        world.always("openai", Script::json(500, r#"{"error":{"message":"boom","type":"server_error","param":null,"code":null}}"#));
    let claude =
        world.always("anthropic", Script::json(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#));
    let reply = world.post(CHAT, ASK.replace("fast", "either")).await;
    let (first, second) = (openai.seen().len(), claude.seen().len());
    assert!(first + second == 3 && first > 0 && second > 0, "each is asked once before either is asked again: {first} {second}");
    let (status, message) = if reply.header("x-outrider-target").starts_with("openai") { (500, "boom") } else { (503, "Overloaded") };
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]["message"]), (status, &json!(message)));
    assert_eq!(reply.header("x-outrider-attempts"), "3");
    assert_eq!(world.metric("outrider_upstream_attempts_total", &[]), 3.0);
    world.assert_settled(1);
}

// === Time ===

#[tokio::test(start_paused = true)]
async fn every_wait_has_an_end() {
    let timeouts = "timeout = { connect = \"1s\", first_token = \"10s\", idle = \"20s\", total = \"60s\" }\nretry = { attempts = 1 }\n";
    let toml = PAIR.replace("[[models]]\n", &format!("[[models]]\n{timeouts}"));
    let cases = [
        (ASK_STREAM, Script::Hang, 10, 504),
        (ASK_STREAM, Script::Stream(vec![(Duration::ZERO, Bytes::from(chunk(r#"{"role":"assistant"}"#, "null")))], End::Hang), 10, 504),
        (ASK, Script::Hang, 60, 504),
    ];
    for (body, script, seconds, status) in cases {
        let world = World::new(&toml);
        let provider = world.always("openai", script);
        let started = tokio::time::Instant::now();
        let reply = world.post(CHAT, body).await;
        assert_eq!((reply.status.as_u16(), started.elapsed().as_secs()), (status, seconds), "{}", reply.text());
        settle().await;
        assert_eq!((provider.open(), provider.cancelled()), (0, 1));
        world.assert_settled(1);
    }
    // The caller may be less patient than the model's policy, never more.
    let world = World::new(&toml);
    world.always("openai", Script::Hang);
    let started = tokio::time::Instant::now();
    world.post_with(CHAT, &[("x-outrider-timeout", "5s")], ASK).await;
    world.post_with(CHAT, &[("x-outrider-timeout", "5h")], ASK).await;
    assert_eq!(started.elapsed().as_secs(), 65);
    assert_eq!(world.post_with(CHAT, &[("x-outrider-timeout", "soon")], ASK).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_or_runs_too_long_ends_with_an_error_event() {
    let timeouts = "timeout = { idle = \"20s\", total = \"60s\" }\n";
    let toml = PAIR.replace("[[models]]\n", &format!("[[models]]\n{timeouts}"));
    let first: Vec<_> =
        openai_stream().split_inclusive("\n\n").take(2).map(|e| (Duration::ZERO, Bytes::copy_from_slice(e.as_bytes()))).collect();
    let slow = std::iter::repeat_n(chunk(r#"{"content":"z"}"#, "null"), 99).map(|e| (Duration::from_secs(10), Bytes::from(e))).collect();
    for (script, seconds) in [(Script::Stream(first, End::Hang), 20), (Script::Stream(slow, End::Close), 60)] {
        let world = World::new(&toml);
        let provider = world.always("openai", script);
        let started = tokio::time::Instant::now();
        let reply = world.post(CHAT, ASK_STREAM).await;
        assert_eq!(started.elapsed().as_secs(), seconds);
        let last = reply.text().trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("data: {\"error\":") && !reply.text().contains("[DONE]"), "{last}");
        settle().await;
        assert_eq!(provider.open(), 0);
        world.assert_settled(1);
        assert_eq!(world.metric("outrider_requests_total", &[("outcome", "timeout")]), 1.0);
    }
}

// === Streams that break ===

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_byte_is_told_and_never_looks_whole() {
    let cases = [
        (CHAT, "fast", "openai", openai_stream()),
        (MESSAGES, "smart", "anthropic", claude_stream()),
        (CHAT, "smart", "anthropic", claude_stream()),
        (MESSAGES, "fast", "openai", openai_stream()),
    ];
    for (path, alias, host, text) in cases {
        let content = text.find("Hel").unwrap() + 40;
        // In the last frame but its blank line the end mark is told already.
        let mark = text.trim_end().len();
        for at in (content..mark).step_by(3) {
            for end in [End::Close, End::Cut] {
                let world = World::pair();
                world.always(host, Script::Stream(vec![(Duration::ZERO, Bytes::copy_from_slice(&text.as_bytes()[..at]))], end));
                let body = json!({"model": alias, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]});
                let reply = world.post(path, body.to_string()).await;
                if reply.status != 200 {
                    // The first words were cut, so nothing had been sent.
                    assert_eq!(reply.status, 502);
                    continue;
                }
                let got = reply.text();
                let (error, marks): (&str, &[&str]) = if path == CHAT {
                    ("data: {\"error\":{", &["[DONE]"])
                } else {
                    ("event: error\ndata: {\"type\":\"error\"", &["message_stop"])
                };
                let last = got.trim_end().rsplit("\n\n").next().unwrap();
                assert!(last.starts_with(error), "{alias} at {at}: {got}");
                assert!(marks.iter().all(|mark| !got.contains(mark)), "{alias} at {at}: {got}");
                if (path == CHAT) == (host == "openai") {
                    let before = got.strip_suffix("\n\n").and_then(|g| g.strip_suffix(last)).unwrap();
                    assert!(text.starts_with(before), "only whole frames pass: {before}");
                }
                settle().await;
                world.assert_settled(1);
                assert_eq!(world.metric("outrider_requests_total", &[("outcome", "truncated")]), 1.0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_in_mid_stream_reaches_the_app_in_its_dialect() {
    let openai = [
        &chunk(r#"{"content":"Hel"}"#, "null"),
        "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
    ]
    .concat();
    let claude = claude_stream();
    let cut = claude.find("event: content_block_stop").unwrap();
    let claude = [
        &claude[..cut],
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    ]
    .concat();
    for (path, alias, host, text) in [
        (CHAT, "fast", "openai", &openai),
        (MESSAGES, "smart", "anthropic", &claude),
        (CHAT, "smart", "anthropic", &claude),
        (MESSAGES, "fast", "openai", &openai),
    ] {
        let world = World::pair();
        world.always(host, Script::sse(text));
        let body = json!({"model": alias, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "hi"}]});
        let reply = world.post(path, body.to_string()).await;
        let got = reply.text();
        if (path == CHAT) == (host == "openai") {
            assert_eq!(got, text);
        }
        let errors = got.matches("\"error\":{").count();
        assert_eq!(errors, 1, "{got}");
        assert!(!got.contains("[DONE]") && !got.contains("message_stop"), "{got}");
        settle().await;
        world.assert_settled(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_close_behind_its_end_is_not_waited_for() {
    let failed =
        [&chunk(r#"{"content":"Hel"}"#, "null"), "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n"].concat();
    for (text, outcome) in [(openai_stream(), "complete"), (failed, "upstream_failed")] {
        for cut in [false, true] {
            let world = World::pair();
            // The pause arms the idle clock before the end comes.
            world.always("openai", Script::events(&text, Duration::from_secs(1), End::Hang));
            let started = tokio::time::Instant::now();
            let events = text.matches("\n\n").count() as u64;
            let drain = async {
                tokio::time::sleep(Duration::from_millis(events * 1000 + 500)).await;
                if cut {
                    world.line.shared.drain.cut();
                }
            };
            let (reply, ()) = tokio::join!(world.post(CHAT, ASK_STREAM), drain);
            assert_eq!(reply.text(), text, "nothing is added");
            assert!(started.elapsed() <= Duration::from_secs(events + 1), "{:?}", started.elapsed());
            settle().await;
            world.assert_settled(1);
            assert_eq!(world.metric("outrider_requests_total", &[("outcome", outcome)]), 1.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_known_to_end_without_its_mark_is_whole_at_its_finish_only() {
    let world = World::new("[providers.p]\nkind = \"perplexity\"\napi_key = \"pplx-operator\"\nbase_url = \"http://p.test\"\n");
    let whole = openai_stream().replace("data: [DONE]\n\n", "");
    let half: String = whole.split_inclusive("\n\n").take(2).collect();
    let ask = ASK_STREAM.replace("fast", "p/sonar").replace("\"stream\"", "\"max_tokens\":9,\"stream\"");
    let (first, last) = (Script::sse(&whole), Script::sse(&half));
    world.provider("p", move |_, nth| if nth < 2 { first.clone() } else { last.clone() });
    assert_eq!(world.post(CHAT, &ask).await.text(), whole);
    assert!(world.post(MESSAGES, &ask).await.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    assert!(world.post(CHAT, &ask).await.text().contains("\"error\""));
    settle().await;
    world.assert_settled(3);
    assert_eq!(world.metric("outrider_requests_total", &[("outcome", "complete")]), 2.0);
}

// === Callers that leave ===

#[tokio::test(start_paused = true)]
async fn leaving_cancels_upstream_and_settles() {
    let world = World::pair();
    let openai = world.always("openai", Script::events(&openai_stream(), Duration::from_secs(1), End::Hang));
    // In mid-stream.
    let response = world.open(Method::POST, CHAT, &[], ASK_STREAM.as_bytes()).await;
    let mut body = response.into_body();
    read_until(&mut body, "Hel").await;
    assert_eq!(openai.open(), 1);
    drop(body);
    settle().await;
    assert_eq!((openai.open(), openai.cancelled()), (0, 1));
    assert_eq!(world.metric("outrider_requests_total", &[("outcome", "client_gone")]), 1.0);
    assert!(world.metric("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", "output")]) >= 1.0, "what was produced is accounted");
    // Before the head.
    world.always("openai", Script::Hang);
    let hanging = world.always("openai", Script::Hang);
    {
        let waiting = world.open(Method::POST, CHAT, &[], ASK.as_bytes());
        assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
    }
    settle().await;
    assert_eq!((hanging.open(), hanging.cancelled()), (0, 1));
    world.assert_settled(2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_provider() {
    let world = World::pair();
    let word = "z".repeat(1000);
    let many: Vec<_> = std::iter::once(chunk(r#"{"content":"first"}"#, "null"))
        .chain(std::iter::repeat_n(chunk(&format!("{{\"content\":\"{word}\"}}"), "null"), 5000))
        .map(|event| (Duration::ZERO, Bytes::from(event)))
        .collect();
    let openai = world.always("openai", Script::Stream(many, End::Close));
    let response = world.open(Method::POST, CHAT, &[], ASK_STREAM.as_bytes()).await;
    let mut body = response.into_body();
    read_until(&mut body, "first").await;
    settle().await;
    // Five megabytes are on offer, and nobody reads: the provider is still at it, and little is held.
    assert_eq!(openai.open(), 1);
    drop(body);
    settle().await;
    assert_eq!((openai.open(), openai.cancelled()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_drains_end_is_told_in_the_stream() {
    for (path, alias, error) in [(CHAT, "fast", "data: {\"error\":{"), (MESSAGES, "fast", "event: error\n")] {
        let world = World::pair();
        let openai = world.always("openai", Script::events(&openai_stream(), Duration::from_secs(1), End::Hang));
        let body = ASK_STREAM.replace("fast", alias).replace("\"stream\"", "\"max_tokens\":9,\"stream\"");
        let response = world.open(Method::POST, path, &[], body.as_bytes()).await;
        let reading = read(response);
        let drain = async {
            world.line.shared.drain.begin();
            settle().await;
            world.line.shared.drain.cut();
        };
        let (reply, ()) = tokio::join!(reading, drain);
        let last = reply.text().trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with(error), "{}", reply.text());
        settle().await;
        assert_eq!(openai.open(), 0);
        world.assert_settled(1);
    }
}

// === Connections ===

#[tokio::test(start_paused = true)]
async fn connections_are_kept_and_replaced_without_a_word() {
    let world = World::pair();
    let openai = world.always("openai", Script::json(200, ANSWER));
    for _ in 0..5 {
        assert_eq!(world.post(CHAT, ASK).await.status, 200);
        settle().await;
    }
    assert_eq!((openai.seen().len(), openai.dialled()), (5, 1));
    let stream = world.always("openai", Script::sse(&openai_stream()));
    world.post(CHAT, ASK_STREAM).await;
    settle().await;
    world.post(CHAT, ASK_STREAM).await;
    // The first stream went over the kept connection, which belongs to the provider that was there before.
    assert!(stream.dialled() <= 1);
}

// === The rest ===

#[tokio::test(start_paused = true)]
async fn models_are_listed_for_both_sdks() {
    let world = World::pair();
    world.always(
        "openai",
        Script::json(200, r#"{"object":"list","data":[{"id":"gpt-4.1","object":"model","created":1744316542,"owned_by":"system"}]}"#),
    );
    let anthropic = world.always("anthropic", Script::json(200, r#"{"data":[{"type":"model","id":"claude-haiku-4-5","display_name":"Claude Haiku 4.5","created_at":"2025-10-01T00:00:00Z"}],"has_more":false}"#));
    let list = world.get("/v1/models?limit=1000").await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, IDS);
    assert_eq!(anthropic.seen()[0].uri, "/v1/models?limit=1000");
    let claude = list["data"].as_array().unwrap().iter().find(|model| model["id"] == "anthropic/claude-haiku-4-5").unwrap();
    let expected = json!({
        "id": "anthropic/claude-haiku-4-5", "object": "model", "type": "model", "created": 1_759_276_800, "created_at": "2025-10-01T00:00:00Z",
        "owned_by": "anthropic", "display_name": "Claude Haiku 4.5", "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
    });
    assert_eq!(*claude, expected);
    assert_eq!((&list["has_more"], &list["first_id"]), (&json!(false), &json!("fast")));
    assert_eq!(world.get("/v1/models/smart").await.json()["id"], "smart");
    assert_eq!(world.get("/v1/models/openai%2Fgpt-4.1").await.json()["id"], "openai/gpt-4.1");
    assert_eq!(world.get("/v1/models/smrat").await.status, 404);
}

/// The aliases, and what stands behind them.
const IDS: [&str; 7] = ["fast", "smart", "strict", "either", "openai/gpt-4.1", "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"];

#[tokio::test(start_paused = true)]
async fn models_are_told_of_in_the_callers_dialect() {
    let world = World::pair();
    // Nobody lists anything: the aliases and their targets are known all the same.
    world.always("openai", Script::json(500, "{}"));
    world.always("anthropic", Script::json(200, "[1, {}, {\"id\": 2}]"));
    let list = world.get("/v1beta/models?pageSize=50").await.json();
    let models = list["models"].as_array().unwrap();
    assert_eq!(models[0]["name"], "models/fast");
    let named = |name: &str| models.iter().find(|model| model["name"] == name).unwrap().clone();
    let expected = json!({
        "name": "models/smart", "displayName": "smart", "version": "", "inputTokenLimit": 200_000, "outputTokenLimit": 64_000,
        "supportedGenerationMethods": ["generateContent", "countTokens"], "thinking": true,
    });
    assert_eq!(named("models/smart"), expected);
    assert!(list.get("data").is_none());
    assert_eq!(world.get("/v1beta/models/smart").await.json(), expected);
    let missing = world.get("/v1beta/models/smrat").await;
    assert_eq!((missing.status.as_u16(), &missing.json()["error"]["status"]), (404, &json!("NOT_FOUND")));

    let told = read(world.open(Method::GET, "/v1/models/smart", &[("anthropic-version", "2023-06-01")], b"").await).await.json();
    let capabilities = &told["capabilities"];
    assert_eq!(capabilities["thinking"]["types"]["enabled"]["supported"], true);
    assert_eq!((&capabilities["image_input"]["supported"], &capabilities["effort"]["supported"]), (&json!(true), &json!(false)));
    assert_eq!(told["max_tokens"], 64_000);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_counted_by_the_provider_or_here() {
    let world = World::pair();
    let claude = world.always("anthropic", Script::json(200, r#"{"input_tokens":14}"#));
    let body = r#"{"model":"smart","messages":[{"role":"user","content":"Hello there, how are you?"}]}"#;
    assert_eq!(world.post("/v1/messages/count_tokens", body).await.text(), r#"{"input_tokens":14}"#);
    assert_eq!(claude.seen()[0].uri.path(), "/v1/messages/count_tokens");
    let counted = world.post("/v1/messages/count_tokens", body.replace("smart", "fast")).await.json();
    assert!((5..20).contains(&counted["input_tokens"].as_u64().unwrap()), "{counted}");
}

#[tokio::test(start_paused = true)]
async fn embeddings_pass() {
    let world = World::pair();
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPw=="}],"model":"text-embedding-3-small","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let openai = world.always("openai", Script::json(200, answer));
    let body = r#"{"model":"text-embedding-3-small","input":["a","b"],"encoding_format":"base64"}"#;
    let reply = world.post("/v1/embeddings", body).await;
    assert_eq!((reply.text(), &*openai.seen()[0].body), (answer, body.as_bytes()));
    let reply = world.post("/v1/embeddings", body.replace("text-embedding-3-small", "smart")).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
}

#[tokio::test(start_paused = true)]
async fn echo_answers_without_a_network() {
    let world = World::new("[providers.echo]\nkind = \"echo\"\n");
    let ask = |extra: &str| {
        format!(
            "{{\"model\":\"echo/echo\",\"max_tokens\":99{extra},\"messages\":[{{\"role\":\"user\",\"content\":\"good morning to you\"}}]}}"
        )
    };
    let reply = world.post(CHAT, ask("")).await.json();
    assert_eq!(reply["choices"][0]["message"]["content"], "good morning to you");
    assert_eq!(reply["usage"]["completion_tokens"], 4);
    let reply = world.post(MESSAGES, ask("")).await.json();
    assert_eq!(reply["content"][0]["text"], "good morning to you");
    let reply = world.post(MESSAGES, ask(",\"stream\":true")).await;
    assert!(
        reply.text().starts_with("event: message_start\n")
            && reply.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        "{}",
        reply.text()
    );
    let tools = r#","tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]"#;
    let called = ask(tools).replace("good morning to you", "call get_weather {\\\"city\\\":\\\"Paris\\\"}");
    let reply = world.post(CHAT, &called).await.json();
    assert_eq!(
        reply["choices"][0]["message"]["tool_calls"][0]["function"],
        json!({"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"})
    );
    let embedded = world.post("/v1/embeddings", r#"{"model":"echo/echo","input":"x","dimensions":3}"#).await.json();
    assert_eq!(embedded["data"][0]["embedding"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn clients_that_knock_are_answered() {
    let world = World::pair();
    for path in ["/", "/api/hello"] {
        assert_eq!(read(world.open(Method::HEAD, path, &[], b"").await).await.status, 200);
    }
    world.assert_settled(0);
}

#[tokio::test]
async fn an_exchange_under_way_is_small() {
    let world = World::new(PAIR);
    let request = http::Request::post(CHAT).body(http_body_util::Full::new(Bytes::from_static(ASK.as_bytes()))).unwrap();
    let bytes = std::mem::size_of_val(&world.line.serve(request));
    // It is moved to the heap as a whole, for each request: 23 KB cost two microseconds.
    assert!(bytes < 6 << 10, "{bytes}");
}
