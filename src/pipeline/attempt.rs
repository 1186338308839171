//! The only loop of the pipeline: from the targets of a model to the first good answer.
//!
//! Until the first content has come, nothing has reached the app, and another try may answer in its place; after that, never.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Pipeline;
use super::account::{Account, Prompt, Served};
use super::admission::{self, Subject};
use super::answer::Refusal;
use super::good::Good;
use super::ingress::Call;
use super::one_try::{Exchange, Tried, Try};
use super::race::{End, Entrant, race};
use super::routing::Routed;
use crate::base::clock::{self, Instant};
use crate::base::{Fault, FaultKind, Origin};
use crate::config::Moment;
use crate::policy::blame::{Blame, Verdict};
use crate::policy::health::Permit;
use crate::policy::hedge;
use crate::policy::tries::Tries;
use crate::quota::{Amount, Limits, Reservation};

/// Asks the targets in order until one answers.
///
/// # Errors
/// The last real refusal.
pub(super) async fn first_good(
    line: &Pipeline,
    call: &mut Call,
    routed: &Routed,
    payer: Payer<'_>,
    account: &mut Account,
) -> Result<Good, Refusal> {
    let timeout = &routed.route.model.timeout;
    let total = call.timeout.map_or(timeout.total, |asked| asked.min(timeout.total));
    let deadline = account.record.started + total;
    let output_max = account.funds.as_ref().map_or(0, |funds| funds.upper().estimate.output_tokens);
    let attempts = Attempts { line, call, routed, payer, output_max, deadline, exchange: Exchange::of(&account.record) };
    let answered = attempts.run(account).await;
    if answered.is_ok() {
        // Nobody will ask for these bytes again.
        call.body = Bytes::new();
        let _given_back = call.hold.set(0);
    }
    answered
}

/// Whose limits the tries count in.
#[derive(Clone, Copy)]
pub(super) struct Payer<'a> {
    /// The limits.
    pub limits: &'a Arc<Limits>,
    /// Who asks.
    pub subject: &'a Subject<'a>,
}

