//! Asking a target in order to know how it is.

use std::time::{Duration, SystemTime};

use super::rank::{Group, Rank, Ranking};
use super::{Candidate, Chooser};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::{Moment, Strategy};
use crate::policy::features::Features;

/// While the trials of a target go well, it gets such a share of the requests, and a greater one at little traffic.
const TRIAL_SHARE: u64 = 25;
const TRIAL_SHARE_SLOW: u64 = 50;
/// While nobody keeps the bounds, others are tried with such a share of the requests.
const NOBODY_SHARE: u64 = 20;
/// A request hangs that takes so many times what 19 of 20 take, and so long at least; or this, where that is not known.
const HANGS: u32 = 4;
const HANGS_LEAST: Duration = Duration::from_millis(500);
const HANGS_UNKNOWN: Duration = Duration::from_secs(20);
/// Another target becomes the preferred one where it takes less than this share of the preferred one's time.
const FASTER: f64 = 0.85;

impl Chooser {
    /// Puts a target first that is to be asked in order to know how it is, or leaves the order as it is; tells whether it did.
    pub(super) fn explore(
        &self,
        ranking: &mut Ranking,
        asked: &Features,
        candidates: &[Candidate],
        now: Instant,
        at: SystemTime,
        rng: &mut Rng,
    ) -> bool {
        match &self.strategy {
            Strategy::Ordered | Strategy::Weighted => false,
            Strategy::Fastest => {
                if self.some_hang(ranking, asked, now) {
                    *ranking = Ranking::of(self, asked, candidates, now, at, Some(rng));
                }
                self.explore_fastest(ranking, asked, now)
            }
            Strategy::Cheapest(_) if self.bounds.is_empty() => false,
            Strategy::Cheapest(_) => {
                let threshold = self.pace.threshold(asked.class());
                let first = ranking.ranks().first().and_then(|rank| self.rivals.get(rank.index()));
                if first.is_some_and(|rival| rival.track.sweep(asked.class(), threshold, now)) {
                    self.pace.switched(now);
                    *ranking = Ranking::of(self, asked, candidates, now, at, Some(rng));
                }
                self.explore_bounds(ranking, asked, now, rng)
            }
        }
    }

    /// Tries a target that broke a bound and would be the preferred one if it kept them.
    fn explore_bounds(&self, ranking: &mut Ranking, asked: &Features, now: Instant, rng: &mut Rng) -> bool {
        let class = asked.class();
        let found = self.to_try(ranking, asked, now);
        let threshold = self.pace.threshold(class);
        let draw = rng.below(100);
        let nobody = ranking.ranks().first().is_some_and(|first| first.group() >= Group::Faded);
        let chosen = self.pace.arrive(class, now, |lane| {
            let (rank, promising) = found?;
            let share = if threshold > 8.0 { TRIAL_SHARE } else { TRIAL_SHARE_SLOW };
            let may = match (promising, nobody) {
                (true, _) => draw < share,
                (false, true) => draw < NOBODY_SHARE,
                (false, false) => lane.try_one(),
            };
            may.then_some(rank)
        });
        let Some(rank) = chosen.flatten() else { return false };
        if let Some(rival) = self.rivals.get(rank.index()) {
            rival.track.chosen(class, threshold, now);
        }
        ranking.prefer(rank.index());
        true
    }

    /// The target whose trial is due, and whether its trials went well: first those whose trials do, then whose is due for longest.
    fn to_try(&self, ranking: &Ranking, asked: &Features, now: Instant) -> Option<(Rank, bool)> {
        let first = ranking.ranks().first()?;
        let better = |rank: &&Rank| match first.group() {
            Group::Wanted | Group::Returning => rank.is_cheaper(first),
            _ => rank.index() != first.index(),
        };
        let broken = ranking.ranks().iter().filter(|rank| matches!(rank.group(), Group::Faded | Group::Broken)).filter(better);
        let tick = self.clock.tick(now);
        let due = broken.filter_map(|rank| {
            let (next, promising) = self.rivals.get(rank.index())?.track.trial(asked.class())?;
            (next <= tick).then_some((!promising, next, rank))
        });
        due.min_by_key(|(unpromising, next, rank)| (*unpromising, *next, rank.cost().unwrap_or(u64::MAX)))
            .map(|(unpromising, _, rank)| (*rank, !unpromising))
    }

