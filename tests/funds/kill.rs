//! `kill -9` at random moments under load: what was told is in the journal, once, to the nano-dollar.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::Client;
use crate::house::House;
use crate::provider::{OUTPUT_MAX, Provider, Temper};
use crate::{Dice, scaled};

const CLIENTS: u64 = 6;

/// A folder, gone with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _leftover = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// One row of `outrider usage --by tag`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub requests: u64,
    pub estimated: u64,
    pub input: u64,
    pub output: u64,
    pub nanos: u64,
}

/// What the journal tells by tag.
pub fn usage(dir: &Path) -> HashMap<String, Row> {
    let output = Command::new(env!("CARGO_BIN_EXE_outrider"))
        .args(["usage", "--by", "tag", "--format", "json", "--since", "7d", "--dir"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: &serde_json::Value| {
        let count = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"));
        let nanos = (row["cost_usd"].as_f64().unwrap() * 1e9).round() as u64;
        let row_of = Row {
            requests: count("requests"),
            estimated: count("estimated"),
            input: count("input_tokens"),
            output: count("output_tokens"),
            nanos,
        };
        (row["tag"].as_str().unwrap().to_owned(), row_of)
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

pub fn request(number: u64, stream: bool) -> String {
    format!(
        r#"{{"model":"any","stream":{stream},"max_tokens":{OUTPUT_MAX},"messages":[{{"role":"user","content":"Where is my parcel, please, and when will it come? {number}"}}]}}"#
    )
}

/// Asks one thing after the other until the process is gone; notes what was told to the end.
async fn ask(mut client: Client, numbers: Arc<AtomicU64>, told: Arc<Mutex<Vec<u64>>>) {
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let stream = number.is_multiple_of(2);
        let tag = format!("t{number}");
        let Ok(reply) = client.post("/v1/chat/completions", &[("x-outrider-tag", &tag)], request(number, stream)).await else { return };
        let whole = if stream { reply.body.contains("[DONE]") } else { reply.body.ends_with('}') };
        if reply.cut || reply.status != 200 || !whole {
            return;
        }
        told.lock().unwrap().push(number);
    }
}

#[tokio::test]
async fn kills_lose_nothing_that_was_told_and_count_nothing_twice() {
    let kills = scaled(20, 300);
    let mut dice = Dice(7);
    let provider = Provider::open(Temper { bad: 0, slow: Duration::from_millis(30) }, 11).await;
    let folder = Folder::new("kill");
    let policy = format!("{}[state]\ndir = {:?}\n", provider.policy(), folder.0);
    let (numbers, told) = (Arc::new(AtomicU64::new(1)), Arc::default());
    for _ in 0..kills {
        let house = House::open(&policy).await;
        let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(ask(house.client(), Arc::clone(&numbers), Arc::clone(&told)))).collect();
        tokio::time::sleep(Duration::from_millis(30 + dice.below(200))).await;
        // SIGKILL.
        drop(house);
        for client in clients {
            client.await.unwrap();
        }
    }
    // Once more, to recover what the last one left.
    drop(House::open(&policy).await);
    let (rows, truth, told) = (usage(&folder.0), provider.truth.lock().unwrap(), told.lock().unwrap());
    let asked = numbers.load(Ordering::Relaxed);
    println!("{kills} kills, {asked} requests, {} told to the end, {} rows", told.len(), rows.len());
    assert!(told.len() > kills * 3, "{} told", told.len());
    for number in told.iter() {
        let (row, truth) = (rows.get(&format!("t{number}")).copied().unwrap_or_default(), truth.all[number]);
        let expected = (1, 0, truth.input, truth.output, truth.cost());
        assert_eq!((row.requests, row.estimated, row.input, row.output, row.nanos), expected, "request {number}");
    }
    let mut by_estimate = 0;
    for number in (1..asked).filter(|number| !told.contains(number)) {
        let row = rows.get(&format!("t{number}")).copied().unwrap_or_default();
        let truth = truth.all.get(&number).copied().unwrap_or_default();
        assert!(row.requests <= 1 && truth.asked <= 1, "request {number}: {row:?}, {truth:?}");
        assert!(row.requests == 1 || truth.asked == 0, "request {number} was sent, and is not written down: {truth:?}");
        assert!(row.nanos >= truth.cost(), "request {number}: {row:?} for {truth:?}");
        by_estimate += row.estimated;
    }
    println!("{by_estimate} settled by estimate");
    assert!(by_estimate > 0, "no kill met an exchange under way");
    let sum: u64 = rows.values().map(|row| row.requests).sum();
    assert_eq!(rows.len() as u64, sum, "each request has a tag of its own");
}

#[tokio::test]
async fn a_budget_goes_on_after_a_kill() {
    let provider = Provider::open(Temper { bad: 0, slow: Duration::ZERO }, 13).await;
    let folder = Folder::new("budget");
    // A request may cost 400,000 nano-USD and its prompt.
    let limit = "[[limits]]\nname = \"day\"\nbudget_usd_per_day = 0.005\n";
    let policy = format!("{}{limit}[state]\ndir = {:?}\n", provider.policy(), folder.0);
    let mut refused = 0;
    for round in 0..40 {
        let house = House::open(&policy).await;
        let mut client = house.client();
        for number in 0..3 {
            let reply = client.post("/v1/chat/completions", &[], request(round * 3 + number + 1, false)).await.unwrap();
            refused += u64::from(reply.status == 429);
        }
        let truth = provider.truth.lock().unwrap();
        let spent: u64 = truth.all.values().map(|told| told.cost()).sum();
        assert!(spent <= 5_000_000, "{spent} after {round} kills");
    }
    assert!(refused > 40, "{refused} were refused");
}
