//! The one error type: a closed code to branch on, who is at fault, and two texts. What follows from it for the next try is
//! `policy::blame`'s to say.
//!
//! A `Fault` is a silent value. It is logged once, when the exchange's account closes, and told to the
//! caller once, in the caller's own dialect. Shape after pingora's `Error` and dropshot's `HttpError`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What went wrong. Each kind has one metric label; statuses are a dialect's matter
/// (an overload is 503 to an OpenAI client and 529 to an Anthropic one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request is malformed: bad JSON, a wrong type, a broken HTTP framing.
    BadRequest,
    /// The request is larger than a bound.
    TooLarge,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// No credential, or one that is not known.
    Unauthenticated,
    /// The credential is known and may not do this.
    Forbidden,
    /// No model, alias or deployment of that name.
    ModelNotFound,
    /// The request is sound, but the target cannot express or do it.
    Unsupported,
    /// The prompt and the asked-for output do not fit the model's window.
    ContextTooLong,
    /// Refused for its content, by a guard or by the provider.
    Blocked,
    /// Too many requests or tokens; try later.
    RateLimited,
    /// Money or quota is used up; waiting a moment does not help.
    BudgetExhausted,
    /// This process, or the provider, has no room now.
    Overloaded,
    /// The upstream could not be reached.
    Unreachable,
    /// A deadline passed.
    Timeout,
    /// The upstream answered with a failure of its own.
    UpstreamFailed,
    /// The upstream's answer is not what its dialect promises.
    UpstreamProtocol,
    /// The upstream's answer ended before its end mark.
    Truncated,
    /// The process is shutting down and the drain time is over.
    Draining,
    /// A bug of ours.
    Internal,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::TooLarge,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ModelNotFound,
        Self::Unsupported,
        Self::ContextTooLong,
        Self::Blocked,
        Self::RateLimited,
        Self::BudgetExhausted,
        Self::Overloaded,
        Self::Unreachable,
        Self::Timeout,
        Self::UpstreamFailed,
        Self::UpstreamProtocol,
        Self::Truncated,
        Self::Draining,
        Self::Internal,
    ];

    /// Whether the same request to the same place may succeed a moment later: what an app is told.
    pub fn may_pass(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Overloaded
                | Self::Unreachable
                | Self::Timeout
                | Self::UpstreamFailed
                | Self::UpstreamProtocol
                | Self::Truncated
                | Self::Draining
        )
    }

    /// The `error_type` label and log field: bounded, snake_case.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ModelNotFound => "model_not_found",
            Self::Unsupported => "unsupported",
            Self::ContextTooLong => "context_too_long",
            Self::Blocked => "blocked",
            Self::RateLimited => "rate_limited",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::Truncated => "truncated",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

/// Who is at fault: decides what a breaker counts and what an operator looks at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller.
    Downstream,
    /// The provider, or the way to it.
    Upstream,
    /// Outrider itself, or its configuration.
    Gateway,
}

impl Origin {
    /// The log field's word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// One failure, as a value.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// Whose fault it is.
    pub origin: Origin,
    /// When the upstream, or a limit, said to come back.
    pub retry_after: Option<Duration>,
    /// The HTTP status that the provider used, where it answered at all.
    pub status: Option<u16>,
    /// The request member at fault (`messages[2].content`), for the dialects that name it.
    pub param: Option<Cow<'static, str>>,
    /// The vendor's own machine-readable code (`context_length_exceeded`), kept across dialects.
    pub code: Option<Cow<'static, str>>,
    /// What the caller may read: what is wrong, where, what was expected, what to do. No secrets, no inside addresses.
    pub client_text: Cow<'static, str>,
    /// The cause chain, for the operator's log only.
    pub operator_text: Option<String>,
}

impl Fault {
    /// A fault of this kind and origin that is not worth another try.
    pub fn new(kind: FaultKind, origin: Origin, client_text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            origin,
            retry_after: None,
            status: None,
            param: None,
            code: None,
            client_text: client_text.into(),
            operator_text: None,
        }
    }

    /// The caller's mistake: `kind` is mostly [`FaultKind::BadRequest`].
    pub fn caller(kind: FaultKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(kind, Origin::Downstream, text)
    }

    /// A malformed request.
    pub fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::caller(FaultKind::BadRequest, text)
    }

    /// A sound request that the target's dialect cannot carry; `param` names the member.
    pub fn unsupported(param: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self::caller(FaultKind::Unsupported, text).at(param)
    }

    /// The provider's failure.
    pub fn upstream(kind: FaultKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(kind, Origin::Upstream, text)
    }

    /// A bug of ours; the cause goes to the operator.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(FaultKind::Internal, Origin::Gateway, "Outrider failed to handle this request; its log has the cause.").cause(cause)
    }

    /// Names the request member at fault.
    pub fn at(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Keeps the vendor's machine-readable code.
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets when to come back.
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Keeps the status that the provider used.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds the operator's text.
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.operator_text = Some(cause.to_string());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.label(), self.client_text)?;
        match &self.operator_text {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
