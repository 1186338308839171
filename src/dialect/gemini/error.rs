//! Failures: reading a provider's, telling ours.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::base::framing::Framing;
use crate::base::json::{self, Array, Object, Raw};
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::{broken, wait};
const TYPES: &str = "type.googleapis.com/google.rpc.";

/// The status and Google's word for a kind of fault.
pub(super) fn status_and_word(kind: FaultKind) -> (StatusCode, &'static str) {
    match kind {
        FaultKind::BadRequest | FaultKind::Unsupported | FaultKind::ContextTooLong | FaultKind::Blocked => {
            (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT")
        }
        FaultKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT"),
        FaultKind::NotFound | FaultKind::ModelNotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        FaultKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "UNIMPLEMENTED"),
        FaultKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        FaultKind::Forbidden => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        FaultKind::RateLimited | FaultKind::BudgetExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        FaultKind::Overloaded | FaultKind::Draining => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        FaultKind::Unreachable => (StatusCode::BAD_GATEWAY, "UNAVAILABLE"),
        FaultKind::UpstreamFailed | FaultKind::UpstreamProtocol | FaultKind::Truncated => (StatusCode::BAD_GATEWAY, "INTERNAL"),
        FaultKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        FaultKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    }
}

/// Writes the error body.
pub(super) fn encode(fault: &Fault, out: &mut Vec<u8>) {
    json::object(out, |body| body.object("error", |error| put(fault, error)));
}

fn put(fault: &Fault, error: &mut Object<'_>) {
    let (status, word) = status_and_word(fault.kind);
    error.u64("code", status.as_u16().into());
    error.string("message", &fault.client_text);
    error.string("status", word);
    let code = fault.code.as_deref().filter(|code| *code != word);
    if code.is_none() && fault.param.is_none() && fault.retry_after.is_none() {
        return;
    }
    error.array("details", |details| {
        if let Some(code) = code {
            detail("ErrorInfo", details, |info| {
                info.string("reason", code);
                info.string("domain", "outrider");
            });
        }
        if let Some(param) = &fault.param {
            detail("BadRequest", details, |bad| {
                bad.array("fieldViolations", |violations| {
                    violations.object(|violation| {
                        violation.string("field", param);
                        violation.string("description", &fault.client_text);
                    });
                });
            });
        }
        if let Some(wait) = fault.retry_after {
            detail("RetryInfo", details, |info| info.string("retryDelay", &format!("{}s", wait.as_secs_f64())));
        }
    });
}

fn detail(kind: &str, details: &mut Array<'_>, fill: impl FnOnce(&mut Object<'_>)) {
    details.object(|detail| {
        detail.string("@type", &format!("{TYPES}{kind}"));
        fill(detail);
    });
}

/// Writes the error that ends a broken stream; `begun` tells whether an element of the array has gone out.
pub(super) fn encode_event(fault: &Fault, framing: Framing, begun: bool, out: &mut Vec<u8>) {
    match framing {
        Framing::JsonArray => {
            out.extend_from_slice(if begun { b",\r\n" } else { b"[" });
            encode(fault, out);
            out.push(b']');
        }
        Framing::Sse | Framing::EventStream => {
            out.extend_from_slice(b"data: ");
            encode(fault, out);
            out.extend_from_slice(b"\r\n\r\n");
        }
    }
}

/// Whether a JSON value is an error, bare or as a stream's array holds it.
pub(super) fn is_error(body: Raw<'_>) -> bool {
    inner(body).is_some()
}

/// The error object.
fn inner(body: Raw<'_>) -> Option<Raw<'_>> {
    let holder = if body.is_array() { body.elements().next()? } else { body };
    holder.member("error").filter(|error| error.is_object())
}

/// Reads an error answer of any shape: Google's, a proxy's, HTML, nothing.
pub(super) fn decode(status: StatusCode, body: &[u8]) -> Fault {
    let parsed = Raw::parse(body).ok();
    let told = match parsed.and_then(inner) {
        Some(error) => Told::read(error),
        None => Told { message: plain_message(parsed, body), ..Told::default() },
    };
    classify(status.as_u16(), told).status(status.as_u16())
}

/// Reads an error that came under status 200, whole or in a stream: its own code stands for the status.
pub(super) fn decode_typed(body: Raw<'_>) -> Fault {
    let Some(error) = inner(body) else {
        return classify(500, Told { message: plain_message(Some(body), body.get().as_bytes()), ..Told::default() });
    };
    let told = Told::read(error);
    let status = error.member("code").and_then(Raw::u64).and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
    let status = status.unwrap_or(match told.word.as_deref() {
        Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE") => 400,
        Some("UNAUTHENTICATED") => 401,
        Some("PERMISSION_DENIED") => 403,
        Some("NOT_FOUND") => 404,
        Some("RESOURCE_EXHAUSTED") => 429,
        Some("UNAVAILABLE") => 503,
        Some("DEADLINE_EXCEEDED") => 504,
        _ => 500,
    });
    classify(status, told)
}

/// What an error says.
#[derive(Default)]
struct Told<'a> {
    message: Cow<'a, str>,
    word: Option<Cow<'a, str>>,
    reason: Option<Cow<'a, str>>,
    field: Option<Cow<'a, str>>,
    wait: Option<Duration>,
    /// Whether a quota is used up that a day renews.
    daily: bool,
}

