//! The only loop of the pipeline: from the targets of a model to the first good answer.
//!
//! Until the first content has come, nothing has reached the app, and another try may answer in its place; after that, never.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Pipeline;
use super::account::{Account, Served};
use super::answer::Refusal;
use super::good::Good;
use super::ingress::Call;
use super::one_try::{Exchange, Tried, Try};
use super::race::{Entrant, Finish, race};
use super::routing::Routed;
use crate::base::clock::{self, Instant};
use crate::base::{Fault, FaultKind};
use crate::config::Moment;
use crate::policy::blame::{Blame, Verdict};
use crate::policy::health::Permit;
use crate::policy::hedge;
use crate::policy::tries::Tries;

/// Asks the targets in order until one answers.
///
/// # Errors
/// The last real refusal.
pub(super) async fn first_good(line: &Pipeline, call: &mut Call, routed: &Routed, account: &mut Account) -> Result<Good, Refusal> {
    let timeout = &routed.route.model.timeout;
    let total = call.timeout.map_or(timeout.total, |asked| asked.min(timeout.total));
    let deadline = account.record.started + total;
    let attempts = Attempts { line, call, routed, deadline, exchange: Exchange::of(&account.record) };
    let answered = attempts.run(account).await;
    if answered.is_ok() {
        // Nobody will ask for these bytes again.
        call.body = Bytes::new();
        let _given_back = call.hold.set(0);
    }
    answered
}

/// What all tries of one exchange share.
struct Attempts<'a> {
    line: &'a Pipeline,
    call: &'a Call,
    routed: &'a Routed,
    /// When all must be over.
    deadline: Instant,
    exchange: Exchange,
}

impl<'a> Attempts<'a> {
    async fn run(&self, account: &mut Account) -> Result<Good, Refusal> {
        let route = &*self.routed.route;
        let order = self.routed.order.iter().copied();
        let rng = self.line.shared.env.rng.fork();
        let budget = Arc::clone(&route.alias.retries);
        let mut tries = Tries::new(order, route.model.retry, true, self.deadline, rng, budget);
        if let Some(hedge) = &route.model.hedge {
            route.alias.hedges.earn(hedge);
        }
        let mut last: Option<Refusal> = None;
        loop {
            let Some(permit) = tries.begin(&route.healths, clock::now()) else {
                return Err(last.unwrap_or_else(|| Fault::internal("nobody was asked").into()));
            };
            let names = &route.targets[tries.index];
            account.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
            account.target = Some(names.header.clone());
            // Told before it is asked: the app may leave at any moment.
            account.record.attempts = tries.made();
            let is_last = tries.made() >= route.model.retry.attempts || self.routed.order.len() == 1;
            let entrant = self.enter(tries.index, permit, is_last);
            let patience = self.patience(tries.index).filter(|_| !is_last && self.routed.repeatable());
            let (first, second) = race(entrant, patience, || self.beside(&mut tries)).await;
            account.record.attempts = tries.made();
            let mut good = None;
            for Finish { entrant, result } in [Some(first), second].into_iter().flatten() {
                match result {
                    Some(Ok(tried)) => good = Some(self.answered(entrant, tried, account)),
                    Some(Err(refusal)) => {
                        let index = entrant.attempt.index;
                        self.refused(entrant, &refusal.fault);
                        tries.failed(index, &refusal.fault, clock::now());
                        last = Some(refusal);
                    }
                    None => self.cancelled(entrant, account),
                }
            }
            if let Some(good) = good {
                return Ok(good);
            }
            match (tries.again(&route.healths, clock::now()), last.take()) {
                (Some(wait), refusal) => {
                    last = refusal;
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                }
                (None, Some(refusal)) => return Err(refusal),
                (None, None) => return Err(Fault::internal("a race without an end").into()),
            }
        }
    }

