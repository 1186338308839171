//! Where the frames of a WebSocket begin and end; their content is not looked at.

/// A close frame of a server: 1001, going away (RFC 6455 §7.4.1).
pub(super) const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// Where a server's frames begin and end (RFC 6455 §5.2).
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; 14],
    head_len: usize,
    left: u64,
    /// Whether a close frame was among them.
    pub(super) closed: bool,
}

impl Frames {
    /// Whether a frame of another's would stand between two of theirs.
    pub(super) fn between(&self) -> bool {
        self.head_len == 0 && self.left == 0
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let skipped = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head[self.head_len] = *first;
            self.head_len += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                self.closed |= self.head[0] & 0x0f == 8;
                self.left = length;
                self.head_len = 0;
            }
        }
    }

    /// The payload's length, once the head is whole.
    fn length(&self) -> Option<u64> {
        let second = *self.head[..self.head_len].get(1)?;
        let (short, masked) = (second & 0x7f, second & 0x80 != 0);
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head_len < 2 + extended + if masked { 4 } else { 0 } {
            return None;
        }
        let long = self.head[2..2 + extended].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
        Some(if extended == 0 { u64::from(short) } else { long })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let mut wire = vec![0x81, 3, b'a', b'b', b'c'];
        wire.extend([0x82, 126, 1, 0]);
        wire.extend([0x88; 256]);
        wire.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1]);
        wire.extend(vec![0; 65_537]);
        wire.extend([0x89, 0]);
        let ends = [5, 5 + 4 + 256, 5 + 4 + 256 + 10 + 65_537, wire.len()];
        for step in [1, 2, 7, 100_000] {
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in wire.chunks(step) {
                frames.read(piece);
                at += piece.len();
                assert_eq!(frames.between(), ends.contains(&at), "at {at} by {step}");
            }
            assert!(!frames.closed);
            frames.read(GOING_AWAY);
            assert!(frames.closed && frames.between());
        }
    }
}
