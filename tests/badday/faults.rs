//! The bad day as a table: everything an upstream may do before its first content, and what should come of it.

use std::time::{Duration, SystemTime};

use crate::answer::{answer_of, body_of, chunk, content_type, failed, head_of, raw, whole};
use crate::speech::{Usage, text_of};
use crate::upstream::{Heard, Step};

/// One way to misbehave. Its name is part of the model's name, by which the mock knows what to do.
pub struct Fault {
    pub name: &'static str,
    /// How often it happens.
    pub when: When,
    /// What comes of it for streams, and for whole answers.
    pub stream: Outcome,
    pub whole: Outcome,
    pub steps: fn(&Heard) -> Vec<Step>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum When {
    /// By chance, to six of ten.
    Chance,
    /// Eight of twelve, one after the other.
    Burst,
}

/// What comes of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Another target must answer.
    Elsewhere,
    /// The same, once a time has run out.
    InTime,
    /// It is a good answer, if a strange one.
    Good,
    /// This mode does not know it.
    None,
}

use Outcome::{Elsewhere, Good, InTime};
use When::{Burst, Chance};

/// How long a target may take to its first content where a fault is about that.
pub const FIRST_TOKEN: &str = "400ms";

/// What a single mock can do after it has read a request. A whole answer that stalls has no bound but the exchange's own, so
/// another target cannot stand in: those modes are not in the table.
#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    // The connection.
    Fault { name: "fin", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![Step::Fin] },
    Fault { name: "reset", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![Step::Reset] },
    Fault { name: "half-close", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![Step::HalfClose] },
    Fault { name: "reset-in-head", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 200 O"), Step::Wait(MOMENT), Step::Reset] },
    Fault { name: "fin-in-head", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-"), Step::Fin] },
    Fault { name: "reset-after-head", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), Step::Wait(MOMENT), Step::Reset] },
    Fault { name: "fin-after-head", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), Step::Fin] },
    Fault { name: "reset-before-content", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), beginning(heard), Step::Wait(MOMENT), Step::Reset] },
    Fault { name: "fin-before-content", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), beginning(heard), Step::Fin] },
    Fault { name: "end-before-content", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), beginning(heard), raw("0\r\n\r\n")] },
    Fault { name: "nothing", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), raw("0\r\n\r\n")] },
    // Stalls and drips.
    Fault { name: "stall", when: Chance, stream: InTime, whole: Outcome::None, steps: |_| vec![Step::Hold] },
    Fault { name: "stall-in-head", when: Chance, stream: InTime, whole: Outcome::None, steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Ty"), Step::Hold] },
    Fault { name: "stall-after-head", when: Chance, stream: InTime, whole: Outcome::None, steps: |heard| vec![head_of(heard), Step::Hold] },
    Fault { name: "stall-before-content", when: Chance, stream: InTime, whole: Outcome::None, steps: |heard| vec![head_of(heard), beginning(heard), Step::Hold] },
    Fault { name: "endless-drip", when: Chance, stream: InTime, whole: Outcome::None, steps: |heard| vec![head_of(heard), drip(&"2\r\n:\n\r\n".repeat(400))] },
    Fault { name: "stall-in-error", when: Chance, stream: InTime, whole: InTime, steps: |_| vec![raw("HTTP/1.1 503 Oh\r\nContent-Length: 900\r\n\r\n{\"err"), Step::Hold] },
    Fault { name: "slow-drip", when: Chance, stream: Good, whole: Good, steps: slow_drip },
    // Too much, and too early.
    Fault { name: "429-seconds", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| too_many(heard, "Retry-After: 1\r\n") },
    Fault { name: "429-millis", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| too_many(heard, "Retry-After-Ms: 700\r\nRetry-After: 1\r\n") },
    Fault { name: "429-date", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| too_many(heard, &in_a_second()) },
    Fault { name: "429-body", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(429, "", &heard.tongue.error(429, "Slow down.", Some(1.0))) },
    Fault { name: "429-bare", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| too_many(heard, "") },
    Fault { name: "429-long", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| too_many(heard, "Retry-After: 3600\r\n") },
    // Failures of its own, in its words and in those of what stands before it.
    Fault { name: "500", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(500, "", &heard.tongue.error(500, "Oh.", None)) },
    Fault { name: "502", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |_| failed(502, "", "<html><h1>502 Bad Gateway</h1></html>") },
    Fault { name: "503", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(503, "", &heard.tongue.error(503, "Oh.", None)) },
    Fault { name: "504", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |_| failed(504, "", "") },
    Fault { name: "529", when: Burst, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(529, "", &heard.tongue.error(529, "Overloaded", None)) },
    Fault { name: "408", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| failed(408, "", "") },
    Fault { name: "401", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(401, "", &heard.tongue.error(401, "Who?", None)) },
    Fault { name: "403", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(403, "", &heard.tongue.error(403, "Not you.", None)) },
    Fault { name: "404", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| failed(404, "", &heard.tongue.error(404, "The model does not exist.", None)) },
    Fault { name: "truncated-error", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 500 Oh\r\nContent-Length: 900\r\n\r\n{\"err"), Step::Fin] },
    // Good by its status only.
    Fault { name: "html", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![whole(200, "text/html", "", "<html>Welcome to nginx!</html>")] },
    Fault { name: "malformed", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![whole(200, "application/json", "", "{\"id\": \"chatcmpl-1\", \"choi")] },
    Fault { name: "not-utf8", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: not_utf8 },
    Fault { name: "empty", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![whole(200, content_type(heard), "", "")] },
    Fault { name: "204", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 204 No Content\r\n\r\n")] },
    Fault { name: "error-as-200", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![whole(200, "application/json", "", &heard.tongue.error(503, "Oh.", None))] },
    Fault { name: "error-event", when: Chance, stream: Elsewhere, whole: Outcome::None, steps: |heard| vec![head_of(heard), chunk(&heard.tongue.error_event()), raw("0\r\n\r\n")] },
    Fault { name: "late-error-event", when: Chance, stream: Elsewhere, whole: Outcome::None, steps: |heard| vec![head_of(heard), beginning(heard), chunk(&heard.tongue.error_event()), raw("0\r\n\r\n")] },
    Fault { name: "broken-event", when: Chance, stream: Elsewhere, whole: Outcome::None, steps: |heard| vec![head_of(heard), chunk("data: {\"id\": oh\n\n"), raw("0\r\n\r\n")] },
    Fault { name: "gzip", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![whole(200, content_type(heard), "Content-Encoding: gzip\r\n", "\u{1f}nonsense")] },
    // Not quite HTTP.
    Fault { name: "truncated", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: truncated },
    Fault { name: "bad-chunks", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), raw("zz\r\n{\"id\"\r\n0\r\n\r\n"), Step::Hold] },
    Fault { name: "long-chunk", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |heard| vec![head_of(heard), raw("ffffffffffffffffff\r\n{\"id\""), Step::Hold] },
    Fault { name: "garbage", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("SSH-2.0-OpenSSH_9.6\r\n"), Step::Hold] },
    Fault { name: "noise", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![Step::Send((0..=255).cycle().take(3000).collect()), Step::Hold] },
    Fault { name: "two-lengths", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n{\"a\":1}"), Step::Hold] },
    Fault { name: "endless-head", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| vec![raw("HTTP/1.1 200 OK\r\n"), raw(&"X-Line: of many\r\n".repeat(20_000)), Step::Hold] },
    Fault { name: "redirect", when: Chance, stream: Elsewhere, whole: Elsewhere, steps: |_| failed(302, "Location: http://127.0.0.1:1/\r\n", "") },
    // Strange, and sound.
    Fault { name: "early-hints", when: Chance, stream: Good, whole: Good, steps: |heard| vec![raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), answer(heard, "")] },
    Fault { name: "closes", when: Chance, stream: Good, whole: Good, steps: |heard| vec![answer(heard, "Connection: close\r\n"), Step::Fin] },
    Fault { name: "closes-unsaid", when: Chance, stream: Good, whole: Good, steps: |heard| vec![answer(heard, ""), Step::Fin] },
    Fault { name: "resets-unsaid", when: Chance, stream: Good, whole: Good, steps: |heard| vec![answer(heard, ""), Step::Wait(MOMENT), Step::Reset] },
    Fault { name: "until-close", when: Chance, stream: Good, whole: Good, steps: until_close },
    // Whoever reads on takes the second for the answer to the next request.
    Fault { name: "two-answers", when: Chance, stream: Good, whole: Good, steps: |heard| vec![answer(heard, ""), answer(&Heard { number: 99_999_999, ..heard.clone() }, "")] },
];