    /// The next target in order, where the alias' budget has a hedge for it.
    fn beside(&self, tries: &mut Tries) -> Option<Entrant<'a>> {
        let route = &self.routed.route;
        if !route.alias.hedges.spend() {
            return None;
        }
        let permit = tries.begin_beside(&route.healths, clock::now());
        if permit.is_none() {
            route.alias.hedges.give_back();
        }
        Some(self.enter(tries.index, permit?, true))
    }

    /// A try that begins now. The `last` one has all the time that is left.
    fn enter(&self, index: usize, permit: Permit, last: bool) -> Entrant<'a> {
        let Self { line, call, routed, deadline, exchange } = *self;
        let now = clock::now();
        let due = self.due(now, last);
        let watch = routed.route.chooser.watch(index, &routed.features, now);
        Entrant { attempt: Try { line, call, route: &routed.route, index, key: permit.key(), due, deadline, exchange }, permit, watch }
    }

    /// When a try must have shown content. Only a stream tells its first token. A whole answer may rightly take long, but while
    /// others may still answer, a silent target gets half of the time that is left.
    fn due(&self, now: Instant, last: bool) -> Instant {
        let first_token = self.routed.route.model.timeout.first_token;
        let patience = match (self.call.stream, last) {
            (true, _) => first_token,
            (false, false) => first_token.max(self.deadline.saturating_duration_since(now) / 2),
            (false, true) => return self.deadline,
        };
        self.deadline.min(now + patience)
    }

    /// After which time a second target is asked beside this one.
    fn patience(&self, index: usize) -> Option<Duration> {
        let route = &self.routed.route;
        let hedge = route.model.hedge.as_ref()?;
        let moment = if self.call.stream { Moment::FirstToken } else { Moment::Whole };
        hedge::delay(&route.targets[index].state.latency, hedge, self.routed.features.class(), moment, clock::now())
    }

    fn answered(&self, entrant: Entrant<'a>, tried: Tried, account: &mut Account) -> Good {
        let now = clock::now();
        let Entrant { attempt, permit, mut watch } = entrant;
        permit.succeeded(now);
        if self.call.stream {
            watch.first_token(now);
        }
        let names = &self.routed.route.targets[attempt.index];
        let meters = &self.line.shared.stores.sinks.meters;
        names.meters.attempt_succeeded(meters, self.call.endpoint.operation);
        let losses = &tried.good.losses;
        if !losses.is_empty() {
            let (from, to) = (self.call.endpoint.dialect, attempt.target().dialect(self.call.endpoint.dialect));
            meters.losses(from.label(), to.label(), losses.names().len());
        }
        account.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
        account.target = Some(names.header.clone());
        tried.learnt.fill(&mut account.record);
        account.served = Some(Served { health: Arc::clone(&names.state.health), watch });
        tried.good
    }

    fn refused(&self, entrant: Entrant<'a>, fault: &Fault) {
        let now = clock::now();
        let Entrant { attempt, permit, watch } = entrant;
        let names = &self.routed.route.targets[attempt.index];
        self.line.shared.stores.sinks.meters.attempt(&names.meters, fault.kind.label());
        if fault.kind == FaultKind::Timeout && self.call.timeout.is_some() && now >= self.deadline {
            // The caller's own patience says nothing of the target: the permit is given back.
            return watch.left(now);
        }
        if matches!(Verdict::of(fault).blame, Blame::Target | Blame::Site) {
            watch.failed(now);
        }
        permit.failed(fault, now);
    }

    /// The other was first. The prompt of this one is paid for all the same.
    fn cancelled(&self, entrant: Entrant<'a>, account: &mut Account) {
        let Entrant { attempt, watch, .. } = entrant;
        watch.left(clock::now());
        account.record.hedge_lost_tokens += self.routed.features.input_tokens;
        let names = &self.routed.route.targets[attempt.index];
        self.line.shared.stores.sinks.meters.attempt(&names.meters, "hedge_lost");
    }
}
