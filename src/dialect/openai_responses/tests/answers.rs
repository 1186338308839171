use super::*;
use crate::dialect::codec;
use crate::ir::{Dialect, Finish, FinishReason, Usage};

fn encode(answer: &Answer<'_>, reply: &Reply) -> (Value, Vec<String>) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    OpenAiResponses.encode_answer(answer, reply, &mut notes, &mut out);
    (value(&out), notes.losses.names().iter().map(|name| name.to_string()).collect())
}

#[test]
fn an_answer_is_read_in_order() {
    let body = json!({
        "id": "resp_1", "object": "response", "created_at": 7.0, "status": "completed", "model": "gpt", "error": null,
        "incomplete_details": null, "tools": [], "instructions": "x",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}], "encrypted_content": "E"},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "F"},
            {"type": "reasoning", "id": "rs_3", "summary": [], "content": [{"type": "reasoning_text", "text": "open"}]},
            {"type": "reasoning", "id": "rs_4", "summary": []},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": [
                {"type": "output_text", "text": "hi", "annotations": [{"type": "url_citation"}]}, {"type": "output_text", "text": "", "annotations": []},
                {"type": "refusal", "refusal": "no"}
            ]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "namespace": "n", "arguments": "{}"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "g", "input": "raw"}
        ],
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 9}, "total_tokens": 15}
    });
    let text = body.to_string();
    let answer = OpenAiResponses.decode_answer(text.as_bytes()).unwrap();
    assert_eq!(
        meaning(&answer),
        json!({
            "id": "resp_1", "model": "gpt", "created": 7,
            "parts": [
                ["reasoning b3V0cmlkZXIvcmVzcG9uc2VzE", "a\n\nb"], ["redacted", "b3V0cmlkZXIvcmVzcG9uc2VzF"], ["reasoning ", "open"],
                ["text", "hi"], ["refusal", "no"], ["call c1 n\u{1f}f false", "{}"], ["call c2 g true", "raw"]
            ],
            "finish": "ToolCalls",
            "usage": format!("{:?}", Usage {
                input_tokens: Some(10), cache_read_tokens: Some(4), cache_write_tokens: Some(2), output_tokens: Some(5),
                reasoning_tokens: Some(5), web_searches: Some(1), ..Usage::default()
            })
        })
    );
    let observed = OpenAiResponses.observe_answer(text.as_bytes()).unwrap();
    assert_eq!((observed.usage, observed.finish), (answer.usage, Some(FinishReason::ToolCalls)));
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    codec(Dialect::OpenAiChat).encode_answer(&answer, &reply(), &mut notes, &mut out);
    assert!(notes.losses.names().iter().any(|name| name == "content[].web_search_call"), "{:?}", notes.losses);
}

