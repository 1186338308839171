//! The candidates of a request in order, by what is known.

use std::time::SystemTime;

use super::record::Bound;
use super::track::Favour;
use super::{Candidate, Chooser, Rival};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::{Moment, Strategy};
use crate::policy::Standing;
use crate::policy::decay::log2;
use crate::policy::features::Features;

/// An unknown target may have so many requests under way before it is known.
const UNKNOWN_MAX: u32 = 3;
/// Targets that miss their bounds by about the same factor are as near to keeping them; the cheapest of them comes first.
const AS_NEAR: f32 = 1.25;

/// Where a candidate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// It is what the strategy wants.
    Wanted,
    /// It would be, but came back a moment ago, and this request is not of its share.
    Returning,
    /// It broke a bound, but that is long ago.
    Faded,
    /// It broke a bound of late.
    Broken,
    /// It should not be asked.
    Out,
}

/// One candidate's place: by group, then by the value that the strategy goes by, then by the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    /// Group, 4 bits, and value. Where the strategy goes by price, the value ends with it: 48 bits.
    key: u64,
    index: usize,
}

/// Greater values count as this one: 36 years.
const VALUE_MAX: u64 = (1 << 60) - 1;
/// What costs more counts as if its price were not known: a quarter of a million dollars.
const COST_MAX: u64 = (1 << 48) - 1;

impl Rank {
    fn new(group: Group, value: u64, index: usize) -> Self {
        Self { key: (group as u64) << 60 | value.min(VALUE_MAX), index }
    }

    pub(super) fn group(&self) -> Group {
        match self.key >> 60 {
            0 => Group::Wanted,
            1 => Group::Returning,
            2 => Group::Faded,
            3 => Group::Broken,
            _ => Group::Out,
        }
    }

    /// What the strategy goes by.
    pub(super) fn value(&self) -> u64 {
        self.key & VALUE_MAX
    }

    /// Where the strategy goes by price and the target is not out: what the request costs there, in nano-USD; `None` where that is
    /// not known.
    pub(super) fn cost(&self) -> Option<u64> {
        Some(self.key & COST_MAX).filter(|cost| *cost < COST_MAX && self.group() != Group::Out)
    }

    /// Whether it is cheaper than another, where the strategy goes by price.
    pub(super) fn is_cheaper(&self, other: &Self) -> bool {
        self.key & COST_MAX < other.key & COST_MAX
    }

    /// As one number, which is compared without branches.
    fn order(&self) -> u128 {
        u128::from(self.key) << 64 | self.index as u128
    }

    /// Its place among the alias' targets.
    pub(super) fn index(&self) -> usize {
        self.index
    }
}

/// The candidates in order.
#[derive(Debug)]
pub(super) struct Ranking(Vec<Rank>);

impl Ranking {
    /// The candidates in the order that the strategy gives them. Without chance: by weight instead of drawn by weight, and as if
    /// each that is returning got the request.
    pub(super) fn of(
        chooser: &Chooser,
        asked: &Features,
        candidates: &[Candidate],
        now: Instant,
        at: SystemTime,
        mut rng: Option<&mut Rng>,
    ) -> Self {
        let mut ranking = match &chooser.strategy {
            Strategy::Ordered => chooser.ranked(candidates, now, |candidate, _| (returning(candidate, rng.as_deref_mut()), 0)),
            Strategy::Weighted => {
                let weighed = chooser.ranked(candidates, now, |candidate, rival| (Group::Wanted, weight(rival, candidate)));
                return match rng {
                    Some(rng) => weighed.drawn(rng),
                    None => weighed.by_weight(),
                };
            }
            Strategy::Fastest => {
                let moment = if asked.stream { Moment::FirstToken } else { Moment::Whole };
                chooser.ranked(candidates, now, |candidate, rival| match time_at(rival, asked, moment, now) {
                    0 if rival.track.under_way() >= UNKNOWN_MAX => (Group::Returning, 0),
                    time => (returning(candidate, rng.as_deref_mut()), time),
                })
            }
            Strategy::Cheapest(_) => {
                let cold = chooser.habits.expected(asked, 0);
                let warm = chooser.sticky.warm(asked.session, now);
                let (tick, class) = (chooser.clock.tick(now), asked.class());
                chooser.ranked(candidates, now, |candidate, rival| {
                    let expected = chooser.expected(&cold, rival, warm.as_ref());
                    let cost = rival.entrant.quote.cost(&expected, at).map_or(COST_MAX, |cost| cost.min(COST_MAX));
                    match rival.track.favour(class, tick) {
                        Favour::Kept => (returning(candidate, rng.as_deref_mut()), cost),
                        Favour::Faded => (Group::Faded, cost),
                        Favour::Broken => (Group::Broken, chooser.nearness(rival, asked, now) << 48 | cost),
                    }
                })
            }
        };
        ranking.0.sort_unstable_by_key(Rank::order);
        ranking
    }

