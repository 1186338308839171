//! From what a request asks for to the targets that may answer it, in order.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use super::Pipeline;
use super::account::tokens_of_bytes;
use super::ingress::Call;
use super::snapshot::{Route, Snapshot};
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::base::{Fault, FaultKind, Origin};
use crate::config::Then;
use crate::dialect::asked;
use crate::ir::{Operation, Request};
use crate::policy::caller::Caller;
use crate::policy::choose::Candidate;
use crate::policy::features::{Features, Has};
use crate::policy::fit::{Misfit, fits};
use crate::policy::rules::{Asked, Match};
use crate::quota::{self, KeyRefused};

/// Where an exchange goes.
pub(super) struct Routed {
    /// The model.
    pub route: Arc<Route>,
    /// Its targets, in the order in which they are to be asked; never empty.
    pub order: Vec<usize>,
    /// What the request is, as far as it was read.
    pub features: Features,
    /// Whether its tokens were counted by what it holds, and not by its length alone.
    pub counted: bool,
    /// The rule that named the model.
    pub rule: Option<Arc<str>>,
    /// What limits take the answer for, in tokens, where the request bounds it not.
    pub assumed_output: Option<u64>,
}

impl Routed {
    /// Whether asking twice does nothing that asking once does not.
    pub(super) fn repeatable(&self) -> bool {
        !self.features.has.has(Has::SIDE_EFFECTS)
    }
}

/// Who asks, with all that rules may look at beside the call itself.
pub(super) struct Asker<'a> {
    /// Who.
    pub caller: Caller<'a>,
    /// The outrider key that was presented.
    pub key: Option<&'a quota::Caller>,
    /// The headers as they came; empty where there are no rules.
    pub headers: HeaderMap,
}

impl<'a> Asker<'a> {
    /// The asker of a request, before our own headers are taken out of it.
    pub(super) fn of(line: &'a Pipeline, snapshot: &Snapshot, headers: &HeaderMap, key: Option<&'a quota::Caller>) -> Self {
        let headers_kept = if snapshot.rules.is_empty() { HeaderMap::new() } else { headers.clone() };
        let caller = Caller::of(&line.shared.stores.identity, key.map(|caller| &*caller.key), headers);
        Self { caller, key, headers: headers_kept }
    }

    /// Learns what the call itself says: the user in its dialect's own field, where no header named one.
    ///
    /// # Errors
    /// The key does not allow the model.
    pub(super) fn reads(&mut self, call: &Call) -> Result<(), KeyRefused> {
        self.key.map_or(Ok(()), |key| key.may_ask(&call.model))?;
        if self.caller.user.is_none() {
            let named = asked::user(call.endpoint.dialect, &call.body, &call.envelope);
            self.caller = std::mem::take(&mut self.caller).or_user(named.as_ref());
        }
        Ok(())
    }
}

/// Finds where a call goes: rule → model → targets in order. `instead`: an alias that serves whatever the rules say.
///
/// # Errors
/// A rule refuses it, or there is no such model.
pub(super) fn routed(line: &Pipeline, snapshot: &Snapshot, call: &Call, asker: &Asker<'_>, instead: Option<&str>) -> Result<Routed, Fault> {
    let stores = &line.shared.stores;
    let env = &line.shared.env;
    let mut rng = env.rng.fork();
    let (now, at) = (clock::now(), env.wall.now());
    if snapshot.rules.is_empty() || instead.is_some() {
        let route = snapshot.route(instead.unwrap_or(&call.model), stores)?;
        let counted = route.reads || !snapshot.limits.is_empty() || stores.journal.is_kept();
        let features = if route.reads { read(call).1 } else { unread(call, counted) };
        let order = order(&route, &features, now, at, &mut rng);
        return Ok(Routed { route, order, features, counted, rule: None, assumed_output: None });
    }
    let mut seen = Seen::of(call, asker);
    let draw = rng.next_u64();
    if call.endpoint.operation == Operation::Chat && snapshot.rules.depend_on_request(&seen.asked(call, at, draw)) {
        seen.read(call);
    }
    let (model, rule) = match snapshot.rules.first(&seen.asked(call, at, draw)) {
        None => (call.model.as_str(), None),
        Some(Match { then: Then::Use(model), index, name }) => (model.as_str(), Some(rule_name(index, name).into())),
        Some(Match { then: Then::Deny(text), index, name }) => {
            let cause = format!("denied by the rule {}", rule_name(index, name));
            return Err(Fault::new(FaultKind::Forbidden, Origin::Gateway, text.clone()).code("denied_by_rule").cause(cause));
        }
    };
    let route = snapshot.route(model, stores)?;
    if route.reads && call.endpoint.operation == Operation::Chat {
        seen.read(call);
    }
    let order = order(&route, &seen.features, now, at, &mut rng);
    Ok(Routed { route, order, features: seen.features, counted: true, rule, assumed_output: None })
}

