//! One credential's token: fetched once for all who wait, refreshed in the background while the old one still serves,
//! and not asked for in vain again and again.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Token;
use super::fetch::Failure;
use crate::base::FaultKind;
use crate::base::clock::{self, Instant};

/// A token is replaced so long before it expires.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);
/// A fetch that takes longer has failed.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure the next fetch begins no sooner, doubling up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A token that is refused so soon after it was fetched would be no better the next time.
const NEW_FOR: Duration = Duration::from_secs(60);

/// A token as it was fetched.
pub(super) struct Fetched {
    pub(super) token: Token,
    /// How long it is good for.
    pub(super) lifetime: Duration,
}

/// The place of one token.
#[derive(Default)]
pub(super) struct Kept {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    fetching: bool,
    failure: Option<(Failure, Instant)>,
    failures: u32,
}

struct Held {
    token: Arc<Token>,
    since: Instant,
    refresh_at: Instant,
    expires_at: Instant,
}

/// What is to be done by whoever asks.
enum Look {
    Ready(Arc<Token>),
    Wait,
    Failed(Failure),
}

impl Kept {
    /// The token, from memory where one is good. Where one is due, `begin` is run in a task of its own; only where there
    /// is none at all does this wait for it.
    pub(super) async fn token<F>(self: &Arc<Self>, begin: impl Fn() -> F) -> Result<Arc<Token>, Failure>
    where
        F: Future<Output = Result<Fetched, Failure>> + Send + 'static,
    {
        let waiting = async {
            loop {
                // Heard from here on, so that no change falls between the look and the wait.
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                let (look, due) = self.look(clock::now());
                if due {
                    self.fetch(begin());
                }
                match look {
                    Look::Ready(token) => return Ok(token),
                    Look::Failed(failure) => return Err(failure),
                    Look::Wait => changed.await,
                }
            }
        };
        // The fetch has its own bound; this one holds should its task be lost with its thread.
        match tokio::time::timeout(FETCH_TIMEOUT * 2, waiting).await {
            Ok(token) => token,
            Err(_) => Err(Failure::new(FaultKind::Timeout, "the task that fetches it is gone")),
        }
    }

    /// Whether a token is there that is good, or on its way.
    pub(super) fn serves(&self, now: Instant) -> bool {
        let state = self.state();
        state.fetching || state.held.as_ref().is_some_and(|held| now < held.expires_at)
    }

    /// Gives up a token that was refused.
    pub(super) fn give_up(&self, now: Instant) {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| now.duration_since(held.since) > NEW_FOR) {
            state.held = None;
        }
    }

    /// The lock is held for a look, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is, and whether the asker must begin a fetch.
    fn look(&self, now: Instant) -> (Look, bool) {
        let mut state = self.state();
        let good = state.held.as_ref().filter(|held| now < held.expires_at).map(|held| (Arc::clone(&held.token), held.refresh_at));
        let wanted = good.as_ref().is_none_or(|(_, refresh_at)| *refresh_at <= now);
        let may = !state.fetching && state.failure.as_ref().is_none_or(|(_, again_at)| *again_at <= now);
        let due = wanted && may;
        state.fetching |= due;
        let look = match (good, &state.failure) {
            (Some((token, _)), _) => Look::Ready(token),
            (None, Some((failure, again_at))) if !state.fetching => {
                Look::Failed(Failure { again_in: Some(again_at.saturating_duration_since(now)), ..failure.clone() })
            }
            (None, _) => Look::Wait,
        };
        (look, due)
    }

    #[expect(clippy::disallowed_methods, reason = "bounded by its timeout; who asked may leave, and others wait for it")]
    fn fetch(self: &Arc<Self>, fetching: impl Future<Output = Result<Fetched, Failure>> + Send + 'static) {
        let mut flight = Flight { kept: Arc::clone(self), landed: false };
        tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetching).await;
            let late = || Failure::new(FaultKind::Timeout, format!("no answer within {}", humantime::format_duration(FETCH_TIMEOUT)));
            flight.land(fetched.unwrap_or_else(|_| Err(late())));
        });
    }

    fn settle(&self, fetched: Result<Fetched, Failure>) {
        let now = clock::now();
        let mut state = self.state();
        state.fetching = false;
        match fetched {
            Ok(Fetched { token, lifetime }) => {
                // What lives shortly is replaced at half its time.
                let ahead = REFRESH_BEFORE.min(lifetime / 2);
                let (refresh_at, expires_at) = (now + (lifetime - ahead), now + lifetime);
                state.held = Some(Held { token: Arc::new(token), since: now, refresh_at, expires_at });
                state.failure = None;
                state.failures = 0;
            }
            Err(failure) => {
                let wait = BACKOFF_FIRST.saturating_mul(1 << state.failures.min(8)).min(BACKOFF_MAX);
                state.failures = state.failures.saturating_add(1);
                let serves = state.held.as_ref().is_some_and(|held| now < held.expires_at);
                tracing::warn!(message = "a credential's token could not be had", cause = failure.cause, old_one_serves = serves);
                state.failure = Some((failure, now + wait));
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// A fetch under way: however it ends, those who wait are told.
struct Flight {
    kept: Arc<Kept>,
    landed: bool,
}

impl Flight {
    fn land(&mut self, fetched: Result<Fetched, Failure>) {
        self.landed = true;
        self.kept.settle(fetched);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.kept.settle(Err(Failure::new(FaultKind::Internal, "the task that fetched it ended")));
        }
    }
}
