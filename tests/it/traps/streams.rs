//! F. The streams' protocols.

use serde_json::json;

use super::*;

fn gemini(parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "responseId": "r"})
}

#[test]
fn t80_a_turn_with_a_call_ends_for_the_call() {
    let wire = chunks(&[
        chunk(json!({"role": "assistant", "content": "x"}), None),
        chunk(json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}), None),
        chunk(json!({}), Some("stop")),
    ]);
    let told = data(&stream(C, A, &wire));
    let end = told.iter().find(|e| e["type"] == "message_delta").unwrap();
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
}

#[test]
fn t81_an_answer_cut_by_its_bound_still_ends_by_the_protocol() {
    let wire = chunks(&[chunk(json!({"role": "assistant", "content": "x"}), None), chunk(json!({}), Some("length"))]);
    let told = stream(C, A, &wire);
    assert!(told.contains("\"stop_reason\":\"max_tokens\"") && told.contains("event: message_stop"), "{told}");
    let last = data(&stream(C, R, &wire)).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["incomplete_details"]["reason"]),
        (&json!("response.incomplete"), &json!("max_output_tokens"))
    );
}

#[test]
fn t82_no_delta_comes_before_its_block() {
    let mut wire = binary("messageStart", &json!({"role": "assistant"}));
    wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}})));
    wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": 1, "delta": {"text": "x"}})));
    wire.extend(binary("messageStop", &json!({"stopReason": "end_turn"})));
    let told = data(&String::from_utf8(stream_bytes(B, A, Framing::EventStream, &wire)).unwrap());
    let mut open = None;
    for event in &told {
        match event["type"].as_str().unwrap() {
            "content_block_start" => open = Some(event["index"].clone()),
            "content_block_delta" => assert_eq!(open.as_ref(), Some(&event["index"]), "{event}"),
            "content_block_stop" => open = None,
            _ => {}
        }
    }
    assert_eq!(told.iter().filter(|e| e["type"] == "content_block_start").count(), 2);
}

#[test]
fn t83_a_call_is_remembered_and_the_last_words_are_told() {
    let wire =
        unnamed(&[gemini(json!([{"functionCall": {"name": "f", "args": {}}}]), None), gemini(json!([{"text": "bye"}]), Some("STOP"))]);
    let told = stream(G, C, &wire);
    assert!(told.contains("bye") && told.contains("\"finish_reason\":\"tool_calls\""), "{told}");
    assert!(stream(G, A, &wire).contains("\"stop_reason\":\"tool_use\""));
}

#[test]
fn t85_a_message_split_anywhere_is_the_same_message() {
    let mut wire = binary("messageStart", &json!({"role": "assistant"}));
    wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "é🌲"}})));
    wire.extend(binary("messageStop", &json!({"stopReason": "end_turn"})));
    let whole = stream_bytes(B, C, Framing::EventStream, &wire);
    for size in 1..40 {
        let (mut framer, mut frames) = (Framer::new(Framing::EventStream, 1 << 20), Vec::new());
        wire.chunks(size).for_each(|piece| framer.push(bytes::Bytes::copy_from_slice(piece), |frame| frames.push(frame.raw)).unwrap());
        assert_eq!(frames.concat(), wire, "in pieces of {size}");
    }
    assert!(String::from_utf8(whole).unwrap().contains("é🌲"));
}

#[test]
fn t87_an_exception_in_the_stream_is_an_error() {
    for (name, kind) in [
        ("throttlingException", FaultKind::RateLimited),
        ("validationException", FaultKind::BadRequest),
        ("modelStreamErrorException", FaultKind::UpstreamFailed),
    ] {
        let mut seen = None;
        events(B, Framing::EventStream, &binary(name, &json!({"message": "no"})), |event| {
            if let Event::Fault(fault) = event {
                seen = Some(fault.kind);
            }
        });
        assert_eq!(seen, Some(kind), "{name}");
    }
    let mut seen = None;
    events(
        C,
        Framing::Sse,
        b"data: {\"error\":{\"message\":\"no\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}\n\n",
        |event| {
            if let Event::Fault(fault) = event {
                seen = Some(fault.kind);
            }
        },
    );
    assert_eq!(seen, Some(FaultKind::BudgetExhausted));
}

#[test]
fn t88_a_ping_reaches_the_client() {
    let wire = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    assert!(stream(A, C, wire).contains(": ping"));
    assert!(stream(C, A, ": keep-alive\n\n").contains("event: ping"));
}

#[test]
fn t90_the_role_comes_once_and_the_time_stands() {
    let wire = unnamed(&[gemini(json!([{"text": "a"}]), None), gemini(json!([{"text": "b"}]), Some("STOP"))]);
    let told = data(&stream(G, C, &wire));
    let roles = told.iter().filter(|e| e["choices"][0]["delta"]["role"] == "assistant").count();
    assert_eq!((roles, &told[0]["choices"][0]["delta"]["role"]), (1, &json!("assistant")));
    let times: std::collections::BTreeSet<_> = told.iter().map(|e| e["created"].as_u64().unwrap()).collect();
    assert!(times.len() == 1 && times.iter().all(|time| *time < 100_000_000_000), "{times:?}");
}

#[test]
fn t91_the_end_is_told_once_and_a_call_wins() {
    let wire = named(&[
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}}),
        json!({"type": "response.output_text.delta", "sequence_number": 2, "output_index": 0, "content_index": 0, "item_id": "m", "delta": "x"}),
        json!({"type": "response.output_item.done", "sequence_number": 3, "output_index": 0, "item": {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}}),
        json!({"type": "response.output_item.added", "sequence_number": 4, "output_index": 1, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "sequence_number": 5, "output_index": 1, "item_id": "f", "delta": "{}"}),
        json!({"type": "response.output_item.done", "sequence_number": 6, "output_index": 1, "item": {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"}}),
        json!({"type": "response.completed", "sequence_number": 7, "response": {"id": "r", "status": "completed", "output": []}}),
    ]);
    let told = data(&stream(R, C, &wire));
    let ends: Vec<_> = told.iter().filter_map(|e| e["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(ends, ["tool_calls"]);
}

#[test]
fn t94_items_are_told_apart_by_their_place() {
    let delta = |n: u64, id: &str, text: &str| json!({"type": "response.output_text.delta", "sequence_number": n, "output_index": 0, "content_index": 0, "item_id": id, "delta": text});
    let wire = named(&[
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "r", "status": "in_progress", "output": []}}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "m1", "role": "assistant", "content": []}}),
        delta(2, "m2", "a"),
        delta(3, "m3", "b"),
        json!({"type": "response.completed", "sequence_number": 4, "response": {"id": "r", "status": "completed", "output": []}}),
    ]);
    let answer = fold(R, &wire).into_answer();
    assert_eq!((answer.parts.len(), crate::square::facts(&answer).words), (1, "ab".to_owned()));
}
