//! Whether what is asked for fits what whoever asks may have: reserved in every limit that applies, before anything is sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::account::{Account, warn};
use super::answer::Refusal;
use super::attempt::Payer;
use super::funds::{Funds, Upper, Who};
use super::ingress::Call;
use super::routing::{Asker, Routed, routed};
use super::snapshot::Snapshot;
use super::{Pipeline, Shared, ratelimit};
use crate::base::clock::{self, Instant};
use crate::base::{Fault, FaultKind, Origin};
use crate::dialect::asked;
use crate::ir::{Dialect, Operation};
use crate::journal::{Counters, Dims, Estimate, Spent, UserHash};
use crate::policy::caller::Tag;
use crate::policy::{charge, estimate};
use crate::quota::{Amount, Ask, Exceeded, Label, Limits, Moment, Reservation};

/// So often at most an exchange is sent on to another alias by limits that degrade.
const DEGRADED_MAX: usize = 4;

/// Who asks, as limits tell them apart.
pub(super) struct Subject<'a> {
    team: Label<'a>,
    app: Label<'a>,
    user: Label<'a>,
    key: Label<'a>,
    tags: Vec<Label<'a>>,
    operation: Operation,
    user_hash: Option<UserHash>,
    asker: &'a Asker<'a>,
}

impl<'a> Subject<'a> {
    /// Of an asker; its user under the hash that outlives the process, where anything is accounted under it.
    pub(super) fn of(shared: &Shared, limits: &Limits, asker: &'a Asker<'a>, operation: Operation) -> Self {
        let caller = &asker.caller;
        let journal = &shared.stores.journal;
        let needed = !limits.is_empty() || journal.is_kept();
        let user_hash = caller.user.as_deref().filter(|_| needed).map(|name| journal.user(name));
        // Where nothing is limited, nobody asks who it is.
        let label = |text: Option<&'a str>| text.filter(|_| !limits.is_empty()).map_or(Label::NONE, Label::new);
        let user = match (caller.user.as_deref(), user_hash) {
            (Some(name), Some(hash)) => Label::with_digest(name, hash.digest()),
            (name, _) => label(name),
        };
        Self {
            team: label(caller.team.as_deref()),
            app: label(caller.app.as_deref()),
            user,
            key: label(caller.key.as_deref()),
            tags: caller.tags.iter().map(|tag| Label::new(tag.as_str())).collect(),
            operation,
            user_hash,
            asker,
        }
    }

    /// Who asks, as rules see it.
    pub(super) fn asker(&self) -> &'a Asker<'a> {
        self.asker
    }

    /// The same, as accounts keep it.
    fn who(&self) -> Who {
        let tags = match self.asker.caller.tags.as_slice() {
            [] => Box::default(),
            [tag] => tag.as_str().into(),
            tags => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(",").into(),
        };
        Who { key: self.asker.key.map(|caller| Arc::clone(&caller.key)), user: self.user_hash, tags }
    }

    /// What it asks of the limits: before a target is chosen, or at a try with this provider.
    pub(super) fn ask<'s>(&'s self, model: &'s str, provider: Option<&'s str>) -> Ask<'s> {
        let Self { team, app, user, key, operation, ref tags, .. } = *self;
        Ask { team, app, user, key, model: Label::new(model), provider: provider.map(Label::new), tags, operation }
    }
}

/// Admits a call: finds where it goes, and reserves the most that it may come to. Where a limit says so it waits in line, or
/// goes to another alias.
///
/// # Errors
/// It is refused by a rule, a key, a limit or a journal that cannot be written, or there is no such model.
pub(super) async fn admit(
    line: &Pipeline,
    snapshot: &Snapshot,
    call: &Call,
    subject: &Subject<'_>,
    account: &mut Account,
) -> Result<Routed, Refusal> {
    let asker = subject.asker;
    let shared = &line.shared;
    if call.endpoint.operation != Operation::CountTokens {
        check_journal(shared)?;
    }
    let deadline = call.timeout.map(|timeout| account.record.started + timeout);
    let mut routed = routed(line, snapshot, call, asker, None)?;
    let mut degraded = 0;
    loop {
        let ask = subject.ask(&routed.route.name, None);
        routed.assumed_output = snapshot.limits.assumed_output_tokens(&ask);
        let upper = upper(call, &routed, shared.env.wall.now());
        let begun = clock::now();
        let reserved = in_line(shared, &snapshot.limits, &ask, upper.amount(), deadline).await?;
        // Not our own share of the time.
        account.record.receiving += clock::now().duration_since(begun);
        let exceeded = match reserved {
            Ok(whole) => {
                grant(shared, account, subject.who(), Arc::clone(&routed.route.name), whole, upper);
                return Ok(routed);
            }
            Err(exceeded) => exceeded,
        };
        let Some(to) = goes_to(&exceeded, &routed, degraded) else { return Err(reject(&exceeded, shared, call.endpoint.dialect)) };
        shared.stores.sinks.meters.limit_decision(&exceeded.limit.name, "degrade");
        account.record.degraded_by = Some(exceeded.limit.name.as_str().into());
        degraded += 1;
        routed = self::routed(line, snapshot, call, asker, Some(to))?;
    }
}

/// The alias to which a call goes that a limit does not let in, if any. Limits that send to each other end here.
pub(super) fn goes_to<'e>(exceeded: &'e Exceeded, routed: &Routed, degraded: usize) -> Option<&'e str> {
    exceeded.degrade_to().filter(|to| degraded < DEGRADED_MAX && *to != &*routed.route.name)
}

