//! E. Usage.

use serde_json::json;

use super::*;

fn claude(start: Value, delta: Value) -> String {
    named(&[
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": null, "usage": start}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": delta}),
        json!({"type": "message_stop"}),
    ])
}

fn told_usage(wire: &str) -> Value {
    data(&stream(A, C, wire)).into_iter().rev().find_map(|e| e.get("usage").filter(|u| u.is_object()).cloned()).unwrap()
}

#[test]
fn t71_cumulative_counters_are_not_added_up() {
    let usage = told_usage(&claude(json!({"input_tokens": 10, "output_tokens": 1}), json!({"input_tokens": 10, "output_tokens": 5})));
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(10), &json!(5)));
}

#[test]
fn t72_counters_told_only_at_one_end_are_merged() {
    let usage = told_usage(&claude(
        json!({"input_tokens": 0, "output_tokens": 0}),
        json!({"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 5}),
    ));
    assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(14), &json!(4)));
    let usage =
        told_usage(&claude(json!({"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}), json!({"output_tokens": 5})));
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(14), &json!(5)));
}

#[test]
fn t73_cached_tokens_are_not_counted_twice() {
    let told = answer(
        C,
        A,
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, "prompt_tokens_details": {"cached_tokens": 60}}}),
    );
    assert_eq!((&told["usage"]["input_tokens"], &told["usage"]["cache_read_input_tokens"]), (&json!(40), &json!(60)));
}

#[test]
fn t76_reasoning_never_exceeds_the_output() {
    let told = answer(
        C,
        R,
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115, "completion_tokens_details": {"reasoning_tokens": 100}}}),
    );
    let (output, reasoning) = (&told["usage"]["output_tokens"], &told["usage"]["output_tokens_details"]["reasoning_tokens"]);
    assert!(output.as_u64() >= reasoning.as_u64(), "{told}");
}

#[test]
fn t77_usage_is_read_from_every_last_event() {
    for (kind, status) in [("response.completed", "completed"), ("response.incomplete", "incomplete")] {
        let response = json!({"id": "r", "object": "response", "status": status, "model": "m", "output": [], "incomplete_details": {"reason": "max_output_tokens"},
            "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}});
        let mut told = None;
        events(R, Framing::Sse, named(&[json!({"type": kind, "sequence_number": 0, "response": response})]).as_bytes(), |event| {
            if let Event::Usage(usage) = event {
                told = Some((usage.input_tokens, usage.output_tokens));
            }
        });
        assert_eq!(told, Some((Some(7), Some(3))), "{kind}");
    }
    let mut told = None;
    let failed = json!({"type": "response.failed", "sequence_number": 0, "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}, "usage": {"input_tokens": 7, "output_tokens": 3}}});
    events(R, Framing::Sse, named(&[failed]).as_bytes(), |event| {
        if let Event::Usage(usage) = event {
            told = Some(usage.input_tokens);
        }
    });
    assert_eq!(told, Some(Some(7)));
}

#[test]
fn t78_details_that_were_not_told_are_absent_not_null() {
    let told = answer(
        A,
        C,
        json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}),
    );
    assert!(!told["usage"].to_string().contains("null"), "{told}");
}

#[test]
fn t79_a_message_always_starts_with_usage() {
    for from in [C, G, R] {
        let wire = match from {
            C => chunks(&[chunk(json!({"role": "assistant", "content": "x"}), Some("stop"))]),
            G => unnamed(&[json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP"}]})]),
            _ => named(&[
                json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}}),
                json!({"type": "response.output_text.delta", "sequence_number": 1, "output_index": 0, "content_index": 0, "item_id": "m", "delta": "x"}),
                json!({"type": "response.completed", "sequence_number": 2, "response": {"id": "r", "status": "completed", "output": []}}),
            ]),
        };
        let told = data(&stream(from, A, &wire));
        assert_eq!(told[0]["type"], "message_start");
        assert!(
            told[0]["message"]["usage"]["input_tokens"].is_u64() && told[0]["message"]["usage"]["output_tokens"].is_u64(),
            "{from:?} {}",
            told[0]
        );
    }
}
