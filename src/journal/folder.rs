//! The files of a journal: `journal-NUMBER.seg` is a piece of the log, `journal-NUMBER.sum` the sums of all up to it.
//!
//! A file that was damaged gets `.corrupt` behind its name. That tells people; what can be read of it still counts, under
//! either name, until sums take its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::sums::{Read, Sums};
use super::wire::{Head, Header};

const PREFIX: &str = "journal-";
const LOG: &str = "seg";
const SUMS: &str = "sum";
const CORRUPT: &str = ".corrupt";
/// What is not finished and does not count.
pub(super) const UNFINISHED: &str = "journal.tmp";
const LOCK: &str = "journal.lock";

/// No file of ours is larger: a bound for whatever lies there under our names.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How often a reader starts anew when files vanish under it, since a writer collapsed them.
const ATTEMPTS: u32 = 10;

/// A file by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Files are in order of their number; what one file adds up to may have the number of that file.
    pub(super) number: u64,
    pub(super) sums: bool,
    pub(super) corrupt: bool,
}

impl Name {
    pub(super) fn log(number: u64) -> Self {
        Self { number, sums: false, corrupt: false }
    }

    pub(super) fn sums(number: u64) -> Self {
        Self { number, sums: true, corrupt: false }
    }

    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix(PREFIX)?;
        let (name, corrupt) = name.strip_suffix(CORRUPT).map_or((name, false), |name| (name, true));
        let (number, kind) = name.split_once('.')?;
        let number = number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
        match kind {
            LOG => Some(Self { number, sums: false, corrupt }),
            SUMS => Some(Self { number, sums: true, corrupt }),
            _ => None,
        }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let kind = if self.sums { SUMS } else { LOG };
        let corrupt = if self.corrupt { CORRUPT } else { "" };
        folder.join(format!("{PREFIX}{:010}.{kind}{corrupt}", self.number))
    }
}

/// What came of one file.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) name: Name,
    pub(super) bytes: u64,
    pub(super) verdict: Verdict,
}

/// How sound a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sound,
    /// It ends in the middle of a record, as one does whose process or disk failed: the rest is to be cut off.
    Torn {
        sound: u64,
    },
    /// It was damaged: it is to be set aside.
    Damaged,
    /// It has nothing: a process ended before its first record.
    Empty,
    /// Another version wrote it: it is left alone.
    Foreign,
    /// Sums stand for it.
    Covered,
}

/// What all files say.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) sums: Sums,
    /// Every file, in order.
    pub(super) files: Vec<Report>,
}

impl Replay {
    pub(super) fn highest(&self) -> u64 {
        self.files.iter().map(|file| file.name.number).max().unwrap_or(0)
    }
}

/// Makes the folder, for this user alone.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the folder for this process, until the file is dropped or the process ends.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes the journal there (one process, one directory)"))
        }
        Err(fs::TryLockError::Error(cause)) => Err(cause),
    }
}

/// The files of the folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().to_str().and_then(Name::parse));
    }
    // Of one number, the piece of the log comes before the sums.
    names.sort();
    Ok(names)
}

/// Reads all files, or those up to a number, while a writer may be at work.
pub(super) fn replay(folder: &Path, through: Option<u64>) -> io::Result<Replay> {
    let mut attempts = ATTEMPTS;
    loop {
        match replay_once(folder, through) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && attempts > 1 && folder.is_dir() => attempts -= 1,
            other => return other,
        }
    }
}

fn replay_once(folder: &Path, through: Option<u64>) -> io::Result<Replay> {
    let names = list(folder)?.into_iter().filter(|name| through.is_none_or(|through| name.number <= through)).collect::<Vec<_>>();
    let base = names.iter().filter(|name| name.sums).map(|name| name.number).max();
    let mut replay = Replay::default();
    let mut last: Option<(u64, usize)> = None;
    for name in names {
        let counts = base.is_none_or(|base| name.number > base || (name.sums && name.number == base));
        let path = name.path(folder);
        if !counts {
            let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
            replay.files.push(Report { name, bytes, verdict: Verdict::Covered });
            continue;
        }
        let bytes = match bounded(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(message = "journal: a file cannot be read", file = %path.display(), cause = %cause);
                replay.sums.damaged = true;
                Vec::new()
            }
            read => read?,
        };
        let head = Header::read(&bytes);
        if let (Head::Ours(header), Some((incarnation, file))) = (head, last) {
            accept_torn(&mut replay, file, header.incarnation != incarnation || header.after_failure);
        }
        let verdict = match head {
            Head::Ours(header) => {
                let read = replay.sums.read(&header, &bytes);
                last = Some((header.incarnation, replay.files.len()));
                judge(&read, header.sums)
            }
            Head::Foreign(_) => Verdict::Foreign,
            // A header is written at once: where it is not whole, there is nothing behind it.
            Head::None if bytes.len() < super::wire::RECORDS_AT || bytes.iter().all(|byte| *byte == 0) => Verdict::Empty,
            Head::None => {
                replay.sums.damaged = true;
                Verdict::Damaged
            }
        };
        replay.files.push(Report { name, bytes: bytes.len() as u64, verdict });
    }
    Ok(replay)
}

fn judge(read: &Read, sums: bool) -> Verdict {
    match (read.damaged, read.torn) {
        (0, false) => Verdict::Sound,
        // Sums get their name when they are complete.
        (0, true) if !sums => Verdict::Torn { sound: read.sound },
        _ => Verdict::Damaged,
    }
}

/// A file whose writer went on to the next one as usual does not end in the middle of a record.
fn accept_torn(replay: &mut Replay, file: usize, acceptable: bool) {
    let Some(report) = replay.files.get_mut(file) else { return };
    if !acceptable && matches!(report.verdict, Verdict::Torn { .. }) {
        report.verdict = Verdict::Damaged;
        replay.sums.damaged = true;
    }
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |meta| meta.len().min(FILE_BYTES_MAX)) as usize + 1);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts right what a replay found: cuts torn ends, sets damaged files aside, removes what is empty or what sums stand for. It
/// tells how many files were set aside. What fails is tried again by the next process: none of it changes what the files add up to.
pub(super) fn tidy(folder: &Path, files: &[Report]) -> u64 {
    for Report { name, verdict, bytes } in files {
        let path = name.path(folder);
        let done = match verdict {
            _ if name.corrupt => Ok(()),
            Verdict::Torn { sound } => {
                tracing::info!(message = "journal: cut off an unfinished record", file = %path.display(), bytes = bytes - sound);
                OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(*sound))
            }
            Verdict::Empty | Verdict::Covered => fs::remove_file(&path),
            _ => Ok(()),
        };
        if let Err(cause) = done {
            tracing::warn!(message = "journal: cannot tidy up", file = %path.display(), cause = %cause);
        }
    }
    // It may not be there.
    let _unfinished = fs::remove_file(folder.join(UNFINISHED));
    set_aside(folder, files)
}

/// Gives damaged files their other name; how many there were.
pub(super) fn set_aside(folder: &Path, files: &[Report]) -> u64 {
    let damaged = files.iter().filter(|file| file.verdict == Verdict::Damaged && !file.name.corrupt);
    let renamed = damaged.map(|Report { name, .. }| {
        let path = name.path(folder);
        tracing::warn!(message = "journal: a damaged file is set aside; what can be read of it counts", file = %path.display());
        if let Err(cause) = fs::rename(&path, Name { corrupt: true, ..name.clone() }.path(folder)) {
            tracing::warn!(message = "journal: cannot set it aside", file = %path.display(), cause = %cause);
        }
    });
    renamed.count() as u64
}

/// Forces the folder's own entries to the disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
