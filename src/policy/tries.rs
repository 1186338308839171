//! Whom one exchange asks next, and when: the arithmetic of retries.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::Standing;
use super::blame::{Again, Blame, Verdict};
use super::budget::RetryBudget;
use super::health::{Health, Permit};
use crate::base::Fault;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::RetryPolicy;

/// A longer wait than this is the app's to decide: it is told.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// Exponential backoff before the same target is asked again, with full jitter.
/// Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// The tries of one exchange, over the targets of its alias.
#[derive(Debug)]
pub struct Tries {
    /// The target to ask, or that was asked last: its place among the alias' targets.
    pub index: usize,
    made: u32,
    made_max: u32,
    /// A failure has told that the request fares no better anywhere.
    over: bool,
    /// Whether the next target is asked though it is out.
    anyway: bool,
    deadline: Instant,
    /// Whether the request may be sent again though a provider may have acted on it.
    repeatable: bool,
    /// In the order of preference.
    places: Vec<Place>,
    rng: Rng,
    budget: Arc<RetryBudget>,
}

#[derive(Debug)]
struct Place {
    index: usize,
    /// Times asked.
    asked: u32,
    ruled_out: bool,
    /// Whether it failed by a key's fault: where it stands well now, it has another one.
    other_key: bool,
    /// Not again before this.
    ready_at: Option<Instant>,
}

impl Tries {
    /// Tries at targets, in this order of preference, until `deadline`. An exchange pays into its alias' budget here, once.
    /// `repeatable`: whether it does no harm to send the request again where a provider may have acted on it.
    pub fn new(
        order: impl IntoIterator<Item = usize>,
        policy: RetryPolicy,
        repeatable: bool,
        deadline: Instant,
        rng: Rng,
        budget: Arc<RetryBudget>,
    ) -> Self {
        budget.deposit(policy.budget_permille);
        let place = |index| Place { index, asked: 0, ruled_out: false, other_key: false, ready_at: None };
        let places: Vec<_> = order.into_iter().map(place).collect();
        let index = places.first().map_or(0, |place| place.index);
        Self { index, made: 0, made_max: policy.attempts.max(1), over: false, anyway: false, deadline, repeatable, places, rng, budget }
    }

    /// Tries made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Leave to ask the target at [`Self::index`], or the next in order where that one cannot be asked after all. Where all are out
    /// the first try is made anyway: at the one of which there has been no bad news for longest, so that one that is back is
    /// found soon. `None`: nobody is asked (any more), and the last failure is the last word.
    ///
    /// `healths` are those of the alias' targets, in their order there.
    pub fn begin(&mut self, healths: &[Arc<Health>], now: Instant) -> Option<Permit> {
        if self.made >= self.made_max || (self.made > 0 && now >= self.deadline) {
            return None;
        }
        let at = self.places.iter().position(|place| place.index == self.index)?;
        let others = (0..self.places.len()).filter(|other| *other != at && self.places[*other].is_fresh());
        let begun = std::iter::once(at).chain(others).find_map(|at| Some((at, healths.get(self.places[at].index)?.begin(now)?)));
        let (at, permit) = match begun {
            Some(begun) => begun,
            None if self.made == 0 => {
                let at = self.least_bad(healths, now).unwrap_or(at);
                (at, healths.get(self.places[at].index)?.begin_anyway(now))
            }
            None if self.anyway => (at, healths.get(self.places[at].index)?.begin_anyway(now)),
            None => return None,
        };
        Some(self.asked(at, permit))
    }

    /// The place of the target that may be back; of those that rest by their own word, and so are not, the first in order.
    fn least_bad(&self, healths: &[Arc<Health>], now: Instant) -> Option<usize> {
        let known = |place: &Place| Some(healths.get(place.index)?.may_be_back(now));
        let places = self.places.iter().enumerate().filter_map(|(at, place)| Some((at, known(place)?)));
        places.min_by_key(|(at, tried)| (tried.is_none(), *tried, *at)).map(|(at, _)| at)
    }

    /// Leave to ask the best target that has not been asked and stands well, beside the one that is being asked: a hedge. It
    /// counts as a try; [`Self::index`] becomes its place.
    pub fn begin_beside(&mut self, healths: &[Arc<Health>], now: Instant) -> Option<Permit> {
        if self.made >= self.made_max || now >= self.deadline {
            return None;
        }
        let well = |place: &Place| {
            let health = healths.get(place.index).filter(|_| place.is_fresh())?;
            matches!(health.standing(now), Standing::Well | Standing::Returning(_)).then(|| health.begin(now)).flatten()
        };
        let (at, permit) = self.places.iter().enumerate().find_map(|(at, place)| Some((at, well(place)?)))?;
        Some(self.asked(at, permit))
    }

