//! Streams, both ways.

use serde_json::Value;

use super::super::Anthropic;
use super::reply;
use crate::base::framing::Framing;
use crate::base::sse::Frame;
use crate::base::{Fault, FaultKind};
use crate::dialect::{Codec, tests};
use crate::ir::{Answer, Delta, Event, Finish, FinishReason, Fold, Part, PartStart, Text, Usage};

pub(super) fn frames(wire: &[u8]) -> Vec<Frame> {
    tests::frames(Framing::Sse, wire)
}

pub(super) fn fold_wire(wire: &[u8]) -> Answer<'static> {
    let (mut decoder, mut fold) = (Anthropic.stream_decoder(), Fold::default());
    for frame in frames(wire) {
        decoder.decode(&frame, &mut |event| fold.add(&event)).unwrap();
    }
    fold.into_answer()
}

/// What was said, in order, without parts that say nothing.
pub(super) fn words(answer: &Answer<'_>) -> Vec<String> {
    let say = |part: &Part<'_>| match part {
        Part::Text { text, .. } | Part::Refusal(text) => (!text.is_empty()).then(|| format!("text {}", text.read())),
        Part::Reasoning { text, signature } => (!text.is_empty() || signature.is_some())
            .then(|| format!("thinking {} {}", text.read(), signature.as_ref().map(|s| s.read()).unwrap_or_default())),
        Part::RedactedReasoning(data) => Some(format!("redacted {}", data.read())),
        Part::ToolCall { id, name, arguments, .. } => {
            let arguments = arguments.read();
            let arguments = if arguments.is_empty() { "{}".into() } else { arguments };
            Some(format!("call {} {} {arguments}", id.read(), name.read()))
        }
        _ => None,
    };
    answer.parts.iter().filter_map(say).collect()
}

/// The grammar of the wire: names agree, blocks are dense and do not overlap, the ends are in order.
pub(super) fn check_grammar(wire: &[u8]) -> Result<(), String> {
    let (mut started, mut delta, mut stopped, mut failed) = (false, false, false, false);
    let (mut open, mut next): (Option<(u64, String, bool)>, u64) = (None, 0);
    for frame in frames(wire) {
        let data: Value = serde_json::from_slice(frame.data.as_deref().ok_or("no data")?).map_err(|e| e.to_string())?;
        let name = String::from_utf8(frame.name.to_vec()).unwrap();
        if data["type"] != name.as_str() {
            return Err(format!("event {name} holds {}", data["type"]));
        }
        if stopped || failed {
            return Err(format!("{name} behind the end"));
        }
        match name.as_str() {
            "ping" => {}
            "error" => {
                failed = true;
                data["error"]["message"].as_str().ok_or("an error without a message")?;
            }
            "message_start" if !started => {
                started = true;
                let message = &data["message"];
                let sound = message["id"].is_string() && message["model"].is_string() && message["content"] == serde_json::json!([]);
                let usage = &message["usage"];
                if !sound || !usage["input_tokens"].is_u64() || !usage["output_tokens"].is_u64() {
                    return Err(format!("message_start {message}"));
                }
            }
            "content_block_start" if started && !delta && open.is_none() && data["index"] == next => {
                let kind = data["content_block"]["type"].as_str().ok_or("a block without a type")?.to_owned();
                if kind == "tool_use" && data["content_block"]["input"] != serde_json::json!({}) {
                    return Err("tool_use begins with an input".to_owned());
                }
                open = Some((next, kind, false));
                next += 1;
            }
            "content_block_delta" => {
                let Some((index, kind, signed)) = &mut open else { return Err("a delta without a block".to_owned()) };
                let what = data["delta"]["type"].as_str().ok_or("a delta without a type")?;
                let fits = match kind.as_str() {
                    "text" => !matches!(what, "thinking_delta" | "signature_delta" | "input_json_delta"),
                    "thinking" => matches!(what, "thinking_delta" | "signature_delta") && !*signed,
                    "tool_use" => what == "input_json_delta" && data["delta"]["partial_json"].is_string(),
                    "redacted_thinking" => false,
                    _ => true,
                };
                *signed |= what == "signature_delta";
                if data["index"] != *index || !fits {
                    return Err(format!("{what} in {kind} at {index}: {data}"));
                }
            }
            "content_block_stop" if open.as_ref().is_some_and(|(index, ..)| data["index"] == *index) => open = None,
            "message_delta" if started && open.is_none() && !delta => {
                delta = true;
                if !data["delta"]["stop_reason"].is_string() || !data["usage"]["output_tokens"].is_u64() {
                    return Err(format!("message_delta {data}"));
                }
            }
            "message_stop" if delta => stopped = true,
            other => return Err(format!("{other} out of place: {data}")),
        }
    }
    Ok(())
}

