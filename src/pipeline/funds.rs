//! What one exchange has reserved, and for whom: kept by its account until it is settled, exactly once.

use std::sync::Arc;
use std::time::SystemTime;

use crate::base::money::NanoUsd;
use crate::base::rng::ExchangeId;
use crate::config::{Identity, Key};
use crate::journal::{self, Dims, Estimate, Journal, UserHash};
use crate::policy::charge;
use crate::policy::quote::Quote;
use crate::quota::{Amount, Crossing, Exceeded, Extension, Left, Moment, Reservation};

/// Who asked, as accounts keep it.
#[derive(Default)]
pub(super) struct Who {
    /// The outrider key.
    pub key: Option<Arc<Key>>,
    /// The end user.
    pub user: Option<UserHash>,
    /// The labels, with commas between them.
    pub tags: Box<str>,
}

/// What an exchange has reserved.
pub(super) struct Funds {
    who: Who,
    /// When it was admitted: decides the windows that it counts to, here and in the journal.
    at: SystemTime,
    /// The alias.
    model: Arc<str>,
    whole: Reservation,
    /// In the limits of the provider that answers.
    at_provider: Option<Box<Reservation>>,
    /// What it may come to.
    upper: Upper,
    /// Once the journal has been told: by which prices.
    intended: Option<u64>,
}

/// The most that an exchange may come to, by estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upper {
    /// Tokens and money.
    pub estimate: Estimate,
    /// Whether the answer may be longer after all: nobody bounds it.
    pub open_ended: bool,
}

impl Upper {
    /// The same with room for so many tokens, whose price is a target's at the time that it was asked.
    pub(super) fn up_to(&self, input_tokens: u64, output_tokens: u64, price: Option<(&Quote, SystemTime)>) -> Self {
        let before = self.estimate;
        let (input_tokens, output_tokens) = (before.input_tokens.max(input_tokens), before.output_tokens.max(output_tokens));
        let bound = |input_tokens, output_tokens| {
            let upper = charge::Upper { input_tokens, output_tokens, searches: 0 };
            price.map_or(NanoUsd::ZERO, |(quote, at)| charge::bound(quote.tariff(), at, None, &upper))
        };
        let more = bound(input_tokens, output_tokens).0.saturating_sub(bound(before.input_tokens, before.output_tokens).0);
        let cost = before.cost.saturating_add(NanoUsd(more));
        Self { estimate: Estimate { input_tokens, output_tokens, cost }, ..*self }
    }

    /// As limits count it.
    pub(super) fn amount(&self) -> Amount {
        let Estimate { input_tokens, output_tokens, cost } = self.estimate;
        Amount { tokens: input_tokens.saturating_add(output_tokens), cost }
    }
}

impl Funds {
    /// What was reserved for the alias `model`.
    pub(super) fn new(who: Who, model: Arc<str>, whole: Reservation, upper: Upper) -> Self {
        Self { who, at: whole.seen().wall, model, whole, at_provider: None, upper, intended: None }
    }

    /// What it may come to, as far as that is reserved.
    pub(super) fn upper(&self) -> &Upper {
        &self.upper
    }

    /// What the limits that apply had left.
    pub(super) fn left(&self) -> &Left {
        self.whole.left()
    }

    /// Holds what is reserved in the limits of the provider that answers.
    pub(super) fn hold(&mut self, at_provider: Option<Box<Reservation>>) {
        self.at_provider = at_provider;
    }

    /// Tells the journal what may come at these prices, before `target` is asked.
    pub(super) fn intend(&mut self, id: ExchangeId, identity: &Identity, target: &str, quote: &Quote, journal: &Journal) {
        self.intended = Some(quote.revision(self.at, self.upper.estimate.input_tokens));
        self.tell(id, identity, target, journal);
    }

    /// Tells it again where that has become more.
    pub(super) fn tell(&self, id: ExchangeId, identity: &Identity, target: &str, journal: &Journal) {
        let Some(price_revision) = self.intended else { return };
        // Where it is kept is the journal's to tell, by its health.
        let _kept = journal.intent(id, self.at, &self.dims(identity, target, price_revision), &self.upper.estimate);
    }

    /// Reserves up to `upper`, as debt where that does not fit.
    ///
    /// # Errors
    /// A limit says to cut.
    pub(super) fn grow(&mut self, upper: Upper, at: Moment) -> Result<(), Box<Exceeded>> {
        let more = upper.amount().minus(self.upper.amount());
        for reservation in std::iter::once(&mut self.whole).chain(self.at_provider.as_deref_mut()) {
            match reservation.extend(more, at) {
                Extension::Fits | Extension::Overdrawn => {}
                Extension::Cut(exceeded) => return Err(exceeded),
            }
        }
        self.upper = upper;
        Ok(())
    }

    /// Reserves so much more, for a try beside or after another; where there is no room, nothing, and tells so.
    pub(super) fn grow_if_fits(&mut self, more: Amount, at: Moment) -> bool {
        let fits = self.whole.extend_if_fits(more, at);
        if fits {
            let estimate = &mut self.upper.estimate;
            estimate.input_tokens = estimate.input_tokens.saturating_add(more.tokens);
            estimate.cost = estimate.cost.saturating_add(more.cost);
        }
        fits
    }

    /// Settles at what it came to, in the limits and, where it knows of it, in the journal.
    pub(super) fn settle(mut self, end: &End<'_>, at: Moment) -> Vec<Crossing> {
        if self.intended.is_some() {
            let dims = self.dims(end.identity, end.target.unwrap_or_default(), end.price_revision);
            let _kept = end.journal.settle(end.id, self.at, &dims, &end.charge);
        }
        let journal::Charge { input_tokens, output_tokens, cost, .. } = end.charge;
        let actual = Amount { tokens: input_tokens.saturating_add(output_tokens), cost };
        let at_provider = self.at_provider.take().map(|held| held.settle(actual.minus(end.lost), at).crossings);
        if !end.served {
            self.whole.cancel(at);
            return Vec::new();
        }
        let mut crossings = self.whole.settle(actual, at).crossings;
        crossings.extend(at_provider.into_iter().flatten());
        crossings
    }

    fn dims<'d>(&'d self, identity: &'d Identity, target: &'d str, price_revision: u64) -> Dims<'d> {
        let key = self.who.key.as_deref();
        let (provider, model) = target.split_once('/').unwrap_or((target, ""));
        Dims {
            team: key.and_then(|key| key.team.as_deref()).or(identity.team.as_deref()).unwrap_or_default(),
            app: key.and_then(|key| key.app.as_deref()).or(identity.app.as_deref()).unwrap_or_default(),
            user: self.who.user,
            key: key.map_or("", |key| &key.name),
            alias: &self.model,
            provider,
            model,
            tag: &self.who.tags,
            price_revision,
        }
    }
}

/// How an exchange ended.
pub(super) struct End<'e> {
    /// Which.
    pub id: ExchangeId,
    /// Whom the sidecar serves.
    pub identity: &'e Identity,
    /// Where it is written down.
    pub journal: &'e Journal,
    /// Who answered, or was asked last.
    pub target: Option<&'e str>,
    /// Whether somebody was asked, or it was answered here. Else everything is taken back.
    pub served: bool,
    /// Which prices were taken.
    pub price_revision: u64,
    /// What it came to.
    pub charge: journal::Charge,
    /// Of this, what other tries came to.
    pub lost: Amount,
}