    /// After the failure of the target at [`Self::index`], which its health has been told: how long to wait before
    /// [`Self::begin`] is called for the one that is at [`Self::index`] now; `None` where the failure is the last word.
    pub fn next(&mut self, fault: &Fault, healths: &[Arc<Health>], now: Instant) -> Option<Duration> {
        self.failed(self.index, fault, now).then(|| self.again(healths, now)).flatten()
    }

    /// The same in two steps, for targets that were asked beside each other: each failure by itself, then [`Self::again`] once.
    /// Tells whether the request may be tried again at all.
    pub fn failed(&mut self, index: usize, fault: &Fault, now: Instant) -> bool {
        let verdict = Verdict::of(fault);
        if verdict.again == Again::Nowhere || (verdict.acted && !self.repeatable) {
            self.over = true;
            return false;
        }
        let Some(at) = self.places.iter().position(|place| place.index == index) else { return !self.over };
        let backoff = self.backoff(self.places[at].asked);
        let place = &mut self.places[at];
        place.ruled_out |= verdict.again == Again::OtherTarget;
        place.other_key = matches!(verdict.blame, Blame::Key(_));
        // How long its key rests is kept by the target's health: another key need not wait.
        let told = fault.retry_after.filter(|told| !told.is_zero()).unwrap_or(backoff);
        place.ready_at = (!place.other_key).then(|| now + told.min(2 * WAIT_MAX));
        !self.over
    }

    /// The target that leave was given for is not asked after all: that is no try, and another one may be.
    pub fn pass_over(&mut self) {
        self.made = self.made.saturating_sub(1);
        if let Some(place) = self.places.iter_mut().find(|place| place.index == self.index) {
            place.asked = place.asked.saturating_sub(1);
            place.ruled_out = true;
        }
    }

    /// After failures that were told: as [`Self::next`].
    pub fn again(&mut self, healths: &[Arc<Health>], now: Instant) -> Option<Duration> {
        if self.over || self.made >= self.made_max {
            return None;
        }
        let places = self.places.iter().enumerate().filter(|(_, place)| !place.ruled_out);
        let choice =
            places.filter_map(|(at, place)| Some(Choice::new(at, place, healths.get(place.index)?, now))).min_by_key(Choice::rank)?;
        if choice.wait > WAIT_MAX || now + choice.wait >= self.deadline {
            return None;
        }
        match choice.way.multiplies() {
            false => self.budget.moved(),
            true if self.budget.withdraw(choice.way == Way::Anyway, now) => {}
            true => return None,
        }
        self.index = choice.index;
        self.anyway = choice.way == Way::Anyway;
        Some(choice.wait)
    }

    fn backoff(&mut self, asked: u32) -> Duration {
        let most = BACKOFF_FIRST.saturating_mul(1 << asked.saturating_sub(1).min(8)).min(BACKOFF_MAX);
        Duration::from_millis(self.rng.below(u64::try_from(most.as_millis()).unwrap_or(0)))
    }

    fn asked(&mut self, at: usize, permit: Permit) -> Permit {
        self.made += 1;
        if let Some(place) = self.places.get_mut(at) {
            place.asked += 1;
            self.index = place.index;
        }
        permit
    }
}

impl Place {
    fn is_fresh(&self) -> bool {
        self.asked == 0 && !self.ruled_out
    }
}

/// One way to go on.
struct Choice {
    at: usize,
    index: usize,
    way: Way,
    wait: Duration,
}

/// The ways to go on, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// To a target that is well and was not asked yet, or not with this key.
    Well,
    /// To one that may be asked by one request, to find out how it is.
    Probe,
    /// To the same one again.
    Same,
    /// To one whose breaker is open, though it may be back.
    Anyway,
    /// To one that is out, when it is back.
    Later,
}

impl Way {
    /// Whether it may multiply load that fails.
    fn multiplies(self) -> bool {
        self != Self::Well
    }
}

impl Choice {
    fn new(at: usize, place: &Place, health: &Health, now: Instant) -> Self {
        let standing = health.standing(now);
        let is_new = place.asked == 0 || place.other_key;
        let way = match standing {
            Standing::Well | Standing::Returning(_) if is_new => Way::Well,
            Standing::Probe if is_new => Way::Probe,
            Standing::Out(_) if place.asked == 0 && health.may_be_back(now).is_some() => Way::Anyway,
            Standing::Out(_) => Way::Later,
            _ => Way::Same,
        };
        let backoff = place.ready_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let wait = if way == Way::Anyway { Duration::ZERO } else { standing.wait(now).max(backoff) };
        Self { at, index: place.index, way, wait }
    }

    /// The best is the least. A time that is too long to wait is no way at all.
    fn rank(&self) -> (bool, Way, Duration, usize) {
        (self.wait > WAIT_MAX, self.way, self.wait, self.at)
    }
}
