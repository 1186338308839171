//! What one limit counts for one subject.

use super::Amount;
use super::rates::{Rates, Told};
use super::rule::Rule;
use super::verdict::{Again, Crossing, Left, Measure, Room};
use super::view::MeasureView;
use super::window::{Calendar, Cell, until};
use crate::config::{Span, Unit, Window};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A subject of a limit, 128 bits.
pub(super) type Key = [u64; 2];

/// The windows in which a reservation was admitted: when each ends, by unit and span; 0 where none.
pub(super) type Admitted = [u32; 6];

/// Now, as the books count it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Nanoseconds of the books' own clock, never less than what any of the banks in question has seen.
    pub(super) nanos: u64,
    /// Seconds since the Unix epoch.
    pub(super) seconds: u32,
    pub(super) wall: SystemTime,
}

/// A bound that is exceeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lack {
    pub(super) measure: Measure,
    pub(super) most: u64,
    pub(super) used: u64,
    pub(super) held: u64,
    pub(super) asked: u64,
    pub(super) again: Again,
    /// Whether it lasts until `again` whatever those under way come to.
    pub(super) firm: bool,
}

/// The count of one subject.
#[derive(Debug)]
pub(super) struct Meter {
    /// Zero: the place is free.
    pub(super) key: Key,
    /// Whose subject it is: [`Rule::owner`].
    pub(super) owner: u32,
    /// Reservations that are open.
    pub(super) running: u32,
    /// What was told of them.
    told: Told,
    rates: Option<Box<Rates>>,
    cells: Box<[Cell]>,
}

impl Meter {
    pub(super) fn new(key: Key, owner: u32) -> Self {
        Self { key, owner, running: 0, told: Told::default(), rates: None, cells: Box::default() }
    }

    /// Whether nothing is lost with it. Lets go of rates that no longer count.
    pub(super) fn idle(&mut self, now: Now) -> bool {
        if self.running > 0 {
            return false;
        }
        if let Some(rates) = &mut self.rates {
            rates.expire(now.nanos);
            if !rates.is_empty() {
                return false;
            }
            self.rates = None;
        }
        self.told.is_over(now.nanos) && self.cells.iter().all(|cell| cell.idle(now.seconds))
    }

    /// Moves on to now, and tells every bound of the rule that this does not fit.
    pub(super) fn check(&mut self, rule: &Rule, calendar: &Calendar, ask: &Asked, now: Now, mut lacks: impl FnMut(Lack)) {
        let most = &rule.limit.most;
        if let Some(rates) = &mut self.rates {
            rates.expire(now.nanos);
        }
        if rule.rated() {
            self.check_rates(rule, ask, now, &mut lacks);
        }
        if let Some(most) = most.concurrent
            && u64::from(self.running) + ask.requests > most
        {
            let used = u64::from(self.running);
            let again = if ask.requests > most { Again::Never } else { Again::OnRelease(Duration::ZERO) };
            lacks(Lack { measure: Measure::Concurrent, most, used, held: used, asked: ask.requests, again, firm: false });
        }
        for window in rule.windows() {
            let (Cell { reserved, settled, ends, .. }, asked) = (self.cell_at(window, calendar, now), ask.of(window.unit));
            let used = reserved.saturating_add(settled);
            if asked == 0 || used.saturating_add(asked) <= window.most {
                continue;
            }
            let again = if asked > window.most { Again::Never } else { Again::In(until(ends, now.wall)) };
            let firm = settled.saturating_add(asked) > window.most;
            let measure = Measure::Window(window.unit, window.span);
            lacks(Lack { measure, most: window.most, used, held: reserved, asked, again, firm });
        }
    }

