//! The candidates of a request in order, by what is known.

use std::time::SystemTime;

use super::track::Favour;
use super::{Candidate, Chooser, Rival};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::{Moment, Strategy};
use crate::policy::Standing;
use crate::policy::features::Features;
use crate::policy::latency::Percentiles;

/// An unknown target may have so many requests under way before it is known.
const UNKNOWN_MAX: u32 = 3;
/// Targets that miss their bounds by about the same factor are as near to keeping them; the cheapest of them comes first.
const AS_NEAR: f32 = 1.25;
/// Below so many answers a target's time is not known.
pub(super) const SAMPLES_MIN: f32 = 1.0;
/// Ranks that need no allocation.
const FEW: usize = 64;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) group: Group,
    pub(super) value: u64,
    pub(super) index: u32,
    /// What the request costs there; `u64::MAX` where that is not known.
    pub(super) cost: u64,
}

const NONE: Rank = Rank { group: Group::Out, value: u64::MAX, index: u32::MAX, cost: u64::MAX };

/// The candidates in order.
#[derive(Debug)]
pub(super) struct Ranking {
    few: [Rank; FEW],
    many: Vec<Rank>,
    count: usize,
}

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
        let mut ranking = Self { few: [NONE; FEW], many: Vec::new(), count: candidates.len() };
        if candidates.len() > FEW {
            ranking.many = vec![NONE; candidates.len()];
        }
        let ranks = ranking.ranks_mut();
        let known = |candidate: &Candidate| chooser.rivals.get(candidate.index);
        let place = |rank: &mut Rank, candidate: &Candidate, (group, value, cost): (Group, u64, u64)| {
            let index = u32::try_from(candidate.index).unwrap_or(u32::MAX);
            *rank = match candidate.standing {
                Standing::Out(_) => {
                    let wait = u64::try_from(candidate.standing.wait(now).as_nanos()).unwrap_or(u64::MAX);
                    Rank { group: Group::Out, value: wait, index, cost }
                }
                _ => Rank { group, value, index, cost },
            };
        };
        match &chooser.strategy {
            Strategy::Ordered => {
                for (rank, candidate) in ranks.iter_mut().zip(candidates) {
                    place(rank, candidate, (returning(candidate, rng.as_deref_mut()), 0, 0));
                }
            }
            Strategy::Weighted => {
                for (rank, candidate) in ranks.iter_mut().zip(candidates) {
                    let weight = known(candidate).map_or(0, |rival| weight(rival, candidate));
                    place(rank, candidate, (Group::Wanted, weight, 0));
                }
                return ranking.drawn(rng);
            }
            Strategy::Fastest => {
                let moment = if asked.stream { Moment::FirstToken } else { Moment::Whole };
                for (rank, candidate) in ranks.iter_mut().zip(candidates) {
                    let value = known(candidate).map_or(u64::MAX, |rival| time_at(rival, asked, moment, now));
                    let busy = value == 0 && known(candidate).is_some_and(|rival| rival.track.under_way() >= UNKNOWN_MAX);
                    let group = if busy { Group::Returning } else { returning(candidate, rng.as_deref_mut()) };
                    place(rank, candidate, (group, value, 0));
                }
            }
            Strategy::Cheapest(_) => {
                let cold = chooser.habits.expected(asked, 0);
                let warm = chooser.sticky.warm(asked.session, now);
                for (rank, candidate) in ranks.iter_mut().zip(candidates) {
                    let Some(rival) = known(candidate) else { continue };
                    let expected = chooser.expected(&cold, rival, warm.as_ref());
                    let cost = rival.entrant.quote.cost(&expected, at).unwrap_or(u64::MAX);
                    let (group, value) = match rival.track.favour(asked.class(), now) {
                        Favour::Kept => (returning(candidate, rng.as_deref_mut()), cost),
                        Favour::Faded => (Group::Faded, cost),
                        Favour::Broken => (Group::Broken, chooser.nearness(rival, asked, now)),
                    };
                    place(rank, candidate, (group, value, cost));
                }
            }
        }
        // Of equal values the first in the configuration comes first, save that a price decides among those as near to their bounds.
        ranking.ranks_mut().sort_unstable_by_key(|rank| (rank.group, rank.value, rank.cost, rank.index));
        ranking
    }

    /// Places among the alias' targets, the best first.
    pub(super) fn indexes(&self) -> impl ExactSizeIterator<Item = usize> {
        self.ranks().iter().map(|rank| rank.index as usize)
    }

    pub(super) fn ranks(&self) -> &[Rank] {
        if self.many.is_empty() { self.few.get(..self.count).unwrap_or_default() } else { &self.many }
    }

    /// Puts a target first.
    pub(super) fn prefer(&mut self, index: u32) {
        let ranks = self.ranks_mut();
        if let Some(head) = ranks.iter().position(|rank| rank.index == index).and_then(|at| ranks.get_mut(..=at)) {
            head.rotate_right(1);
        }
    }

    fn ranks_mut(&mut self) -> &mut [Rank] {
        if self.many.is_empty() { self.few.get_mut(..self.count).unwrap_or_default() } else { &mut self.many }
    }

    /// Draws the order of those that may be asked by weight, which is their value, without putting back; a weight of 0 comes after
    /// all others.
    fn drawn(mut self, rng: Option<&mut Rng>) -> Self {
        let ranks = self.ranks_mut();
        ranks.sort_unstable_by_key(|rank| {
            (rank.group, rank.group == Group::Wanted && rank.value == 0, rank.value * u64::from(rank.group == Group::Out), rank.index)
        });
        let Some(rng) = rng else {
            ranks.sort_by_key(|rank| (rank.group, if rank.group == Group::Out { rank.value } else { !rank.value }, rank.index));
            return self;
        };
        let weighty = ranks.partition_point(|rank| rank.group == Group::Wanted && rank.value > 0);
        let mut rest = ranks.get_mut(..weighty).unwrap_or_default();
        let mut sum = rest.iter().map(|rank| rank.value).sum::<u64>();
        while rest.len() > 1 {
            let mut left = rng.below(sum);
            let drawn = rest.iter().position(|rank| {
                let found = left < rank.value;
                left = left.saturating_sub(rank.value);
                found
            });
            rest.swap(0, drawn.unwrap_or(0));
            let Some((first, others)) = rest.split_first_mut() else { break };
            sum -= first.value;
            rest = others;
        }
        self
    }
}

impl Chooser {
    /// How far a target is from keeping its bounds: a logarithm of the factor by which it misses the one that it misses most, in
    /// steps of [`AS_NEAR`].
    fn nearness(&self, rival: &Rival, asked: &Features, now: Instant) -> u64 {
        let missed = |bound: &crate::config::LatencyBound| {
            let took = rival.entrant.latency.percentile(asked.class(), bound.moment, bound.percentile, now)?;
            Some(took.as_secs_f32() / bound.within.as_secs_f32().max(1e-3))
        };
        let worst = self.bounds.iter().filter_map(missed).fold(1.0, f32::max);
        (worst.ln() / AS_NEAR.ln()) as u64
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

/// How soon a target answers, in ns; 0 where that is not known.
fn time_at(rival: &Rival, asked: &Features, moment: Moment, now: Instant) -> u64 {
    let read: Percentiles = rival.entrant.latency.read(asked.class(), moment, now);
    match read.typical().filter(|_| read.samples >= SAMPLES_MIN) {
        Some(typical) => u64::try_from(typical.as_nanos()).unwrap_or(u64::MAX).max(1),
        None => 0,
    }
}
