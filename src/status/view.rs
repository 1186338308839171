//! What is shown of the aliases and their targets: what the policy says of them, and what they did of late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::clock::Instant;
use crate::config::catalog::price::{Counted, Occasion, Rates};
use crate::config::{Model, Moment, Target};
use crate::pipeline::{Snapshot, Stores};
use crate::policy::SizeClass;
use crate::policy::budget::Spent;
use crate::policy::health::Report;

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
            SizeClass::all().find_map(|class| state.latency.percentile(class, moment, percentile, now))
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
pub(super) fn aliases<'s>(snapshot: &'s Snapshot, stores: &Stores, now: Instant) -> Vec<AliasView<'s>> {
    let view = |model: &'s Arc<Model>| {
        let state = stores.fleet.known_alias(&model.name);
        AliasView { model, retries: state.map(|state| state.retries.spent(now)) }
    };
    snapshot.policy.models.iter().map(view).collect()
}
