//! What an exchange sees of the configuration, and what outlives a reload.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;

use super::held::Held;
use super::models::Listings;
use crate::base::Fault;
use crate::base::clock;
use crate::base::rng::RootRng;
use crate::config::catalog::price::Prices;
use crate::config::{Bounds, Identity, Model, Policy, Provider, ProviderKey, Strategy, Target};
use crate::journal::Journal;
use crate::policy::choose::{Chooser, Entrant};
use crate::policy::fleet::{AliasState, Fleet, TargetState};
use crate::policy::health::Health;
use crate::policy::quote::Quote;
use crate::policy::rules::Rules;
use crate::quota::{Keys, Limits};
use crate::telemetry::{ExchangeMeters, Sinks};

/// How many model names are kept resolved. Names beyond are resolved anew each time.
const ROUTES_MAX: usize = 1024;

/// Everything derived from one policy version, immutable; an exchange holds one from its start to its end.
pub struct Snapshot {
    /// The policy.
    pub policy: Policy,
    /// `x-outrider-policy`.
    pub version: HeaderValue,
    /// Which request goes to which model.
    pub rules: Rules,
    /// Who may call.
    pub keys: Keys,
    /// How much of what.
    pub limits: Arc<Limits>,
    routes: RwLock<HashMap<Box<str>, Arc<Route>>>,
}

/// One model name, resolved.
pub struct Route {
    /// What it means.
    pub model: Arc<Model>,
    /// The name as asked for, for log and metrics.
    pub name: Arc<str>,
    /// One for each of the model's targets.
    pub targets: Vec<RouteTarget>,
    /// How each of them is.
    pub healths: Vec<Arc<Health>>,
    /// Who of them is asked first.
    pub chooser: Arc<Chooser>,
    /// What is remembered of it.
    pub alias: Arc<AliasState>,
    /// Whether a request must be read to choose among the targets.
    pub reads: bool,
}

/// What the pipeline keeps ready for one target.
#[derive(Clone)]
pub struct RouteTarget {
    /// `provider/model`.
    pub label: Arc<str>,
    /// The same, as `x-outrider-target`.
    pub header: HeaderValue,
    /// Its meters.
    pub meters: Arc<ExchangeMeters>,
    /// What is remembered of it.
    pub state: Arc<TargetState>,
    /// What it charges.
    pub quote: Arc<Quote>,
}

impl Snapshot {
    /// A snapshot of a policy, with nothing counted yet. `identity` says whether callers must have a key.
    pub fn new(policy: Policy, identity: &Identity) -> Self {
        let limits = Limits::new(&policy, clock::now());
        Self::with_limits(policy, identity, limits)
    }

    /// The one that comes after this one, by another policy. What limits have counted goes on.
    pub fn after(&self, policy: Policy, identity: &Identity) -> Self {
        let limits = self.limits.renewed(&policy);
        Self::with_limits(policy, identity, limits)
    }

    fn with_limits(policy: Policy, identity: &Identity, limits: Arc<Limits>) -> Self {
        let version = HeaderValue::from_str(&policy.version).unwrap_or(HeaderValue::from_static("unknown"));
        let (rules, keys) = (Rules::new(&policy.routes), Keys::new(&policy, identity.require_key));
        Self { rules, keys, limits, policy, version, routes: RwLock::default() }
    }

    /// The route of a model name.
    ///
    /// # Errors
    /// No such model, or more than one provider claims it.
    pub fn route(&self, asked: &str, stores: &Stores) -> Result<Arc<Route>, Fault> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(asked) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(Route::new(self.policy.find(asked)?, stores));
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() < ROUTES_MAX {
            routes.insert(asked.into(), Arc::clone(&route));
        }
        Ok(route)
    }
}

impl Route {
    fn new(model: Arc<Model>, stores: &Stores) -> Self {
        let named = |target: &Target| RouteTarget::new(target.label(), &model.name, &target.provider, &target.facts.prices, stores);
        let targets: Vec<_> = model.targets.iter().map(named).collect();
        let entrants = model.targets.iter().zip(&targets).map(|(target, names)| Entrant {
            label: names.label.to_string(),
            weight: target.weight,
            latency: Arc::clone(&names.state.latency),
            quote: Arc::clone(&names.quote),
        });
        let alias = stores.fleet.alias(&model.name);
        Self {
            healths: targets.iter().map(|target| Arc::clone(&target.state.health)).collect(),
            chooser: alias.renew(model.strategy.clone(), entrants.collect(), clock::now()),
            alias,
            targets,
            name: model.name.as_str().into(),
            reads: reads(&model),
            model,
        }
    }
}

/// Whether a model's targets differ in what a request may need, or the request's content decides otherwise.
fn reads(model: &Model) -> bool {
    let limits = |target: &Target| (target.facts.context_tokens, target.facts.output_tokens, target.facts.cannot);
    let unlike = model.targets.windows(2).any(|pair| limits(&pair[0]) != limits(&pair[1]));
    model.targets.len() > 1 && (unlike || model.hedge.is_some() || matches!(model.strategy, Strategy::Cheapest(_)))
}

impl RouteTarget {
    fn new(label: String, model: &str, provider: &Provider, prices: &Prices, stores: &Stores) -> Self {
        let keys: Vec<u64> = provider.keys.iter().map(ProviderKey::id).collect();
        Self {
            header: HeaderValue::from_str(&label).unwrap_or(HeaderValue::from_static("unprintable")),
            state: stores.fleet.target(&label, &keys, stores.rng.fork(), clock::now()),
            label: label.into(),
            quote: Arc::new(Quote::new(prices)),
            meters: Arc::new(stores.sinks.meters.target(model, &provider.name, &provider.kind)),
        }
    }

    /// A provider that is asked without a model.
    pub(super) fn of_provider(provider: &Provider, stores: &Stores) -> Self {
        Self::new(provider.name.clone(), "", provider, &Prices::default(), stores)
    }
}

/// What outlives a reload.
pub struct Stores {
    /// Who this sidecar serves.
    pub identity: Identity,
    /// What targets and aliases did.
    pub fleet: Fleet,
    /// Scatters the probes of targets.
    rng: RootRng,
    /// Bytes held.
    pub held: Arc<Held>,
    /// Exchanges in flight, streams included.
    pub exchanges: Arc<AtomicUsize>,
    /// Streams being relayed.
    pub streams: Arc<AtomicUsize>,
    /// What providers said which models they have.
    pub listings: Listings,
    /// What exchanges came to, on disk.
    pub journal: Arc<Journal>,
    /// Where finished exchanges are told.
    pub sinks: Arc<Sinks>,
    /// The process's bounds.
    pub bounds: Bounds,
}

impl Stores {
    /// Empty stores.
    pub fn new(bounds: Bounds, identity: Identity, journal: Arc<Journal>, sinks: Sinks) -> Self {
        Self {
            identity,
            journal,
            fleet: Fleet::default(),
            rng: RootRng::from_system(),
            held: Held::new(bounds.held_bytes_max),
            exchanges: Arc::default(),
            streams: Arc::default(),
            listings: Listings::default(),
            sinks: Arc::new(sinks),
            bounds,
        }
    }
}