/// What rules see of a call, read as far as it must be.
pub(super) struct Seen<'c, 'a> {
    pub(super) asker: &'c Asker<'a>,
    pub(super) features: Features,
    pub(super) request: Option<Request<'c>>,
}

impl<'c, 'a> Seen<'c, 'a> {
    /// What shows without reading the request.
    pub(super) fn of(call: &'c Call, asker: &'c Asker<'a>) -> Self {
        let features = Features::of_bytes(call.endpoint.dialect, &call.body, &call.envelope, call.stream);
        Self { asker, features, request: None }
    }

    /// Reads it, once. What cannot be read may still pass as it is, so that is no refusal.
    pub(super) fn read(&mut self, call: &'c Call) {
        if self.request.is_none() {
            let (request, features) = read(call);
            self.features = features;
            self.request = request;
        }
    }

    /// What is asked of the rules.
    pub(super) fn asked<'s>(&'s self, call: &'s Call, at: SystemTime, draw: u64) -> Asked<'s> {
        Asked {
            model: &call.model,
            operation: call.endpoint.operation,
            stream: call.stream,
            headers: &self.asker.headers,
            caller: &self.asker.caller,
            features: &self.features,
            request: self.request.as_ref(),
            at,
            draw,
        }
    }
}

/// A rule's name, or its place in the file.
pub(super) fn rule_name(index: usize, name: Option<&str>) -> String {
    name.map_or_else(|| format!("routes[{index}]"), str::to_owned)
}

/// The targets that fit a request, in the order in which they are to be asked.
pub fn order(route: &Route, features: &Features, now: Instant, at: SystemTime, rng: &mut Rng) -> Vec<usize> {
    if route.targets.len() == 1 {
        return vec![0];
    }
    let (candidates, _) = candidates(route, features, now);
    route.chooser.order(features, &candidates, now, at, rng).indexes
}

/// The targets that fit a request, and those that do not. An estimate is not the truth: where none fits, all are taken, and the
/// provider's own refusal is the honest answer.
pub(super) fn candidates(route: &Route, features: &Features, now: Instant) -> (Vec<Candidate>, Vec<(usize, Misfit)>) {
    let candidate = |index: usize| Candidate { index, standing: route.healths[index].standing(now) };
    let mut candidates = Vec::with_capacity(route.targets.len());
    let mut misfits = Vec::new();
    for (index, target) in route.model.targets.iter().enumerate() {
        match fits(features, &target.facts) {
            Ok(()) => candidates.push(candidate(index)),
            Err(misfit) => misfits.push((index, misfit)),
        }
    }
    if candidates.is_empty() {
        candidates.extend(misfits.drain(..).map(|(index, _)| candidate(index)));
    }
    (candidates, misfits)
}

/// A call, read. What cannot be read may still pass as it is, so that is no refusal.
fn read(call: &Call) -> (Option<Request<'_>>, Features) {
    if call.endpoint.operation == Operation::Chat
        && let Ok(request) = call.request()
    {
        let features = Features::of(&request);
        return (Some(request), features);
    }
    (None, Features::of_bytes(call.endpoint.dialect, &call.body, &call.envelope, call.stream))
}

/// A call that nothing asks to look into. Where its tokens are `counted`, they are estimated by more than its length.
fn unread(call: &Call, counted: bool) -> Features {
    if counted {
        return Features::of_bytes(call.endpoint.dialect, &call.body, &call.envelope, call.stream);
    }
    Features { input_tokens: tokens_of_bytes(call.body.len() as u64), stream: call.stream, ..Features::default() }
}
