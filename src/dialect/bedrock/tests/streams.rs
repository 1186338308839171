//! Streams, both ways.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Bedrock;
use super::{reply, words};
use crate::base::eventstream;
use crate::base::framing::Framing;
use crate::base::sse::Frame;
use crate::base::{Fault, FaultKind};
use crate::dialect::{Codec, Losses, tests};
use crate::ir::{Answer, Delta, Dialect, Event, Finish, FinishReason, Fold, Part, PartStart, Text, Usage, proof, unfold};

pub(super) fn frames(wire: &[u8]) -> Vec<Frame> {
    tests::frames(Framing::EventStream, wire)
}

pub(super) fn fold_wire(wire: &[u8]) -> Fold {
    let (mut decoder, mut fold) = (Bedrock.stream_decoder(), Fold::default());
    for frame in frames(wire) {
        decoder.decode(&frame, &mut |event| fold.add(&event)).unwrap();
    }
    fold
}

/// The grammar of the wire: blocks are dense and do not overlap, the ends are in order.
pub(super) fn check_grammar(wire: &[u8]) -> Result<(), String> {
    let (mut started, mut stopped, mut counted, mut failed) = (false, false, false, false);
    let (mut open, mut next): (Option<String>, u64) = (None, 0);
    for frame in frames(wire) {
        let data: Value = serde_json::from_slice(frame.data.as_deref().ok_or("no data")?).map_err(|e| e.to_string())?;
        let name = String::from_utf8(frame.name.to_vec()).unwrap();
        if counted || failed {
            return Err(format!("{name} behind the end"));
        }
        let index = data["contentBlockIndex"].as_u64();
        match name.as_str() {
            "messageStart" if !started => started = true,
            "contentBlockStart" if started && !stopped && open.is_none() && index == Some(next) => {
                let kind = data["start"].as_object().and_then(|start| start.keys().next()).ok_or("a start of nothing")?;
                open = Some(kind.clone());
            }
            "contentBlockDelta" if started && !stopped && index == Some(next) => {
                let kind = data["delta"].as_object().and_then(|delta| delta.keys().next()).ok_or("a delta of nothing")?;
                let known = open.get_or_insert_with(|| kind.clone());
                if known == "toolUse" && kind != "toolUse" || known == "reasoningContent" && kind != known {
                    return Err(format!("{kind} in {known}"));
                }
            }
            "contentBlockStop" if open.is_some() && index == Some(next) => {
                open = None;
                next += 1;
            }
            "messageStop" if started && open.is_none() && !stopped => {
                stopped = true;
                data["stopReason"].as_str().ok_or("no stopReason")?;
            }
            "metadata" if stopped => {
                counted = true;
                data["usage"]["totalTokens"].as_u64().ok_or("no usage")?;
            }
            name if name.ends_with("Exception") => failed = true,
            other => return Err(format!("{other} out of place: {data}")),
        }
    }
    Ok(())
}

fn message(name: &str, payload: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = if name.ends_with("Exception") { "exception" } else { "event" };
    let header = if kind == "event" { ":event-type" } else { ":exception-type" };
    eventstream::write(&[(header, name), (":message-type", kind)], &mut out, |out| out.extend_from_slice(payload.to_string().as_bytes()));
    out
}

fn wire(messages: &[(&str, Value)]) -> Vec<u8> {
    messages.iter().flat_map(|(name, payload)| message(name, payload)).collect()
}

fn delta(index: u64, delta: Value) -> (&'static str, Value) {
    ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}))
}

fn stop(index: u64) -> (&'static str, Value) {
    ("contentBlockStop", json!({"contentBlockIndex": index}))
}

fn brief(event: &Event<'_>) -> String {
    match event {
        Event::PartStart { index, part } => format!("start {index} {}", format!("{part:?}").split([' ', '(']).next().unwrap()),
        Event::PartDelta { index, delta } => format!("delta {index} {}", delta.text().read()),
        Event::PartEnd { index } => format!("end {index}"),
        Event::Finish(finish) => format!("finish {:?}", finish.reason),
        Event::Usage(usage) => format!("usage {:?} {:?}", usage.input_tokens, usage.output_tokens),
        Event::Fault(fault) => format!("fault {:?}", fault.kind),
        Event::Start { .. } => "start".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::End => "end".to_owned(),
    }
}