    /// Looks for requests under way that hang, and tells whether there are new ones.
    fn some_hang(&self, ranking: &Ranking, asked: &Features, now: Instant) -> bool {
        let moment = if asked.stream { Moment::FirstToken } else { Moment::Whole };
        let mut hanging = 0;
        for rival in ranking.ranks().iter().filter_map(|rank| self.rivals.get(rank.index())).filter(|rival| rival.track.under_way() > 0) {
            let latency = &rival.entrant.latency;
            let p95 = latency.read(asked.class(), moment, now).p95;
            let within = p95.map_or(HANGS_UNKNOWN, |p95| p95.saturating_mul(HANGS).max(HANGS_LEAST));
            let found = rival.track.hanging(asked.class(), within, now);
            (0..found).for_each(|_| latency.failed(asked.class(), moment, now));
            hanging += found;
        }
        hanging > 0
    }

    /// Keeps to the preferred target while no other is clearly faster, and now and then asks the one of which least is known.
    fn explore_fastest(&self, ranking: &mut Ranking, asked: &Features, now: Instant) -> bool {
        let (class, moment) = (asked.class(), if asked.stream { Moment::FirstToken } else { Moment::Whole });
        let Some(preferred) = self.preferred(ranking, asked) else { return false };
        let is_unknown = preferred.value() == 0;
        let may = self.pace.arrive(class, now, |lane| !is_unknown && ranking.ranks().len() > 1 && lane.try_one());
        if is_unknown {
            return true;
        }
        if let Some(rival) = self.rivals.get(preferred.index()) {
            self.pace.prefer(class, moment, rival.id, now);
        }
        ranking.prefer(preferred.index());
        let explored = may.unwrap_or(false).then(|| self.least_known(ranking, asked, moment, now)).flatten();
        if let Some(explored) = explored {
            ranking.prefer(explored.index());
        }
        explored.is_some()
    }

    /// Where the fastest is wanted: the first, or the one that was preferred before, while the first is not clearly faster.
    pub(super) fn preferred(&self, ranking: &Ranking, asked: &Features) -> Option<Rank> {
        let moment = if asked.stream { Moment::FirstToken } else { Moment::Whole };
        let best = *ranking.ranks().first()?;
        if best.value() == 0 || best.group() != Group::Wanted {
            return Some(best);
        }
        let before = self.pace.preferred(asked.class(), moment);
        let is_it = |rank: &&Rank| self.rivals.get(rank.index()).is_some_and(|rival| Some(rival.id) == before);
        let kept = ranking.ranks().iter().take_while(|rank| rank.group() == Group::Wanted).find(is_it);
        Some(*kept.filter(|kept| best.value() as f64 >= kept.value() as f64 * FASTER).unwrap_or(&best))
    }

    /// Of those that might be faster than the first, the one of which least is known; slower ones need not be known as well.
    fn least_known(&self, ranking: &Ranking, asked: &Features, moment: Moment, now: Instant) -> Option<Rank> {
        let (first, others) = ranking.ranks().split_first()?;
        let wanted = others.iter().filter(|rank| rank.group() <= Group::Returning);
        let known = wanted.filter_map(|rank| {
            let latency = &self.rivals.get(rank.index())?.entrant.latency;
            let slower = (rank.value() as f64 / first.value().max(1) as f64).clamp(1.0, 10.0) as f32;
            Some((latency.read(asked.class(), moment, now).samples * slower * slower, *rank))
        });
        known.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, rank)| rank)
    }
}
