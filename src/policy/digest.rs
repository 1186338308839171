//! A digest that is the same in every build, on every machine: for what must be decided alike each time. Not for secrets.

/// A digest that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const INCREMENT: u64 = 0xd1b5_4a32_d192_ed03;

impl Digest {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self(INCREMENT)
    }

    /// With a number.
    pub(super) fn number(self, number: u64) -> Self {
        Self(fold(self.0 ^ number).wrapping_add(INCREMENT))
    }

    /// With a text, and where it ends.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let all = words.iter().fold(self, |digest, word| digest.number(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        all.number(u64::from_le_bytes(last)).number(bytes.len() as u64)
    }

    /// With the beginning and the end of a text that may be long, and its length.
    pub(super) fn ends(self, bytes: &[u8]) -> Self {
        const END: usize = 512;
        match (bytes.first_chunk::<END>(), bytes.last_chunk::<END>()) {
            (Some(first), Some(last)) if bytes.len() > 2 * END => self.bytes(first).bytes(last).number(bytes.len() as u64),
            _ => self.bytes(bytes),
        }
    }

    /// The digest. Every bit of it depends on every bit of what went in.
    pub(super) fn finish(self) -> u64 {
        fold(fold(self.0) ^ INCREMENT)
    }
}

/// Both halves of a product, as in wyhash: each bit of the word reaches each bit of the result.
fn fold(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_everywhere_and_differs_by_every_bit() {
        assert_eq!(Digest::new().bytes(b"user-1").finish(), 4_668_141_666_117_111_807);
        let mut seen = std::collections::HashSet::new();
        for text in ["", "\0", "a", "a\0", "b", "abcdefgh", "abcdefgh\0", "abcdefghi"] {
            assert!(seen.insert(Digest::new().bytes(text.as_bytes()).finish()), "{text:?}");
        }
        assert_ne!(Digest::new().bytes(b"ab").bytes(b"c").finish(), Digest::new().bytes(b"a").bytes(b"bc").finish());
        let mut long = vec![7; 100_000];
        let before = Digest::new().ends(&long).finish();
        long[99_999] = 8;
        assert_ne!(Digest::new().ends(&long).finish(), before);
    }
}
