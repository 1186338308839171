//! Failures: reading the provider's, telling ours.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use crate::base::json::{self, Raw};
use crate::base::{Fault, FaultKind, Origin, eventstream};
use crate::dialect::broken;

/// How much of a text is kept as a message: enough for an operator, bounded for everybody else.
const MESSAGE_BYTES_MAX: usize = 2048;

/// The status and the type for a kind of fault.
pub(super) fn status_and_type(kind: FaultKind) -> (StatusCode, &'static str) {
    match kind {
        FaultKind::BadRequest | FaultKind::Unsupported | FaultKind::ContextTooLong | FaultKind::Blocked => {
            (StatusCode::BAD_REQUEST, "ValidationException")
        }
        FaultKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "ValidationException"),
        FaultKind::NotFound => (StatusCode::NOT_FOUND, "UnknownOperationException"),
        FaultKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "UnknownOperationException"),
        FaultKind::ModelNotFound => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        // AWS has no 401.
        FaultKind::Unauthenticated => (StatusCode::FORBIDDEN, "UnrecognizedClientException"),
        FaultKind::Forbidden => (StatusCode::FORBIDDEN, "AccessDeniedException"),
        FaultKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
        FaultKind::BudgetExhausted => (StatusCode::BAD_REQUEST, "ServiceQuotaExceededException"),
        FaultKind::Overloaded | FaultKind::Draining => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException"),
        FaultKind::Timeout => (StatusCode::REQUEST_TIMEOUT, "ModelTimeoutException"),
        FaultKind::Unreachable | FaultKind::UpstreamFailed | FaultKind::UpstreamProtocol | FaultKind::Truncated => {
            (StatusCode::BAD_GATEWAY, "InternalServerException")
        }
        FaultKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException"),
    }
}

/// Writes the error body; the type stands in a header.
pub(super) fn encode(fault: &Fault, out: &mut Vec<u8>) {
    json::object(out, |body| body.string("message", &fault.client_text));
}

