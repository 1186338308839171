//! A strict second look at HTTP/1.1 framing, before hyper reads the same bytes.
//!
//! hyper is sound but lenient, and tidies what it read: it drops a `Content-Length` beside a `Transfer-Encoding`, takes
//! a bare LF for a line end, blanks after a chunk size, anything as a chunk extension. Where two readers of one message
//! may disagree on its end, requests are smuggled. So this scanner follows the bytes as they come in, and counts the
//! heads whose framing is beyond doubt. It fails closed: a request that hyper reads but the scanner did not count is
//! refused, whatever the reason, and the connection ends with it.
//!
//! A head is looked at by lines, a body costs a subtraction, or a look at each chunk's size line.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use memchr::memchr;

use crate::base::{Fault, FaultKind};

/// The longest line with a chunk's size and extensions.
const SIZE_LINE_MAX: usize = 1024;

/// What is wrong with a message's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    BareLf,
    BadLine,
    Fragment,
    BothLengths,
    TwoLengths,
    BadLength,
    BadCoding,
    HeadTooLarge,
    BadChunk,
    BadExtension,
}

impl Flaw {
    /// The caller's mistake, to be told in its dialect.
    pub(super) fn fault(self) -> Fault {
        let kind = if self == Self::HeadTooLarge { FaultKind::TooLarge } else { FaultKind::BadRequest };
        Fault::caller(kind, self.text())
    }

    /// What the caller reads.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BareLf => "the request is not valid HTTP/1.1: every line must end with CR LF.",
            Self::BadLine => "the request is not valid HTTP/1.1: a header line must be `name: value`, and must not be folded.",
            Self::Fragment => "the request target must not contain `#`.",
            Self::BothLengths => "the request has both Content-Length and Transfer-Encoding: send one of them.",
            Self::TwoLengths => "the request has more than one Content-Length: send it once.",
            Self::BadLength => "Content-Length must be a decimal number of bytes.",
            Self::BadCoding => "Transfer-Encoding must be `chunked`, once, and nothing else.",
            Self::HeadTooLarge => "the request head is larger than this server accepts.",
            Self::BadChunk => {
                "the request body's chunked framing is broken: a chunk is its size in hexadecimal, CR LF, that many bytes, CR LF."
            }
            Self::BadExtension => "the request body's chunked framing is broken: a chunk extension must be `;name` or `;name=value`.",
        }
    }
}

/// What the scanner and the exchanges of one connection tell each other.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    passed: AtomicUsize,
    served: AtomicUsize,
    in_flight: AtomicUsize,
    flaw: OnceLock<Flaw>,
}

impl Ledger {
    /// Called for each request that hyper hands out, in order.
    pub(super) fn next_request(&self) -> Result<(), Flaw> {
        let number = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        if number <= self.passed.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(self.flaw.get().copied().unwrap_or(Flaw::BareLf))
    }

    /// An exchange begins; its answer is still being made or written until [`Self::leave`].
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange is over.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether an answer is being made or written.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }
}

/// Where in the message the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two messages.
    Between,
    /// In a request's head.
    Head,
    /// In a request's body.
    Body,
    /// Not looked at: HTTP/2, or a head that will be refused.
    Unwatched,
}

#[derive(Debug)]
enum State {
    Between,
    Head { lines: usize, length: Option<u64>, chunked: bool },
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd { cr_seen: bool },
    Trailer,
    Refusing,
    Off,
}

/// Follows one connection's bytes.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// The beginning of a line whose end has not come yet; empty, and without memory, nearly always.
    carry: Vec<u8>,
    /// Bytes of the head or trailer so far.
    section_bytes: usize,
    head_bytes_max: usize,
}

impl Scanner {
    pub(super) fn new(head_bytes_max: usize) -> Self {
        Self { state: State::Between, carry: Vec::new(), section_bytes: 0, head_bytes_max }
    }

