//! Marks for a provider's prompt cache, of which a request may have only so many.

use std::ops::Range;

/// Where the marks stand in the output, in their order.
#[derive(Default)]
pub(super) struct Marks(Vec<Range<usize>>);

impl Marks {
    /// Adds a mark: its place, with the comma before it.
    pub(super) fn add(&mut self, place: Range<usize>) {
        self.0.push(place);
    }

    /// Takes out the earliest marks where there are more than `allowed`, and tells whether there were.
    pub(super) fn drop_early(&self, allowed: usize, out: &mut Vec<u8>) -> bool {
        let surplus = &self.0[..self.0.len().saturating_sub(allowed)];
        let Some(first) = surplus.first() else { return false };
        let mut to = first.start;
        for (i, mark) in surplus.iter().enumerate() {
            let next = surplus.get(i + 1).map_or(out.len(), |next| next.start);
            out.copy_within(mark.end..next, to);
            to += next - mark.end;
        }
        out.truncate(to);
        true
    }
}
