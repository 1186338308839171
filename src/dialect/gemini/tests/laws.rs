//! Laws over whatever comes.

use proptest::prelude::*;

use super::super::Gemini;
use super::{decoded, encoded, facts, reply, streamed};
use crate::base::framing::{Framer, Framing};
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Dialect, Finish, FinishReason, Message, ModelTraits, Part, Request, Role, Text, Usage, proof, unfold};

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "Hel\"lo\n", "é\u{2028}", " ", "{\"x\":1}", "\\u0041"]).prop_map(str::to_owned)
}

fn arguments() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["{}", "{\"a\":\n [1.50, \"\\u00e9\"]}"])
}

fn origin() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Gemini, Dialect::Anthropic, Dialect::OpenAiResponses, Dialect::Bedrock])
}

fn part() -> impl Strategy<Value = Part<'static>> {
    prop_oneof![
        words().prop_map(|text| Part::text(Text::plain(text))),
        (words(), origin(), any::<bool>()).prop_map(|(text, origin, signed)| {
            let signature = signed.then(|| proof::read(origin, Text::plain("c2ln")).into_owned());
            Part::Reasoning { text: Text::plain(text), signature }
        }),
        (origin(), "([a-z]{4}){1,2}")
            .prop_map(|(origin, data)| Part::RedactedReasoning(proof::read(origin, Text::plain(data)).into_owned())),
        ("[a-z]{1,3}", arguments()).prop_map(|(name, arguments)| Part::ToolCall {
            id: Text::plain(format!("id_{name}")),
            name: Text::plain(name),
            arguments: Text::plain(arguments),
            custom: false,
            cache: None,
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer<'static>> {
    let usage = (0u64..99, 0u64..99).prop_map(|(input, output)| Usage {
        input_tokens: Some(input + output),
        output_tokens: Some(output + 1),
        reasoning_tokens: Some(output),
        cache_read_tokens: Some(input),
        ..Usage::default()
    });
    let reason = prop::sample::select(vec![FinishReason::Stop, FinishReason::Length, FinishReason::ContentFilter, FinishReason::Other]);
    (prop::collection::vec(part(), 0..8), usage, reason).prop_map(|(parts, usage, mut reason)| {
        let called = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        if called && reason == FinishReason::Stop {
            reason = FinishReason::ToolCalls;
        }
        let finish = Some(Finish::new(reason, Text::plain("raw")));
        Answer { id: Some(Text::plain("r")), parts, finish, usage: Some(usage), ..Answer::default() }
    })
}

proptest! {
    /// Law: an answer says the same after it was streamed, in either framing, cut anywhere.
    #[test]
    fn a_stream_says_what_the_answer_said(answer in answer(), array in any::<bool>()) {
        let framing = if array { Framing::JsonArray } else { Framing::Sse };
        let (wire, _) = streamed(framing, |each| unfold(&answer, each));
        let (_, fold) = decoded(&wire, framing);
        prop_assert!(fold.fault().is_none());
        prop_assert_eq!(fold.ended(), array);
        prop_assert_eq!(facts(&answer), facts(&fold.into_answer()));
        for size in [1, 7] {
            let (mut frames, mut framer) = (0, Framer::new(framing, 1 << 20));
            for piece in wire.chunks(size) {
                framer.push(bytes::Bytes::copy_from_slice(piece), |_| frames += 1).unwrap();
            }
            prop_assert!(frames > 0 && framer.rest().is_none());
        }
    }

    /// Law: an answer says the same after it was written and read.
    #[test]
    fn a_whole_answer_says_what_it_said(answer in answer()) {
        let mut out = Vec::new();
        Gemini.encode_answer(&answer, &reply(Framing::Sse), &mut Notes::default(), &mut out);
        let again = Gemini.decode_answer(&out).unwrap();
        prop_assert_eq!(facts(&answer), facts(&again));
        let observed = Gemini.observe_answer(&out).unwrap();
        prop_assert_eq!((observed.usage, observed.finish), (again.usage, again.finish.map(|f| f.reason)));
    }

    /// Law: whatever is said, the request keeps the API's grammar, and no proof of Gemini's is lost or doubled.
    #[test]
    fn a_request_keeps_the_grammar(turns in prop::collection::vec((0..4usize, prop::collection::vec(part(), 0..6)), 0..6)) {
        let roles = [Role::User, Role::Assistant, Role::Assistant, Role::System];
        // Calls and thinking are the model's; instructions are words.
        let fits = |role: Role, part: &Part<'_>| role == Role::Assistant || matches!(part, Part::Text { .. });
        let messages: Vec<Message<'_>> = turns
            .into_iter()
            .map(|(role, parts)| Message::new(roles[role], parts.into_iter().filter(|part| fits(roles[role], part)).collect()))
            .collect();
        let own = |proof: &Text<'_>| proof::claim(Dialect::Gemini, proof).is_some();
        let proofs = messages.iter().flat_map(|m| &m.parts).filter(|part| match part {
            Part::Reasoning { signature: Some(signature), .. } => own(signature),
            Part::RedactedReasoning(data) => own(data),
            _ => false,
        });
        let proofs = proofs.count();
        let request = Request { messages, ..Request::default() };
        let (body, _) = encoded(&request, &ModelTraits::default());
        let contents = body["contents"].as_array().unwrap();
        prop_assert_eq!(&contents[0]["role"], "user");
        let mut signatures = 0;
        for (i, content) in contents.iter().enumerate() {
            let parts = content["parts"].as_array().unwrap();
            prop_assert!(!parts.is_empty());
            prop_assert!(i == 0 || contents[i - 1]["role"] != content["role"]);
            signatures += parts.iter().filter(|part| part["thoughtSignature"].as_str().is_some_and(|s| !s.starts_with("skip_"))).count();
        }
        prop_assert_eq!(signatures, proofs);
        Gemini.decode_request(&serde_json::to_vec(&body).unwrap()).unwrap();
    }

    /// Law: no body, however broken, does more than be a fault.
    #[test]
    fn a_broken_body_is_a_fault_at_worst(from in 0..BODY.len(), to in 0..BODY.len(), piece in "[\\[\\]{}:,\"0-9a-z\\\\$.]{0,4}", status in 100u16..600) {
        let body = [&BODY[..from.min(to)], &piece, &BODY[from.max(to)..]].concat();
        if let Ok(request) = Gemini.decode_request(body.as_bytes()) {
            let mut out = Vec::new();
            Gemini.encode_request(&request, "m", &ModelTraits::default(), &mut Notes::default(), &mut out).ok();
        }
        if let Ok(answer) = Gemini.decode_answer(body.as_bytes()) {
            Gemini.encode_answer(&answer, &reply(Framing::Sse), &mut Notes::default(), &mut Vec::new());
        }
        Gemini.observe_answer(body.as_bytes()).ok();
        Gemini.decode_error(http::StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), body.as_bytes());
        let frame = crate::base::sse::Frame { raw: bytes::Bytes::new(), name: bytes::Bytes::new(), data: Some(body.into_bytes().into()) };
        Gemini.stream_decoder().decode(&frame, &mut |_| ()).ok();
    }
}

/// A request, an answer and an error in one.
const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"x"},{"inlineData":{"mimeType":"image/png","data":"AA"}}]},
    {"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"},{"text":"t","thought":true}]},
    {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"x"}}}]}],
  "tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","nullable":true}}]},{"googleSearch":{}}],
  "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},
  "generationConfig":{"temperature":0.5,"thinkingConfig":{"thinkingBudget":-1}},
  "candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"c2ln"},{"functionCall":{"name":"f","willContinue":true,
    "partialArgs":[{"jsonPath":"$.a[0]['b']","stringValue":"x"}]}}]},"finishReason":"STOP"}],
  "usageMetadata":{"promptTokenCount":3},"responseId":"r","createTime":"2026-05-04T20:01:02Z",
  "error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"3.5s"}]}}"#;
