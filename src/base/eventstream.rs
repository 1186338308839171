//! `application/vnd.amazon.eventstream`: binary messages with checksums, incrementally, each with its exact bytes.
//!
//! A message is `u32` length of all, `u32` length of the headers, `u32` CRC-32 of these eight bytes (the prelude), the
//! headers, the payload, `u32` CRC-32 of all before it; numbers are big-endian.
//!
//! A message becomes the same [`Frame`] as a server-sent event. Its `data` is the payload, its `name` tells its kind:
//! of an event the `:event-type`; of an exception the `:exception-type`, which ends in `Exception` (the word is added
//! where it does not); of an error that the service did not model [`ERROR`], its data a JSON object with the `code` and
//! the `message` that the headers tell. No event has such a name.

use bytes::{Buf, Bytes, BytesMut};

use super::framing::FrameError;
use super::json;
use super::sse::Frame;

/// The name of a frame of `:message-type: error`.
pub const ERROR: &str = ":error";
/// What the name of an exception's frame ends in.
pub const EXCEPTION: &str = "Exception";

/// The two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The checksum at the end.
const CHECKSUM_BYTES: usize = 4;
/// The most headers that a message may have, by the protocol.
const HEADERS_BYTES_MAX: usize = 128 << 10;

/// Cuts a byte stream into messages, whatever pieces it comes in. Holds at most `bytes_max` of one unfinished message.
#[derive(Debug)]
pub struct Framer {
    pending: BytesMut,
    /// How long `pending` must be for the next step: as long as a prelude, then as the message it announces.
    wanted: usize,
    bytes_max: usize,
}

impl Framer {
    /// A framer that refuses a single message larger than `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self { pending: BytesMut::new(), wanted: PRELUDE_BYTES, bytes_max }
    }

    /// Adds what arrived and calls `each` with every message that is now whole, in order. What lies whole in a chunk is
    /// sliced, not copied; what a length announces is not reserved before it has come.
    ///
    /// # Errors
    /// A message past the bound (known from its prelude, before any of it is kept), a checksum that does not hold, or
    /// headers that cannot be read. Messages before it have been handed over.
    pub fn push(&mut self, chunk: Bytes, mut each: impl FnMut(Frame)) -> Result<(), FrameError> {
        let mut rest = chunk;
        while !self.pending.is_empty() {
            let missing = self.wanted.saturating_sub(self.pending.len());
            if rest.len() < missing {
                self.pending.extend_from_slice(&rest);
                return Ok(());
            }
            self.pending.extend_from_slice(&rest.split_to(missing));
            if self.wanted == PRELUDE_BYTES {
                self.wanted = message_bytes(&self.pending, self.bytes_max)?;
            } else {
                self.wanted = PRELUDE_BYTES;
                each(frame(self.pending.split().freeze())?);
            }
        }
        while rest.len() >= PRELUDE_BYTES {
            let total = message_bytes(&rest, self.bytes_max)?;
            if rest.len() < total {
                self.wanted = total;
                break;
            }
            each(frame(rest.split_to(total))?);
        }
        self.pending.extend_from_slice(&rest);
        Ok(())
    }

    /// What is left at the end of the stream: a message that was cut off.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.wanted = PRELUDE_BYTES;
        (!self.pending.is_empty()).then(|| self.pending.split().freeze())
    }
}

/// The length of the message that begins with this prelude.
fn message_bytes(prelude: &[u8], bytes_max: usize) -> Result<usize, FrameError> {
    let Some((mut lengths, mut sum)) = prelude.get(..PRELUDE_BYTES).map(|prelude| prelude.split_at(PRELUDE_BYTES - CHECKSUM_BYTES)) else {
        return Err(FrameError::Broken("a message's prelude is cut off"));
    };
    if crc32fast::hash(lengths) != sum.get_u32() {
        return Err(FrameError::Broken("the checksum of a message's prelude does not hold"));
    }
    let (total, headers) = (lengths.get_u32() as usize, lengths.get_u32() as usize);
    if total > bytes_max {
        return Err(FrameError::TooLarge(bytes_max));
    }
    if headers > HEADERS_BYTES_MAX || headers + PRELUDE_BYTES + CHECKSUM_BYTES > total {
        return Err(FrameError::Broken("a message's lengths contradict each other"));
    }
    Ok(total)
}