fn decode(wire: &str) -> (Vec<String>, Fold) {
    let (mut decoder, mut told, mut fold) = (Anthropic.stream_decoder(), Vec::new(), Fold::default());
    for frame in frames(wire.as_bytes()) {
        let sink = &mut |event: Event<'_>| {
            fold.add(&event);
            told.push(brief(&event));
        };
        decoder.decode(&frame, sink).unwrap();
    }
    (told, fold)
}

fn brief(event: &Event<'_>) -> String {
    match event {
        Event::Start { id, model, .. } => {
            let read = |text: &Option<Text<'_>>| text.as_ref().map(|t| t.read().into_owned()).unwrap_or_default();
            format!("start {} {}", read(id), read(model))
        }
        Event::PartStart { index, part } => match part {
            PartStart::ToolCall { id, name, .. } => format!("{index} call {} {}", id.read(), name.read()),
            PartStart::RedactedReasoning(data) => format!("{index} redacted {}", data.read()),
            PartStart::Opaque { kind, .. } => format!("{index} opaque {kind}"),
            other => format!("{index} {}", format!("{other:?}").to_lowercase()),
        },
        Event::PartDelta { index, delta } => {
            let kind = match delta {
                Delta::Text(_) => "t",
                Delta::Reasoning(_) => "r",
                Delta::Signature(_) => "s",
                Delta::Arguments(_) => "a",
                Delta::Opaque { .. } => "o",
            };
            format!("{index} +{kind} {}", delta.text().read())
        }
        Event::PartEnd { index } => format!("{index} end"),
        Event::Usage(usage) => format!("usage {:?} {:?}", usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0)),
        Event::Finish(finish) => format!("finish {} {}", finish.reason.label(), finish.raw.read()),
        Event::Ping => "ping".to_owned(),
        Event::Fault(fault) => format!("fault {fault}"),
        Event::End => "end".to_owned(),
    }
}

pub(super) fn encode(events: &[Event<'_>]) -> String {
    let (mut encoder, mut out) = (Anthropic.stream_encoder(reply()), Vec::new());
    events.iter().for_each(|event| encoder.encode(event, &mut out));
    String::from_utf8(out).unwrap()
}

pub(super) const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel\nlo"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\": 1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"g","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[test]
fn reads_a_stream() {
    let (told, fold) = decode(STREAM);
    let wanted = [
        "start msg_1 claude-x",
        "usage 15 1",
        "0 reasoning",
        "ping",
        "0 +r hm",
        "0 +s sig",
        "0 end",
        "1 text",
        "1 +t Hel\nlo",
        "1 end",
        "2 call toolu_1 f",
        "2 +a {\"a\": 1}",
        "2 end",
        "3 call toolu_2 g",
        "3 +a {}",
        "3 end",
        "usage 15 9",
        "finish tool_calls tool_use",
        "end",
    ];
    assert_eq!(told, wanted);
    let whole = br#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[
        {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"text","text":"Hel\nlo"},
        {"type":"tool_use","id":"toolu_1","name":"f","input":{"a": 1}},{"type":"tool_use","id":"toolu_2","name":"g","input":{}}],
        "stop_reason":"tool_use","stop_sequence":null,
        "usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":9}}"#;
    let (folded, whole) = (fold.into_answer(), Anthropic.decode_answer(whole).unwrap());
    assert_eq!(words(&folded), words(&whole));
    assert_eq!((folded.id, folded.model, folded.usage, folded.finish), (whole.id, whole.model, whole.usage, whole.finish));
}

