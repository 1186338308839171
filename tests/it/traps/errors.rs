//! G. Errors, routing, paths.

use outrider::ir::{FinishReason, Operation};
use serde_json::json;

use super::*;

#[test]
fn t98_the_status_says_what_it_is_not_digits_in_the_text() {
    let echoed = |text: &str| json!({"error": {"message": text, "type": "invalid_request_error", "param": null, "code": null}}).to_string();
    assert_eq!(kind_of(C, 400, &echoed("your prompt says 429 rate limit")), FaultKind::BadRequest);
    assert_eq!(kind_of(R, 400, &echoed("your prompt says 429 rate limit")), FaultKind::BadRequest);
    assert_eq!(kind_of(A, 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"429"}}"#), FaultKind::BadRequest);
    assert_eq!(kind_of(G, 400, r#"{"error":{"code":400,"message":"429 quota","status":"INVALID_ARGUMENT"}}"#), FaultKind::BadRequest);
    assert_eq!(kind_of(B, 400, r#"{"message":"429 throttled"}"#), FaultKind::BadRequest);
}

#[test]
fn t99_only_what_was_filtered_is_called_so() {
    let finish = |word: &str| {
        let text = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": word}]}).to_string();
        codec(G).decode_answer(text.as_bytes()).unwrap().finish.unwrap().into_owned()
    };
    for word in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"] {
        assert_eq!(finish(word).reason, FinishReason::ContentFilter, "{word}");
    }
    for word in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "SOMETHING_NEW"] {
        assert_eq!(finish(word).reason, FinishReason::Other, "{word}");
        assert!(finish(word).raw.is(word));
    }
}

#[test]
fn t100_an_answer_without_its_content_is_told_and_never_panics() {
    for (dialect, bodies) in [
        (C, vec!["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#, r#"{"choices":[{}]}"#, r#"{"choices":[{"message":null}]}"#]),
        (R, vec!["{}", r#"{"output":null}"#, r#"{"output":[{}]}"#, r#"{"output":[null]}"#]),
        (A, vec!["{}", r#"{"content":null}"#, r#"{"content":[{}]}"#]),
        (G, vec!["{}", r#"{"candidates":null}"#, r#"{"candidates":[{}]}"#, r#"{"candidates":[{"content":null}]}"#]),
        (B, vec!["{}", r#"{"output":null}"#, r#"{"output":{"message":null}}"#, r#"{"Output":{"__type":"UnknownOperationException"}}"#]),
    ] {
        for body in bodies {
            match codec(dialect).decode_answer(body.as_bytes()) {
                // What Bedrock's front door says under status 200 about a path that it does not know.
                Err(fault) if body.contains("UnknownOperation") => assert_eq!(fault.kind, FaultKind::NotFound),
                Err(fault) => assert_eq!(fault.kind, FaultKind::UpstreamProtocol, "{dialect:?} {body}"),
                Ok(answer) => {
                    for to in Dialect::ALL {
                        let mut out = Vec::new();
                        codec(to).encode_answer(&answer, &reply(to), &mut Notes::default(), &mut out);
                        let told: Value = serde_json::from_slice(&out).unwrap();
                        assert!(to != C || told["choices"].is_array(), "{told}");
                    }
                }
            }
        }
    }
}

#[test]
fn t101_a_model_id_is_one_segment_of_the_path() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0";
    let path = codec(B).path(Operation::Chat, arn, false).unwrap();
    assert_eq!(path.matches('/').count(), 3, "{path}");
    assert!(path.contains("inference-profile%2Fus.anthropic") && path.contains("%3A0/converse"), "{path}");
}

#[test]
fn t105_blocks_that_are_not_known_do_not_fail_the_request() {
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "of_tomorrow", "x": 1}]}]}).to_string();
    assert!(codec(A).decode_request(body.as_bytes()).is_ok());
    let sent = tell(A, C, serde_json::from_str(&body).unwrap_or_default());
    assert!(sent.body.to_string().contains("\"a\""));
    let sent = tell_model(
        C,
        A,
        ("vertex", "claude-sonnet-4-6"),
        json!({"messages": [{"role": "user", "content": "a"}], "reasoning_effort": "high"}),
    );
    assert!(sent.body["output_config"]["effort"].is_string(), "{}", sent.body);
}
