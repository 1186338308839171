//! Money as whole billionths of a US dollar: sums are exact, and no float comes near them.

use std::fmt;

const NANOS: u64 = 1_000_000_000;

/// An amount in nano-USD. Sums stop at the end of the range (18.4 billion USD) and never wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads dollars as JSON spells a number (`0.0003`, `3.4e-7`), rounded to the nearest, halves up. `None` where it is none,
    /// or negative; what is beyond the range is its end.
    pub fn from_json(text: &str) -> Option<Self> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !all().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Nano-dollars are this many digits long; the next one rounds.
        let kept = i64::try_from(whole.len()).ok()?.saturating_add(exponent).saturating_add(9);
        let digit = |place: usize| all().nth(place).map_or(0, |byte| u64::from(byte - b'0'));
        let first = all().position(|byte| byte != b'0').and_then(|place| i64::try_from(place).ok());
        let Some(first) = first.filter(|first| *first <= kept) else { return Some(Self::ZERO) };
        if kept - first > 20 {
            return Some(Self(u64::MAX));
        }
        let kept = usize::try_from(kept).ok()?;
        let skipped = usize::try_from(first).ok()?;
        let nanos = (skipped..kept).fold(0_u64, |sum, place| sum.saturating_mul(10).saturating_add(digit(place)));
        Some(Self(nanos.saturating_add(u64::from(digit(kept) >= 5))))
    }

    /// The sum.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, nothing where it would be negative.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for NanoUsd {
    /// Decimal USD, exactly, without needless zeros: `0.000123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / NANOS, self.0 % NANOS);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::NanoUsd;

    #[test]
    fn amounts_are_read_exactly() {
        let read = [
            ("0", 0),
            ("0.000302", 302_000),
            ("3.4e-7", 340),
            ("3.4e-07", 340),
            ("5E-10", 1),
            ("4.9e-10", 0),
            ("1e-30", 0),
            ("0.0000000014", 1),
            ("0.0000000015", 2),
            ("12", 12_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("1.5e1", 15_000_000_000),
            ("18446744073.709551615", u64::MAX),
            ("18446744073.8", u64::MAX),
            ("1e30", u64::MAX),
            ("1e999999999999999999", u64::MAX),
            ("0e999999999999999999", 0),
        ];
        for (text, nanos) in read {
            assert_eq!(NanoUsd::from_json(text), Some(NanoUsd(nanos)), "{text}");
        }
        for text in ["", "-1", "e5", ".5", "1.2.3", "0x1", "1e", "null", "1 "] {
            assert_eq!(NanoUsd::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_exactly() {
        let shown = [(0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (20_000_000_000, "20"), (u64::MAX, "18446744073.709551615")];
        for (nanos, text) in shown {
            assert_eq!(NanoUsd(nanos).to_string(), text);
        }
        assert_eq!(NanoUsd(u64::MAX).saturating_add(NanoUsd(1)), NanoUsd(u64::MAX));
        assert_eq!(NanoUsd(1).saturating_sub(NanoUsd(2)), NanoUsd::ZERO);
    }
}
