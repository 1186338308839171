//! Failures: reading a provider's, telling ours.

use std::borrow::Cow;

use http::StatusCode;

use crate::base::json::{self, Raw};
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::broken;

/// The status and the `error.type` for a kind of fault.
pub(super) fn status_and_type(kind: FaultKind) -> (StatusCode, &'static str) {
    match kind {
        FaultKind::BadRequest | FaultKind::Unsupported | FaultKind::ContextTooLong | FaultKind::Blocked => {
            (StatusCode::BAD_REQUEST, "invalid_request_error")
        }
        FaultKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        FaultKind::NotFound | FaultKind::ModelNotFound => (StatusCode::NOT_FOUND, "not_found_error"),
        FaultKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error"),
        FaultKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "authentication_error"),
        FaultKind::Forbidden => (StatusCode::FORBIDDEN, "permission_error"),
        FaultKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        FaultKind::BudgetExhausted => (StatusCode::PAYMENT_REQUIRED, "billing_error"),
        FaultKind::Overloaded | FaultKind::Draining => (overloaded(), "overloaded_error"),
        FaultKind::Unreachable | FaultKind::UpstreamFailed | FaultKind::UpstreamProtocol | FaultKind::Truncated => {
            (StatusCode::BAD_GATEWAY, "api_error")
        }
        FaultKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
        FaultKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    }
}

/// 529, Anthropic's own status for an overload.
fn overloaded() -> StatusCode {
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// Writes the error body.
pub(super) fn encode(fault: &Fault, id: ExchangeId, out: &mut Vec<u8>) {
    json::object(out, |body| {
        body.string("type", "error");
        body.object("error", |error| {
            error.string("type", status_and_type(fault.kind).1);
            error.string("message", &fault.client_text);
            if let Some(code) = &fault.code {
                error.object("details", |details| details.string("error_code", code));
            }
        });
        body.string("request_id", &format!("req_{id}"));
    });
}

/// Writes the error event of a stream.
pub(super) fn encode_event(fault: &Fault, id: ExchangeId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: ");
    encode(fault, id, out);
    out.extend_from_slice(b"\n\n");
}

/// Reads an error answer of any shape: Anthropic's, those of hosts and proxies before it, HTML, nothing.
pub(super) fn decode(status: StatusCode, body: &[u8]) -> Fault {
    match Raw::parse(body) {
        Ok(raw) if raw.is_object() => fault(status.as_u16(), raw),
        _ => classify(status.as_u16(), &Told { message: broken::message(body).into(), ..Told::default() }),
    }
}

/// Reads an error object that came under status 200, whole or in a stream: its type stands for the status.
pub(super) fn decode_typed(body: Raw<'_>) -> Fault {
    let kind = body.member("error").and_then(|e| e.member("type")).and_then(Raw::string);
    let status = match kind.as_deref() {
        Some("invalid_request_error") => 400,
        Some("authentication_error") => 401,
        Some("billing_error") => 402,
        Some("permission_error") => 403,
        Some("not_found_error") => 404,
        Some("request_too_large") => 413,
        Some("rate_limit_error") => 429,
        Some("timeout_error") => 504,
        Some("overloaded_error") => 529,
        _ => 500,
    };
    let mut fault = fault(status, body);
    fault.status = None;
    fault
}

/// What an error body says.
#[derive(Default)]
struct Told<'a> {
    message: Cow<'a, str>,
    kind: Cow<'a, str>,
    code: Option<Cow<'a, str>>,
    param: Option<Cow<'a, str>>,
}

fn fault(status: u16, body: Raw<'_>) -> Fault {
    let error = body.member("error").filter(|e| e.is_object()).unwrap_or(body);
    let text = |from: Raw<'_>, name: &str| from.member(name).and_then(Raw::string).filter(|t| !t.trim().is_empty()).map(|t| t.into_owned());
    let message = text(error, "message")
        .or_else(|| text(body, "error"))
        .or_else(|| text(body, "Message"))
        .or_else(|| text(body, "detail"))
        .unwrap_or_else(|| broken::message(body.get().as_bytes()));
    let code = error.member("details").and_then(|d| text(d, "error_code")).or_else(|| text(error, "code"));
    let told = Told {
        message: message.into(),
        kind: text(error, "type").unwrap_or_default().into(),
        code: code.map(Cow::Owned),
        param: text(error, "param").map(Cow::Owned),
    };
    classify(status, &told)
}

/// Status first, then the type, then the phrase; never digits in a text, which may echo a prompt.
fn classify(status: u16, told: &Told<'_>) -> Fault {
    let (kind, origin) = match status {
        400 | 402 | 403 | 413 | 422 | 429 if is_money(told) => (FaultKind::BudgetExhausted, Origin::Upstream),
        // Another target may have a larger window.
        400 | 413 | 422 if is_too_long(told) => (FaultKind::ContextTooLong, Origin::Downstream),
        400 if told.message.contains("blocked by content filtering policy") => (FaultKind::Blocked, Origin::Downstream),
        400 | 422 => (FaultKind::BadRequest, Origin::Downstream),
        401 => (FaultKind::Unauthenticated, Origin::Upstream),
        402 => (FaultKind::BudgetExhausted, Origin::Upstream),
        403 => (FaultKind::Forbidden, Origin::Upstream),
        404 if told.message.contains("model") => (FaultKind::ModelNotFound, Origin::Upstream),
        404 => (FaultKind::NotFound, Origin::Upstream),
        408 | 504 | 522 | 524 => (FaultKind::Timeout, Origin::Upstream),
        413 => (FaultKind::TooLarge, Origin::Downstream),
        429 => (FaultKind::RateLimited, Origin::Upstream),
        503 | 529 => (FaultKind::Overloaded, Origin::Upstream),
        500.. if told.kind == "overloaded_error" => (FaultKind::Overloaded, Origin::Upstream),
        500.. if told.kind == "timeout_error" => (FaultKind::Timeout, Origin::Upstream),
        405 | 409 | 424 | 425 | 500.. | ..400 => (FaultKind::UpstreamFailed, Origin::Upstream),
        _ => (FaultKind::BadRequest, Origin::Downstream),
    };
    let mut fault = Fault::new(kind, origin, told.message.to_string()).status(status);
    fault.code = told.code.as_ref().map(|code| Cow::Owned(code.to_string()));
    fault.param = told.param.as_ref().map(|param| Cow::Owned(param.to_string()));
    fault
}

fn is_money(told: &Told<'_>) -> bool {
    const PHRASES: [&str; 4] = ["credit balance is too low", "spend limit", "specified API usage limits", "exceeded your current quota"];
    told.kind == "billing_error" || told.code.as_deref() == Some("insufficient_quota") || says(told, &PHRASES)
}

fn is_too_long(told: &Told<'_>) -> bool {
    const PHRASES: [&str; 4] = ["prompt is too long", "exceed context limit", "maximum context length", "Input is too long"];
    told.code.as_deref() == Some("context_length_exceeded") || says(told, &PHRASES)
}

fn says(told: &Told<'_>, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| told.message.contains(phrase))
}
