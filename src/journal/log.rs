//! The piece of the log that is being written.
//!
//! A record is one `write(2)` by the thread that has it, under a lock that is held for that call alone. Handing records to a
//! writer thread would cost two wake-ups for each, which is more than the write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::books::Entry;
use super::folder::Name;
use super::wire::{Header, Record};

/// How long a piece gets.
const SEGMENT_BYTES: u64 = 4 << 20;
/// How many numbers are passed over where a file of that name exists already.
const TAKEN_MAX: u32 = 100;

/// Where a record ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) end: u64,
}

/// A file to be forced to the disk.
pub(super) struct Unsynced {
    pub(super) file: Arc<File>,
    /// How far it was written, where it is the one that is.
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    number: u64,
    seed: u32,
    at: u64,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Log {
    /// Where; `None`: this process does not have the folder, yet.
    folder: Option<PathBuf>,
    incarnation: u64,
    /// How long a piece gets.
    pub(super) segment_bytes: u64,
    next_number: u64,
    segment: Option<Segment>,
    /// The next piece, made in advance: no request waits for a file to be made.
    spare: Option<(u64, File)>,
    /// Pieces left behind that were not forced to the disk.
    unsynced: Vec<Arc<File>>,
    /// The piece before was given up.
    after_failure: bool,
    group: Vec<u8>,
    /// Records written by this process.
    pub(super) records: u64,
    /// Bytes written by this process.
    pub(super) written: u64,
    /// Times that something failed.
    pub(super) errors: u64,
    /// Why nothing can be written now.
    pub(super) trouble: Option<String>,
    /// Whether the disk is said to be full.
    #[cfg(test)]
    forbidden: bool,
}

impl Log {
    pub(super) fn new(incarnation: u64) -> Self {
        Self {
            folder: None,
            incarnation,
            segment_bytes: SEGMENT_BYTES,
            next_number: 1,
            segment: None,
            spare: None,
            unsynced: Vec::new(),
            after_failure: false,
            group: Vec::with_capacity(4 << 10),
            records: 0,
            written: 0,
            errors: 0,
            trouble: None,
            #[cfg(test)]
            forbidden: false,
        }
    }

    /// Begins to write in a folder that is locked and read.
    pub(super) fn begin(&mut self, folder: &Path, next_number: u64) {
        self.folder = Some(folder.to_path_buf());
        self.next_number = next_number;
        self.open();
    }

    /// Whether records reach the operating system.
    pub(super) fn works(&self) -> bool {
        self.segment.is_some()
    }

    /// The number of the piece that is written, or will be: everything below it is complete.
    pub(super) fn current(&self) -> u64 {
        self.segment.as_ref().map_or(self.next_number, |segment| segment.number)
    }

    /// Writes records in one go, after what says which dimensions they mean. On failure the piece is given up, and a new one
    /// is tried once; `None`: they are not written.
    pub(super) fn append<'r>(&mut self, entries: &[&Entry], records: impl Iterator<Item = Record<'r>> + Clone) -> Option<Place> {
        let forbidden = self.forbidden();
        for _attempt in 0..2 {
            self.turn_page();
            let segment = self.segment.as_mut()?;
            self.group.clear();
            let mut count = 0;
            for entry in entries {
                if entry.defined_in.swap(segment.number, Ordering::Relaxed) != segment.number {
                    Record::Dims { index: entry.index, bytes: entry.dims.bytes() }.encode(segment.seed, &mut self.group);
                    count += 1;
                }
            }
            for record in records.clone() {
                record.encode(segment.seed, &mut self.group);
                count += 1;
            }
            match put(&segment.file, &self.group, segment.at, forbidden) {
                Ok(()) => {
                    segment.at += self.group.len() as u64;
                    self.written += self.group.len() as u64;
                    self.records += count;
                    return Some(Place { number: segment.number, end: segment.at });
                }
                Err(cause) => self.fail("cannot be written", &cause),
            }
        }
        None
    }

    /// Goes on in a new piece when the one is full.
    fn turn_page(&mut self) {
        let Some(full) = self.segment.take_if(|segment| segment.at >= self.segment_bytes) else { return };
        self.unsynced.push(full.file);
        self.open();
    }

