use super::*;
use crate::base::FaultKind;
use crate::base::json::Raw;
use crate::ir::{Citations, Dialect, Finish, FinishReason, Text, Usage};

fn encoded(answer: &Answer<'_>, reply: &Reply) -> (Value, Notes) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    OpenAiChat.encode_answer(answer, reply, &mut notes, &mut out);
    (value(&out), notes)
}

#[test]
fn an_answer_is_read_with_all_its_parts() {
    let body = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-x","system_fingerprint":"fp",
        "choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"reasoning_content":"hm","annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}],
        "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"custom","custom":{"name":"g","input":"x"}}]},"logprobs":null,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":9,"audio_tokens":null}}}"#;
    let answer = OpenAiChat.decode_answer(body).unwrap();
    assert_eq!(
        meaning(&answer),
        json!({"id":"chatcmpl-1","model":"gpt-x","created":1_700_000_000,
            "parts":[["reasoning ","hm"],["text","Hi"],["call c1 f false","{}"],["call c2 g true","x"]],
            "finish":"ToolCalls ",
            "usage": format!("{:?}", Usage { input_tokens: Some(10), cache_read_tokens: Some(4), cache_write_tokens: Some(2),
                output_tokens: Some(5), reasoning_tokens: Some(5), input_audio_tokens: Some(1), ..Usage::default() })})
    );
    assert_eq!(answer.extensions.len(), 1);
    let observed = OpenAiChat.observe_answer(body).unwrap();
    assert_eq!((observed.usage, observed.finish), (answer.usage, Some(FinishReason::ToolCalls)));
    let (again, notes) = encoded(&answer, &reply());
    assert!(notes.losses.is_empty());
    let mut expected = value(body);
    expected["choices"][0]["finish_reason"] = json!("tool_calls");
    expected["usage"]["completion_tokens_details"] = json!({"reasoning_tokens":5});
    assert_eq!(again, expected);
}

#[test]
fn words_of_hosts_are_understood() {
    let cases = [
        (json!({"finish_reason":"length","message":{"content":"a"}}), Some(FinishReason::Length)),
        (json!({"finish_reason":"model_length","message":{"content":"a"}}), Some(FinishReason::Length)),
        (json!({"finish_reason":"content_filter","message":{"content":""}}), Some(FinishReason::ContentFilter)),
        (json!({"finish_reason":"eos","message":{"content":"a"}}), Some(FinishReason::Stop)),
        (json!({"finish_reason":"","message":{"content":"a"}}), Some(FinishReason::Stop)),
        (json!({"finish_reason":null,"message":{"content":"a"}}), None),
        (json!({"finish_reason":"error","message":{"content":"a"}}), Some(FinishReason::Other)),
        (json!({"finish_reason":"function_call","message":{"function_call":{"name":"f","arguments":"{}"}}}), Some(FinishReason::ToolCalls)),
        (json!({"finish_reason":"","message":{"tool_calls":[{"function":{"name":"f"}}]}}), Some(FinishReason::ToolCalls)),
        (json!({"finish_reason":null,"message":{"tool_calls":[{"function":{"name":"f"}}]}}), Some(FinishReason::ToolCalls)),
        (json!({"finish_reason":"length","message":{"tool_calls":[{"function":{"name":"f"}}]}}), Some(FinishReason::Length)),
        (json!({"finish_reason":"tool_calls","message":{"tool_calls":[{"id":"c","function":null}]}}), Some(FinishReason::ToolCalls)),
        (json!({"finish_reason":"stop","message":null}), Some(FinishReason::Stop)),
    ];
    for (choice, reason) in cases {
        let body = serde_json::to_vec(&json!({"choices":[choice]})).unwrap();
        let answer = OpenAiChat.decode_answer(&body).unwrap();
        assert_eq!(answer.finish.map(|f| f.reason), reason, "{choice}");
        assert_eq!(OpenAiChat.observe_answer(&body).unwrap().finish, reason, "{choice}");
    }
    let body = br#"{"id":"x","choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}],"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"finish_reason":"stop","stop_reason":"END"}]}"#;
    assert_eq!(
        meaning(&OpenAiChat.decode_answer(body).unwrap())["parts"],
        json!([["reasoning ", "t"], ["text", "a"], ["call call_x_0 f false", "{\"a\":1}"]])
    );
}

