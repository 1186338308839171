//! The bytes of a segment: a header, twice, then records of `length | crc | kind | payload`.
//!
//! The checksum begins from a seed of the file's own, so that what belongs to another file, or to a caller's text, is never
//! taken for a record. Integers of headers and frames are little-endian, those of payloads are LEB128.

use super::counters::{Counters, Estimate};
use super::dims::Class;
use crate::base::money::NanoUsd;
use crate::base::rng::ExchangeId;

/// The version that this code writes, and the only one it reads.
pub(super) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"outrider";
const HEADER_BYTES: usize = 40;
/// Where records begin: behind the header and its copy.
pub(super) const RECORDS_AT: usize = 2 * HEADER_BYTES;
const FRAME_BYTES: usize = 7;
/// The longest payload.
const PAYLOAD_BYTES_MAX: usize = 4 << 10;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Sums of all files up to its number, instead of a piece of the log.
    pub(super) sums: bool,
    /// The file before it was given up, and may end in the middle of a record.
    pub(super) after_failure: bool,
    /// The process that wrote it, by a random number.
    pub(super) incarnation: u64,
    /// Its number among the files.
    pub(super) number: u64,
    /// How many records its process wrote before.
    pub(super) first_record: u64,
}

/// What stands where a header should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A header of ours.
    Ours(Header),
    /// The header of another version.
    Foreign(u16),
    /// No header.
    None,
}

impl Header {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for _twice in 0..2 {
            let from = out.len();
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&VERSION.to_le_bytes());
            out.extend_from_slice(&[u8::from(self.sums) | u8::from(self.after_failure) << 1, 0]);
            for number in [self.incarnation, self.number, self.first_record] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            let crc = crc32fast::hash(out.get(from..).unwrap_or_default());
            out.extend_from_slice(&crc.to_le_bytes());
        }
    }

    /// The header of a file's first bytes, or of their copy.
    pub(super) fn read(bytes: &[u8]) -> Head {
        let copies = [bytes.get(..HEADER_BYTES), bytes.get(HEADER_BYTES..RECORDS_AT)];
        let found = copies.into_iter().flatten().map(Self::read_one).find(|head| *head != Head::None);
        found.unwrap_or(Head::None)
    }

    fn read_one(bytes: &[u8]) -> Head {
        let mut reader = Payload(bytes);
        let Some((told, crc)) = bytes.split_last_chunk::<4>() else { return Head::None };
        if crc32fast::hash(told) != u32::from_le_bytes(*crc) || reader.array() != Some(MAGIC) {
            return Head::None;
        }
        let read = |reader: &mut Payload<'_>| {
            let version = u16::from_le_bytes(reader.array()?);
            let [flags, _] = reader.array()?;
            let mut number = || reader.array().map(u64::from_le_bytes);
            let (incarnation, number, first_record) = (number()?, number()?, number()?);
            Some((version, Self { sums: flags & 1 != 0, after_failure: flags & 2 != 0, incarnation, number, first_record }))
        };
        match read(&mut reader) {
            Some((VERSION, header)) => Head::Ours(header),
            Some((version, _)) => Head::Foreign(version),
            None => Head::None,
        }
    }

    /// Where the checksums of this file's records begin.
    pub(super) fn seed(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.incarnation.to_le_bytes());
        hasher.update(&self.number.to_le_bytes());
        hasher.finalize()
    }
}

/// A stretch of time that counters are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Span {
    Minute,
    Hour,
    Day,
}

impl Span {
    pub(super) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(super) fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

/// What counters are of; `dims` is an index of its file, or of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CellKey {
    /// Minutes since the Unix epoch.
    pub(super) start: u32,
    pub(super) span: Span,
    pub(super) dims: u32,
    pub(super) class: Class,
}

