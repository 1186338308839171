//! The same limits, told as plainly as possible: lists, searched from the beginning each time.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use outrider::config::{Limit, OnOverrun, Span, Unit};
use outrider::quota::Amount;

const MINUTE: u64 = 60_000_000_000;

/// Reserved by whom, and settled.
type Spent = (HashMap<usize, u64>, u64);

/// What one subject of one limit has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    /// (reservation, when, requests, tokens): what was admitted.
    pub(crate) passed: Vec<(usize, u64, u64, u64)>,
    pub(crate) running: Vec<usize>,
    /// By unit, span and name of the window.
    pub(crate) windows: HashMap<(bool, u8, String), Spent>,
    /// The latest window of each kind.
    reached: HashMap<(bool, u8), String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) nanos: u64,
    pub(crate) wall: Duration,
}

fn kind(unit: Unit, span: Span) -> (bool, u8) {
    (unit == Unit::Usd, span as u8)
}

/// The window that holds an instant, by how it is written: the beginning of the date.
pub(crate) fn name(span: Span, wall: Duration, offset: i32) -> String {
    let local = wall.as_secs().checked_add_signed(offset.into()).unwrap();
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(local)).to_string();
    let length = match span {
        Span::Hour => 13,
        Span::Day => 10,
        Span::Month => 7,
    };
    text[..length].to_owned()
}

fn of(unit: Unit, amount: Amount) -> u64 {
    if unit == Unit::Usd { amount.cost.0 } else { amount.tokens }
}

impl Count {
    pub(crate) fn requests(&self, now: Now) -> u64 {
        self.passed.iter().filter(|(_, at, ..)| at + MINUTE > now.nanos).map(|(_, _, requests, _)| requests).sum()
    }

    pub(crate) fn tokens(&self, now: Now) -> u64 {
        self.passed.iter().filter(|(_, at, ..)| at + MINUTE > now.nanos).map(|(.., tokens)| tokens).sum()
    }

    /// Reserved and settled in the window of now.
    pub(crate) fn window(&self, limit: &Limit, unit: Unit, span: Span, now: Now) -> (u64, u64) {
        let name = self.current(limit, unit, span, now);
        let (unit, span) = kind(unit, span);
        self.windows.get(&(unit, span, name)).map_or((0, 0), |(reserved, settled)| (reserved.values().sum(), *settled))
    }

    fn current(&self, limit: &Limit, unit: Unit, span: Span, now: Now) -> String {
        let own = name(span, now.wall, limit.offset_seconds);
        self.reached.get(&kind(unit, span)).filter(|reached| **reached > own).cloned().unwrap_or(own)
    }

    pub(crate) fn fits(&self, limit: &Limit, amount: Amount, now: Now) -> bool {
        let most = &limit.most;
        most.requests_per_minute.is_none_or(|most| self.requests(now) < most)
            && most.tokens_per_minute.is_none_or(|most| amount.tokens == 0 || self.tokens(now) + amount.tokens <= most)
            && most.concurrent.is_none_or(|most| (self.running.len() as u64) < most)
            && most.windows.iter().all(|window| {
                let (reserved, settled) = self.window(limit, window.unit, window.span, now);
                let asked = of(window.unit, amount);
                asked == 0 || reserved + settled + asked <= window.most
            })
    }

    pub(crate) fn reserve(&mut self, id: usize, limit: &Limit, amount: Amount, now: Now) {
        self.running.push(id);
        self.passed.push((id, now.nanos, 1, amount.tokens));
        for window in &limit.most.windows {
            let name = self.current(limit, window.unit, window.span, now);
            let (unit, span) = kind(window.unit, window.span);
            self.reached.insert((unit, span), name.clone());
            self.windows.entry((unit, span, name)).or_default().0.insert(id, of(window.unit, amount));
        }
    }

    /// Whether more fits, in the windows that admitted it.
    pub(crate) fn more_fits(&self, id: usize, limit: &Limit, more: Amount, now: Now) -> bool {
        let minute = limit.most.tokens_per_minute.is_none_or(|most| more.tokens == 0 || self.tokens(now) + more.tokens <= most);
        minute
            && limit.most.windows.iter().all(|window| {
                let asked = of(window.unit, more);
                let current = self.reached.get(&kind(window.unit, window.span)).unwrap();
                let (unit, span) = kind(window.unit, window.span);
                let (reserved, settled) = &self.windows[&(unit, span, current.clone())];
                // In one that is over nothing more fits.
                asked == 0 || reserved.contains_key(&id) && reserved.values().sum::<u64>() + settled + asked <= window.most
            })
    }

    pub(crate) fn extend(&mut self, id: usize, more: Amount, now: Now) {
        self.passed.push((id, now.nanos, 0, more.tokens));
        for ((usd, ..), (reserved, _)) in &mut self.windows {
            if let Some(own) = reserved.get_mut(&id) {
                *own += of(if *usd { Unit::Usd } else { Unit::Tokens }, more);
            }
        }
    }

    pub(crate) fn settle(&mut self, id: usize, reserved: Amount, actual: Amount, now: Now, cancelled: bool) {
        self.running.retain(|other| *other != id);
        let mut unused = reserved.tokens.saturating_sub(actual.tokens);
        for (other, at, requests, tokens) in self.passed.iter_mut().rev() {
            if *other == id {
                let back = unused.min(*tokens);
                // What is no longer counted is not given back either, but used up all the same.
                unused -= back;
                if *at + MINUTE > now.nanos {
                    *tokens -= back;
                }
                if cancelled {
                    *requests = 0;
                }
            }
        }
        let overrun = actual.tokens.saturating_sub(reserved.tokens);
        if overrun > 0 {
            self.passed.push((id, now.nanos, 0, overrun));
        }
        for ((usd, ..), (reserved, settled)) in &mut self.windows {
            if reserved.remove(&id).is_some() {
                *settled += of(if *usd { Unit::Usd } else { Unit::Tokens }, actual);
            }
        }
    }

    /// Puts back what was spent in the window of now.
    pub(crate) fn put_back(&mut self, limit: &Limit, unit: Unit, span: Span, spent: Amount, now: Now) {
        let name = self.current(limit, unit, span, now);
        let (usd, of_span) = kind(unit, span);
        self.reached.insert((usd, of_span), name.clone());
        self.windows.entry((usd, of_span, name)).or_default().1 += of(unit, spent);
    }

    /// At most so much in any 60 seconds, of all that was ever admitted.
    pub(crate) fn most_in_any_minute(&self) -> (u64, u64) {
        let sum = |end: u64| {
            let inside = self.passed.iter().filter(|(_, at, ..)| *at <= end && at + MINUTE > end);
            inside.fold((0, 0), |(requests, tokens), (_, _, more, of)| (requests + more, tokens + of))
        };
        let sums = self.passed.iter().map(|(_, at, ..)| sum(*at));
        sums.fold((0, 0), |(requests, tokens), (more, of)| (requests.max(more), tokens.max(of)))
    }
}

pub(crate) fn cuts(limit: &Limit) -> bool {
    limit.on_overrun == OnOverrun::Cut
}
