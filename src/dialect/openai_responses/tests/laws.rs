use proptest::prelude::*;

use super::*;
use crate::dialect::codec;
use crate::dialect::openai::tests::{JUNK, answer as drawn};
use crate::dialect::tests::mangle;
use crate::ir::{Delta, Dialect, PartStart, Usage, unfold};

fn answer() -> impl Strategy<Value = Answer<'static>> {
    drawn("resp_\"1", "[a-z\n]{0,5}", "[a-z]{1,4}(\u{1f}[a-z])?", |[input, cached, output]| Usage {
        input_tokens: Some(input),
        cache_read_tokens: Some(cached),
        cache_write_tokens: Some(0),
        output_tokens: Some(output + 5),
        reasoning_tokens: Some(5),
        ..Usage::default()
    })
}

fn events(answer: &Answer<'_>) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    unfold(answer, |event| {
        events.push(match event {
            Event::Start { id, model, created } => {
                Event::Start { id: id.map(Text::into_owned), model: model.map(Text::into_owned), created }
            }
            Event::PartStart { index, part } => Event::PartStart {
                index,
                part: match part {
                    PartStart::ToolCall { id, name, custom } => {
                        PartStart::ToolCall { id: id.into_owned(), name: name.into_owned(), custom }
                    }
                    PartStart::RedactedReasoning(data) => PartStart::RedactedReasoning(data.into_owned()),
                    PartStart::Text => PartStart::Text,
                    PartStart::Refusal => PartStart::Refusal,
                    _ => PartStart::Reasoning,
                },
            },
            Event::PartDelta { index, delta } => Event::PartDelta {
                index,
                delta: match delta {
                    Delta::Text(t) => Delta::Text(t.into_owned()),
                    Delta::Reasoning(t) => Delta::Reasoning(t.into_owned()),
                    Delta::Signature(t) => Delta::Signature(t.into_owned()),
                    Delta::Arguments(t) => Delta::Arguments(t.into_owned()),
                    Delta::Opaque { dialect, .. } => Delta::Opaque { dialect, kind: "x".into(), raw: "{}".into() },
                },
            },
            Event::PartEnd { index } => Event::PartEnd { index },
            Event::Usage(usage) => Event::Usage(usage),
            Event::Finish(finish) => Event::Finish(finish.into_owned()),
            _ => Event::End,
        });
    });
    events
}

