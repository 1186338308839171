use super::*;
use crate::base::FaultKind;
use crate::ir::{Delta, Finish, FinishReason, PartStart, Usage};

fn wire(events: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        out.extend_from_slice(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("")).as_bytes());
    }
    out
}

fn created() -> Value {
    json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "m", "created_at": 5, "status": "in_progress", "output": []}})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}})
}

/// The parts of a stream of these events between its start and its end, and the order of what was told.
fn parts(events: &[Value]) -> (Value, Vec<String>) {
    let all = [&[created()], events, &[completed()]].concat();
    let (fold, told) = folded(&wire(&all)).unwrap();
    assert!(fold.ended() && fold.fault().is_none());
    (meaning(&fold.into_answer())["parts"].take(), told)
}

#[test]
fn a_stream_is_told_once_and_in_order() {
    let (said, told) = parts(&[
        json!({"type": "response.in_progress", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "a", "summary": [], "encrypted_content": "early"}}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0, "part": {"type": "summary_text", "text": ""}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "one"}),
        json!({"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "one"}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1, "part": {"type": "summary_text", "text": ""}}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "two"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "b", "summary": [{"text": "one"}, {"text": "two"}], "encrypted_content": "E"}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "c", "content": []}}),
        json!({"type": "response.content_part.added", "output_index": 1, "content_index": 0, "item_id": "d", "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "e", "delta": "hel"}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "f", "delta": "lo"}),
        json!({"type": "response.new_kind_of_event", "output_index": 1, "delta": "x"}),
        json!({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "hello"}),
        json!({"type": "response.content_part.done", "output_index": 1, "content_index": 0, "part": {"type": "output_text", "text": "hello"}}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"a\""}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"}),
        json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"a\":1}"}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"}}),
        json!({"type": "response.output_item.added", "output_index": 3, "item": {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": ""}}),
        json!({"type": "response.custom_tool_call_input.delta", "output_index": 3, "delta": "raw"}),
        json!({"type": "response.custom_tool_call_input.done", "output_index": 3, "input": "raw"}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "raw"}}),
    ]);
    let proof = "b3V0cmlkZXIvcmVzcG9uc2Vz";
    assert_eq!(
        said,
        json!([
            [format!("reasoning {proof}E"), "one\n\ntwo"],
            ["text", "hello"],
            ["call c1 f false", "{\"a\":1}"],
            ["call c2 g true", "raw"]
        ])
    );
    let order = "start +0 0 0 0 0 -0 +1 1 1 -1 +2 2 2 -2 +3 3 -3 usage finish end";
    assert_eq!(told.join(" "), order);
}

/// Hosts leave out deltas, events, numbers and ids; what is told anywhere is told once.
#[test]
fn oddities_of_hosts_are_tolerated() {
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "hi"}, {"type": "refusal", "refusal": "no"}]});
    let thought = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]});
    let table = [
        // The item alone.
        (vec![json!({"type": "response.output_item.done", "output_index": 0, "item": call})], json!([["call c f false", "{}"]])),
        (
            vec![json!({"type": "response.output_item.done", "output_index": 0, "item": message})],
            json!([["text", "hi"], ["refusal", "no"]]),
        ),
        (vec![json!({"type": "response.output_item.done", "output_index": 0, "item": thought})], json!([["reasoning ", "s"]])),
        // A proof without words.
        (
            vec![
                json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "summary": [], "encrypted_content": "E"}}),
            ],
            json!([["redacted", "b3V0cmlkZXIvcmVzcG9uc2VzE"]]),
        ),
        // No deltas of the arguments.
        (
            vec![
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}}),
                json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": call}),
            ],
            json!([["call c f false", "{}"]]),
        ),
        // No numbers, no part events.
        (
            vec![json!({"type": "response.output_text.delta", "delta": "h"}), json!({"type": "response.output_text.delta", "delta": "i"})],
            json!([["text", "hi"]]),
        ),
        // The thinking of open models, and its repetition as a summary.
        (
            vec![
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": [], "content": []}}),
                json!({"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"type": "reasoning_text", "text": ""}}),
                json!({"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "th"}),
                json!({"type": "response.reasoning_text.done", "output_index": 0, "content_index": 0, "text": "th"}),
                json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "th"}),
                json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "reasoning_text", "text": "th"}}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "th"}]}}),
            ],
            json!([["reasoning ", "th"]]),
        ),
        // Two messages whose events mix.
        (
            vec![
                json!({"type": "response.output_text.delta", "output_index": 0, "delta": "a"}),
                json!({"type": "response.output_text.delta", "output_index": 1, "delta": "b"}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "content": [{"type": "output_text", "text": "a"}]}}),
                json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "message", "content": [{"type": "output_text", "text": "b"}]}}),
            ],
            json!([["text", "a"], ["text", "b"]]),
        ),
    ];
    for (events, expected) in table {
        assert_eq!(parts(&events).0, expected, "{events:?}");
    }
    let alone = json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": [message, call]}});
    let (fold, _) = folded(&wire(&[alone])).unwrap();
    assert!(fold.ended());
    let answer = fold.into_answer();
    assert_eq!(meaning(&answer)["parts"], json!([["text", "hi"], ["refusal", "no"], ["call c f false", "{}"]]));
    assert_eq!(answer.finish.unwrap().reason, FinishReason::ToolCalls);
    let (fold, told) =
        folded(&[b": KEEPALIVE\n\ndata: [DONE]\n\n".to_vec(), wire(&[completed()]), b"data: [DONE]\n\n".to_vec()].concat()).unwrap();
    assert_eq!((fold.ended(), told.join(" ").as_str()), (true, "ping start usage finish end"));
}

