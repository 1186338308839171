//! Streams, both ways.

use serde_json::{Value, json};

use super::super::Gemini;
use super::{decoded, facts, json as parse, reply, streamed};
use crate::base::framing::Framing;
use crate::base::{Fault, FaultKind};
use crate::dialect::Codec;
use crate::ir::{Delta, Dialect, Event, Finish, FinishReason, PartStart, Text, Usage, proof};

/// A stream of these chunks.
fn wire(chunks: &[Value]) -> Vec<u8> {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<String>().into_bytes()
}

fn chunk(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}}], "responseId": "r", "modelVersion": "g"})
}

fn told(chunks: &[Value]) -> Vec<String> {
    facts(&decoded(&wire(chunks), Framing::Sse).1.into_answer())
}

#[test]
fn reads_what_is_streamed() {
    let usage = |n: u64| json!({"promptTokenCount": 3, "candidatesTokenCount": n, "totalTokenCount": 3 + n});
    let mut last = chunk(json!([{"text": "", "thoughtSignature": "ZW5k"}]));
    last["candidates"][0]["finishReason"] = json!("STOP");
    last["usageMetadata"] = usage(9);
    let mut first = chunk(json!([{"text": "I th", "thought": true}]));
    first["usageMetadata"] = usage(1);
    let chunks = [
        first,
        chunk(json!([{"text": "ink", "thought": true}])),
        chunk(json!([{"text": "Hel"}])),
        chunk(json!([{"text": ""}, {"text": "lo"}])),
        last,
    ];
    let (events, fold) = decoded(&wire(&chunks), Framing::Sse);
    assert!(fold.fault().is_none() && !fold.ended(), "no mark ends it");
    let answer = fold.into_answer();
    assert_eq!((answer.id.clone().unwrap(), answer.model.clone().unwrap()), (Text::plain("r"), Text::plain("g")));
    assert_eq!(
        facts(&answer),
        [
            "thought: I think",
            "text: Hello",
            "signature: b3V0cmlkZXIvZ2VtaW5pZW5k",
            "Some(Stop)",
            &format!("{:?}", Some(Usage { input_tokens: Some(3), output_tokens: Some(9), ..Usage::default() }))
        ]
    );
    assert_eq!(answer.parts.len(), 3);
    let starts = events.iter().filter(|event| event.starts_with("PartStart")).count();
    let ends = events.iter().filter(|event| event.starts_with("PartEnd")).count();
    assert_eq!((starts, ends, events.last().unwrap().starts_with("Finish")), (3, 3, true));
}

#[test]
fn reads_calls_whole_and_in_pieces() {
    let call = |call: Value| chunk(json!([{"functionCall": call}]));
    let mut end = chunk(json!([{"text": ""}]));
    end["candidates"][0]["finishReason"] = json!("STOP");
    let chunks = [
        chunk(json!([{"functionCall": {"name": "whole", "args": {"a": 1}}, "thoughtSignature": "c2ln"}])),
        call(json!({"name": "bare"})),
        call(json!({"name": "slow", "willContinue": true})),
        call(json!({"partialArgs": [{"jsonPath": "$.id", "stringValue": "A", "willContinue": true}], "willContinue": true})),
        call(json!({"partialArgs": [{"jsonPath": "$.id", "stringValue": "B"}], "willContinue": true})),
        call(json!({})),
        call(json!({"name": "cut", "partialArgs": [{"jsonPath": "$.x[0]", "numberValue": 1}], "willContinue": true})),
        end,
    ];
    assert_eq!(
        told(&chunks)[..6],
        [
            "signature: b3V0cmlkZXIvZ2VtaW5pc2ln".to_owned(),
            "call: whole {\"a\":1}".to_owned(),
            "call: bare {}".to_owned(),
            "call: slow {\"id\":\"AB\"}".to_owned(),
            "call: cut {\"x\":[1]}".to_owned(),
            "Some(ToolCalls)".to_owned()
        ]
    );
    let (events, _) = decoded(&wire(&chunks), Framing::Sse);
    for id in ["call_r_0", "call_r_1", "call_r_2", "call_r_3"] {
        assert!(events.iter().any(|event| event.contains(&format!("\"{id}\""))), "{id}");
    }
    let lost = call(json!({"partialArgs": [{"jsonPath": "$.x[9]", "numberValue": 1}], "name": "f", "willContinue": true}));
    let mut decoder = Gemini.stream_decoder();
    let frame = frame(&lost.to_string());
    assert_eq!(decoder.decode(&frame, &mut |_| ()).unwrap_err().kind, FaultKind::UpstreamProtocol);
}

