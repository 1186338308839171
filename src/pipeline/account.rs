//! The account of one exchange: opened when its head arrives, closed exactly once, whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use http::HeaderValue;

use super::snapshot::RouteTarget;
use crate::base::clock::{self, Instant};
use crate::base::money::NanoUsd;
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin};
use crate::ir::{Operation, Usage};
use crate::policy::charge::{self, Charge};
use crate::policy::choose::Watch;
use crate::policy::health::Health;
use crate::policy::quote::Quote;
use crate::telemetry::{Ending, Record, Sinks};

/// An open account. Dropping it without closing means that the caller went away.
pub struct Account {
    /// The facts so far.
    pub record: Record,
    /// Who was asked last, as `x-outrider-target`.
    pub target: Option<HeaderValue>,
    /// Who is answering.
    pub served: Option<Served>,
    /// What was spent on tries that lost a race.
    lost: NanoUsd,
    sinks: Arc<Sinks>,
    open: Arc<AtomicUsize>,
    closed: bool,
}

/// The target that answers an exchange, to be told how the answer ended.
pub struct Served {
    /// Its health.
    pub health: Arc<Health>,
    /// Who learns how it went.
    pub watch: Watch,
    /// What it charges.
    pub quote: Arc<Quote>,
    /// When it was asked.
    pub at: SystemTime,
}

impl Served {
    fn ended(self, ending: &Ending, usage: &Usage) {
        let now = clock::now();
        match ending {
            Ending::Complete => self.watch.answered(usage, now),
            Ending::Failed(fault) if fault.origin == Origin::Upstream => {
                self.health.failed_late(fault, now);
                self.watch.failed(now);
            }
            Ending::Failed(_) | Ending::ClientGone => self.watch.left(now),
        }
    }
}

impl Account {
    /// Opens the account of an exchange that begins now; `open` counts those that are open.
    pub fn open(id: ExchangeId, now: Instant, sinks: Arc<Sinks>, open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self { record: Record::begin(id, now), target: None, served: None, lost: NanoUsd::ZERO, sinks, open, closed: false }
    }

    /// A target is asked, or was asked last; with it so many tries are made.
    pub(super) fn asks(&mut self, names: &RouteTarget, attempts: u32) {
        self.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
        self.record.attempts = attempts;
        self.target = Some(names.header.clone());
    }

    /// Charges what is known of the usage by now. What was spent on tries that lost a race is there already.
    pub fn charge(&mut self) {
        let Some(served) = &self.served else { return };
        if self.record.operation == Some(Operation::CountTokens) {
            return;
        }
        let answer = charge::Served { estimated: self.record.estimated, ..charge::Served::once(served.at) };
        let charge = Charge::of(served.quote.tariff(), &self.record.usage, &answer);
        self.record.cost = Some(self.lost.saturating_add(charge.cost()));
        self.record.price_unknown |= charge.price_unknown;
        self.record.price_revision = charge.revision;
    }

    /// A try was given up that had been sent a prompt of so many tokens, by estimate: it is paid for.
    pub fn lose(&mut self, quote: &Quote, input_tokens: u64, at: SystemTime) {
        let usage = Usage { input_tokens: Some(input_tokens), output_tokens: Some(0), ..Usage::default() };
        let lost = Charge::of(quote.tariff(), &usage, &charge::Served { estimated: true, ..charge::Served::once(at) });
        self.lost = self.lost.saturating_add(lost.cost());
        self.record.cost = Some(self.lost);
        self.record.hedge_lost_tokens += input_tokens;
        self.record.price_unknown |= lost.price_unknown;
    }

    /// Closes it. Only the first call counts.
    pub fn close(&mut self, ending: &Ending) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.estimate(ending);
        self.charge();
        if let Some(served) = self.served.take() {
            served.ended(ending, &self.record.usage);
        }
        self.record.tell(ending, &self.sinks);
    }

    /// Closes it over a fault.
    pub fn fail(&mut self, fault: &Fault) {
        self.close(&Ending::Failed(Box::new(fault.clone())));
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
            record.usage.input_tokens = Some(tokens_of_bytes(record.request_bytes));
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
