//! What a chooser would do, and has done, for people.

use std::time::{Duration, SystemTime};

use super::rank::{Group, Rank, Ranking, weight};
use super::track::Clock;
use super::{Candidate, Chooser, Rival};
use crate::base::clock::Instant;
use crate::config::{LatencyBound, Moment, Strategy};
use crate::policy::features::Features;
use crate::policy::latency::Percentiles;
use crate::policy::quote::Expected;
use crate::policy::{SizeClass, Standing};

/// The typical request, where none was seen.
const TYPICAL_INPUT: u64 = 1_000;

impl Chooser {
    /// What [`Self::order`] would do with the request, chance and exploration aside, and why.
    pub fn explain(&self, asked: &Features, candidates: &[Candidate], now: Instant, at: SystemTime) -> Explanation {
        let mut ranking = Ranking::of(self, asked, candidates, now, at, None);
        if let Some(preferred) = self.preferred(&ranking, asked).filter(|_| self.strategy == Strategy::Fastest) {
            ranking.prefer(preferred.index());
        }
        let weights = candidates.iter().filter_map(|candidate| Some(weight(self.rivals.get(candidate.index)?, candidate))).sum();
        let context = Context { asked, now, first: ranking.ranks().first().copied(), weights };
        let views: Vec<_> = ranking.ranks().iter().filter_map(|rank| self.view(rank, candidates, &context)).collect();
        let decided = match views.first() {
            Some(first) => format!("{} first: {}", first.label, first.why),
            None => "no target is left".to_owned(),
        };
        Explanation { strategy: self.strategy.label(), decided, views }
    }

    /// What it has done of late.
    pub fn summary(&self, now: Instant, at: SystemTime) -> Summary {
        let traffic: Vec<_> = self.rivals.iter().map(|rival| rival.track.traffic(now)).collect();
        let all = traffic.iter().sum::<f32>();
        let typical = self.habits.typical().unwrap_or(Features { input_tokens: TYPICAL_INPUT, ..Features::default() });
        let expected = self.habits.expected(&typical, 0);
        let target = |(rival, traffic): (&Rival, &f32)| TargetSummary {
            label: rival.entrant.label.clone(),
            share: if all > 0.0 { traffic / all } else { 0.0 },
            cost: rival.entrant.quote.cost(&expected, at),
            first_token: rival.entrant.latency.overall(Moment::FirstToken, now),
            whole: rival.entrant.latency.overall(Moment::Whole, now),
            bounds: SizeClass::all()
                .map(|class| (class, self.kept(rival, class, now)))
                .filter(|(_, kept)| kept.iter().any(|kept| kept.over.is_some()))
                .collect(),
        };
        Summary {
            strategy: self.strategy.label(),
            switches: u32::try_from(self.pace.switches(now)).unwrap_or(u32::MAX),
            expected,
            targets: self.rivals.iter().zip(&traffic).map(target).collect(),
        }
    }

    fn view(&self, rank: &Rank, candidates: &[Candidate], context: &Context<'_>) -> Option<View> {
        let index = rank.index();
        let candidate = candidates.iter().find(|candidate| candidate.index == index)?;
        let rival = self.rivals.get(index)?;
        let (asked, now) = (context.asked, context.now);
        let warm = self.sticky.warm(asked.session, now);
        let expected = self.expected(&self.habits.expected(asked, 0), rival, warm.as_ref());
        let mut why = self.why(rank, candidate, rival, context);
        if expected.cached_input_tokens > 0 {
            why.push_str(&format!("; its prompt cache is warm with {} tokens of the conversation", expected.cached_input_tokens));
        }
        if rank.group() != Group::Out {
            match candidate.standing {
                Standing::Returning(share) => why.push_str(&format!("; returning with {:.0}% of its share", share * 100.0)),
                Standing::Probe => why.push_str("; one request finds out whether it is well again"),
                Standing::Well | Standing::Out(_) => {}
            }
        }
        Some(View {
            index,
            label: rival.entrant.label.clone(),
            standing: candidate.standing,
            expected,
            cost: rank.cost().filter(|_| matches!(self.strategy, Strategy::Cheapest(_))),
            first_token: rival.entrant.latency.read(asked.class(), Moment::FirstToken, now),
            whole: rival.entrant.latency.read(asked.class(), Moment::Whole, now),
            bounds: self.kept(rival, asked.class(), now),
            why,
        })
    }