#[test]
fn endings_are_told_apart() {
    let table = [
        (json!({"status": "completed", "output": []}), Some(FinishReason::Stop)),
        (json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}), Some(FinishReason::Length)),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}),
            Some(FinishReason::ContentFilter),
        ),
        (json!({"status": "incomplete", "incomplete_details": null, "output": []}), Some(FinishReason::Length)),
        (json!({"output": []}), Some(FinishReason::Stop)),
        (json!({"status": "queued", "output": []}), None),
    ];
    for (body, reason) in table {
        let text = body.to_string();
        let answer = OpenAiResponses.decode_answer(text.as_bytes()).unwrap();
        assert_eq!(answer.finish.map(|finish| finish.reason), reason, "{body}");
        assert_eq!(OpenAiResponses.observe_answer(text.as_bytes()).unwrap().finish, reason, "{body}");
    }
    let failures = [
        (json!({"status": "failed", "error": {"code": "server_error", "message": "m"}, "output": []}), "upstream_failed"),
        (json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "m"}, "output": []}), "rate_limited"),
        (json!({"status": "failed", "error": null, "output": []}), "upstream_failed"),
        (json!({"status": "completed", "error": null}), "upstream_protocol"),
        (json!([]), "upstream_protocol"),
    ];
    for (body, kind) in failures {
        let text = body.to_string();
        assert_eq!(OpenAiResponses.decode_answer(text.as_bytes()).unwrap_err().kind.label(), kind, "{body}");
    }
    assert_eq!(OpenAiResponses.observe_answer(br#"{"object":"response.input_tokens","input_tokens":3}"#).unwrap().finish, None);
}

#[test]
fn an_answer_is_written_as_the_sdks_want_it() {
    let answer = Answer {
        id: Some(Text::plain("msg_anthropic")),
        model: Some(Text::plain("claude")),
        parts: vec![
            Part::Reasoning { text: Text::plain("think"), signature: Some(Text::plain("SIG")) },
            Part::Reasoning { text: Text::EMPTY, signature: Some(Text::plain("SIG2")) },
            Part::RedactedReasoning(Text::plain("RED")),
            Part::text(Text::plain("a")),
            Part::text(Text::plain("b")),
            Part::ToolCall { id: Text::plain("t1"), name: Text::plain("n_f"), arguments: Text::EMPTY, custom: false, cache: None },
            Part::ToolCall {
                id: Text::EMPTY,
                name: Text::plain("g"),
                arguments: Text::plain(r#"{"input":"x\ny"}"#),
                custom: false,
                cache: None,
            },
        ],
        finish: Some(Finish::new(FinishReason::Length, Text::plain("max_tokens"))),
        usage: Some(Usage { input_tokens: Some(3), output_tokens: Some(4), ..Usage::default() }),
        ..Answer::default()
    };
    let mut reply = reply();
    assert_eq!(reply.tools.fit("n\u{1f}f", 64), "n_f");
    reply.tools.mark_custom("g", "g");
    let (out, lost) = encode(&answer, &reply);
    let id = reply.id.to_string();
    assert_eq!(out["id"], format!("resp_{id}"));
    assert_eq!((&out["object"], &out["status"], &out["model"]), (&json!("response"), &json!("incomplete"), &json!("claude")));
    assert_eq!(out["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(
        out["output"],
        json!([
            {"id": format!("rs_{id}000"), "type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}],
                "encrypted_content": "b3V0cmlkZXIvYW50aHJvcGljSIG"},
            {"id": format!("rs_{id}001"), "type": "reasoning", "summary": [{"type": "summary_text", "text": ""}],
                "encrypted_content": "b3V0cmlkZXIvYW50aHJvcGljSIG2"},
            {"id": format!("rs_{id}002"), "type": "reasoning", "summary": [], "encrypted_content": "b3V0cmlkZXIvYW50aHJvcGljRED"},
            {"id": format!("msg_{id}003"), "type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "a"},
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "b"}
            ]},
            {"id": format!("fc_{id}004"), "type": "function_call", "status": "completed", "arguments": "{}", "call_id": "t1", "name": "f", "namespace": "n"},
            {"id": format!("ctc_{id}005"), "type": "custom_tool_call", "status": "incomplete", "input": "x\ny", "call_id": format!("call_{id}005"), "name": "g"}
        ])
    );
    assert_eq!(
        out["usage"],
        json!({"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 7})
    );
    for member in
        ["created_at", "error", "instructions", "metadata", "parallel_tool_calls", "temperature", "text", "tool_choice", "tools", "top_p"]
    {
        assert!(out.get(member).is_some(), "{member}");
    }
    assert!(lost.is_empty());
}

/// A caller replays what it was given, and the thinking comes home to its provider.
#[test]
fn thinking_comes_home() {
    let thoughts = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[
        {"type":"thinking","thinking":"words","signature":"S1"},{"type":"thinking","thinking":"","signature":"S2"},
        {"type":"redacted_thinking","data":"D3"},{"type":"text","text":"hi"}],
        "stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let answer = codec(Dialect::Anthropic).decode_answer(thoughts.as_bytes()).unwrap();
    let whole = encode(&answer, &reply()).0;
    let mut events = Vec::new();
    crate::ir::unfold(&answer, |event| events.push(event));
    let (wire, _) = streamed(events, reply());
    let last = checked(&wire).pop().unwrap()["response"].take();
    assert_eq!(last["output"], whole["output"]);
    let mut input = whole["output"].as_array().unwrap().clone();
    input.insert(0, json!({"role": "user", "content": "q"}));
    input.push(json!({"role": "user", "content": "q2"}));
    let body = json!({"model": "m", "input": input}).to_string();
    let request = OpenAiResponses.decode_request(body.as_bytes()).unwrap();
    let (again, notes) = written(codec(Dialect::Anthropic), &request, &ModelTraits::default()).unwrap();
    assert_eq!(
        again["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "words", "signature": "S1"}, {"type": "thinking", "thinking": "", "signature": "S2"},
            {"type": "redacted_thinking", "data": "D3"}, {"type": "text", "text": "hi"}
        ])
    );
    assert!(notes.losses.is_empty(), "{:?}", notes.losses);
}

#[test]
fn a_count_of_tokens_and_paths() {
    let mut out = Vec::new();
    assert!(OpenAiResponses.encode_token_count(11, &mut out));
    assert_eq!(value(&out), json!({"object": "response.input_tokens", "input_tokens": 11}));
    let path = |operation| OpenAiResponses.path(operation, "m", false);
    assert_eq!(path(crate::ir::Operation::CountTokens).as_deref(), Some("/responses/input_tokens"));
    assert_eq!(path(crate::ir::Operation::Embeddings), None);
}
