//! A small journal, cut at any byte and with any byte flipped.

use std::collections::HashMap;

use super::*;

/// What was true after a step: the files' lengths, exchanges settled, what is open.
struct Moment {
    lengths: HashMap<String, u64>,
    settled: (u64, u64),
    open: HashMap<u64, u64>,
}

impl Moment {
    fn now(folder: &Folder, settled: (u64, u64), open: &HashMap<u64, u64>) -> Self {
        let lengths = folder.files().into_iter().map(|name| (name.clone(), length(folder, &name))).collect();
        Self { lengths, settled, open: open.clone() }
    }

    /// What a process that starts then must find.
    fn recovered(&self) -> (u64, u64, u64) {
        let estimates: u64 = self.open.values().sum();
        (self.settled.0 + self.open.len() as u64, self.settled.1 + estimates, estimates)
    }
}

fn length(folder: &Folder, name: &str) -> u64 {
    std::fs::metadata(folder.0.join(name)).unwrap().len()
}

/// A journal of some minutes, killed at the end; and every moment of it.
fn story(folder: &Folder, segment_bytes: u64) -> Vec<Moment> {
    let journal = open_small(&folder.0, at(0), segment_bytes);
    let mut moments = Vec::new();
    let (mut settled, mut open) = ((0, 0), HashMap::new());
    for number in 1..=30 {
        let seconds = number * 8;
        let tag = format!("tag-{}", number % 4);
        journal.intent(id(number), at(seconds), &dims(&tag), &estimate(number * 100));
        open.insert(number, number * 100);
        moments.push(Moment::now(folder, settled, &open));
        // Some last, and some never end.
        let ending = if number % 5 == 0 { None } else { number.checked_sub(3) };
        if let Some(ending) = ending.filter(|ending| open.contains_key(ending)) {
            journal.settle(id(ending), at(ending * 8), &dims(&format!("tag-{}", ending % 4)), &charge(ending * 60));
            open.remove(&ending);
            settled = (settled.0 + 1, settled.1 + ending * 60);
            moments.push(Moment::now(folder, settled, &open));
        }
        if number % 7 == 0 {
            journal.tick(at(seconds + 1));
            moments.push(Moment::now(folder, settled, &open));
        }
    }
    moments
}

fn log_files(folder: &Folder) -> Vec<String> {
    folder.files().into_iter().filter(|name| name.contains(".seg") || name.contains(".sum")).collect()
}

#[test]
fn cut_at_any_byte_what_was_written_before_is_there_and_nothing_twice() {
    let folder = Folder::new();
    let moments = story(&folder, 1 << 20);
    let file = log_files(&folder).pop().unwrap();
    assert_eq!(log_files(&folder).len(), 1);
    for cut in 0..=length(&folder, &file) {
        let copy = folder.copy();
        std::fs::OpenOptions::new().write(true).open(copy.0.join(&file)).unwrap().set_len(cut).unwrap();
        let before = moments.iter().rfind(|moment| moment.lengths.get(&file).is_some_and(|length| *length <= cut));
        let expected = before.map_or((0, 0, 0), Moment::recovered);
        let journal = open(&copy.0, at(1000));
        assert_eq!(recovered_totals(&journal.recovered().unwrap()), expected, "cut at {cut}");
        assert_eq!(journal.health().corrupt_files, 0);
        drop(journal);
        assert_eq!(totals(&copy.0), expected, "cut at {cut}, read again");
    }
}

#[test]
fn cut_at_any_byte_while_it_recovers_nothing_counts_twice() {
    let folder = Folder::new();
    let expected = story(&folder, 1 << 20).last().unwrap().recovered();
    let whole = folder.copy();
    let recovering = open(&whole.0, at(1000));
    recovering.close(at(1000));
    drop(recovering);
    let file = log_files(&whole).pop().unwrap();
    for cut in 0..=length(&whole, &file) {
        let copy = whole.copy();
        std::fs::OpenOptions::new().write(true).open(copy.0.join(&file)).unwrap().set_len(cut).unwrap();
        // Killed again on the way, and a third time.
        for attempt in 0..3 {
            let recovered = open(&copy.0, at(2000)).recovered().unwrap();
            assert_eq!(recovered_totals(&recovered), expected, "cut at {cut}, attempt {attempt}");
        }
    }
}

