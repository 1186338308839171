//! Over recorded traffic, where it is present.

use std::path::PathBuf;

use super::*;
use crate::ir::unfold;

fn corpus() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "only tests look for recordings")]
    let root = std::env::var("OUTRIDER_CORPUS").map(PathBuf::from);
    let root = root.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic"));
    root.join("given").is_dir().then_some(root.join("given"))
}

#[test]
#[expect(clippy::print_stderr, reason = "what was skipped or checked is said aloud")]
fn recorded_traffic_is_understood() {
    let Some(folder) = corpus() else {
        eprintln!("skipped: no recorded traffic (set OUTRIDER_CORPUS)");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut requests, mut answers, mut streams, mut errors) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("GROUPS.json")) {
        let exchange = value(&std::fs::read(path).unwrap());
        if exchange["api"] != "chat.completions" {
            continue;
        }
        let id = exchange["id"].as_str().unwrap();
        let body = &exchange["request"]["body"];
        if body.is_object() {
            requests += 1;
            let text = body.to_string();
            let outcome = OpenAiChat.decode_request(text.as_bytes()).and_then(|request| written(&request, &traits()).map(|_| ()));
            wrong.extend(outcome.err().map(|fault| format!("{id} request: {fault}")));
        }
        let status = exchange["response"]["status"].as_u64().unwrap() as u16;
        let body = match (&exchange["response"]["body"], &exchange["response"]["body_text"]) {
            (Value::Null, Value::String(text)) => text.clone(),
            (Value::Null, _) => continue,
            (body, _) => body.to_string(),
        };
        let is_stream = exchange["stream"] == true || exchange["stream"] == 1;
        if status != 200 {
            errors += 1;
            let fault = OpenAiChat.decode_error(http::StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), body.as_bytes());
            if fault.client_text.is_empty() || fault.client_text.contains("did not say why") {
                wrong.push(format!("{id} error: {fault}"));
            }
        } else if is_stream {
            streams += 1;
            match folded(body.as_bytes()) {
                Ok((fold, told)) => {
                    if !fold.ended() || fold.fault().is_some() {
                        wrong.push(format!("{id} stream: ended {} fault {:?} last {:?}", fold.ended(), fold.fault(), told.last()));
                    }
                    let answer = fold.into_answer();
                    let mut encoder = OpenAiChat.stream_encoder(reply());
                    let mut out = Vec::new();
                    unfold(&answer, |event| encoder.encode(&event, &mut out));
                    let again = folded(&out).unwrap().0.into_answer();
                    assert_eq!(meaning(&again)["parts"], meaning(&answer)["parts"], "{id}");
                }
                Err(fault) => wrong.push(format!("{id} stream: {fault}")),
            }
        } else {
            answers += 1;
            match OpenAiChat.decode_answer(body.as_bytes()) {
                Ok(answer) => {
                    let (mut notes, mut out) = (Notes::default(), Vec::new());
                    OpenAiChat.encode_answer(&answer, &reply(), &mut notes, &mut out);
                    let again = OpenAiChat.decode_answer(&out).unwrap();
                    assert_eq!(meaning(&again)["parts"], meaning(&answer)["parts"], "{id}");
                    let observed = OpenAiChat.observe_answer(body.as_bytes()).unwrap();
                    assert_eq!((observed.usage, observed.finish), (answer.usage, answer.finish.map(|f| f.reason)), "{id}");
                }
                Err(fault) => wrong.push(format!("{id} answer: {fault}")),
            }
        }
    }
    eprintln!("checked {requests} requests, {answers} answers, {streams} streams, {errors} errors");
    wrong.retain(|line| !EXPECTED.iter().any(|(id, _)| line.starts_with(id)));
    assert!(wrong.is_empty(), "{} exchanges:\n{}", wrong.len(), wrong.join("\n"));
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
