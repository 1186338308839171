//! C. Reasoning and signatures.

use serde_json::json;

use super::*;

fn thought(signature: &str) -> Value {
    json!({"messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "secret thought", "signature": signature}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"}]})
}

#[test]
fn t55_foreign_thinking_is_dropped_and_never_sent_as_text() {
    for to in [B, G, R] {
        let sent = tell(A, to, thought("c2ln"));
        assert!(!sent.body.to_string().contains("secret thought"), "{to:?} {}", sent.body);
        assert!(sent.lost("reasoning"), "{to:?} {sent:?}");
    }
    // A proof of Gemini's, replayed by a client of Anthropic's dialect to Anthropic.
    let told = answer(
        G,
        A,
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "t", "thought": true, "thoughtSignature": "c2ln"}, {"text": "b"}]}, "finishReason": "STOP"}]}),
    );
    let signature = told["content"][0]["signature"].as_str().unwrap();
    let fault_or_loss = tell(
        R,
        A,
        json!({"input": [{"role": "user", "content": "a"}, {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": signature}, {"role": "assistant", "content": "b"}]}),
    );
    assert!(!fault_or_loss.body.to_string().contains("thinking\":\"t\""), "{}", fault_or_loss.body);
}

#[test]
fn t56_thinking_without_a_signature_is_not_replayed() {
    let sent = tell(
        B,
        A,
        json!({"messages": [{"role": "user", "content": [{"text": "a"}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "secret thought", "signature": ""}}}, {"text": "b"}]}, {"role": "user", "content": [{"text": "c"}]}]}),
    );
    assert!(!sent.body.to_string().contains("secret thought") && sent.lost("reasoning"), "{sent:?}");
}

#[test]
fn t58_a_huge_signature_is_waited_for() {
    let signature = "QUJD".repeat(50_000);
    let event = json!({"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": signature}]}, "finishReason": "STOP"}]});
    let wire = format!("data: {event}\r\n\r\n");
    let mut framer = Framer::new(Framing::Sse, 1 << 20);
    let mut frames = 0;
    for piece in wire.as_bytes().chunks(1400) {
        framer.push(bytes::Bytes::copy_from_slice(piece), |_| frames += 1).unwrap();
    }
    assert_eq!(frames, 1);
    assert!(stream(G, A, &wire).contains(&signature));
}

#[test]
fn t59_words_come_before_the_signature_and_the_signature_before_the_end() {
    let mut wire = binary("messageStart", &json!({"role": "assistant"}));
    for delta in [json!({"text": "hm"}), json!({"signature": "c2ln"})] {
        wire.extend(binary("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": delta}})));
    }
    wire.extend(binary("contentBlockStop", &json!({"contentBlockIndex": 0})));
    wire.extend(binary("messageStop", &json!({"stopReason": "end_turn"})));
    let told = String::from_utf8(stream_bytes(B, A, Framing::EventStream, &wire)).unwrap();
    let kinds: Vec<_> = data(&told).iter().map(|e| e["delta"]["type"].as_str().or(e["type"].as_str()).unwrap().to_owned()).collect();
    let at = |kind: &str| kinds.iter().position(|k| k == kind).unwrap_or_else(|| panic!("{kind} in {kinds:?}"));
    assert!(at("thinking_delta") < at("signature_delta") && at("signature_delta") < at("content_block_stop"));
}

#[test]
fn t60_deepseek_gets_its_reasoning_back_on_turns_with_tools() {
    let asked = json!({"messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let body = tell_model(A, C, ("deepseek", "deepseek-v4"), asked).body;
    assert_eq!(body["messages"][1]["reasoning_content"], "hm");
    // OpenRouter's word for the same is read too.
    let wire = chunks(&[chunk(json!({"role": "assistant", "reasoning": "hm"}), None), chunk(json!({"content": "x"}), Some("stop"))]);
    assert!(stream(C, A, &wire).contains("\"thinking\":\"hm\""));
}

#[test]
fn t63_a_summary_that_the_caller_can_show_is_asked_for() {
    let asked = json!({"messages": [{"role": "user", "content": "a"}], "reasoning_effort": "high"});
    let body = tell_model(C, A, ("anthropic", "claude-opus-4-8"), asked).body;
    assert_eq!((&body["thinking"]["type"], &body["thinking"]["display"]), (&json!("adaptive"), &json!("summarized")), "{body}");
}

#[test]
fn t65_edits_of_the_context_stay_with_their_own_provider() {
    let asked = json!({"messages": [{"role": "user", "content": "a"}], "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}});
    for to in [B, C, G, R] {
        let sent = tell(A, to, asked.clone());
        assert!(!sent.body.to_string().contains("clear_thinking") && sent.lost("context_management"), "{to:?} {sent:?}");
    }
}