#[test]
fn endings_and_failures_are_told() {
    let incomplete = json!({"type": "response.incomplete", "response": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": {"output_tokens": 3}}});
    let (fold, _) = folded(&wire(&[created(), incomplete])).unwrap();
    assert!(fold.ended());
    let answer = fold.into_answer();
    assert_eq!(answer.finish.unwrap().reason, FinishReason::Length);
    assert_eq!(answer.usage.unwrap().output_tokens, Some(3));
    let nested = json!({"type": "error", "sequence_number": 2, "error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}});
    let flat = json!({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null, "sequence_number": 2});
    let failed = json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error", "message": "m"}, "usage": {"input_tokens": 3}}});
    let silent = json!({"type": "response.failed", "response": {"status": "failed", "error": null}});
    let bare = json!({"error": {"message": "m", "code": 502}});
    let table = [
        (nested, FaultKind::BudgetExhausted),
        (flat, FaultKind::RateLimited),
        (failed, FaultKind::UpstreamFailed),
        (silent, FaultKind::UpstreamFailed),
        (bare, FaultKind::UpstreamFailed),
    ];
    for (event, kind) in table {
        let (fold, told) = folded(&wire(&[created(), event.clone(), completed()])).unwrap();
        assert_eq!(fold.fault().map(|fault| fault.kind), Some(kind), "{event}");
        assert_eq!(told.last().unwrap(), "fault", "nothing behind it");
    }
    assert_eq!(folded(b"data: {\n\n").unwrap_err().kind, FaultKind::UpstreamProtocol);
    assert_eq!(folded(b"data: 7\n\n").unwrap_err().kind, FaultKind::UpstreamProtocol);
}

fn text(text: &str) -> Delta<'_> {
    Delta::Text(Text::plain(text))
}

/// The whole of a small stream, as OpenAI writes it.
#[test]
fn a_stream_is_written_as_openai_writes_it() {
    let call = PartStart::ToolCall { id: Text::plain("c1"), name: Text::plain("f"), custom: false };
    let events = vec![
        Event::Start { id: Some(Text::plain("chatcmpl-1")), model: Some(Text::plain("m")), created: Some(9) },
        Event::PartStart { index: 0, part: PartStart::Text },
        Event::PartDelta { index: 0, delta: text("a\"") },
        Event::PartDelta { index: 0, delta: text("") },
        Event::PartDelta { index: 0, delta: text("b") },
        Event::PartEnd { index: 0 },
        Event::PartStart { index: 1, part: call },
        Event::PartEnd { index: 1 },
        Event::Usage(Usage { input_tokens: Some(1), output_tokens: Some(2), ..Usage::default() }),
        Event::Finish(Finish::new(FinishReason::ToolCalls, Text::plain("tool_calls"))),
        Event::End,
    ];
    let (wire, losses) = streamed(events, reply());
    let told = checked(&wire);
    let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect();
    let expected = "created in_progress output_item.added content_part.added output_text.delta output_text.delta output_text.done \
        content_part.done output_item.done output_item.added function_call_arguments.delta function_call_arguments.done output_item.done completed";
    assert_eq!(kinds.join(" "), expected);
    let id = reply().id;
    assert_eq!(
        told[4],
        json!({"type": "response.output_text.delta", "sequence_number": 4, "item_id": format!("msg_{id}000"), "output_index": 0,
            "content_index": 0, "delta": "a\"", "logprobs": []})
    );
    assert_eq!(told[6]["text"], "a\"b");
    assert_eq!((&told[11]["arguments"], &told[11]["name"]), (&json!("{}"), &json!("f")));
    let response = &told[13]["response"];
    assert_eq!((&response["id"], &response["model"], &response["created_at"]), (&json!(format!("resp_{id}")), &json!("m"), &json!(9)));
    assert_eq!(response["usage"]["total_tokens"], 3);
    assert!(losses.is_empty());
}

#[test]
fn what_is_cut_off_says_so() {
    let events = |reason| {
        vec![
            Event::PartStart { index: 0, part: PartStart::Text },
            Event::PartDelta { index: 0, delta: text("half") },
            Event::PartEnd { index: 0 },
            Event::Finish(Finish::new(reason, Text::EMPTY)),
            Event::End,
        ]
    };
    for (reason, status, why) in [
        (FinishReason::Length, "incomplete", json!({"reason": "max_output_tokens"})),
        (FinishReason::ContentFilter, "incomplete", json!({"reason": "content_filter"})),
        (FinishReason::Other, "completed", Value::Null),
    ] {
        let last = checked(&streamed(events(reason), reply()).0).pop().unwrap();
        assert_eq!((&last["response"]["status"], &last["response"]["output"][0]["status"]), (&json!(status), &json!(status)));
        assert_eq!(last["response"]["incomplete_details"], why);
    }
    let refused = Finish { explanation: Some(Text::plain("why")), ..Finish::new(FinishReason::ContentFilter, Text::EMPTY) };
    let last = checked(&streamed([Event::Finish(refused), Event::End], reply()).0).pop().unwrap();
    assert_eq!(last["response"]["output"][0]["content"], json!([{"type": "refusal", "refusal": "why"}]));
}

/// Parts that overlap are put one behind the other, whole.
#[test]
fn parts_that_overlap_are_put_in_order() {
    let call = |id: &'static str| PartStart::ToolCall { id: Text::plain(id), name: Text::plain("f"), custom: false };
    let arguments = |index, more: &'static str| Event::PartDelta { index, delta: Delta::Arguments(Text::plain(more)) };
    let events = vec![
        Event::PartStart { index: 0, part: call("a") },
        Event::PartStart { index: 1, part: call("b") },
        arguments(1, "{\"b\""),
        arguments(0, "{\"a\""),
        arguments(1, ":2}"),
        arguments(0, ":1}"),
        Event::PartDelta { index: 7, delta: text("late") },
        Event::PartEnd { index: 1 },
        Event::PartEnd { index: 0 },
        Event::End,
    ];
    let (wire, _) = streamed(events, reply());
    let output = checked(&wire).pop().unwrap()["response"]["output"].take();
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"]), (&json!("{\"a\":1}"), &json!("{\"b\":2}")));
    assert_eq!(output[2]["content"][0]["text"], "late");
}

#[test]
fn a_free_form_tool_gets_its_text_back() {
    let mut reply = reply();
    reply.tools.mark_custom("patch", "patch");
    let events = |pieces: &[&'static str]| {
        let part = PartStart::ToolCall { id: Text::plain("c"), name: Text::plain("patch"), custom: false };
        let deltas = pieces.iter().map(|piece| Event::PartDelta { index: 0, delta: Delta::Arguments(Text::plain(*piece)) });
        let mut events = vec![Event::PartStart { index: 0, part }];
        events.extend(deltas);
        events.extend([Event::PartEnd { index: 0 }, Event::End]);
        events
    };
    let told = checked(&streamed(events(&["{\"inp", "ut\":\"a\\n", "b\"}"]), reply.clone()).0);
    let deltas: Vec<_> = told.iter().filter(|event| event["type"] == "response.custom_tool_call_input.delta").collect();
    assert_eq!((deltas.len(), &deltas[0]["delta"]), (1, &json!("a\nb")));
    let item = &told.last().unwrap()["response"]["output"][0];
    assert_eq!((&item["type"], &item["input"]), (&json!("custom_tool_call"), &json!("a\nb")));
}

#[test]
fn a_fault_ends_the_stream_as_failed() {
    let fault = Fault::upstream(FaultKind::Overloaded, "too much").at("x");
    let events = [
        Event::PartStart { index: 0, part: PartStart::Text },
        Event::PartDelta { index: 0, delta: text("a") },
        Event::Fault(fault.clone()),
    ];
    let (out, _) = streamed(events.into_iter().chain([Event::End, Event::Ping]), reply());
    let told = checked(&out);
    let [.., error, failed] = &told[..] else { panic!() };
    assert_eq!((&error["type"], &error["error"]["code"], &error["param"]), (&json!("error"), &json!("overloaded"), &json!("x")));
    assert_eq!(failed["response"]["error"], json!({"code": "overloaded", "message": "too much"}));
    let mut alone = Vec::new();
    OpenAiResponses.encode_stream_error(&fault, reply().id, crate::base::framing::Framing::Sse, true, &mut alone);
    let (fold, _) = folded(&alone).unwrap();
    assert_eq!(fold.fault().map(|fault| (fault.kind, &*fault.client_text)), Some((FaultKind::Overloaded, "too much")));
}

#[test]
fn memory_is_bounded() {
    let block = "x".repeat(1 << 20);
    let mut encoder = OpenAiResponses.stream_encoder(reply());
    let mut out = Vec::new();
    for _ in 0..20 {
        out.clear();
        encoder.encode(&Event::PartDelta { index: 0, delta: text(&block) }, &mut out);
    }
    assert!(out.is_empty(), "it has given up");
    let mut decoder = OpenAiResponses.stream_decoder();
    let mut result = Ok(());
    for i in 0..2000 {
        let data = json!({"type": "response.output_text.delta", "output_index": i, "delta": "x"}).to_string();
        let frame = crate::base::sse::Frame { raw: bytes::Bytes::new(), name: bytes::Bytes::new(), data: Some(data.into()) };
        result = result.and(decoder.decode(&frame, &mut |_| ()));
    }
    assert_eq!(result.unwrap_err().kind, FaultKind::UpstreamProtocol);
}
