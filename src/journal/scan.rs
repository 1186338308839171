//! The records of a file's bytes, whatever was done to them: a damaged stretch is passed over, up to the next sound record.

use super::wire::{self, Header, Record};

/// How many bytes may be hashed in search of the next sound record of one file: a bound against crafted files.
const SEARCH_BYTES_MAX: usize = 64 << 20;

/// Reads records one after the other.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    seed: u32,
    at: usize,
    searched: usize,
    /// Stretches that were passed over, or frames whose content made no sense.
    pub(super) damaged: u32,
    /// Where the last sound record ended.
    pub(super) sound: usize,
}

impl<'a> Scan<'a> {
    /// Begins behind the header of a file's bytes.
    pub(super) fn new(bytes: &'a [u8], header: &Header) -> Self {
        let at = wire::RECORDS_AT.min(bytes.len());
        Self { bytes, seed: header.seed(), at, searched: 0, damaged: 0, sound: at }
    }

    /// Whether bytes are left behind the last sound record.
    pub(super) fn torn(&self) -> bool {
        self.sound < self.bytes.len()
    }

    fn frame(&self, at: usize) -> Option<(usize, u8, &'a [u8])> {
        let rest = self.bytes.get(at..)?;
        let length = wire::frame_length(rest)?;
        let (kind, payload) = wire::open_frame(rest.get(..length)?, self.seed)?;
        Some((at + length, kind, payload))
    }

    /// The first sound frame behind the damage at `self.at`.
    fn search(&mut self) -> Option<(usize, u8, &'a [u8])> {
        for at in self.at + 1..self.bytes.len() {
            let Some(length) = self.bytes.get(at..).and_then(wire::frame_length) else { continue };
            self.searched += length;
            if self.searched > SEARCH_BYTES_MAX {
                return None;
            }
            if let Some(found) = self.frame(at) {
                return Some(found);
            }
        }
        None
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            let (end, kind, payload) = match self.frame(self.at) {
                Some(found) => found,
                None => {
                    let found = self.search();
                    // Without one the rest is a torn tail.
                    self.damaged += u32::from(found.is_some());
                    if found.is_none() {
                        self.at = self.bytes.len();
                    }
                    found?
                }
            };
            (self.at, self.sound) = (end, end);
            match Record::decode(kind, payload) {
                Some(record) => return Some(record),
                None => self.damaged += 1,
            }
        }
    }
}
