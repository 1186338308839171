//! Over recorded traffic, where it is present.

use super::*;
use crate::dialect::openai::tests::check_recordings;
use crate::ir::unfold;

#[test]
fn recorded_traffic_is_understood() {
    check_recordings(&OpenAiChat, "chat.completions", &EXPECTED, check_request, check_answer, check_stream);
}

fn check_request(body: &Value) -> Result<(), String> {
    let text = body.to_string();
    let request = OpenAiChat.decode_request(text.as_bytes()).map_err(|fault| fault.to_string())?;
    written(&request, &traits()).map(drop).map_err(|fault| fault.to_string())
}

fn check_answer(body: &str) -> Result<(), String> {
    let answer = OpenAiChat.decode_answer(body.as_bytes()).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    OpenAiChat.encode_answer(&answer, &reply(), &mut Notes::default(), &mut out);
    let again = OpenAiChat.decode_answer(&out).map_err(|fault| format!("again: {fault}"))?;
    tests::same(&meaning(&again)["parts"], &meaning(&answer)["parts"])?;
    let observed = OpenAiChat.observe_answer(body.as_bytes()).map_err(|fault| fault.to_string())?;
    tests::same(&(observed.usage, observed.finish), &(answer.usage, answer.finish.map(|f| f.reason)))
}

fn check_stream(body: &str) -> Result<(), String> {
    let (fold, told) = folded(body.as_bytes()).map_err(|fault| fault.to_string())?;
    let ended = (fold.ended(), fold.fault().is_some());
    let answer = fold.into_answer();
    let (mut encoder, mut out) = (OpenAiChat.stream_encoder(reply()), Vec::new());
    unfold(&answer, |event| encoder.encode(&event, &mut out));
    let again = folded(&out).map_err(|fault| format!("again: {fault}"))?.0.into_answer();
    tests::same(&meaning(&again)["parts"], &meaning(&answer)["parts"])?;
    if ended == (true, false) { Ok(()) } else { Err(format!("ended and failed: {ended:?}, last {:?}", told.last())) }
}

/// Recordings that are rightly not understood, and why.
const EXPECTED: [(&str, &str); 9] = [
    ("azure-chat-n-047692ce51 request", "the model is in the path"),
    ("azure-chat-n-3a2e11367b request", "the model is in the path"),
    ("azure-chat-n-3f84a1423e request", "the model is in the path"),
    ("azure-chat-s-b108f317fe request", "the model is in the path"),
    ("groq-chat-s-7a0a8c5586 stream", "ends with an error event"),
    ("huggingface-chat-s-150f4ee47e stream", "ends without an end mark, behind its finish"),
    ("perplexity-chat-s-1645503e9a stream", "ends without an end mark, behind its finish"),
    ("perplexity-chat-s-5066eeed04 stream", "ends without an end mark, behind its finish"),
    ("perplexity-chat-s-599a931616 stream", "ends without an end mark, behind its finish"),
];
