//! What is shown of the aliases and their targets: what the policy says of them, and what they did of late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::clock::Instant;
use crate::config::catalog::price::{Counted, Occasion, Rates};
use crate::config::{Model, Moment, Target};
use crate::pipeline::{Snapshot, Stores};
use crate::policy::budget::Spent;
use crate::policy::choose::{Candidate, Chooser, Summary};
use crate::policy::features::Features;
use crate::policy::health::Report;
use crate::policy::{SizeClass, Standing};

/// The prices that are shown, in USD for a million tokens.
pub(super) const PRICES: [(&str, Counted); 3] =
    [("input_usd", Counted::Input), ("cached_input_usd", Counted::CachedInput), ("output_usd", Counted::Output)];

/// The times that are shown, of the answers of late.
pub(super) const TIMES: [(&str, Moment, u8); 4] = [
    ("p50_first_token_ms", Moment::FirstToken, 50),
    ("p95_first_token_ms", Moment::FirstToken, 95),
    ("p50_total_ms", Moment::Whole, 50),
    ("p95_total_ms", Moment::Whole, 95),
];

/// One target.
pub(super) struct TargetView<'s> {
    /// Who.
    pub target: &'s Target,
    /// What an ordinary request costs now.
    pub rates: Rates,
    /// How it is; `None` where it was not asked yet.
    pub health: Option<Report>,
    /// Those of [`TIMES`] that are known, of the smallest requests that were made.
    pub times: [Option<Duration>; TIMES.len()],
}

/// One alias.
pub(super) struct AliasView<'s> {
    /// What it says.
    pub model: &'s Model,
    /// Its retries; `None` where it was not asked for yet.
    pub retries: Option<Spent>,
    /// What its strategy did of late; `None` where it was not asked for yet.
    pub summary: Option<Summary>,
    /// Why each of its targets, by its place among them, would stand where it would for an ordinary request now.
    pub whys: Vec<String>,
}

/// The targets of the aliases, each once.
pub(super) fn targets<'s>(snapshot: &'s Snapshot, stores: &Stores, now: Instant, at: SystemTime) -> Vec<TargetView<'s>> {
    let mut seen = HashSet::new();
    let all = snapshot.policy.models.iter().flat_map(|model| &model.targets);
    let once = all.filter(|target| seen.insert((&target.provider.name, &target.model)));
    let view = |target: &'s Target| {
        let state = stores.fleet.known_target(&target.label());
        let occasion = Occasion { at, input_tokens: 0, service_tier: "" };
        let time = |moment, percentile| {
            let state = state.as_ref()?;
            SizeClass::all().find_map(|class| state.latency.percentile_answered(class, moment, percentile, now))
        };
        TargetView {
            target,
            rates: target.facts.prices.rates(&occasion).unwrap_or_default(),
            health: state.as_ref().map(|state| state.health.report(now)),
            times: TIMES.map(|(_, moment, percentile)| time(moment, percentile)),
        }
    };
    once.map(view).collect()
}

/// The aliases.
pub(super) fn aliases<'s>(snapshot: &'s Snapshot, stores: &Stores, now: Instant, at: SystemTime) -> Vec<AliasView<'s>> {
    let view = |model: &'s Arc<Model>| {
        let state = stores.fleet.known_alias(&model.name);
        let chooser = state.as_ref().and_then(|state| state.chooser());
        AliasView {
            model,
            retries: state.map(|state| state.retries.spent(now)),
            summary: chooser.as_ref().map(|chooser| chooser.summary(now, at)),
            whys: chooser.map(|chooser| whys(&chooser, model, stores, now, at)).unwrap_or_default(),
        }
    };
    snapshot.policy.models.iter().map(view).collect()
}

fn whys(chooser: &Chooser, model: &Model, stores: &Stores, now: Instant, at: SystemTime) -> Vec<String> {
    /// The tokens of an ordinary prompt.
    const ORDINARY: u64 = 1_000;
    let standing = |target: &Target| {
        let state = stores.fleet.known_target(&target.label());
        state.map_or(Standing::Well, |state| state.health.standing(now))
    };
    let candidates: Vec<_> =
        model.targets.iter().enumerate().map(|(index, target)| Candidate { index, standing: standing(target) }).collect();
    let explained = chooser.explain(&Features { input_tokens: ORDINARY, ..Features::default() }, &candidates, now, at);
    let mut whys = vec![String::new(); model.targets.len()];
    for view in explained.views {
        if let Some(why) = whys.get_mut(view.index) {
            *why = view.why;
        }
    }
    whys
}
