//! How a request would find the limits that apply to it, told without reserving anything.

use std::sync::Arc;

use super::bank::Place;
use super::books::Books;
use super::limits::split;
use super::meter::{Asked, Meter};
use super::rule::Rule;
use super::subject::Parts;
use super::verdict::Measure;
use super::view::{self, MeasureView};
use super::{Amount, Ask, Limits, Moment};
use crate::config::Limit;

/// One subject of a limit that applies to a request.
#[derive(Clone, Debug)]
pub struct Stand {
    /// Which limit.
    pub limit: Arc<Limit>,
    /// Whom it counts, as [`super::SubjectView::name`] says it.
    pub subject: String,
    /// Whether others wait in line for it, who come first.
    pub line: bool,
    /// Its bounds.
    pub bounds: Vec<BoundStand>,
}

/// One bound, as a request would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundStand {
    /// What it has.
    pub view: MeasureView,
    /// What the request would take: requests, tokens or nano-USD.
    pub asked: u64,
    /// Whether that fits.
    pub fits: bool,
}

impl Stand {
    /// Whether the request fits in every bound.
    pub fn fits(&self) -> bool {
        !self.line && self.bounds.iter().all(|bound| bound.fits)
    }
}

impl Limits {
    /// How each limit that applies stands to a request that may come to `bound`. Reserves nothing.
    pub fn stands(&self, ask: &Ask<'_>, bound: Amount, at: Moment) -> Vec<Stand> {
        let mut stands = Vec::new();
        let parts = Parts::of(ask);
        let asked = Asked { requests: 1, amount: bound.bounded() };
        for (_, rule) in self.applying(ask, Rule::applies) {
            rule.subjects(ask, &parts, |key, tag| stands.push(self.stand(rule, ask, key, Books::bank(rule, &parts, tag), &asked, at)));
        }
        stands
    }

    fn stand(&self, rule: &Rule, ask: &Ask<'_>, key: u128, bank: u8, asked: &Asked, at: Moment) -> Stand {
        let key = split(key);
        let mut open = self.books.open(1 << bank, at);
        let (now, calendar) = (open.now, open.calendar(rule));
        let named = if rule.crowd.is_none() { rule.name(ask).into() } else { view::name(rule, key) };
        let mut stand = Stand { limit: Arc::clone(&rule.limit), subject: named, line: false, bounds: Vec::new() };
        let mut lacking = Vec::new();
        let mut unused = Meter::new(key, 0);
        let meter = open.bank(0).and_then(|bank| match bank.place(key, rule, now) {
            Place::At(slot) => {
                stand.line = rule.queue.is_some() && bank.lines.get(&slot).is_some_and(|line| line.is_before(None));
                bank.meter(slot)
            }
            Place::Own | Place::Others => None,
        });
        let meter = meter.unwrap_or(&mut unused);
        meter.check(rule, &calendar, asked, now, |lack| lacking.push(lack.measure));
        meter.each(rule, &calendar, now, |view| {
            let bound = BoundStand { view, asked: asked.by(view.measure), fits: !lacking.contains(&view.measure) };
            stand.bounds.push(bound);
        });
        stand
    }
}

impl Asked {
    fn by(&self, measure: Measure) -> u64 {
        match measure {
            Measure::RequestsPerMinute | Measure::Concurrent => self.requests,
            Measure::TokensPerMinute => self.amount.tokens,
            Measure::Window(unit, _) => self.amount.of(unit),
        }
    }
}