    /// Looks no further: the connection speaks HTTP/2, which has no such trouble.
    pub(super) fn switch_off(&mut self) {
        self.state = State::Off;
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Between => Phase::Between,
            State::Head { .. } => Phase::Head,
            State::Refusing => Phase::Head,
            State::Off => Phase::Unwatched,
            _ => Phase::Body,
        }
    }

    /// Follows `bytes`. A flaw in a head is left to [`Ledger::next_request`], since the caller should get an answer.
    ///
    /// # Errors
    /// The offset of a flaw in a body, which must not be read from there on.
    pub(super) fn scan(&mut self, bytes: &[u8], ledger: &Ledger) -> Result<(), (usize, Flaw)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            match self.step(&mut rest, ledger) {
                Ok(()) => {}
                Err(flaw) if matches!(self.state, State::Head { .. }) => {
                    ledger.flaw.get_or_init(|| flaw);
                    self.carry = Vec::new();
                    self.state = State::Refusing;
                }
                Err(flaw) => return Err((at, flaw)),
            }
        }
        Ok(())
    }

    fn step(&mut self, rest: &mut &[u8], ledger: &Ledger) -> Result<(), Flaw> {
        match &mut self.state {
            State::Refusing | State::Off => *rest = &[],
            State::Between => {
                // A robust server skips empty lines here, and so does hyper.
                let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                *rest = &rest[blank..];
                if !rest.is_empty() {
                    self.section_bytes = 0;
                    self.state = State::Head { lines: 0, length: None, chunked: false };
                }
            }
            State::Head { .. } => {
                if let Some(line) = self.next_line(rest, self.head_bytes_max, Flaw::HeadTooLarge)? {
                    self.head_line(&line, ledger)?;
                }
            }
            State::Length(left) => {
                skip(rest, left);
                if *left == 0 {
                    self.state = State::Between;
                }
            }
            State::ChunkSize => {
                if let Some(line) = self.next_line(rest, SIZE_LINE_MAX, Flaw::BadExtension)? {
                    let size = chunk_size(&line)?;
                    self.section_bytes = 0;
                    self.state = if size == 0 { State::Trailer } else { State::ChunkData(size) };
                }
            }
            State::ChunkData(left) => {
                skip(rest, left);
                if *left == 0 {
                    self.state = State::ChunkEnd { cr_seen: false };
                }
            }
            State::ChunkEnd { cr_seen } => {
                let wanted = if *cr_seen { b'\n' } else { b'\r' };
                if rest.first() != Some(&wanted) {
                    return Err(Flaw::BadChunk);
                }
                *rest = &rest[1..];
                self.state = if *cr_seen { State::ChunkSize } else { State::ChunkEnd { cr_seen: true } };
                self.section_bytes = 0;
            }
            State::Trailer => {
                if let Some(line) = self.next_line(rest, self.head_bytes_max, Flaw::HeadTooLarge)? {
                    let line = line.strip_suffix(b"\r\n").ok_or(Flaw::BareLf)?;
                    if memchr(b'\r', line).is_some() {
                        return Err(Flaw::BadLine);
                    }
                    if line.is_empty() {
                        self.state = State::Between;
                    }
                }
            }
        }
        Ok(())
    }

    fn next_line<'a>(&mut self, rest: &mut &'a [u8], max: usize, too_long: Flaw) -> Result<Option<Cow<'a, [u8]>>, Flaw> {
        let end = memchr(b'\n', rest).map(|at| at + 1);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.section_bytes += piece.len();
        if self.section_bytes > max {
            return Err(too_long);
        }
        *rest = after;
        if end.is_none() {
            self.carry.extend_from_slice(piece);
            return Ok(None);
        }
        if self.carry.is_empty() {
            return Ok(Some(Cow::Borrowed(piece)));
        }
        let mut line = std::mem::take(&mut self.carry);
        line.extend_from_slice(piece);
        Ok(Some(Cow::Owned(line)))
    }

    fn head_line(&mut self, line: &[u8], ledger: &Ledger) -> Result<(), Flaw> {
        let State::Head { lines, length, chunked } = &mut self.state else { return Ok(()) };
        let line = line.strip_suffix(b"\r\n").ok_or(Flaw::BareLf)?;
        *lines += 1;
        if *lines == 1 {
            return if memchr(b'#', line).is_some() { Err(Flaw::Fragment) } else { Ok(()) };
        }
        if line.is_empty() {
            if *chunked && length.is_some() {
                return Err(Flaw::BothLengths);
            }
            ledger.passed.fetch_add(1, Ordering::Relaxed);
            self.section_bytes = 0;
            self.state = match (*chunked, *length) {
                (true, _) => State::ChunkSize,
                (false, Some(bytes)) if bytes > 0 => State::Length(bytes),
                (false, _) => State::Between,
            };
            return Ok(());
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Flaw::BadLine);
        }
        let colon = memchr(b':', line).ok_or(Flaw::BadLine)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Flaw::TwoLengths);
            }
            *length = Some(decimal(value).ok_or(Flaw::BadLength)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if *chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Flaw::BadCoding);
            }
            *chunked = true;
        }
        Ok(())
    }
}

fn skip(rest: &mut &[u8], left: &mut u64) {
    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *rest = &rest[taken..];
    *left -= taken as u64;
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn chunk_size(line: &[u8]) -> Result<u64, Flaw> {
    let line = line.strip_suffix(b"\r\n").ok_or(Flaw::BareLf)?;
    let (digits, extensions) = match memchr(b';', line) {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    if digits.is_empty() || digits.len() > 16 {
        return Err(Flaw::BadChunk);
    }
    let size = digits.iter().try_fold(0u64, |size, digit| Some(size << 4 | u64::from(char::from(*digit).to_digit(16)?)));
    if !extensions.is_none_or(are_extensions) {
        return Err(Flaw::BadExtension);
    }
    size.ok_or(Flaw::BadChunk)
}

/// `name[=value][;name[=value]]…`, without blanks.
fn are_extensions(mut text: &[u8]) -> bool {
    loop {
        let Some(after) = token(text) else { return false };
        text = after;
        if let Some(value) = text.strip_prefix(b"=") {
            let Some(after) = quoted(value).or_else(|| token(value)) else { return false };
            text = after;
        }
        match text {
            [] => return true,
            [b';', after @ ..] => text = after,
            _ => return false,
        }
    }
}

fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)).count();
    (length > 0).then(|| &text[length..])
}

fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.strip_prefix(b"\"")?;
    loop {
        match text {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., after @ ..] => text = after,
            [b'\t' | b' '..=b'[' | b']'..=b'~' | 0x80.., after @ ..] => text = after,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