/// Refuses what could not be written down, where the policy wants that.
///
/// # Errors
/// The journal cannot be written now, and `on_full = "deny"`.
pub(super) fn check_journal(shared: &Shared) -> Result<(), Fault> {
    const AGAIN: Duration = Duration::from_secs(2);
    if shared.stores.journal.admits() {
        return Ok(());
    }
    let text = "Outrider cannot write its usage journal, and serves nothing without it (`[state] on_full = \"deny\"`); try again.";
    Err(Fault::new(FaultKind::Overloaded, Origin::Gateway, text).after(Some(AGAIN)))
}

/// Reserves, and waits in line for it until `deadline` at most.
///
/// # Errors
/// The time was over before there was room.
pub(super) async fn in_line(
    shared: &Shared,
    limits: &Arc<Limits>,
    ask: &Ask<'_>,
    bound: Amount,
    deadline: Option<Instant>,
) -> Result<Result<Reservation, Box<Exceeded>>, Fault> {
    let admitted = limits.admit(ask, bound, &*shared.env.wall);
    let Some(deadline) = deadline else { return Ok(admitted.await) };
    let late = |_| Fault::new(FaultKind::Timeout, Origin::Gateway, "The time of this request was over before a limit had room.");
    tokio::time::timeout_at(deadline, admitted).await.map_err(late)
}

/// From here on the account holds what is reserved.
fn grant(shared: &Shared, account: &mut Account, who: Who, model: Arc<str>, mut whole: Reservation, upper: Upper) {
    whole.take_crossings().iter().for_each(|crossing| warn(crossing, shared));
    account.funds = Some(Funds::new(who, model, whole, upper));
}

/// What is told of a limit that was exceeded; it is counted.
pub(super) fn reject(exceeded: &Exceeded, shared: &Shared, caller: Dialect) -> Refusal {
    shared.stores.sinks.meters.limit_decision(&exceeded.limit.name, "reject");
    let mut beside = HeaderMap::new();
    ratelimit::tell_exceeded(&mut beside, caller, exceeded, shared.env.wall.now());
    Refusal { beside: Some(Box::new(beside)), ..exceeded.fault().into() }
}

/// The most that a call may come to at any of the targets that may answer it.
pub(super) fn upper(call: &Call, routed: &Routed, at: SystemTime) -> Upper {
    let all = routed.order.iter().map(|index| upper_at(call, routed, *index, at));
    all.reduce(|one, other| {
        let (a, b) = (one.estimate, other.estimate);
        let estimate = Estimate {
            input_tokens: a.input_tokens.max(b.input_tokens),
            output_tokens: a.output_tokens.max(b.output_tokens),
            cost: a.cost.max(b.cost),
        };
        Upper { estimate, open_ended: one.open_ended || other.open_ended }
    })
    .unwrap_or_default()
}

/// The most that a call may come to at one target.
pub(super) fn upper_at(call: &Call, routed: &Routed, index: usize, at: SystemTime) -> Upper {
    if call.endpoint.operation == Operation::CountTokens {
        return Upper::default();
    }
    let (target, names) = (&routed.route.model.targets[index], &routed.route.targets[index]);
    let features = &routed.features;
    let chat = call.endpoint.operation == Operation::Chat;
    let open_ended =
        chat && features.output_tokens_max.is_none() && (target.facts.output_tokens.is_none() || routed.assumed_output.is_some());
    let upper = estimate::upper(features, &names.state.calibration, &target.facts, routed.assumed_output);
    let upper = if chat { upper } else { charge::Upper { output_tokens: 0, searches: 0, ..upper } };
    let tier = asked::service_tier(call.endpoint.dialect, &call.body, &call.envelope);
    let cost = charge::bound(names.quote.tariff(), at, tier, &upper);
    let estimate = Estimate { input_tokens: upper.input_tokens, output_tokens: upper.output_tokens, cost };
    Upper { estimate, open_ended }
}

/// Admits what is not read, or asks for no model: the same without another alias to go to.
///
/// # Errors
/// A limit refuses it.
pub(super) async fn admit_unread(
    shared: &Shared,
    Payer { limits, subject }: Payer<'_>,
    dialect: Dialect,
    model: Arc<str>,
    upper: Upper,
    deadline: Option<Instant>,
    account: &mut Account,
) -> Result<(), Refusal> {
    match in_line(shared, limits, &subject.ask(&model, None), upper.amount(), deadline).await? {
        Ok(whole) => {
            grant(shared, account, subject.who(), model, whole, upper);
            Ok(())
        }
        Err(exceeded) => Err(reject(&exceeded, shared, dialect)),
    }
}

/// Puts back what was spent by an earlier process. What the journal does not tell (the operation) is taken for a chat.
pub(super) fn restore(limits: &Limits, spent: &Spent<'_>, at: Moment) {
    let Dims { team, app, user, key, alias, provider, tag, .. } = spent.dims;
    let tags: Vec<_> = tag.split(',').filter(|tag| !tag.is_empty()).map(Label::new).collect();
    let ask = Ask {
        team: Label::new(team),
        app: Label::new(app),
        user: user.map_or(Label::NONE, |user| Label::unknown(user.digest())),
        key: Label::new(key),
        model: Label::new(alias),
        provider: Some(Label::new(provider)),
        tags: &tags,
        operation: Operation::Chat,
    };
    let Counters { input_tokens, output_tokens, cost, .. } = spent.counters;
    limits.restore(&ask, Amount { tokens: input_tokens.saturating_add(output_tokens), cost }, spent.start, at);
}