    /// Gives the piece up. What was written is in the system's memory and can still be read; that the disk will have it is
    /// not certain any more, and asking again would only be answered by what the system believes.
    fn fail(&mut self, what: &str, cause: &io::Error) {
        self.errors += 1;
        self.segment = None;
        self.spare = None;
        self.after_failure = true;
        tracing::warn!(message = "journal: a file is given up, and a new one begun", why = what, cause = %cause);
        self.open();
    }

    /// Opens a new piece. When that fails, nothing is written until someone calls this again.
    pub(super) fn open(&mut self) {
        match self.try_open() {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::warn!(message = "journal: it can be written again");
                }
            }
            Err(cause) => self.stop(&format!("no file can be begun: {cause}")),
        }
    }

    /// Writes nothing from now on.
    pub(super) fn stop(&mut self, why: &str) {
        self.segment = None;
        if self.trouble.is_none() {
            tracing::error!(
                message = "journal: usage is counted in memory only, and lost if this process ends before it can be written",
                why
            );
        }
        self.trouble = Some(why.to_owned());
    }

    fn try_open(&mut self) -> io::Result<()> {
        let (number, file) = match self.spare.take() {
            Some(spare) => spare,
            None => self.create()?,
        };
        let header =
            Header { sums: false, after_failure: self.after_failure, incarnation: self.incarnation, number, first_record: self.records };
        self.group.clear();
        header.encode(&mut self.group);
        if let Err(cause) = put(&file, &self.group, 0, self.forbidden()) {
            // Nothing of worth is lost with it.
            let _empty = self.folder.as_ref().map(|folder| std::fs::remove_file(Name::log(number).path(folder)));
            return Err(cause);
        }
        self.after_failure = false;
        self.written += self.group.len() as u64;
        self.segment = Some(Segment { file: Arc::new(file), number, seed: header.seed(), at: self.group.len() as u64 });
        Ok(())
    }

    fn create(&mut self) -> io::Result<(u64, File)> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut taken = 0;
        loop {
            let number = self.next_number;
            self.next_number += 1;
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(Name::log(number).path(folder));
            match made {
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && taken < TAKEN_MAX => taken += 1,
                made => return made.map(|file| (number, file)),
            }
        }
    }

    /// Makes the next piece in advance, when the one is half full.
    pub(super) fn prepare(&mut self) {
        let wanted = self.segment.as_ref().is_some_and(|segment| segment.at > self.segment_bytes / 2);
        if wanted && self.spare.is_none() {
            // It is tried again when it is needed, and then told.
            self.spare = self.create().ok();
        }
    }

    /// What is to be forced to the disk: the pieces left behind, and last the one that is written.
    pub(super) fn unsynced(&mut self) -> Vec<Unsynced> {
        let left = std::mem::take(&mut self.unsynced).into_iter().map(|file| Unsynced { file, place: None });
        let current = self
            .segment
            .as_ref()
            .map(|segment| Unsynced { file: Arc::clone(&segment.file), place: Some(Place { number: segment.number, end: segment.at }) });
        left.chain(current).collect()
    }

    /// Forcing a piece to the disk failed. Where it is the one that is written, it is given up.
    pub(super) fn sync_failed(&mut self, place: Option<Place>, cause: &io::Error) {
        match place {
            Some(place) if self.segment.as_ref().is_some_and(|segment| segment.number == place.number) => {
                self.fail("cannot be forced to the disk", cause);
            }
            _ => self.errors += 1,
        }
    }
}

/// Writes all of it, or fails somewhere on the way.
fn put(file: &File, bytes: &[u8], at: u64, forbidden: bool) -> io::Result<()> {
    if forbidden {
        file.write_all_at(bytes.get(..bytes.len() / 2).unwrap_or_default(), at)?;
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(bytes, at)
}

#[cfg(not(test))]
impl Log {
    fn forbidden(&self) -> bool {
        false
    }
}

#[cfg(test)]
impl Log {
    fn forbidden(&self) -> bool {
        self.forbidden
    }

    /// As with a disk that is full: nothing can be written.
    pub(super) fn forbid(&mut self) {
        self.forbidden = true;
    }

    /// It can be written again.
    pub(super) fn allow(&mut self) {
        self.forbidden = false;
    }
}
