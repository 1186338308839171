//! Server-sent events by the WHATWG grammar, incrementally, each frame with its exact wire text beside it.
//!
//! The framer keeps a partial frame back until its blank line arrives: a relay that forwards only whole frames
//! can always add an error event of its own behind them, wherever the upstream was cut.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// One event as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The exact wire text, its blank line included.
    pub raw: Bytes,
    /// The `event:` field, empty where there is none.
    pub name: Bytes,
    /// The `data:` lines, joined by a newline; `None` for a frame without data (a comment, a lone `event:`).
    pub data: Option<Bytes>,
}

/// A frame grew past the framer's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// The bound, in bytes.
    pub bytes_max: usize,
}

/// Cuts a byte stream into frames, whatever pieces it comes in. Holds at most `bytes_max` of one unfinished frame.
#[derive(Debug)]
pub struct Framer {
    pending: BytesMut,
    /// How far `pending` is known to hold no frame end.
    scanned: usize,
    bytes_max: usize,
    at_start: bool,
}

impl Framer {
    /// A framer that refuses a single frame larger than `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { pending: BytesMut::new(), scanned: 0, bytes_max, at_start: true }
    }

    /// Adds what arrived and calls `each` with every frame that is now whole, in order. A chunk of whole frames is sliced, not copied.
    pub fn push(&mut self, chunk: Bytes, mut each: impl FnMut(Frame)) -> Result<(), FrameTooLarge> {
        let mut rest = chunk;
        if self.pending.is_empty() {
            let mut scanned = 0;
            while let Some(end) = frame_end(&rest, scanned) {
                each(self.parse(rest.split_to(end)));
                scanned = 0;
            }
            scanned = rest.len().saturating_sub(KEEP).max(scanned);
            self.pending.extend_from_slice(&rest);
            self.scanned = scanned;
        } else {
            self.pending.extend_from_slice(&rest);
            while let Some(end) = frame_end(&self.pending, self.scanned) {
                let raw = self.pending.split_to(end).freeze();
                self.scanned = 0;
                each(self.parse(raw));
            }
            self.scanned = self.pending.len().saturating_sub(KEEP).max(self.scanned);
        }
        if self.pending.len() > self.bytes_max {
            return Err(FrameTooLarge { bytes_max: self.bytes_max });
        }
        Ok(())
    }

    /// What is left at the end of the stream: a frame whose blank line never came. By the grammar it is not dispatched.
    pub fn rest(&mut self) -> Option<Bytes> {
        (!self.pending.is_empty()).then(|| self.pending.split().freeze())
    }

    /// Bytes held of an unfinished frame.
    pub fn held(&self) -> usize {
        self.pending.len()
    }

    fn parse(&mut self, raw: Bytes) -> Frame {
        let mut name = Bytes::new();
        let mut data: Option<Bytes> = None;
        let mut joined: Option<BytesMut> = None;
        let mut at = 0;
        if std::mem::take(&mut self.at_start) && raw.starts_with(b"\xef\xbb\xbf") {
            at = 3;
        }
        while at < raw.len() {
            let end = memchr2(b'\n', b'\r', &raw[at..]).map_or(raw.len(), |i| at + i);
            let line = &raw[at..end];
            let colon = memchr(b':', line);
            let (field, mut from) = match colon {
                Some(i) => (&line[..i], at + i + 1),
                None => (line, end),
            };
            if raw.get(from) == Some(&b' ') && from < end {
                from += 1;
            }
            match field {
                b"data" => match (&data, &mut joined) {
                    (None, _) => data = Some(raw.slice(from..end)),
                    (Some(first), none @ None) => {
                        let mut buffer = BytesMut::from(&first[..]);
                        buffer.extend_from_slice(b"\n");
                        buffer.extend_from_slice(&raw[from..end]);
                        *none = Some(buffer);
                    }
                    (Some(_), Some(buffer)) => {
                        buffer.extend_from_slice(b"\n");
                        buffer.extend_from_slice(&raw[from..end]);
                    }
                },
                b"event" => name = raw.slice(from..end),
                _ => {}
            }
            at = end + 1;
        }
        if let Some(buffer) = joined {
            data = Some(buffer.freeze());
        }
        Frame { raw, name, data }
    }
}

