//! Laws over whatever comes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Anthropic;
use super::streams::{STREAM, check_grammar, encode, finish, fold_wire, frames, words};
use super::{encoded, reply};
use crate::base::{Fault, FaultKind};
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Delta, Dialect, Event, Finish, FinishReason, Fold, ModelTraits, Part, PartStart, Text, Usage, unfold};

/// Requests that Anthropic's own form can say in full.
fn arbitrary_body() -> impl Strategy<Value = Value> {
    let words = "[a-zA-Zé\\n\"\\\\ ]{0,8}x";
    let mark = prop::option::of(prop::sample::select(vec![json!({"type": "ephemeral"}), json!({"type": "ephemeral", "ttl": "1h"})]));
    let marked = |block: Value, mark: Option<Value>| {
        let mut block = block;
        if let Some(mark) = mark {
            block["cache_control"] = mark;
        }
        block
    };
    let text = (words, mark.clone()).prop_map(move |(text, mark)| marked(json!({"type": "text", "text": text}), mark));
    let image = words.prop_map(|url| json!({"type": "image", "source": {"type": "url", "url": url}}));
    let result = (words, words, any::<bool>()).prop_map(|(id, text, error)| {
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut block = json!({"type": "tool_result", "tool_use_id": id, "content": text});
        if error {
            block["is_error"] = json!(true);
        }
        block
    });
    let call = (words, words).prop_map(|(id, value)| {
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": value}})
    });
    let thinking = words.prop_map(|text| json!({"type": "thinking", "thinking": text, "signature": "s"}));
    let user = (prop::collection::vec(result, 0..3), prop::collection::vec(prop_oneof![text.clone(), image], 1..3))
        .prop_map(|(results, rest)| json!({"role": "user", "content": ([results, rest].concat())}));
    let assistant = (prop::collection::vec(thinking, 0..2), prop::collection::vec(prop_oneof![text.clone(), call], 1..3))
        .prop_map(|(thinking, rest)| json!({"role": "assistant", "content": ([thinking, rest].concat())}));
    (prop::collection::vec((user, assistant), 1..4), prop::collection::vec(text, 0..2), 1u64..9999).prop_map(|(turns, system, max)| {
        let messages: Vec<Value> =
            turns.into_iter().flat_map(|(user, assistant)| [user, assistant]).chain([json!({"role": "user", "content": "end"})]).collect();
        let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        json!({"model": "claude", "max_tokens": max, "system": system, "tools": tools, "messages": messages})
    })
}

/// The same request with the shorthands written out.
fn long_form(mut body: Value) -> Value {
    let lengthen = |content: &mut Value| {
        if let Some(text) = content.as_str() {
            *content = json!([{"type": "text", "text": text}]);
        }
    };
    lengthen(&mut body["system"]);
    if body["system"].is_null() {
        body["system"] = json!([]);
    }
    body["messages"].as_array_mut().unwrap().iter_mut().for_each(|message| lengthen(&mut message["content"]));
    body
}

proptest! {
    /// Law: what is read is written again, in full.
    #[test]
    fn a_request_round_trips(body in arbitrary_body()) {
        let text = body.to_string();
        let request = Anthropic.decode_request(text.as_bytes()).unwrap();
        let (out, notes) = encoded(&request, &ModelTraits::default());
        let marks = text.matches("cache_control").count();
        if marks <= 4 {
            prop_assert!(notes.losses.is_empty());
            prop_assert_eq!(long_form(out), long_form(body));
        } else {
            prop_assert_eq!(out.to_string().matches("cache_control").count(), 4);
        }
    }

    /// Law: no request, however broken, does more than be refused.
    #[test]
    fn a_broken_request_is_refused_at_worst(body in arbitrary_body(), at in any::<prop::sample::Index>(), piece in prop::sample::select(vec!["null", "1", "\"x\"", "[]", "{}", "true", "[{}]", "[null]", "-1.5e99"])) {
        let mut body = body;
        let mut places = Vec::new();
        pointers(&body, String::new(), &mut places);
        *body.pointer_mut(&places[at.index(places.len())]).unwrap() = serde_json::from_str(piece).unwrap();
        let text = body.to_string();
        if let Ok(request) = Anthropic.decode_request(text.as_bytes()) {
            let mut out = Vec::new();
            if Anthropic.encode_request(&request, "m", &ModelTraits::default(), &mut Notes::default(), &mut out).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
        // The edge refuses what is not JSON; here it must do no harm.
        let chopped = &text.as_bytes()[..at.index(text.len())];
        let read = Anthropic.decode_request(chopped);
        drop(read.and_then(|r| Anthropic.encode_request(&r, "m", &ModelTraits::default(), &mut Notes::default(), &mut Vec::new())));
    }
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| pointers(member, format!("{at}/{key}"), out)),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(i, element)| pointers(element, format!("{at}/{i}"), out)),
        _ => {}
    }
    out.push(at);
}

