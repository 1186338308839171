//! The account of one exchange: opened when its head arrives, closed exactly once, whatever happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::HeaderValue;

use super::Shared;
use super::funds::{End, Funds};
use super::snapshot::RouteTarget;
use crate::base::clock::{self, Instant};
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin};
use crate::ir::{Operation, Usage};
use crate::journal::{self, StatusClass};
use crate::policy::charge::{self, Charge};
use crate::policy::choose::Watch;
use crate::policy::features::Features;
use crate::policy::fleet::TargetState;
use crate::policy::health::Health;
use crate::policy::quote::Quote;
use crate::quota::{Amount, Crossing, Exceeded, Left};
use crate::telemetry::{Ending, Record};

/// An open account. Dropping it without closing means that the caller went away.
pub struct Account {
    /// The facts so far.
    pub record: Record,
    /// Who was asked last, as `x-outrider-target`.
    pub target: Option<HeaderValue>,
    /// Who is answering.
    pub served: Option<Served>,
    /// What is reserved.
    pub(super) funds: Option<Funds>,
    /// Whether the app reads what follows a streamed body.
    pub(super) takes_trailers: bool,
    /// Prompts that are with a provider and have no answer yet: the one that is asked, and a hedge beside it.
    asking: [Option<Prompt>; 2],
    /// Tokens of the prompt that went out last, by estimate.
    prompt_tokens: u64,
    /// What was spent on tries that gave no answer.
    lost: Amount,
    /// How much is reserved for such tries.
    covered: Amount,
    shared: Arc<Shared>,
    closed: bool,
}

/// The target that answers an exchange, to be told how the answer ended.
pub struct Served {
    /// Its health, and who learns how it went; an answer that passes unread teaches nothing.
    pub judges: Option<(Arc<Health>, Watch)>,
    /// What it charges.
    pub quote: Arc<Quote>,
    /// When it was asked.
    pub at: SystemTime,
    /// Who learns how it counts tokens, and of what.
    pub learns: Option<(Arc<TargetState>, Box<Features>)>,
}

/// A prompt that was sent.
#[derive(Clone)]
pub(super) struct Prompt {
    /// What the target charges.
    pub quote: Arc<Quote>,
    /// Tokens, by estimate.
    pub input_tokens: u64,
    /// When.
    pub at: SystemTime,
    /// Since when a whole answer is being written, of which nothing shows before its end, and how many tokens it may have.
    pub writes: Option<(Instant, u64)>,
}

impl Prompt {
    /// What it costs where it is given up now. Of a whole answer that nobody waits for, so much is taken to be written as a fast
    /// model writes in that time.
    fn charge(&self, now: Instant) -> Charge {
        let written = self.writes.map_or(0, |(since, most)| {
            let millis = u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
            most.min(millis.saturating_mul(TOKENS_PER_SECOND) / 1_000)
        });
        let usage = Usage { input_tokens: Some(self.input_tokens), output_tokens: Some(written), ..Usage::default() };
        Charge::of(self.quote.tariff(), &usage, &charge::Served { estimated: true, ..charge::Served::once(self.at) })
    }

    /// The same, as limits count it, and whether its price is not known.
    fn spent(&self, now: Instant) -> (Amount, bool) {
        let charge = self.charge(now);
        let tokens = charge.lines().iter().filter(|line| line.what.is_tokens()).map(|line| line.count).sum();
        (Amount { tokens, cost: charge.cost() }, charge.price_unknown)
    }

    /// What it comes to where it is given up now, as limits count it.
    pub(super) fn amount(&self, now: Instant) -> Amount {
        self.spent(now).0
    }
}

impl Served {
    fn ended(self, ending: &Ending, record: &Record) {
        let (now, usage) = (clock::now(), &record.usage);
        if let (Some((state, features)), Ending::Complete, Some(told)) = (&self.learns, ending, usage.input_tokens)
            && !record.estimated
        {
            state.calibration.learn(features, told);
        }
        let Some((health, watch)) = self.judges else { return };
        match ending {
            Ending::Complete => watch.answered(usage, now),
            Ending::Failed(fault) if fault.origin == Origin::Upstream => {
                health.failed_late(fault, now);
                watch.failed(now);
            }
            Ending::Failed(_) | Ending::ClientGone => watch.left(now),
        }
    }
}

impl Account {
    /// Opens the account of an exchange that begins now. Boxed, since it is large and goes through many hands.
    pub fn open(id: ExchangeId, now: Instant, shared: Arc<Shared>) -> Box<Self> {
        shared.stores.exchanges.fetch_add(1, Ordering::Relaxed);
        Box::new(Self {
            record: Record::begin(id, now),
            target: None,
            served: None,
            funds: None,
            takes_trailers: false,
            asking: [None, None],
            prompt_tokens: 0,
            lost: Amount::ZERO,
            covered: Amount::ZERO,
            shared,
            closed: false,
        })
    }

