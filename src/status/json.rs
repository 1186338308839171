//! The state of things as JSON, for programs.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::limits;
use super::view::{self, AliasView, PRICES, TIMES, TargetView};
use super::{Status, address};
use crate::base::clock;
use crate::base::json::{self, Object};
use crate::journal::Health;
use crate::policy::choose::TargetSummary;
use crate::policy::health::Report;

/// The document.
pub(super) fn document(status: &Status) -> String {
    let (now, at) = (clock::now(), status.shared.env.wall.now());
    let stores = &status.shared.stores;
    let snapshot = Arc::clone(&status.shared.snapshot.borrow());
    let refused = status.config.lock().unwrap_or_else(PoisonError::into_inner).refused.clone();
    let sinks = &status.shared.stores.sinks;
    let mut out = Vec::with_capacity(2048);
    json::object(&mut out, |out| {
        out.string("version", env!("CARGO_PKG_VERSION"));
        out.string("state", status.state());
        out.u64("uptime_seconds", status.uptime().as_secs());
        out.object("identity", |out| {
            out.string("team", &sinks.team);
            out.string("app", &sinks.app);
        });
        out.object("policy", |out| {
            out.string("version", &snapshot.policy.version);
            match &refused {
                Some(why) => out.string("last_reload_refused", why),
                None => out.null("last_reload_refused"),
            }
        });
        status.counts().into_iter().for_each(|(name, count)| out.u64(name, count));
        out.array("providers", |out| {
            for provider in &snapshot.policy.providers {
                out.object(|out| {
                    out.string("name", &provider.name);
                    out.string("kind", &provider.kind);
                    out.string("dialect", provider.dialect().label());
                    out.string("address", &address(&provider.place));
                });
            }
        });
        out.array("models", |out| view::aliases(&snapshot, stores, now, at).iter().for_each(|alias| out.object(|out| model(out, alias))));
        out.array("targets", |out| view::targets(&snapshot, stores, now, at).iter().for_each(|view| out.object(|out| target(out, view))));
        limits::json(out, &limits::limits(&snapshot, &status.shared));
        let spent = stores.journal.spent_lately(at);
        out.object("spent_usd", |out| {
            out.verbatim("today", &spent.today.to_string());
            out.verbatim("this_month", &spent.this_month.to_string());
        });
        out.object("journal", |out| journal(out, &stores.journal.health()));
        out.array("last_errors", |out| {
            for failure in sinks.failures.all().iter().rev() {
                out.object(|out| {
                    out.string("at", &humantime::format_rfc3339_seconds(failure.at).to_string());
                    out.string("request_id", &failure.id.to_string());
                    out.string("error_type", failure.kind.label());
                    out.string("target", failure.target.as_deref().unwrap_or_default());
                    out.u64("status", u64::from(failure.status.unwrap_or(0)));
                    out.string("cause", failure.cause.as_deref().unwrap_or_default());
                });
            }
        });
    });
    String::from_utf8_lossy(&out).into_owned()
}

fn journal(out: &mut Object<'_>, health: &Health) {
    out.bool("configured", health.configured);
    match &health.trouble {
        Some(trouble) => out.string("trouble", trouble),
        None => out.null("trouble"),
    }
    out.u64("bytes", health.bytes);
    out.u64("records", health.records);
    out.u64("pending", health.pending);
    out.u64("write_errors", health.write_errors);
    out.u64("stalls", health.stalls);
    out.u64("corrupt_files", health.corrupt_files);
    out.u64("settled_by_estimate", health.settled_by_estimate);
    out.u64("dims_overflows", health.dims_overflows);
}

fn model(out: &mut Object<'_>, alias: &AliasView<'_>) {
    out.string("name", &alias.model.name);
    out.string("strategy", alias.model.strategy.label());
    out.array("targets", |out| alias.model.targets.iter().for_each(|target| out.string(&target.label())));
    match &alias.summary {
        Some(summary) => {
            out.u64("switches_in_an_hour", summary.switches as u64);
            out.array("shares", |out| {
                for (target, why) in summary.targets.iter().zip(&alias.whys) {
                    out.object(|out| share(out, target, why));
                }
            });
        }
        None => out.null("shares"),
    }
    match alias.retries {
        Some(spent) => out.object("retries", |out| {
            out.verbatim("left", &format!("{:.1}", spent.left));
            out.u64("charged", spent.charged);
            out.u64("moved_on", spent.moved);
            out.u64("denied", spent.denied);
        }),
        None => out.null("retries"),
    }
}

fn share(out: &mut Object<'_>, target: &TargetSummary, why: &str) {
    out.string("target", &target.label);
    out.verbatim("share", &format!("{:.3}", target.share));
    match target.cost {
        Some(nano) => out.verbatim("usd_for_a_typical_request", &format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)),
        None => out.null("usd_for_a_typical_request"),
    }
    out.string("why", why);
}

fn target(out: &mut Object<'_>, view: &TargetView<'_>) {
    out.string("name", &view.target.label());
    match &view.health {
        Some(report) => out.object("health", |out| health(out, report)),
        None => out.null("health"),
    }
    for ((name, ..), time) in TIMES.iter().zip(view.times) {
        match time {
            Some(time) => out.u64(name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            None => out.null(name),
        }
    }
    let facts = &view.target.facts;
    for (name, tokens) in [("context_tokens", facts.context_tokens), ("output_tokens", facts.output_tokens)] {
        match tokens {
            Some(tokens) => out.u64(name, tokens.into()),
            None => out.null(name),
        }
    }
    for (name, counted) in PRICES {
        match view.rates.of(counted) {
            Some(rate) => out.verbatim(name, &rate.to_string()),
            None => out.null(name),
        }
    }
}

fn health(out: &mut Object<'_>, report: &Report) {
    let seconds = |wait: Duration| format!("{:.3}", wait.as_secs_f64());
    out.string("state", report.state);
    out.verbatim("wait_seconds", &seconds(report.wait));
    out.u64("failures_in_a_row", report.failures_in_a_row.into());
    out.u64("tries_in_10s", report.tries.into());
    out.u64("failures_in_10s", report.failures.into());
    out.array("keys", |out| {
        for key in &report.keys {
            out.object(|out| {
                out.verbatim("wait_seconds", &seconds(key.wait));
                match key.trouble {
                    Some(trouble) => out.string("trouble", trouble),
                    None => out.null("trouble"),
                }
            });
        }
    });
    match report.last_fault {
        Some((kind, since)) => out.object("last_fault", |out| {
            out.string("error_type", kind);
            out.verbatim("seconds_ago", &seconds(since));
        }),
        None => out.null("last_fault"),
    }
}
