//! String literals: skipping, reading and writing their insides.

use std::borrow::Cow;

use super::block::{backslashes, chunk, special};

/// How many bytes from the start are plain string characters: no quote, no backslash, no control character.
/// Sixteen at a time: most strings are short, and nearly all bytes are in long ones with an escape now and then.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(block) = chunk::<16>(bytes, run) {
        let marks = special(block);
        if marks != 0 {
            return run + marks.trailing_zeros() as usize;
        }
        run += 16;
    }
    run + bytes[run..].iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len() - run)
}

/// The characters of a string literal given without its quotes. Lone surrogates become U+FFFD: a reader's view, never what is sent on.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    // Most are short keys and words, for which a call costs more than it finds.
    let first = if inner.len() <= 16 { inner.bytes().position(|b| b == b'\\') } else { memchr::memchr(b'\\', inner.as_bytes()) };
    let Some(first) = first else { return Cow::Borrowed(inner) };
    let bytes = inner.as_bytes();
    let mut out = Vec::with_capacity(inner.len() + BLOCK);
    let mut at = first;
    out.extend_from_slice(&bytes[..at]);
    while at < bytes.len() {
        if let Some(block) = chunk::<BLOCK>(bytes, at) {
            let run = put_run(block, backslashes(block), &mut out);
            at += run;
            if run == BLOCK {
                continue;
            }
        }
        at += match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'u')) => {
                let (c, used) = escaped(&bytes[at..]);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                used
            }
            (b'\\', Some(letter)) => {
                out.push(short_escaped(*letter));
                2
            }
            (plain, _) => {
                out.push(plain);
                1
            }
        };
    }
    // Only what never was a literal can be cut within a character.
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// What the escape with this letter stands for.
fn short_escaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        other => other,
    }
}

/// The character that the `\u` escape at the start of `bytes` stands for, and the length of the escape, or of both where
/// two stand for one character.
fn escaped(bytes: &[u8]) -> (char, usize) {
    let hex = |from: usize| {
        let digits = bytes.get(from..from + 4).and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| u32::from_str_radix(d, 16).ok())
    };
    match (hex(2), bytes.get(6..8) == Some(b"\\u"), hex(8)) {
        (Some(high @ 0xd800..=0xdbff), true, Some(low @ 0xdc00..=0xdfff)) => {
            (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12)
        }
        (Some(code), ..) => (char::from_u32(code).unwrap_or('\u{fffd}'), 6),
        (None, ..) => ('\u{fffd}', bytes.len().min(6)),
    }
}

/// Appends `text` as a JSON string literal, quotes included.
#[inline]
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends `text` escaped for the inside of a JSON string literal. Inlined for the words of ours: what they need is known then.
#[inline]
pub fn write_escaped(text: &str, out: &mut Vec<u8>) {
    match text.len() < BLOCK && is_plain(text.as_bytes()) {
        true => out.extend_from_slice(text.as_bytes()),
        false => write_any(text, out),
    }
}

#[inline(never)]
fn write_any(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(block) = chunk::<BLOCK>(bytes, at) {
        let run = put_run(block, special(block), out);
        at += run;
        if run < BLOCK {
            write_escape(bytes[at], out);
            at += 1;
        }
    }
    let rest = &bytes[at..];
    if is_plain(rest) {
        return out.extend_from_slice(rest);
    }
    for byte in rest {
        match is_special(*byte) {
            true => write_escape(*byte, out),
            false => out.push(*byte),
        }
    }
}

const BLOCK: usize = 16;

/// Appends a block up to its first mark. All of it is copied and the surplus taken back: a copy of a known length is one store.
fn put_run(block: &[u8; BLOCK], marked: u16, out: &mut Vec<u8>) -> usize {
    let run = (u32::from(marked) | 1 << BLOCK).trailing_zeros() as usize;
    let length = out.len() + run;
    out.extend_from_slice(block);
    out.truncate(length);
    run
}

/// Whether there is nothing to escape in fewer bytes than a block has: nearly always so, in words of ours.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return !has_special(u64::from_le_bytes(*first)) && !has_special(u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return !has_special(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)));
    }
    !bytes.iter().any(|byte| is_special(*byte))
}

/// Whether any of eight bytes is one to escape. Subtracting borrows into the highest bit of a byte that was less; what a
/// borrow then does to the bytes above it is of no matter.
#[inline]
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let quotes = less(word ^ (ONES * u64::from(b'"')), 1);
    let backslashes = less(word ^ (ONES * u64::from(b'\\')), 1);
    (less(word, 0x20) | quotes | backslashes) & (ONES << 7) != 0
}

#[inline]
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        other => return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_is_judged_in_every_place_of_a_word() {
        for length in 0..BLOCK {
            for place in 0..length {
                for byte in 0..=255 {
                    let mut word = vec![b'a'; length];
                    word[place] = byte;
                    assert_eq!(is_plain(&word), !is_special(byte), "{word:?}");
                }
            }
        }
        assert!(is_plain(b""));
    }

    proptest! {
        /// Texts of any length, with what is escaped in any place of a block.
        #[test]
        fn is_read_and_written_as_serde_json_does(
            pieces in prop::collection::vec(prop::sample::select(vec!["a", "bcdefghijklmno", "\\", "\"", "\n", "\u{1}", "é", "😀", "/", "\u{7f}", " "]), 0..60),
        ) {
            let text = pieces.concat();
            let mut ours = Vec::new();
            write_string(&text, &mut ours);
            prop_assert_eq!(&serde_json::from_slice::<String>(&ours).unwrap(), &text);
            prop_assert_eq!(&*unescape(std::str::from_utf8(&ours[1..ours.len() - 1]).unwrap()), &text);
        }

        #[test]
        fn any_literal_is_unescaped_as_serde_json_does(
            pieces in prop::collection::vec(prop::sample::select(vec!["a", "bcdefghijklmno", "\\\\", "\\\"", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u00e9", "\\uD83D\\uDE00", "\\u0000", "é"]), 0..60),
        ) {
            let inner = pieces.concat();
            prop_assert_eq!(&*unescape(&inner), &serde_json::from_str::<String>(&format!("\"{inner}\"")).unwrap());
        }

        #[test]
        fn what_never_was_a_literal_is_read_all_the_same(inner in "[a\\\\ué😀0-9]{0,40}") {
            prop_assert!(unescape(&inner).len() <= 3 * inner.len());
        }
    }
}
