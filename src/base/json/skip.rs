//! Going over values in a text that is known to be valid: only quotes and brackets are looked at, nothing is judged again.

use super::block::{backslashes, brackets, chunk, escaped, lowest, marks, quotes, special, within_pairs};

/// Where the value that begins at `at` ends.
pub(super) fn skip(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => skip_string(text, at),
        Some(b'{' | b'[') => skip_nested(text, at),
        _ => {
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            text.get(at..).and_then(|rest| rest.iter().position(ends)).map_or(text.len(), |length| at + length)
        }
    }
}

/// Behind the closing quote of the string whose opening quote is at `at`.
pub(super) fn skip_string(text: &[u8], at: usize) -> usize {
    // Most strings are keys and words, which end within sixteen bytes.
    let Some(block) = chunk::<16>(text, at + 1) else { return end_of_string(text, at + 1) };
    closing(text, at + 1, quotes(block).into()).unwrap_or_else(|| end_of_string(text, at + 17))
}

/// The closing quote of a string whose characters begin at `start`, where they are few and none is escaped, as in nearly
/// all keys.
pub(super) fn end_of_word(text: &[u8], start: usize) -> Option<usize> {
    let block = chunk::<16>(text, start)?;
    let marked = special(block);
    (lowest(marked) & quotes(block) != 0).then(|| start + marked.trailing_zeros() as usize)
}

/// Behind the closing quote of the string that goes on at `from`.
fn end_of_string(text: &[u8], mut from: usize) -> usize {
    while let Some(block) = chunk::<64>(text, from) {
        if let Some(end) = closing(text, from, marks(block, quotes)) {
            return end;
        }
        from += 64;
    }
    while let Some(block) = chunk::<16>(text, from) {
        if let Some(end) = closing(text, from, quotes(block).into()) {
            return end;
        }
        from += 16;
    }
    let rest = text.get(from..).unwrap_or_default().iter().enumerate();
    let marked = rest.filter(|(_, byte)| **byte == b'"').fold(0, |marked, (place, _)| marked | 1 << place);
    // Only a text that was not valid does not end.
    closing(text, from, marked).unwrap_or(text.len())
}

/// Behind the first of the marked quotes that is not escaped; the lowest mark stands for the byte at `base`.
fn closing(text: &[u8], base: usize, mut marked: u64) -> Option<usize> {
    while marked != 0 {
        let place = base + marked.trailing_zeros() as usize;
        if !is_escaped(text, place) {
            return Some(place + 1);
        }
        marked &= marked - 1;
    }
    None
}

/// Whether an odd number of backslashes stands before the quote at `place`. They all belong to its string, since no
/// backslash stands before the opening quote; and each run is counted for one quote only.
fn is_escaped(text: &[u8], place: usize) -> bool {
    match text.get(..place) {
        Some([before @ .., b'\\', b'\\']) => before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1,
        Some([.., b'\\']) => true,
        _ => false,
    }
}

