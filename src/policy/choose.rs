//! Who of an alias' targets is asked first, and who next.

mod watch;

pub use watch::Watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Standing;
use super::features::Features;
use super::habits::Habits;
use super::latency::Latency;
use super::quote::{Expected, Quote};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::{LatencyBound, Strategy};

/// The chooser of one alias. A reload makes a new one that takes over what the former has learnt.
#[derive(Debug)]
pub struct Chooser {
    strategy: Strategy,
    entrants: Vec<Entrant>,
    habits: Arc<Habits>,
}

/// One target of the alias, in the order of the configuration.
#[derive(Debug)]
pub struct Entrant {
    /// `provider/model`: what is learnt of it is kept by this.
    pub label: String,
    /// Its weight, where the strategy is weighted.
    pub weight: u32,
    /// How soon it answers.
    pub latency: Arc<Latency>,
    /// What it costs.
    pub quote: Quote,
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
    /// A chooser for these targets. What `former` has learnt of targets of the same label stays.
    pub fn new(strategy: Strategy, entrants: Vec<Entrant>, former: Option<&Self>, now: Instant) -> Self {
        let habits = former.map_or_else(|| Arc::new(Habits::new(now)), |former| Arc::clone(&former.habits));
        Self { strategy, entrants, habits }
    }

    /// The order in which to try the candidates: all of them, those that are out last, the soonest back first.
    pub fn order(&self, _asked: &Features, candidates: &[Candidate], now: Instant, _at: SystemTime, _rng: &mut Rng) -> Order {
        let mut sorted: Vec<_> = candidates.to_vec();
        sorted.sort_by_key(|candidate| (candidate.standing.wait(now), candidate.index));
        Order { indexes: sorted.into_iter().map(|candidate| candidate.index).collect(), explores: false }
    }

    /// A request is sent to a target: what comes of it is told to the watch.
    pub fn watch(self: &Arc<Self>, index: usize, asked: &Features, now: Instant) -> Watch {
        Watch::new(Arc::clone(self), index, asked, now)
    }

    /// What [`Self::order`] would do with the request, exploration aside, and why.
    pub fn explain(&self, asked: &Features, candidates: &[Candidate], now: Instant, at: SystemTime) -> Explanation {
        let expected = self.habits.expected(asked, 0);
        let view = |candidate: &Candidate| {
            let entrant = self.entrants.get(candidate.index)?;
            Some(View {
                index: candidate.index,
                label: entrant.label.clone(),
                standing: candidate.standing,
                cost: entrant.quote.cost(&expected, at),
                expected,
                first_token: Percentiles::default(),
                whole: Percentiles::default(),
                bounds: Vec::new(),
                why: String::new(),
            })
        };
        let mut views: Vec<_> = candidates.iter().filter_map(view).collect();
        views.sort_by_key(|view| (view.standing.wait(now), view.index));
        Explanation { strategy: self.strategy.label(), decided: String::new(), views }
    }

    /// What it has done of late.
    pub fn summary(&self, _now: Instant, _at: SystemTime) -> Summary {
        Summary::default()
    }
}

/// What a chooser decides on a request, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The strategy's word.
    pub strategy: &'static str,
    /// What it decided, in a sentence.
    pub decided: String,
    /// Each candidate, in the order in which they would be tried.
    pub views: Vec<View>,
}

/// How a chooser sees a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its place among the alias' targets.
    pub index: usize,
    /// `provider/model`.
    pub label: String,
    /// How it stands.
    pub standing: Standing,
    /// What the request is expected to use there.
    pub expected: Expected,
    /// What that costs, in nano-USD; `None` where no price is known.
    pub cost: Option<u64>,
    /// How soon the first content of a stream came of late.
    pub first_token: Percentiles,
    /// How soon the whole answer came of late.
    pub whole: Percentiles,
    /// How it keeps the bounds of the strategy.
    pub bounds: Vec<Kept>,
    /// Why it stands where it stands, in a line.
    pub why: String,
}

/// Percentiles of answers of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Half of the answers came within this.
    pub p50: Option<Duration>,
    /// Of twenty answers, nineteen came within this.
    pub p95: Option<Duration>,
    /// How many answers that is from: they fade with time.
    pub samples: f32,
}

/// How a target keeps a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// The bound.
    pub bound: LatencyBound,
    /// The share of the answers of late that were over it (0 to 1); `None` where too little is known.
    pub over: Option<f32>,
}

/// What a chooser has done of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The strategy's word.
    pub strategy: &'static str,
    /// How often within the last hour another target became the preferred one.
    pub switches: u32,
    /// Its targets, in the order of the configuration.
    pub targets: Vec<TargetSummary>,
}

/// One target in a [`Summary`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetSummary {
    /// `provider/model`.
    pub label: String,
    /// Its share of the requests of late (0 to 1).
    pub share: f32,
    /// What the alias' typical request costs there, in nano-USD.
    pub cost: Option<u64>,
    /// How soon the first content of a stream came of late, over all sizes.
    pub first_token: Percentiles,
    /// How soon the whole answer came of late, over all sizes.
    pub whole: Percentiles,
    /// How it is regarded, in a line.
    pub why: String,
}
