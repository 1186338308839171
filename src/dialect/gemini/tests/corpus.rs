//! Recorded exchanges: whatever providers and clients really send can be read, and says the same when it is written again.

use http::StatusCode;
use serde_json::Value;

use super::super::Gemini;
use super::{decoded, facts, json, reply, streamed};
use crate::base::framing::Framing;
use crate::dialect::tests::{recordings, same};
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Event, ModelTraits, OutputFormat, Part, Request, Tool, unfold};

#[test]
#[expect(clippy::print_stderr, reason = "a test over recordings says how many it checked")]
fn recorded_exchanges_are_read() {
    let (mut requests, mut answers, mut streams, mut counts, mut errors) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (id, exchange) in recordings(&["generateContent", "countTokens"], &["syn-google", "syn-vertex"]) {
        if exchange["request"]["body"].is_object() {
            requests += 1;
            wrong.extend(check_request(&exchange["request"]["body"]).err().map(|e| format!("{id}: request: {e}")));
        }
        let response = &exchange["response"];
        let status = response["status"].as_u64().unwrap_or(0) as u16;
        let result = match (&response["body"], response["body_text"].as_str()) {
            (body, _) if status == 200 && body["totalTokens"].is_u64() => {
                counts += 1;
                Ok(())
            }
            (body @ Value::Object(_), _) if status == 200 => {
                answers += 1;
                check_answer(body)
            }
            (body @ Value::Array(_), _) if status == 200 => {
                streams += 1;
                check_stream(&serde_json::to_vec(body).unwrap(), Framing::JsonArray)
            }
            (_, Some(text)) if status == 200 => {
                streams += 1;
                let wire = format!("{}\n\n", text.trim_end());
                check_stream(wire.as_bytes(), Framing::Sse)
            }
            (body, text) if status >= 400 => {
                errors += 1;
                let body = text.map_or_else(|| serde_json::to_vec(body).unwrap(), |t| t.as_bytes().to_vec());
                let fault = Gemini.decode_error(StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), &body);
                let told = !fault.client_text.is_empty() && !fault.client_text.starts_with(['{', '[']);
                told.then_some(()).ok_or(format!("no text: {}", fault.client_text))
            }
            _ => Err("neither an answer nor a stream".to_owned()),
        };
        wrong.extend(result.err().map(|e| format!("{id}: {e}")));
    }
    eprintln!("recorded exchanges read: {requests} requests, {answers} answers, {streams} streams, {counts} counts, {errors} errors");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_request(body: &Value) -> Result<(), String> {
    let body = serde_json::to_vec(body).unwrap();
    let request = Gemini.decode_request(&body).map_err(|fault| fault.to_string())?;
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Gemini.encode_request(&request, "gemini", &ModelTraits::default(), &mut notes, &mut out).map_err(|fault| format!("again: {fault}"))?;
    let again = Gemini.decode_request(&out).map_err(|fault| format!("and again: {fault}"))?;
    same(&said(&request), &said(&again))?;
    same(&offered(&request), &offered(&again))
}

/// What is said in a request, less what is left out on purpose: thinking that nobody signed, ids of calls, titles.
fn said(request: &Request<'_>) -> Vec<String> {
    let mut facts = Vec::new();
    let mut previous = None;
    for message in &request.messages {
        if previous.replace(message.role) != Some(message.role) {
            facts.push(format!("{:?}", message.role));
        }
        let mut parts: Vec<&Part<'_>> = message.parts.iter().collect();
        parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
        facts.extend(parts.into_iter().filter_map(|part| match part {
            Part::Text { text, .. } if text.is_empty() || text.is(" ") => None,
            Part::Text { text, .. } => Some(format!("text {}", text.read())),
            Part::Reasoning { signature: None, .. } => None,
            Part::Reasoning { signature: Some(signature), .. } if signature.read().ends_with("skip_thought_signature_validator") => None,
            Part::Reasoning { text, signature: Some(signature) } => Some(format!("thought {} {}", text.read(), signature.read())),
            Part::ToolCall { name, arguments, .. } => Some(format!("call {} {}", name.read(), arguments.read())),
            Part::ToolResult { parts, error, .. } => {
                let said = parts.iter().map(|part| match part {
                    Part::Text { text, .. } => text.read().into_owned(),
                    Part::Media(media) => format!("{:?}", media.kind),
                    other => format!("{other:?}"),
                });
                Some(format!("result {error} {:?}", said.collect::<Vec<_>>()))
            }
            Part::Media(media) => Some(format!("media {:?} {:?}", media.kind, media.source)),
            Part::Opaque { kind, raw, .. } => Some(format!("{kind} {}", raw.get())),
            Part::Refusal(_) | Part::RedactedReasoning(_) => Some("other".to_owned()),
        }));
    }
    facts
}

