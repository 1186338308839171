//! What limits say to a call, and where it goes by them: as admission decides, without reserving anything.

use super::super::Pipeline;
use super::super::admission::{self, Subject};
use super::super::funds::Upper;
use super::super::ingress::Call;
use super::super::routing::{Routed, routed};
use super::super::snapshot::Snapshot;
use crate::base::Fault;
use crate::base::json::{Array, Object};
use crate::config::OnExceed;
use crate::quota::{BoundStand, Stand};

/// One step for each alias that the call is asked for under: the one it is routed to, and those that limits send it to.
///
/// # Errors
/// A rule, a limit or the journal refuses it, or there is no such model.
pub(super) fn admitted(
    out: &mut Array<'_>,
    line: &Pipeline,
    snapshot: &Snapshot,
    call: &Call,
    subject: &Subject<'_>,
) -> Result<Routed, Fault> {
    let (asker, at) = (subject.asker(), line.shared.moment());
    let mut now = routed(line, snapshot, call, asker, None)?;
    let mut degraded = 0;
    loop {
        let ask = subject.ask(&now.route.name, None);
        now.assumed_output = snapshot.limits.assumed_output_tokens(&ask);
        let upper = admission::upper(call, &now, at.wall);
        let checked = snapshot.limits.check(&ask, upper.amount(), at);
        let to = checked.as_ref().err().and_then(|exceeded| admission::goes_to(exceeded, &now, degraded));
        out.object(|out| {
            out.string("model", &now.route.name);
            out.object("at_most", |out| at_most(out, &upper));
            out.array("applying", |out| stands(out, &snapshot.limits.stands(&ask, upper.amount(), at)));
            let outcome = match (&checked, to) {
                (Ok(()), _) => "let in".to_owned(),
                (Err(_), Some(to)) => format!("asked for as {to}"),
                (Err(exceeded), None) => match &exceeded.then {
                    OnExceed::Queue { timeout, .. } => format!("stands in line up to {}", humantime::format_duration(*timeout)),
                    OnExceed::Reject | OnExceed::Degrade { .. } => "refused".to_owned(),
                },
            };
            out.string("outcome", &outcome);
            match &checked {
                Ok(()) => out.null("because"),
                Err(exceeded) => out.string("because", &exceeded.to_string()),
            }
        });
        match (&checked, to) {
            (Ok(()), _) => return Ok(now),
            (Err(_), Some(to)) => now = routed(line, snapshot, call, asker, Some(to))?,
            (Err(exceeded), None) if matches!(exceeded.then, OnExceed::Queue { .. }) => return Ok(now),
            (Err(exceeded), None) => return Err(exceeded.fault()),
        }
        degraded += 1;
    }
}

/// The limits of a target's provider, which are asked at each try.
pub(super) fn of_provider(
    out: &mut Object<'_>,
    line: &Pipeline,
    snapshot: &Snapshot,
    call: &Call,
    subject: &Subject<'_>,
    routed: &Routed,
    index: usize,
) {
    let at = line.shared.moment();
    let provider = &routed.route.model.targets[index].provider.name;
    let ask = subject.ask(&routed.route.name, Some(provider));
    let upper = admission::upper_at(call, routed, index, at.wall);
    out.array("limits", |out| stands(out, &snapshot.limits.stands(&ask, upper.amount(), at)));
}

/// What is reserved.
fn at_most(out: &mut Object<'_>, upper: &Upper) {
    out.u64("input_tokens", upper.estimate.input_tokens);
    out.u64("output_tokens", upper.estimate.output_tokens);
    out.verbatim("cost_usd", &upper.estimate.cost.to_string());
}

fn stands(out: &mut Array<'_>, stands: &[Stand]) {
    for stand in stands {
        out.object(|out| {
            out.string("limit", &stand.limit.name);
            out.string("subject", &stand.subject);
            out.bool("fits", stand.fits());
            out.bool("others_in_line", stand.line);
            out.array("bounds", |out| stand.bounds.iter().for_each(|one| out.object(|out| bound(out, one))));
        });
    }
}

fn bound(out: &mut Object<'_>, bound: &BoundStand) {
    let of = bound.view.measure;
    out.string("bound", of.label());
    for (name, amount) in [("most", bound.view.most), ("used", bound.view.used()), ("left", bound.view.free()), ("asked", bound.asked)] {
        out.verbatim(name, &of.number(amount));
    }
    out.bool("fits", bound.fits);
}
