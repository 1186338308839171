//! What requests of all dialects are, and how near the estimate comes to what providers counted.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::dialect::codec;

#[track_caller]
fn features(dialect: Dialect, body: &Value) -> Features {
    let body = body.to_string();
    Features::of(&codec(dialect).decode_request(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault} {body}")))
}

fn has(all: &[Has]) -> Has {
    all.iter().fold(Has::default(), |all, one| all.and(*one))
}

#[test]
fn the_same_request_is_the_same_in_every_dialect() {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let image = "iVBORw0KGgo=";
    let bodies = [
        (
            Dialect::OpenAiChat,
            json!({ "model": "m", "max_tokens": 99, "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": [{ "type": "text", "text": "hi" }, { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{image}") } }] },
                { "role": "assistant", "content": "hello" }, { "role": "user", "content": "weather?" }],
                "tools": [{ "type": "function", "function": { "name": "f", "parameters": schema } }], "tool_choice": "required" }),
        ),
        (
            Dialect::OpenAiResponses,
            json!({ "model": "m", "max_output_tokens": 99, "instructions": "be brief", "input": [
                { "role": "user", "content": [{ "type": "input_text", "text": "hi" }, { "type": "input_image", "image_url": format!("data:image/png;base64,{image}") }] },
                { "role": "assistant", "content": "hello" }, { "role": "user", "content": "weather?" }],
                "tools": [{ "type": "function", "name": "f", "parameters": schema }], "tool_choice": "required" }),
        ),
        (
            Dialect::Anthropic,
            json!({ "model": "m", "max_tokens": 99, "system": "be brief", "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "hi" }, { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": image } }] },
                { "role": "assistant", "content": "hello" }, { "role": "user", "content": "weather?" }],
                "tools": [{ "name": "f", "input_schema": schema }], "tool_choice": { "type": "any" } }),
        ),
        (
            Dialect::Gemini,
            json!({ "generationConfig": { "maxOutputTokens": 99 }, "systemInstruction": { "parts": [{ "text": "be brief" }] }, "contents": [
                { "role": "user", "parts": [{ "text": "hi" }, { "inlineData": { "mimeType": "image/png", "data": image } }] },
                { "role": "model", "parts": [{ "text": "hello" }] }, { "role": "user", "parts": [{ "text": "weather?" }] }],
                "tools": [{ "functionDeclarations": [{ "name": "f", "parametersJsonSchema": schema }] }],
                "toolConfig": { "functionCallingConfig": { "mode": "ANY" } } }),
        ),
        (
            Dialect::Bedrock,
            json!({ "inferenceConfig": { "maxTokens": 99 }, "system": [{ "text": "be brief" }], "messages": [
                { "role": "user", "content": [{ "text": "hi" }, { "image": { "format": "png", "source": { "bytes": image } } }] },
                { "role": "assistant", "content": [{ "text": "hello" }] }, { "role": "user", "content": [{ "text": "weather?" }] }],
                "toolConfig": { "tools": [{ "toolSpec": { "name": "f", "inputSchema": { "json": schema } } }], "toolChoice": { "any": {} } } }),
        ),
    ];
    for (dialect, body) in &bodies {
        let found = features(*dialect, body);
        assert_eq!((found.messages, found.output_tokens_max, found.media_tokens), (3, Some(99), 258), "{dialect:?}");
        assert_eq!(found.has, has(&[Has::TOOLS, Has::FORCED_TOOL, Has::IMAGES]), "{dialect:?}");
        assert!((300..=325).contains(&found.input_tokens), "{dialect:?} {}", found.input_tokens);
        let text = body.to_string();
        let unread = Features::of_bytes(*dialect, text.as_bytes(), &Envelope::read(text.as_bytes()).unwrap(), true);
        assert_eq!((unread.has, unread.output_tokens_max, unread.stream), (Has::TOOLS, Some(99), true), "{dialect:?}");
        assert_eq!((unread.messages, unread.session), (0, 0));
    }
    let sessions: std::collections::HashSet<_> = bodies.iter().map(|(dialect, body)| features(*dialect, body).session).collect();
    assert!(!sessions.contains(&0));
}