fn told(messages: &[(&str, Value)]) -> Vec<String> {
    let (mut decoder, mut told) = (Bedrock.stream_decoder(), Vec::new());
    for frame in frames(&wire(messages)) {
        decoder.decode(&frame, &mut |event| told.push(brief(&event))).unwrap();
    }
    told
}

#[test]
fn reads_a_stream_as_it_comes() {
    let messages = [
        ("messageStart", json!({"role": "assistant", "p": "a"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "si"}})),
        delta(0, json!({"reasoningContent": {"signature": "g"}})),
        stop(0),
        delta(1, json!({"text": "Hel"})),
        delta(1, json!({"text": ""})),
        delta(1, json!({"text": "lo"})),
        delta(1, json!({"citation": {"title": "t"}})),
        stop(1),
        ("contentBlockStart", json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}})),
        delta(2, json!({"toolUse": {"input": ""}})),
        delta(2, json!({"toolUse": {"input": "{\"a\""}})),
        delta(2, json!({"toolUse": {"input": ":1}"}})),
        stop(2),
        ("contentBlockStart", json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t", "name": "g", "type": "tool_use"}}})),
        stop(3),
        ("somethingNew", json!({"x": 1})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3}, "metrics": {"latencyMs": 1}})),
        ("metadata", json!({"usage": {"inputTokens": 9}})),
    ];
    let wanted = [
        "start",
        "start 0 Reasoning",
        "delta 0 hm",
        "delta 0 b3V0cmlkZXIvYmVkcm9jay8vsi",
        "delta 0 g",
        "end 0",
        "start 1 Text",
        "delta 1 Hel",
        "delta 1 lo",
        "delta 1 {\"citation\":{\"title\":\"t\"}}",
        "end 1",
        "start 2 ToolCall",
        "delta 2 {\"a\"",
        "delta 2 :1}",
        "end 2",
        "start 3 ToolCall",
        "delta 3 {}",
        "end 3",
        "finish ToolCalls",
        "usage Some(4) Some(2)",
        "end",
    ];
    assert_eq!(told(&messages), wanted);
}