    /// Places among the alias' targets, the best first.
    pub(super) fn into_indexes(self) -> Vec<usize> {
        // The memory is the ranks' own: see a test.
        self.0.into_iter().map(|rank| rank.index).collect()
    }

    pub(super) fn ranks(&self) -> &[Rank] {
        &self.0
    }

    /// Puts a target first.
    pub(super) fn prefer(&mut self, index: usize) {
        if let Some(head) = self.0.iter().position(|rank| rank.index == index).and_then(|at| self.0.get_mut(..=at)) {
            head.rotate_right(1);
        }
    }

    /// Draws the order of those that may be asked by weight, which is their value, without putting back; a weight of 0 comes after
    /// all others.
    fn drawn(self, rng: &mut Rng) -> Self {
        let mut all = self.weighty_first();
        let weighty = all.0.partition_point(Rank::has_weight);
        let mut rest = all.0.get_mut(..weighty).unwrap_or_default();
        let mut sum = rest.iter().map(Rank::value).sum::<u64>();
        while rest.len() > 1 {
            let mut left = rng.below(sum);
            let drawn = rest.iter().position(|rank| {
                let found = left < rank.value();
                left = left.wrapping_sub(rank.value());
                found
            });
            rest.swap(0, drawn.unwrap_or(0));
            let Some((first, others)) = rest.split_first_mut() else { break };
            sum -= first.value();
            rest = others;
        }
        all
    }

    /// The same without chance.
    fn by_weight(self) -> Self {
        let mut all = self.weighty_first();
        let weighty = all.0.partition_point(Rank::has_weight);
        all.0.get_mut(..weighty).unwrap_or_default().sort_by_key(|rank| !rank.value());
        all
    }

    /// Those with a weight, in any order; those without; those that are out.
    fn weighty_first(mut self) -> Self {
        let is_plain = self.0.iter().all(Rank::has_weight);
        if !is_plain {
            self.0.sort_unstable_by_key(|rank| (!rank.has_weight(), rank.order()));
        }
        self
    }
}

impl Rank {
    fn has_weight(&self) -> bool {
        self.group() == Group::Wanted && self.value() > 0
    }
}

impl Chooser {
    /// Each candidate's rank, in no order: those that are out by how long that lasts, the others as `place` says.
    fn ranked(&self, candidates: &[Candidate], now: Instant, mut place: impl FnMut(&Candidate, &Rival) -> (Group, u64)) -> Ranking {
        let rank = |candidate: &Candidate| match (candidate.standing, self.rivals.get(candidate.index)) {
            (Standing::Out(_), _) | (_, None) => {
                let wait = u64::try_from(candidate.standing.wait(now).as_nanos()).unwrap_or(u64::MAX);
                Rank::new(Group::Out, wait, candidate.index)
            }
            (_, Some(rival)) => {
                let (group, value) = place(candidate, rival);
                Rank::new(group, value, candidate.index)
            }
        };
        Ranking(candidates.iter().map(rank).collect())
    }

    /// How far a target is from keeping its bounds: a logarithm of the factor by which it misses the one that it misses most, in
    /// steps of [`AS_NEAR`].
    fn nearness(&self, rival: &Rival, asked: &Features, now: Instant) -> u64 {
        let missed = |bound: &Bound| {
            let took = rival.entrant.latency.percentile_micros(asked.class(), bound.said.moment, bound.said.percentile, now)?;
            Some(took as f32 * bound.per_micro)
        };
        let worst = self.bounds.all().iter().filter_map(missed).fold(1.0, f32::max);
        // At most 4,000 steps, in 12 bits.
        (log2(worst) / log2(AS_NEAR)) as u64 & 0xfff
    }
}

/// The group of a candidate that is what the strategy wants.
fn returning(candidate: &Candidate, rng: Option<&mut Rng>) -> Group {
    const PARTS: u64 = 1 << 24;
    let (Standing::Returning(share), Some(rng)) = (candidate.standing, rng) else { return Group::Wanted };
    match (rng.below(PARTS) as f32) < share * PARTS as f32 {
        true => Group::Wanted,
        false => Group::Returning,
    }
}

/// A weight in parts, so that the share of one that is returning counts exactly enough.
pub(super) fn weight(rival: &Rival, candidate: &Candidate) -> u64 {
    const PARTS: f32 = (1 << 20) as f32;
    let share = match candidate.standing {
        Standing::Returning(share) => share.clamp(0.0, 1.0),
        _ => 1.0,
    };
    u64::from(rival.entrant.weight) * (share * PARTS) as u64
}

/// How soon a target answers, in µs; 0 where that is not known.
fn time_at(rival: &Rival, asked: &Features, moment: Moment, now: Instant) -> u64 {
    rival.entrant.latency.typical(asked.class(), moment, now).map_or(0, |micros| micros.max(1))
}
