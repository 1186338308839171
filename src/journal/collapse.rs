//! Sums that grow coarser with age, so that they stay within a bound: minutes become hours, hours become days, and in need
//! what callers chose is given up. Money is never dropped.

use std::collections::HashMap;

use super::counters::Counters;
use super::dims::DimsBuf;
use super::sums::{OTHER, Sums};
use super::wire::{CellKey, Span};

/// What dimensions become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// Without user, key and tag.
    Coarse,
    Nothing,
}

/// How cells that are older than this many minutes are kept.
struct Step {
    older: u32,
    span: Span,
    keep: Keep,
}

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;

const fn step(older: u32, span: Span, keep: Keep) -> Step {
    Step { older, span, keep }
}

/// What is done in any case. Hours stay longer than any month lasts, in any time zone.
const USUAL: [Step; 2] = [step(6 * HOUR, Span::Hour, Keep::All), step(62 * DAY, Span::Day, Keep::All)];

/// What is done, one after the other, until the cells fit.
const IN_NEED: [Step; 9] = [
    step(62 * DAY, Span::Day, Keep::Coarse),
    step(HOUR, Span::Hour, Keep::All),
    step(35 * DAY, Span::Day, Keep::All),
    step(2 * DAY, Span::Day, Keep::Coarse),
    step(0, Span::Hour, Keep::All),
    step(DAY, Span::Day, Keep::Coarse),
    step(DAY, Span::Day, Keep::Nothing),
    step(0, Span::Day, Keep::Coarse),
    step(0, Span::Day, Keep::Nothing),
];

impl Sums {
    /// Makes the cells coarser, by `now` in minutes since the Unix epoch: what is old, and more until there are at most `most`.
    pub(super) fn collapse(&mut self, now: u32, most: usize) {
        USUAL.iter().for_each(|step| self.take(step, now));
        for step in &IN_NEED {
            if self.cells.len() <= most {
                return;
            }
            self.take(step, now);
        }
    }

    fn take(&mut self, step: &Step, now: u32) {
        let before = now.saturating_sub(step.older);
        let mut coarse: HashMap<u32, u32> = HashMap::new();
        let cells = std::mem::take(&mut self.cells);
        let mut kept: HashMap<CellKey, Counters> = HashMap::with_capacity(cells.len() / 2);
        for (mut key, counters) in cells {
            let end = key.start.saturating_add(key.span.minutes());
            if end <= before || step.older == 0 {
                key.dims = match step.keep {
                    Keep::All => key.dims,
                    Keep::Coarse => *coarse.entry(key.dims).or_insert_with(|| self.coarse(key.dims)),
                    Keep::Nothing => OTHER,
                };
                key.span = key.span.max(step.span);
                key.start -= key.start % key.span.minutes();
            }
            kept.entry(key).or_default().add(&counters);
        }
        self.cells = kept;
    }

    fn coarse(&mut self, dims: u32) -> u32 {
        let Some(own) = self.dims.get(dims as usize) else { return OTHER };
        let coarse = DimsBuf::new(&own.view().coarse());
        self.intern(coarse)
    }
}