/// What all tries of one exchange share.
struct Attempts<'a> {
    line: &'a Pipeline,
    call: &'a Call,
    routed: &'a Routed,
    payer: Payer<'a>,
    /// The most tokens that an answer may have, by estimate.
    output_max: u64,
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
            let held = match self.hold(tries.index).await {
                Ok(held) => held,
                Err(refusal) => {
                    drop(permit);
                    tries.pass_over();
                    let Some(wait) = tries.again(&route.healths, clock::now()) else { return Err(refusal) };
                    tokio::time::sleep(wait).await;
                    last = Some(refusal);
                    continue;
                }
            };
            if tries.made() == 1 {
                account.intend(&route.targets[tries.index]);
            }
            // Told before it is asked: the app may leave at any moment.
            account.asks(&route.targets[tries.index], tries.made());
            let is_last = tries.made() >= route.model.retry.attempts || self.routed.order.len() == 1;
            let entrant = self.enter(tries.index, permit, held, is_last);
            account.sends(entrant.prompt.clone());
            let patience = self.patience(tries.index).filter(|_| !is_last && self.routed.repeatable());
            let (end, second) = race(&entrant.attempt, patience, || self.beside(&mut tries, account)).await;
            account.record.attempts = tries.made();
            account.answered();
            let mut refused_by = tries.index;
            let mut heard = |index, ended: Option<Result<Good, Refusal>>| match ended {
                Some(Ok(good)) => Some(good),
                Some(Err(refusal)) => {
                    tries.failed(index, &refusal.fault, clock::now());
                    last = Some(refusal);
                    refused_by = index;
                    None
                }
                None => None,
            };
            let good = heard(entrant.attempt.index, self.ended(entrant, end, account));
            let good_beside = second.and_then(|second| heard(second.0.attempt.index, self.ended(second.0, second.1, account)));
            if let Some(good) = good.or(good_beside) {
                return Ok(good);
            }
            account.asks(&route.targets[refused_by], tries.made());
            match (tries.again(&route.healths, clock::now()), last.take()) {
                (Some(_), Some(refusal)) if !account.covers_lost() => return Err(refusal),
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
    fn beside(&self, tries: &mut Tries, account: &mut Account) -> Option<Entrant<'a>> {
        let route = &self.routed.route;
        if !route.alias.hedges.spend() {
            return None;
        }
        let begun = tries.begin_beside(&route.healths, clock::now()).and_then(|permit| {
            let held = if account.affords(self.bound(tries.index)) { self.hold_now(tries.index) } else { None };
            if held.is_none() {
                tries.pass_over();
            }
            Some((permit, held?))
        });
        let Some((permit, held)) = begun else {
            route.alias.hedges.give_back();
            return None;
        };
        let entrant = self.enter(tries.index, permit, held, true);
        account.sends(entrant.prompt.clone());
        Some(entrant)
    }

    /// Reserves in the limits of a target's provider, where there are any.
    async fn hold(&self, index: usize) -> Result<Option<Box<Reservation>>, Refusal> {
        let Some(provider) = self.provider(index) else { return Ok(None) };
        let shared = &self.line.shared;
        let ask = self.payer.subject.ask(&self.routed.route.name, Some(provider));
        let reserved = admission::in_line(shared, self.payer.limits, &ask, self.bound(index), Some(self.deadline)).await?;
        let mut held = reserved.map_err(|exceeded| admission::reject(&exceeded, shared, self.call.endpoint.dialect))?;
        held.note(self.prompt(index).amount(clock::now()));
        Ok(Some(Box::new(held)))
    }

    /// The same without waiting in line, as nobody does for a hedge; `None` where there is no room.
    fn hold_now(&self, index: usize) -> Option<Option<Box<Reservation>>> {
        let Some(provider) = self.provider(index) else { return Some(None) };
        let ask = self.payer.subject.ask(&self.routed.route.name, Some(provider));
        let mut held = self.payer.limits.reserve(&ask, self.bound(index), self.line.shared.moment()).ok()?;
        held.note(self.prompt(index).amount(clock::now()));
        Some(Some(Box::new(held)))
    }

    /// The provider of a target, where limits count by it.
    fn provider(&self, index: usize) -> Option<&'a str> {
        self.payer.limits.count_tries().then(|| self.routed.route.model.targets[index].provider.name.as_str())
    }

    /// The most that a target's answer may come to.
    fn bound(&self, index: usize) -> Amount {
        admission::upper_at(self.call, self.routed, index, self.line.shared.env.wall.now()).amount()
    }

    fn prompt(&self, index: usize) -> Prompt {
        let (names, features) = (&self.routed.route.targets[index], &self.routed.features);
        let input_tokens = if self.routed.counted { names.state.calibration.typical(features) } else { features.input_tokens };
        let writes = (!self.call.stream).then(|| (clock::now(), self.output_max));
        Prompt { quote: Arc::clone(&names.quote), input_tokens, at: self.line.shared.env.wall.now(), writes }
    }

    /// A try is over without an answer. Where the provider `worked` on it, that is paid for.
    fn lost(&self, prompt: &Prompt, held: Option<Box<Reservation>>, worked: bool, account: &mut Account) {
        if worked {
            account.lose(prompt);
        }
        let spent = if worked { prompt.amount(clock::now()) } else { Amount::ZERO };
        for crossing in held.map(|held| held.settle(spent, self.line.shared.moment()).crossings).into_iter().flatten() {
            super::account::warn(&crossing, &self.line.shared);
        }
    }

    /// A try that begins now. The `last` one has all the time that is left.
    fn enter(&self, index: usize, permit: Permit, held: Option<Box<Reservation>>, last: bool) -> Entrant<'a> {
        let Self { line, call, routed, deadline, exchange, .. } = *self;
        let now = clock::now();
        let due = self.due(now, last);
        let watch = routed.route.chooser.watch(index, &routed.features, now);
        Entrant {
            attempt: Try { line, call, route: &routed.route, index, key: permit.key(), due, deadline, exchange },
            permit,
            watch,
            prompt: self.prompt(index),
            held,
        }
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

    /// Tells all who must know how a try ended. `None`: the other was first.
    fn ended(&self, entrant: Entrant<'a>, end: End, account: &mut Account) -> Option<Result<Good, Refusal>> {
        let Some(result) = end else {
            self.cancelled(entrant, account);
            return None;
        };
        match result {
            Ok(tried) => Some(Ok(self.answered(entrant, tried, account))),
            Err(refusal) => {
                self.refused(entrant, &refusal.fault, account);
                Some(Err(refusal))
            }
        }
    }

    fn answered(&self, entrant: Entrant<'a>, tried: Tried, account: &mut Account) -> Good {
        let now = clock::now();
        let Entrant { attempt, permit, mut watch, held, .. } = entrant;
        permit.succeeded(now);
        if let Some(funds) = &mut account.funds {
            funds.hold(held);
        }
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
        account.asks(names, account.record.attempts);
        tried.learnt.fill(&mut account.record);
        let (health, quote) = (Arc::clone(&names.state.health), Arc::clone(&names.quote));
        let learns = self.routed.counted.then(|| (Arc::clone(&names.state), Box::new(self.routed.features.clone())));
        account.served = Some(Served { judges: Some((health, watch)), quote, at: self.line.shared.env.wall.now(), learns });
        tried.good
    }

    fn refused(&self, entrant: Entrant<'a>, fault: &Fault, account: &mut Account) {
        let now = clock::now();
        let Entrant { attempt, permit, watch, prompt, held } = entrant;
        // Who took too long, or broke off, was at work, and will be paid.
        let worked = fault.origin == Origin::Upstream && matches!(fault.kind, FaultKind::Timeout | FaultKind::Truncated);
        self.lost(&prompt, held, worked, account);
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
        let Entrant { attempt, watch, prompt, held, .. } = entrant;
        watch.left(clock::now());
        let names = &self.routed.route.targets[attempt.index];
        self.lost(&prompt, held, true, account);
        self.line.shared.stores.sinks.meters.attempt(&names.meters, "hedge_lost");
    }
}