proptest! {
    /// Law: what is streamed out and read in means the same, and the stream's last event tells what a whole answer would.
    #[test]
    fn a_stream_survives_writing_and_reading(answer in answer()) {
        let (wire, losses) = streamed(events(&answer), reply());
        let told = checked(&wire);
        let (after, _) = folded(&wire).unwrap();
        prop_assert!(after.ended() && losses.is_empty());
        prop_assert_eq!(meaning(&after.into_answer()), meaning(&answer), "{}", String::from_utf8_lossy(&wire));
        let last = told.last().unwrap()["response"].to_string();
        prop_assert_eq!(meaning(&OpenAiResponses.decode_answer(last.as_bytes()).unwrap()), meaning(&answer));
    }

    /// Law: what is written whole and read means the same.
    #[test]
    fn an_answer_survives_writing_and_reading(answer in answer()) {
        let (mut notes, mut out) = (Notes::default(), Vec::new());
        OpenAiResponses.encode_answer(&answer, &reply(), &mut notes, &mut out);
        let again = OpenAiResponses.decode_answer(&out).unwrap();
        prop_assert!(notes.losses.is_empty());
        prop_assert_eq!(meaning(&again), meaning(&answer), "{}", String::from_utf8_lossy(&out));
        let observed = OpenAiResponses.observe_answer(&out).unwrap();
        prop_assert_eq!((observed.usage, observed.finish), (answer.usage, answer.finish.map(|finish| finish.reason)));
    }

    /// Law: whatever order events come in, what goes out keeps the grammar.
    #[test]
    fn any_order_of_events_keeps_the_grammar(answer in answer(), order in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let all = events(&answer);
        let mut mixed: Vec<Event<'_>> = order.iter().map(|index| index.get(&all).clone()).filter(|e| !matches!(e, Event::End)).collect();
        mixed.push(Event::End);
        let (wire, _) = streamed(mixed, reply());
        checked(&wire);
        prop_assert!(folded(&wire).unwrap().0.ended());
    }

    /// Law: nothing that can be sent to us makes us panic, and what is read can be written.
    #[test]
    fn mangled_texts_are_no_danger(seed in 0usize..SEEDS.len(), place in 0usize..70, with in 0usize..JUNK.len(), chop in 0usize..400) {
        let mut tree = value(SEEDS[seed].as_bytes());
        mangle(&mut tree, place, &value(JUNK[with].as_bytes()));
        let text = tree.to_string();
        let traits = ModelTraits { replays_reasoning: true, ..ModelTraits::default() };
        for body in [text.as_bytes(), &text.as_bytes()[..chop.min(text.len())]] {
            if let Ok(request) = OpenAiResponses.decode_request(body) {
                for target in [Dialect::OpenAiChat, Dialect::Anthropic] {
                    drop(written(codec(target), &request, &traits));
                }
                if let Ok((again, _)) = written(&OpenAiResponses, &request, &traits) {
                    let again = again.to_string();
                    // A piece of content that only claims to be a call is moved on verbatim, and is still no call.
                    let Ok(once) = OpenAiResponses.decode_request(again.as_bytes()) else { continue };
                    let twice = written(&OpenAiResponses, &once, &traits).unwrap().0;
                    prop_assert_eq!(twice.to_string(), again, "what was written once is written the same again");
                }
            }
            if let Ok(answer) = OpenAiResponses.decode_answer(body) {
                let (mut notes, mut out) = (Notes::default(), Vec::new());
                OpenAiResponses.encode_answer(&answer, &reply(), &mut notes, &mut out);
                value(&out);
            }
            drop(OpenAiResponses.observe_answer(body));
            drop(OpenAiResponses.decode_error(http::StatusCode::BAD_REQUEST, &http::HeaderMap::new(), body));
            for event in [text.as_str(), &format!(r#"{{"type":"response.output_item.done","output_index":{chop},"item":{text}}}"#)] {
                let wire = format!("data: {event}\n\ndata: {event}\n\ndata: {{\"type\":\"response.completed\"}}\n\n");
                if let Ok((fold, _)) = folded(wire.as_bytes()) {
                    let (out, _) = streamed(events(&fold.into_answer()), reply());
                    checked(&out);
                    prop_assert!(folded(&out).unwrap().0.ended());
                }
            }
        }
    }
}

const SEEDS: [&str; 5] = [
    r#"{"model":"m","instructions":"i","input":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}},{"type":"input_image","image_url":"data:image/png;base64,AA","detail":"low"},{"type":"input_file","file_data":"data:a/b;base64,AA","filename":"f"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"content":null,"encrypted_content":"e"},{"type":"message","role":"assistant","phase":"final_answer","content":[{"type":"output_text","text":"o","annotations":[{}]},{"type":"refusal","refusal":"r"}]},{"type":"function_call","call_id":"c","name":"f","namespace":"n","arguments":"{}"},{"type":"web_search_call","id":"w"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"r"}]}]}"#,
    r#"{"model":"m","input":"x","temperature":1,"text":{"format":{"type":"json_schema","name":"n","schema":{}},"verbosity":"low"},"reasoning":{"effort":"low","summary":"auto","context":"c"},"stream":true,"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"custom","name":"g","format":{"type":"text"}},{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"h"}]},{"type":"web_search"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"service_tier":"flex","user":"u","safety_identifier":"s","max_output_tokens":99,"include":["x"],"metadata":{"a":"b"}}"#,
    r#"{"id":"resp_1","created_at":1,"model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"e"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[{}],"logprobs":[{}]},{"type":"refusal","refusal":"x"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"x"},{"type":"web_search_call","id":"w"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2,"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":1}},"error":null}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},"delta":"d","text":"t","part":{"type":"output_text","text":"p"},"annotation":{},"response":{"id":"r","status":"completed","output":[]},"error":null}"#,
    r#"{"type":"message","content":[{"type":"output_text","text":"p"},{"type":"refusal","refusal":"r"}],"phase":"p","summary":[{"text":"s"}],"encrypted_content":"e","call_id":"c","name":"n","arguments":"{}"}"#,
];
