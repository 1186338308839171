use super::*;
use crate::base::FaultKind;
use crate::ir::{Delta, Dialect, Finish, FinishReason, PartStart, Text, Usage};

/// A stream of these chunks, with its end mark.
fn wire(chunks: &[&str]) -> Vec<u8> {
    let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect();
    out.extend_from_slice(b"data: [DONE]\n\n");
    out
}

/// A chunk with one choice.
fn chunk(delta: &Value, finish: Option<&str>) -> String {
    json!({"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":delta,"finish_reason":finish}]})
        .to_string()
}

/// Law: a stream means what the whole answer of the same content means.
#[test]
fn a_stream_means_what_the_whole_answer_means() {
    let call = |index: Value, id: &str, name: &str, arguments: &str| json!({"tool_calls":[{"index":index,"id":id,"type":"function","function":{"name":name,"arguments":arguments}}]});
    let more = |index: Value, arguments: &str| json!({"tool_calls":[{"index":index,"function":{"arguments":arguments}}]});
    let calls = |list: Value| json!({"content":null,"tool_calls":list});
    let whole_call =
        |id: &str, name: &str, arguments: &str| json!({"id":id,"type":"function","function":{"name":name,"arguments":arguments}});
    let cases: Vec<(&str, Vec<Value>, &str, Value)> = vec![
        (
            "text",
            vec![json!({"role":"assistant","content":""}), json!({"content":"He"}), json!({"content":"llo"}), json!({})],
            "stop",
            json!({"content":"Hello"}),
        ),
        (
            "role twice, empty role",
            vec![json!({"role":"assistant","content":"a"}), json!({"role":"","content":"b"}), json!({"role":null,"content":""})],
            "length",
            json!({"content":"ab"}),
        ),
        (
            "reasoning",
            vec![
                json!({"reasoning_content":"h","content":null}),
                json!({"reasoning_content":"m"}),
                json!({"content":"x","reasoning_content":""}),
            ],
            "stop",
            json!({"reasoning_content":"hm","content":"x"}),
        ),
        (
            "both names",
            vec![json!({"reasoning_content":"h","reasoning":"h"}), json!({"content":"x"})],
            "stop",
            json!({"reasoning":"h","content":"x"}),
        ),
        ("refusal", vec![json!({"refusal":"no"}), json!({"refusal":"pe"})], "content_filter", json!({"content":null,"refusal":"nope"})),
        (
            "list content",
            vec![
                json!({"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]}),
                json!({"content":[{"type":"text","text":"a"}]}),
            ],
            "stop",
            json!({"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}]}),
        ),
        (
            "proof",
            vec![
                json!({"reasoning_content":"t"}),
                json!({"thinking_blocks":[{"type":"thinking","thinking":"","signature":"s"}]}),
                json!({"thinking_blocks":[{"type":"redacted_thinking","data":"d"}]}),
                json!({"content":"x"}),
            ],
            "stop",
            json!({"content":"x","reasoning_content":"t","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}]}),
        ),
        (
            "calls",
            vec![
                json!({"content":"x"}),
                call(json!(0), "a", "f", ""),
                more(json!(0), "{\"a\":"),
                more(json!(0), "1}"),
                call(json!(1), "b", "g", "{}"),
            ],
            "tool_calls",
            json!({"content":"x","tool_calls":[whole_call("a","f","{\"a\":1}"), whole_call("b","g","{}")]}),
        ),
        (
            "interleaved",
            vec![call(json!(0), "a", "f", ""), call(json!(1), "b", "g", ""), more(json!(0), "{}"), more(json!(1), "[]")],
            "tool_calls",
            calls(json!([whole_call("a", "f", "{}"), whole_call("b", "g", "[]")])),
        ),
        (
            "sparse",
            vec![call(json!(7), "a", "f", "{}"), call(json!(3), "b", "f", "{}")],
            "stop",
            calls(json!([whole_call("a", "f", "{}"), whole_call("b", "f", "{}")])),
        ),
        (
            "index used again",
            vec![call(json!(0), "a", "f", "{}"), call(json!(0), "b", "f", "{}"), more(json!(0), " ")],
            "stop",
            calls(json!([whole_call("a", "f", "{}"), whole_call("b", "f", "{} ")])),
        ),
        (
            "no index",
            vec![call(json!(null), "a", "f", "{"), more(json!(null), "}"), call(json!(null), "b", "g", "{}")],
            "",
            calls(json!([whole_call("a", "f", "{}"), whole_call("b", "g", "{}")])),
        ),
        (
            "id and name repeated",
            vec![call(json!(0), "a", "f", "{"), call(json!(0), "a", "f", "}")],
            "tool_calls",
            calls(json!([whole_call("a", "f", "{}")])),
        ),
        (
            "late name",
            vec![call(json!(0), "a", "", "{\"x\":"), more(json!(0), "1"), call(json!(0), "", "f", "}")],
            "tool_calls",
            calls(json!([whole_call("a", "f", "{\"x\":1}")])),
        ),
        (
            "no id",
            vec![
                json!({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}),
                json!({"tool_calls":[{"index":0,"function":{"name":"g","arguments":"{}"}}]}),
            ],
            "tool_calls",
            calls(json!([{"function":{"name":"f","arguments":"{}"}}, {"function":{"name":"g","arguments":"{}"}}])),
        ),
        (
            "whole arguments",
            vec![json!({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"a":1}}}]})],
            "tool_calls",
            calls(json!([whole_call("a", "f", "{\"a\":1}")])),
        ),
        (
            "custom",
            vec![
                json!({"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":""}}]}),
                json!({"tool_calls":[{"index":0,"custom":{"input":"raw"}}]}),
            ],
            "tool_calls",
            calls(json!([{"id":"a","type":"custom","custom":{"name":"f","input":"raw"}}])),
        ),
        (
            "older call",
            vec![json!({"function_call":{"name":"f","arguments":""}}), json!({"function_call":{"arguments":"{}"}})],
            "function_call",
            json!({"content":null,"function_call":{"name":"f","arguments":"{}"}}),
        ),
        (
            "nameless call",
            vec![json!({"content":"x"}), json!({"tool_calls":[{"index":0,"id":"a","function":null}]})],
            "stop",
            json!({"content":"x","tool_calls":[{"id":"a","type":"function","function":null}]}),
        ),
    ];
    for (name, deltas, finish, message) in cases {
        let mut chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta, None)).collect();
        chunks.push(chunk(&json!({}), Some(finish)));
        chunks.push(r#"{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#.to_owned());
        let (fold, told) = folded(&wire(&chunks.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        assert!(fold.ended() && fold.fault().is_none(), "{name}");
        assert_eq!(told.iter().filter(|t| *t == "start").count(), 1, "{name}");
        assert_eq!(told.iter().filter(|t| *t == "finish").count(), 1, "{name}: {told:?}");
        let begun = told.iter().filter(|t| t.starts_with('+')).count();
        assert_eq!(told.iter().filter(|t| t.starts_with('-')).count(), begun, "{name}: {told:?}");
        let whole = json!({"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":message,"finish_reason":finish}],
            "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}})
        .to_string();
        assert_eq!(meaning(&fold.into_answer()), meaning(&OpenAiChat.decode_answer(whole.as_bytes()).unwrap()), "{name}");
    }
}

#[test]
fn oddities_of_hosts_are_tolerated() {
    let text = chunk(&json!({"content":"a"}), None);
    let cases: Vec<(&str, Vec<String>, &str)> = vec![
        ("azure's first chunk", vec![r#"{"id":"","model":"","choices":[],"prompt_filter_results":[]}"#.into(), text.clone(), chunk(&json!({}), Some("stop"))], "start +0 0 -0 finish end"),
        ("choices null", vec![r#"{"choices":null}"#.into(), text.clone()], "start +0 0 -0 end"),
        ("null error", vec![r#"{"error":null,"choices":[{"index":0,"delta":{"content":"a"}}]}"#.into()], "start +0 0 -0 end"),
        ("two ends", vec![text.clone(), chunk(&json!({"content":""}), Some("stop")), chunk(&json!({"content":""}), Some("stop"))], "start +0 0 -0 finish end"),
        ("empty end with every chunk", vec![chunk(&json!({"content":"a"}), Some("")), chunk(&json!({}), Some("length"))], "start +0 0 -0 finish end"),
        ("only an empty end", vec![text.clone(), chunk(&json!({}), Some(""))], "start +0 0 -0 finish end"),
        ("another choice", vec![text.clone(), r#"{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}"#.into()], "start +0 0 -0 end"),
        ("usage with the end", vec![r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1},"x_groq":{"usage":{"prompt_tokens":2}}}"#.into()], "start +0 0 -0 usage finish end"),
        ("groq", vec![r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":2}}}"#.into()], "start usage finish end"),
        ("message for delta", vec![r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a"}}]}"#.into()], "start +0 0 -0 end"),
        ("text between thoughts", vec![chunk(&json!({"reasoning":"r"}), None), text.clone(), chunk(&json!({"reasoning":"r"}), None)], "start +0 0 -0 +1 1 -1 +2 2 -2 end"),
        ("text behind a call", vec![chunk(&json!({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}), None), text.clone()], "start +0 +1 1 -1 -0 finish end"),
    ];
    for (name, chunks, expected) in cases {
        let (_, told) = folded(&wire(&chunks.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        assert_eq!(told.join(" "), expected, "{name}");
    }
    let (_, told) = folded(b": keep-alive\n\ndata:\n\nevent: x\n\ndata: [DONE]\n\ndata: {\n\n").unwrap();
    assert_eq!(told.join(" "), "ping end");
}

#[test]
fn errors_in_mid_stream_are_told() {
    let cases = [
        (r#"data: {"error":{"message":"boom","type":"server_error","code":null}}"#, FaultKind::UpstreamFailed),
        (r#"data: {"id":"x","choices":[],"error":{"code":429,"message":"boom"}}"#, FaultKind::RateLimited),
        ("event: error\ndata: {\"message\":\"boom\"}", FaultKind::UpstreamFailed),
        (r#"data: {"object":"error","message":"boom","code":503}"#, FaultKind::Overloaded),
    ];
    for (frame, kind) in cases {
        let (fold, told) = folded(format!("{frame}\n\n").as_bytes()).unwrap();
        assert_eq!(told, ["fault"], "{frame}");
        let fault = fold.fault().unwrap();
        assert_eq!((fault.kind, &*fault.client_text), (kind, "boom"), "{frame}");
    }
    for frame in ["data: {\n\n", "data: 5\n\n", "data: oops\n\n"] {
        assert_eq!(folded(frame.as_bytes()).map(|_| ()).unwrap_err().kind, FaultKind::UpstreamProtocol, "{frame}");
    }
}

#[test]
fn memory_for_calls_is_bounded() {
    let calls: Vec<Value> = (0..600).map(|i| json!({"index":i,"id":format!("c{i}"),"function":{"name":"f"}})).collect();
    let fault = folded(&wire(&[&chunk(&json!({"tool_calls":calls}), None)])).map(|_| ()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UpstreamProtocol);
    let long = chunk(&json!({"tool_calls":[{"index":0,"function":{"arguments":"x".repeat(600_000)}}]}), None);
    assert_eq!(folded(&wire(&[&long])).map(|_| ()).map_err(|f| f.kind), Ok(()));
    assert_eq!(folded(&wire(&[&long, &long])).map(|_| ()).map_err(|f| f.kind), Err(FaultKind::UpstreamProtocol));
}

/// The chunks of a stream of these events; the last is the end mark or the error.
fn spoken(reply: Reply, events: &[Event<'_>]) -> (Vec<String>, Vec<String>) {
    let mut encoder = OpenAiChat.stream_encoder(reply);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.encode(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let frames = text.split_terminator("\n\n").map(str::to_owned).collect();
    (frames, encoder.losses().names().iter().map(|n| n.clone().into_owned()).collect())
}

#[test]
fn a_stream_is_written_by_the_grammar() {
    let text = |t: &'static str| Text::plain(t);
    let mut reply = reply();
    reply.tools.fit("srv.read", 64);
    reply.tools.mark_custom("patch", "patch");
    let call = |id, name| PartStart::ToolCall { id: text(id), name: text(name), custom: false };
    let events = [
        Event::Start { id: Some(text("msg_1")), model: Some(text("claude")), created: None },
        Event::Usage(Usage { input_tokens: Some(9), output_tokens: Some(1), ..Usage::default() }),
        Event::PartStart { index: 0, part: PartStart::Reasoning },
        Event::PartDelta { index: 0, delta: Delta::Reasoning(text("hm")) },
        Event::PartDelta { index: 0, delta: Delta::Signature(text("s")) },
        Event::PartEnd { index: 0 },
        Event::Ping,
        Event::PartStart { index: 1, part: PartStart::Text },
        Event::PartDelta { index: 1, delta: Delta::Text(text("")) },
        Event::PartDelta { index: 1, delta: Delta::Text(text("a\n")) },
        Event::PartDelta {
            index: 1,
            delta: Delta::Opaque { dialect: Dialect::Anthropic, kind: "citations_delta".into(), raw: "{}".into() },
        },
        Event::PartEnd { index: 1 },
        Event::PartStart {
            index: 2,
            part: PartStart::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: "{}".into() },
        },
        Event::PartDelta { index: 2, delta: Delta::Arguments(text("{}")) },
        Event::PartEnd { index: 2 },
        Event::PartStart { index: 3, part: call("t1", "srv_read") },
        Event::PartDelta { index: 3, delta: Delta::Arguments(text("")) },
        Event::PartEnd { index: 3 },
        Event::PartStart { index: 4, part: call("t2", "patch") },
        Event::PartDelta { index: 4, delta: Delta::Arguments(text("{\"input\":")) },
        Event::PartDelta { index: 4, delta: Delta::Arguments(text("\"x\\ny\"}")) },
        Event::PartEnd { index: 4 },
        Event::PartStart { index: 5, part: PartStart::RedactedReasoning(text("d")) },
        Event::PartEnd { index: 5 },
        Event::Finish(Finish::new(FinishReason::Stop, text("end_turn"))),
        Event::Usage(Usage { output_tokens: Some(7), ..Usage::default() }),
        Event::End,
        Event::Ping,
    ];
    let (frames, losses) = spoken(reply.clone(), &events);
    let expected = [
        json!({"role":"assistant","content":"","refusal":null}),
        json!({"reasoning_content":"hm"}),
        json!({"thinking_blocks":[{"type":"thinking","thinking":"","signature":"s"}]}),
        json!(": ping"),
        json!({"content":"a\n"}),
        json!({"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"srv.read","arguments":""}}]}),
        json!({"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}),
        json!({"tool_calls":[{"index":1,"id":"t2","type":"custom","custom":{"name":"patch","input":""}}]}),
        json!({"tool_calls":[{"index":1,"custom":{"input":"x\ny"}}]}),
        json!({"thinking_blocks":[{"type":"redacted_thinking","data":"d"}]}),
    ];
    assert_eq!(frames.len(), expected.len() + 3, "{frames:#?}");
    let chunk = |delta: &Value, finish: Value| {
        json!({"id":"msg_1","object":"chat.completion.chunk","created":1_700_000_000,"model":"claude",
            "choices":[{"index":0,"delta":delta,"logprobs":null,"finish_reason":finish}],"usage":null})
    };
    for (frame, delta) in frames.iter().zip(&expected) {
        match delta.as_str() {
            Some(comment) => assert_eq!(frame, comment),
            None => assert_eq!(value(frame.strip_prefix("data: ").unwrap().as_bytes()), chunk(delta, Value::Null)),
        }
    }
    let tail: Vec<_> = frames[expected.len()..].iter().map(|frame| frame.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(value(tail[0].as_bytes()), chunk(&json!({}), json!("tool_calls")));
    assert_eq!(
        value(tail[1].as_bytes()),
        json!({"id":"msg_1","object":"chat.completion.chunk","created":1_700_000_000,"model":"claude","choices":[],
            "usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}})
    );
    assert_eq!(tail[2], "[DONE]");
    assert_eq!(losses, ["content[].citations_delta", "content[].server_tool_use"]);

    reply.stream_usage = false;
    let (frames, _) = spoken(reply, &events);
    assert!(frames.iter().all(|frame| !frame.contains("usage")), "{frames:#?}");
}

#[test]
fn a_broken_stream_ends_with_an_error_and_no_end_mark() {
    let fault = Fault::upstream(FaultKind::Truncated, "cut");
    let text = Event::PartDelta { index: 0, delta: Delta::Text(Text::plain("a")) };
    let (frames, _) = spoken(reply(), &[text, Event::Fault(fault), Event::End]);
    assert_eq!(frames.len(), 3, "{frames:#?}");
    assert!(frames[0].contains("\"role\""), "the role comes first, whatever came in");
    assert!(frames[2].starts_with("data: {\"error\":{"));
}

#[test]
fn a_stream_without_events_is_still_one() {
    let (frames, _) = spoken(reply(), &[Event::End]);
    assert_eq!(frames.len(), 3, "{frames:#?}");
    assert!(frames[1].contains("\"finish_reason\":\"stop\""));
    let mut refused = Finish::new(FinishReason::ContentFilter, Text::plain("refusal"));
    refused.explanation = Some(Text::plain("no"));
    let (frames, _) = spoken(reply(), &[Event::Finish(refused), Event::End]);
    assert!(frames[1].contains("\"refusal\":\"no\"") && frames[2].contains("\"content_filter\""), "{frames:#?}");
}