/// The longest frame end (`\r\n\r\n`) less one: what must be looked at again when more arrives.
const KEEP: usize = 3;

/// The offset just behind the first blank line at or after `from` (which must not lie inside a frame end's first bytes).
///
/// A lone `\r` at the very end may be the first half of `\r\n`: it does not yet end anything.
fn frame_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let first = at + memchr2(b'\n', b'\r', bytes.get(at..)?)?;
        let line_end = after_newline(bytes, first)?;
        match bytes.get(line_end)? {
            b'\n' => return Some(line_end + 1),
            b'\r' => return after_newline(bytes, line_end),
            _ => at = line_end,
        }
    }
}

fn after_newline(bytes: &[u8], at: usize) -> Option<usize> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        (b'\r', None) => None,
        _ => Some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Seen = (String, Option<String>, Vec<u8>);

    fn frames(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<Seen>, Option<Bytes>) {
        let mut framer = Framer::new(1 << 20);
        let mut out = Vec::new();
        for piece in pieces {
            framer
                .push(piece.into(), |frame| {
                    let text = |b: &Bytes| String::from_utf8_lossy(b).into_owned();
                    out.push((text(&frame.name), frame.data.as_ref().map(text), frame.raw.to_vec()));
                })
                .unwrap();
        }
        (out, framer.rest())
    }

    #[test]
    fn reads_every_form_the_grammar_allows() {
        let cases: [(&str, &str, Option<&str>); 9] = [
            ("data: a\n\n", "", Some("a")),
            ("data:a\n\n", "", Some("a")),
            ("data:  a\n\n", "", Some(" a")),
            ("event: e\r\ndata: a\r\n\r\n", "e", Some("a")),
            ("\u{feff}data: a\n\n", "", Some("a")),
            ("data: a\ndata: b\ndata\n\n", "", Some("a\nb\n")),
            (": ping\n\n", "", None),
            ("id: 1\nretry: 5\nevent: x\n\n", "x", None),
            ("data: {\"t\":\"é😀\"}\n\n", "", Some("{\"t\":\"é😀\"}")),
        ];
        for (wire, name, data) in cases {
            let (got, rest) = frames([wire.as_bytes().to_vec()]);
            assert_eq!(got, [(name.to_owned(), data.map(str::to_owned), wire.as_bytes().to_vec())], "{wire:?}");
            assert_eq!(rest, None, "{wire:?}");
        }
    }

    #[test]
    fn an_unfinished_frame_is_kept_back_and_bounded() {
        let (got, rest) = frames([b"data: a\n\ndata: b\n".to_vec()]);
        assert_eq!(got.len(), 1);
        assert_eq!(rest.as_deref(), Some(&b"data: b\n"[..]));
        let mut framer = Framer::new(8);
        assert_eq!(framer.push(Bytes::from_static(b"data: 123456789"), |_| ()), Err(FrameTooLarge { bytes_max: 8 }));
    }

    proptest! {
        /// Law: any cut of the stream gives the same frames, and their raw twins are the stream.
        #[test]
        fn chunking_changes_nothing(
            lines in prop::collection::vec("(data: ?[a-z\\u{e9}]{0,6}|event: [a-z]{1,3}|:c|)", 0..24),
            newline in prop::sample::select(vec!["\n", "\r\n"]),
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let wire: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), newline.as_bytes()].concat()).collect();
            let whole = frames([wire.clone()]);
            let mut pieces = Vec::new();
            let (mut rest, mut sizes) = (&wire[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = tail;
            }
            let cut = frames(pieces);
            prop_assert_eq!(&whole, &cut);
            let mut raw: Vec<u8> = whole.0.iter().flat_map(|f| f.2.clone()).collect();
            raw.extend_from_slice(whole.1.as_deref().unwrap_or_default());
            prop_assert_eq!(raw, wire);
        }
    }
}
