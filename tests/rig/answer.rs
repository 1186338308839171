//! Answers of a provider as steps on its socket.

use super::speech::{Usage, text_of};
use super::upstream::{Heard, Step};

/// Text as it is.
pub fn raw(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// Text as one chunk of a body.
pub fn chunk(text: &str) -> Step {
    raw(&chunk_text(text))
}

pub fn chunk_text(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

pub fn content_type(heard: &Heard) -> &'static str {
    if heard.stream { "text/event-stream" } else { "application/json" }
}

/// The head of a good answer that comes in chunks.
pub fn head_of(heard: &Heard) -> Step {
    raw(&format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n", content_type(heard)))
}

/// An answer with its length.
pub fn whole(status: u16, content_type: &str, headers: &str, body: &str) -> Step {
    raw(&format!("HTTP/1.1 {status} So\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
}

pub fn failed(status: u16, headers: &str, body: &str) -> Vec<Step> {
    vec![whole(status, if body.starts_with('{') { "application/json" } else { "text/html" }, headers, body)]
}

/// The body of a good answer.
pub fn body_of(mock: &str, heard: &Heard) -> String {
    let text = text_of(mock, heard.number);
    if heard.stream {
        heard.tongue.events(&heard.model, &text, Usage::ANY).0.concat()
    } else {
        heard.tongue.whole(&heard.model, &text, Usage::ANY)
    }
}

/// A good answer: a stream in chunks, one for each event; a whole answer with its length.
pub fn answer_of(mock: &str, heard: &Heard, headers: &str) -> Step {
    if !heard.stream {
        return whole(200, "application/json", headers, &body_of(mock, heard));
    }
    let (events, _) = heard.tongue.events(&heard.model, &text_of(mock, heard.number), Usage::ANY);
    let chunks: String = events.iter().map(|event| chunk_text(event)).collect();
    raw(&format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n{headers}\r\n{chunks}0\r\n\r\n"))
}
