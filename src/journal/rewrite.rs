//! Files of sums: they take the place of all files up to their number, at once or not at all.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::folder::{self, Name, Replay, Verdict};
use super::sums::{OTHER, Sums};
use super::wire::{Header, Record};

/// Open exchanges in one file of sums. More than ever run at a time were forgotten, and are settled at their estimate.
const OPEN_MAX: usize = 200_000;
/// Damaged files that are kept for people to look at.
const CORRUPT_MAX: usize = 4;

/// Adds up all files up to `through` into one, and removes them. `now` is in minutes since the Unix epoch, `most` the number
/// of sums. Whatever fails, the old files count. It tells how many were damaged and set aside.
pub(super) fn collapse(folder: &Path, through: u64, now: u32, most: usize) -> io::Result<u64> {
    let Replay { mut sums, files } = folder::replay(folder, Some(through))?;
    if files.iter().any(|file| file.verdict == Verdict::Foreign) {
        // Of files that cannot be read no sums can be made.
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a file of another version lies there"));
    }
    sums.forget_open(OPEN_MAX);
    sums.collapse(now, most);
    write(folder, through, &sums)?;
    let mut corrupt: Vec<_> = files.iter().filter(|file| file.name.corrupt).collect();
    corrupt.truncate(corrupt.len().saturating_sub(CORRUPT_MAX));
    let gone = files.iter().filter(|file| !file.name.corrupt && file.verdict != Verdict::Damaged).chain(corrupt);
    for file in gone.filter(|file| file.name != Name::sums(through)) {
        fs::remove_file(file.name.path(folder))?;
    }
    Ok(folder::set_aside(folder, &files))
}

fn write(folder: &Path, through: u64, sums: &Sums) -> io::Result<()> {
    let unfinished = folder.join(folder::UNFINISHED);
    let written = write_to(&unfinished, through, sums).and_then(|()| {
        fs::rename(&unfinished, Name::sums(through).path(folder))?;
        // The name must be on the disk before the files that it stands for are gone.
        folder::sync(folder)
    });
    if written.is_err() {
        // Room, where there is none.
        let _unfinished = fs::remove_file(&unfinished);
    }
    written
}

fn write_to(path: &Path, through: u64, sums: &Sums) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let header = Header { sums: true, after_failure: false, incarnation: sums.incarnation, number: through, first_record: 0 };
    let mut out = Out { file: BufWriter::with_capacity(64 << 10, file), seed: header.seed(), frame: Vec::new(), records: 0 };
    header.encode(&mut out.frame);
    out.file.write_all(&out.frame)?;
    out.all(sums)?;
    out.file.into_inner().map_err(|error| error.into_error())?.sync_all()
}

struct Out<W: Write> {
    file: BufWriter<W>,
    seed: u32,
    frame: Vec<u8>,
    records: u32,
}

impl<W: Write> Out<W> {
    fn all(&mut self, sums: &Sums) -> io::Result<()> {
        let pending = sums.pending.as_ref();
        let rows = pending.iter().flat_map(|pending| &pending.rows);
        let keys = sums.cells.keys().chain(sums.partial.keys().map(|(_, key)| key)).chain(rows.map(|(key, _)| key));
        let used: BTreeSet<u32> = keys.map(|key| key.dims).chain(sums.open.values().map(|intent| intent.dims)).chain([OTHER]).collect();
        for index in used {
            if let Some(dims) = sums.dims.get(index as usize) {
                self.record(&Record::Dims { index, bytes: dims.bytes() })?;
            }
        }
        for (key, counters) in &sums.cells {
            self.record(&Record::Cell(*key, *counters))?;
        }
        self.record(&Record::Closed { batch: sums.closed })?;
        for ((batch, key), counters) in &sums.partial {
            self.record(&Record::Partial(*batch, *key, *counters))?;
        }
        for intent in sums.open.values() {
            self.record(&Record::Intent(*intent))?;
        }
        if let Some(pending) = pending {
            self.record(&Record::Begin { batch: pending.batch, rows: pending.expected })?;
            for (key, counters) in &pending.rows {
                self.record(&Record::Row(*key, *counters))?;
            }
            for id in &pending.done {
                self.record(&Record::Done(*id))?;
            }
        }
        self.record(&Record::End { records: self.records })
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.frame.clear();
        record.encode(self.seed, &mut self.frame);
        self.records = self.records.saturating_add(1);
        self.file.write_all(&self.frame)
    }
}
