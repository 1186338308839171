//! The journal in one process, on a still clock. A journal that is dropped without being closed is a process that was
//! killed: nothing is written, and the lock is free.

mod cuts;
mod faults;
mod model;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::usage::{self, Column, Report};
use super::*;
use crate::base::money::NanoUsd;

/// A folder of its own, in memory where possible, and gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let root = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let name = format!("outrider-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = root.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The same files elsewhere.
    fn copy(&self) -> Self {
        let copy = Self::new();
        for name in self.files() {
            std::fs::copy(self.0.join(&name), copy.0.join(&name)).unwrap();
        }
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(folder: &Path) -> State {
    State { dir: Some(folder.to_path_buf()), ..State::default() }
}

/// A moment, in seconds after one noon.
fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000 / 86_400 * 86_400 + 43_200 + seconds)
}

fn open(folder: &Path, now: SystemTime) -> Journal {
    open_small(folder, now, 4 << 20)
}

/// With pieces of the log that are small. Nobody else is at work in the folder, but the child that another test starts has the
/// lock of a journal that was just closed, until it is a program of its own.
fn open_small(folder: &Path, now: SystemTime, segment_bytes: u64) -> Journal {
    loop {
        let journal = open_taken(folder, now, segment_bytes);
        if !journal.health().trouble.is_some_and(|trouble| trouble.contains("another process")) {
            return journal;
        }
        std::thread::yield_now();
    }
}

/// The same where another may be at work.
fn open_taken(folder: &Path, now: SystemTime, segment_bytes: u64) -> Journal {
    let chance = RootRng::from_system();
    let mut log = Log::new(chance.fork().next_u64());
    log.segment_bytes = segment_bytes;
    Journal::of(&settings(folder), now, &chance, log)
}

fn id(number: u64) -> ExchangeId {
    ExchangeId::from_bytes(u128::from(number).to_be_bytes())
}

fn dims(tag: &str) -> Dims<'_> {
    Dims { team: "search", app: "ranker", alias: "fast", provider: "openai", model: "gpt", tag, ..Dims::default() }
}

fn estimate(cost: u64) -> Estimate {
    Estimate { input_tokens: 10, output_tokens: 20, cost: NanoUsd(cost) }
}

fn charge(cost: u64) -> Charge {
    Charge {
        status: StatusClass::Success,
        input_tokens: 9,
        output_tokens: 7,
        cost: NanoUsd(cost),
        duration: Duration::from_millis(3),
        ..Charge::default()
    }
}

fn report(folder: &Path) -> Report {
    usage::read(folder, &[], UNIX_EPOCH).unwrap()
}

/// Requests, cost, and what of it is estimated.
fn totals(folder: &Path) -> (u64, u64, u64) {
    sums(&report(folder))
}

fn sums(report: &Report) -> (u64, u64, u64) {
    assert!(report.rows.len() <= 1);
    report.rows.first().map_or((0, 0, 0), |row| (row.counters.requests, row.counters.cost.0, row.counters.cost_estimated.0))
}

fn recovered_totals(recovered: &Recovered) -> (u64, u64, u64) {
    recovered.since(UNIX_EPOCH).fold((0, 0, 0), |(requests, cost, estimated), spent| {
        let counters = spent.counters;
        (requests + counters.requests, cost + counters.cost.0, estimated + counters.cost_estimated.0)
    })
}

#[test]
fn an_exchange_counts_once_it_is_settled_and_at_its_estimate_when_it_never_was() {
    let folder = Folder::new();
    let journal = open(&folder.0, at(0));
    assert_eq!(recovered_totals(&journal.recovered().unwrap()), (0, 0, 0));
    assert_eq!(journal.intent(id(1), at(1), &dims("a"), &estimate(100)), Kept::Written);
    assert_eq!(journal.intent(id(2), at(1), &dims("b"), &estimate(1000)), Kept::Written);
    assert_eq!((totals(&folder.0), report(&folder.0).open), ((0, 0, 0), 2));
    assert_eq!(journal.settle(id(1), at(1), &dims("a"), &charge(60)), Kept::Written);
    // It outran what was reserved.
    assert_eq!(journal.intent(id(2), at(1), &dims("b"), &estimate(3000)), Kept::Written);
    assert_eq!(totals(&folder.0), (1, 60, 0));
    assert_eq!(journal.spent_lately(at(2)).today, NanoUsd(60));
    let settings = State { dir: Some(folder.0.clone()), ..State::default() };
    let glance = Journal::glance(&settings, at(2), &RootRng::seeded(1));
    assert_eq!(recovered_totals(&glance.recovered().unwrap()), (2, 3060, 3000), "what is under way counts at its estimate");
    assert_eq!(glance.user("alice"), journal.user("alice"));
    drop(glance);
    assert_eq!(totals(&folder.0), (1, 60, 0), "whoever only looks settles nothing");
    for (name, told) in [("journal.lock", true), ("not-there", false)] {
        let settings = State { dir: Some(folder.0.join(name)), ..State::default() };
        let trouble = Journal::glance(&settings, at(2), &RootRng::seeded(1)).health().trouble;
        assert_eq!(trouble.is_some_and(|trouble| trouble.contains(name)), told, "{name}");
    }
    drop(journal);

    let journal = open(&folder.0, at(100));
    let recovered = journal.recovered().unwrap();
    assert_eq!(journal.spent_lately(at(100)).this_month, NanoUsd(3060));
    assert_eq!(journal.spent_lately(at(40 * 86_400)), SpentLately::default());
    assert!(journal.recovered().is_none(), "it is told once");
    assert_eq!((recovered_totals(&recovered), recovered.settled_by_estimate()), ((2, 3060, 3000), (1, NanoUsd(3000))));
    assert_eq!(totals(&folder.0), (2, 3060, 3000));
    let lost = recovered.since(at(0)).find(|spent| spent.status == StatusClass::Lost).unwrap();
    assert_eq!((lost.dims, lost.start, lost.span), (dims("b"), at(0), Duration::from_secs(60)), "it counts to when it was admitted");
    assert_eq!(recovered.since(at(59)).count(), 2, "a minute that began before counts whole");
    assert_eq!(recovered.since(at(60)).count(), 0);
    journal.close(at(101));
    drop(journal);
    assert_eq!(totals(&folder.0), (2, 3060, 3000));
}

