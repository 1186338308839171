//! What the admin listener shows: metrics, the effective configuration, and the state of things, for programs and for people.

mod json;
mod limits;
mod page;
mod view;
mod words;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::{self, Instant};
use crate::base::drain::DrainState;
use crate::config::{Config, Place, Rejected, render};
use crate::pipeline::Shared;
use crate::policy::Standing;
use crate::server::admin::AdminSource;
use crate::server::to_openmetrics;
use crate::telemetry::JournalMeters;

/// The process's state, as far as it is shown.
pub struct Status {
    shared: Arc<Shared>,
    started: Instant,
    config: Mutex<Shown>,
}

struct Shown {
    config: Config,
    refused: Option<String>,
}

impl Status {
    /// The state of a process that runs by `config`.
    pub fn new(shared: Arc<Shared>, config: Config) -> Self {
        Self { shared, started: clock::now(), config: Mutex::new(Shown { config, refused: None }) }
    }

    /// A new configuration is in force.
    pub fn reloaded(&self, config: Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Shown { config, refused: None };
    }

    /// A new configuration was refused.
    pub fn reload_refused(&self, rejected: &Rejected) {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(rejected.to_string());
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(clock::now().duration_since(self.started).as_secs())
    }

    fn state(&self) -> &'static str {
        match self.shared.drain.state() {
            DrainState::Serving => "serving",
            DrainState::Draining => "draining",
            DrainState::Cut => "cut",
        }
    }

    fn counts(&self) -> [(&'static str, u64); 3] {
        let stores = &self.shared.stores;
        [
            ("exchanges_open", stores.exchanges.load(Ordering::Relaxed) as u64),
            ("streams_open", stores.streams.load(Ordering::Relaxed) as u64),
            ("held_bytes", stores.held.bytes() as u64),
        ]
    }
}

impl Status {
    fn journal(&self) -> JournalMeters {
        let health = self.shared.stores.journal.health();
        JournalMeters {
            ok: health.configured && health.trouble.is_none(),
            pending: health.pending,
            bytes: health.bytes,
            records: health.records,
            write_errors: health.write_errors,
            stalls: health.stalls,
            corrupt_files: health.corrupt_files,
            settled_by_estimate: health.settled_by_estimate,
        }
    }
}

impl AdminSource for Status {
    fn metrics(&self, openmetrics: bool) -> String {
        let meters = &self.shared.stores.sinks.meters;
        let [(_, exchanges), (_, streams), (_, held)] = self.counts();
        meters.exchanges_open.set(exchanges as f64);
        meters.streams_open.set(streams as f64);
        meters.held_bytes.set(held as f64);
        let snapshot = Arc::clone(&self.shared.snapshot.borrow());
        for view in view::targets(&snapshot, &self.shared.stores, clock::now(), self.shared.env.wall.now()) {
            let Some(report) = view.health else { continue };
            let state = match report.standing {
                Standing::Well => 0.0,
                Standing::Returning(share) => 1.0 - f64::from(share),
                Standing::Probe => 0.5,
                Standing::Out(_) => 1.0,
            };
            meters.breaker(&view.target.provider.name, &view.target.model, state);
        }
        for count in snapshot.limits.admissions() {
            meters.limit_admissions(count.limit, count.admitted, count.queued);
        }
        for limit in &snapshot.limits.view(self.shared.moment(), 1).limits {
            meters.limit_used(&limit.limit.name, limits::fullest(limit));
        }
        meters.journal(&self.journal());
        let text = meters.render();
        if openmetrics { to_openmetrics(&text) } else { text }
    }

    fn config(&self) -> String {
        render(&self.config.lock().unwrap_or_else(PoisonError::into_inner).config)
    }

    fn status_json(&self) -> String {
        json::document(self)
    }

    fn status_html(&self) -> String {
        page::page(self)
    }

    fn ready(&self) -> Result<(), String> {
        match self.shared.drain.state() {
            DrainState::Serving => Ok(()),
            DrainState::Draining | DrainState::Cut => Err("draining".to_owned()),
        }
    }

    fn drain(&self) {
        self.shared.drain.begin();
    }
}

fn address(place: &Place) -> String {
    match place {
        Place::Echo => "embedded".to_owned(),
        Place::Http(site) => format!("{}{}", site.origin.to_string().trim_end_matches('/'), site.path_prefix),
    }
}
