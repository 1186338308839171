//! The limits of a policy, over what is counted.

use std::sync::Arc;
use std::time::SystemTime;

use super::verdict::Exceeded;
use super::view::View;
use super::{Amount, Ask, Moment, Reservation};
use crate::config::Policy;

/// The limits of a policy. What is counted belongs to the process: [`Limits::renewed`] takes it over.
pub struct Limits {}

impl Limits {
    /// The limits of this policy, with nothing counted yet.
    pub fn new(_policy: &Policy) -> Arc<Self> {
        Arc::new(Self {})
    }

    /// The limits of another policy over what is counted here: after a reload a limit goes on under its name.
    pub fn renewed(&self, _policy: &Policy) -> Arc<Self> {
        Arc::new(Self {})
    }

    /// Reserves this much in every limit that applies, or nothing at all. It never waits: where others stand in line
    /// for a limit that queues, it does not fit.
    ///
    /// # Errors
    /// It does not fit.
    pub fn reserve(self: &Arc<Self>, _ask: &Ask<'_>, bound: Amount, _at: Moment) -> Result<Reservation, Box<Exceeded>> {
        Ok(Reservation::stub(Arc::clone(self), bound))
    }

    /// Whether this would fit now. Reserves nothing.
    ///
    /// # Errors
    /// It would not fit.
    pub fn check(&self, _ask: &Ask<'_>, _bound: Amount, _at: Moment) -> Result<(), Box<Exceeded>> {
        Ok(())
    }

    /// Puts back what was spent at `spent_at` by requests like this one, in every calendar window that is still running
    /// at `at`: from the journal, after a restart. Rates begin anew.
    pub fn restore(&self, _ask: &Ask<'_>, _spent: Amount, _spent_at: SystemTime, _at: Moment) {}

    /// Every limit as it stands, with at most `top` subjects each.
    pub fn view(&self, _at: Moment, _top: usize) -> View {
        View::default()
    }
}