#[test]
fn counters_of_hosts_are_understood() {
    let cases = [
        (
            json!({"prompt_tokens":3,"completion_tokens":4,"prompt_cache_hit_tokens":2,"prompt_cache_miss_tokens":1}),
            (Some(3), Some(2), Some(4), None),
        ),
        // xAI: reasoning beside the output; the total tells.
        (
            json!({"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}),
            (Some(10), None, Some(105), Some(100)),
        ),
        (
            json!({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":7}}),
            (Some(10), None, Some(5), Some(5)),
        ),
        (
            json!({"prompt_tokens":1.0,"completion_tokens":-1,"prompt_tokens_details":null,"completion_tokens_details":null}),
            (Some(1), None, None, None),
        ),
        (json!({}), (None, None, None, None)),
    ];
    for (usage, expected) in cases {
        let body = serde_json::to_vec(&json!({"choices":[{}],"usage":usage})).unwrap();
        let got = OpenAiChat.decode_answer(&body).unwrap().usage.unwrap();
        assert_eq!((got.input_tokens, got.cache_read_tokens, got.output_tokens, got.reasoning_tokens), expected, "{usage}");
    }
    let body = br#"{"choices":[{}],"usage":null,"x_groq":{"usage":{"prompt_tokens":9}}}"#;
    assert_eq!(OpenAiChat.decode_answer(body).unwrap().usage.unwrap().input_tokens, Some(9));
    assert_eq!(OpenAiChat.observe_answer(body).unwrap().usage.unwrap().input_tokens, Some(9));
}

#[test]
fn what_is_no_answer_is_a_fault() {
    let cases = [
        (&b"<html>"[..], FaultKind::UpstreamProtocol),
        (b"[]", FaultKind::UpstreamProtocol),
        (b"{}", FaultKind::UpstreamProtocol),
        (br#"{"choices":null}"#, FaultKind::UpstreamProtocol),
        (br#"{"choices":[]}"#, FaultKind::UpstreamProtocol),
        (br#"{"error":null,"choices":null}"#, FaultKind::UpstreamProtocol),
        (br#"{"error":{"code":429,"message":"slow down"}}"#, FaultKind::RateLimited),
        (br#"{"error":{"type":"server_error","message":"x"}}"#, FaultKind::UpstreamFailed),
        (br#"{"error":"model crashed"}"#, FaultKind::UpstreamFailed),
        (br#"{"object":"error","message":"too long: maximum context length is 5","code":400}"#, FaultKind::ContextTooLong),
    ];
    for (body, kind) in cases {
        let fault = OpenAiChat.decode_answer(body).unwrap_err();
        assert_eq!(fault.kind, kind, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn an_answer_of_another_dialect_is_said_as_the_sdk_wants_it() {
    let mut reply = reply();
    reply.tools.fit("srv.read", 64);
    reply.tools.mark_custom("patch", "patch");
    let call = |id: &'static str, name: &'static str, arguments: &'static str| Part::ToolCall {
        id: Text::plain(id),
        name: Text::plain(name),
        arguments: Text::plain(arguments),
        custom: false,
        cache: None,
    };
    let cited = Some(Citations { dialect: Dialect::Anthropic, raw: Raw::literal(r#"[{"type":"char_location"}]"#) });
    let answer = Answer {
        parts: vec![
            Part::Reasoning { text: Text::plain("hm"), signature: Some(Text::plain("s")) },
            Part::RedactedReasoning(Text::plain("d")),
            Part::Text { text: Text::plain("It \"is\" "), citations: cited, cache: None },
            Part::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: Raw::literal("{}") },
            Part::text(Text::plain("so.")),
            call("t1", "srv_read", ""),
            call("t2", "patch", r#"{"input":"*** Begin\n"}"#),
            call("", "patch", "broken"),
        ],
        finish: Some(Finish::new(FinishReason::Stop, Text::plain("end_turn"))),
        usage: Some(Usage { input_tokens: Some(7), output_tokens: Some(2), cache_read_tokens: Some(5), ..Usage::default() }),
        ..Answer::default()
    };
    let (out, notes) = encoded(&answer, &reply);
    let id = reply.id;
    assert_eq!(
        out,
        json!({"id": format!("chatcmpl-{id}"), "object":"chat.completion", "created":1_700_000_000, "model":"asked-model",
            "choices":[{"index":0,"message":{"role":"assistant","content":"It \"is\" so.","refusal":null,"reasoning_content":"hm",
                "thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"}],
                "tool_calls":[
                    {"id":"t1","type":"function","function":{"name":"srv.read","arguments":"{}"}},
                    {"id":"t2","type":"custom","custom":{"name":"patch","input":"*** Begin\n"}},
                    {"id":format!("call_{id}_2"),"type":"custom","custom":{"name":"patch","input":"broken"}}]},
                "logprobs":null,"finish_reason":"tool_calls"}],
            "usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":5}}})
    );
    assert_eq!(notes.losses.names(), ["content[].citations", "content[].server_tool_use"]);
}

#[test]
fn ends_are_said_in_this_dialects_words() {
    let cases = [
        (FinishReason::Stop, "end_turn", "stop", None),
        (FinishReason::Length, "max_tokens", "length", None),
        (FinishReason::Pause, "pause_turn", "length", Some("pause_turn")),
        (FinishReason::Other, "MALFORMED", "stop", Some("MALFORMED")),
        (FinishReason::ContentFilter, "refusal", "content_filter", None),
    ];
    for (reason, raw, word, native) in cases {
        let answer = Answer { finish: Some(Finish::new(reason, Text::plain(raw))), ..Answer::default() };
        let choice = encoded(&answer, &reply()).0["choices"][0].clone();
        assert_eq!(choice["finish_reason"], word);
        assert_eq!(choice.get("native_finish_reason").and_then(Value::as_str), native);
        assert_eq!(choice["message"]["content"], "");
    }
    let mut finish = Finish::new(FinishReason::ContentFilter, Text::plain("refusal"));
    finish.explanation = Some(Text::plain("no weapons"));
    let message = encoded(&Answer { finish: Some(finish), ..Answer::default() }, &reply()).0["choices"][0]["message"].clone();
    assert_eq!(message, json!({"role":"assistant","content":null,"refusal":"no weapons"}));
}