/// Answers of which both forms say the same: the texts are not empty, and arguments are an object.
fn arbitrary_answer() -> impl Strategy<Value = Answer<'static>> {
    let words = "[a-zé\\n\"\\\\ ]{1,8}";
    let part = prop_oneof![
        words.prop_map(|text| Part::text(Text::plain(text))),
        (words, prop::option::of(words))
            .prop_map(|(text, signature)| Part::Reasoning { text: Text::plain(text), signature: signature.map(Text::plain) }),
        words.prop_map(|data| Part::RedactedReasoning(Text::plain(data))),
        ("[a-z0-9_-]{1,6}", "[a-z]{1,4}", words).prop_map(|(id, name, value)| Part::ToolCall {
            id: Text::plain(id),
            name: Text::plain(name),
            arguments: Text::plain(serde_json::json!({ "v": value }).to_string()),
            custom: false,
            cache: None,
        }),
    ];
    let reason = prop::sample::select(vec!["end_turn", "max_tokens", "refusal", "pause_turn"]);
    (prop::collection::vec(part, 0..5), reason, 0u64..99, 0u64..99).prop_map(|(parts, word, read, output)| {
        let called = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        let word = if called && word == "end_turn" { "tool_use" } else { word };
        let usage = Usage {
            input_tokens: Some(100 + read),
            cache_read_tokens: Some(read),
            cache_write_tokens: Some(0),
            output_tokens: Some(output),
            ..Usage::default()
        };
        Answer {
            id: Some(Text::plain("msg_1")),
            model: Some(Text::plain("m")),
            parts,
            finish: Some(Finish::new(super::super::wire::finish_reason(word, called), Text::plain(word))),
            usage: Some(usage),
            ..Answer::default()
        }
    })
}

fn arbitrary_event() -> impl Strategy<Value = Event<'static>> {
    let words = || "[a-z\\n\"]{0,3}".prop_map(Text::plain);
    let index = 0usize..4;
    let opaque = |raw: &'static str| move |own: bool| (if own { Dialect::Anthropic } else { Dialect::OpenAiChat }, raw);
    let part = prop_oneof![
        Just(PartStart::Text),
        Just(PartStart::Refusal),
        Just(PartStart::Reasoning),
        words().prop_map(PartStart::RedactedReasoning),
        (words(), words(), any::<bool>()).prop_map(|(id, name, custom)| PartStart::ToolCall { id, name, custom }),
        any::<bool>().prop_map(opaque("{\"type\":\n\"new\"}")).prop_map(|(dialect, raw)| PartStart::Opaque {
            dialect,
            kind: "new".into(),
            raw: raw.into()
        }),
    ];
    let delta = prop_oneof![
        words().prop_map(Delta::Text),
        words().prop_map(Delta::Reasoning),
        words().prop_map(Delta::Signature),
        words().prop_map(Delta::Arguments),
        any::<bool>().prop_map(opaque("{\"type\":\r\n\"citations_delta\"}")).prop_map(|(dialect, raw)| Delta::Opaque {
            dialect,
            kind: "x".into(),
            raw: raw.into()
        }),
    ];
    prop_oneof![
        1 => Just(Event::Start { id: None, model: None, created: None }),
        6 => (index.clone(), part).prop_map(|(index, part)| Event::PartStart { index, part }),
        12 => (index.clone(), delta).prop_map(|(index, delta)| Event::PartDelta { index, delta }),
        5 => index.prop_map(|index| Event::PartEnd { index }),
        1 => (0u64..9).prop_map(|n| Event::Usage(Usage { output_tokens: Some(n), ..Usage::default() })),
        1 => Just(finish(FinishReason::Stop)),
        1 => Just(Event::Ping),
    ]
}

