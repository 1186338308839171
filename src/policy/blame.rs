//! The one place that judges a failure: whose fault it is, and where the same request is worth another try.

use crate::base::{Fault, FaultKind, Origin};

/// What a failure means for whom was asked, and for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose fault it is.
    pub blame: Blame,
    /// Where the same request may fare better.
    pub again: Again,
    /// Whether the provider may have begun to act on the request: one that is not safe to repeat ends here.
    pub acted: bool,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request's, this process's, or nobody's: it says nothing against whom was asked.
    Nobody,
    /// The key's: with another one the same target may answer.
    Key(Trouble),
    /// The target's.
    Target,
    /// The whole site's, or the way's to it: each target there is as badly off.
    Site,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has used up its share of the moment (429).
    Limited,
    /// It may not do this (403).
    Forbidden,
    /// It is not accepted (401).
    Refused,
    /// Its money or quota is used up (402, 429 `insufficient_quota`).
    Spent,
}

impl Trouble {
    /// Its word, for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limited => "rate limited",
            Self::Forbidden => "forbidden",
            Self::Refused => "not accepted",
            Self::Spent => "quota used up",
        }
    }
}

/// Where the same request may fare better; each step holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// Nowhere.
    Nowhere,
    /// At another target.
    OtherTarget,
    /// With another key of the same target.
    OtherKey,
    /// With the same key, a moment later.
    SameKey,
}

impl Verdict {
    /// Judges a failure.
    pub fn of(fault: &Fault) -> Self {
        let (blame, again) = judge(fault);
        Self { blame, again, acted: may_have_acted(fault) }
    }
}

fn judge(fault: &Fault) -> (Blame, Again) {
    use FaultKind as K;
    let upstream = fault.origin == Origin::Upstream;
    match fault.kind {
        // Another target may express it, have the room, or know the name.
        K::Unsupported | K::ContextTooLong | K::NotFound | K::ModelNotFound | K::MethodNotAllowed => (Blame::Nobody, Again::OtherTarget),
        // A provider's bound is its own; ours holds for all.
        K::TooLarge if fault.status.is_some() => (Blame::Nobody, Again::OtherTarget),
        K::Unauthenticated if upstream => (Blame::Key(Trouble::Refused), Again::OtherKey),
        K::Forbidden if upstream => (Blame::Key(Trouble::Forbidden), Again::OtherKey),
        K::BudgetExhausted if upstream => (Blame::Key(Trouble::Spent), Again::OtherKey),
        K::RateLimited if upstream => (Blame::Key(Trouble::Limited), Again::SameKey),
        K::Unreachable if upstream => (Blame::Site, Again::SameKey),
        // A conflict and "too early" are about this request's moment.
        K::UpstreamFailed if upstream && matches!(fault.status, Some(409 | 425)) => (Blame::Nobody, Again::SameKey),
        K::UpstreamFailed if upstream && fault.status == Some(405) => (Blame::Nobody, Again::OtherTarget),
        K::Overloaded | K::Timeout | K::UpstreamFailed | K::UpstreamProtocol | K::Truncated if upstream => (Blame::Target, Again::SameKey),
        // What is wrong is the request, what it asks for, or this process: it is so everywhere.
        K::BadRequest
        | K::TooLarge
        | K::Unauthenticated
        | K::Forbidden
        | K::Blocked
        | K::RateLimited
        | K::BudgetExhausted
        | K::Overloaded
        | K::Unreachable
        | K::Timeout
        | K::UpstreamFailed
        | K::UpstreamProtocol
        | K::Truncated
        | K::Draining
        | K::Internal => (Blame::Nobody, Again::Nowhere),
    }
}

/// Whether the provider may have begun, rather than refused to.
fn may_have_acted(fault: &Fault) -> bool {
    use FaultKind as K;
    fault.origin == Origin::Upstream
        && matches!(fault.kind, K::Overloaded | K::Timeout | K::UpstreamFailed | K::UpstreamProtocol | K::Truncated)
}

#[cfg(test)]
mod tests;
