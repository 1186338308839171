//! For the fuzzer: any bytes as a file, and any payloads behind sound checksums.

use super::scan::Scan;
use super::sums::Sums;
use super::wire::{self, Head, Header, Record};

/// Reads the bytes as a file, and then as payloads (`kind`, length, bytes) in a sound one. Nothing may panic; what one file
/// adds up to is found again when its sums are read.
pub fn read(data: &[u8]) {
    let mut sums = Sums::default();
    if let Head::Ours(header) = Header::read(data) {
        sums.read(&header, data);
    }
    // Checksums begin from a number that callers do not know; the fuzzer, which sees them compared, must not make one up either.
    let incarnation = u64::from(crc32fast::hash(data)) << 32;
    let header = Header { sums: false, after_failure: false, incarnation, number: 1, first_record: 0 };
    let mut file = Vec::new();
    header.encode(&mut file);
    let mut rest = data;
    while let [kind, length, more @ ..] = rest {
        let (payload, after) = more.split_at_checked(usize::from(*length)).unwrap_or((more, &[]));
        if let Some(record) = Record::decode(*kind, payload) {
            record.encode(header.seed(), &mut file);
        }
        rest = after;
    }
    let records = Scan::new(&file, &header).count();
    let read = sums.read(&header, &file);
    debug_assert_eq!((read.records, read.damaged, read.torn), (records as u64, 0, false));
    // Any cut is the same as nothing after it.
    let cut = usize::from(data.first().copied().unwrap_or_default()) % (file.len() + 1);
    let mut shorter = Sums::default();
    if cut >= wire::RECORDS_AT {
        let read = shorter.read(&header, file.get(..cut).unwrap_or_default());
        debug_assert_eq!(read.damaged, 0);
    }
    sums.settle_open();
    sums.fold();
    sums.collapse(1 << 20, 8);
}
