//! Where the prompt cache of a conversation is warm.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Instant;

/// Providers keep a prompt for about so long after it was last used.
const KEPT: Duration = Duration::from_secs(300);
/// Conversations of one generation; two are remembered.
const GENERATION: usize = 4096;

/// Where the conversations of one alias were last, for as long as a prompt cache may remember them. At most 8192; those that were
/// not heard of for longest are forgotten first, a generation at a time.
#[derive(Debug, Default)]
pub struct Sticky(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Warm>,
    old: HashMap<u64, Warm>,
}

/// Where a conversation's prompt cache is warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warm {
    /// The target.
    pub target: u64,
    /// Tokens that were sent there before.
    pub tokens: u64,
    at: Instant,
}

impl Sticky {
    /// Where a conversation was last; `None` where that is not known, or too long ago.
    pub fn warm(&self, session: u64, now: Instant) -> Option<Warm> {
        if session == 0 {
            return None;
        }
        let generations = self.lock();
        let warm = generations.young.get(&session).or_else(|| generations.old.get(&session))?;
        (now.saturating_duration_since(warm.at) < KEPT).then_some(*warm)
    }

    /// A conversation has been answered by a target, to which so many tokens were sent.
    pub fn answered(&self, session: u64, target: u64, tokens: u64, now: Instant) {
        if session == 0 {
            return;
        }
        let mut generations = self.lock();
        if generations.young.len() >= GENERATION && !generations.young.contains_key(&session) {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(session, Warm { target, tokens, at: now });
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
