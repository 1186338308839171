//! Whole answers, both ways.

use serde_json::{Value, json};

use super::super::Gemini;
use super::{json as parse, losses, reply};
use crate::base::FaultKind;
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Citations, Dialect, Finish, FinishReason, Part, Text, Usage, proof};

fn encode(answer: &Answer<'_>) -> (Value, Notes) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Gemini.encode_answer(answer, &reply(Framing::Sse), &mut notes, &mut out);
    (parse(&out), notes)
}

const WHOLE: &str = r#"{"candidates":[{"content":{"parts":[
    {"text":"hm","thought":true},
    {"text":"Hello \u00e9","thoughtSignature":"c2ln"},
    {"functionCall":{"name":"f","args":{"a": 1.50}},"thoughtSignature":"c2lnMg=="},
    {"functionCall":{"id":"own","name":"g"}},
    {"inlineData":{"mimeType":"image/png","data":"AA"}},
    {"text":"","thoughtSignature":"ZW5k"}],"role":"model"},
    "finishReason":"STOP","finishMessage":"Model generated function call(s).","index":0,"safetyRatings":[],"groundingMetadata":{"x":1}}],
  "usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":5,"cachedContentTokenCount":4,"candidatesTokenCount":7,
    "thoughtsTokenCount":3,"totalTokenCount":25,"promptTokensDetails":[{"modality":"TEXT","tokenCount":8},{"modality":"AUDIO","tokenCount":2}]},
  "modelVersion":"gemini-x","responseId":"r1","createTime":"2026-05-04T20:01:02.264968Z"}"#;

#[test]
fn reads_a_whole_answer() {
    let answer = Gemini.decode_answer(WHOLE.as_bytes()).unwrap();
    assert_eq!(
        (answer.id.clone(), answer.model.clone(), answer.created),
        (Some(Text::plain("r1")), Some(Text::plain("gemini-x")), Some(1_777_924_862))
    );
    let usage = Usage {
        input_tokens: Some(15),
        cache_read_tokens: Some(4),
        output_tokens: Some(10),
        reasoning_tokens: Some(3),
        input_audio_tokens: Some(2),
        ..Usage::default()
    };
    assert_eq!(answer.usage, Some(usage));
    assert_eq!(answer.finish.as_ref().map(|f| (f.reason, f.explanation.clone())), Some((FinishReason::ToolCalls, None)));
    let kinds: Vec<String> = answer
        .parts
        .iter()
        .map(|part| match part {
            Part::Reasoning { text, signature } => format!("thought {} {}", text.read(), signature.is_some()),
            Part::Text { text, .. } => format!("text {}", text.read()),
            Part::ToolCall { id, arguments, .. } => format!("{} {}", id.read(), arguments.read()),
            Part::Opaque { kind, .. } => kind.clone().into_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "thought hm false",
            "thought  true",
            "text Hello é",
            "thought  true",
            "call_r1_0 {\"a\": 1.50}",
            "own {}",
            "inlineData",
            "thought  true"
        ]
    );
    let observed = Gemini.observe_answer(WHOLE.as_bytes()).unwrap();
    assert_eq!((observed.usage, observed.finish), (Some(usage), Some(FinishReason::ToolCalls)));

    let (body, notes) = encode(&answer);
    assert_eq!(
        body,
        json!({"candidates": [{"content": {"parts": [
            {"text": "hm", "thought": true},
            {"text": "Hello é", "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "call_r1_0", "name": "f", "args": {"a": 1.5}}, "thoughtSignature": "c2lnMg=="},
            {"functionCall": {"id": "own", "name": "g", "args": {}}},
            {"inlineData": {"mimeType": "image/png", "data": "AA"}},
            {"text": "", "thoughtSignature": "ZW5k"}], "role": "model"},
            "finishReason": "STOP", "index": 0, "groundingMetadata": {"x": 1}}],
          "usageMetadata": {"promptTokenCount": 15, "cachedContentTokenCount": 4, "candidatesTokenCount": 7, "thoughtsTokenCount": 3,
            "totalTokenCount": 25, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}]},
          "modelVersion": "gemini-x", "responseId": "r1"})
    );
    assert!(losses(&notes).is_empty());
}