/// Behind the closing bracket of the array or object whose opening bracket is at `at`.
fn skip_nested(text: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut base = at;
    // A block always begins outside of a string.
    while let Some(block) = chunk::<64>(text, base) {
        let brackets = Brackets::of(block);
        if let Some(place) = brackets.pass(&mut depth) {
            return base + place + 1;
        }
        base = match brackets.open_string {
            true => end_of_string(text, base + 64),
            false => base + 64,
        };
    }
    while let Some(byte) = text.get(base) {
        base = if *byte == b'"' { skip_string(text, base) } else { base + 1 };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return base,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The brackets of a block outside of its strings, the first byte in the lowest bit.
struct Brackets {
    opening: u64,
    closing: u64,
    /// Whether the last of its strings goes on behind the block.
    open_string: bool,
}

impl Brackets {
    fn of(block: &[u8; 64]) -> Self {
        let quotes = marks(block, quotes) & !escaped(marks(block, backslashes));
        let strings = within_pairs(quotes);
        let of = |curly| marks(block, |part| brackets(part, curly)) & !strings;
        Self { opening: of(b'{'), closing: of(b'}'), open_string: strings >> 63 == 1 }
    }

    /// Counts the brackets; gives the place of the one that closes the outermost, if that is here.
    fn pass(&self, depth: &mut usize) -> Option<usize> {
        if (self.closing.count_ones() as usize) < *depth {
            *depth = *depth + self.opening.count_ones() as usize - self.closing.count_ones() as usize;
            return None;
        }
        let mut all = self.opening | self.closing;
        while all != 0 {
            let place = all.trailing_zeros();
            match self.opening >> place & 1 {
                1 => *depth += 1,
                _ if *depth <= 1 => return Some(place as usize),
                _ => *depth -= 1,
            }
            all &= all - 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::walk::{Walk, Walked};
    use super::*;
    use proptest::prelude::*;
    use std::ops::Range;

    /// Every value of a valid text, as the walk that judges sees it.
    fn values(walk: &mut Walk<'_>, found: &mut Vec<Range<usize>>) -> Walked {
        let start = walk.at;
        match walk.peek() {
            Some(b'{') => {
                walk.at += 1;
                walk.members(|walk, _| values(walk, found))?;
            }
            Some(b'[') => {
                walk.at += 1;
                walk.elements(|walk| values(walk, found))?;
            }
            _ => walk.value(0)?,
        }
        found.push(start..walk.at);
        Ok(())
    }

    fn agree(text: &str) {
        let mut found = Vec::new();
        let mut walk = Walk::over(text.as_bytes());
        walk.space();
        values(&mut walk, &mut found).unwrap();
        walk.space();
        assert_eq!(walk.at, text.len(), "{text:?}");
        serde_json::from_str::<&serde_json::value::RawValue>(text).unwrap();
        for value in found {
            assert_eq!(skip(text.as_bytes(), value.start), value.end, "{:?} of {text:?}", &text[value.clone()]);
            // The same where the text ends with the value.
            assert_eq!(skip(&text.as_bytes()[..value.end], value.start), value.end, "{:?} at the end", &text[value.clone()]);
        }
    }

    #[test]
    fn a_run_of_backslashes_escapes_what_it_escapes_wherever_a_block_ends() {
        for before in 0..140 {
            for run in 0..5 {
                let (pad, run) = ("x".repeat(before), "\\\\".repeat(run));
                agree(&format!(r#"["{pad}{run}\"]{{{run}",[{{"{pad}{run}":"]"}},1],"{pad}"]"#));
                agree(&format!(r#"[{{"k":"{run}","}}":"{pad}\"\"{run}"}},{{"{pad}\\{run}":[[]]}}]"#));
            }
        }
        let long = "\\".repeat(1_000);
        agree(&format!(r#"["{long}",{{"{long}":"{long}\""}}]"#));
    }

    #[test]
    fn what_is_not_valid_ends_somewhere() {
        let texts = ["", "\"", "\"\\", "{", "[\"", "]", "}}", "[}", "{\"a\":\"\\\"}", "\\\"", "[\"a]", "tru"];
        for text in texts.iter().map(|text| (*text).to_owned()).chain(texts.iter().map(|text| format!("{text}{}", text.repeat(40)))) {
            for at in 0..text.len() + 2 {
                let end = skip(text.as_bytes(), at);
                assert!(end <= text.len().max(at + 1), "{text:?} from {at}: {end}");
            }
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece =
            prop::sample::select(vec!["a", "bcdefghijklmno", "\\\\", "\\\"", "\\n", "\\u00e9", "é", "{", "}", "[", "]", ",", ":", " "]);
        prop::collection::vec(piece, 0..50).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            3 => pieces(),
            1 => prop::sample::select(vec!["0", "-1.5e+10", "true", "null", "[]", "{}", "\"\"", "[ ]", "{\n}"]).prop_map(str::to_owned),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let space = || prop::sample::select(vec!["", " ", "\n\t "]);
            let array = (prop::collection::vec(inner.clone(), 0..6), space())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},"))));
            let object = (prop::collection::vec((pieces(), inner), 0..6), space()).prop_map(|(members, space)| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{space}{key}{space}:{value}")).collect();
                format!("{{{}{space}}}", members.join(","))
            });
            prop_oneof![array, object]
        })
    }

    proptest! {
        #[test]
        fn a_skip_ends_where_the_judging_walk_ends(text in json()) {
            agree(&text);
        }

        #[test]
        fn any_bytes_end_within_the_text(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ a0"[..]), 0..200), at in 0usize..210) {
            prop_assert!(skip(&bytes, at) <= bytes.len().max(at + 1));
        }
    }
}
