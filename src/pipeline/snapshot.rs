//! What an exchange sees of the configuration, and what outlives a reload.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;

use super::held::Held;
use super::models::Listings;
use crate::base::Fault;
use crate::config::{Bounds, Model, Policy, Provider};
use crate::telemetry::{ExchangeMeters, Meters, Sinks};

/// How many model names are kept resolved. Names beyond are resolved anew each time.
const ROUTES_MAX: usize = 1024;

/// Everything derived from one policy version, immutable; an exchange holds one from its start to its end.
pub struct Snapshot {
    /// The policy.
    pub policy: Policy,
    /// `x-outrider-policy`.
    pub version: HeaderValue,
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
}

impl Snapshot {
    /// A snapshot of a policy.
    pub fn new(policy: Policy) -> Self {
        let version = HeaderValue::from_str(&policy.version).unwrap_or(HeaderValue::from_static("unknown"));
        Self { policy, version, routes: RwLock::default() }
    }

    /// The route of a model name.
    ///
    /// # Errors
    /// No such model, or more than one provider claims it.
    pub fn route(&self, asked: &str, meters: &Meters) -> Result<Arc<Route>, Fault> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(asked) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(Route::new(self.policy.find(asked)?, meters));
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() < ROUTES_MAX {
            routes.insert(asked.into(), Arc::clone(&route));
        }
        Ok(route)
    }
}

impl Route {
    fn new(model: Arc<Model>, meters: &Meters) -> Self {
        let targets = model.targets.iter().map(|target| {
            let label = format!("{}/{}", target.provider.name, target.model);
            RouteTarget::new(label, &model.name, &target.provider, meters)
        });
        Self { targets: targets.collect(), name: model.name.as_str().into(), model }
    }
}

impl RouteTarget {
    fn new(label: String, model: &str, provider: &Provider, meters: &Meters) -> Self {
        Self {
            header: HeaderValue::from_str(&label).unwrap_or(HeaderValue::from_static("unprintable")),
            label: label.into(),
            meters: Arc::new(meters.target(model, &provider.name, &provider.kind)),
        }
    }

    /// A provider that is asked without a model.
    pub(super) fn of_provider(provider: &Provider, meters: &Meters) -> Self {
        Self::new(provider.name.clone(), "", provider, meters)
    }
}

/// What outlives a reload.
pub struct Stores {
    /// Bytes held.
    pub held: Arc<Held>,
    /// Exchanges in flight, streams included.
    pub exchanges: Arc<AtomicUsize>,
    /// Streams being relayed.
    pub streams: Arc<AtomicUsize>,
    /// What providers said which models they have.
    pub listings: Listings,
    /// Where finished exchanges are told.
    pub sinks: Arc<Sinks>,
    /// The process's bounds.
    pub bounds: Bounds,
}

impl Stores {
    /// Empty stores.
    pub fn new(bounds: Bounds, sinks: Sinks) -> Self {
        Self {
            held: Held::new(bounds.held_bytes_max),
            exchanges: Arc::default(),
            streams: Arc::default(),
            listings: Listings::default(),
            sinks: Arc::new(sinks),
            bounds,
        }
    }
}
