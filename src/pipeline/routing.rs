//! From what a request asks for to the targets that may answer it, in order.

use std::sync::Arc;
use std::time::SystemTime;

use super::Pipeline;
use super::account::tokens_of_bytes;
use super::ingress::Call;
use super::snapshot::Route;
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::ir::Operation;
use crate::policy::choose::Candidate;
use crate::policy::features::{Features, Has};
use crate::policy::fit::{Misfit, fits};

/// Where an exchange goes.
pub(super) struct Routed {
    /// The model.
    pub route: Arc<Route>,
    /// Its targets, in the order in which they are to be asked; never empty.
    pub order: Vec<usize>,
    /// What the request is, as far as it was read.
    pub features: Features,
}

impl Routed {
    /// Whether asking twice does nothing that asking once does not.
    pub(super) fn repeatable(&self) -> bool {
        !self.features.has.has(Has::SIDE_EFFECTS)
    }
}

/// Finds where a call goes.
pub(super) fn routed(line: &Pipeline, call: &Call, route: Arc<Route>) -> Routed {
    let features = features(call, &route);
    let env = &line.shared.env;
    let order = match route.targets.len() {
        1 => vec![0],
        _ => order(&route, &features, clock::now(), env.wall.now(), &mut env.rng.fork()),
    };
    Routed { route, order, features }
}

/// The targets that fit a request, in the order in which they are to be asked.
pub fn order(route: &Route, features: &Features, now: Instant, at: SystemTime, rng: &mut Rng) -> Vec<usize> {
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

/// What a request is, read only as far as its route asks. What cannot be read may still pass as it is, so that is no refusal.
fn features(call: &Call, route: &Route) -> Features {
    if call.endpoint.operation == Operation::Chat && route.reads {
        return match call.request() {
            Ok(request) => Features::of(&request),
            Err(_) => Features::of_bytes(call.endpoint.dialect, &call.body, &call.envelope, call.stream),
        };
    }
    Features { input_tokens: tokens_of_bytes(call.body.len() as u64), stream: call.stream, ..Features::default() }
}
