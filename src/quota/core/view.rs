//! Limits as `/status` shows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::bank::Bank;
use super::books::BANKS;
use super::meter::{Key, Meter, Now};
use super::rule::Rule;
use super::subject::Parts;
use super::verdict::Measure;
use super::window::{Calendar, seconds};
use super::{Limits, Moment};
use crate::config::{Dimension, Limit};

/// Every limit, as it stands.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The limits, in the order of the configuration, then those of keys.
    pub limits: Vec<LimitView>,
    /// Subjects of limits that are counted apart.
    pub meters: u64,
    /// Times that a subject was counted with others, since there was no room for one more.
    pub crowded: u64,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct LimitView {
    /// Which.
    pub limit: Arc<Limit>,
    /// What each bound has for somebody who used nothing.
    pub bounds: Vec<MeasureView>,
    /// Subjects that it counts.
    pub subjects: u64,
    /// Requests of all of them that are under way.
    pub under_way: u64,
    /// Requests of all of them that wait in line.
    pub waiting: u64,
    /// Those that used most of what they may, the fullest first.
    pub top: Vec<SubjectView>,
}

/// One subject of a limit.
#[derive(Clone, Debug)]
pub struct SubjectView {
    /// Its values in the order of `per`, as far as they are known; an end user or a tag by its digest, in hex.
    pub name: String,
    /// Requests under way.
    pub under_way: u64,
    /// Requests that wait in line.
    pub waiting: u64,
    /// What each bound has.
    pub measures: Vec<MeasureView>,
}

/// One bound for one subject: reserved + settled + free = most + debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasureView {
    /// Which.
    pub measure: Measure,
    /// How much is allowed.
    pub most: u64,
    /// Reserved by what is under way. Of rates, which do not tell it apart, this is 0.
    pub reserved: u64,
    /// Settled, or passed.
    pub settled: u64,
    /// After this time all of it is there again: a window's end, or when the last that counts to a rate leaves. `None`:
    /// nothing is used, or it depends on those under way.
    pub frees_in: Option<Duration>,
}

impl MeasureView {
    /// What may still be had.
    pub fn free(&self) -> u64 {
        self.most.saturating_sub(self.used())
    }

    /// What is used beyond the bound.
    pub fn debt(&self) -> u64 {
        self.used().saturating_sub(self.most)
    }

    /// What is used up.
    pub fn used(&self) -> u64 {
        self.reserved.saturating_add(self.settled)
    }

    /// The used share; 1 where nothing is allowed.
    pub fn share(&self) -> f64 {
        if self.most == 0 { 1.0 } else { self.used() as f64 / self.most as f64 }
    }

    /// By which subjects are ranked: the used share in billionths, more than nothing where anything is used.
    fn rank(&self) -> u64 {
        let share = u128::from(self.used()) * 1_000_000_000 / u128::from(self.most.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).max(self.used().min(1))
    }
}

impl SubjectView {
    fn rank(&self) -> u64 {
        self.measures.iter().map(MeasureView::rank).max().unwrap_or(0)
    }
}

impl Limits {
    /// Every limit as it stands, with at most `top` subjects each. Few subjects are looked at under one lock, so that nobody
    /// waits for whoever looks; each of them is told as it was at one instant.
    pub fn view(&self, at: Moment, top: usize) -> View {
        let mut view = View { limits: self.rules().iter().map(|rule| unused(rule, at)).collect(), ..View::default() };
        let places: HashMap<u32, usize> = self.rules().iter().enumerate().map(|(place, rule)| (rule.owner(), place)).collect();
        for place in 0..BANKS as u8 {
            for number in 0.. {
                let mut open = self.books.open(1 << place, at);
                let now = open.now;
                let Some(bank) = open.bank(0) else { break };
                if number == 0 {
                    view.meters += bank.len() as u64;
                    view.crowded += bank.crowded;
                }
                let Bank { meters, names, lines, .. } = bank;
                let Some(meters) = meters.chunk(number) else { break };
                for (slot, meter) in meters {
                    let Some(place) = places.get(&meter.owner) else { continue };
                    let (Some(rule), Some(limit)) = (self.rules().get(*place), view.limits.get_mut(*place)) else { continue };
                    let waiting = lines.get(&slot).map_or(0, |line| line.len() as u64);
                    limit.add(rule, meter, waiting, now, top, |key| names.get(&key));
                }
            }
        }
        view
    }
}

/// A limit of which nothing is used.
fn unused(rule: &Rule, at: Moment) -> LimitView {
    let now = Now { nanos: 0, seconds: seconds(at.wall), wall: at.wall };
    let bounds = measures(rule, &mut Meter::new([0, 0], 0), now);
    LimitView { limit: Arc::clone(&rule.limit), bounds, subjects: 0, under_way: 0, waiting: 0, top: Vec::new() }
}

impl LimitView {
    fn add<'n>(&mut self, rule: &Rule, meter: &mut Meter, waiting: u64, now: Now, top: usize, known: impl Fn(Key) -> Option<&'n Box<str>>) {
        self.subjects += 1;
        self.under_way += u64::from(meter.running);
        self.waiting += waiting;
        let mut fullness = 0;
        meter.each(rule, &calendar(rule, now), now, |measure| fullness = fullness.max(measure.rank()));
        let rank = self.top.partition_point(|other| other.rank() >= fullness);
        if rank < top && fullness > 0 {
            let name = known(meter.key).map_or_else(|| name(rule, meter.key), |name| name.to_string());
            let measures = measures(rule, meter, now);
            self.top.insert(rank, SubjectView { name, under_way: meter.running.into(), waiting, measures });
            self.top.truncate(top);
        }
    }
}

pub(super) fn measures(rule: &Rule, meter: &mut Meter, now: Now) -> Vec<MeasureView> {
    let mut all = Vec::new();
    meter.each(rule, &calendar(rule, now), now, |measure| all.push(measure));
    all
}

fn calendar(rule: &Rule, now: Now) -> Calendar {
    if rule.windows().is_empty() { Calendar::NONE } else { Calendar::of(now.seconds, rule.limit.offset_seconds) }
}

/// What can be said of a subject whose name is not kept.
pub(super) fn name(rule: &Rule, key: Key) -> String {
    let [high, low] = key.map(u128::from);
    let key = high << 64 | low;
    match rule.limit.per.as_slice() {
        _ if key == rule.other() => "(others)".to_owned(),
        [of @ (Dimension::User | Dimension::Tag)] => match Parts::digest_of(key.wrapping_sub(rule.seed), *of) {
            0 => "(none)".to_owned(),
            // A user's hash, as the journal has it.
            digest if digest <= u64::MAX.into() => format!("{digest:016x}"),
            digest => format!("{digest:032x}"),
        },
        _ => format!("#{key:032x}"),
    }
}