    /// A target is asked, or was asked last; with it so many tries are made.
    pub(super) fn asks(&mut self, names: &RouteTarget, attempts: u32) {
        self.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
        self.record.attempts = attempts;
        self.target = Some(names.header.clone());
    }

    /// Tells the journal what may come, before this target is asked.
    pub(super) fn intend(&mut self, target: &RouteTarget) {
        let stores = &self.shared.stores;
        if let Some(funds) = &mut self.funds {
            funds.intend(self.record.id, &stores.identity, &target.label, &target.quote, &stores.journal);
        }
    }

    /// The alias that serves instead of the one asked for, and the limit that sent it there.
    pub(super) fn degraded(&self) -> Option<(&str, &str)> {
        Some((self.record.model.as_deref()?, self.record.degraded_by.as_deref()?))
    }

    /// What the limits that apply had left.
    pub(super) fn left(&self) -> Option<&Left> {
        self.funds.as_ref().map(Funds::left)
    }

    /// A prompt goes out.
    pub(super) fn sends(&mut self, prompt: Prompt) {
        self.prompt_tokens = prompt.input_tokens;
        if let Some(slot) = self.asking.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(prompt);
        }
    }

    /// The prompts that went out have been answered, or accounted for one by one.
    pub(super) fn answered(&mut self) {
        self.asking = [None, None];
    }

    /// Charges what is known of the usage by now. What was spent on tries that lost a race is there already.
    pub fn charge(&mut self) {
        let Some(served) = &self.served else { return };
        let untold = self.record.usage == Usage::default();
        if self.record.operation == Some(Operation::CountTokens) || (untold && self.record.operation == Some(Operation::Opaque)) {
            return;
        }
        let answer = charge::Served { estimated: self.record.estimated, ..charge::Served::once(served.at) };
        let charge = Charge::of(served.quote.tariff(), &self.record.usage, &answer);
        self.record.cost = Some(self.lost.cost.saturating_add(charge.cost()));
        self.record.price_unknown |= charge.price_unknown;
        self.record.price_revision = charge.revision;
    }

    /// A try was given up that had been sent a prompt: it is paid for.
    pub(super) fn lose(&mut self, prompt: &Prompt) {
        if self.record.operation == Some(Operation::CountTokens) {
            return;
        }
        let (spent, price_unknown) = prompt.spent(clock::now());
        self.lost = self.lost.plus(spent);
        self.record.cost = Some(self.lost.cost);
        self.record.lost_tokens = self.lost.tokens;
        self.record.price_unknown |= price_unknown;
    }

    /// Whether there is room for another answer beside the one that is under way; then it is reserved.
    pub(super) fn affords(&mut self, most: Amount) -> bool {
        self.cover(most)
    }

    /// Whether there is room for another try beside what is lost already; then it is reserved.
    pub(super) fn covers_lost(&mut self) -> bool {
        self.cover(self.lost.minus(self.covered))
    }

    fn cover(&mut self, more: Amount) -> bool {
        let at = self.shared.moment();
        let fits = more == Amount::ZERO || self.funds.as_mut().is_none_or(|funds| funds.grow_if_fits(more, at));
        if fits && more != Amount::ZERO {
            self.covered = self.covered.plus(more);
            self.intend_more();
        }
        fits
    }

    /// A stream has come so far: where it outran what is reserved, more is.
    ///
    /// # Errors
    /// A limit says to cut.
    pub(super) fn outruns(&mut self, usage: &Usage, output_bytes: u64) -> Result<(), Box<Exceeded>> {
        let Some(upper) = self.funds.as_ref().map(|funds| *funds.upper()) else { return Ok(()) };
        let input = usage.input_tokens.unwrap_or(0);
        let written = if upper.open_ended { tokens_of_bytes(output_bytes) } else { 0 };
        let output = usage.output_tokens.unwrap_or(0).max(written);
        if input <= upper.estimate.input_tokens && output <= upper.estimate.output_tokens {
            return Ok(());
        }
        let at = self.shared.moment();
        let (quote, asked_at) = self.served.as_ref().map(|served| (Arc::clone(&served.quote), served.at)).unzip();
        let price = quote.as_deref().zip(asked_at);
        if let Some(funds) = &mut self.funds {
            // Some more than is there already, so that not each piece asks anew; where that does not fit, what is there.
            let ahead = output.saturating_add(output / 4).saturating_add(256);
            funds.grow(upper.up_to(input, ahead, price), at).or_else(|_| funds.grow(upper.up_to(input, output, price), at))?;
        }
        self.intend_more();
        Ok(())
    }

    /// Tells the journal that more may come than it knows of.
    fn intend_more(&self) {
        let stores = &self.shared.stores;
        if let (Some(funds), Some((label, _))) = (&self.funds, &self.record.target) {
            funds.tell(self.record.id, &stores.identity, label, &stores.journal);
        }
    }

    /// Closes it. Only the first call counts.
    pub fn close(&mut self, ending: &Ending) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        shared.stores.exchanges.fetch_sub(1, Ordering::Relaxed);
        for prompt in std::mem::take(&mut self.asking).iter().flatten() {
            // The provider was at work on it, and will be paid.
            self.lose(prompt);
            self.record.estimated = true;
        }
        self.estimate(ending);
        self.charge();
        self.settle(ending);
        if let Some(served) = self.served.take() {
            served.ended(ending, &self.record);
        }
        self.record.tell(ending, &shared.stores.sinks);
    }

    /// Closes it over a fault.
    pub fn fail(&mut self, fault: &Fault) {
        self.close(&Ending::Failed(Box::new(fault.clone())));
    }

    /// Settles what was reserved at what it came to.
    fn settle(&mut self, ending: &Ending) {
        let Some(funds) = self.funds.take() else { return };
        let record = &self.record;
        let usage = &record.usage;
        let told = |tokens: Option<u64>| tokens.unwrap_or(0);
        let charge = journal::Charge {
            status: status(ending, record.status),
            estimated: record.estimated || self.lost.tokens > 0,
            input_tokens: told(usage.input_tokens).saturating_add(self.lost.tokens),
            cached_tokens: told(usage.cache_read_tokens),
            cache_write_tokens: told(usage.cache_write_tokens),
            output_tokens: told(usage.output_tokens),
            reasoning_tokens: told(usage.reasoning_tokens),
            cost: record.cost.unwrap_or_default(),
            duration: clock::now().duration_since(record.started),
            first_token: record.first_token,
            ..journal::Charge::default()
        };
        let stores = &self.shared.stores;
        let target = record.target.as_ref().map(|(label, _)| &**label);
        let served = record.attempts > 0 || matches!(ending, Ending::Complete);
        let end = End {
            id: record.id,
            identity: &stores.identity,
            journal: &stores.journal,
            target,
            served,
            price_revision: record.price_revision,
            charge,
            lost: self.lost,
        };
        for crossing in funds.settle(&end, self.shared.moment()) {
            warn(&crossing, &self.shared);
        }
    }

    /// Where the provider's last word on usage did not come, what was produced counts by our own measure.
    fn estimate(&mut self, ending: &Ending) {
        let record = &mut self.record;
        let produced = record.output_bytes > 0 || record.first_token.is_some();
        let whole = matches!(ending, Ending::Complete);
        // Bytes of what was not read say nothing of tokens.
        let unread = record.operation == Some(Operation::Opaque);
        if unread || record.target.is_none() || record.attempts == 0 || (!produced && !whole) {
            return;
        }
        if record.usage.input_tokens.is_none() && record.request_bytes > 0 {
            let by_bytes = tokens_of_bytes(record.request_bytes);
            record.usage.input_tokens = Some(if self.prompt_tokens > 0 { self.prompt_tokens } else { by_bytes });
            record.estimated = true;
        }
        let counted = tokens_of_bytes(record.output_bytes);
        let told = record.usage.output_tokens;
        // A stream that was cut may have told a first count already; it is the least, not the last word.
        if record.operation == Some(Operation::Chat) && (told.is_none() || (!whole && told < Some(counted))) {
            record.usage.output_tokens = Some(counted.max(told.unwrap_or(0)));
            record.estimated = true;
        } else if !whole {
            record.estimated = true;
        }
    }
}