#[test]
fn what_a_request_holds_is_seen() {
    use Dialect::{Anthropic, Bedrock, Gemini, OpenAiChat, OpenAiResponses};
    let chat = |more: Value| {
        let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let responses = |more: Value| {
        let mut body = json!({ "model": "m", "input": "hi" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let said = |content: Value| json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": content }] });
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } });
    let cases: Vec<(Dialect, Value, Has)> = vec![
        (OpenAiChat, chat(json!({})), Has::default()),
        (OpenAiChat, chat(json!({ "response_format": schema })), Has::STRUCTURED_OUTPUT),
        (OpenAiChat, chat(json!({ "response_format": { "type": "json_object" } })), Has::default()),
        (OpenAiChat, chat(json!({ "reasoning_effort": "high" })), Has::REASONING),
        (OpenAiChat, chat(json!({ "reasoning_effort": "none" })), Has::default()),
        (OpenAiChat, chat(json!({ "web_search_options": {} })), Has::SIDE_EFFECTS),
        (OpenAiChat, said(json!([{ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } }])), Has::AUDIO),
        (
            OpenAiChat,
            said(json!([{ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA" } }])),
            Has::DOCUMENTS,
        ),
        (Anthropic, chat(json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } })), Has::REASONING),
        (Anthropic, chat(json!({ "thinking": { "type": "disabled" } })), Has::default()),
        (
            Anthropic,
            chat(json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] })),
            has(&[Has::TOOLS, Has::SIDE_EFFECTS]),
        ),
        (Anthropic, chat(json!({ "tools": [{ "type": "bash_20250124", "name": "bash" }] })), Has::TOOLS),
        (Anthropic, chat(json!({ "mcp_servers": [{ "type": "url", "url": "https://x", "name": "x" }] })), Has::SIDE_EFFECTS),
        (Anthropic, chat(json!({ "mcp_servers": [] })), Has::default()),
        (
            Anthropic,
            chat(json!({ "tools": [{ "name": "f", "input_schema": {} }], "tool_choice": { "type": "tool", "name": "f" } })),
            has(&[Has::TOOLS, Has::FORCED_TOOL]),
        ),
        (
            OpenAiResponses,
            responses(json!({ "tools": [{ "type": "code_interpreter", "container": { "type": "auto" } }] })),
            has(&[Has::TOOLS, Has::SIDE_EFFECTS]),
        ),
        (OpenAiResponses, responses(json!({ "tools": [{ "type": "local_shell" }] })), Has::TOOLS),
        (OpenAiResponses, responses(json!({ "reasoning": { "summary": "auto" } })), Has::default()),
        (
            OpenAiResponses,
            responses(json!({ "text": { "format": { "type": "json_schema", "name": "n", "schema": {} } } })),
            Has::STRUCTURED_OUTPUT,
        ),
        (Gemini, json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": "https://youtu.be/x" } }] }] }), Has::VIDEO),
        (
            Gemini,
            json!({ "contents": [{ "parts": [{ "text": "x" }] }], "tools": [{ "googleSearch": {} }] }),
            has(&[Has::TOOLS, Has::SIDE_EFFECTS]),
        ),
        (
            Bedrock,
            json!({ "messages": [{ "role": "user", "content": [{ "document": { "format": "pdf", "name": "n", "source": { "bytes": "AAAA" } } }] }] }),
            Has::DOCUMENTS,
        ),
    ];
    for (dialect, body, expected) in cases {
        assert_eq!(features(dialect, &body).has, expected, "{dialect:?} {body}");
    }
    // What only the provider that holds it can resolve is not decoded.
    for member in [json!({ "previous_response_id": "r" }), json!({ "conversation": "c" }), json!({ "background": true })] {
        let body = responses(member).to_string();
        let unread = Features::of_bytes(OpenAiResponses, body.as_bytes(), &Envelope::read(body.as_bytes()).unwrap(), false);
        assert_eq!(unread.has, Has::SIDE_EFFECTS, "{body}");
    }
    let body = responses(json!({ "background": false, "conversation": null, "tools": [{ "type": "mcp" }] })).to_string();
    let unread = Features::of_bytes(OpenAiResponses, body.as_bytes(), &Envelope::read(body.as_bytes()).unwrap(), false);
    assert_eq!(unread.has, has(&[Has::TOOLS, Has::SIDE_EFFECTS]));
}