/// What the sick mock does: by the model's name, and by how many requests for it came before.
pub fn sick(heard: &Heard) -> Vec<Step> {
    let name = heard.model.split('.').next().unwrap_or_default();
    let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap_or_else(|| panic!("no fault {name}"));
    let happens = match fault.when {
        Chance => chance(&heard.model, heard.nth) < 60,
        Burst => heard.nth % 12 < 8,
    };
    if happens { (fault.steps)(heard) } else { vec![answer_of("sick", heard, "")] }
}

/// What the well mock does.
pub fn well(heard: &Heard) -> Vec<Step> {
    vec![answer_of("well", heard, "")]
}

/// A number below 100, the same for the same model and request.
pub fn chance(model: &str, nth: u64) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (model, nth).hash(&mut hasher);
    hasher.finish() % 100
}

const MOMENT: Duration = Duration::from_millis(3);

fn drip(text: &str) -> Step {
    Step::Drip(text.as_bytes().to_vec(), Duration::from_millis(1))
}

/// What comes before the first content; of a whole answer the first half.
fn beginning(heard: &Heard) -> Step {
    let text = text_of("sick", heard.number);
    if !heard.stream {
        let body = heard.tongue.whole(&heard.model, &text, Usage::ANY);
        return chunk(&body[..body.len() / 2]);
    }
    let (events, before) = heard.tongue.events(&heard.model, &text, Usage::ANY);
    // Of a dialect that begins with content, a comment.
    chunk(&if before == 0 { ": soon\n\n".to_owned() } else { events[..before].concat() })
}

