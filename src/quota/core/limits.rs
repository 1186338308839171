//! The limits of a policy, over what is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::books::Books;
use super::held::Held;
use super::reservation::Reservation;
use super::rule::Rule;
use super::subject::Parts;
use super::tally::{Admissions, Tally};
use super::verdict::Exceeded;
use super::waiting::Waiting;
use super::window::{Calendar, seconds};
use super::{Amount, Ask, Moment};
use crate::base::clock::Instant;
use crate::config::{Limit, Policy};

/// How many limits are remembered whose policies are over, before they are forgotten.
const TALLIES_MAX: usize = 10_000;

/// The limits of a policy. What is counted belongs to the process: [`Limits::renewed`] takes it over.
pub struct Limits {
    rules: Box<[Rule]>,
    /// Of these, the limits of the policy, which come first; those of keys follow.
    common: usize,
    /// The own limit of each key, by the key's digest.
    own: HashMap<u128, u32>,
    count_tries: bool,
    /// Whether a limit says what answers are taken for.
    assume: bool,
    /// Of its rules, and of those that policies before it had.
    tallies: HashMap<Box<str>, Arc<Tally>>,
    pub(super) books: Arc<Books>,
}

impl Limits {
    /// The limits of this policy, with nothing counted yet. `now` is the beginning of time: earlier instants count as it.
    pub fn new(policy: &Policy, now: Instant) -> Arc<Self> {
        Self::over(policy, Books::new(now), HashMap::new())
    }

    /// Like [`Limits::new`], with room for so many subjects in each of 17 banks: those for whom there is none are counted
    /// together, as one subject.
    pub fn with_room(policy: &Policy, now: Instant, subjects: usize) -> Arc<Self> {
        Self::over(policy, Books::with_capacity(now, subjects), HashMap::new())
    }

    /// The limits of another policy over what is counted here: after a reload a limit goes on under its name.
    pub fn renewed(&self, policy: &Policy) -> Arc<Self> {
        Self::over(policy, Arc::clone(&self.books), self.tallies.clone())
    }

    fn over(policy: &Policy, books: Arc<Books>, mut tallies: HashMap<Box<str>, Arc<Tally>>) -> Arc<Self> {
        if tallies.len() > TALLIES_MAX {
            // Policies have had very many: those before this one are forgotten.
            let all = policy.limits.iter().chain(policy.keys.iter().filter_map(|key| key.limit.as_ref()));
            let named: HashSet<_> = all.map(|limit| limit.name.as_str()).collect();
            tallies.retain(|name, _| named.contains(&**name));
        }
        let mut rule = |limit: &Arc<Limit>, key: Option<&str>| {
            let tally = tallies.entry(limit.name.as_str().into()).or_insert_with(|| Arc::new(Tally::new(&limit.name)));
            Rule::new(limit, key, Arc::clone(tally))
        };
        let mut rules: Vec<Rule> = policy.limits.iter().map(|limit| rule(limit, None)).collect();
        let common = rules.len();
        let mut own = HashMap::new();
        for (key, limit) in policy.keys.iter().filter_map(|key| Some((key, key.limit.as_ref()?))) {
            let rule = rule(limit, Some(&key.name));
            own.extend(rule.key.map(|key| (key, rules.len() as u32)));
            rules.push(rule);
        }
        let assume = rules.iter().any(|rule| rule.limit.assumed_output_tokens.is_some());
        let count_tries = rules.iter().any(Rule::counts_tries);
        Arc::new(Self { rules: rules.into_boxed_slice(), common, own, count_tries, assume, tallies, books })
    }

    /// Whether there is nothing to ask for.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the answer to a request that bounds it not is taken for, in tokens: the largest of the limits that apply counts.
    pub fn assumed_output_tokens(&self, ask: &Ask<'_>) -> Option<u64> {
        // Mostly none says anything.
        if !self.assume {
            return None;
        }
        self.applying(ask, Rule::applied).filter_map(|(_, rule)| rule.limit.assumed_output_tokens).max()
    }

    /// Whether a limit counts by provider, so that each try asks too.
    pub fn count_tries(&self) -> bool {
        self.count_tries
    }