#[test]
fn what_multiplies_and_what_is_unseen_is_told() {
    use Dialect::{Anthropic, Bedrock, Gemini, OpenAiChat, OpenAiResponses};
    let hi = json!([{ "role": "user", "content": "hi" }]);
    let contents = json!([{ "parts": [{ "text": "x" }] }]);
    // (dialect, request, answers, searches, whether something is held)
    let cases = [
        (OpenAiChat, json!({ "model": "m", "messages": hi }), None, 0, false),
        (OpenAiChat, json!({ "model": "m", "messages": hi, "n": 3, "web_search_options": {} }), Some(3), SEARCHES_ASSUMED, false),
        (OpenAiChat, json!({ "model": "m", "messages": hi, "n": u64::MAX }), Some(u64::MAX), 0, false),
        (OpenAiResponses, json!({ "model": "m", "input": "hi", "tools": [{ "type": "web_search" }] }), None, SEARCHES_ASSUMED, false),
        (
            OpenAiResponses,
            json!({ "model": "m", "input": "hi", "tools": [{ "type": "file_search", "vector_store_ids": [] }] }),
            None,
            0,
            false,
        ),
        (
            Anthropic,
            json!({ "model": "m", "max_tokens": 9, "messages": hi, "tools": [{ "type": "web_search_20250305", "name": "web_search", "max_uses": 4 }] }),
            None,
            4,
            false,
        ),
        (
            Gemini,
            json!({ "contents": contents, "generationConfig": { "candidateCount": 2 }, "cachedContent": "cachedContents/1",
                "tools": [{ "urlContext": {}, "googleSearch": {} }] }),
            Some(2),
            SEARCHES_ASSUMED,
            true,
        ),
        (
            Bedrock,
            json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }],
                "toolConfig": { "tools": [{ "systemTool": { "name": "nova_grounding" } }] } }),
            None,
            SEARCHES_ASSUMED,
            false,
        ),
    ];
    for (dialect, body, answers, searches, held) in cases {
        let text = body.to_string();
        let unread = Features::of_bytes(dialect, text.as_bytes(), &Envelope::read(text.as_bytes()).unwrap(), false);
        for found in [features(dialect, &body), unread] {
            assert_eq!((found.answers, found.searches_max, found.held), (answers, searches, held), "{dialect:?} {body}");
        }
    }
    let body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" },
        { "role": "assistant", "content": [{ "type": "redacted_thinking", "data": "AAAA" }, { "type": "text", "text": "x" }] },
        { "role": "user", "content": [{ "type": "document", "citations": { "enabled": true },
            "source": { "type": "text", "media_type": "text/plain", "data": "abcd" } }] }] });
    let found = features(Anthropic, &body);
    assert!(found.sealed == 1 && found.input_tokens > 500, "{found:?}");
}