/// Reads a whole message, whose prelude has been read.
fn frame(raw: Bytes) -> Result<Frame, FrameError> {
    let end = raw.len() - CHECKSUM_BYTES;
    let (checked, mut sum) = raw.split_at(end);
    if crc32fast::hash(checked) != sum.get_u32() {
        return Err(FrameError::Broken("a message's checksum does not hold"));
    }
    let headers_end = PRELUDE_BYTES + (&checked[4..]).get_u32() as usize;
    let mut told = Told::default();
    for header in Headers::new(&checked[PRELUDE_BYTES..headers_end]) {
        let (name, value) = header?;
        let HeaderValue::Text(text) = value else { continue };
        match name {
            ":message-type" => told.message = text,
            ":event-type" => told.event = text,
            ":exception-type" => told.exception = text,
            ":error-code" => told.code = text,
            ":error-message" => told.text = text,
            _ => {}
        }
    }
    let payload = || (headers_end < end).then(|| raw.slice(headers_end..end));
    let (name, data) = match told.message {
        "exception" if told.exception.ends_with(EXCEPTION) => (raw.slice_ref(told.exception.as_bytes()), payload()),
        "exception" => (Bytes::from(format!("{}{EXCEPTION}", told.exception)), payload()),
        "error" => (Bytes::from_static(ERROR.as_bytes()), Some(told.error())),
        _ => (raw.slice_ref(told.event.as_bytes()), payload()),
    };
    Ok(Frame { name, data, raw })
}

/// The headers that say what a message is.
#[derive(Default)]
struct Told<'m> {
    message: &'m str,
    event: &'m str,
    exception: &'m str,
    code: &'m str,
    text: &'m str,
}

impl Told<'_> {
    fn error(&self) -> Bytes {
        let mut data = Vec::new();
        json::object(&mut data, |object| {
            object.string("code", self.code);
            object.string("message", self.text);
        });
        data.into()
    }
}

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'m> {
    /// Types 0 and 1.
    Bool(bool),
    /// Types 2 to 5: one, two, four or eight bytes.
    Int(i64),
    /// Type 6.
    Bytes(&'m [u8]),
    /// Type 7.
    Text(&'m str),
    /// Type 8: milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid(&'m [u8]),
}

/// Reads the headers of a message, one by one; ends after the first that cannot be read.
#[derive(Debug)]
pub struct Headers<'m>(&'m [u8]);

impl<'m> Headers<'m> {
    /// The headers in these bytes.
    pub fn new(bytes: &'m [u8]) -> Self {
        Self(bytes)
    }

    fn header(&mut self) -> Option<(&'m str, HeaderValue<'m>)> {
        let name_bytes = self.0.try_get_u8().ok()?;
        let name = text(self.take(usize::from(name_bytes))?)?;
        let value = match self.0.try_get_u8().ok()? {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Int(self.0.try_get_i8().ok()?.into()),
            3 => HeaderValue::Int(self.0.try_get_i16().ok()?.into()),
            4 => HeaderValue::Int(self.0.try_get_i32().ok()?.into()),
            5 => HeaderValue::Int(self.0.try_get_i64().ok()?),
            6 => HeaderValue::Bytes(self.sized()?),
            7 => HeaderValue::Text(text(self.sized()?)?),
            8 => HeaderValue::Timestamp(self.0.try_get_i64().ok()?),
            9 => HeaderValue::Uuid(self.take(16)?),
            _ => return None,
        };
        (!name.is_empty()).then_some((name, value))
    }

    fn sized(&mut self) -> Option<&'m [u8]> {
        let length = self.0.try_get_u16().ok()?;
        self.take(usize::from(length))
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

impl<'m> Iterator for Headers<'m> {
    type Item = Result<(&'m str, HeaderValue<'m>), FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let header = self.header();
        if header.is_none() {
            self.0 = &[];
        }
        Some(header.ok_or(FrameError::Broken("a message's headers cannot be read")))
    }
}

/// Appends one message; `payload` appends its payload. Names are constants of ours, and a value longer than the protocol
/// allows (32 KiB) is cut.
pub fn write(headers: &[(&str, &str)], out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    const VALUE_BYTES_MAX: usize = 0x7fff;
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, value) in headers {
        let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
        out.push(7);
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let headers_bytes = out.len() - start - PRELUDE_BYTES;
    payload(out);
    let total = out.len() - start + CHECKSUM_BYTES;
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_be_bytes());
    lengths[4..].copy_from_slice(&u32::try_from(headers_bytes).unwrap_or(u32::MAX).to_be_bytes());
    out[start..start + 8].copy_from_slice(&lengths);
    out[start + 8..start + PRELUDE_BYTES].copy_from_slice(&crc32fast::hash(&lengths).to_be_bytes());
    let sum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests;
