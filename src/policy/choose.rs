//! Who of an alias' targets is asked first, and who next.
//!
//! `rank` puts the candidates in order by what is known, `explore` decides whether one is asked in order to know more. What is
//! known of how a target keeps latency bounds comes from sequential tests (`verdict`) on what each request turned out to take
//! (`record`, `track`). How often there is exploring, and how sure a change must be, follows from the traffic (`pace`).

mod explain;
mod explore;
mod pace;
mod rank;
mod record;
#[cfg(test)]
mod tests;
mod track;
mod under_way;
mod verdict;
mod watch;

pub use explain::{Explanation, Kept, Summary, TargetSummary, View};
pub use watch::Watch;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Standing;
use super::features::Features;
use super::habits::Habits;
use super::latency::Latency;
use super::quote::{Expected, Quote};
use super::sticky::{Sticky, Warm};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::{LatencyBound, Strategy};
use pace::{Budget, Pace};
use rank::Ranking;
use record::Bounds;
use track::{Clock, Track};

/// The chooser of one alias. A reload makes a new one that takes over what the former has learnt.
#[derive(Debug)]
pub struct Chooser {
    strategy: Strategy,
    clock: Clock,
    bounds: Arc<Bounds>,
    rivals: Vec<Rival>,
    habits: Arc<Habits>,
    sticky: Arc<Sticky>,
    pace: Arc<Pace>,
}

/// One target of the alias, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// `provider/model`: what is learnt of it is kept by this.
    pub label: String,
    /// Its weight, where the strategy is weighted.
    pub weight: u32,
    /// How soon it answers.
    pub latency: Arc<Latency>,
    /// What it costs.
    pub quote: Arc<Quote>,
}

/// A target, with what was learnt of it.
#[derive(Debug)]
struct Rival {
    entrant: Entrant,
    /// A digest of its label.
    id: u64,
    track: Arc<Track>,
}

/// A target that fits the request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its place among the alias' targets.
    pub index: usize,
    /// How it stands.
    pub standing: Standing,
}

/// The targets in the order in which they are to be tried, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Places among the alias' targets.
    pub indexes: Vec<usize>,
    /// Whether the first is asked to learn how it is, and not because it is believed to be the best.
    pub explores: bool,
}

impl Chooser {
    /// A chooser for these targets. What `former` has learnt of the alias, and of targets of the same label, stays.
    pub fn new(strategy: Strategy, entrants: Vec<Entrant>, former: Option<&Self>, now: Instant) -> Self {
        let bounds = Arc::new(Bounds::new(bounds_of(&strategy)));
        let clock = former.map_or(Clock(now), |former| former.clock);
        let known = |id| former?.rivals.iter().find(|rival| rival.id == id).map(|rival| &rival.track);
        let rival = |entrant: Entrant| {
            let id = digest(&entrant.label);
            let track = known(id).filter(|track| track.is_of(&bounds)).cloned();
            Rival { id, track: track.unwrap_or_else(|| Arc::new(Track::new(Arc::clone(&bounds), clock, now))), entrant }
        };
        let rivals = entrants.into_iter().map(rival).collect();
        let habits = former.map(|former| Arc::clone(&former.habits));
        let sticky = former.map(|former| Arc::clone(&former.sticky));
        let pace = former.filter(|former| former.strategy == strategy).map(|former| Arc::clone(&former.pace));
        Self {
            pace: pace.unwrap_or_else(|| Arc::new(Pace::new(budget(&strategy, &bounds), now))),
            habits: habits.unwrap_or_else(|| Arc::new(Habits::new(now))),
            sticky: sticky.unwrap_or_default(),
            strategy,
            clock,
            bounds,
            rivals,
        }
    }

    /// The order in which to try the candidates: all of them, those that are out last, the soonest back first.
    pub fn order(&self, asked: &Features, candidates: &[Candidate], now: Instant, at: SystemTime, rng: &mut Rng) -> Order {
        let mut ranking = Ranking::of(self, asked, candidates, now, at, Some(rng));
        let explores = self.explore(&mut ranking, asked, candidates, now, at, rng);
        Order { indexes: ranking.into_indexes(), explores }
    }

    /// A request is sent to a target: what comes of it is told to the watch.
    pub fn watch(self: &Arc<Self>, index: usize, asked: &Features, now: Instant) -> Watch {
        Watch::new(Arc::clone(self), index, asked, now)
    }

    /// What a request is expected to use at a target.
    fn expected(&self, cold: &Expected, rival: &Rival, warm: Option<&Warm>) -> Expected {
        let held = warm.filter(|warm| warm.target == rival.id && rival.entrant.quote.knows_cached());
        let Some((warm, share)) = held.and_then(|warm| Some((warm, rival.track.cache_share()?))) else { return *cold };
        let cached = (warm.tokens as f64 * f64::from(share)) as u64;
        Expected { cached_input_tokens: cached.min(cold.input_tokens), ..*cold }
    }
}

fn bounds_of(strategy: &Strategy) -> &[LatencyBound] {
    match strategy {
        Strategy::Cheapest(bounds) => bounds,
        _ => &[],
    }
}

/// How often who is out of favour may be tried.
fn budget(strategy: &Strategy, bounds: &Bounds) -> Budget {
    // A trial that fails is over the bound: they may be two fifths of the answers that the bound lets be over, and never more
    // than one answer in twenty.
    let share = (bounds.allowed() * 0.4).min(0.05);
    match strategy {
        Strategy::Cheapest(_) => Budget { share, each: Duration::from_secs(300) },
        _ => Budget { share: 0.02, each: Duration::from_secs(60) },
    }
}

fn digest(label: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    label.hash(&mut hasher);
    // 0 stands for nobody.
    hasher.finish().max(1)
}