/// Messages, and what is told of them.
type Odd = (Vec<(&'static str, Value)>, &'static [&'static str]);

#[test]
fn reads_what_is_odd() {
    let done = [("messageStop", json!({"stopReason": "end_turn"}))];
    let cases: [Odd; 7] = [
        // A block that turns into another kind, and one that nobody closes.
        (
            vec![delta(0, json!({"text": "a"})), delta(0, json!({"reasoningContent": {"text": "b"}})), done[0].clone()],
            &["start 0 Text", "delta 0 a", "end 0", "start 1 Reasoning", "delta 1 b", "end 1", "finish Stop"],
        ),
        (vec![delta(0, json!({"reasoningContent": {"redactedContent": "QQ=="}})), stop(0)], &["start 0 RedactedReasoning", "end 0"]),
        // What the provider itself runs is not the app's to call.
        (
            vec![
                ("contentBlockStart", json!({"contentBlockIndex": 0, "start": {"toolUse": {"name": "x", "type": "server_tool_use"}}})),
                delta(0, json!({"toolUse": {"input": "{}"}})),
                stop(0),
                ("contentBlockStart", json!({"contentBlockIndex": 1, "start": {"toolResult": {"type": "x_result"}}})),
                delta(1, json!({"toolResult": [{"json": {}}]})),
                done[0].clone(),
            ],
            &[
                "start 0 Opaque",
                "delta 0 {\"toolUse\":{\"input\":\"{}\"}}",
                "end 0",
                "start 1 Opaque",
                "delta 1 {\"toolResult\":[{\"json\":{}}]}",
                "end 1",
                "finish Stop",
            ],
        ),
        // Counters before the end.
        (vec![("metadata", json!({"usage": {"inputTokens": 1}})), done[0].clone()], &["usage Some(1) None", "finish Stop", "end"]),
        // Nothing to say.
        (vec![delta(0, json!({})), delta(4, json!({"toolUse": {"input": "x"}})), stop(7), delta(0, json!({"new": 1}))], &[]),
        (vec![("messageStop", json!({}))], &["finish Other"]),
        (vec![("chunk", json!({"bytes": "e30="}))], &[]),
    ];
    for (messages, wanted) in cases {
        assert_eq!(told(&messages), wanted, "{messages:?}");
    }
}

#[test]
fn reads_every_exception() {
    let cases = [
        ("throttlingException", json!({"message": "m"}), FaultKind::RateLimited),
        ("serviceUnavailableException", json!({"message": "m"}), FaultKind::Overloaded),
        ("internalServerException", json!({"message": "m"}), FaultKind::UpstreamFailed),
        ("validationException", json!({"message": "m"}), FaultKind::BadRequest),
        ("validationException", json!({"message": "Input is too long for m"}), FaultKind::ContextTooLong),
        ("modelStreamErrorException", json!({"message": "m"}), FaultKind::UpstreamFailed),
        ("modelStreamErrorException", json!({"message": "m", "originalStatusCode": 503}), FaultKind::Overloaded),
        ("modelStreamErrorException", json!({"message": "m", "originalStatusCode": 429}), FaultKind::RateLimited),
        ("modelTimeoutException", json!({"message": "m"}), FaultKind::Timeout),
        ("newException", json!({}), FaultKind::UpstreamFailed),
    ];
    for (name, payload, kind) in cases {
        assert_eq!(told(&[delta(0, json!({"text": "a"})), (name, payload)])[2..], [format!("fault {kind:?}")], "{name}");
    }
    let mut error = Vec::new();
    let headers = [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "An internal error")];
    eventstream::write(&headers, &mut error, |_| ());
    let fold = fold_wire(&error);
    assert_eq!(fold.fault().map(|f| (f.kind, f.client_text.as_ref())), Some((FaultKind::UpstreamFailed, "An internal error")));
}

#[test]
fn a_message_that_cannot_be_read_is_a_fault() {
    for payload in ["", "[]", "{", "\"x\""] {
        for name in ["contentBlockDelta", "contentBlockStart", "contentBlockStop", "messageStop", "metadata"] {
            let mut out = Vec::new();
            eventstream::write(&[(":event-type", name), (":message-type", "event")], &mut out, |out| {
                out.extend_from_slice(payload.as_bytes())
            });
            let fault = Bedrock.stream_decoder().decode(&frames(&out)[0], &mut |_| ()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::UpstreamProtocol, "{name} {payload}");
        }
    }
}

fn encoded(events: &[Event<'_>]) -> (Vec<(String, Value)>, Vec<u8>, Losses) {
    let (mut encoder, mut out) = (Bedrock.stream_encoder(reply()), Vec::new());
    for event in events {
        encoder.encode(event, &mut out);
    }
    let told = frames(&out)
        .into_iter()
        .map(|f| (String::from_utf8_lossy(&f.name).into_owned(), serde_json::from_slice(f.data.as_deref().unwrap()).unwrap()));
    (told.collect(), out.clone(), encoder.losses().clone())
}

#[test]
fn writes_a_stream_by_its_grammar() {
    let text = |index, text: &'static str| Event::PartDelta { index, delta: Delta::Text(Text::plain(text)) };
    let start = |index, part| Event::PartStart { index, part };
    let call = PartStart::ToolCall { id: Text::plain("a b"), name: Text::plain("f"), custom: false };
    let own = proof::read(Dialect::Bedrock, Text::plain("sig"));
    let own = own.read();
    let events = [
        start(0, PartStart::Reasoning),
        Event::PartDelta { index: 0, delta: Delta::Reasoning(Text::plain("hm")) },
        Event::PartDelta { index: 0, delta: Delta::Signature(Text::plain(&own[..5])) },
        Event::PartDelta { index: 0, delta: Delta::Signature(Text::plain(&own[5..])) },
        Event::PartEnd { index: 0 },
        start(1, PartStart::Text),
        Event::PartEnd { index: 1 },
        start(2, PartStart::Text),
        text(2, "Hi"),
        Event::PartEnd { index: 2 },
        Event::Ping,
        start(3, call),
        Event::PartEnd { index: 3 },
        start(4, PartStart::ToolCall { id: Text::plain("c"), name: Text::plain("g"), custom: true }),
        Event::PartDelta { index: 4, delta: Delta::Arguments(Text::plain("a \"b\"")) },
        start(5, PartStart::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), raw: "{}".into() }),
        Event::Usage(Usage { input_tokens: Some(9), cache_read_tokens: Some(4), output_tokens: Some(2), ..Usage::default() }),
        Event::Finish(Finish::new(FinishReason::ToolCalls, Text::plain("tool_calls"))),
        Event::End,
        text(2, "late"),
    ];
    let (messages, out, losses) = encoded(&events);
    check_grammar(&out).unwrap();
    let id = messages[6].1["start"]["toolUse"]["toolUseId"].clone();
    assert!(id.as_str().unwrap().starts_with("a_b_"));
    let delta = |index: u64, delta: Value| ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
    let begin = |index: u64, id: &Value, name: &str| {
        ("contentBlockStart", json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}))
    };
    let wanted = [
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "sig"}})),
        stop(0),
        delta(1, json!({"text": "Hi"})),
        stop(1),
        begin(2, &id, "f"),
        delta(2, json!({"toolUse": {"input": "{}"}})),
        stop(2),
        begin(3, &json!("c"), "g"),
        delta(3, json!({"toolUse": {"input": "{\"input\":\"a \\\"b\\\""}})),
        delta(3, json!({"toolUse": {"input": "\"}"}})),
        stop(3),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({
                "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 11, "cacheReadInputTokens": 4},
                "metrics": {"latencyMs": 0},
            }),
        ),
    ];
    let wanted: Vec<_> = wanted.into_iter().map(|(name, data)| (name.to_owned(), data)).collect();
    assert_eq!(messages, wanted);
    assert_eq!(losses.names(), ["content[].server_tool_use"]);
}

