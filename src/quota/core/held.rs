//! The meters that one request counts in.

use std::task::Waker;
use std::time::Duration;

use super::bank::Place;
use super::books::Open;
use super::limits::Limits;
use super::meter::{Admitted, Asked, Ended, Key, Meter};
use super::reservation::Admission;
use super::rule::Rule;
use super::subject::Ask;
use super::unfit::{Unfit, Verdict};
use super::{Amount, Crossing};
use crate::config::OnOverrun;

/// The meters that one request counts in, at most one for each subject.
#[derive(Default)]
pub(super) struct Held {
    /// Their banks, as bits.
    pub(super) banks: u32,
    all: Vec<Hold>,
}

/// One of them.
struct Hold {
    rule: u32,
    bank: u8,
    /// Which of the banks that are open this one is.
    open: u8,
    /// Whether it turned out to be another's meter, which counts it already.
    double: bool,
    /// Whether it does not fit there.
    lacks: bool,
    /// Whether it stands in the meter's line.
    queued: bool,
    place: Place,
    key: Key,
    admitted: Admitted,
}

/// A line is as long as it may be.
pub(super) struct LineFull;

impl Held {
    pub(super) fn with_room(subjects: usize) -> Self {
        Self { banks: 0, all: Vec::with_capacity(subjects) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a subject of a rule. One that has several may name a tag twice.
    pub(super) fn add(&mut self, place: u32, rule: &Rule, bank: u8, key: Key) {
        if rule.per_tag && self.all.iter().rev().take_while(|hold| hold.rule == place).any(|hold| hold.key == key) {
            return;
        }
        self.banks |= 1 << bank;
        self.all.push(Hold {
            rule: place,
            bank,
            open: 0,
            double: false,
            lacks: false,
            queued: false,
            place: Place::Own,
            key,
            admitted: Admitted::default(),
        });
    }

    /// All are there: tells each where its bank will be among those that are opened.
    pub(super) fn arrange(mut self) -> Self {
        for hold in &mut self.all {
            hold.open = (self.banks & ((1 << hold.bank) - 1)).count_ones() as u8;
        }
        self
    }

    /// Finds the meters, and whether the request fits in all of them. Whoever waits has a ticket.
    ///
    /// # Errors
    /// It does not fit.
    pub(super) fn fit(&mut self, limits: &Limits, open: &mut Open<'_>, bound: Amount, ticket: Option<u64>) -> Result<(), Unfit> {
        let now = open.now;
        let ask = Asked { requests: 1, amount: bound };
        let mut verdict = Verdict::default();
        // Before any meter is looked up: what is found must stay until it is counted in.
        open.banks().for_each(|bank| bank.tidy(now));
        for at in 0..self.all.len() {
            let (before, rest) = self.all.split_at_mut(at);
            let Some((hold, rule)) = rest.first_mut().and_then(|hold| hold.with(limits)) else { continue };
            let calendar = open.calendar(rule);
            let Some(bank) = open.bank(hold.open) else { continue };
            hold.place = bank.place(hold.key, rule, now);
            let of_rule = |other: &&Hold| other.rule == hold.rule;
            // Meters of their own that are not there yet are two, not one.
            hold.double = rule.per_tag
                && hold.place != Place::Own
                && before.iter().rev().take_while(of_rule).any(|other| (other.bank, other.place) == (hold.bank, hold.place));
            hold.lacks = false;
            if hold.double {
                continue;
            }
            let mut lacks = |lack| {
                hold.lacks = true;
                verdict.add(rule, lack);
            };
            match hold.place {
                Place::Own | Place::Others => Meter::new(hold.key, 0).check(rule, &calendar, &ask, now, &mut lacks),
                Place::At(slot) => {
                    if rule.queue.is_some() && bank.lines.get(&slot).is_some_and(|line| line.is_before(ticket)) {
                        lacks(rule.stands_behind());
                    }
                    if let Some(meter) = bank.meter(slot) {
                        meter.check(rule, &calendar, &ask, now, &mut lacks);
                    }
                }
            }
        }
        verdict.result()
    }

    /// Counts the request in every meter: after [`Held::fit`], while the banks are still open.
    pub(super) fn admit(&mut self, limits: &Limits, open: &mut Open<'_>, bound: Amount, ask: Option<&Ask<'_>>) -> Admission {
        let now = open.now;
        let mut admission = Admission::default();
        let mut counted = None;
        for hold in &mut self.all {
            let Some((hold, rule)) = hold.with(limits).filter(|(hold, _)| !hold.double) else { continue };
            let calendar = open.calendar(rule);
            let Some(bank) = open.bank(hold.open) else { continue };
            let slot = bank.ensure(hold.place, hold.key, rule, || ask.filter(|_| rule.crowd.is_none()).map(|ask| rule.name(ask)));
            hold.place = Place::At(slot);
            let Some(meter) = bank.meter(slot) else { continue };
            hold.admitted = meter.admit(rule, &calendar, bound, now);
            // Its subjects stand side by side: a request with several tags is one.
            if counted.replace(hold.rule) != Some(hold.rule) {
                rule.tally.admit(hold.queued);
            }
            meter.left(rule, now, &mut admission.left, &mut admission.crossings);
        }
        admission
    }

    /// Whether more fits in all meters.
    ///
    /// # Errors
    /// It does not, and a limit says to cut.
    pub(super) fn fit_more(&mut self, limits: &Limits, open: &mut Open<'_>, more: Amount) -> Result<bool, Unfit> {
        let now = open.now;
        let (mut verdict, mut cuts) = (Verdict::default(), Verdict::default());
        self.each(limits, open, |hold, rule, meter| {
            meter.check_more(rule, &hold.admitted, more, now, |lack| match rule.limit.on_overrun {
                OnOverrun::Cut => cuts.add(rule, lack),
                OnOverrun::Finish => verdict.add(rule, lack),
            });
        });
        cuts.result()?;
        Ok(verdict.result().is_ok())
    }

    /// Counts more for the request.
    pub(super) fn extend(&mut self, limits: &Limits, open: &mut Open<'_>, more: Amount) {
        let now = open.now;
        self.each(limits, open, |hold, rule, meter| meter.extend(rule, &hold.admitted, more, now));
    }

    /// Ends the request in every meter, and tells who may have room now.
    pub(super) fn settle(
        &mut self,
        limits: &Limits,
        open: &mut Open<'_>,
        ended: &Ended<'_>,
        told: &mut Vec<Crossing>,
        wakers: &mut Vec<Waker>,
    ) {
        let now = open.now;
        self.each(limits, open, |hold, rule, meter| meter.settle(rule, &hold.admitted, ended, now, told));
        for hold in &self.all {
            let (Place::At(slot), Some(bank)) = (hold.place, open.bank(hold.open)) else { continue };
            wakers.extend(bank.lines.get_mut(&slot).and_then(|line| line.wake_first()));
        }
    }

    /// Takes a place in the line of each meter that queues and has no room, which must exist from then on.
    ///
    /// # Errors
    /// A line is as long as it may be.
    pub(super) fn join(
        &mut self,
        limits: &Limits,
        open: &mut Open<'_>,
        ticket: u64,
        waker: &Waker,
        mut joined: impl FnMut(Duration),
    ) -> Result<(), LineFull> {
        for hold in &mut self.all {
            let Some((hold, rule)) = hold.with(limits) else { continue };
            let Some(bank) = open.bank(hold.open) else { continue };
            let Some((timeout, length_max)) = rule.queue.filter(|_| hold.queued || hold.lacks && !hold.double) else { continue };
            let slot = bank.ensure(hold.place, hold.key, rule, || None);
            hold.place = Place::At(slot);
            let line = bank.lines.entry(slot).or_default();
            if !hold.queued && line.len() >= length_max {
                return Err(LineFull);
            }
            line.join(ticket, waker);
            hold.queued = true;
            joined(timeout);
        }
        Ok(())
    }

    /// Leaves every line, and tells who is first now.
    pub(super) fn leave(&mut self, open: &mut Open<'_>, ticket: u64, wakers: &mut Vec<Waker>) {
        for hold in self.all.iter_mut().filter(|hold| hold.queued) {
            hold.queued = false;
            let (Place::At(slot), Some(bank)) = (hold.place, open.bank(hold.open)) else { continue };
            let Some(line) = bank.lines.get_mut(&slot) else { continue };
            if line.leave(ticket) {
                wakers.extend(line.wake_first());
            }
            if line.is_empty() {
                bank.lines.remove(&slot);
            }
        }
    }

    fn each(&mut self, limits: &Limits, open: &mut Open<'_>, mut each: impl FnMut(&Hold, &Rule, &mut Meter)) {
        for hold in &mut self.all {
            let Some((hold, rule)) = hold.with(limits).filter(|(hold, _)| !hold.double) else { continue };
            let Place::At(slot) = hold.place else { continue };
            if let Some(meter) = open.bank(hold.open).and_then(|bank| bank.meter(slot)) {
                each(hold, rule, meter);
            }
        }
    }
}

impl Hold {
    /// With its rule.
    fn with<'h>(&'h mut self, limits: &'h Limits) -> Option<(&'h mut Self, &'h Rule)> {
        let rule = limits.rule(self.rule)?;
        Some((self, rule))
    }
}
