//! Whole answers and errors, both ways.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Anthropic;
use super::{json as parse, reply};
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Dialect, Extension, Finish, FinishReason, Part, ServiceTier, Text, Usage};

fn encode(answer: &Answer<'_>) -> (Value, Vec<String>) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Anthropic.encode_answer(answer, &reply(), &mut notes, &mut out);
    (parse(&out), notes.losses.names().iter().map(|name| name.to_string()).collect())
}

const WHOLE: &str = r#"{"id":"msg_01","type":"message","role":"assistant","model":"claude-x","content":[
    {"type":"thinking","thinking":"hm","signature":"sig"},
    {"type":"redacted_thinking","data":"xyz"},
    {"type":"text","text":"Hello \u00e9","citations":[{"type":"char_location"}]},
    {"type":"server_tool_use","id":"s1","name":"web_search","input":{"q":"x"}},
    {"type":"tool_use","id":"toolu_1","name":"f","input":{"a": 1.50}}],
  "stop_reason":"tool_use","stop_sequence":null,"container":{"id":"c"},
  "usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":20,"output_tokens":7,
    "cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3},"output_tokens_details":{"thinking_tokens":4},
    "service_tier":"standard"}}"#;

#[test]
fn reads_a_whole_answer_and_writes_it_again() {
    let answer = Anthropic.decode_answer(WHOLE.as_bytes()).unwrap();
    assert_eq!((answer.id.clone(), answer.model.clone()), (Some(Text::plain("msg_01")), Some(Text::plain("claude-x"))));
    let usage = Usage {
        input_tokens: Some(35),
        cache_read_tokens: Some(20),
        cache_write_tokens: Some(5),
        cache_write_1h_tokens: Some(3),
        output_tokens: Some(7),
        reasoning_tokens: Some(4),
        service_tier: Some(ServiceTier::Standard),
        ..Usage::default()
    };
    assert_eq!(answer.usage, Some(usage));
    assert_eq!(answer.finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
    assert!(matches!(&answer.parts[4], Part::ToolCall { arguments, .. } if arguments.is(r#"{"a": 1.50}"#)));
    assert!(matches!(&answer.parts[3], Part::Opaque { kind, .. } if kind == "server_tool_use"));
    let observed = Anthropic.observe_answer(WHOLE.as_bytes()).unwrap();
    assert_eq!((observed.usage, observed.finish), (Some(usage), Some(FinishReason::ToolCalls)));

    let (body, losses) = encode(&answer);
    let mut wanted: Value = serde_json::from_str(WHOLE).unwrap();
    wanted["usage"].as_object_mut().unwrap().remove("service_tier");
    assert_eq!(body, wanted);
    assert!(losses.is_empty());
}

#[test]
fn tells_every_end() {
    let text = || Part::text(Text::plain("x"));
    let call = || Part::ToolCall { id: Text::plain("c"), name: Text::plain("f"), arguments: Text::EMPTY, custom: false, cache: None };
    let finish = |reason, raw: &'static str| Some(Finish::new(reason, Text::plain(raw)));
    let cases = [
        (text(), None, "end_turn"),
        (call(), None, "tool_use"),
        (text(), finish(FinishReason::Stop, "stop"), "end_turn"),
        (call(), finish(FinishReason::Stop, "stop"), "tool_use"),
        (call(), finish(FinishReason::Length, "length"), "max_tokens"),
        (text(), finish(FinishReason::Length, "model_context_window_exceeded"), "model_context_window_exceeded"),
        (text(), finish(FinishReason::ToolCalls, "tool_calls"), "tool_use"),
        (text(), finish(FinishReason::ContentFilter, "content_filter"), "refusal"),
        (text(), finish(FinishReason::Pause, "pause_turn"), "pause_turn"),
        (text(), finish(FinishReason::Other, "eaten"), "end_turn"),
        (Part::Refusal(Text::plain("no")), finish(FinishReason::Stop, "stop"), "refusal"),
    ];
    for (part, finish, wanted) in cases {
        let case = format!("{part:?} {finish:?}");
        let (body, _) = encode(&Answer { parts: vec![part], finish, ..Answer::default() });
        assert_eq!(body["stop_reason"], wanted, "{case}");
        assert_eq!(body["stop_sequence"], Value::Null, "{case}");
    }
    let mut met = Finish::new(FinishReason::Stop, Text::plain("stop"));
    met.stop_sequence = Some(Text::plain("END"));
    let (body, _) = encode(&Answer { finish: Some(met), ..Answer::default() });
    assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    let mut declined = Finish::new(FinishReason::ContentFilter, Text::plain("content_filter"));
    declined.explanation = Some(Text::plain("why"));
    let (body, _) = encode(&Answer { finish: Some(declined), ..Answer::default() });
    assert_eq!(body["stop_details"], json!({"type": "refusal", "category": null, "explanation": "why"}));
}

#[test]
fn writes_what_a_typed_client_needs() {
    let answer = Answer {
        parts: vec![
            Part::text(Text::EMPTY),
            Part::Reasoning { text: Text::plain("hm"), signature: None },
            Part::Refusal(Text::plain("no")),
            Part::ToolCall { id: Text::plain("call 1"), name: Text::plain("up"), arguments: Text::plain("[1"), custom: false, cache: None },
            Part::ToolCall { id: Text::plain("c2"), name: Text::plain("f"), arguments: Text::plain("raw"), custom: true, cache: None },
            Part::Opaque { dialect: Dialect::OpenAiChat, kind: "audio".into(), raw: Raw::literal("{}") },
        ],
        extensions: vec![Extension { dialect: Dialect::OpenAiChat, name: "system_fingerprint".into(), value: Raw::literal("\"fp\"") }],
        usage: Some(Usage { input_tokens: Some(3), cache_read_tokens: Some(5), output_tokens: Some(1), ..Usage::default() }),
        ..Answer::default()
    };
    let mut to = reply();
    to.tools.mark_custom("up", "mcp.up");
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Anthropic.encode_answer(&answer, &to, &mut notes, &mut out);
    let body = parse(&out);
    assert_eq!(body["id"], format!("msg_{}", to.id));
    assert_eq!((&body["type"], &body["role"], &body["model"]), (&json!("message"), &json!("assistant"), &json!("asked-model")));
    let id = body["content"][2]["id"].as_str().unwrap();
    assert!(id.starts_with("call_1_") && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{id}");
    assert_eq!(
        body["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "no"},
            {"type": "tool_use", "id": id, "name": "mcp.up", "input": {"_raw": "[1"}},
            {"type": "tool_use", "id": "c2", "name": "f", "input": {"input": "raw"}},
        ])
    );
    assert_eq!(
        body["usage"],
        json!({"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 5, "output_tokens": 1})
    );
    assert_eq!(notes.losses.names(), ["content[].audio"]);
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for body in ["", "<html>", "[]", "{}", r#"{"content":"x"}"#, r#"{"content":[1]}"#, r#"{"content":[{"type":"text"}]}"#] {
        let fault = Anthropic.decode_answer(body.as_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UpstreamProtocol, "{body}");
    }
    let fault = Anthropic.decode_answer(br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#).unwrap_err();
    assert_eq!((fault.kind, fault.status, &*fault.client_text), (FaultKind::Overloaded, None, "Overloaded"));
    let fault = Anthropic.decode_answer(br#"{"error":{"type":"rate_limit_error","message":"slow"}}"#).unwrap_err();
    assert_eq!(fault.kind, FaultKind::RateLimited);
    assert!(Anthropic.observe_answer(b"<html>").is_err());
}

#[test]
fn reads_every_error() {
    let own = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}}).to_string();
    let cases = [
        (400, own("invalid_request_error", "max_tokens: bad"), FaultKind::BadRequest, "max_tokens: bad"),
        (400, own("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"), FaultKind::ContextTooLong, "prompt is too long"),
        (400, own("invalid_request_error", "Your credit balance is too low to access"), FaultKind::BudgetExhausted, "credit"),
        (400, own("invalid_request_error", "Output blocked by content filtering policy"), FaultKind::Blocked, "blocked"),
        (401, own("authentication_error", "invalid x-api-key"), FaultKind::Unauthenticated, "invalid"),
        (402, own("billing_error", "pay"), FaultKind::BudgetExhausted, "pay"),
        (403, own("permission_error", "no"), FaultKind::Forbidden, "no"),
        (404, own("not_found_error", "model: claude-z"), FaultKind::ModelNotFound, "claude-z"),
        (404, String::new(), FaultKind::NotFound, "no reason"),
        (408, String::new(), FaultKind::Timeout, ""),
        (409, "{}".to_owned(), FaultKind::UpstreamFailed, "gave no reason"),
        (413, own("request_too_large", "big"), FaultKind::TooLarge, "big"),
        (422, r#"{"detail":"odd"}"#.to_owned(), FaultKind::BadRequest, "odd"),
        (429, own("rate_limit_error", "slow"), FaultKind::RateLimited, "slow"),
        (429, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#.to_owned(), FaultKind::BudgetExhausted, "m"),
        (500, own("api_error", "oops 429"), FaultKind::UpstreamFailed, "oops"),
        (500, own("overloaded_error", "busy"), FaultKind::Overloaded, "busy"),
        (502, "<html>bad gateway</html>".to_owned(), FaultKind::UpstreamFailed, "bad gateway"),
        (503, r#"{"error":"no room"}"#.to_owned(), FaultKind::Overloaded, "no room"),
        (504, r#"{"message":"late"}"#.to_owned(), FaultKind::Timeout, "late"),
        (529, own("overloaded_error", "Overloaded"), FaultKind::Overloaded, "Overloaded"),
    ];
    for (status, body, kind, text) in cases {
        let fault = Anthropic.decode_error(StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), body.as_bytes());
        assert_eq!((fault.kind, fault.status), (kind, Some(status)), "{status} {body}");
        assert!(fault.client_text.contains(text), "{status} {body}: {}", fault.client_text);
    }
    let long = Anthropic.decode_error(StatusCode::BAD_GATEWAY, &http::HeaderMap::new(), &[b'x'; 9999]);
    assert_eq!(long.client_text.len(), 2048);
}

#[test]
fn tells_every_error() {
    let cases = [
        (FaultKind::BadRequest, 400, "invalid_request_error"),
        (FaultKind::Unsupported, 400, "invalid_request_error"),
        (FaultKind::ContextTooLong, 400, "invalid_request_error"),
        (FaultKind::Blocked, 400, "invalid_request_error"),
        (FaultKind::Unauthenticated, 401, "authentication_error"),
        (FaultKind::BudgetExhausted, 402, "billing_error"),
        (FaultKind::Forbidden, 403, "permission_error"),
        (FaultKind::NotFound, 404, "not_found_error"),
        (FaultKind::ModelNotFound, 404, "not_found_error"),
        (FaultKind::MethodNotAllowed, 405, "invalid_request_error"),
        (FaultKind::TooLarge, 413, "request_too_large"),
        (FaultKind::RateLimited, 429, "rate_limit_error"),
        (FaultKind::Internal, 500, "api_error"),
        (FaultKind::Unreachable, 502, "api_error"),
        (FaultKind::UpstreamFailed, 502, "api_error"),
        (FaultKind::UpstreamProtocol, 502, "api_error"),
        (FaultKind::Truncated, 502, "api_error"),
        (FaultKind::Timeout, 504, "timeout_error"),
        (FaultKind::Overloaded, 529, "overloaded_error"),
        (FaultKind::Draining, 529, "overloaded_error"),
    ];
    let id = reply().id;
    for (kind, status, word) in cases {
        let fault = Fault::new(kind, Origin::Gateway, "why \"so\"");
        assert_eq!(Anthropic.error_status(&fault).as_u16(), status, "{kind:?}");
        let mut out = Vec::new();
        Anthropic.encode_error(&fault, id, &mut out);
        let wanted = json!({"type": "error", "error": {"type": word, "message": "why \"so\""}, "request_id": format!("req_{id}")});
        assert_eq!(parse(&out), wanted);
        let mut event = Vec::new();
        Anthropic.encode_stream_error(&fault, id, crate::base::framing::Framing::Sse, true, &mut event);
        assert_eq!(event, [b"event: error\ndata: ", &out[..], b"\n\n"].concat());
    }
}

proptest! {
    /// Law: no answer, however broken, does more than be a fault; nor does an error.
    #[test]
    fn a_broken_answer_is_a_fault_at_worst(from in 0..WHOLE.len(), to in 0..WHOLE.len(), piece in "[\\[\\]{}:,\"0-9a-z\\\\]{0,4}", status in 100u16..600) {
        let body = [&WHOLE[..from.min(to)], &piece, &WHOLE[from.max(to)..]].concat();
        if let Ok(answer) = Anthropic.decode_answer(body.as_bytes()) {
            encode(&answer);
        }
        Anthropic.observe_answer(body.as_bytes()).ok();
        Anthropic.decode_error(StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), body.as_bytes());
    }
}
