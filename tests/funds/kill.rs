//! `kill -9` at random moments under load: what was told is in the journal, once, to the nano-dollar.

use std::collections::HashMap;
use std::time::Duration;

use outrider::base::rng::RootRng;

use crate::books::{Books, Folder};
use crate::chance::{scaled, seed};
use crate::house::House;
use crate::kinds::noon;
use crate::load::{Load, OUTPUT_MAX, ask_one, compare};
use crate::rig::upstream::Seen;
use crate::truth::{INPUT, OUTPUT, Temper, Truth, WELL, cost};

const CLIENTS: usize = 6;

#[tokio::test]
async fn kills_lose_nothing_that_was_told_and_count_nothing_twice() {
    let (kills, seed) = (scaled(10, 300), seed("kills"));
    let mut dice = RootRng::seeded(seed).fork();
    let truth = Truth::open(seed, Temper { bad: 8, slow: Duration::from_millis(30) }).await;
    let folder = Folder::new("kill");
    let policy = format!("{}[state]\ndir = {:?}\n", truth.policy(), folder.0);
    let load = Load::new(seed);
    let mut rows = HashMap::new();
    for kill in 0..kills {
        let house = House::open(&policy).await;
        let clients = load.begin(&house, CLIENTS, u64::MAX);
        tokio::time::sleep(Duration::from_millis(20 + dice.below(200))).await;
        // SIGKILL.
        drop(house);
        clients.join_all().await;
        if kill % 50 == 0 {
            rows.extend(Books::of(&folder.0, "tag").rows.iter().map(|(tag, row)| (tag.clone(), *row)));
        }
    }
    // Once more, to settle what the last one left.
    House::open(&policy).await.end();
    let books = Books::of(&folder.0, "tag");
    assert_eq!(books.remarks, "");
    // What the journal said once it says for ever.
    for (tag, row) in rows {
        assert_eq!(books.rows.get(&tag), Some(&row), "{tag}");
    }
    let seen: HashMap<u64, Seen> = truth.seen().into_iter().map(|seen| (seen.heard.number, seen)).collect();
    assert_eq!(seen.len(), truth.seen().len(), "one try each");
    (1..=load.begun()).for_each(|number| compare(number, books.of_number(number), &load, &truth, &seen));
    let (told, total) = (load.told.lock().unwrap().len(), books.total());
    let (begun, left) = (load.begun(), load.left.lock().unwrap().len());
    println!("{kills} kills, {begun} requests, {told} told to the end, {left} left; in the journal {total:?}");
    assert_eq!(books.rows.len() as u64, total.requests, "each request has a tag of its own");
    assert!(told > kills * 3 && total.estimated > 0, "no kill met an exchange under way");
    let by_status = Books::of(&folder.0, "status").total();
    assert_eq!(by_status, total, "the same sum, whatever it is grouped by");
}

#[tokio::test]
async fn a_budget_goes_on_after_kills_under_load() {
    const BUDGET: u64 = 40_000_000;
    let seed = seed("a budget");
    let truth = Truth::open(seed, Temper { bad: 5, slow: Duration::from_millis(20) }).await;
    let folder = Folder::new("budget");
    let limit = format!("[[limits]]\nname = \"it\"\nbudget_usd_per_day = 0.04\ntime_zone = \"{}\"\n", noon());
    let policy = format!("{}{limit}[state]\ndir = {:?}\n", truth.policy(), folder.0);
    let (load, mut dice, mut spent) = (Load::new(seed), RootRng::seeded(seed).fork(), Vec::new());
    for kill in 0.. {
        let house = House::open(&policy).await;
        let before = load.begun();
        let clients = load.begin(&house, CLIENTS, u64::MAX);
        tokio::time::sleep(Duration::from_millis(50 + dice.below(100))).await;
        drop(house);
        clients.join_all().await;
        let told = load.told.lock().unwrap();
        spent.push(truth.seen().iter().map(cost).sum::<u64>());
        let numbers = before + 1..=load.begun();
        // Nothing got through in a whole life of the process.
        if numbers.clone().any(|number| told.contains_key(&number)) && !numbers.into_iter().any(|number| told.get(&number) == Some(&200)) {
            break;
        }
        assert!(kill < 100, "never spent: {spent:?}");
    }
    let billed = *spent.last().unwrap();
    let house = House::open(&policy).await;
    let reply = ask_one(&house, WELL).await;
    assert!([402, 429].contains(&reply.status), "{reply:?}");
    house.end();
    let journal = Books::of(&folder.0, "tag").total();
    println!("{} kills: {billed} billed of {BUDGET}, {journal:?}", spent.len());
    assert!(billed <= BUDGET && journal.nanos <= BUDGET, "{billed} billed of {BUDGET}, {journal:?}");
    // Nothing is held back for good: what is left is less than one request may take.
    let one = 600 * INPUT + OUTPUT_MAX * OUTPUT;
    assert!(journal.nanos + one >= BUDGET, "{billed} billed of {BUDGET}, {journal:?}");
}
