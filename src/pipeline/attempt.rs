//! The only loop of the pipeline: from the targets of a model to the first good answer.
//!
//! Until the first content has come, nothing has reached the app, and another try may answer in its place; after that, never.

use std::sync::Arc;

use bytes::Bytes;

use super::Pipeline;
use super::account::Account;
use super::answer::Refusal;
use super::good::Good;
use super::ingress::Call;
use super::one_try::{Exchange, Try};
use super::snapshot::Route;
use crate::base::Fault;
use crate::base::clock;
use crate::policy::health::Health;
use crate::policy::tries::Tries;

/// Asks the route's targets in order until one answers.
///
/// # Errors
/// The last real refusal.
pub(super) async fn first_good(line: &Pipeline, call: &mut Call, route: &Route, account: &mut Account) -> Result<Good, Refusal> {
    let targets = &route.model.targets;
    let meters = &line.shared.stores.sinks.meters;
    let total = call.timeout.map_or(route.model.timeout.total, |asked| asked.min(route.model.timeout.total));
    let deadline = account.record.started + total;
    let rng = || line.shared.env.rng.fork();
    let healths: Vec<_> = targets.iter().map(|_| Arc::new(Health::new(1, rng(), clock::now()))).collect();
    let mut tries = Tries::new(0..targets.len(), route.model.retry, true, deadline, rng(), Arc::default());
    let mut last = None;
    loop {
        let Some(permit) = tries.begin(&healths, clock::now()) else {
            return Err(last.unwrap_or_else(|| Fault::internal("no target").into()));
        };
        account.record.attempts += 1;
        let index = tries.index;
        let names = &route.targets[index];
        account.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
        account.target = Some(names.header.clone());
        let exchange = Exchange::of(&account.record);
        let refusal = match (Try { line, call, route, index, deadline, exchange }).run().await {
            Ok(tried) => {
                permit.succeeded(clock::now());
                // Nobody will ask for these bytes again.
                call.body = Bytes::new();
                let _given_back = call.hold.set(0);
                names.meters.attempt_succeeded(meters, call.endpoint.operation);
                let losses = &tried.good.losses;
                if !losses.is_empty() {
                    let (from, to) = (call.endpoint.dialect, targets[index].dialect(call.endpoint.dialect));
                    meters.losses(from.label(), to.label(), losses.names().len());
                }
                tried.learnt.fill(&mut account.record);
                return Ok(tried.good);
            }
            Err(refusal) => refusal,
        };
        meters.attempt(&names.meters, refusal.fault.kind.label());
        permit.failed(&refusal.fault, clock::now());
        match tries.next(&refusal.fault, &healths, clock::now()) {
            None => return Err(refusal),
            Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
            Some(_) => {}
        }
        last = Some(refusal);
    }
}
