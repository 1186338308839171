//! Looking at blocks of a text: which of its bytes are quotes, backslashes, brackets. A mark is a bit, the first byte's the lowest.

use wide::u8x16;

/// The block at `at`, where the text is long enough for one.
pub(super) fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    text.get(at..).and_then(<[u8]>::first_chunk)
}

/// Marks bytes of a large block, the first in the lowest bit, from the marks of its quarters.
pub(super) fn marks(block: &[u8; 64], of: impl Fn(&[u8; 16]) -> u16) -> u64 {
    let quarters = block.as_chunks::<16>().0;
    quarters.iter().rev().fold(0, |all, quarter| all << 16 | u64::from(of(quarter)))
}

/// Marks quotes.
pub(super) fn quotes(block: &[u8; 16]) -> u16 {
    bits(u8x16::from(*block).simd_eq(u8x16::splat(b'"')))
}

/// Marks backslashes.
pub(super) fn backslashes(block: &[u8; 16]) -> u16 {
    bits(u8x16::from(*block).simd_eq(u8x16::splat(b'\\')))
}

/// Marks a curly bracket and the square one on the same side, which differ from it in one bit.
pub(super) fn brackets(block: &[u8; 16], curly: u8) -> u16 {
    bits((u8x16::from(*block) | u8x16::splat(0x20)).simd_eq(u8x16::splat(curly)))
}

/// Marks bytes that are not plain.
pub(super) fn special(block: &[u8; 16]) -> u16 {
    let block = u8x16::from(*block);
    let control = block.min(u8x16::splat(0x1f)).simd_eq(block);
    bits(block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\')) | control)
}

fn bits(lanes: u8x16) -> u16 {
    lanes.to_bitmask() as u16
}

/// Marks what is escaped, given where the backslashes are: what stands behind a run of odd length. No run may reach into
/// the block from before it. Adding within the whole word finds the ends of all runs at once (from simdjson).
pub(super) fn escaped(backslashes: u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    if backslashes == 0 {
        return 0;
    }
    ((backslashes << 1) | ODD).wrapping_sub(backslashes) ^ ODD ^ backslashes
}

/// Marks what stands from an odd mark up to the next even one.
pub(super) fn within_pairs(mut marks: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        marks ^= marks << shift;
    }
    marks
}

/// Keeps the first mark.
pub(super) fn lowest(marks: u16) -> u16 {
    marks & marks.wrapping_neg()
}