#[test]
fn a_fault_ends_the_stream_with_an_exception() {
    let fault = Fault::upstream(FaultKind::Truncated, "It broke off.");
    let events = [
        Event::PartStart { index: 0, part: PartStart::Text },
        Event::PartDelta { index: 0, delta: Delta::Text(Text::plain("a")) },
        Event::Fault(fault),
        Event::End,
    ];
    let (messages, out, _) = encoded(&events);
    check_grammar(&out).unwrap();
    let last = messages.last().unwrap();
    assert_eq!((last.0.as_str(), &last.1), ("modelStreamErrorException", &json!({"message": "It broke off."})));
    assert_eq!(messages.len(), 3);
}

fn part() -> impl Strategy<Value = Part<'static>> {
    let say = || "[a-z\"\\\\\n é😀]{1,8}";
    prop_oneof![
        say().prop_map(|t| Part::text(Text::plain(t))),
        say().prop_map(|t| Part::Refusal(Text::plain(t))),
        (say(), prop::option::of("[a-z]{1,8}")).prop_map(|(t, s)| Part::Reasoning {
            text: Text::plain(t),
            signature: s.map(|s| proof::read(Dialect::Bedrock, Text::plain(s)).into_owned()),
        }),
        "[a-zA-Z0-9+/]{4}".prop_map(|t| Part::RedactedReasoning(Text::plain(t))),
        ("[a-z]{8}", "[a-z]{1,4}", "[a-z\" é]{0,5}").prop_map(|(id, name, value)| Part::ToolCall {
            id: Text::plain(id),
            name: Text::plain(name),
            arguments: Text::plain(json!({ "a": value }).to_string()),
            custom: false,
            cache: None,
        }),
    ]
}

prop_compose! {
    fn answer()(
        parts in prop::collection::vec(part(), 0..8),
        reason in prop::sample::select(vec![FinishReason::Length, FinishReason::ContentFilter, FinishReason::Stop]),
        counts in (0u64..9, 0u64..9, 0u64..9),
    ) -> Answer<'static> {
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        let declined = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
        let reason = match reason {
            FinishReason::Stop if calls => FinishReason::ToolCalls,
            FinishReason::Stop if declined => FinishReason::ContentFilter,
            reason => reason,
        };
        let usage = Usage {
            input_tokens: Some(counts.0 + counts.1), cache_read_tokens: Some(counts.1), output_tokens: Some(counts.2), ..Usage::default()
        };
        Answer { parts, finish: Some(Finish::new(reason, Text::plain("x"))), usage: Some(usage), ..Answer::default() }
    }
}

