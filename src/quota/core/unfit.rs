//! Which of several limits that do not fit decides, and when all of them would.

use std::sync::Arc;

use super::meter::Lack;
use super::rule::Rule;
use super::verdict::{Again, Exceeded, WaitEnd};
use crate::config::OnExceed;

/// A request does not fit.
pub(super) struct Unfit {
    /// What is told of it.
    pub(super) exceeded: Box<Exceeded>,
    /// Until when it does not fit whatever those under way come to.
    pub(super) firm: Option<Again>,
}

impl Unfit {
    /// Whether waiting may help: only limits that queue do not fit.
    pub(super) fn waits(&self) -> bool {
        matches!(self.exceeded.then, OnExceed::Queue { .. })
    }

    /// What is told where waiting did not help.
    pub(super) fn ended(mut self, end: WaitEnd) -> Box<Exceeded> {
        self.exceeded.wait = Some(end);
        self.exceeded
    }
}

/// Gathers what does not fit.
#[derive(Default)]
pub(super) struct Verdict {
    deciding: Option<(u8, Again, Arc<crate::config::Limit>, Lack)>,
    again: Option<Again>,
    firm: Option<Again>,
}

impl Verdict {
    /// One that rejects counts before one that degrades, and that before one that queues; then the one that lasts longest.
    pub(super) fn add(&mut self, rule: &Rule, lack: Lack) {
        let rank = match rule.limit.on_exceed {
            OnExceed::Reject => 2,
            OnExceed::Degrade { .. } => 1,
            OnExceed::Queue { .. } => 0,
        };
        self.again = Some(self.again.map_or(lack.again, |again| again.and(lack.again)));
        if lack.firm || lack.again == Again::Never {
            self.firm = Some(self.firm.map_or(lack.again, |again| again.and(lack.again)));
        }
        if self.deciding.as_ref().is_none_or(|(other, again, ..)| (rank, lack.again) > (*other, *again)) {
            self.deciding = Some((rank, lack.again, Arc::clone(&rule.limit), lack));
        }
    }

    /// # Errors
    /// Something does not fit.
    pub(super) fn result(self) -> Result<(), Unfit> {
        let Some((_, again, limit, lack)) = self.deciding else { return Ok(()) };
        let Lack { measure, most, used, held, asked, .. } = lack;
        let then = limit.on_exceed.clone();
        let again = self.again.unwrap_or(again);
        let exceeded = Box::new(Exceeded { limit, measure, most, used, held, asked, again, wait: None, then });
        Err(Unfit { exceeded, firm: self.firm })
    }
}
