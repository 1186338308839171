//! A limit of the configuration, made ready to be asked many times a second.

use std::sync::Arc;
use std::time::Duration;

use super::meter::Lack;
use super::subject::{Ask, Label, Parts, SEED};
use super::tally::Tally;
use super::verdict::{Again, Measure};
use crate::config::{Dimension, Limit, OnExceed, Window};
use crate::ir::Operation;

/// A limit, with what is derived from it.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) limit: Arc<Limit>,
    /// What tells its subjects from those of other limits: stays the same as long as the name does.
    pub(super) seed: u128,
    /// The dimensions of its subjects, as bits in the order of [`Dimension::ALL`], tags apart.
    per: u8,
    pub(super) per_tag: bool,
    /// Whether it counts users or tags, of which there may be very many.
    pub(super) crowd: Option<Dimension>,
    /// Whether it knows providers, and so counts at each try.
    at_try: bool,
    /// Whether it names the operation, and so counts the light ones too.
    light_too: bool,
    pub(super) queue: Option<(Duration, usize)>,
    /// The least threshold, in thousandths.
    warns_from: u64,
    /// The key's, where it is a key's own limit.
    pub(super) key: Option<u128>,
    pub(super) tally: Arc<Tally>,
}

impl Rule {
    pub(super) fn new(limit: &Arc<Limit>, key: Option<&str>, tally: Arc<Tally>) -> Self {
        let named = |dimension| limit.per.contains(&dimension) || limit.when.iter().any(|selector| selector.of == dimension);
        let per = limit.per.iter().filter(|dimension| **dimension != Dimension::Tag);
        Self {
            seed: Label::new(&limit.name).digest().wrapping_mul(SEED),
            per: per.fold(0, |bits, dimension| bits | 1 << *dimension as u8),
            per_tag: limit.per.contains(&Dimension::Tag),
            crowd: [Dimension::User, Dimension::Tag].into_iter().find(|dimension| limit.per.contains(dimension)),
            at_try: named(Dimension::Provider),
            light_too: named(Dimension::Operation),
            queue: match &limit.on_exceed {
                OnExceed::Queue { timeout, length_max } => Some((*timeout, *length_max)),
                OnExceed::Reject | OnExceed::Degrade { .. } => None,
            },
            warns_from: limit.warn_permille.first().copied().map_or(u64::MAX, u64::from),
            key: key.map(|name| Label::new(name).digest()),
            tally,
            limit: Arc::clone(limit),
        }
    }

    /// Whether it counts each try, and not the request before.
    pub(super) fn counts_tries(&self) -> bool {
        self.at_try
    }

    /// Whether it has a say in this request now.
    pub(super) fn applies(&self, ask: &Ask<'_>) -> bool {
        self.at_try == ask.provider.is_some() && self.selects(ask)
    }

    /// Whether it had a say in a request that is over, or in its last try.
    pub(super) fn applied(&self, ask: &Ask<'_>) -> bool {
        (!self.at_try || ask.provider.is_some()) && self.selects(ask)
    }

    fn selects(&self, ask: &Ask<'_>) -> bool {
        let light = matches!(ask.operation, Operation::CountTokens | Operation::Models);
        (self.light_too || !light) && self.limit.when.iter().all(|selector| ask.values(selector.of).any(|value| value.taken_by(selector)))
    }

    /// The subjects of the request that it counts, with their tag's part: one, or one for each tag that it takes.
    pub(super) fn subjects(&self, ask: &Ask<'_>, parts: &Parts, mut each: impl FnMut(u128, u128)) {
        let one = self.seed.wrapping_add(parts.sum(self.per));
        if !self.per_tag {
            return each(one, 0);
        }
        let selectors = || self.limit.when.iter().filter(|selector| selector.of == Dimension::Tag);
        for tag in ask.values(Dimension::Tag).filter(|tag| selectors().all(|selector| tag.taken_by(selector))) {
            let part = Parts::tag(tag);
            each(one.wrapping_add(part), part);
        }
    }

    /// The subject that takes in those for whom there is no room.
    pub(super) fn other(&self) -> u128 {
        self.seed.wrapping_add(u128::MAX / 3)
    }

    /// The beginning of its seed: enough to be told apart where meters are shown.
    pub(super) fn owner(&self) -> u32 {
        (self.seed >> 96) as u32
    }

    pub(super) fn windows(&self) -> &[Window] {
        &self.limit.most.windows
    }

    /// Whether it bounds rates, so that a log is needed.
    pub(super) fn rated(&self) -> bool {
        self.limit.most.requests_per_minute.is_some() || self.limit.most.tokens_per_minute.is_some()
    }

    /// How many thresholds this share of a bound has passed.
    pub(super) fn level(&self, used: u64, most: u64) -> u8 {
        // Mostly none, which takes no wide numbers to see.
        if used < (most / 1000).saturating_mul(self.warns_from) {
            return 0;
        }
        let passed = |permille: &&u32| u128::from(used) * 1000 >= u128::from(most) * u128::from(**permille);
        self.limit.warn_permille.iter().take_while(passed).count() as u8
    }

    /// The threshold of a level, in thousandths.
    pub(super) fn threshold(&self, level: u8) -> Option<u32> {
        self.limit.warn_permille.get(usize::from(level).checked_sub(1)?).copied()
    }

    /// That others wait for it already.
    pub(super) fn stands_behind(&self) -> Lack {
        let most = &self.limit.most;
        let (measure, bound) = match (most.concurrent, most.requests_per_minute, most.tokens_per_minute, most.windows.first()) {
            (Some(most), ..) => (Measure::Concurrent, most),
            (_, Some(most), ..) => (Measure::RequestsPerMinute, most),
            (_, _, Some(most), _) => (Measure::TokensPerMinute, most),
            (.., Some(window)) => (Measure::Window(window.unit, window.span), window.most),
            _ => (Measure::Concurrent, 0),
        };
        Lack { measure, most: bound, used: bound, held: 0, asked: 1, again: Again::OnRelease(Duration::ZERO), firm: false }
    }

    /// The subject of a request that has no tags and no user in it, in words.
    pub(super) fn name(&self, ask: &Ask<'_>) -> Box<str> {
        /// Many are kept, and a model's name may be as long as a request.
        const SHOWN_MAX: usize = 100;
        let value = |of: &Dimension| match ask.values(*of).next().map_or("", Label::text) {
            "" => "(none)".to_owned(),
            text => text.chars().take(SHOWN_MAX).collect(),
        };
        self.limit.per.iter().map(value).collect::<Vec<_>>().join(" / ").into()
    }
}