fn frame(data: &str) -> crate::base::sse::Frame {
    crate::base::sse::Frame {
        raw: bytes::Bytes::new(),
        name: bytes::Bytes::new(),
        data: Some(bytes::Bytes::copy_from_slice(data.as_bytes())),
    }
}

#[test]
fn a_signature_never_moves_to_another_part() {
    // The empty text carries the first signature; the call has none.
    let chunks = [chunk(json!([{"text": "", "thoughtSignature": "c2ln"}])), chunk(json!([{"functionCall": {"name": "f"}}]))];
    let (events, _) = decoded(&wire(&chunks), Framing::Sse);
    let starts: Vec<&str> = events.iter().filter(|event| event.starts_with("PartStart")).map(|event| &event[27..]).collect();
    assert_eq!(starts.len(), 3);
    assert!(starts[0].contains("Reasoning") && starts[1].contains("Text") && starts[2].contains("ToolCall"), "{starts:?}");
    let chunks = [chunk(json!([{"text": "a", "thoughtSignature": "c2ln"}])), chunk(json!([{"text": "b"}]))];
    assert_eq!(told(&chunks)[..2], ["signature: b3V0cmlkZXIvZ2VtaW5pc2ln", "text: ab"]);
}

#[test]
fn reads_blocks_and_failures() {
    let (_, fold) = decoded(&wire(&[json!({"promptFeedback": {"blockReason": "SAFETY"}})]), Framing::Sse);
    assert_eq!(fold.into_answer().finish.unwrap().reason, FinishReason::ContentFilter);
    let error = json!({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "2s"}]}});
    for wire in [wire(&[chunk(json!([{"text": "a"}])), error.clone()]), wire(&[json!([error])])] {
        let (_, fold) = decoded(&wire, Framing::Sse);
        let fault = fold.fault().unwrap();
        assert_eq!((fault.kind, fault.retry_after.map(|wait| wait.as_secs())), (FaultKind::RateLimited, Some(2)));
    }
    for data in ["x", "[1]", "1", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":1}]}}]}"] {
        let fault = Gemini.stream_decoder().decode(&frame(data), &mut |_| ()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UpstreamProtocol, "{data}");
    }
    for data in ["", "[DONE]", "{}", "{\"candidates\":null}"] {
        Gemini.stream_decoder().decode(&frame(data), &mut |_| ()).unwrap();
    }
}

#[test]
fn an_array_ends_with_its_bracket() {
    let mut end = chunk(json!([{"text": "a"}]));
    end["candidates"][0]["finishReason"] = json!("STOP");
    let whole = format!("[{}\n,\r\n{}\n]\n", chunk(json!([{"text": "b"}])), end);
    assert!(decoded(whole.as_bytes(), Framing::JsonArray).1.ended());
    let cut = format!("[{}\n]", chunk(json!([{"text": "b"}])));
    assert!(!decoded(cut.as_bytes(), Framing::JsonArray).1.ended(), "no reason was told");
}

fn events() -> Vec<Event<'static>> {
    let signature = proof::read(Dialect::Gemini, Text::plain("c2ln"));
    let delta = |index, delta| Event::PartDelta { index, delta };
    let start = |index, part| Event::PartStart { index, part };
    let end = |index| Event::PartEnd { index };
    let call = |id: &'static str| PartStart::ToolCall { id: Text::plain(id), name: Text::plain("f"), custom: false };
    vec![
        Event::Start { id: Some(Text::plain("r")), model: Some(Text::plain("g")), created: None },
        Event::Ping,
        start(0, PartStart::Reasoning),
        delta(0, Delta::Reasoning(Text::plain("hm"))),
        delta(0, Delta::Signature(Text::plain("YW50"))),
        end(0),
        start(1, PartStart::Text),
        delta(1, Delta::Text(Text::plain("Hel"))),
        start(2, call("a")),
        start(3, call("b")),
        delta(2, Delta::Arguments(Text::plain("{\"x\":"))),
        delta(1, Delta::Text(Text::plain("lo"))),
        delta(3, Delta::Arguments(Text::EMPTY)),
        end(3),
        delta(2, Delta::Arguments(Text::plain("1}"))),
        end(2),
        start(4, PartStart::Reasoning),
        delta(4, Delta::Signature(signature)),
        end(4),
        start(5, call("c")),
        end(5),
        Event::Finish(Finish::new(FinishReason::ToolCalls, Text::plain("tool_use"))),
        Event::Usage(Usage { input_tokens: Some(3), output_tokens: Some(4), ..Usage::default() }),
    ]
}

