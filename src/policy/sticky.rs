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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn the_last_target_is_known_until_its_cache_forgets() {
        let (sticky, now) = (Sticky::default(), clock::now());
        sticky.answered(5, 1, 100, now);
        sticky.answered(5, 2, 300, now);
        let warm = |after| sticky.warm(5, now + after).map(|warm| (warm.target, warm.tokens));
        assert_eq!(warm(Duration::ZERO), Some((2, 300)));
        assert_eq!(warm(KEPT - Duration::from_nanos(1)), Some((2, 300)));
        assert_eq!(warm(KEPT), None);
        assert_eq!(sticky.warm(6, now), None);
        sticky.answered(0, 1, 100, now);
        assert_eq!(sticky.warm(0, now), None, "0 names no conversation");
    }

    #[test]
    fn a_flood_of_conversations_takes_bounded_memory_and_forgets_the_oldest() {
        let (sticky, now) = (Sticky::default(), clock::now());
        for session in 1..=100_000 {
            sticky.answered(session, 1, 100, now);
        }
        let known = (1..=100_000).filter(|session| sticky.warm(*session, now).is_some()).count();
        assert!((GENERATION..=2 * GENERATION).contains(&known), "{known}");
        assert!((100_000 - GENERATION as u64 + 1..=100_000).all(|session| sticky.warm(session, now).is_some()));
    }
}
