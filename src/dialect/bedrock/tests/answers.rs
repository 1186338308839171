//! Whole answers, both ways.

use serde_json::{Value, json};

use super::super::Bedrock;
use super::{json as parse, reply, words};
use crate::base::FaultKind;
use crate::base::json::Raw;
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Dialect, Extension, Finish, FinishReason, Part, Text, Usage, proof};

const WHOLE: &str = r#"{"output":{"message":{"role":"assistant","content":[
    {"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},
    {"reasoningContent":{"redactedContent":"QQ=="}},
    {"text":"Hello é"},
    {"citationsContent":{"content":[{"text":"cited"}],"citations":[{"title":"t"}]}},
    {"toolUse":{"toolUseId":"tooluse_1","name":"get","input":{"a":1.0}}},
    {"toolUse":{"toolUseId":"tooluse_2","name":"nova_code_interpreter","input":{},"type":"server_tool_use"}}]}},
  "stopReason":"tool_use","usage":{"inputTokens":12,"outputTokens":34,"totalTokens":146,"cacheReadInputTokens":100,"cacheWriteInputTokens":7,
    "cacheDetails":[{"ttl":"5m","inputTokens":3},{"ttl":"1h","inputTokens":4}]},
  "metrics":{"latencyMs":812},"serviceTier":{"type":"flex"}}"#;

#[test]
fn reads_a_whole_answer_and_writes_it_again() {
    let answer = Bedrock.decode_answer(WHOLE.as_bytes()).unwrap();
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.uncached_input_tokens(), usage.output_tokens), (Some(119), Some(12), Some(34)));
    assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens), (Some(100), Some(7), Some(4)));
    assert_eq!(answer.finish.as_ref().map(|f| f.reason), Some(FinishReason::ToolCalls));
    assert!(matches!(&answer.parts[5], Part::Opaque { kind, .. } if kind == "toolUse"));
    let observed = Bedrock.observe_answer(WHOLE.as_bytes()).unwrap();
    assert_eq!((observed.usage, observed.finish), (answer.usage, Some(FinishReason::ToolCalls)));
    let (mut out, mut notes) = (Vec::new(), Notes::default());
    Bedrock.encode_answer(&answer, &reply(), &mut notes, &mut out);
    let mut wanted: Value = serde_json::from_str(WHOLE).unwrap();
    wanted["usage"]["totalTokens"] = json!(153);
    assert_eq!(parse(&out), wanted);
    assert!(notes.losses.is_empty());
}

#[test]
fn writes_what_other_dialects_say() {
    let answer = Answer {
        id: Some(Text::plain("x")),
        parts: vec![
            Part::Reasoning { text: Text::plain("hm"), signature: Some(Text::plain("c2ln")) },
            Part::Reasoning { text: Text::EMPTY, signature: None },
            Part::RedactedReasoning(proof::read(Dialect::OpenAiResponses, Text::plain("gAAA-_A="))),
            Part::text(Text::EMPTY),
            Part::Refusal(Text::plain("No.")),
        ],
        finish: Some(Finish::new(FinishReason::Stop, Text::plain("stop"))),
        usage: Some(Usage { input_tokens: Some(10), cache_read_tokens: Some(4), output_tokens: Some(2), ..Usage::default() }),
        extensions: vec![
            Extension { dialect: Dialect::OpenAiChat, name: "system_fingerprint".into(), value: Raw::literal("1") },
            Extension { dialect: Dialect::OpenAiChat, name: "logprobs".into(), value: Raw::literal("1") },
        ],
        ..Answer::default()
    };
    let (mut out, mut notes) = (Vec::new(), Notes::default());
    Bedrock.encode_answer(&answer, &reply(), &mut notes, &mut out);
    assert_eq!(
        parse(&out),
        json!({
            "output": {"message": {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "b3V0cmlkZXIvYW50aHJvcGljc2ln"}}},
                {"reasoningContent": {"reasoningText": {"text": "", "signature": "b3V0cmlkZXIvcmVzcG9uc2VzgAAA-_A="}}},
                {"text": "No."},
            ]}},
            "stopReason": "content_filtered",
            "usage": {"inputTokens": 6, "outputTokens": 2, "totalTokens": 12, "cacheReadInputTokens": 4},
            "metrics": {"latencyMs": 0},
        })
    );
    assert_eq!(super::losses(&notes), ["logprobs"]);
    // What a client replays comes home, and is for nobody else.
    let body = parse(&out);
    let replay = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}, body["output"]["message"]]}).to_string();
    let request = Bedrock.decode_request(replay.as_bytes()).unwrap();
    let Part::Reasoning { signature: Some(signature), .. } = &request.messages[1].parts[0] else { panic!("{request:?}") };
    assert!(proof::claim(Dialect::Anthropic, signature).unwrap().is("c2ln") && proof::claim(Dialect::Bedrock, signature).is_none());
    let Part::Reasoning { signature: Some(signature), .. } = &request.messages[1].parts[1] else { panic!("{request:?}") };
    assert!(proof::claim(Dialect::OpenAiResponses, signature).unwrap().is("gAAA-_A="));
}

