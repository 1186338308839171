//! Recorded exchanges: whatever the provider and its clients really send can be read.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::super::Bedrock;
use super::{CLAUDE, reply, streams, words};
use crate::base::FaultKind;
use crate::base::framing::Framing;
use crate::dialect::anthropic::wire::unbase64;
use crate::dialect::tests::{recordings, same};
use crate::dialect::{Codec, Notes, codec};
use crate::ir::{Answer, Dialect, Event, Fold, ModelTraits};

/// Requests that are not requests, and why.
const REFUSED: [(&str, &str); 2] = [
    ("bedrock-conv-n-761302fd9c", "its recorder kept the bytes as an array of numbers"),
    ("bedrock-conv-s-610a579adb", "its recorder kept the bytes as an array of numbers"),
];

#[test]
#[expect(clippy::print_stderr, reason = "a test over recordings says how many it checked")]
fn recorded_exchanges_are_read() {
    let (mut requests, mut answers, mut whole, mut errors) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (id, exchange) in recordings(&["converse"], &["syn-bedrock"]) {
        if exchange["request"]["body"].is_object() && !REFUSED.iter().any(|(refused, _)| *refused == id) {
            requests += 1;
            let body = serde_json::to_vec(&exchange["request"]["body"]).unwrap();
            wrong.extend(check_request(&body).err().map(|e| format!("{id}: request: {e}")));
        }
        let response = &exchange["response"];
        let status = response["status"].as_u64().unwrap_or(0) as u16;
        let result = match (&response["body"], response["body_base64"].as_str()) {
            (body @ Value::Object(_), _) if status == 200 => {
                answers += 1;
                check_answer(&serde_json::to_vec(body).unwrap())
            }
            (_, Some(wire)) if status == 200 => {
                whole += 1;
                check_stream(&unbase64(wire.as_bytes()).unwrap(), id.contains("midstream"))
            }
            (body, _) => {
                errors += 1;
                check_error(status, &response["headers"], &serde_json::to_vec(body).unwrap())
            }
        };
        wrong.extend(result.err().map(|e| format!("{id}: {e}")));
    }
    eprintln!("recorded exchanges read: {requests} requests, {answers} answers, {whole} streams, {errors} errors");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_request(body: &[u8]) -> Result<(), String> {
    let request = Bedrock.decode_request(body).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    Bedrock
        .encode_request(&request, CLAUDE, &ModelTraits::default(), &mut Notes::default(), &mut out)
        .map_err(|fault| format!("again: {fault}"))?;
    Bedrock.decode_request(&out).map_err(|fault| format!("and again: {fault}"))?;
    // A caller of this dialect is served by others too, or told why not.
    for target in [Dialect::Anthropic, Dialect::OpenAiChat] {
        let mut out = Vec::new();
        let told = codec(target).encode_request(&request, "m", &ModelTraits::default(), &mut Notes::default(), &mut out);
        match told {
            Ok(()) => codec(target).decode_request(&out).map(|_| ()).map_err(|fault| format!("as {target:?}: {fault}"))?,
            Err(fault) if fault.kind == FaultKind::Unsupported => {}
            Err(fault) => return Err(format!("as {target:?}: {fault}")),
        }
    }
    Ok(())
}

fn check_answer(body: &[u8]) -> Result<(), String> {
    let answer = Bedrock.decode_answer(body).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    Bedrock.encode_answer(&answer, &reply(), &mut Notes::default(), &mut out);
    let again = Bedrock.decode_answer(&out).map_err(|fault| format!("again: {fault}"))?;
    same(&words(&answer), &words(&again))?;
    same(&answer.parts.len(), &again.parts.len())?;
    same(&answer.finish, &again.finish)?;
    same(&answer.usage, &again.usage)?;
    let observed = Bedrock.observe_answer(body).map_err(|fault| fault.to_string())?;
    same(&observed.finish, &answer.finish.map(|finish| finish.reason))
}

fn check_stream(wire: &[u8], fails: bool) -> Result<(), String> {
    let mut decoder = Bedrock.stream_decoder();
    let (mut fold, mut result) = (Fold::default(), Ok(()));
    let (mut encoder, mut out) = (Bedrock.stream_encoder(reply()), Vec::new());
    for frame in streams::frames(wire) {
        let told = decoder.decode(&frame, &mut |event: Event<'_>| {
            fold.add(&event);
            encoder.encode(&event, &mut out);
        });
        result = result.and(told);
    }
    result.map_err(|fault| fault.to_string())?;
    same(&(fold.ended(), fold.fault().is_some()), &(!fails, fails))?;
    streams::check_grammar(&out).map_err(|e| format!("encoded: {e}"))?;
    if !fails {
        let (first, again): (Answer<'_>, Answer<'_>) = (fold.into_answer(), streams::fold_wire(&out).into_answer());
        same(&first.finish, &again.finish)?;
        same(&first.usage, &again.usage)?;
        same(&words(&first), &words(&again))?;
    }
    Ok(())
}

fn check_error(status: u16, headers: &Value, body: &[u8]) -> Result<(), String> {
    let pairs = headers
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.as_str()?).ok()?)));
    let fault = Bedrock.decode_error(StatusCode::from_u16(status).unwrap(), &pairs.collect::<HeaderMap>(), body);
    let mut wire = Vec::new();
    Bedrock.encode_stream_error(&fault, reply().id, Framing::EventStream, false, &mut wire);
    same(&streams::frames(&wire).len(), &1)?;
    (!fault.client_text.is_empty() && !fault.client_text.contains("gave no reason")).then_some(()).ok_or(format!("{fault}"))
}