    fn why(&self, rank: &Rank, candidate: &Candidate, rival: &Rival, context: &Context<'_>) -> String {
        if let Standing::Out(_) = candidate.standing {
            return format!("out for {}", seconds(candidate.standing.wait(context.now)));
        }
        let is_first = context.first.is_some_and(|first| first.index() == rank.index());
        match &self.strategy {
            Strategy::Ordered => format!("place {} in the order of the alias", rank.index() + 1),
            Strategy::Weighted if rank.value() == 0 => "weight 0: only when the others fail".to_owned(),
            Strategy::Weighted => {
                format!("weight {}: {:.1}% of the requests", rival.entrant.weight, rank.value() as f64 * 100.0 / context.weights as f64)
            }
            Strategy::Fastest if rank.value() == 0 => "not known yet, so it is tried".to_owned(),
            Strategy::Fastest => {
                let took = seconds(Duration::from_micros(rank.value()));
                match context.first {
                    _ if is_first => format!("{took} of late, and no other is clearly faster"),
                    Some(first) if rank.value() < first.value() => format!("{took} of late: faster, but not clearly"),
                    _ => format!("{took} of late: slower"),
                }
            }
            Strategy::Cheapest(_) => self.why_price(rank, rival, context),
        }
    }

    fn why_price(&self, rank: &Rank, rival: &Rival, context: &Context<'_>) -> String {
        let class = context.asked.class();
        let price = match &context.first {
            _ if rank.cost().is_none() => "its price is not known, so it counts as dearer than all others".to_owned(),
            Some(first) if first.index() == rank.index() && rank.group() == Group::Wanted => match self.bounds.is_empty() {
                true => "cheapest".to_owned(),
                false => "cheapest of those that keep the bounds".to_owned(),
            },
            Some(first) if first.index() == rank.index() && rank.group() == Group::Faded => {
                "nobody keeps the bounds; it was not seen for longest".to_owned()
            }
            Some(first) if rank.is_cheaper(first) => "cheaper".to_owned(),
            Some(first) if first.is_cheaper(rank) => "dearer".to_owned(),
            Some(first) if first.index() == rank.index() => "nearest to keeping the bounds, which nobody does".to_owned(),
            _ => "as cheap".to_owned(),
        };
        let (since, _) = rival.track.seen(class, context.now);
        let Some(since) = since else { return price };
        let ago = seconds(context.now.saturating_duration_since(since));
        let trial = rival.track.trial(class).map(|(next, promising)| {
            let wait = Clock::span(next.saturating_sub(self.clock.tick(context.now)));
            match promising {
                true => "its trials go well".to_owned(),
                false => format!("to be tried again after {}", seconds(wait)),
            }
        });
        format!("{price}, but broke its bounds {ago} ago; {}", trial.unwrap_or_default())
    }

    fn kept(&self, rival: &Rival, class: SizeClass, now: Instant) -> Vec<Kept> {
        let (_, seen) = rival.track.seen(class, now);
        let latency = &rival.entrant.latency;
        let kept = |(bound, (over, broken)): (&LatencyBound, (Option<f32>, bool))| Kept {
            bound: *bound,
            observed: latency.percentile(class, bound.moment, bound.percentile, now),
            over,
            broken,
        };
        self.bounds.iter().zip(seen).map(kept).collect()
    }
}

/// What all views of an explanation share.
struct Context<'a> {
    asked: &'a Features,
    now: Instant,
    first: Option<Rank>,
    weights: u64,
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
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
    /// The percentile of late that it bounds; `None` where too little is known.
    pub observed: Option<Duration>,
    /// The share of the answers of late that were over it (0 to 1); `None` where too little is known.
    pub over: Option<f32>,
    /// Whether the target counts as breaking it.
    pub broken: bool,
}

/// What a chooser has done of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The strategy's word.
    pub strategy: &'static str,
    /// How often within the last hour another target became the preferred one.
    pub switches: u32,
    /// What the alias' typical request is expected to use.
    pub expected: Expected,
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
    /// How it keeps the bounds of the strategy, for each size class of which something is known.
    pub bounds: Vec<(SizeClass, Vec<Kept>)>,
}