proptest! {
    /// Law: what is streamed out and read in says the same, whole or in pieces, as what is written whole.
    #[test]
    fn a_stream_survives_writing_and_reading(answer in answer()) {
        let (mut encoder, mut out) = (Bedrock.stream_encoder(reply()), Vec::new());
        unfold(&answer, |event| encoder.encode(&event, &mut out));
        prop_assert_eq!(check_grammar(&out), Ok(()));
        let fold = fold_wire(&out);
        prop_assert!(fold.ended());
        let again = fold.into_answer();
        prop_assert_eq!(words(&answer), words(&again));
        prop_assert_eq!(answer.usage, again.usage);
        prop_assert_eq!(answer.finish.as_ref().map(|f| f.reason), again.finish.as_ref().map(|f| f.reason));
        let mut whole = Vec::new();
        Bedrock.encode_answer(&answer, &reply(), &mut crate::dialect::Notes::default(), &mut whole);
        let whole = Bedrock.decode_answer(&whole).unwrap();
        prop_assert_eq!(words(&answer), words(&whole));
        prop_assert_eq!(answer.usage, whole.usage);
    }

    /// Law: parts that overlap come out one after the other, and nothing of them is lost.
    #[test]
    fn overlapping_parts_are_put_in_order(parts in prop::collection::vec(part(), 1..6), order in prop::collection::vec(any::<prop::sample::Index>(), 60)) {
        let answer = Answer { parts, finish: Some(Finish::new(FinishReason::Stop, Text::plain("x"))), ..Answer::default() };
        let mut lanes: Vec<std::collections::VecDeque<Event<'_>>> = Vec::new();
        let mut ends = Vec::new();
        unfold(&answer, |event| match event {
            Event::PartStart { index, .. } => {
                lanes.resize_with(index + 1, Default::default);
                lanes[index].push_back(event);
            }
            Event::PartDelta { index, .. } | Event::PartEnd { index } => lanes[index].push_back(event),
            other => ends.push(other),
        });
        let (mut encoder, mut out) = (Bedrock.stream_encoder(reply()), Vec::new());
        let mut order = order.iter().cycle();
        while lanes.iter().any(|lane| !lane.is_empty()) {
            let place = order.next().unwrap().index(lanes.len());
            match lanes[place].pop_front() {
                Some(event) => encoder.encode(&event, &mut out),
                None => lanes.retain(|lane| !lane.is_empty()),
            }
        }
        for event in &ends {
            encoder.encode(event, &mut out);
        }
        prop_assert_eq!(check_grammar(&out), Ok(()));
        let again = fold_wire(&out).into_answer();
        // A signature whose thinking has given way cannot be told any more.
        let sorted = |answer: &Answer<'_>| {
            let mut words: Vec<_> = words(answer).iter().map(|w| w.split(" b3V0").next().unwrap().trim_end().to_owned()).filter(|w| w != "thinking").collect();
            words.sort();
            words
        };
        prop_assert_eq!(sorted(&answer), sorted(&again));
    }

    /// Law: whatever a payload holds, it is read or refused.
    #[test]
    fn mangled_messages_are_read_or_refused(
        names in prop::collection::vec(prop::sample::select(vec!["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "xException"]), 1..8),
        index in 0u64..3,
        inner in prop::sample::select(vec!["null", "0", "\"x\"", "[]", "{}", r#"{"text":"a"}"#, r#"{"toolUse":{"input":"a","name":1}}"#, r#"{"reasoningContent":{"text":"a","signature":"b","redactedContent":"c"}}"#, r#"{"citation":{}}"#, r#"{"image":{}}"#]),
    ) {
        let payload: Value = serde_json::from_str(&format!(r#"{{"contentBlockIndex":{index},"delta":{inner},"start":{inner},"usage":{inner},"stopReason":{inner}}}"#)).unwrap();
        let (mut decoder, mut encoder, mut out) = (Bedrock.stream_decoder(), Bedrock.stream_encoder(reply()), Vec::new());
        for frame in frames(&names.iter().flat_map(|name| message(name, &payload)).collect::<Vec<_>>()) {
            let _refused = decoder.decode(&frame, &mut |event| encoder.encode(&event, &mut out));
        }
        prop_assert_eq!(check_grammar(&out), Ok(()));
    }
}
