//! Flipped bytes, torn ends and junk in the journal's files between runs: never a crash, never a wrong number; what is in doubt counts
//! by its estimate, which may stand beside what its minute counted.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use outrider::base::rng::{Rng, RootRng};

use crate::books::{Books, Folder};
use crate::chance::{scaled, seed};
use crate::house::House;
use crate::load::Load;
use crate::truth::{Temper, Truth, cost};

const CLIENTS: usize = 4;
const REQUESTS: u64 = 40;
/// How many exchanges a flipped bit, or a little junk, may cost.
const GONE_MAX: u64 = 3;
/// At least as long as a file's head.
const HEAD_BYTES: usize = 128;

/// Does something to one of the files; tells what, and how many exchanges that may cost.
fn harm(files: &[PathBuf], dice: &mut Rng) -> (String, u64) {
    let file = &files[dice.below(files.len() as u64) as usize];
    let mut bytes = fs::read(file).unwrap();
    let at = dice.below(bytes.len() as u64) as usize;
    let (what, may_cost) = match dice.below(4) {
        0 => {
            bytes.truncate(at);
            ("cut", u64::MAX)
        }
        1 => {
            bytes.splice(at..at, (0..dice.below(300)).map(|_| dice.below(256) as u8).collect::<Vec<_>>());
            // Where the head should be found, the file is none of ours.
            ("junk put in", if at < HEAD_BYTES { u64::MAX } else { GONE_MAX })
        }
        _ => {
            bytes[at] ^= 1 << dice.below(8);
            ("a bit flipped", GONE_MAX)
        }
    };
    fs::write(file, bytes).unwrap();
    (format!("{what} at {at} of {}", file.file_name().unwrap().display()), may_cost)
}

#[tokio::test]
async fn damaged_files_cost_what_was_damaged_and_no_more() {
    let seed = seed("damage");
    let (folder, mut dice) = (Folder::new("damage"), RootRng::seeded(seed).fork());
    let truth = Truth::open(seed, Temper { bad: 5, slow: Duration::from_millis(3) }).await;
    let policy = format!("{}[state]\ndir = {:?}\n", truth.policy(), folder.0);
    let load = Load::new(seed);
    let (mut harmed, mut noticed, mut cost_in_all) = (Vec::new(), 0, 0);
    for _ in 0..scaled(12, 200) {
        let house = House::open(&policy).await;
        load.begin(&house, CLIENTS, REQUESTS).join_all().await;
        // SIGKILL, or an end in peace.
        if dice.below(2) == 0 {
            drop(house)
        } else {
            house.end()
        }
        let names = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            names.filter(|path| path.to_string_lossy().contains("journal-") && fs::metadata(path).unwrap().len() > 0).collect();
        files.sort();
        let before = Books::of(&folder.0, "tag").total().requests;
        let (what, may_cost) = harm(&files, &mut dice);
        let after = Books::of(&folder.0, "tag");
        noticed += usize::from(after.remarks.contains("damaged"));
        let gone = before.saturating_sub(after.total().requests);
        assert!(gone <= may_cost, "{what}: {gone} gone");
        cost_in_all += gone;
        harmed.push(format!("{what}: {gone} gone"));
    }
    House::open(&policy).await.end();
    let books = Books::of(&folder.0, "tag");
    let costs: HashMap<u64, u64> = truth.seen().iter().map(|seen| (seen.heard.number, cost(seen))).collect();
    let (mut lost, mut by_estimate, mut beside, told) = (0, 0, 0, load.told.lock().unwrap());
    assert_eq!((told.len() + load.left.lock().unwrap().len()) as u64, load.begun(), "somebody has no answer");
    for (number, _) in told.iter().filter(|(_, status)| **status == 200) {
        let (row, cost) = (books.of_number(*number), costs[number]);
        lost += u64::from(row.requests == 0);
        by_estimate += row.estimated;
        beside += u64::from(row.requests == 2);
        let sound = match (row.requests, row.estimated) {
            (0, 0) => true,
            (1, 0) => row.nanos == cost,
            (1, 1) | (2, 1) => row.nanos >= cost,
            _ => false,
        };
        assert!(sound, "request {number}: {row:?}, {cost}; {harmed:#?}");
    }
    let (harms, told) = (harmed.len(), told.len());
    println!(
        "{harms} harmed, {noticed} noticed; of {told} told {lost} lost, {by_estimate} by estimate, {beside} of these twice\n{harmed:#?}"
    );
    assert!(beside <= harmed.len() as u64, "{beside} twice");
    // Nothing goes later that was there after the damage.
    assert!(lost <= cost_in_all + GONE_MAX * harms as u64, "{lost} lost, {cost_in_all} gone");
}
