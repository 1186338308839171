//! A disk that is full, a folder that is taken, too many of everything.

use super::*;

#[test]
fn what_a_full_disk_kept_in_memory_is_written_when_there_is_room() {
    let folder = Folder::new();
    let deny = State { on_full: OnFull::Deny, ..settings(&folder.0) };
    let chance = RootRng::seeded(1);
    let journal = Journal::still(&deny, at(0), &chance);
    assert!(journal.admits());
    journal.intent(id(1), at(0), &dims("t"), &estimate(100));
    locked(&journal.shared.log).forbid();
    assert_eq!(journal.settle(id(1), at(0), &dims("t"), &charge(60)), Kept::Memory);
    assert!(!journal.admits(), "a caller may refuse");
    let health = journal.health();
    assert!(health.trouble.is_some() && health.write_errors > 0 && health.pending == 1, "{health:?}");
    assert_eq!(journal.settle(id(2), at(1), &dims("t"), &charge(5)), Kept::Memory);
    assert_eq!((totals(&folder.0), report(&folder.0).open), ((0, 0, 0), 1));
    locked(&journal.shared.log).allow();
    journal.tick(at(10));
    assert!(!journal.admits(), "it is not tried at once");
    journal.tick(at(13));
    assert!(journal.admits());
    let health = journal.health();
    assert_eq!((health.trouble, health.pending), (None, 0));
    assert_eq!((totals(&folder.0), report(&folder.0).open), ((2, 65, 0), 0));
    drop(journal);
    assert_eq!(recovered_totals(&open(&folder.0, at(20)).recovered().unwrap()), (2, 65, 0), "killed, nothing counts twice");
}

#[test]
fn a_second_process_counts_in_memory_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = open(&folder.0, at(0));
    first.settle(id(1), at(0), &dims("t"), &charge(60));
    let second = open_taken(&folder.0, at(0), 4 << 20);
    assert_eq!(second.user("alice"), first.user("alice"), "users have one hash all the same");
    assert!(second.recovered().is_none(), "the first is not over");
    assert_eq!(second.settle(id(2), at(0), &dims("t"), &charge(5)), Kept::Memory);
    let trouble = second.health().trouble.unwrap();
    assert!(trouble.contains("another process writes the journal there"), "{trouble}");
    assert_eq!(first.settle(id(3), at(0), &dims("t"), &charge(7)), Kept::Written);
    first.close(at(1));
    drop(first);
    second.tick(at(5));
    assert_eq!(recovered_totals(&second.recovered().unwrap()), (2, 67, 0));
    assert_eq!(second.health().trouble, None);
    assert_eq!(totals(&folder.0), (3, 72, 0));
}

#[test]
fn a_file_in_place_of_the_folder_is_told_and_tried_again() {
    let folder = Folder::new();
    let path = folder.0.join("state");
    std::fs::write(&path, "a file").unwrap();
    let journal = open(&path, at(0));
    assert_eq!(journal.settle(id(1), at(0), &dims("t"), &charge(60)), Kept::Memory);
    assert!(journal.health().trouble.unwrap().starts_with(path.to_str().unwrap()));
    assert!(journal.admits());
    std::fs::remove_file(&path).unwrap();
    journal.tick(at(1));
    assert!(!path.exists(), "it is not tried at once");
    journal.tick(at(3));
    assert_eq!(totals(&path), (1, 60, 0));
    assert_eq!(journal.settle(id(2), at(0), &dims("t"), &charge(1)), Kept::Written);
}

#[test]
fn without_a_folder_nothing_is_kept_and_nothing_refused() {
    let settings = State { on_full: OnFull::Deny, ..State::default() };
    let journal = Journal::still(&settings, at(0), &RootRng::seeded(1));
    assert_eq!(journal.intent(id(1), at(0), &dims("t"), &estimate(1)), Kept::Memory);
    assert_eq!(journal.settle(id(1), at(0), &dims("t"), &charge(1)), Kept::Memory);
    journal.close(at(1));
    assert!(journal.admits() && journal.recovered().is_none() && !journal.health().configured);
}

#[test]
fn a_holder_that_hangs_stops_nobody_else() {
    let folder = Folder::new();
    let journal = open(&folder.0, at(0));
    journal.intent(id(1), at(0), &dims("t"), &estimate(100));
    let before = journal.health();
    let hanging = locked(&journal.shared.log);
    let working = locked(&journal.shared.upkeep);
    let seen = journal.health();
    assert_eq!((seen.bytes, seen.records, seen.trouble), (before.bytes, before.records, None), "whoever looks is told what was seen last");
    assert!(seen.bytes > 0 && seen.records > 0);
    drop(working);
    assert_eq!(journal.settle(id(1), at(0), &dims("t"), &charge(60)), Kept::Memory);
    assert_eq!(journal.health().trouble.as_deref(), Some("the disk does not answer"));
    drop(hanging);
    assert_eq!(journal.settle(id(2), at(0), &dims("t"), &charge(1)), Kept::Written);
    assert_eq!(journal.health().stalls, 1);
    journal.tick(at(60));
    assert_eq!((totals(&folder.0), report(&folder.0).open), ((2, 61, 0), 0));
}

#[test]
fn sums_grow_coarse_before_they_grow_large() {
    let (minute, day) = (sums::minute_of(millis(at(0))), 24 * 60);
    let mut all = sums::Sums::default();
    let mut total = 0;
    for age in 0..200 {
        for user in 0..20 {
            let index = all.intern(DimsBuf::new(&Dims { user: Some(UserHash(user + 1)), ..dims("t") }));
            for hour in [0, 7, 23] {
                total += 1;
                let start = minute - age * day + hour * 60 - 23 * 60;
                let key = wire::CellKey { start, span: wire::Span::Minute, dims: index, class: Class(1) };
                all.cells.entry(key).or_default().add(&Counters { requests: 1, cost: NanoUsd(1), ..Counters::default() });
            }
        }
    }
    for most in [100_000, 8000, 5000, 2000, 500, 10] {
        all.collapse(minute, most);
        let counters = all.cells.values().fold((0, 0), |sum, cell| (sum.0 + cell.requests, sum.1 + cell.cost.0));
        assert_eq!(counters, (total, total), "money is never dropped");
        assert!(all.cells.len() <= most.max(201), "{} of {most}", all.cells.len());
        let today = all.cells.keys().filter(|key| key.start >= minute - 60 * 24 && key.span < wire::Span::Day).count();
        assert!(most < 500 || today >= 20, "{most}: users of today are told apart by the hour: {today}");
    }
}