/// What is asked for beside the conversation.
fn offered(request: &Request<'_>) -> Vec<String> {
    let mut facts: Vec<String> = request
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function { name, description, parameters, .. } => {
                let parameters = parameters.as_ref().map(|p| json(p.raw().get().as_bytes()));
                format!("{} {:?} {parameters:?}", name.read(), description.as_ref().map(|d| d.read().into_owned()))
            }
            Tool::Opaque { kind, raw, .. } => format!("{kind} {}", raw.get()),
            Tool::Custom { .. } => "custom".to_owned(),
        })
        .collect();
    // All functions stand in one tool, before those of the provider.
    facts.sort();
    let output = request.output.as_ref().map(|output| match output {
        OutputFormat::JsonSchema { schema, .. } => json(schema.raw().get().as_bytes()).to_string(),
        other => format!("{other:?}"),
    });
    facts.push(format!("{:?} {:?} {:?}", request.temperature, request.top_p, request.top_k));
    facts.push(format!("{:?} {:?} {:?} {:?}", request.output_tokens_max, request.seed, request.stop, request.answers.unwrap_or(1)));
    facts.push(format!("{output:?} {:?}", request.tool_choice));
    let mut extensions: Vec<String> = request.extensions.iter().map(|e| format!("{} {}", e.name, json(e.value.get().as_bytes()))).collect();
    extensions.sort();
    facts.extend(extensions);
    facts
}

fn check_answer(body: &Value) -> Result<(), String> {
    let body = serde_json::to_vec(body).unwrap();
    let answer = Gemini.decode_answer(&body).map_err(|fault| fault.to_string())?;
    let observed = Gemini.observe_answer(&body).map_err(|fault| fault.to_string())?;
    same(&(observed.usage, observed.finish), &(answer.usage, answer.finish.as_ref().map(|f| f.reason)))?;
    let mut out = Vec::new();
    Gemini.encode_answer(&answer, &reply(Framing::Sse), &mut Notes::default(), &mut out);
    let again = Gemini.decode_answer(&out).map_err(|fault| format!("again: {fault}"))?;
    same(&facts(&answer), &facts(&again))?;
    check_unfolded(&answer)
}

/// The answer as a stream, in both framings.
fn check_unfolded(answer: &Answer<'_>) -> Result<(), String> {
    for framing in [Framing::Sse, Framing::JsonArray] {
        let (wire, _) = streamed(framing, |each| unfold(answer, each));
        same(&facts(answer), &facts(&decoded(&wire, framing).1.into_answer()))
            .or_else(|e| if has_opaque(answer) { Ok(()) } else { Err(format!("{framing:?}: {e}")) })?;
    }
    Ok(())
}

/// A fold counts opaque parts and does not keep them.
fn has_opaque(answer: &Answer<'_>) -> bool {
    answer.parts.iter().any(|part| matches!(part, Part::Opaque { .. }))
}

fn check_stream(wire: &[u8], framing: Framing) -> Result<(), String> {
    let (_, fold) = decoded(wire, framing);
    if let Some(fault) = fold.fault() {
        return Err(fault.to_string());
    }
    let opaque = fold.opaque();
    let first = fold.into_answer();
    if first.finish.is_none() {
        return Err("the stream has no end".to_owned());
    }
    for to in [Framing::Sse, Framing::JsonArray] {
        let (again, _) = streamed(to, |each| {
            let mut decoder = Gemini.stream_decoder();
            let mut framer = crate::base::framing::Framer::new(framing, 16 << 20);
            let mut ended = false;
            framer
                .push(bytes::Bytes::copy_from_slice(wire), |frame| {
                    decoder
                        .decode(&frame, &mut |event: Event<'_>| {
                            ended |= matches!(event, Event::End);
                            each(event);
                        })
                        .unwrap();
                })
                .unwrap();
            if !ended {
                each(Event::End);
            }
        });
        let (_, again) = decoded(&again, to);
        same(&opaque, &again.opaque())?;
        same(&facts(&first), &facts(&again.into_answer()))?;
    }
    Ok(())
}
