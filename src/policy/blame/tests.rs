#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;

const NOBODY: Blame = Blame::Nobody;
const TARGET: Blame = Blame::Target;

fn key(trouble: Trouble) -> Blame {
    Blame::Key(trouble)
}

/// Each row of the table: what happened, the kind, who is at fault, the status; whose fault it is then, where to try again, whether
/// the provider may have acted.
#[test]
fn every_failure_has_its_verdict() {
    use Again as A;
    use FaultKind as K;
    use Origin::{Downstream as D, Gateway as G, Upstream as U};
    type Row = (&'static str, K, Origin, Option<u16>, Blame, Again, bool);
    let rows: &[Row] = &[
        ("connection refused, no connection in time", K::Unreachable, U, None, Blame::Site, A::SameKey, false),
        ("no address", K::Unreachable, U, None, Blame::Site, A::SameKey, false),
        ("TLS", K::Unreachable, U, None, Blame::Site, A::SameKey, false),
        ("reset before the request was written", K::Unreachable, U, None, Blame::Site, A::SameKey, false),
        ("reset after it was", K::UpstreamFailed, U, None, TARGET, A::SameKey, true),
        ("not HTTP", K::UpstreamProtocol, U, None, TARGET, A::SameKey, true),
        ("400", K::BadRequest, D, Some(400), NOBODY, A::Nowhere, false),
        ("401", K::Unauthenticated, U, Some(401), key(Trouble::Refused), A::OtherKey, false),
        ("402", K::BudgetExhausted, U, Some(402), key(Trouble::Spent), A::OtherKey, false),
        ("429 insufficient_quota", K::BudgetExhausted, U, Some(429), key(Trouble::Spent), A::OtherKey, false),
        ("403", K::Forbidden, U, Some(403), key(Trouble::Forbidden), A::OtherKey, false),
        ("404, model", K::ModelNotFound, U, Some(404), NOBODY, A::OtherTarget, false),
        ("404", K::NotFound, U, Some(404), NOBODY, A::OtherTarget, false),
        ("405", K::UpstreamFailed, U, Some(405), NOBODY, A::OtherTarget, true),
        ("408", K::Timeout, U, Some(408), TARGET, A::SameKey, true),
        ("409", K::UpstreamFailed, U, Some(409), NOBODY, A::SameKey, true),
        ("413, the provider's bound", K::TooLarge, D, Some(413), NOBODY, A::OtherTarget, false),
        ("413, ours", K::TooLarge, D, None, NOBODY, A::Nowhere, false),
        ("422", K::BadRequest, D, Some(422), NOBODY, A::Nowhere, false),
        ("424, a model's own failure", K::UpstreamFailed, U, Some(424), TARGET, A::SameKey, true),
        ("425", K::UpstreamFailed, U, Some(425), NOBODY, A::SameKey, true),
        ("429", K::RateLimited, U, Some(429), key(Trouble::Limited), A::SameKey, false),
        ("500", K::UpstreamFailed, U, Some(500), TARGET, A::SameKey, true),
        ("503", K::Overloaded, U, Some(503), TARGET, A::SameKey, true),
        ("504", K::Timeout, U, Some(504), TARGET, A::SameKey, true),
        ("529", K::Overloaded, U, Some(529), TARGET, A::SameKey, true),
        ("content refused", K::Blocked, D, Some(400), NOBODY, A::Nowhere, false),
        ("context too long", K::ContextTooLong, D, Some(400), NOBODY, A::OtherTarget, false),
        ("a malformed answer", K::UpstreamProtocol, U, None, TARGET, A::SameKey, true),
        ("no first token in time", K::Timeout, U, None, TARGET, A::SameKey, true),
        ("the caller's own time is over", K::Timeout, D, None, NOBODY, A::Nowhere, false),
        ("an overload told in the stream", K::Overloaded, U, None, TARGET, A::SameKey, true),
        ("a limit told in the stream", K::RateLimited, U, None, key(Trouble::Limited), A::SameKey, false),
        ("broken off", K::Truncated, U, None, TARGET, A::SameKey, true),
        ("the dialect cannot say it", K::Unsupported, D, None, NOBODY, A::OtherTarget, false),
        ("the target has no such operation", K::Unsupported, G, None, NOBODY, A::OtherTarget, false),
        ("no key known, here", K::Unauthenticated, D, None, NOBODY, A::Nowhere, false),
        ("a limit of ours", K::RateLimited, G, None, NOBODY, A::Nowhere, false),
        ("a budget of ours", K::BudgetExhausted, G, None, NOBODY, A::Nowhere, false),
        ("no room here", K::Overloaded, G, None, NOBODY, A::Nowhere, false),
        ("shutting down", K::Draining, G, None, NOBODY, A::Nowhere, false),
        ("a bug of ours", K::Internal, G, None, NOBODY, A::Nowhere, false),
    ];
    for (what, kind, origin, status, blame, again, acted) in rows {
        let mut fault = Fault::new(*kind, *origin, "");
        fault.status = *status;
        assert_eq!(Verdict::of(&fault), Verdict { blame: *blame, again: *again, acted: *acted }, "{what}");
    }
}

/// Whoever adds a kind thinks of this: a fault of the caller's or of this process' own says nothing against a target.
#[test]
fn only_what_comes_from_upstream_is_held_against_it() {
    for kind in FaultKind::ALL {
        for origin in [Origin::Downstream, Origin::Gateway] {
            for status in [None, Some(400), Some(403), Some(429), Some(500)] {
                let mut fault = Fault::new(kind, origin, "");
                fault.status = status;
                let verdict = Verdict::of(&fault);
                assert_eq!((verdict.blame, verdict.acted), (Blame::Nobody, false), "{kind:?} {origin:?}");
            }
        }
    }
}