#[test]
fn counters_are_told_by_every_column() {
    let folder = Folder::new();
    let journal = open(&folder.0, at(0));
    let user = journal.user("alice@example.com");
    let all = Dims { user: Some(user), key: "k1", price_revision: 7, ..dims("batch") };
    let all_of_it = Charge {
        status: StatusClass::Gone,
        cache: CacheKind::Semantic,
        estimated: true,
        cached_tokens: 3,
        cache_write_tokens: 2,
        reasoning_tokens: 1,
        first_token: Some(Duration::from_millis(2)),
        ..charge(500)
    };
    journal.settle(id(1), at(0), &all, &all_of_it);
    // From its settle, from its minute's rows, and from sums.
    for stage in ["settle", "rows", "sums"] {
        let report = usage::read(&folder.0, &Column::ALL, UNIX_EPOCH).unwrap();
        let names = ["search", "ranker", &user.to_string(), "k1", "fast", "openai", "gpt", "gone", "semantic", "batch", "0000000000000007"];
        assert_eq!(report.rows[0].names[..11], names, "{stage}");
        assert_eq!(report.rows[0].names[11..], ["2026-09-21T12", "2026-09-21", "2026-09"]);
        assert_eq!(report.rows[0].counters, Counters::of(&all_of_it), "{stage}");
        match stage {
            "settle" => journal.tick(at(60)),
            "rows" => drop(rewrite::collapse(&folder.0, 1, sums::minute_of(millis(at(60))), 1000).unwrap()),
            _ => {}
        }
    }
    for file in folder.files() {
        let bytes = std::fs::read(folder.0.join(&file)).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"alice"), "a user's name in {file}");
    }
    drop(journal);
    assert_eq!(open(&folder.0, at(100)).user("alice@example.com"), user, "a user keeps the hash");
    assert_ne!(open(&Folder::new().0, at(100)).user("alice@example.com"), user, "and it differs elsewhere");
}

#[test]
fn old_detail_becomes_sums_and_the_files_stay_small() {
    let folder = Folder::new();
    let mut journal = open_small(&folder.0, at(0), 4 << 10);
    let (mut number, mut largest) = (0, 0);
    for minute in 0..600 {
        for _ in 0..10 {
            number += 1;
            journal.intent(id(number), at(minute * 60), &dims("t"), &estimate(9));
            journal.settle(id(number), at(minute * 60), &dims("t"), &charge(number));
        }
        journal.tick(at(minute * 60 + 60));
        if minute % 97 == 0 {
            drop(journal);
            journal = open_small(&folder.0, at(minute * 60 + 60), 4 << 10);
        }
        let bytes: u64 = folder.files().iter().map(|name| std::fs::metadata(folder.0.join(name)).unwrap().len()).sum();
        largest = largest.max(bytes);
        assert_eq!(totals(&folder.0), (number, number * (number + 1) / 2, 0), "minute {minute}");
    }
    assert!(largest < 120 << 10, "{largest}");
    assert!(folder.files().len() < 20, "{:?}", folder.files());
    let recovered = recovered_totals(&open_again(journal, &folder, 36_000).recovered().unwrap());
    assert_eq!(recovered, (number, number * (number + 1) / 2, 0));
}

fn open_again(journal: Journal, folder: &Folder, seconds: u64) -> Journal {
    drop(journal);
    open(&folder.0, at(seconds))
}

#[test]
fn a_clock_that_jumps_changes_labels_and_no_sum() {
    let folder = Folder::new();
    let mut journal = open_small(&folder.0, at(0), 2 << 10);
    let mut number = 0;
    for seconds in [0, 61, 5_000_000_000, 120, 30, 90_000, 59, 100_000_000_000, 10, 80] {
        for _ in 0..7 {
            number += 1;
            journal.settle(id(number), at(seconds), &dims("t"), &charge(1));
        }
        journal.tick(at(seconds));
        journal.tick(at(seconds + 60));
        assert_eq!(totals(&folder.0), (number, number, 0));
    }
    journal.settle(id(1000), UNIX_EPOCH - Duration::from_secs(5), &dims("t"), &charge(1));
    journal = open_again(journal, &folder, 200);
    assert_eq!(totals(&folder.0), (number + 1, number + 1, 0));
    assert_eq!(usage::read(&folder.0, &[Column::Month], at(0)).unwrap().rows.len(), 3);
    journal.close(at(300));
}