    fn check_rates(&self, rule: &Rule, ask: &Asked, now: Now, lacks: &mut impl FnMut(Lack)) {
        let rates = self.rates.as_deref();
        let mut bound = |measure, most: Option<u64>, used: u64, asked: u64, wait: &dyn Fn(u64) -> u64| {
            let Some(most) = most else { return };
            if asked == 0 || used.saturating_add(asked) <= most {
                return;
            }
            let wait = || Duration::from_nanos(wait(used.saturating_add(asked) - most));
            let again = if asked > most { Again::Never } else { Again::In(wait()) };
            // Requests do not come back; tokens may, where less is used than was reserved.
            let firm = measure == Measure::RequestsPerMinute;
            lacks(Lack { measure, most, used, held: 0, asked, again, firm });
        };
        let most = &rule.limit.most;
        let (requests, tokens) = rates.map_or((0, 0), |rates| (rates.requests(), rates.tokens()));
        let wait = |excess| rates.map_or(0, |rates| rates.until_requests_leave(excess, now.nanos));
        bound(Measure::RequestsPerMinute, most.requests_per_minute, requests, ask.requests, &wait);
        let wait = |excess| rates.map_or(0, |rates| rates.until_tokens_leave(excess, now.nanos));
        bound(Measure::TokensPerMinute, most.tokens_per_minute, tokens, ask.amount.tokens, &wait);
    }

    /// Counts a new reservation, and tells in which windows.
    pub(super) fn admit(&mut self, rule: &Rule, calendar: &Calendar, amount: Amount, now: Now) -> Admitted {
        self.running = self.running.saturating_add(1);
        if rule.rated() {
            self.rates.get_or_insert_with(|| Box::new(Rates::new())).push(now.nanos, 1, amount.tokens);
        }
        let mut admitted = Admitted::default();
        for window in rule.windows() {
            let cell = self.turned(window, calendar, now);
            cell.reserved = cell.reserved.saturating_add(amount.of(window.unit));
            admitted[place(window)] = cell.ends;
        }
        admitted
    }

    /// Counts more for a reservation.
    pub(super) fn extend(&mut self, rule: &Rule, admitted: &Admitted, more: Amount, now: Now) {
        if rule.rated() {
            self.rates.get_or_insert_with(|| Box::new(Rates::new())).push(now.nanos, 0, more.tokens);
        }
        for window in rule.windows() {
            if let Some(cell) = self.admitting(window, admitted) {
                cell.reserved = cell.reserved.saturating_add(more.of(window.unit));
            }
        }
    }

    /// Tells every bound of the rule that more for a reservation does not fit. What a window that is over had left is not
    /// known any more, so that nothing more can be said to fit there.
    pub(super) fn check_more(&mut self, rule: &Rule, admitted: &Admitted, more: Amount, now: Now, mut lacks: impl FnMut(Lack)) {
        if let Some(rates) = &mut self.rates {
            rates.expire(now.nanos);
        }
        self.check_rates(rule, &Asked { requests: 0, amount: more }, now, &mut lacks);
        for window in rule.windows() {
            let (asked, most, measure) = (more.of(window.unit), window.most, Measure::Window(window.unit, window.span));
            let (used, held, again) = match self.admitting(window, admitted) {
                Some(cell) => (cell.used(), cell.reserved, Again::In(until(cell.ends, now.wall))),
                None => (most, 0, Again::Never),
            };
            if asked > 0 && used.saturating_add(asked) > most {
                lacks(Lack { measure, most, used, held, asked, again, firm: false });
            }
        }
    }

    /// Ends a reservation: what was reserved becomes what it came to.
    pub(super) fn settle(&mut self, rule: &Rule, admitted: &Admitted, ended: &Ended<'_>, now: Now, told: &mut Vec<Crossing>) {
        self.running = self.running.saturating_sub(1);
        if let Some(rates) = self.rates.as_mut().filter(|_| rule.rated()) {
            ended.give_back(rates, now);
        }
        let overrun = ended.actual.tokens.saturating_sub(ended.reserved.tokens);
        if overrun > 0 && rule.rated() {
            let rates = self.rates.get_or_insert_with(|| Box::new(Rates::new()));
            rates.expire(now.nanos);
            rates.push(now.nanos, 0, overrun);
        }
        for window in rule.windows() {
            let Some(cell) = self.admitting(window, admitted) else { continue };
            cell.reserved = cell.reserved.saturating_sub(ended.reserved.of(window.unit));
            cell.settled = cell.settled.saturating_add(ended.actual.of(window.unit));
            let level = rule.level(cell.settled, window.most);
            if level > cell.told {
                cell.told = level;
                told.extend(crossing(rule, Measure::Window(window.unit, window.span), level, cell.settled, window.most));
            }
        }
    }

