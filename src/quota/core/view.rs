//! Limits as `/status` shows them.

use std::collections::HashMap;
use std::sync::Arc;

use super::bank::Bank;
use super::books::BANKS;
use super::meter::{Key, Meter, Now};
use super::rule::Rule;
use super::subject::Parts;
use super::verdict::Measure;
use super::window::Calendar;
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
    /// Subjects that it counts.
    pub subjects: u64,
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

    fn used(&self) -> u64 {
        self.reserved.saturating_add(self.settled)
    }

    /// The used share, in thousandths.
    pub fn permille(&self) -> u64 {
        let share = u128::from(self.used()) * 1000 / u128::from(self.most.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl SubjectView {
    fn permille(&self) -> u64 {
        self.measures.iter().map(MeasureView::permille).max().unwrap_or(0)
    }
}

impl Limits {
    /// Every limit as it stands, with at most `top` subjects each.
    pub fn view(&self, at: Moment, top: usize) -> View {
        let shown = |rule: &Rule| LimitView { limit: Arc::clone(&rule.limit), subjects: 0, top: Vec::new() };
        let mut view = View { limits: self.rules().iter().map(shown).collect(), ..View::default() };
        let places: HashMap<u32, usize> = self.rules().iter().enumerate().map(|(place, rule)| (rule.owner(), place)).collect();
        for place in 0..BANKS as u8 {
            let mut open = self.books.open(1 << place, at);
            let now = open.now;
            let Some(bank) = open.bank(0) else { continue };
            view.meters += bank.len() as u64;
            view.crowded += bank.crowded;
            let Bank { meters, names, lines, .. } = bank;
            for (slot, meter) in meters.each() {
                let Some(place) = places.get(&meter.owner) else { continue };
                let (Some(rule), Some(limit)) = (self.rules().get(*place), view.limits.get_mut(*place)) else { continue };
                limit.subjects += 1;
                let (fullness, measures) = measures(rule, meter, now);
                let rank = limit.top.partition_point(|other| other.permille() >= fullness);
                if rank < top && measures.iter().any(|measure| measure.used() > 0) {
                    let name = names.get(&meter.key).map_or_else(|| name(rule, meter.key), |name| name.to_string());
                    let waiting = lines.get(&slot).map_or(0, |line| line.len() as u64);
                    limit.top.insert(rank, SubjectView { name, under_way: meter.running.into(), waiting, measures });
                    limit.top.truncate(top);
                }
            }
        }
        view
    }
}

/// How full the fullest bound is, in thousandths, and what each has.
fn measures(rule: &Rule, meter: &mut Meter, now: Now) -> (u64, Vec<MeasureView>) {
    let calendar = Calendar::of(now.seconds, rule.limit.offset_seconds);
    let (requests, tokens) = meter.rates(now);
    let most = &rule.limit.most;
    let passing = [
        (Measure::RequestsPerMinute, most.requests_per_minute, requests),
        (Measure::TokensPerMinute, most.tokens_per_minute, tokens),
        (Measure::Concurrent, most.concurrent, meter.running.into()),
    ];
    let passing =
        passing.into_iter().filter_map(|(measure, most, settled)| Some(MeasureView { measure, most: most?, reserved: 0, settled }));
    let windows = rule.windows().iter().map(|window| {
        let (reserved, settled) = meter.stands(window, &calendar, now);
        MeasureView { measure: Measure::Window(window.unit, window.span), most: window.most, reserved, settled }
    });
    let all: Vec<_> = passing.chain(windows).collect();
    (all.iter().map(MeasureView::permille).max().unwrap_or(0), all)
}

/// What can be said of a subject whose name is not kept.
fn name(rule: &Rule, key: Key) -> String {
    let [high, low] = key.map(u128::from);
    let key = high << 64 | low;
    match rule.limit.per.as_slice() {
        _ if key == rule.other() => "(others)".to_owned(),
        [of @ (Dimension::User | Dimension::Tag)] => format!("{:032x}", Parts::digest_of(key.wrapping_sub(rule.seed), *of)),
        _ => format!("#{:032x}", key),
    }
}