#[test]
fn contents_are_told_apart() {
    // A square of 1,024 pixels.
    let image = "iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAIAAAA";
    let body = json!({ "model": "m", "max_tokens": 9, "tools": [{ "name": "f", "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "There is nothing to say. ".repeat(40) },
            { "type": "text", "text": "if (a[i] != b) { return f(&a); }\n".repeat(40) },
            { "type": "text", "text": "你好，世界。".repeat(40) },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": image } },
            { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK" } }] }] });
    let text = body.to_string();
    let unread = Features::of_bytes(Dialect::Anthropic, text.as_bytes(), &Envelope::read(text.as_bytes()).unwrap(), false);
    let read = features(Dialect::Anthropic, &body);
    for (content, tokens) in [(Content::Text, 250), (Content::Code, 320), (Content::Foreign, 160), (Content::Json, 17)] {
        let of = |features: &Features| features.contents.tokens(content, ImageRule::Dearest);
        assert!(of(&read).abs_diff(tokens) * 4 <= tokens, "{content:?} {}", of(&read));
        assert!(content == Content::Json || of(&unread).abs_diff(tokens) * 4 <= tokens, "{content:?} {}", of(&unread));
    }
    let images = [ImageRule::Tiles512, ImageRule::Area, ImageRule::Tiles768, ImageRule::Dearest]
        .map(|rule| read.contents.tokens(Content::Image, rule));
    assert_eq!((images, read.contents.tokens(Content::Document, ImageRule::Area)), ([765, 1_399, 1_032, 1_399], 2_000));
    let rules = ["anthropic/claude-opus-4-7", "vertex/gemini-3-pro", "azure/gpt-4o", "ollama/qwen3-vl"].map(ImageRule::of);
    assert_eq!(rules, [ImageRule::Area, ImageRule::Tiles768, ImageRule::Tiles512, ImageRule::Dearest]);
}

#[test]
fn a_session_is_what_stays_the_same() {
    let talk = |system: &str, turns: &[&str]| {
        let roles = ["user", "assistant"];
        let messages: Vec<_> = turns.iter().enumerate().map(|(n, turn)| json!({ "role": roles[n % 2], "content": turn })).collect();
        features(Dialect::Anthropic, &json!({ "model": "m", "max_tokens": 9, "system": system, "messages": messages })).session
    };
    let first = talk("s", &["hello"]);
    assert_eq!(first, talk("s", &["hello", "hi", "and?"]));
    assert_ne!(first, talk("s", &["hello!", "hi", "and?"]));
    assert_ne!(first, talk("t", &["hello"]));
}

#[test]
fn media_do_not_count_as_text() {
    let data = "A".repeat(4_000_000);
    let said = |part: Value| {
        features(Dialect::Anthropic, &json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": [part] }] }))
    };
    let source = |media_type: &str| json!({ "type": "base64", "media_type": media_type, "data": data });
    let image = said(json!({ "type": "image", "source": source("image/png") }));
    assert_eq!((image.media_tokens, image.input_tokens), (1_600, 1_604));
    let document = said(json!({ "type": "document", "source": source("application/pdf") }));
    assert_eq!(document.media_tokens, 120_000);
    let inside =
        said(json!({ "type": "tool_result", "tool_use_id": "1", "content": [{ "type": "image", "source": source("image/png") }] }));
    assert!(inside.has.has(Has::IMAGES) && inside.input_tokens < 2_000);
    let plain = said(json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "abcd".repeat(1000) } }));
    assert_eq!((plain.media_tokens, plain.input_tokens, plain.has), (0, 1_004, Has::DOCUMENTS));
}

/// Recorded exchanges, where they are: nothing panics, and the estimate is near what the providers counted.
#[test]
#[expect(clippy::print_stderr, reason = "what was skipped or measured is said aloud")]
fn the_estimate_is_near_what_providers_counted() {
    #[expect(clippy::disallowed_methods, reason = "only tests look for recordings")]
    let root = std::env::var("OUTRIDER_CORPUS").map(PathBuf::from);
    let folder = root.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic")).join("given");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no recorded traffic (set OUTRIDER_CORPUS)");
        return;
    }
    let (mut read, mut ratios) = (0, Vec::new());
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|e| e != "json") || path.ends_with("GROUPS.json") {
            continue;
        }
        let exchange: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let dialect = match exchange["api"].as_str().unwrap() {
            "chat.completions" => Dialect::OpenAiChat,
            "responses" => Dialect::OpenAiResponses,
            "messages" | "vertex.rawPredict" => Dialect::Anthropic,
            "generateContent" => Dialect::Gemini,
            "converse" => Dialect::Bedrock,
            _ => continue,
        };
        let body = exchange["request"]["body"].to_string();
        let Ok(envelope) = Envelope::read(body.as_bytes()) else { continue };
        let unread = Features::of_bytes(dialect, body.as_bytes(), &envelope, false);
        let Ok(request) = codec(dialect).decode_request(body.as_bytes()) else { continue };
        let features = Features::of(&request);
        read += 1;
        assert!(features.has.has(unread.has), "{path:?}: {features:?} {unread:?}");
        assert_eq!(features.output_tokens_max, unread.output_tokens_max, "{path:?}");
        let answer = exchange["response"]["body"].to_string();
        let told = codec(dialect).observe_answer(answer.as_bytes()).ok().and_then(|seen| seen.usage).and_then(|usage| usage.input_tokens);
        if let Some(told) = told.filter(|told| *told > 0)
            && features.media_tokens == 0
            && !features.has.has(Has::SIDE_EFFECTS)
        {
            ratios.push((features.input_tokens as f64 / told as f64, told, crate::policy::fit::sure_tokens(&features)));
        }
    }
    // Far more is told where a provider searches the web or puts a prompt of its own before.
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |percent: usize| ratios[ratios.len() * percent / 100].0;
    eprintln!(
        "{read} requests read, {} compared: estimate / told {:.2} at 10 %, {:.2} at 50 %, {:.2} at 90 %",
        ratios.len(),
        at(10),
        at(50),
        at(90)
    );
    assert!((0.6..1.4).contains(&at(50)) && at(90) < 2.0);
    let over: Vec<_> = ratios.iter().filter(|(_, told, sure)| *told >= 1000 && sure > told).collect();
    assert!(over.is_empty(), "{over:?}");
}
