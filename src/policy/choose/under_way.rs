//! Requests that were sent to a target and are not answered yet, in the order of their sending.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::clock::Instant;

/// More requests than this are looked at when they end only.
const MAX: usize = 512;

/// A request's number; `None` where too many were under way.
pub(super) type Number = Option<u64>;

/// Requests under way. Each has questions that are open until it is answered, or late.
#[derive(Debug)]
pub(super) struct UnderWay {
    queue: VecDeque<Sent>,
    /// The number of the first in the queue.
    first: u64,
    /// For each question, the number of the first request for which it may be open.
    undecided: Vec<u64>,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    /// A bit for each question.
    open: u8,
}

impl UnderWay {
    pub(super) fn new(questions: usize) -> Self {
        Self { queue: VecDeque::new(), first: 0, undecided: vec![0; questions] }
    }

    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// A request is sent.
    pub(super) fn push(&mut self, open: u8, now: Instant) -> Number {
        let number = (self.queue.len() < MAX).then(|| self.next())?;
        self.queue.push_back(Sent { at: now, open });
        Some(number)
    }

    /// Closes questions of a request; tells whether one of them was open.
    pub(super) fn close(&mut self, number: u64, questions: u8) -> bool {
        let Some(sent) = number.checked_sub(self.first).and_then(|at| self.queue.get_mut(usize::try_from(at).ok()?)) else { return false };
        let open = sent.open & questions;
        sent.open &= !questions;
        while self.queue.front().is_some_and(|sent| sent.open == 0) {
            self.queue.pop_front();
            self.first += 1;
        }
        open != 0
    }

    /// A request for which the question is still open after so long; it is closed. Each request is looked at once.
    pub(super) fn late(&mut self, question: usize, within: Duration, now: Instant) -> Option<u64> {
        let undecided = self.undecided.get_mut(question)?;
        *undecided = self.first.max(*undecided);
        while let Some(sent) = usize::try_from(*undecided - self.first).ok().and_then(|at| self.queue.get(at)) {
            let number = *undecided;
            if sent.open & 1 << question == 0 {
                *undecided += 1;
            } else if now.saturating_duration_since(sent.at) >= within {
                *undecided += 1;
                self.close(number, 1 << question);
                return Some(number);
            } else {
                return None;
            }
        }
        None
    }
}