#[test]
fn reads_every_end() {
    let call = r#"{"functionCall":{"name":"f"}}"#;
    let cases = [
        (r#""STOP""#, "", FinishReason::Stop),
        (r#""STOP""#, call, FinishReason::ToolCalls),
        (r#""MAX_TOKENS""#, call, FinishReason::Length),
        (r#""CONTINUATION""#, "", FinishReason::Length),
        (r#""SAFETY""#, "", FinishReason::ContentFilter),
        (r#""MODEL_ARMOR""#, "", FinishReason::ContentFilter),
        (r#""IMAGE_SAFETY""#, "", FinishReason::ContentFilter),
        (r#""MALFORMED_FUNCTION_CALL""#, "", FinishReason::Other),
        (r#""OTHER""#, "", FinishReason::Other),
        (r#""SOMETHING_NEW""#, "", FinishReason::Other),
        ("1", "", FinishReason::Stop),
        ("2", "", FinishReason::Length),
        ("7", "", FinishReason::ContentFilter),
    ];
    for (word, parts, wanted) in cases {
        let body = format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":{word},"finishMessage":"why"}}]}}"#);
        let finish = Gemini.decode_answer(body.as_bytes()).unwrap().finish.unwrap();
        assert_eq!(finish.reason, wanted, "{word}");
        assert_eq!(finish.explanation.is_some(), matches!(wanted, FinishReason::ContentFilter | FinishReason::Other));
        assert_eq!(Gemini.observe_answer(body.as_bytes()).unwrap().finish, Some(wanted));
    }
    let blocked = br#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}"#;
    let answer = Gemini.decode_answer(blocked).unwrap();
    let finish = answer.finish.unwrap();
    assert_eq!(finish.reason, FinishReason::ContentFilter);
    assert!(finish.explanation.unwrap().read().contains("PROHIBITED_CONTENT"));
    assert_eq!(answer.usage.unwrap().output_tokens, Some(0));
    assert_eq!(Gemini.observe_answer(blocked).unwrap().finish, Some(FinishReason::ContentFilter));
}

#[test]
fn tells_every_end() {
    let finish = |reason, raw: &'static str| Some(Finish::new(reason, Text::plain(raw)));
    let refusal = || vec![Part::Refusal(Text::plain("no"))];
    let cases = [
        (vec![], None, "STOP"),
        (vec![], finish(FinishReason::Stop, "end_turn"), "STOP"),
        (vec![], finish(FinishReason::ToolCalls, "tool_use"), "STOP"),
        (vec![], finish(FinishReason::Length, "length"), "MAX_TOKENS"),
        (vec![], finish(FinishReason::Length, "CONTINUATION"), "CONTINUATION"),
        (vec![], finish(FinishReason::ContentFilter, "refusal"), "SAFETY"),
        (vec![], finish(FinishReason::ContentFilter, "RECITATION"), "RECITATION"),
        (vec![], finish(FinishReason::Pause, "pause_turn"), "STOP"),
        (vec![], finish(FinishReason::Other, "eaten"), "OTHER"),
        (refusal(), finish(FinishReason::Stop, "stop"), "SAFETY"),
    ];
    for (parts, finish, wanted) in cases {
        let (body, _) = encode(&Answer { parts, finish, ..Answer::default() });
        assert_eq!(body["candidates"][0]["finishReason"], wanted);
        assert_eq!(body["candidates"][0].get("finishMessage"), None);
    }
    let mut declined = Finish::new(FinishReason::ContentFilter, Text::plain("refusal"));
    declined.explanation = Some(Text::plain("why"));
    let (body, _) = encode(&Answer { finish: Some(declined), ..Answer::default() });
    assert_eq!(body["candidates"][0]["finishMessage"], "why");
}

#[test]
fn writes_what_a_typed_client_needs() {
    let call = |arguments: &'static str, custom| Part::ToolCall {
        id: Text::plain("c"),
        name: Text::plain("up"),
        arguments: Text::plain(arguments),
        custom,
        cache: None,
    };
    let citations = Some(Citations { dialect: Dialect::Anthropic, raw: Raw::literal("[]") });
    let answer = Answer {
        parts: vec![
            Part::Reasoning { text: Text::plain("hm"), signature: Some(Text::plain("c2ln")) },
            Part::Reasoning { text: Text::EMPTY, signature: Some(proof::read(Dialect::OpenAiResponses, Text::plain("gAAA"))) },
            Part::RedactedReasoning(Text::plain("eHl6")),
            Part::Reasoning { text: Text::plain("oh"), signature: Some(Text::plain("no base64")) },
            Part::RedactedReasoning(Text::plain("eHl6a")),
            Part::Text { text: Text::plain("t"), citations, cache: None },
            call("[1", false),
            call("raw", true),
            call("", false),
            Part::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: Raw::literal("{}") },
        ],
        usage: Some(Usage { input_tokens: Some(3), output_tokens: Some(1), reasoning_tokens: Some(2), ..Usage::default() }),
        ..Answer::default()
    };
    let mut to = reply(Framing::Sse);
    to.tools.mark_custom("up", "mcp.up");
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Gemini.encode_answer(&answer, &to, &mut notes, &mut out);
    let body = parse(&out);
    let (anthropic, responses) = ("b3V0cmlkZXIvYW50aHJvcGlj", "b3V0cmlkZXIvcmVzcG9uc2Vz");
    assert_eq!(
        body["candidates"][0]["content"]["parts"],
        json!([
            {"text": "hm", "thought": true, "thoughtSignature": format!("{anthropic}c2ln")},
            {"text": "", "thought": true, "thoughtSignature": format!("{responses}gAAA")},
            {"thought": true, "thoughtSignature": format!("{anthropic}eHl6")},
            {"text": "oh", "thought": true},
            {"text": "t"},
            {"functionCall": {"id": "c", "name": "mcp.up", "args": {"_raw": "[1"}}},
            {"functionCall": {"id": "c", "name": "mcp.up", "args": {"input": "raw"}}},
            {"functionCall": {"id": "c", "name": "mcp.up", "args": {}}},
        ])
    );
    assert_eq!((&body["modelVersion"], &body["responseId"]), (&json!("asked-model"), &json!(to.id.to_string())));
    assert_eq!(
        body["usageMetadata"],
        json!({"promptTokenCount": 3, "candidatesTokenCount": 0, "thoughtsTokenCount": 2, "totalTokenCount": 4})
    );
    assert_eq!(losses(&notes), ["parts[].signature", "annotations", "parts[].server_tool_use"]);
    // The caller sends it back, and each proof is whole again.
    let history = json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}, body["candidates"][0]["content"]]}).to_string();
    let request = Gemini.decode_request(history.as_bytes()).unwrap();
    assert!(matches!(&request.messages[1].parts[0], Part::Reasoning { text, signature: Some(s) } if text.is("hm") && s.is("c2ln")));
    assert!(matches!(&request.messages[1].parts[2], Part::RedactedReasoning(data) if data.is("eHl6")));
    let (body, _) = encode(&Answer::default());
    assert_eq!(body["candidates"][0]["content"]["parts"], json!([{"text": ""}]));
}

#[test]
fn what_is_no_answer_is_a_fault() {
    let bad = [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"candidates":[]}"#,
        r#"{"candidates":[{"content":{"parts":[1]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#,
    ];
    for body in bad {
        let fault = Gemini.decode_answer(body.as_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UpstreamProtocol, "{body}");
    }
    for body in
        [r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#, r#"[{"error":{"message":"busy","status":"UNAVAILABLE"}}]"#]
    {
        let fault = Gemini.decode_answer(body.as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.status, &*fault.client_text), (FaultKind::Overloaded, None, "busy"));
    }
    assert!(Gemini.observe_answer(b"<html>").is_err());
}
