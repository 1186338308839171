//! Which provider an unread path goes to: the one that it names, that its model names, or the only one whose API it is.
//! Never a random one.

use std::sync::Arc;

use super::super::snapshot::{Route, RouteTarget, Snapshot, Stores};
use super::asked::Asked;
use crate::base::{Fault, FaultKind};
use crate::config::{Place, Provider, RetryPolicy, Site, Target, Timeouts};
use crate::ir::Dialect;
use crate::policy::budget::RetryBudget;

/// Where a request may go, the preferred first; never empty.
pub(super) struct Ways {
    /// The model asked for, where it is known to exist.
    pub route: Option<Arc<Route>>,
    /// Each provider that may answer.
    pub all: Vec<Way>,
    /// How long to wait for what.
    pub timeout: Timeouts,
    /// How often to try.
    pub retry: RetryPolicy,
    /// How often all requests may be tried again.
    pub retries: Arc<RetryBudget>,
}

/// One provider that may answer.
pub(super) struct Way {
    /// Who.
    pub provider: Arc<Provider>,
    /// The model by its name there, where the request's is to be written over.
    pub model: Option<String>,
    /// Its labels.
    pub names: Arc<RouteTarget>,
}

impl Ways {
    /// Where a request may go.
    ///
    /// # Errors
    /// Nobody may answer it, or it is not said who of several.
    pub(super) fn find(snapshot: &Snapshot, asked: &Asked, model: Option<&str>, stores: &Stores) -> Result<Self, Fault> {
        let policy = &snapshot.policy;
        if let Some(name) = &asked.provider {
            let provider = policy.providers.iter().find(|provider| provider.name == *name).ok_or_else(|| {
                let known: Vec<_> = policy.providers.iter().map(|provider| provider.name.as_str()).collect();
                let text = format!("No provider of the name in this path is configured (there are: {}).", known.join(", "));
                Fault::caller(FaultKind::NotFound, text)
            })?;
            // Its own names of models are meant, so nothing is written over.
            let route = model.and_then(|model| snapshot.route(&format!("{name}/{model}"), stores).ok());
            return Ok(Self::one(provider, route, stores));
        }
        let Some(model) = model else { return Ok(Self::one(only(snapshot, asked)?, None, stores)) };
        let route = match snapshot.route(model, stores) {
            Ok(route) => route,
            // Not every name of a vendor's image or speech model is claimed: the vendor will know.
            Err(fault) if fault.kind == FaultKind::ModelNotFound => return Ok(Self::one(only(snapshot, asked)?, None, stores)),
            Err(fault) => return Err(fault),
        };
        let targets = route.model.targets.iter().zip(&route.targets).filter(|(target, _)| speaks(&target.dialects, asked.dialect));
        let all: Vec<Way> = targets.map(|(target, names)| Way::to(target, names)).collect();
        if all.is_empty() {
            let text = format!(
                "The model `{}` is not of a provider that speaks {}, and this path is forwarded as it is.",
                route.name,
                asked.dialect.label()
            );
            return Err(Fault::unsupported("model", text));
        }
        let retries = Arc::clone(&route.alias.retries);
        Ok(Self { all, timeout: route.model.timeout, retry: route.model.retry, retries, route: Some(route) })
    }

    fn one(provider: &Arc<Provider>, route: Option<Arc<Route>>, stores: &Stores) -> Self {
        let names = match route.as_ref().and_then(|route| route.targets.first()) {
            Some(names) => Arc::new(names.clone()),
            None => Arc::new(RouteTarget::of_provider(provider, stores)),
        };
        let way = Way { provider: Arc::clone(provider), model: None, names };
        let retries = Arc::clone(&stores.fleet.alias(&provider.name).retries);
        Self { route, all: vec![way], timeout: Timeouts::default(), retry: RetryPolicy::default(), retries }
    }
}

impl Way {
    fn to(target: &Target, names: &RouteTarget) -> Self {
        Self { provider: Arc::clone(&target.provider), model: Some(target.model.clone()), names: Arc::new(names.clone()) }
    }

    /// Where it is.
    ///
    /// # Errors
    /// It is inside of this process, and answers nothing that it does not read.
    pub(super) fn site(&self) -> Result<&Site, Fault> {
        match &self.provider.place {
            Place::Http(site) => Ok(site),
            Place::Echo => {
                let text = format!("The embedded provider {} answers only what is asked by a model's name.", self.provider.name);
                Err(Fault::caller(FaultKind::NotFound, text))
            }
        }
    }
}

/// The only provider of the path's API: of several, the only one of the vendor whose API it is.
fn only<'s>(snapshot: &'s Snapshot, asked: &Asked) -> Result<&'s Arc<Provider>, Fault> {
    let networked = |provider: &&Arc<Provider>| matches!(provider.place, Place::Http(_));
    let candidates: Vec<_> =
        snapshot.policy.providers.iter().filter(networked).filter(|provider| speaks(&provider.dialects, asked.dialect)).collect();
    let vendors: Vec<_> = candidates.iter().copied().filter(|provider| provider.kind == vendor(asked.dialect)).collect();
    match (candidates.as_slice(), vendors.as_slice()) {
        ([one], _) | (_, [one]) => Ok(one),
        ([], _) => {
            let text = format!(
                "No provider that speaks {} is configured, so that nobody can answer {}.",
                asked.dialect.label(),
                shown(&asked.rest)
            );
            Err(Fault::caller(FaultKind::NotFound, text).code("no_provider"))
        }
        _ => {
            let rest = shown(&asked.rest);
            let choices: Vec<_> = candidates.iter().map(|provider| format!("/providers/{}{rest}", provider.name)).collect();
            let text = format!("Several providers may answer this path, and the request does not say which: ask {}.", choices.join(" or "));
            Err(Fault::bad_request(text).code("ambiguous_provider"))
        }
    }
}

/// Whether a provider of these dialects has the API of that one; OpenAI's two are one.
fn speaks(dialects: &[Dialect], wanted: Dialect) -> bool {
    let api = |dialect: &Dialect| match dialect {
        Dialect::OpenAiResponses => Dialect::OpenAiChat,
        other => *other,
    };
    dialects.iter().any(|dialect| api(dialect) == api(&wanted))
}

/// The kind of provider whose own API a dialect is.
fn vendor(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
        Dialect::Bedrock => "bedrock",
    }
}

/// The beginning of a path, which may be as long as a head.
fn shown(path: &str) -> &str {
    &path[..path.floor_char_boundary(100)]
}