    /// Puts back what was spent before, in the windows that hold both then and now.
    pub(super) fn restore(&mut self, rule: &Rule, then: &Calendar, calendar: &Calendar, spent: Amount, now: Now) {
        for window in rule.windows().iter().filter(|window| then.ends(window.span) == calendar.ends(window.span)) {
            let cell = self.turned(window, calendar, now);
            cell.settled = cell.settled.saturating_add(spent.of(window.unit));
            // What was crossed was told before the restart.
            cell.told = rule.level(cell.settled, window.most);
        }
    }

    /// What is left, where it is less than what is known, the highest threshold that is passed, and which were crossed now.
    pub(super) fn left(&mut self, rule: &Rule, now: Now, left: &mut Left, told: &mut Vec<Crossing>) {
        let most = &rule.limit.most;
        let mut level = most.concurrent.map_or(0, |most| rule.level(self.running.into(), most));
        if let Some(rates) = &self.rates {
            let reset = || Duration::from_nanos(rates.until_empty(now.nanos));
            if let Some(most) = most.requests_per_minute {
                tighten(&mut left.requests, most, rates.requests(), reset);
                level = level.max(rule.level(rates.requests(), most));
            }
            if let Some(most) = most.tokens_per_minute {
                tighten(&mut left.tokens, most, rates.tokens(), reset);
                level = level.max(rule.level(rates.tokens(), most));
            }
        }
        for window in rule.windows() {
            let Some(cell) = self.cells.iter().find(|cell| cell.counts(window)) else { continue };
            level = level.max(rule.level(cell.settled, window.most));
            if window.unit == Unit::Usd {
                tighten(&mut left.budget, window.most, cell.used(), || until(cell.ends, now.wall));
            }
        }
        if level > 0 {
            left.warning = left.warning.max(rule.threshold(level));
            self.tell_passing(rule, now, told);
        }
    }

    /// What each bound of the rule has, as of now.
    pub(super) fn each(&mut self, rule: &Rule, calendar: &Calendar, now: Now, mut told: impl FnMut(MeasureView)) {
        let most = &rule.limit.most;
        let (mut requests, mut tokens, mut frees_in) = (0, 0, None);
        if let Some(rates) = &mut self.rates {
            rates.expire(now.nanos);
            (requests, tokens) = (rates.requests(), rates.tokens());
            frees_in = (!rates.is_empty()).then(|| Duration::from_nanos(rates.until_empty(now.nanos)));
        }
        let passing = [
            (Measure::RequestsPerMinute, most.requests_per_minute, requests, frees_in),
            (Measure::TokensPerMinute, most.tokens_per_minute, tokens, frees_in),
            (Measure::Concurrent, most.concurrent, self.running.into(), None),
        ];
        for (measure, most, settled, frees_in) in passing {
            if let Some(most) = most {
                told(MeasureView { measure, most, reserved: 0, settled, frees_in });
            }
        }
        for window in rule.windows() {
            let Cell { reserved, settled, ends, .. } = self.cell_at(window, calendar, now);
            let (measure, frees_in) = (Measure::Window(window.unit, window.span), Some(until(ends, now.wall)));
            told(MeasureView { measure, most: window.most, reserved, settled, frees_in });
        }
    }

