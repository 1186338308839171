//! What would happen to a request, step by step. The decisions are those of the line itself, taken and told; nothing is sent.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;

mod limits;

use super::Pipeline;
use super::admission::Subject;
use super::ingress::{self, Call};
use super::outbound;
use super::routing::{self, Asker, Routed, Seen};
use super::snapshot::Snapshot;
use crate::base::body::Body;
use crate::base::clock;
use crate::base::json::{self, Array, Object};
use crate::base::{Fault, FaultKind};
use crate::config::{Target, Then};
use crate::dialect::Losses;
use crate::ir::Operation;
use crate::policy::Standing;
use crate::policy::caller::Caller;
use crate::policy::choose::{Kept, View};
use crate::policy::difficulty::Difficulty;
use crate::policy::latency::{Latency, Percentiles};
use crate::policy::prompt::last_user_text;

/// What would happen to a request, as JSON.
///
/// # Errors
/// The request cannot be read, or is not one that is routed.
pub async fn explain(line: &Pipeline, head: Parts, body: Bytes) -> Result<Vec<u8>, Fault> {
    let stores = &line.shared.stores;
    let endpoint = ingress::endpoint(&head)?;
    if matches!(endpoint.operation, Operation::Models | Operation::Opaque) {
        let text = format!("{} is not routed by what it asks for: chats, embeddings and counts of tokens are.", head.uri.path());
        return Err(Fault::caller(FaultKind::Unsupported, text));
    }
    let snapshot = line.shared.snapshot.borrow().clone();
    let mut out = Vec::with_capacity(4096);
    let key = match snapshot.keys.caller(&head.headers, head.uri.query(), line.shared.env.wall.now()) {
        Ok(key) => key,
        Err(refusal) => {
            json::object(&mut out, |out| {
                out.string("policy", &snapshot.policy.version);
                refused(out, &refusal.fault());
            });
            return Ok(out);
        }
    };
    let mut asker = Asker::of(line, &snapshot, &head.headers, key.as_ref());
    let call = ingress::receive(endpoint, head, Body::Full(body), &stores.bounds, stores.held.open()).await?;
    let allowed = asker.reads(&call);
    let mut seen = Seen::of(&call, &asker);
    seen.read(&call);
    json::object(&mut out, |out| {
        out.string("policy", &snapshot.policy.version);
        out.object("caller", |out| caller(out, &seen.asker.caller));
        out.object("request", |out| request(out, &call, &seen));
        if let Err(refusal) = allowed {
            return refused(out, &refusal.fault());
        }
        out.array("rules", |out| rules(out, line, &snapshot, &call, &seen));
        if let Some(trouble) = &stores.journal.health().trouble {
            out.string("journal", &format!("{trouble}: limits are told as if nothing had been spent"));
        }
        let subject = Subject::of(&line.shared, &snapshot.limits, &asker, call.endpoint.operation);
        let mut admitted = Err(Fault::internal("nothing was decided"));
        out.array("limits", |out| admitted = limits::admitted(out, line, &snapshot, &call, &subject));
        match &admitted {
            Ok(routed) => {
                out.object("model", |out| model(out, routed));
                out.array("targets", |out| targets(out, line, &snapshot, &call, &subject, routed));
            }
            Err(fault) => refused(out, fault),
        }
    });
    Ok(out)
}

fn refused(out: &mut Object<'_>, fault: &Fault) {
    out.object("refused", |out| {
        out.string("error_type", fault.kind.label());
        out.string("message", &fault.client_text);
    });
}

fn caller(out: &mut Object<'_>, caller: &Caller<'_>) {
    let parts = [
        ("team", caller.team.as_deref()),
        ("app", caller.app.as_deref()),
        ("user", caller.user.as_deref()),
        ("key", caller.key.as_deref()),
    ];
    for (name, value) in parts {
        match value {
            Some(value) => out.string(name, value),
            None => out.null(name),
        }
    }
    out.array("tags", |out| caller.tags.iter().for_each(|tag| out.string(tag.as_str())));
}

/// Each rule up to the one that decides: whether it matches, or what does not hold.
fn rules(out: &mut Array<'_>, line: &Pipeline, snapshot: &Snapshot, call: &Call, seen: &Seen<'_, '_>) {
    let env = &line.shared.env;
    for step in snapshot.rules.trace(&seen.asked(call, env.wall.now(), env.rng.fork().next_u64())) {
        out.object(|out| {
            out.string("rule", &routing::rule_name(step.index, step.name));
            match step.then {
                Then::Use(model) => out.string("use", model),
                Then::Deny(text) => out.string("deny", text),
            }
            out.bool("matches", step.failed.is_none());
            if let Some(failed) = &step.failed {
                out.string("because", &format!("{}: expected {}, found {}", failed.key, failed.expected, failed.found));
            }
        });
    }
}

fn request(out: &mut Object<'_>, call: &Call, seen: &Seen<'_, '_>) {
    let features = &seen.features;
    out.string("dialect", call.endpoint.dialect.label());
    out.string("operation", call.endpoint.operation.label());
    out.string("model", &call.model);
    out.bool("stream", call.stream);
    out.u64("body_bytes", call.body.len() as u64);
    out.u64("input_tokens_estimate", features.input_tokens);
    optional(out, "output_tokens_max", features.output_tokens_max);
    out.u64("messages", features.messages.into());
    out.array("has", |out| features.has.labels().for_each(|label| out.string(label)));
    let Some(request) = &seen.request else { return out.null("difficulty") };
    let difficulty = Difficulty::of(request, features, &last_user_text(request));
    out.object("difficulty", |out| {
        out.verbatim("value", &format!("{:.2}", difficulty.value()));
        out.array("reasons", |out| {
            for (reason, weight) in difficulty.reasons() {
                out.object(|out| {
                    out.string("reason", reason);
                    out.verbatim("weight", &format!("{weight:.2}"));
                });
            }
        });
    });
}

