//! Finds the mock's stamps and end marks in the text of a stream, across the borders of the pieces it comes in.

use memchr::memmem;

/// Digits of a stamp.
const DIGITS: usize = 19;

/// More than the longest thing looked for, so that none is lost at a border.
const OVERLAP: usize = 32;

/// What has been seen of one stream.
#[derive(Default)]
pub struct Scan {
    kept: Vec<u8>,
    /// The stream has said that it is complete.
    pub ended: bool,
}

impl Scan {
    /// Takes the next piece; `stamp` gets each stamp in it, in nanoseconds.
    pub fn feed(&mut self, piece: &[u8], mut stamp: impl FnMut(u64)) {
        self.kept.extend_from_slice(piece);
        let mut from = 0;
        // The clock's nanoseconds fill 18 digits at most, so that the first of 19 is a nought.
        while let Some(found) = memmem::find(&self.kept[from..], b"t=0") {
            let start = from + found + 2;
            let Some(digits) = self.kept.get(start..start + DIGITS) else {
                break;
            };
            from = start;
            if let Some(sent) = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
                stamp(sent);
                from = start + DIGITS;
            }
        }
        self.ended |= memmem::find(&self.kept, b"[DONE]").is_some() || memmem::find(&self.kept, b"message_stop").is_some();
        self.kept.drain(..from.max(self.kept.len().saturating_sub(OVERLAP)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stamp_is_lost_or_seen_twice_wherever_it_is_split() {
        let text =
            b"data: {\"content\":\"t=0000000000000000042 tok\"}\n\ndata: {\"content\":\"t=0000000000000000043 tok\"}\n\ndata: [DONE]\n\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let (mut scan, mut stamps) = (Scan::default(), Vec::new());
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    scan.feed(piece, |sent| stamps.push(sent));
                }
                assert_eq!((stamps, scan.ended), (vec![42, 43], true), "split at {first} and {second}");
            }
        }
    }
}