    fn tell_passing(&mut self, rule: &Rule, now: Now, told: &mut Vec<Crossing>) {
        let most = &rule.limit.most;
        if let Some(most) = most.concurrent {
            let used = u64::from(self.running);
            let level = rule.level(used, most);
            if self.told.reach(level, now.nanos) {
                told.extend(crossing(rule, Measure::Concurrent, level, used, most));
            }
        }
        let Some(rates) = &mut self.rates else { return };
        let bounds = [
            (Measure::RequestsPerMinute, most.requests_per_minute, rates.requests()),
            (Measure::TokensPerMinute, most.tokens_per_minute, rates.tokens()),
        ];
        for ((measure, most, used), before) in bounds.into_iter().zip(&mut rates.told) {
            let Some(most) = most else { continue };
            let level = rule.level(used, most);
            if before.reach(level, now.nanos) {
                told.extend(crossing(rule, measure, level, used, most));
            }
        }
    }

    fn cell(&mut self, window: &Window) -> Option<&mut Cell> {
        self.cells.iter_mut().find(|cell| cell.counts(window))
    }

    /// What it has in a window, as of now.
    fn cell_at(&self, window: &Window, calendar: &Calendar, now: Now) -> Cell {
        let ends = calendar.ends(window.span);
        let cell = self.cells.iter().find(|cell| cell.counts(window));
        cell.map_or_else(|| Cell::new(window.unit, window.span, ends), |cell| cell.at(now.seconds, ends))
    }

    /// The cell of a window, moved on to now.
    fn turned(&mut self, window: &Window, calendar: &Calendar, now: Now) -> &mut Cell {
        let ends = calendar.ends(window.span);
        let place = self.cells.iter().position(|cell| cell.counts(window)).unwrap_or_else(|| {
            let mut cells = std::mem::take(&mut self.cells).into_vec();
            cells.reserve_exact(1);
            cells.push(Cell::new(window.unit, window.span, ends));
            self.cells = cells.into_boxed_slice();
            self.cells.len() - 1
        });
        let cell = &mut self.cells[place];
        *cell = cell.at(now.seconds, ends);
        cell
    }

    /// The cell that admitted a reservation, while it is still of the same window.
    fn admitting(&mut self, window: &Window, admitted: &Admitted) -> Option<&mut Cell> {
        self.cell(window).filter(|cell| cell.ends == admitted[place(window)])
    }
}

/// What is asked for at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) requests: u64,
    pub(super) amount: Amount,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'r> {
    /// When tokens were counted to rates, and how many: at first with the request itself, and later.
    pub(super) first: (u64, u64),
    pub(super) later: &'r [(u64, u64)],
    pub(super) reserved: Amount,
    pub(super) actual: Amount,
    /// Whether the request itself does not count, nothing having been sent.
    pub(super) cancelled: bool,
}

impl Ended<'_> {
    /// Gives back what was not used, the latest first: what was not produced would have come last.
    fn give_back(&self, rates: &mut Rates, now: Now) {
        let mut unused = self.reserved.tokens.saturating_sub(self.actual.tokens);
        for (at, tokens) in self.later.iter().rev() {
            let back = unused.min(*tokens);
            unused -= back;
            rates.refund(*at, now.nanos, 0, back);
        }
        let (at, tokens) = self.first;
        rates.refund(at, now.nanos, u32::from(self.cancelled), unused.min(tokens));
    }
}

impl Asked {
    fn of(&self, unit: Unit) -> u64 {
        self.amount.of(unit)
    }
}

impl Cell {
    fn counts(&self, window: &Window) -> bool {
        (self.unit, self.span) == (window.unit, window.span)
    }
}

fn place(window: &Window) -> usize {
    let unit = match window.unit {
        Unit::Usd => 0,
        Unit::Tokens => 3,
    };
    unit + match window.span {
        Span::Hour => 0,
        Span::Day => 1,
        Span::Month => 2,
    }
}

fn crossing(rule: &Rule, measure: Measure, level: u8, used: u64, most: u64) -> Option<Crossing> {
    let permille = rule.threshold(level)?;
    Some(Crossing { limit: Arc::clone(&rule.limit), measure, permille, used, most })
}

fn tighten(room: &mut Option<Room>, most: u64, used: u64, reset: impl Fn() -> Duration) {
    let remaining = most.saturating_sub(used);
    if room.is_none_or(|room| remaining < room.remaining) {
        *room = Some(Room { most, remaining, reset: reset() });
    }
}