proptest! {
    /// Law: a whole answer told as a stream and read again is the same answer.
    #[test]
    fn a_stream_says_what_the_answer_says(answer in arbitrary_answer()) {
        let mut events = Vec::new();
        unfold(&answer, |event| events.push(event));
        let wire = encode(&events);
        check_grammar(wire.as_bytes()).map_err(TestCaseError::fail)?;
        let again = fold_wire(wire.as_bytes());
        prop_assert_eq!(words(&again), words(&answer));
        prop_assert_eq!((&again.id, &again.finish, again.usage), (&answer.id, &answer.finish, answer.usage));

        let (mut notes, mut whole) = (crate::dialect::Notes::default(), Vec::new());
        Anthropic.encode_answer(&answer, &reply(), &mut notes, &mut whole);
        let whole = Anthropic.decode_answer(&whole).unwrap();
        prop_assert_eq!(words(&again), words(&whole));
        prop_assert_eq!((&again.id, &again.model, &again.finish, again.usage), (&whole.id, &whole.model, &whole.finish, whole.usage));
    }

    /// Law: whatever comes in, the wire keeps the grammar, and no word of a text is lost.
    #[test]
    fn any_events_make_a_stream_of_the_grammar(events in prop::collection::vec(arbitrary_event(), 0..40), broken in any::<bool>()) {
        let last = if broken { Event::Fault(Fault::upstream(FaultKind::Truncated, "cut")) } else { Event::End };
        let events = [events, vec![last]].concat();
        let wire = encode(&events);
        check_grammar(wire.as_bytes()).map_err(|e| TestCaseError::fail(format!("{e}\n{wire}")))?;
        let whole = wire.ends_with("data: {\"type\":\"message_stop\"}\n\n");
        prop_assert_eq!(whole, !broken);
        let mut fold = Fold::default();
        events.iter().for_each(|event| fold.add(event));
        let spoken = |answer: Answer<'_>| -> usize {
            let length = |part: &Part<'_>| match part {
                Part::Text { text, .. } | Part::Refusal(text) => text.read().len(),
                _ => 0,
            };
            answer.parts.iter().map(length).sum()
        };
        let mut begun: Vec<usize> = events.iter().filter_map(|e| if let Event::PartStart { index, .. } = e { Some(*index) } else { None }).collect();
        begun.sort_unstable();
        let unique = begun.windows(2).all(|pair| pair[0] != pair[1]);
        prop_assert!(broken || !unique || spoken(fold_wire(wire.as_bytes())) >= spoken(fold.into_answer()));
    }

    /// Law: mutated frames are read or refused, never more.
    #[test]
    fn a_broken_stream_is_a_fault_at_worst(from in 0..STREAM.len(), length in 0usize..30, piece in "[\\[\\]{}:,\"0-9a-z\\\\\\n]{0,4}") {
        let to = (from + length).min(STREAM.len());
        let wire = [&STREAM[..from], &piece, &STREAM[to..], "\n\n"].concat();
        let (mut decoder, mut encoder, mut out) = (Anthropic.stream_decoder(), Anthropic.stream_encoder(reply()), Vec::new());
        for frame in frames(wire.as_bytes()) {
            decoder.decode(&frame, &mut |event| encoder.encode(&event, &mut out)).ok();
        }
        encoder.encode(&Event::End, &mut out);
        check_grammar(&out).map_err(TestCaseError::fail)?;
    }
}
