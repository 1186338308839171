//! Arbitrary interleavings, against the plain reference: every decision, every sum, after every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outrider::config::{Dimension, Limit, Most, OnOverrun, Span, Unit, Window};
use outrider::ir::Operation;
use outrider::quota::{Again, Amount, Ask, Extension, Label, Limits, Measure, Reservation};
use proptest::prelude::*;

use super::reference::{Count, Now, cuts, name};
use super::support::*;

const USERS: [&str; 3] = ["ann", "bob", ""];
const MODELS: [&str; 3] = ["m1", "m2", "x"];
const PROVIDERS: [&str; 2] = ["openai", "anthropic"];

/// What an exchange asks with: places in the lists above.
#[derive(Clone, Copy, Debug)]
struct Who {
    user: usize,
    model: usize,
    provider: Option<usize>,
    light: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(Who, u16, u16),
    Extend(usize, u16, u16),
    /// Which, and which share of what it reserved came of it, in percent.
    Settle(usize, u8),
    Cancel(usize),
    /// Which, and what was noted before it was dropped, in percent.
    Drop(usize, Option<u8>),
    Forward(u32),
    /// Steps the wall clock back by so many seconds, and forward again.
    Wall(i16),
    Reload(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = (0..3_usize, 0..3_usize, prop_oneof![3 => Just(None), 1 => (0..2_usize).prop_map(Some)], prop::bool::weighted(0.1));
    let who = who.prop_map(|(user, model, provider, light)| Who { user, model, provider, light });
    prop_oneof![
        8 => (who, 0..60_u16, 0..60_u16).prop_map(|(who, tokens, cost)| Step::Reserve(who, tokens, cost)),
        2 => (0..20_usize, 0..30_u16, 0..30_u16).prop_map(|(which, tokens, cost)| Step::Extend(which, tokens, cost)),
        4 => (0..20_usize, 0..=200_u8).prop_map(|(which, share)| Step::Settle(which, share)),
        1 => (0..20_usize).prop_map(Step::Cancel),
        1 => (0..20_usize, prop::option::of(0..=100_u8)).prop_map(|(which, share)| Step::Drop(which, share)),
        4 => prop_oneof![Just(0_u32), Just(1_u32), 1..1_000_u32, 1_000..61_000_u32, Just(60_000_u32), Just(3_600_000_u32), Just(86_400_000_u32), Just(700_000_000_u32)].prop_map(Step::Forward),
        1 => (-300..300_i16).prop_map(Step::Wall),
        1 => (0..3_u8).prop_map(Step::Reload),
        1 => Just(Step::Restart),
    ]
}

fn windows(all: &[(Unit, Span, u64)]) -> Vec<Window> {
    all.iter().map(|(unit, span, most)| Window { unit: *unit, span: *span, most: *most }).collect()
}

/// Several limits, as strict as `scale` says.
fn policy_of(scale: u64) -> Vec<Limit> {
    let mut all = limit("all", &[], Most { requests_per_minute: Some(4 * scale), concurrent: Some(2 * scale), ..Most::default() });
    all.offset_seconds = -12_600;
    let mut user = limit("user", &[Dimension::User], tokens(60 * scale));
    user.most.windows = windows(&[(Unit::Tokens, Span::Hour, 150 * scale)]);
    let mut money = limit("money", &[Dimension::Team], Most::default());
    money.most.windows =
        windows(&[(Unit::Usd, Span::Day, 100 * scale), (Unit::Usd, Span::Month, 250 * scale), (Unit::Tokens, Span::Day, 250 * scale)]);
    money.offset_seconds = 7200;
    let mut both = limit("both", &[Dimension::Model, Dimension::User], requests(2 * scale));
    both.when = vec![when(Dimension::Model, &["m*"])];
    both.on_overrun = OnOverrun::Cut;
    both.most.windows = windows(&[(Unit::Usd, Span::Hour, 60 * scale)]);
    let attempt =
        limit("try", &[Dimension::Provider], Most { requests_per_minute: Some(2 * scale), concurrent: Some(scale), ..Most::default() });
    let light = limit("light", &[Dimension::Operation], requests(3 * scale));
    vec![all, user, money, both, attempt, light]
}

/// A reservation that is open, in both worlds.
struct Open {
    id: usize,
    who: Who,
    /// The limits that admitted it.
    under: Arc<Vec<Limit>>,
    reserved: Amount,
    noted: Option<Amount>,
    wall: Duration,
    real: Reservation,
}

struct World {
    clock: Still,
    /// How far the wall clock was ever.
    latest: Duration,
    policy: Arc<Vec<Limit>>,
    real: Arc<Limits>,
    counts: BTreeMap<(usize, Vec<&'static str>), Count>,
    open: Vec<Open>,
    /// (who, when it was admitted, what it came to): what a journal keeps.
    journal: Vec<(Who, Duration, Amount)>,
    next: usize,
    /// Whether nothing comes to more than was reserved for it.
    honest: bool,
    /// Whether what is counted may be more than any limit that is in force now: that of an earlier policy, or, after a
    /// restart, what was spent while the clock was set back, which counted in the window that it had reached.
    reloaded: bool,
    stepped_back: bool,
    /// By how much money and tokens outran their reservations.
    overrun: Amount,
}

fn ask_of<R>(who: Who, then: impl FnOnce(&Ask<'_>) -> R) -> R {
    let mut ask = ask(USERS[who.user], MODELS[who.model]);
    ask.provider = who.provider.map(|provider| Label::new(PROVIDERS[provider]));
    if who.light {
        ask.operation = Operation::CountTokens;
    }
    then(&ask)
}

/// The subjects in which this counts, told from the limits' own words.
fn subjects(policy: &[Limit], who: Who) -> Vec<(usize, Vec<&'static str>)> {
    let value = |of: &Dimension| match of {
        Dimension::Team => "search",
        Dimension::User => USERS[who.user],
        Dimension::Model => MODELS[who.model],
        Dimension::Provider => PROVIDERS[who.provider.unwrap_or(0)],
        Dimension::Operation if who.light => "count_tokens",
        Dimension::Operation => "chat",
        _ => panic!("not used here"),
    };
    let applies = |limit: &Limit| {
        (limit.name == "try") == who.provider.is_some()
            && (limit.name == "light" || !who.light)
            && (limit.name != "both" || MODELS[who.model] != "x")
    };
    let applying = policy.iter().enumerate().filter(|(_, limit)| applies(limit));
    applying.map(|(place, limit)| (place, limit.per.iter().map(value).collect())).collect()
}

impl World {
    fn new(scale: u64, honest: bool) -> Self {
        let clock = Still::new();
        let policy = Arc::new(policy_of(scale));
        let real = limits(&clock, &policy);
        Self {
            clock,
            latest: clock.wall,
            policy,
            real,
            counts: BTreeMap::new(),
            open: Vec::new(),
            journal: Vec::new(),
            next: 0,
            honest,
            reloaded: false,
            stepped_back: false,
            overrun: Amount::ZERO,
        }
    }

    fn now(&self) -> Now {
        Now { nanos: self.clock.elapsed.as_nanos() as u64, wall: self.clock.wall }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Reserve(who, tokens, cost) => self.reserve(*who, amount((*tokens).into(), (*cost).into())),
            Step::Extend(which, tokens, cost) => self.extend(*which, amount((*tokens).into(), (*cost).into())),
            Step::Settle(which, share) => {
                if let Some(open) = self.pick(*which) {
                    let actual = self.share(&open, *share);
                    self.settled(&open, actual, false);
                    let settled = open.real.settle(actual, self.clock.at());
                    assert_eq!(settled.overrun.tokens, actual.tokens.saturating_sub(open.reserved.tokens));
                }
            }
            Step::Cancel(which) => {
                if let Some(open) = self.pick(*which) {
                    self.settled(&open, Amount::ZERO, true);
                    open.real.cancel(self.clock.at());
                }
            }
            Step::Drop(which, share) => {
                if let Some(mut open) = self.pick(*which) {
                    if let Some(share) = share {
                        let noted = self.share(&open, *share);
                        open.noted = Some(noted);
                        open.real.note(noted);
                    }
                    // A dropped one knows no time but that at which it was last touched: the books know better.
                    self.settled(&open, open.noted.unwrap_or(open.reserved), false);
                }
            }
            Step::Forward(millis) => self.clock.forward(Duration::from_millis((*millis).into())),
            Step::Wall(by) => {
                let wall = self.clock.wall.as_secs_f64() + f64::from(*by);
                // Further back than a correction of the clock it is another matter.
                let earliest = self.latest.saturating_sub(seconds(300));
                self.clock.wall = Duration::from_secs_f64(wall).max(earliest);
                self.stepped_back |= *by < 0;
            }
            Step::Reload(scale) => {
                self.policy = Arc::new(policy_of(u64::from(*scale) + 1));
                self.real = self.real.renewed(&policy(&self.policy));
                self.reloaded = true;
            }
            Step::Restart => self.restart(),
        }
        self.latest = self.latest.max(self.clock.wall);
    }

    fn reserve(&mut self, who: Who, bound: Amount) {
        let (now, at) = (self.now(), self.clock.at());
        let subjects = subjects(&self.policy, who);
        let lacking: Vec<_> = subjects
            .iter()
            .filter(|(place, values)| !self.counts.entry((*place, values.clone())).or_default().fits(&self.policy[*place], bound, now))
            .map(|(place, _)| self.policy[*place].name.as_str())
            .collect();
        let before = self.seen();
        match ask_of(who, |ask| self.real.reserve(ask, bound, at)) {
            Ok(real) => {
                assert_eq!(lacking, [""; 0], "admitted, although there is no room");
                for (place, values) in subjects {
                    self.counts.entry((place, values)).or_default().reserve(self.next, &self.policy[place], bound, now);
                }
                let under = Arc::clone(&self.policy);
                self.open.push(Open { id: self.next, who, under, reserved: bound, noted: None, wall: self.clock.wall, real });
                self.next += 1;
            }
            Err(exceeded) => {
                assert!(lacking.contains(&exceeded.limit.name.as_str()), "refused for {exceeded}, although only {lacking:?} lack room");
                assert_eq!(before, self.seen(), "refused, and something was reserved");
            }
        }
    }

    fn extend(&mut self, which: usize, more: Amount) {
        let (now, at) = (self.now(), self.clock.at());
        let Some(mut open) = self.pick(which) else { return };
        let subjects = subjects(&open.under, open.who);
        let lacks = |(place, values): &&(usize, Vec<&'static str>)| {
            let count = &self.counts[&(*place, values.clone())];
            !count.more_fits(open.id, &open.under[*place], more, now)
        };
        let lacking: Vec<_> = subjects.iter().filter(lacks).map(|(place, _)| &open.under[*place]).collect();
        let cut = lacking.iter().any(|limit| cuts(limit));
        // An honest one does not go on where nothing is left.
        if self.honest && !lacking.is_empty() && !cut {
            self.open.push(open);
            return;
        }
        let before = self.seen();
        let extension = open.real.extend(more, at);
        match (&extension, lacking.is_empty(), cut) {
            (Extension::Fits, true, _) | (Extension::Overdrawn, false, false) => {
                if !lacking.is_empty() {
                    self.overrun = plus(self.overrun, more);
                }
                for (place, values) in subjects {
                    self.counts.entry((place, values)).or_default().extend(open.id, more, now);
                }
                open.reserved = plus(open.reserved, more);
            }
            (Extension::Cut(exceeded), false, true) => {
                assert!(cuts(&exceeded.limit), "cut by a limit that lets it finish");
                assert_eq!(before, self.seen(), "cut, and something was reserved");
            }
            _ => panic!("{extension:?}, where {lacking:?} lack room"),
        }
        assert_eq!(open.real.reserved(), open.reserved);
        self.open.push(open);
    }

    fn settled(&mut self, open: &Open, actual: Amount, cancelled: bool) {
        let now = self.now();
        for (place, values) in subjects(&open.under, open.who) {
            self.counts.entry((place, values)).or_default().settle(open.id, open.reserved, actual, now, cancelled);
        }
        self.keep(open.who, open.wall, actual);
        self.overrun = plus(
            self.overrun,
            amount(actual.tokens.saturating_sub(open.reserved.tokens), actual.cost.0.saturating_sub(open.reserved.cost.0)),
        );
    }

    fn share(&self, open: &Open, percent: u8) -> Amount {
        let percent = if self.honest { percent.min(100) } else { percent };
        let share = |of: u64| of * u64::from(percent) / 100;
        amount(share(open.reserved.tokens), share(open.reserved.cost.0))
    }

    /// What was under way is settled at what was noted of it, and what is kept is put back.
    fn restart(&mut self) {
        self.reloaded |= self.stepped_back;
        for open in std::mem::take(&mut self.open) {
            self.keep(open.who, open.wall, open.noted.unwrap_or(open.reserved));
        }
        self.counts.clear();
        self.real = Limits::new(&policy(&self.policy), self.clock.origin());
        let now = self.now();
        for (who, wall, actual) in &self.journal {
            // A journal knows who answered at last: what it keeps counts in the limits of tries as well.
            let at = std::time::UNIX_EPOCH + *wall;
            ask_of(Who { provider: Some(0), ..*who }, |ask| self.real.restore(ask, *actual, at, self.clock.at()));
            for (place, values) in subjects(&self.policy, *who) {
                self.counts.entry((place, values)).or_default().restore(&self.policy[place], *actual, *wall, now);
            }
        }
    }

    /// An exchange is kept once, not once for each try.
    fn keep(&mut self, who: Who, wall: Duration, actual: Amount) {
        if who.provider.is_none() {
            self.journal.push((who, wall, actual));
        }
    }

    fn pick(&mut self, which: usize) -> Option<Open> {
        let length = self.open.len();
        (length > 0).then(|| self.open.remove(which % length))
    }

    /// What the books show of every subject that has anything.
    fn seen(&self) -> BTreeMap<String, Vec<String>> {
        let view = self.real.view(self.clock.at(), usize::MAX);
        let mut seen = BTreeMap::new();
        for limit in &view.limits {
            let lines = limit.top.iter().map(|subject| {
                let measures = subject.measures.iter().map(|measure| {
                    // The law of conservation, with debt told apart.
                    assert_eq!(measure.reserved + measure.settled + measure.free(), measure.most + measure.debt());
                    format!("{}:{}+{}", measure.measure.label(), measure.reserved, measure.settled)
                });
                format!("{} {}", subject.under_way, measures.collect::<Vec<_>>().join(" "))
            });
            let mut lines: Vec<_> = lines.collect();
            lines.sort();
            seen.insert(limit.limit.name.clone(), lines);
        }
        seen
    }

    /// The same of the reference.
    fn expected(&self) -> BTreeMap<String, Vec<String>> {
        let now = self.now();
        let mut expected: BTreeMap<_, Vec<String>> = self.policy.iter().map(|limit| (limit.name.clone(), Vec::new())).collect();
        for ((place, _), count) in &self.counts {
            let limit = &self.policy[*place];
            let mut measures = Vec::new();
            let passing = [
                (Measure::RequestsPerMinute, limit.most.requests_per_minute, count.requests(now)),
                (Measure::TokensPerMinute, limit.most.tokens_per_minute, count.tokens(now)),
                (Measure::Concurrent, limit.most.concurrent, count.running.len() as u64),
            ];
            measures.extend(passing.into_iter().filter_map(|(measure, most, settled)| Some((measure, most?, 0, settled))));
            for window in &limit.most.windows {
                let (reserved, settled) = count.window(limit, window.unit, window.span, now);
                measures.push((Measure::Window(window.unit, window.span), window.most, reserved, settled));
            }
            if measures.iter().any(|(_, most, reserved, settled)| (reserved + settled) * 1000 / most > 0) {
                let shown = measures.iter().map(|(measure, _, reserved, settled)| format!("{}:{reserved}+{settled}", measure.label()));
                let line = format!("{} {}", count.running.len(), shown.collect::<Vec<_>>().join(" "));
                expected.get_mut(&limit.name).unwrap().push(line);
            }
        }
        expected.values_mut().for_each(|lines| lines.sort());
        expected
    }

    /// What must hold whatever happened.
    fn check(&self) {
        assert_eq!(self.seen(), self.expected());
        if self.reloaded {
            return;
        }
        for ((place, values), count) in &self.counts {
            let limit = &self.policy[*place];
            let (requests, tokens) = count.most_in_any_minute();
            assert!(
                limit.most.requests_per_minute.is_none_or(|most| requests <= most),
                "{} {values:?}: {requests} in a minute",
                limit.name
            );
            assert!(limit.most.concurrent.is_none_or(|most| count.running.len() as u64 <= most));
            let over = if self.honest { Amount::ZERO } else { self.overrun };
            assert!(limit.most.tokens_per_minute.is_none_or(|most| tokens <= most + over.tokens));
            for window in &limit.most.windows {
                for ((usd, span, name), (reserved, settled)) in &count.windows {
                    if (*usd, *span) == (window.unit == Unit::Usd, window.span as u8) {
                        let over = if *usd { over.cost.0 } else { over.tokens };
                        let used = reserved.values().sum::<u64>() + settled;
                        assert!(used <= window.most + over, "{} {values:?} {name}: {used} of {}", limit.name, window.most);
                    }
                }
            }
        }
    }
}

impl Count {
    fn restore(&mut self, limit: &Limit, spent: Amount, wall: Duration, now: Now) {
        for window in &limit.most.windows {
            let running = name(window.span, wall, limit.offset_seconds) == name(window.span, now.wall, limit.offset_seconds);
            if running {
                self.put_back(limit, window.unit, window.span, spent, now);
            }
        }
    }
}

fn plus(one: Amount, other: Amount) -> Amount {
    amount(one.tokens + other.tokens, one.cost.0 + other.cost.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_keeps_the_laws(scale in 1..4_u64, honest: bool, steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(scale, honest);
        for step in &steps {
            world.take(step);
            world.check();
        }
        // Whatever is still open is dropped, and leaves nothing behind.
        let real = Arc::clone(&world.real);
        let at = world.clock.at();
        drop(world);
        prop_assert!(all_returned(&real, at));
    }

    /// What is told of when to come back is true to the nanosecond, as long as nothing is under way.
    #[test]
    fn the_time_to_come_back_is_true(scale in 1..3_u64, steps in prop::collection::vec(step(), 1..40), user in 0..3_usize, model in 0..3_usize, tokens in 0..80_u64, cost in 0..80_u64) {
        let mut world = World::new(scale, false);
        steps.iter().filter(|step| !matches!(step, Step::Wall(_))).for_each(|step| world.take(step));
        world.open.clear();
        let who = Who { user, model, provider: None, light: false };
        let bound = amount(tokens, cost);
        let check = |at| ask_of(who, |ask| world.real.check(ask, bound, at));
        if let Err(exceeded) = check(world.clock.at()) {
            match exceeded.again {
                Again::In(wait) => {
                    prop_assert!(!wait.is_zero());
                    prop_assert!(check(world.clock.after(wait - Duration::from_nanos(1))).is_err());
                    prop_assert!(check(world.clock.after(wait)).is_ok(), "{exceeded} {wait:?}");
                }
                Again::Never => {
                    prop_assert!(check(world.clock.after(seconds(400 * 86_400))).is_err());
                }
                Again::OnRelease(_) => prop_assert!(false, "nothing is under way"),
            }
        }
    }
}
