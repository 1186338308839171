//! Idle connections, last in first out: the warmest is used first, and what a burst left over grows old and goes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};

use crate::base::body::Body;
use crate::base::clock::{self, Instant};

/// A connection that answers one request at a time.
pub(super) type Http1 = http1::SendRequest<Body>;
/// A connection that answers many.
pub(super) type Http2 = http2::SendRequest<Body>;

/// Providers close idle connections after a minute or more; past this age one is not worth the doubt.
const IDLE_MAX: Duration = Duration::from_secs(55);

pub(super) struct Pool {
    idle_connections_max: usize,
    sites: Mutex<HashMap<u64, SitePool>>,
}

#[derive(Default)]
struct SitePool {
    idle: Vec<(Http1, Instant)>,
    http2: Option<Http2>,
}

impl Pool {
    pub(super) fn new(idle_connections_max: usize) -> Self {
        Self { idle_connections_max, sites: Mutex::default() }
    }

    /// The lock is held for a push or a pop, never over an await; a panic cannot leave the map half changed.
    fn sites(&self) -> MutexGuard<'_, HashMap<u64, SitePool>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warmest open connection.
    pub(super) fn take(&self, site: u64) -> Option<Http1> {
        let mut sites = self.sites();
        let idle = &mut sites.get_mut(&site)?.idle;
        let (sender, since) = idle.pop()?;
        if clock::now().duration_since(since) < IDLE_MAX && !sender.is_closed() {
            return Some(sender);
        }
        // The ones below are older still.
        idle.clear();
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn keep(&self, site: u64, sender: Http1) {
        if sender.is_closed() {
            return;
        }
        let mut sites = self.sites();
        let idle = &mut sites.entry(site).or_default().idle;
        if idle.len() >= self.idle_connections_max {
            idle.remove(0);
        }
        idle.push((sender, clock::now()));
    }

    pub(super) fn http2(&self, site: u64) -> Option<Http2> {
        let mut sites = self.sites();
        let shared = &mut sites.get_mut(&site)?.http2;
        if shared.as_ref().is_some_and(Http2::is_closed) {
            *shared = None;
        }
        shared.clone()
    }

    pub(super) fn keep_http2(&self, site: u64, sender: Http2) {
        self.sites().entry(site).or_default().http2 = Some(sender);
    }

    pub(super) fn forget_http2(&self, site: u64) {
        if let Some(site) = self.sites().get_mut(&site) {
            site.http2 = None;
        }
    }
}