/// What was reserved for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) id: ExchangeId,
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    pub(super) dims: u32,
    pub(super) estimate: Estimate,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settle {
    pub(super) id: ExchangeId,
    /// The batch whose rows will count it too; 0: none.
    pub(super) batch: u32,
    /// Whether a later process wrote it, at the estimate.
    pub(super) recovered: bool,
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    pub(super) dims: u32,
    pub(super) class: Class,
    pub(super) counters: Counters,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// What an index stands for, in this file from here on.
    Dims { index: u32, bytes: &'a [u8] },
    /// An exchange begins.
    Intent(Intent),
    /// An exchange is over.
    Settle(Settle),
    /// The rows of a batch begin.
    Begin { batch: u32, rows: u32 },
    /// Counters of a batch: a closed minute under one set of dimensions.
    Row(CellKey, Counters),
    /// An exchange is over whose charge is in this batch's rows alone.
    Done(ExchangeId),
    /// The rows of a batch are all there: they count instead of its settles.
    Commit { batch: u32 },
    /// In a file of sums: counters.
    Cell(CellKey, Counters),
    /// In a file of sums: counters of settles whose batch has no rows yet.
    Partial(u32, CellKey, Counters),
    /// In a file of sums: all batches up to this one have their rows.
    Closed { batch: u32 },
    /// The end of a file of sums, and how many records it has.
    End { records: u32 },
    /// Of a later version, to be passed over.
    Unknown,
}

const FLAG_ESTIMATED: u8 = 1;
const FLAG_RECOVERED: u8 = 2;

impl<'a> Record<'a> {
    fn kind(&self) -> u8 {
        match self {
            Self::Dims { .. } => 1,
            Self::Intent(_) => 2,
            Self::Settle(_) => 3,
            Self::Begin { .. } => 4,
            Self::Row(..) => 5,
            Self::Done(_) => 6,
            Self::Commit { .. } => 7,
            Self::Cell(..) => 8,
            Self::Partial(..) => 9,
            Self::Closed { .. } => 10,
            Self::End { .. } => 11,
            Self::Unknown => 0,
        }
    }

    /// Appends the record as a frame.
    pub(super) fn encode(&self, seed: u32, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&[0; FRAME_BYTES]);
        match self {
            Self::Dims { index, bytes } => {
                put(out, u64::from(*index));
                out.extend_from_slice(bytes);
            }
            Self::Intent(intent) => {
                out.extend_from_slice(&intent.id.to_bytes());
                put(out, intent.at_ms);
                put(out, u64::from(intent.dims));
                let Estimate { input_tokens, output_tokens, cost } = intent.estimate;
                [input_tokens, output_tokens, cost.0].into_iter().for_each(|number| put(out, number));
            }
            Self::Settle(settle) => encode_settle(settle, out),
            Self::Begin { batch, rows } => {
                put(out, u64::from(*batch));
                put(out, u64::from(*rows));
            }
            Self::Row(key, counters) | Self::Cell(key, counters) => encode_cell(key, counters, out),
            Self::Done(id) => out.extend_from_slice(&id.to_bytes()),
            Self::Commit { batch } | Self::Closed { batch } => put(out, u64::from(*batch)),
            Self::Partial(batch, key, counters) => {
                put(out, u64::from(*batch));
                encode_cell(key, counters, out);
            }
            Self::End { records } => put(out, u64::from(*records)),
            Self::Unknown => {}
        }
        seal(out.get_mut(from..).unwrap_or_default(), self.kind(), seed);
    }

    /// The record of a frame's kind and payload; `None` where its own checksum was right and its content is not.
    pub(super) fn decode(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut reader = Payload(payload);
        let record = match kind {
            1 => return Some(Self::Dims { index: reader.small()?, bytes: reader.0 }),
            2 => Self::Intent(Intent {
                id: reader.id()?,
                at_ms: reader.number()?,
                dims: reader.small()?,
                estimate: Estimate { input_tokens: reader.number()?, output_tokens: reader.number()?, cost: NanoUsd(reader.number()?) },
            }),
            3 => Self::Settle(decode_settle(&mut reader)?),
            4 => Self::Begin { batch: reader.small()?, rows: reader.small()? },
            5 => Self::Row(reader.key()?, reader.counters()?),
            6 => Self::Done(reader.id()?),
            7 => Self::Commit { batch: reader.small()? },
            8 => Self::Cell(reader.key()?, reader.counters()?),
            9 => Self::Partial(reader.small()?, reader.key()?, reader.counters()?),
            10 => Self::Closed { batch: reader.small()? },
            11 => Self::End { records: reader.small()? },
            _ => return Some(Self::Unknown),
        };
        reader.0.is_empty().then_some(record)
    }
}