#[test]
fn every_reason_has_its_word() {
    let cases = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("malformed_model_output", FinishReason::Other),
        ("malformed_tool_use", FinishReason::Other),
    ];
    let encode = |answer: &Answer<'_>| {
        let mut out = Vec::new();
        Bedrock.encode_answer(answer, &reply(), &mut Notes::default(), &mut out);
        parse(&out)
    };
    for (word, reason) in cases {
        let body = format!(r#"{{"output":{{"message":{{"content":[{{"text":"a"}}]}}}},"stopReason":"{word}"}}"#);
        let answer = Bedrock.decode_answer(body.as_bytes()).unwrap();
        assert_eq!(answer.finish.as_ref().map(|f| f.reason), Some(reason), "{word}");
        assert_eq!(encode(&answer)["stopReason"], word);
    }
    for (reason, raw, wanted) in [
        (FinishReason::Stop, "stop", "end_turn"),
        (FinishReason::Length, "length", "max_tokens"),
        (FinishReason::ContentFilter, "SAFETY", "content_filtered"),
        (FinishReason::Pause, "pause_turn", "end_turn"),
        (FinishReason::Other, "new", "end_turn"),
    ] {
        let finish = Some(Finish::new(reason, Text::plain(raw)));
        assert_eq!(encode(&Answer { finish, ..Answer::default() })["stopReason"], wanted, "{raw}");
    }
}

#[test]
fn a_stop_text_is_found_in_both_places() {
    for fields in [r#"{"stop_sequence":"END"}"#, r#"{"delta":{"stop_sequence":"END"}}"#] {
        let body =
            format!(r#"{{"output":{{"message":{{"content":[]}}}},"stopReason":"stop_sequence","additionalModelResponseFields":{fields}}}"#);
        let answer = Bedrock.decode_answer(body.as_bytes()).unwrap();
        assert_eq!(answer.finish.unwrap().stop_sequence, Some(Text::plain("END")));
    }
}

#[test]
fn what_is_no_answer_is_a_fault() {
    let cases = [
        ("", FaultKind::UpstreamProtocol),
        ("[]", FaultKind::UpstreamProtocol),
        ("{}", FaultKind::UpstreamProtocol),
        (r#"{"output":{"message":{}}}"#, FaultKind::UpstreamProtocol),
        (r#"{"output":{"message":{"content":[{"text":1}]}}}"#, FaultKind::UpstreamProtocol),
        (r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#, FaultKind::NotFound),
        (r#"{"__type":"ThrottlingException","message":"slow"}"#, FaultKind::RateLimited),
    ];
    for (body, kind) in cases {
        assert_eq!(Bedrock.decode_answer(body.as_bytes()).unwrap_err().kind, kind, "{body}");
    }
    assert_eq!(words(&Bedrock.decode_answer(br#"{"output":{"message":{"content":[]}}}"#).unwrap()), Vec::<String>::new());
}
