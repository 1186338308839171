//! What a chooser would do, and has done, for people.

use std::time::SystemTime;

use super::{Candidate, Chooser};
use crate::base::clock::Instant;
use crate::config::LatencyBound;
use crate::policy::Standing;
use crate::policy::features::Features;
use crate::policy::latency::Percentiles;
use crate::policy::quote::Expected;

impl Chooser {
    /// What [`Self::order`] would do with the request, exploration aside, and why.
    pub fn explain(&self, _asked: &Features, _candidates: &[Candidate], _now: Instant, _at: SystemTime) -> Explanation {
        Explanation { strategy: self.strategy.label(), decided: String::new(), views: Vec::new() }
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
