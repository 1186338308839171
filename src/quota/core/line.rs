//! Those who wait for one meter, in the order in which they came.

use std::collections::VecDeque;
use std::task::Waker;

/// A line. Tickets are numbered over all lines, so that two who wait in the same lines stand in the same order in each,
/// and the one with the least number is at the head of all of its own: nobody waits for each other.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<(u64, Option<Waker>)>,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether somebody came before `ticket`; before a newcomer came everybody.
    pub(super) fn is_before(&self, ticket: Option<u64>) -> bool {
        match (self.waiting.front(), ticket) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((first, _)), Some(ticket)) => *first < ticket,
        }
    }

    /// Takes its place, or only the waker where it has one.
    pub(super) fn join(&mut self, ticket: u64, waker: &Waker) {
        let place = self.waiting.partition_point(|(other, _)| *other < ticket);
        match self.waiting.get_mut(place).filter(|(other, _)| *other == ticket) {
            Some((_, Some(known))) => known.clone_from(waker),
            Some((_, none)) => *none = Some(waker.clone()),
            None => self.waiting.insert(place, (ticket, Some(waker.clone()))),
        }
    }

    /// Gives its place up. Whether it was the first.
    pub(super) fn leave(&mut self, ticket: u64) -> bool {
        let first = self.waiting.front().is_some_and(|(first, _)| *first == ticket);
        self.waiting.retain(|(other, _)| *other != ticket);
        first
    }

    /// The waker of the first, who may find room now. It is taken: whoever is woken comes back for a new one, or leaves.
    pub(super) fn wake_first(&mut self) -> Option<Waker> {
        self.waiting.front_mut()?.1.take()
    }
}