#[test]
fn writes_one_chunk_for_each_piece() {
    let (out, encoder) = streamed(Framing::Sse, |each| events().into_iter().chain([Event::End]).for_each(each));
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("\r\n\r\n"));
    let chunks: Vec<Value> =
        text.split_terminator("\r\n\r\n").map(|frame| parse(frame.strip_prefix("data: ").unwrap().as_bytes())).collect();
    let parts: Vec<Value> = chunks.iter().map(|chunk| chunk["candidates"][0]["content"]["parts"].clone()).collect();
    let call = |id: &str, args: Value| json!({"functionCall": {"id": id, "name": "f", "args": args}});
    let mut signed = call("c", json!({}));
    signed["thoughtSignature"] = json!("c2ln");
    let wanted = [
        json!({"text": "hm", "thought": true}),
        json!({"text": "", "thought": true, "thoughtSignature": "b3V0cmlkZXIvYW50aHJvcGljYW50"}),
        json!({"text": "Hel"}),
        json!({"text": "lo"}),
        call("b", json!({})),
        call("a", json!({"x": 1})),
        signed,
        json!({"text": ""}),
    ];
    let wanted: Vec<Value> = wanted.into_iter().map(|part| json!([part])).collect();
    assert_eq!(parts, wanted);
    let last = chunks.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"], json!({"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}));
    assert!(chunks.iter().all(|chunk| chunk["responseId"] == "r" && chunk["modelVersion"] == "g" && chunk["candidates"][0]["index"] == 0));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["candidates"][0].get("finishReason").is_none()));
    assert!(encoder.losses().is_empty());
}

#[test]
fn an_array_is_whole_whatever_ends_it() {
    let (out, _) = streamed(Framing::JsonArray, |each| events().into_iter().chain([Event::End, Event::End, Event::Ping]).for_each(each));
    assert_eq!(parse(&out).as_array().unwrap().len(), 8);
    let fault = || Event::Fault(Fault::upstream(FaultKind::Overloaded, "busy"));
    let (out, _) = streamed(Framing::JsonArray, |each| events().into_iter().take(8).chain([fault(), Event::End]).for_each(each));
    let told = parse(&out);
    assert_eq!(told.as_array().unwrap().last().unwrap()["error"]["status"], "UNAVAILABLE");
    let (out, _) = streamed(Framing::JsonArray, |each| each(fault()));
    assert_eq!(parse(&out)[0]["error"]["code"], 503);
    let (out, _) = streamed(Framing::Sse, |each| each(fault()));
    assert!(out.starts_with(b"data: {\"error\":") && out.ends_with(b"}\r\n\r\n"));
    let (out, _) = streamed(Framing::JsonArray, |each| each(Event::End));
    assert_eq!(parse(&out)[0]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn what_an_encoder_cannot_say_is_named() {
    let opaque = |dialect, kind: &'static str, raw: &'static str| Event::PartStart {
        index: 0,
        part: PartStart::Opaque { dialect, kind: kind.into(), raw: raw.into() },
    };
    let (out, encoder) = streamed(Framing::Sse, |each| {
        each(opaque(Dialect::Anthropic, "server_tool_use", "{}"));
        each(Event::PartDelta {
            index: 0,
            delta: Delta::Opaque { dialect: Dialect::Anthropic, kind: "citations_delta".into(), raw: "{}".into() },
        });
        each(Event::PartDelta { index: 9, delta: Delta::Signature(Text::plain("x")) });
        each(opaque(Dialect::Gemini, "executableCode", "{\"executableCode\":\n{}}"));
        each(opaque(Dialect::Gemini, "groundingMetadata", "{\"a\":1}"));
    });
    assert_eq!(encoder.losses().names(), ["parts[].server_tool_use", "parts[].citations_delta", "parts[].signature"]);
    let text = String::from_utf8(out).unwrap();
    let chunks: Vec<Value> =
        text.split_terminator("\r\n\r\n").map(|frame| parse(frame.strip_prefix("data: ").unwrap().as_bytes())).collect();
    assert_eq!(chunks[0]["candidates"][0]["content"]["parts"], json!([{"executableCode": {}}]));
    assert_eq!(chunks[1]["candidates"][0]["groundingMetadata"], json!({"a": 1}));
    assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 2);
}

#[test]
fn a_stream_that_holds_back_too_much_is_given_up() {
    let (out, _) = streamed(Framing::Sse, |each| {
        for index in 0..1100 {
            each(Event::PartStart { index, part: PartStart::ToolCall { id: Text::plain("c"), name: Text::plain("f"), custom: false } });
        }
        each(Event::End);
    });
    let text = String::from_utf8(out).unwrap();
    assert_eq!((text.matches("\"error\"").count(), text.matches("finishReason").count()), (1, 0));
    assert!(reply(Framing::Sse).tools.is_empty());
}