impl<'a> Told<'a> {
    fn read(error: Raw<'a>) -> Self {
        let mut told = Self::default();
        let mut details = None;
        for (name, value) in error.members() {
            match &*name {
                "message" => told.message = value.string().unwrap_or_default(),
                "status" => told.word = value.string(),
                "details" => details = Some(value),
                _ => {}
            }
        }
        if told.message.trim().is_empty() {
            told.message = plain_message(Some(error), error.get().as_bytes());
        }
        told.wait = wait::in_text(&told.message);
        for detail in details.into_iter().flat_map(Raw::elements) {
            for (name, value) in detail.members() {
                match &*name {
                    "reason" => told.reason = told.reason.take().or(value.string()),
                    "retryDelay" => told.wait = value.string().and_then(|spelled| wait::span(&spelled)),
                    "violations" => {
                        let day = |v: Raw<'_>| v.member("quotaId").and_then(Raw::string).is_some_and(|id| id.contains("PerDay"));
                        told.daily |= value.elements().any(day);
                    }
                    "fieldViolations" => {
                        told.field = value.elements().next().and_then(|v| v.member("field")).and_then(Raw::string);
                    }
                    _ => {}
                }
            }
        }
        told
    }

    fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.message.contains(phrase))
    }

    fn reason_is(&self, words: &[&str]) -> bool {
        self.reason.as_deref().is_some_and(|reason| words.contains(&reason))
    }
}

fn plain_message(parsed: Option<Raw<'_>>, body: &[u8]) -> Cow<'static, str> {
    let named = parsed
        .filter(|raw| raw.is_object())
        .and_then(|raw| ["message", "error", "detail"].iter().find_map(|name| raw.member(name).and_then(Raw::string)))
        .filter(|named| !named.trim().is_empty());
    if let Some(named) = named {
        return Cow::Owned(named.into_owned());
    }
    Cow::Owned(broken::message(body))
}

/// Status first, then the machine-readable reason, then the phrase; never digits in a text, which may echo a prompt.
fn classify(status: u16, told: Told<'_>) -> Fault {
    const KEY: [&str; 3] = ["API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"];
    let elsewhere = |kind| (kind, Origin::Upstream);
    let (kind, origin) = match status {
        400 if told.reason_is(&KEY) || told.says(&["API key not valid", "API key expired", "API Key not found"]) => {
            elsewhere(FaultKind::Unauthenticated)
        }
        400 if told.says(&["User location is not supported"]) => elsewhere(FaultKind::Forbidden),
        // Another target may have a larger window.
        400 | 413 if is_too_long(&told) => (FaultKind::ContextTooLong, Origin::Downstream),
        400 | 422 => (FaultKind::BadRequest, Origin::Downstream),
        401 => elsewhere(FaultKind::Unauthenticated),
        402 => elsewhere(FaultKind::BudgetExhausted),
        403 if told.reason_is(&["BILLING_DISABLED"]) => elsewhere(FaultKind::BudgetExhausted),
        403 if told.says(&["unregistered callers"]) => elsewhere(FaultKind::Unauthenticated),
        403 => elsewhere(FaultKind::Forbidden),
        404 if told.says(&["model", "Model"]) => elsewhere(FaultKind::ModelNotFound),
        404 => elsewhere(FaultKind::NotFound),
        408 | 504 | 522 | 524 => elsewhere(FaultKind::Timeout),
        413 => (FaultKind::TooLarge, Origin::Downstream),
        429 if told.daily => elsewhere(FaultKind::BudgetExhausted),
        429 => elsewhere(FaultKind::RateLimited),
        500.. if told.word.as_deref() == Some("DEADLINE_EXCEEDED") => elsewhere(FaultKind::Timeout),
        503 | 529 => elsewhere(FaultKind::Overloaded),
        405 | 409 | 424 | 425 | 499.. | ..400 => elsewhere(FaultKind::UpstreamFailed),
        _ => (FaultKind::BadRequest, Origin::Downstream),
    };
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let mut fault = Fault::new(kind, origin, own(told.message)).after(told.wait);
    fault.code = told.reason.or(told.word).map(own);
    fault.param = told.field.filter(|field| !field.is_empty()).map(own);
    fault
}

fn is_too_long(told: &Told<'_>) -> bool {
    const PHRASES: [&str; 5] = [
        "exceeds the maximum number of tokens",
        "exceeds the maximum number of input tokens",
        "input token count",
        "Input token count",
        "maximum context length",
    ];
    told.says(&PHRASES)
}