#[test]
fn any_byte_flipped_costs_at_most_its_record() {
    let folder = Folder::new();
    let last = story(&folder, 700).pop().unwrap();
    // Sums of some of it, and the log of the rest.
    rewrite::collapse(&folder.0, 2, sums::minute_of(millis(at(1000))), 1000).unwrap();
    let truth = last.recovered();
    assert_eq!(recovered_totals(&open(&folder.copy().0, at(1000)).recovered().unwrap()), truth);
    let files = log_files(&folder);
    assert!(files.len() > 3, "{files:?}");
    let (mut set_aside, mut flips, mut short, mut over) = (0, 0, 0, 0);
    for file in &files {
        for offset in 0..length(&folder, file) {
            for (mask, recovers) in [(0x01, false), (0x80, false), (0xff, true)] {
                let copy = folder.copy();
                let path = copy.0.join(file);
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[offset as usize] ^= mask;
                std::fs::write(&path, bytes).unwrap();
                let place = format!("{file} at {offset} by {mask:#x}");
                flips += 1;
                if !recovers {
                    let read = totals(&copy.0);
                    assert!(read.0 <= last.settled.0 && read.1 <= last.settled.1, "{place}: {read:?}, true is {:?}", last.settled);
                    continue;
                }
                let journal = open(&copy.0, at(1000));
                let found = recovered_totals(&journal.recovered().unwrap());
                // One settle was lost, and its estimate counts instead, or beside its minute's counters; or one intent was lost;
                // or one of the sums, of at most five exchanges.
                assert!(found.0 <= truth.0 + 1, "{place}: {found:?}, true is {truth:?}");
                assert!(found.1 <= truth.1 + 3000, "{place}: {found:?}, true is {truth:?}");
                assert!(found.0 + 5 >= truth.0, "{place}: {found:?}, true is {truth:?}");
                set_aside += journal.health().corrupt_files;
                short += u64::from(found.0 < truth.0);
                over += u64::from(found.0 > truth.0);
                assert_eq!(journal.intent(id(99), at(1000), &dims("t"), &estimate(1)), Kept::Written);
                journal.settle(id(99), at(1000), &dims("t"), &charge(1));
                drop(journal);
                // No crash loop: the next one finds the same.
                let journal = open(&copy.0, at(1000));
                let again = recovered_totals(&journal.recovered().unwrap());
                assert_eq!((again.0, again.1, again.2), (found.0 + 1, found.1 + 1, found.2), "{place}, again");
                assert_eq!(journal.health().corrupt_files, 0, "{place}: set aside once");
            }
        }
    }
    let found = format!("{flips} flips: {set_aside} files set aside, {short} times some exchange lost, {over} times one counted twice");
    assert!(flips > 4000 && set_aside > flips / 5 && short < flips / 5 && over < flips / 5, "{found}");
}

#[test]
fn what_is_no_journal_is_set_aside_and_does_not_stop_it() {
    let folder = Folder::new();
    let last = story(&folder, 700).pop().unwrap();
    let names = ["journal-0000000002.seg", "journal-0000000900.seg", "journal-0000000901.sum.corrupt", "journal-x.seg", "other"];
    let truth = last.recovered();
    std::fs::write(folder.0.join(names[1]), vec![b'x'; 5000]).unwrap();
    std::fs::write(folder.0.join(names[3]), "not ours").unwrap();
    std::fs::write(folder.0.join(names[4]), "not ours").unwrap();
    let journal = open(&folder.0, at(1000));
    assert_eq!(recovered_totals(&journal.recovered().unwrap()), truth);
    assert_eq!(journal.health().corrupt_files, 1);
    drop(journal);
    // A piece in the middle is lost altogether.
    std::fs::write(folder.0.join(names[0]), vec![b'y'; 700]).unwrap();
    let journal = open(&folder.0, at(1000));
    assert_eq!(journal.health().corrupt_files, 1);
    assert!(recovered_totals(&journal.recovered().unwrap()).1 <= truth.1 + last.settled.1);
    assert_eq!(journal.settle(id(99), at(1000), &dims("t"), &charge(1)), Kept::Written);
    let files = folder.files();
    for name in ["journal-0000000002.seg.corrupt", "journal-0000000900.seg.corrupt", "journal-x.seg", "other"] {
        assert!(files.iter().any(|file| file == name), "{name} in {files:?}");
    }
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let folder = Folder::new();
    let truth = story(&folder, 700).pop().unwrap().recovered();
    let mut header = Vec::new();
    wire::Header { sums: false, after_failure: false, incarnation: 1, number: 50, first_record: 0 }.encode(&mut header);
    header.truncate(40);
    header[8] = 9;
    let crc = crc32fast::hash(&header[..36]).to_le_bytes();
    header[36..].copy_from_slice(&crc);
    header.extend_from_slice(&[7; 200]);
    let path = folder.0.join("journal-0000000050.seg");
    std::fs::write(&path, &header).unwrap();
    let journal = open(&folder.0, at(1000));
    assert_eq!(recovered_totals(&journal.recovered().unwrap()), truth);
    assert_eq!(journal.settle(id(99), at(1000), &dims("t"), &charge(1)), Kept::Written);
    assert!(rewrite::collapse(&folder.0, 50, 0, 10).is_err());
    assert_eq!(std::fs::read(path).unwrap(), header);
    assert_eq!(totals(&folder.0).0, truth.0 + 1);
}