/// Writes the exception that ends a stream: one of those that a stream may have.
pub(super) fn encode_message(fault: &Fault, out: &mut Vec<u8>) {
    let kind = match fault.kind {
        FaultKind::RateLimited | FaultKind::BudgetExhausted => "throttlingException",
        FaultKind::Overloaded | FaultKind::Draining => "serviceUnavailableException",
        FaultKind::Unreachable | FaultKind::Timeout | FaultKind::UpstreamFailed | FaultKind::UpstreamProtocol | FaultKind::Truncated => {
            "modelStreamErrorException"
        }
        FaultKind::Internal | FaultKind::Unauthenticated | FaultKind::Forbidden => "internalServerException",
        FaultKind::BadRequest
        | FaultKind::Unsupported
        | FaultKind::ContextTooLong
        | FaultKind::Blocked
        | FaultKind::TooLarge
        | FaultKind::NotFound
        | FaultKind::MethodNotAllowed
        | FaultKind::ModelNotFound => "validationException",
    };
    let headers = [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    eventstream::write(&headers, out, |out| encode(fault, out));
}

/// Reads an error answer of any shape: the API's, those of proxies before it, HTML, nothing.
pub(super) fn decode(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let raw = Raw::parse(body).ok().filter(|raw| raw.is_object());
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let kind = header.map(Cow::Borrowed).or_else(|| raw.and_then(kind_in));
    let message = raw.and_then(message_in).unwrap_or_else(|| broken::message(body));
    classify(status.as_u16(), bare(&kind.unwrap_or_default()), original(raw), message).status(status.as_u16())
}

/// Reads an exception, or an error that nobody modelled, in a stream.
pub(super) fn decode_frame(name: &str, data: &[u8]) -> Fault {
    let raw = Raw::parse(data).ok().filter(|raw| raw.is_object());
    let told = if name == eventstream::ERROR { raw.and_then(|raw| raw.member("code")).and_then(Raw::string) } else { Some(name.into()) };
    let message = raw.and_then(message_in).unwrap_or_else(|| broken::message(data));
    let kind = told.unwrap_or_default();
    let mut whole = bare(&kind).to_owned();
    if let Some(first) = whole.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    classify(status_of(&whole), &whole, original(raw), message)
}

/// The error that an answer of status 200 is, where it is one (`UnknownOperationException`: the host is not the right one).
pub(super) fn untyped(body: Raw<'_>) -> Option<Fault> {
    let inner = body.member("Output").filter(|output| output.is_object()).unwrap_or(body);
    let kind = kind_in(inner)?;
    let kind = bare(&kind);
    let message = message_in(inner).unwrap_or_else(|| format!("The provider answered {kind}."));
    Some(classify(status_of(kind), kind, None, message))
}

fn kind_in(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    ["__type", "code"].iter().find_map(|name| raw.member(name)).and_then(Raw::string)
}

fn message_in(raw: Raw<'_>) -> Option<String> {
    let message = ["message", "Message", "errorMessage"].iter().find_map(|name| raw.member(name)).and_then(Raw::string)?;
    (!message.trim().is_empty()).then(|| cut(&message).to_owned())
}

/// The status that a model's own failure had.
fn original(raw: Option<Raw<'_>>) -> Option<u64> {
    raw?.member("originalStatusCode")?.u64()
}

/// The type without the name space before it and the address behind it.
fn bare(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default().trim()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

/// The status that goes with a type.
fn status_of(kind: &str) -> u16 {
    match kind {
        "ValidationException" | "ServiceQuotaExceededException" => 400,
        "AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException" => 403,
        "ResourceNotFoundException" | "UnknownOperationException" => 404,
        "ModelTimeoutException" => 408,
        "ModelErrorException" | "ModelStreamErrorException" => 424,
        "ThrottlingException" | "ModelNotReadyException" => 429,
        "ServiceUnavailableException" | "ServiceUnavailable" => 503,
        _ => 500,
    }
}

/// By the type where it says more than the status, then by the status, then by the phrase; never by digits in a text,
/// which may echo a prompt.
fn classify(status: u16, kind: &str, original: Option<u64>, message: String) -> Fault {
    let upstream = |kind| (kind, Origin::Upstream);
    let (kind, origin) = match (kind, status) {
        ("ThrottlingException" | "TooManyRequestsException" | "ModelNotReadyException" | "ServiceQuotaExceededException", _) => {
            upstream(FaultKind::RateLimited)
        }
        (
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "InvalidClientTokenId"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException",
            _,
        ) => upstream(FaultKind::Unauthenticated),
        ("AccessDeniedException", _) => upstream(FaultKind::Forbidden),
        ("ResourceNotFoundException", _) => upstream(FaultKind::ModelNotFound),
        ("UnknownOperationException", _) => upstream(FaultKind::NotFound),
        ("ModelTimeoutException", _) => upstream(FaultKind::Timeout),
        ("ServiceUnavailableException" | "ServiceUnavailable", _) => upstream(FaultKind::Overloaded),
        ("ModelErrorException" | "ModelStreamErrorException", _) => upstream(match original {
            Some(429) => FaultKind::RateLimited,
            Some(503 | 529) => FaultKind::Overloaded,
            Some(408 | 504) => FaultKind::Timeout,
            _ => FaultKind::UpstreamFailed,
        }),
        // Another target may have a larger window, or know the model.
        (_, 400 | 413 | 422) if is_too_long(&message) => (FaultKind::ContextTooLong, Origin::Downstream),
        (_, 400) if is_no_model(&message) => upstream(FaultKind::ModelNotFound),
        (_, 413) => (FaultKind::TooLarge, Origin::Downstream),
        (_, 401) => upstream(FaultKind::Unauthenticated),
        (_, 402) => upstream(FaultKind::BudgetExhausted),
        (_, 403) => upstream(FaultKind::Forbidden),
        (_, 404) => upstream(FaultKind::ModelNotFound),
        (_, 408 | 504 | 524) => upstream(FaultKind::Timeout),
        (_, 429) => upstream(FaultKind::RateLimited),
        (_, 503 | 529) => upstream(FaultKind::Overloaded),
        (_, 405 | 409 | 424 | 425 | 500.. | ..400) => upstream(FaultKind::UpstreamFailed),
        _ => (FaultKind::BadRequest, Origin::Downstream),
    };
    Fault::new(kind, origin, message)
}

fn is_too_long(message: &str) -> bool {
    const PHRASES: [&str; 6] = [
        "Input is too long",
        "prompt is too long",
        "exceed context limit",
        "maximum context length",
        "Too many input tokens",
        "Input Tokens Exceeded",
    ];
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

fn is_no_model(message: &str) -> bool {
    const PHRASES: [&str; 2] = ["model identifier is invalid", "with on-demand throughput isn"];
    PHRASES.iter().any(|phrase| message.contains(phrase))
}
