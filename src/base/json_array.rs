//! A JSON array that arrives piece by piece, one frame for each element.
//!
//! Gemini streams so where the caller did not ask for `alt=sse`. The raw bytes of a frame are its element with the
//! punctuation and white space before it; the closing bracket is a frame without data, so that a relay of whole frames
//! can still leave it out.

use bytes::{Bytes, BytesMut};

use super::framing::FrameError;
use super::sse::Frame;

/// Cuts a JSON array into its elements. Holds at most `bytes_max` of one unfinished element.
#[derive(Debug)]
pub struct Framer {
    pending: BytesMut,
    scanned: usize,
    bytes_max: usize,
    depth: usize,
    /// Where the element in hand begins.
    start: Option<usize>,
    in_string: bool,
    escaped: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the opening bracket.
    Before,
    /// Between elements, or inside one.
    Inside,
    /// Behind the closing bracket.
    After,
}

impl Framer {
    /// A framer that refuses a single element larger than `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            pending: BytesMut::new(),
            scanned: 0,
            bytes_max,
            depth: 0,
            start: None,
            in_string: false,
            escaped: false,
            state: State::Before,
        }
    }

    /// Adds what arrived and calls `each` with every element that is now whole, in order.
    ///
    /// # Errors
    /// An element past the bound, or something that is no array of objects.
    pub fn push(&mut self, chunk: Bytes, mut each: impl FnMut(Frame)) -> Result<(), FrameError> {
        self.pending.extend_from_slice(&chunk);
        while let Some(&byte) = self.pending.get(self.scanned) {
            self.scanned += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match (self.state, byte) {
                (_, b' ' | b'\t' | b'\r' | b'\n') => {}
                (State::Before, b'[') => self.state = State::Inside,
                (State::Inside, b'{') => {
                    self.start.get_or_insert(self.scanned - 1);
                    self.depth += 1;
                }
                (State::Inside, b'}') if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.emit(&mut each);
                    }
                }
                (State::Inside, b']') if self.depth == 0 => {
                    self.state = State::After;
                    self.emit(&mut each);
                }
                (State::Inside, b',') if self.depth == 0 => {}
                (State::Inside, b'"') if self.depth > 0 => self.in_string = true,
                (State::Inside, _) if self.depth > 0 => {}
                _ => return Err(FrameError::Broken("the stream is not a JSON array of objects")),
            }
        }
        if self.pending.len() > self.bytes_max {
            return Err(FrameError::TooLarge(self.bytes_max));
        }
        Ok(())
    }

    fn emit(&mut self, each: &mut impl FnMut(Frame)) {
        let raw = self.pending.split_to(self.scanned).freeze();
        self.scanned = 0;
        let data = self.start.take().map(|start| raw.slice(start..));
        each(Frame { raw, name: Bytes::new(), data });
    }

    /// What is left at the end of the stream.
    pub fn rest(&mut self) -> Option<Bytes> {
        let blank = self.pending.iter().all(u8::is_ascii_whitespace);
        (!blank).then(|| self.pending.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(wire: &str, size: usize) -> (Vec<(String, Option<String>)>, Option<Bytes>) {
        let mut framer = Framer::new(1 << 16);
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for piece in wire.as_bytes().chunks(size) {
            let each = |frame: Frame| seen.push((text(&frame.raw), frame.data.as_deref().map(text)));
            framer.push(Bytes::copy_from_slice(piece), each).unwrap();
        }
        (seen, framer.rest())
    }

    #[test]
    fn any_cut_gives_the_same_elements() {
        let wire = "[{\"a\":\"]},{\\\"\"}\n,\r\n{\"b\":[{}]}]\n";
        let (whole, rest) = frames(wire, wire.len());
        let data: Vec<_> = whole.iter().map(|(_, data)| data.as_deref()).collect();
        assert_eq!(data, [Some("{\"a\":\"]},{\\\"\"}"), Some("{\"b\":[{}]}"), None]);
        assert_eq!(rest, None);
        assert_eq!(whole.iter().map(|(raw, _)| raw.as_str()).collect::<String>() + "\n", wire);
        for size in 1..wire.len() {
            assert_eq!(frames(wire, size).0, whole);
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for wire in ["{\"error\":{}}", "[1]", "[}", "x"] {
            assert!(matches!(Framer::new(99).push(Bytes::from(wire), |_| ()), Err(FrameError::Broken(_))), "{wire}");
        }
        assert_eq!(Framer::new(3).push(Bytes::from_static(b"[{\"a\""), |_| ()), Err(FrameError::TooLarge(3)));
    }
}