fn encode_settle(settle: &Settle, out: &mut Vec<u8>) {
    let counters = &settle.counters;
    out.extend_from_slice(&settle.id.to_bytes());
    put(out, u64::from(settle.batch));
    put(out, settle.at_ms);
    put(out, u64::from(settle.dims));
    let estimated = if counters.estimated > 0 { FLAG_ESTIMATED } else { 0 };
    let recovered = if settle.recovered { FLAG_RECOVERED } else { 0 };
    out.extend_from_slice(&[settle.class.0, estimated | recovered]);
    let first_token = if counters.first_tokens > 0 { counters.first_token_us.saturating_add(1) } else { 0 };
    let numbers = [
        counters.input_tokens,
        counters.cached_tokens,
        counters.cache_write_tokens,
        counters.output_tokens,
        counters.reasoning_tokens,
        counters.cost.0,
        counters.duration_us,
        first_token,
    ];
    numbers.into_iter().for_each(|number| put(out, number));
}

fn decode_settle(reader: &mut Payload<'_>) -> Option<Settle> {
    let id = reader.id()?;
    let (batch, at_ms, dims) = (reader.small()?, reader.number()?, reader.small()?);
    let [class, flags] = reader.array()?;
    let class = Class(class);
    let estimated = flags & FLAG_ESTIMATED != 0;
    let [input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, duration_us, first_token] =
        reader.numbers()?;
    let counters = Counters {
        requests: 1,
        errors: u64::from(class.failed()),
        estimated: u64::from(estimated),
        input_tokens,
        cached_tokens,
        cache_write_tokens,
        output_tokens,
        reasoning_tokens,
        cost: NanoUsd(cost),
        cost_estimated: NanoUsd(if estimated { cost } else { 0 }),
        duration_us,
        first_token_us: first_token.saturating_sub(1),
        first_tokens: u64::from(first_token > 0),
    };
    Some(Settle { id, batch, recovered: flags & FLAG_RECOVERED != 0, at_ms, dims, class, counters })
}

fn encode_cell(key: &CellKey, counters: &Counters, out: &mut Vec<u8>) {
    put(out, u64::from(key.start));
    out.push(key.span as u8);
    put(out, u64::from(key.dims));
    out.push(key.class.0);
    counters.numbers().into_iter().for_each(|number| put(out, number));
}

/// Fills in the frame before a payload.
fn seal(frame: &mut [u8], kind: u8, seed: u32) {
    let Some((length_and_crc, told)) = frame.split_first_chunk_mut::<{ FRAME_BYTES - 1 }>() else { return };
    if let Some(first) = told.first_mut() {
        *first = kind;
    }
    // No record is longer than PAYLOAD_BYTES_MAX.
    let [a, b] = (told.len() as u16).to_le_bytes();
    let [c, d, e, f] = checksum(seed, told).to_le_bytes();
    *length_and_crc = [a, b, c, d, e, f];
}

fn checksum(seed: u32, told: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(told);
    hasher.finalize()
}

/// A frame's length where one could begin, in bytes, by its length field alone.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_le_bytes(*bytes.first_chunk()?));
    let whole = length + FRAME_BYTES - 1;
    ((1..=PAYLOAD_BYTES_MAX + 1).contains(&length) && whole <= bytes.len()).then_some(whole)
}

/// Kind and payload of a frame, where its checksum is right.
pub(super) fn open_frame(frame: &[u8], seed: u32) -> Option<(u8, &[u8])> {
    let (_, rest) = frame.split_at_checked(2)?;
    let (crc, told) = rest.split_first_chunk()?;
    if checksum(seed, told) != u32::from_le_bytes(*crc) {
        return None;
    }
    told.split_first().map(|(kind, payload)| (*kind, payload))
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    // The low seven bits of each byte.
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A payload while it is read.
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (own, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*own)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number().and_then(|number| u32::try_from(number).ok())
    }

    fn id(&mut self) -> Option<ExchangeId> {
        self.array().map(ExchangeId::from_bytes)
    }

    fn key(&mut self) -> Option<CellKey> {
        let start = self.small()?;
        let [span] = self.array()?;
        let dims = self.small()?;
        let [class] = self.array()?;
        Some(CellKey { start, span: *Span::ALL.get(usize::from(span))?, dims, class: Class(class) })
    }

    fn counters(&mut self) -> Option<Counters> {
        self.numbers().map(Counters::from_numbers)
    }

    fn numbers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests;
