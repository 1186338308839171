//! Disks that are full, refuse, or fail; and two processes at one: requests are served, and what was not lost with memory is told.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::books::{Books, Folder};
use crate::chance::seed;
use crate::house::{House, How};
use crate::kinds::noon;
use crate::load::{Load, ask_one, compare};
use crate::rig::upstream::Seen;
use crate::truth::{Temper, Truth, WELL};

const CLIENTS: usize = 6;
const REQUESTS: u64 = 200;
const TEMPER: Temper = Temper { bad: 5, slow: Duration::from_millis(5) };

fn state(truth: &Truth, dir: &Path) -> String {
    format!("{}[state]\ndir = {dir:?}\n", truth.policy())
}

/// Waits until the journal has every exchange that was told, or reached the provider: who leaves at once may reach nobody.
async fn written(dir: &Path, load: &Load, truth: &Truth) -> Books {
    let mut all: Vec<u64> = truth.seen().iter().map(|seen| seen.heard.number).collect();
    all.extend(load.told.lock().unwrap().keys());
    let mut missing = Vec::new();
    for _ in 0..300 {
        let books = Books::of(dir, "tag");
        missing = all.iter().filter(|number| books.of_number(**number).requests == 0).collect();
        if missing.is_empty() {
            return books;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in the journal after 15 s: {missing:?} of {}", all.len());
}

/// Every request of the load, compared with the books.
fn compare_all(books: &Books, load: &Load, truth: &Truth) {
    let seen: HashMap<u64, Seen> = truth.seen().into_iter().map(|seen| (seen.heard.number, seen)).collect();
    (1..=load.begun()).for_each(|number| compare(number, books.of_number(number), load, truth, &seen));
}

/// Nobody was refused, or left without an answer.
fn assert_served(load: &Load, truth: &Truth, count: u64) {
    let (told, left) = (load.told.lock().unwrap(), load.left.lock().unwrap().len());
    assert_eq!((told.len() + left) as u64, count, "somebody has no answer");
    for (number, status) in told.iter() {
        assert!(*status == 200 || *status >= 500 && truth.fate(*number) != crate::truth::Fate::Good, "{number}: {status}");
    }
}

struct Tmpfs(Folder);

impl Tmpfs {
    fn mount(name: &str) -> Option<Self> {
        let folder = Folder::within(&std::env::temp_dir(), name);
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&folder.0).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: no tmpfs can be mounted here");
        None
    }

    /// Takes what room there is.
    fn fill(&self) {
        let ballast = self.0.0.join("ballast");
        let full = (1..=256).find(|pages| fs::write(&ballast, vec![1; pages * 4096]).is_err());
        assert!(full.is_some(), "it is not full");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.0.join("ballast")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_nobody_and_loses_nothing() {
    let Some(disk) = Tmpfs::mount("full") else { return };
    let (seed, dir) = (seed("a full disk"), disk.0.0.join("state"));
    let truth = Truth::open(seed, TEMPER).await;
    let house = House::open(&state(&truth, &dir)).await;
    let load = Load::new(seed);
    load.begin(&house, CLIENTS, REQUESTS).join_all().await;
    let before = Books::of(&dir, "tag").total().requests;
    disk.fill();
    load.begin(&house, CLIENTS, 2 * REQUESTS).join_all().await;
    assert_served(&load, &truth, 3 * REQUESTS);
    let meanwhile = Books::of(&dir, "tag").total().requests;
    assert!(meanwhile < 3 * REQUESTS, "it was not full");
    disk.make_room();
    let books = written(&dir, &load, &truth).await;
    compare_all(&books, &load, &truth);
    println!("{before} before, {meanwhile} while it was full, {} with room; all as told", books.total().requests);
    // As many once it is over.
    drop(house);
    House::open(&state(&truth, &dir)).await.end();
    compare_all(&Books::of(&dir, "tag"), &load, &truth);
}

#[tokio::test]
async fn a_full_disk_refuses_where_that_is_asked_for() {
    let Some(disk) = Tmpfs::mount("deny") else { return };
    let (seed, dir) = (seed("a disk that denies"), disk.0.0.join("state"));
    let truth = Truth::open(seed, Temper { bad: 0, ..TEMPER }).await;
    let house = House::open(&(state(&truth, &dir) + "on_full = \"deny\"\n")).await;
    assert_eq!(ask_one(&house, WELL).await.status, 200);
    disk.fill();
    let mut number = WELL;
    let refused = loop {
        number += 1;
        let reply = ask_one(&house, number).await;
        if reply.status != 200 {
            break reply;
        }
        assert!(number < WELL + 5_000, "served on and on");
    };
    // By the caller's dialect.
    assert!([503, 529].contains(&refused.status), "{refused:?}");
    let asked = truth.seen().len();
    for more in 1..=10 {
        assert!([503, 529].contains(&ask_one(&house, number + more).await.status));
    }
    assert_eq!(truth.seen().len(), asked, "nobody was asked");
    disk.make_room();
    for _ in 0..300 {
        number += 20;
        if ask_one(&house, number).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still refused after 15 s with room");
}

#[tokio::test]
async fn a_folder_that_may_only_be_read_stops_nobody_and_budgets_know_it() {
    let (seed, folder) = (seed("read-only"), Folder::within(&std::env::temp_dir(), "read-only"));
    let truth = Truth::open(seed, Temper { bad: 0, ..TEMPER }).await;
    let limit = |usd: f64| format!("[[limits]]\nname = \"it\"\nbudget_usd_per_day = {usd}\ntime_zone = \"{}\"\n", noon());
    let house = House::open(&(state(&truth, &folder.0) + &limit(1.0))).await;
    let load = Load::new(seed);
    load.begin(&house, CLIENTS, REQUESTS).join_all().await;
    house.end();
    let before = Books::of(&folder.0, "tag");
    let spent = before.total().nanos;
    let set = |folder_mode, file_mode| {
        for entry in fs::read_dir(&folder.0).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(file_mode)).unwrap();
        }
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(folder_mode)).unwrap();
    };
    set(0o555, 0o444);
    let nobody = How { user: Some(65_534), ..How::default() };
    let may_run = Command::new("id").args(["-u"]).output().is_ok_and(|output| output.stdout == b"0\n");
    if !may_run {
        eprintln!("SKIPPED: only root can run it as somebody else");
        set(0o755, 0o644);
        return;
    }
    // With room for the same again: served. With the day's money spent by the process before: not.
    let house = House::launch(&(state(&truth, &folder.0) + &limit(1.0)), &nobody).await;
    load.begin(&house, CLIENTS, REQUESTS).join_all().await;
    assert_served(&load, &truth, 2 * REQUESTS);
    drop(house);
    let house = House::launch(&(state(&truth, &folder.0) + &limit(spent as f64 / 1e9)), &nobody).await;
    assert!([402, 429].contains(&ask_one(&house, WELL).await.status));
    drop(house);
    set(0o755, 0o644);
    assert_eq!(Books::of(&folder.0, "tag").total(), before.total());
}

/// Under strace, which makes these calls of `fdatasync` fail.
fn under_strace(when: &str) -> Option<How> {
    let inject = format!("inject=fdatasync:error=EIO:when={when}");
    let words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
    let works = Command::new(words[0]).args(&words[1..]).arg("true").stdin(Stdio::null()).status();
    if works.is_ok_and(|status| status.success()) {
        return Some(How { under: words.map(str::to_owned).to_vec(), ..How::default() });
    }
    eprintln!("SKIPPED: strace does not work here");
    None
}

#[tokio::test]
async fn a_disk_that_fails_to_sync_stops_nobody() {
    // Once, for a while, for good.
    for (when, for_good) in [("2", false), ("2..6", false), ("2+", true)] {
        let Some(how) = under_strace(when) else { return };
        let (seed, folder) = (seed("sync"), Folder::new("sync"));
        let truth = Truth::open(seed, TEMPER).await;
        let policy = state(&truth, &folder.0) + "sync = \"20ms\"\n";
        let house = House::launch(&policy, &how).await;
        let load = Load::new(seed);
        load.begin(&house, CLIENTS, REQUESTS).join_all().await;
        assert_served(&load, &truth, REQUESTS);
        if !for_good {
            compare_all(&written(&folder.0, &load, &truth).await, &load, &truth);
        }
        let log = house.log();
        // SIGKILL.
        drop(house);
        House::open(&policy).await.end();
        let books = Books::of(&folder.0, "tag");
        println!("fdatasync fails at {when}: {} of {REQUESTS} in the journal after a kill", books.total().requests);
        if for_good {
            assert!(books.rows.values().all(|row| row.requests == 1), "counted twice");
        } else {
            compare_all(&books, &load, &truth);
        }
        assert!(log.contains("journal"), "it is not told: {log}");
    }
}

#[tokio::test]
async fn two_processes_at_one_journal_lose_nothing() {
    let (seed, folder) = (seed("two processes"), Folder::new("two"));
    let truth = Truth::open(seed, TEMPER).await;
    let policy = state(&truth, &folder.0);
    let (first, second) = (House::open(&policy).await, House::open(&policy).await);
    let load = Load::new(seed);
    let (one, other) = (load.begin(&first, CLIENTS, 2 * REQUESTS), load.begin(&second, CLIENTS, 2 * REQUESTS));
    one.join_all().await;
    other.join_all().await;
    assert_served(&load, &truth, 2 * REQUESTS);
    let in_files = Books::of(&folder.0, "tag").total().requests;
    assert!((1..2 * REQUESTS).contains(&in_files), "both write: {in_files}");
    // SIGKILL; the other takes over.
    drop(first);
    let books = written(&folder.0, &load, &truth).await;
    compare_all(&books, &load, &truth);
    println!("{in_files} by the first, {} with the second's", books.total().requests);
    second.end();
    compare_all(&Books::of(&folder.0, "tag"), &load, &truth);
}
