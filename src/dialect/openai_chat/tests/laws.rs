use proptest::prelude::*;

use super::*;
use crate::base::json::Raw;
use crate::dialect::openai::tests::{JUNK, answer as drawn};
use crate::dialect::tests::mangle;
use crate::ir::{Usage, unfold};

fn answer() -> impl Strategy<Value = Answer<'static>> {
    drawn("id\"1", "[a-z\"\\\\\n é😀]{1,8}", "[a-z]{1,4}", |[input, cached, output]| Usage {
        input_tokens: Some(cached.saturating_add(input)),
        cache_read_tokens: Some(cached),
        output_tokens: Some(output),
        ..Usage::default()
    })
}

/// The order that a whole answer keeps.
fn rank(part: &Part<'_>) -> usize {
    match part {
        Part::Reasoning { .. } | Part::RedactedReasoning(_) => 0,
        Part::Text { .. } => 1,
        Part::Refusal(_) => 2,
        _ => 3,
    }
}

proptest! {
    /// Law: what is streamed out and read in means the same.
    #[test]
    fn a_stream_survives_writing_and_reading(mut answer in answer()) {
        // Two thoughts of which the first has no proof run into one: the dialect has no mark between them.
        answer.parts.dedup_by(|next, part| {
            matches!((part, next), (Part::Reasoning { signature: None, .. }, Part::Reasoning { .. }))
        });
        let mut encoder = OpenAiChat.stream_encoder(reply());
        let mut wire = Vec::new();
        let mut before = Fold::default();
        unfold(&answer, |event| {
            before.add(&event);
            encoder.encode(&event, &mut wire);
        });
        let (after, _) = folded(&wire).unwrap();
        prop_assert!(after.ended());
        prop_assert_eq!(meaning(&after.into_answer()), meaning(&before.into_answer()), "{}", String::from_utf8_lossy(&wire));
    }

    /// Law: what is written whole and read means the same. A whole answer has one order of kinds, and one literal for each.
    #[test]
    fn an_answer_survives_writing_and_reading(mut answer in answer()) {
        answer.parts.sort_by_key(rank);
        let proven = answer.parts.iter().any(|p| matches!(p, Part::Reasoning { signature: Some(_), .. } | Part::RedactedReasoning(_)));
        let (mut notes, mut out) = (Notes::default(), Vec::new());
        OpenAiChat.encode_answer(&answer, &reply(), &mut notes, &mut out);
        let again = OpenAiChat.decode_answer(&out).unwrap();
        prop_assert!(notes.losses.is_empty());
        prop_assert_eq!(meaning(&again), meaning(&answer), "{} {}", proven, String::from_utf8_lossy(&out));
        let observed = OpenAiChat.observe_answer(&out).unwrap();
        prop_assert_eq!(observed.usage, answer.usage);
    }

    /// Law: nothing that can be sent to us makes us panic, and what is read can be written.
    #[test]
    fn mangled_texts_are_no_danger(seed in 0usize..SEEDS.len(), place in 0usize..60, with in 0usize..JUNK.len(), chop in 0usize..400) {
        let mut tree = value(SEEDS[seed].as_bytes());
        mangle(&mut tree, place, &value(JUNK[with].as_bytes()));
        let text = tree.to_string();
        for body in [text.as_bytes(), &text.as_bytes()[..chop.min(text.len())]] {
            if Raw::parse(body).is_err() {
                // The edge refuses such a body; here it must do no harm.
                let read = OpenAiChat.decode_request(body);
                drop(read.and_then(|r| OpenAiChat.encode_request(&r, "m", &traits(), &mut Notes::default(), &mut Vec::new())));
            } else if let Ok((again, _)) = OpenAiChat.decode_request(body).and_then(|request| written(&request, &traits())) {
                let again = again.to_string();
                let once = OpenAiChat.decode_request(again.as_bytes()).unwrap();
                let twice = written(&once, &traits()).unwrap().0;
                prop_assert_eq!(twice.to_string(), again, "what was written once is written the same again");
            }
            if let Ok(answer) = OpenAiChat.decode_answer(body) {
                let (mut notes, mut out) = (Notes::default(), Vec::new());
                OpenAiChat.encode_answer(&answer, &reply(), &mut notes, &mut out);
                value(&out);
            }
            drop(OpenAiChat.observe_answer(body));
            drop(OpenAiChat.decode_error(http::StatusCode::BAD_REQUEST, &http::HeaderMap::new(), body));
            let mut wire = b"data: ".to_vec();
            wire.extend_from_slice(body);
            wire.extend_from_slice(b"\n\n");
            let wire = [&wire[..], &wire[..], b"data: [DONE]\n\n"].concat();
            if let Ok((fold, _)) = folded(&wire) {
                let answer = fold.into_answer();
                let mut encoder = OpenAiChat.stream_encoder(reply());
                let mut out = Vec::new();
                unfold(&answer, |event| encoder.encode(&event, &mut out));
                prop_assert!(folded(&out).unwrap().0.ended());
            }
        }
    }
}

const SEEDS: [&str; 4] = [
    r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"5m"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"low"}},{"type":"input_audio","input_audio":{"data":"A","format":"wav"}},{"type":"file","file":{"file_data":"data:a/b;base64,AA","filename":"f"}}]},{"role":"assistant","content":null,"refusal":"r","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}],"tools":[{"type":"function","function":{"name":"f.x","parameters":{"type":"object"},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f.x"}}}"#,
    r#"{"model":"m","messages":[],"n":1,"stop":["a"],"temperature":1,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"reasoning":{"effort":"low"},"thinking":{"type":"enabled","budget_tokens":5},"stream":true,"stream_options":{"include_usage":true},"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},"functions":[{"name":"f"}],"service_tier":"flex","user":"u","safety_identifier":"s"}"#,
    r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning":"r","refusal":"x","annotations":[{}],"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"custom","custom":{"name":"g","input":"x"}}],"audio":{"id":"a"}},"logprobs":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}},"error":null}"#,
    r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a","reasoning_content":"r","refusal":"x","annotations":[{}],"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}],"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"d","custom":{"name":"g","input":"x"}}],"function_call":{"name":"h","arguments":"{}"},"audio":{"id":"a"}},"finish_reason":"stop"}],"usage":{"prompt_tokens":1},"x_groq":{"usage":{}},"error":{"message":"m","type":"t","code":429}}"#,
];