/// Tells that a limit has passed one of its thresholds: once for each window of each subject.
pub(super) fn warn(crossing: &Crossing, shared: &Shared) {
    let Crossing { limit, measure, permille, used, most } = crossing;
    shared.stores.sinks.meters.limit_warning(&limit.name);
    tracing::warn!(
        message = "a limit is nearly used up",
        limit = limit.name,
        of = measure.label(),
        share = f64::from(*permille) / 1000.0,
        used,
        most
    );
}

/// How it ended, in a word for sums. A stream that broke off had begun well.
fn status(ending: &Ending, told: Option<u16>) -> StatusClass {
    match (ending, told) {
        (Ending::ClientGone, _) => StatusClass::Gone,
        (Ending::Failed(_), Some(status)) if status >= 400 => StatusClass::of(status),
        (Ending::Failed(_), _) => StatusClass::Server,
        (Ending::Complete, told) => told.map_or(StatusClass::Success, StatusClass::of),
    }
}

/// What a fast model writes.
const TOKENS_PER_SECOND: u64 = 200;

/// About four bytes of text make a token, in English and in code.
pub(super) fn tokens_of_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if std::thread::panicking() {
            self.fail(&Fault::new(FaultKind::Internal, Origin::Gateway, "panic"));
        } else {
            self.close(&Ending::ClientGone);
        }
    }
}
