//! Errors: OpenAI's envelope, and the many shapes of the hosts that speak its dialect.

use http::StatusCode;

use super::read::{told, words};
use crate::base::json::{Object, Raw, object, unescape};
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::wait;

/// How much of a vendor's text is kept, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// How much of a vendor's machine-readable word is kept, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// The status that OpenAI's SDKs expect.
pub(in crate::dialect) fn status(fault: &Fault) -> StatusCode {
    use FaultKind as K;
    match fault.kind {
        K::BadRequest | K::Unsupported | K::ContextTooLong | K::Blocked => StatusCode::BAD_REQUEST,
        K::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        K::NotFound | K::ModelNotFound => StatusCode::NOT_FOUND,
        K::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        K::Unauthenticated => StatusCode::UNAUTHORIZED,
        K::Forbidden => StatusCode::FORBIDDEN,
        K::RateLimited | K::BudgetExhausted => StatusCode::TOO_MANY_REQUESTS,
        K::Overloaded | K::Draining => StatusCode::SERVICE_UNAVAILABLE,
        K::Unreachable | K::UpstreamFailed | K::UpstreamProtocol | K::Truncated => StatusCode::BAD_GATEWAY,
        K::Timeout => StatusCode::GATEWAY_TIMEOUT,
        K::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Writes the envelope.
pub(in crate::dialect) fn encode(fault: &Fault, out: &mut Vec<u8>) {
    object(out, |o| o.object("error", |o| put(fault, o)));
}

/// Writes the members of an error. All four are always there: the SDKs' types say so.
pub(in crate::dialect) fn put(fault: &Fault, o: &mut Object<'_>) {
    let (kind, code) = words_of(fault.kind);
    o.string("message", &fault.client_text);
    o.string("type", kind);
    match &fault.param {
        Some(param) => o.string("param", param),
        None => o.null("param"),
    }
    match fault.code.as_deref().or(code) {
        Some(code) => o.string("code", code),
        None => o.null("code"),
    }
}

/// The machine-readable word for a fault, where one must be told.
pub(in crate::dialect) fn code(fault: &Fault) -> &str {
    fault.code.as_deref().or(words_of(fault.kind).1).unwrap_or("invalid_prompt")
}

/// The `type` and the usual `code` of a kind.
fn words_of(kind: FaultKind) -> (&'static str, Option<&'static str>) {
    use FaultKind as K;
    match kind {
        K::BadRequest => ("invalid_request_error", None),
        K::TooLarge => ("invalid_request_error", Some("request_too_large")),
        K::NotFound => ("invalid_request_error", Some("unknown_url")),
        K::MethodNotAllowed => ("invalid_request_error", Some("method_not_supported")),
        K::Unauthenticated => ("authentication_error", Some("invalid_api_key")),
        K::Forbidden => ("permission_error", None),
        K::ModelNotFound => ("invalid_request_error", Some("model_not_found")),
        K::Unsupported => ("invalid_request_error", Some("unsupported_parameter")),
        K::ContextTooLong => ("invalid_request_error", Some("context_length_exceeded")),
        K::Blocked => ("invalid_request_error", Some("content_policy_violation")),
        K::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        K::BudgetExhausted => ("insufficient_quota", Some("insufficient_quota")),
        K::Overloaded | K::Draining => ("server_error", Some("overloaded")),
        K::Unreachable | K::UpstreamFailed | K::UpstreamProtocol | K::Truncated => ("server_error", Some("upstream_error")),
        K::Timeout => ("timeout", Some("timeout")),
        K::Internal => ("server_error", Some("internal_error")),
    }
}

/// Reads an error answer of any shape.
pub(in crate::dialect) fn decode(status: StatusCode, body: &[u8]) -> Fault {
    let told = match Raw::parse(body) {
        Ok(raw) => Told::of(raw),
        Err(_) => Told { message: clean(&String::from_utf8_lossy(cut(body))), ..Told::default() },
    };
    told.fault(status).status(status.as_u16())
}

/// The error inside a body or a chunk of status 200, where there is one. `error: null` and its like are none.
pub(in crate::dialect) fn inside(root: Raw<'_>) -> Option<Fault> {
    let error = root.member("error");
    let truthy = error.is_some_and(|e| e.members().next().is_some() || words(Some(e)).is_some() || e.bool() == Some(true));
    let flat = || root.member("object").and_then(Raw::inner) == Some("error") && root.member("choices").is_none();
    (truthy || flat()).then(|| whole(root))
}

/// An error that came without a status of its own.
pub(in crate::dialect) fn whole(root: Raw<'_>) -> Fault {
    let told = Told::of(root);
    let status = told.status();
    told.fault(status)
}

/// What an error body tells, whatever its shape.
#[derive(Default)]
struct Told {
    message: String,
    kind: String,
    code: String,
    param: String,
    /// Whether OpenRouter's moderation took offence at the prompt.
    flagged: bool,
    /// What a host in between says of the one behind it.
    behind: String,
}

impl Told {
    fn of(raw: Raw<'_>) -> Self {
        // Google's endpoints wrap the error of a stream in an array.
        let raw = if raw.is_array() { raw.elements().next().unwrap_or(raw) } else { raw };
        let error = told(raw, "error").unwrap_or(raw);
        if let Some(message) = words(Some(error)) {
            return Self { message: clean(&message.read()), code: word(told(raw, "code")), ..Self::default() };
        }
        let message = ["message", "msg", "detail", "error_description", "errors"].iter().find_map(|name| told(error, name));
        let metadata = told(error, "metadata");
        Self {
            message: message.map(plain).unwrap_or_default(),
            kind: word(told(error, "type")),
            code: word(told(error, "code")),
            param: word(told(error, "param")),
            flagged: metadata.is_some_and(|m| told(m, "flagged_input").is_some()),
            behind: metadata.and_then(|m| told(m, "raw")).map(plain).unwrap_or_default(),
        }
    }

    /// The status that an error without one most likely had.
    fn status(&self) -> StatusCode {
        if let Some(status) = self.code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok())
            && (400..600).contains(&status.as_u16())
        {
            return status;
        }
        let either = |part: &str| self.kind.contains(part) || self.code.contains(part);
        if either("rate_limit") || either("insufficient_quota") {
            return StatusCode::TOO_MANY_REQUESTS;
        }
        if either("overloaded") {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if either("authentication") || either("invalid_api_key") {
            return StatusCode::UNAUTHORIZED;
        }
        if either("invalid_request") || either("context_length") || either("content_filter") || either("content_policy") {
            return StatusCode::BAD_REQUEST;
        }
        StatusCode::BAD_GATEWAY
    }

    fn fault(self, status: StatusCode) -> Fault {
        let (kind, origin) = self.classify(status.as_u16());
        // The only place where some hosts say it.
        let after = matches!(kind, FaultKind::RateLimited | FaultKind::Overloaded).then(|| wait::in_text(&self.message)).flatten();
        let text = match self.message.is_empty() {
            true => format!("The provider answered {status} and did not say why."),
            false => self.message,
        };
        let mut fault = Fault::new(kind, origin, text).after(after);
        // A code that only repeats a status says nothing.
        if !self.code.is_empty() && !self.code.parse().is_ok_and(|code: u16| (100..600).contains(&code)) {
            fault = fault.code(self.code);
        }
        if !self.param.is_empty() {
            fault = fault.at(self.param);
        }
        if !self.behind.is_empty() {
            fault = fault.cause(self.behind);
        }
        fault
    }

    /// Status first, then the structured code, then a phrase, and phrases only where the status leaves room: an echoed
    /// prompt may hold any words.
    fn classify(&self, status: u16) -> (FaultKind, Origin) {
        use FaultKind as K;
        let upstream = |kind| (kind, Origin::Upstream);
        let caller = |kind| (kind, Origin::Downstream);
        let is = |word: &str| self.code == word || self.kind == word;
        match status {
            401 => upstream(K::Unauthenticated),
            402 => upstream(K::BudgetExhausted),
            403 if self.flagged || is("content_policy_violation") || is("content_filter") => caller(K::Blocked),
            403 => upstream(K::Forbidden),
            404 => upstream(K::ModelNotFound),
            408 | 504 | 524 => upstream(K::Timeout),
            429 if is("insufficient_quota") || is("billing_hard_limit_reached") => upstream(K::BudgetExhausted),
            // One request alone is over the tokens of a minute: it fits at no time, and says nothing of the key. Under 429 the status
            // is what clients go by.
            413 if is("rate_limit_exceeded") && self.says(&["request too large for"]) => caller(K::TooLarge),
            429 => upstream(K::RateLimited),
            413 if is("rate_limit_exceeded") => upstream(K::RateLimited),
            400 | 413 | 422 if is("context_length_exceeded") || self.says(&CONTEXT_PHRASES) => caller(K::ContextTooLong),
            413 => caller(K::TooLarge),
            400 | 422 if is("content_filter") || is("content_policy_violation") || self.says(&POLICY_PHRASES) => caller(K::Blocked),
            400 if is("model_not_found") || is("DeploymentNotFound") => upstream(K::ModelNotFound),
            400 if is("insufficient_quota") => upstream(K::BudgetExhausted),
            400 if is("invalid_api_key") || is("API_KEY_INVALID") => upstream(K::Unauthenticated),
            405 | 409 | 424 | 425 => upstream(K::UpstreamFailed),
            498 | 503 | 529 => upstream(K::Overloaded),
            400..=499 => caller(K::BadRequest),
            500..=599 => upstream(K::UpstreamFailed),
            _ => upstream(K::UpstreamProtocol),
        }
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let text = self.message.to_ascii_lowercase();
        phrases.iter().any(|phrase| text.contains(phrase))
    }
}

const CONTEXT_PHRASES: [&str; 6] = [
    "maximum context length",
    "context length exceeded",
    "exceeds the available context size",
    "exceeds the context window",
    "prompt is too long",
    "exceeds the maximum number of tokens",
];

const POLICY_PHRASES: [&str; 2] = ["content management policy", "rejected as a result of our safety system"];

/// A short machine-readable value: a string or a number.
fn word(raw: Option<Raw<'_>>) -> String {
    let Some(raw) = raw else { return String::new() };
    let text = raw.string().or_else(|| raw.number().map(Into::into)).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(WORD_BYTES_MAX).collect()
}

/// A message: a string as it reads, anything else as it is written.
fn plain(raw: Raw<'_>) -> String {
    match raw.inner() {
        Some(inner) => clean(&unescape(inner)),
        None => clean(raw.get()),
    }
}

fn cut(body: &[u8]) -> &[u8] {
    &body[..body.len().min(TEXT_BYTES_MAX)]
}

/// The first part of a text, without control characters: it goes into logs and answers.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for c in text.trim().chars() {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