    /// Reserves this much in every limit that applies, or nothing at all. It never waits: where others stand in line
    /// for a limit that queues, it does not fit.
    ///
    /// # Errors
    /// It does not fit.
    pub fn reserve(self: &Arc<Self>, ask: &Ask<'_>, bound: Amount, at: Moment) -> Result<Reservation, Box<Exceeded>> {
        let mut held = self.held(ask);
        if held.is_empty() {
            return Ok(Reservation::nothing(Arc::clone(self), bound.bounded(), at));
        }
        let mut open = self.books.open(held.banks, at);
        held.fit(self, &mut open, bound.bounded(), None).map_err(|unfit| unfit.exceeded)?;
        let admitted = held.admit(self, &mut open, bound.bounded(), Some(ask));
        let now = open.now;
        drop(open);
        Ok(Reservation::new(Arc::clone(self), held, bound.bounded(), admitted, now, at))
    }

    /// Like [`Limits::reserve`], for one who would wait: it has come, and may be asked how it stands.
    pub fn enter(self: &Arc<Self>, ask: &Ask<'_>, bound: Amount, at: Moment) -> Waiting {
        Waiting::new(Arc::clone(self), self.held(ask), bound.bounded(), at.now)
    }

    /// Whether this would fit now. Reserves nothing.
    ///
    /// # Errors
    /// It would not fit.
    pub fn check(&self, ask: &Ask<'_>, bound: Amount, at: Moment) -> Result<(), Box<Exceeded>> {
        let mut held = self.held(ask);
        if held.is_empty() {
            return Ok(());
        }
        held.fit(self, &mut self.books.open(held.banks, at), bound.bounded(), None).map_err(|unfit| unfit.exceeded)
    }

    /// Puts back what was spent at `spent_at` by requests like this one, in every calendar window that is still running
    /// at `at`: from the journal, after a restart. Rates begin anew. With a provider it counts to the limits of tries too.
    pub fn restore(&self, ask: &Ask<'_>, spent: Amount, spent_at: SystemTime, at: Moment) {
        let then = seconds(spent_at);
        let parts = Parts::of(ask);
        for rule in self.applying(ask, Rule::applied).map(|(_, rule)| rule).filter(|rule| !rule.windows().is_empty()) {
            let offset = rule.limit.offset_seconds;
            rule.subjects(ask, &parts, |key, tag| {
                let bank = Books::bank(rule, &parts, tag);
                let mut open = self.books.open(1 << bank, at);
                let now = open.now;
                let (then, calendar) = (Calendar::of(then, offset), Calendar::of(now.seconds, offset));
                let Some(bank) = open.bank(0) else { return };
                let running = |span| then.ends(span) == calendar.ends(span);
                if !rule.windows().iter().any(|window| running(window.span)) {
                    return;
                }
                bank.tidy(now);
                let key = split(key);
                let place = bank.place(key, rule, now);
                let slot = bank.ensure(place, key, rule, || rule.crowd.is_none().then(|| rule.name(ask)));
                if let Some(meter) = bank.meter(slot) {
                    meter.restore(rule, &then, &calendar, spent, now);
                }
            });
        }
    }

    /// The limits, in the order in which [`Limits::view`] shows them.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.rules.iter().map(|rule| &rule.limit)
    }

    /// How often each limit let requests in, since the process began: those of this policy, and those that there were before.
    pub fn admissions(&self) -> impl Iterator<Item = Admissions<'_>> {
        self.tallies.values().map(|tally| tally.read())
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(super) fn rule(&self, place: u32) -> Option<&Rule> {
        self.rules.get(place as usize)
    }

    /// Where a request counts: nothing is looked up yet.
    fn held(&self, ask: &Ask<'_>) -> Held {
        if self.rules.is_empty() {
            return Held::default();
        }
        let mut held = Held::with_room(self.common.min(16));
        let parts = Parts::of(ask);
        for (place, rule) in self.applying(ask, Rule::applies) {
            rule.subjects(ask, &parts, |key, tag| held.add(place, rule, Books::bank(rule, &parts, tag), split(key)));
        }
        held.arrange()
    }

    pub(super) fn applying<'l>(
        &'l self,
        ask: &'l Ask<'_>,
        applies: impl Fn(&Rule, &Ask<'_>) -> bool + 'l,
    ) -> impl Iterator<Item = (u32, &'l Rule)> + 'l {
        let common = self.rules.iter().take(self.common).enumerate().map(|(place, rule)| (place as u32, rule));
        let own = (!self.own.is_empty()).then(|| self.own.get(&ask.key.digest())).flatten();
        let own = own.and_then(|place| Some((*place, self.rule(*place)?)));
        common.chain(own).filter(move |(_, rule)| applies(rule, ask))
    }
}

/// The halves of a subject.
pub(super) fn split(key: u128) -> [u64; 2] {
    [(key >> 64) as u64, key as u64]
}