#[test]
fn tolerates_what_the_sdk_tolerates() {
    let data = |lines: &[&str]| lines.iter().map(|line| format!("data: {line}\n\n")).collect::<String>();
    let cases: [(&[&str], &[&str]); 11] = [
        // Usage only at the end; a zero there takes nothing back.
        (
            &[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":4,"output_tokens":0}}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":3}}"#,
            ],
            &["start  ", "usage 4 0", "usage 4 3", "finish stop end_turn"],
        ),
        (&[r#"{"type":"message_delta","delta":{},"usage":{"input_tokens":6,"cache_read_input_tokens":1}}"#], &["usage 7 0"]),
        // Blocks nobody opened, or closed.
        (
            &[r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"x"}}"#, r#"{"type":"message_stop"}"#],
            &["0 text", "0 +t x", "0 end", "end"],
        ),
        (
            &[
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"x"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
            ],
            &[],
        ),
        // An input that is whole at once.
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"y"}}"#,
            ],
            &["0 call a f", "0 +a {\"x\":1}", "0 end", "1 text", "1 +t y"],
        ),
        // A server's own tools stay the provider's.
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            ],
            &["0 opaque server_tool_use", "0 +o {\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}", "0 end", "finish stop end_turn"],
        ),
        (
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            ],
            &["0 call a f", "0 +a {}", "0 end", "finish tool_calls end_turn"],
        ),
        (&[r#"{"type":"new_event"}"#, "[DONE]", r#"{"type":"message_stop"}"#, "[DONE]", "not json behind the end"], &["end"]),
        (&[r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#], &["fault overloaded: Overloaded"]),
        (&[r#"{"error":{"message":"odd"}}"#], &["fault upstream_failed: odd"]),
        (
            &[
                r#"{"type":"message","id":"m","model":"c","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"output_tokens":1}}"#,
            ],
            &["start m c", "0 text", "0 +t x", "0 end", "usage 0 1", "finish stop end_turn", "end"],
        ),
    ];
    for (lines, wanted) in cases {
        assert_eq!(decode(&data(lines)).0, wanted, "{lines:?}");
    }
    assert_eq!(decode("event: ping\ndata: {}\n\n: comment\n\n").0, ["ping"]);
    for broken in ["data: {\n\n", "data: []\n\n", "data: \"x\"\n\n"] {
        let fault = Anthropic.stream_decoder().decode(&frames(broken.as_bytes())[0], &mut |_| ()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UpstreamProtocol);
    }
}

fn start(index: usize, part: PartStart<'static>) -> Event<'static> {
    Event::PartStart { index, part }
}

fn tool(index: usize, id: &'static str) -> Event<'static> {
    start(index, PartStart::ToolCall { id: Text::plain(id), name: Text::plain("f"), custom: false })
}

fn text(index: usize, text: &'static str) -> Event<'static> {
    Event::PartDelta { index, delta: Delta::Text(Text::plain(text)) }
}

fn arguments(index: usize, text: &'static str) -> Event<'static> {
    Event::PartDelta { index, delta: Delta::Arguments(Text::plain(text)) }
}

fn end(index: usize) -> Event<'static> {
    Event::PartEnd { index }
}

pub(super) fn finish(reason: FinishReason) -> Event<'static> {
    Event::Finish(Finish::new(reason, Text::plain("stop")))
}

#[test]
fn writes_a_stream() {
    let events = [
        Event::Start { id: Some(Text::plain("chatcmpl-1")), model: Some(Text::plain("gpt")), created: Some(1) },
        start(0, PartStart::Text),
        text(0, ""),
        text(0, "Hi\n"),
        Event::Ping,
        end(0),
        tool(1, "call.1"),
        end(1),
        finish(FinishReason::Stop),
        Event::Usage(Usage { input_tokens: Some(9), cache_read_tokens: Some(4), output_tokens: Some(2), ..Usage::default() }),
        Event::End,
    ];
    let id = crate::dialect::call_id::fit("call.1", b"_-", usize::MAX);
    let wanted = r#"event: message_start
data: {"type":"message_start","message":{"id":"chatcmpl-1","type":"message","role":"assistant","model":"gpt","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi\n"}}

event: ping
data: {"type":"ping"}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"ID","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

"#
    .replace("ID", &id);
    assert_eq!(encode(&events), wanted);
}

#[test]
fn puts_overlapping_parts_in_order() {
    let said = |events: &[Event<'static>]| {
        let wire = encode(&[events, &[Event::End]].concat());
        check_grammar(wire.as_bytes()).unwrap();
        words(&fold_wire(wire.as_bytes()))
    };
    // Two calls whose fragments interleave: the second waits for the first.
    let calls = [
        tool(0, "a"),
        tool(1, "b"),
        arguments(1, "{\"y\":"),
        arguments(0, "{\"x\":"),
        arguments(1, "2}"),
        arguments(0, "1}"),
        end(0),
        end(1),
    ];
    assert_eq!(said(&calls), ["call a f {\"x\":1}", "call b f {\"y\":2}"]);
    // Words give way at once, and go on in a block of their own.
    let mut encoder = Anthropic.stream_encoder(reply());
    let mut out = Vec::new();
    for event in [start(0, PartStart::Text), text(0, "a"), tool(1, "c"), arguments(1, "{}")] {
        encoder.encode(&event, &mut out);
    }
    assert!(String::from_utf8_lossy(&out).contains("input_json_delta"), "the call must not wait for the end of the words");
    let resumed = [start(0, PartStart::Text), text(0, "a"), tool(1, "c"), text(0, "b"), arguments(1, "{}"), text(0, "c"), end(1), end(0)];
    assert_eq!(said(&resumed), ["text a", "call c f {}", "text bc"]);
    // A signature that comes early is told last.
    let signature = |text| Event::PartDelta { index: 0, delta: Delta::Signature(Text::plain(text)) };
    let thinking = |text| Event::PartDelta { index: 0, delta: Delta::Reasoning(Text::plain(text)) };
    let signed = [start(0, PartStart::Reasoning), signature("si"), thinking("hm"), signature("g"), end(0)];
    assert_eq!(said(&signed), ["thinking hm sig"]);
    let only_signed = [start(0, PartStart::Reasoning), signature("sig"), end(0)];
    assert_eq!(said(&only_signed), ["thinking  sig"]);
    let gave_way = [start(0, PartStart::Reasoning), signature("sig"), start(1, PartStart::Text), text(1, "x"), end(1)];
    assert_eq!(said(&gave_way), ["thinking  sig", "text x"]);
    // A free-form call's text is wrapped, so that the input is an object.
    let free = [
        start(0, PartStart::ToolCall { id: Text::plain("a"), name: Text::plain("f"), custom: true }),
        arguments(0, "say \"x\"\n"),
        arguments(0, "end"),
        end(0),
    ];
    assert_eq!(said(&free), [r#"call a f {"input":"say \"x\"\nend"}"#]);
}

#[test]
fn closes_whatever_happens() {
    let cases: [(&[Event<'static>], &str); 5] = [
        (&[Event::End], "end_turn"),
        (&[start(0, PartStart::Refusal), text(0, "no"), finish(FinishReason::Stop), Event::End], "refusal"),
        (&[start(0, PartStart::Text), text(0, "cut"), finish(FinishReason::Length), Event::End], "max_tokens"),
        (&[tool(0, "a"), arguments(0, "{"), finish(FinishReason::Length), Event::End], "max_tokens"),
        (&[finish(FinishReason::ContentFilter), Event::End, Event::End, text(0, "late")], "refusal"),
    ];
    for (events, reason) in cases {
        let wire = encode(events);
        check_grammar(wire.as_bytes()).unwrap();
        assert!(wire.contains(&format!(r#""stop_reason":"{reason}""#)), "{wire}");
        assert!(wire.ends_with("data: {\"type\":\"message_stop\"}\n\n"), "{wire}");
    }
    let fault = Fault::upstream(FaultKind::Truncated, "cut");
    let wire = encode(&[start(0, PartStart::Text), text(0, "x"), Event::Fault(fault), Event::End]);
    check_grammar(wire.as_bytes()).unwrap();
    assert!(!wire.contains("message_stop") && wire.contains("event: error\n"), "{wire}");
}

#[test]
fn an_upstream_that_never_ends_its_parts_is_cut() {
    let floods: [fn(usize) -> Event<'static>; 2] = [|index| tool(index, "b"), |index| text(index, "x")];
    for flood in floods {
        let mut events = vec![tool(0, "a")];
        events.extend((1..5000).map(flood));
        let wire = encode(&events);
        check_grammar(wire.as_bytes()).unwrap();
        assert!(wire.contains("event: error\n"));
    }
}