fn too_many(heard: &Heard, headers: &str) -> Vec<Step> {
    failed(429, headers, &heard.tongue.error(429, "Slow down.", None))
}

fn in_a_second() -> String {
    let now = SystemTime::now();
    format!("Date: {}\r\nRetry-After: {}\r\n", httpdate::fmt_http_date(now), httpdate::fmt_http_date(now + Duration::from_secs(1)))
}

fn not_utf8(heard: &Heard) -> Vec<Step> {
    let mut body = if heard.stream { b"data: ".to_vec() } else { Vec::new() };
    body.extend_from_slice(b"{\"id\": \"\xff\xfe\"}\n\n");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n", content_type(heard), body.len());
    vec![raw(&head), Step::Send(body)]
}

fn truncated(heard: &Heard) -> Vec<Step> {
    let body =
        if heard.stream { ": soon\n\n".to_owned() } else { heard.tongue.whole(&heard.model, &text_of("sick", heard.number), Usage::ANY) };
    let told = body.len() + 900;
    vec![raw(&format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {told}\r\n\r\n{body}", content_type(heard))), Step::Fin]
}

/// An answer whose length only its end tells. A stream says by its end mark that it is whole; a JSON text by its last brace.
fn until_close(heard: &Heard) -> Vec<Step> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nConnection: close\r\n\r\n", content_type(heard));
    vec![raw(&head), raw(&body_of("sick", heard)), Step::Fin]
}

fn answer(heard: &Heard, headers: &str) -> Step {
    answer_of("sick", heard, headers)
}

/// Byte by byte as far as into the body; all of it so would take longer than the test's patience.
fn slow_drip(heard: &Heard) -> Vec<Step> {
    let Step::Send(mut bytes) = answer(heard, "") else { return vec![] };
    let rest = bytes.split_off(180);
    vec![Step::Drip(bytes, Duration::from_millis(1)), Step::Send(rest)]
}