fn model(out: &mut Object<'_>, routed: &Routed) {
    let model = &routed.route.model;
    out.string("name", &model.name);
    out.string("strategy", model.strategy.label());
    out.u64("attempts", model.retry.attempts.into());
    out.verbatim("retry_budget", &thousandths(model.retry.budget_permille));
    out.object("timeout", |out| {
        for (name, time) in [
            ("connect", model.timeout.connect),
            ("first_token", model.timeout.first_token),
            ("idle", model.timeout.idle),
            ("total", model.timeout.total),
        ] {
            out.string(name, &humantime::format_duration(time).to_string());
        }
    });
    match &model.hedge {
        Some(hedge) => out.object("hedge", |out| {
            out.u64("after_percentile", hedge.after_percentile.into());
            out.verbatim("max_ratio", &thousandths(hedge.ratio_max_permille));
            out.bool("allowed", routed.repeatable());
        }),
        None => out.null("hedge"),
    }
    out.bool("strict", model.strict);
}

/// Every target: those that fit in their order, then the others with what they lack.
fn targets(out: &mut Array<'_>, line: &Pipeline, snapshot: &Snapshot, call: &Call, subject: &Subject<'_>, routed: &Routed) {
    let (now, at) = (clock::now(), line.shared.env.wall.now());
    let route = &routed.route;
    let (candidates, misfits) = routing::candidates(route, &routed.features, now);
    let explanation = route.chooser.explain(&routed.features, &candidates, now, at);
    for (place, view) in explanation.views.iter().enumerate() {
        let Some(target) = route.model.targets.get(view.index) else { continue };
        out.object(|out| {
            out.u64("place", place as u64 + 1);
            out.string("target", &view.label);
            out.string("why", &view.why);
            seen(out, view, now);
            limits::of_provider(out, line, snapshot, call, subject, routed, view.index);
            translation(out, call, routed, target);
        });
    }
    for (index, misfit) in misfits {
        out.object(|out| {
            out.null("place");
            out.string("target", &route.targets[index].label);
            out.string("why", &format!("skipped: {misfit}"));
        });
    }
}

/// How a target stands with its alias.
fn seen(out: &mut Object<'_>, view: &View, now: clock::Instant) {
    let (state, share) = match view.standing {
        Standing::Well => ("well", None),
        Standing::Returning(share) => ("returning", Some(share)),
        Standing::Probe => ("probe", None),
        Standing::Out(_) => ("out", None),
    };
    out.string("health", state);
    match share {
        Some(share) => out.verbatim("share", &format!("{share:.2}")),
        None => out.verbatim("wait_seconds", &format!("{:.3}", view.standing.wait(now).as_secs_f64())),
    }
    out.object("expected", |out| {
        out.u64("input_tokens", view.expected.input_tokens);
        out.u64("cached_input_tokens", view.expected.cached_input_tokens);
        out.u64("output_tokens", view.expected.output_tokens);
        out.u64("reasoning_tokens", view.expected.reasoning_tokens);
        match view.cost {
            Some(nano) => out.verbatim("cost_usd", &format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)),
            None => out.null("cost_usd"),
        }
    });
    out.object("first_token", |out| percentiles(out, &view.first_token));
    out.object("whole_answer", |out| percentiles(out, &view.whole));
    out.array("bounds", |out| view.bounds.iter().for_each(|kept| out.object(|out| bound(out, kept))));
}

fn percentiles(out: &mut Object<'_>, percentiles: &Percentiles) {
    // What never came has no time.
    let came = |time: Option<Duration>| time.filter(|time| *time < Latency::NEVER);
    let milliseconds = |time: Option<Duration>| came(time).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    optional(out, "p50_ms", milliseconds(percentiles.p50));
    optional(out, "p95_ms", milliseconds(percentiles.p95));
    out.verbatim("samples", &format!("{:.0}", percentiles.samples));
}

fn bound(out: &mut Object<'_>, kept: &Kept) {
    out.string("bound", &kept.bound.to_string());
    match kept.over {
        Some(share) => out.verbatim("share_over", &format!("{share:.3}")),
        None => out.null("share_over"),
    }
}

/// What a target would be sent: in which dialect, and what that loses.
fn translation(out: &mut Object<'_>, call: &Call, routed: &Routed, target: &Target) {
    out.string("dialect", target.dialect(call.endpoint.dialect).label());
    match outbound::prepare(call, &routed.route.model, target) {
        Ok(prepared) => {
            out.bool("translated", prepared.translated);
            out.array("loses", |out| losses(out, &prepared.notes.losses));
        }
        Err(fault) => out.string("refuses", &fault.client_text),
    }
}

fn losses(out: &mut Array<'_>, losses: &Losses) {
    losses.names().iter().for_each(|name| out.string(name));
}

fn optional(out: &mut Object<'_>, name: &str, value: Option<u64>) {
    match value {
        Some(value) => out.u64(name, value),
        None => out.null(name),
    }
}

fn thousandths(permille: u32) -> String {
    format!("{:?}", f64::from(permille) / 1000.0)
}
