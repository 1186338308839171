//! Clients that ask one thing after the other, and note what they were told to the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrider::base::rng::{Rng, RootRng};
use tokio::task::JoinSet;

use crate::books::{Row, tag};
use crate::client::{Client, Leave, Reply};
use crate::house::House;
use crate::lanes::LANES;
use crate::truth::{Fate, INPUT, MODELS, OUTPUT, Truth, any, prompt};

/// What each answer is bounded to, in tokens.
pub const OUTPUT_MAX: u64 = 40;

/// What clients know of the requests so far.
#[derive(Clone)]
pub struct Load {
    seed: u64,
    numbers: Arc<AtomicU64>,
    /// The status of those whose end was seen, by number.
    pub told: Arc<Mutex<HashMap<u64, u16>>>,
    /// Those that their client left.
    pub left: Arc<Mutex<Vec<u64>>>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        Self { seed, numbers: Arc::new(AtomicU64::new(1)), told: Arc::default(), left: Arc::default() }
    }

    /// So many clients, until the process is gone, or this many requests were begun.
    pub fn begin(&self, house: &House, clients: usize, most: u64) -> JoinSet<()> {
        let end = self.numbers.load(Ordering::Relaxed).saturating_add(most);
        (0..clients).map(|_| self.clone().ask(house.client(), end)).collect()
    }

    /// How many requests were begun.
    pub fn begun(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed) - 1
    }

    /// The status that a request was told to its end, if it was.
    pub fn told_of(&self, number: u64) -> Option<u16> {
        self.told.lock().unwrap().get(&number).copied()
    }

    async fn ask(self, mut client: Client, end: u64) {
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                self.numbers.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let mut dice = RootRng::seeded(self.seed ^ number).fork();
            let leave = if dice.below(20) == 0 { Leave::After(Duration::from_millis(dice.below(30))) } else { Leave::Never };
            let Ok(reply) = self.one(&mut client, number, leave, &mut dice).await else { return };
            match reply {
                Some(reply) if reply.cut => return,
                Some(reply) => drop(self.told.lock().unwrap().insert(number, reply.status)),
                None => self.left.lock().unwrap().push(number),
            }
        }
    }

    async fn one(&self, client: &mut Client, number: u64, leave: Leave, dice: &mut Rng) -> Result<Option<Reply>, String> {
        let lane = LANES[dice.below(LANES.len() as u64) as usize];
        let (model, stream) = (any(lane.name, dice.below(MODELS)), dice.below(2) == 0);
        let body = lane.caller.ask(&model, &prompt(number, dice.below(20)), OUTPUT_MAX, stream);
        client.post_and(leave, lane.caller.path(), &[("x-outrider-tag", &tag(number))], body).await
    }
}

/// One request of a load's kind, alone.
pub async fn ask_one(house: &House, number: u64) -> Reply {
    let load = Load::new(number);
    load.one(&mut house.client(), number, Leave::Never, &mut RootRng::seeded(number).fork()).await.unwrap().unwrap()
}

/// Compares what the journal has of a request with what its client and its provider know.
pub fn compare(number: u64, row: Row, load: &Load, truth: &Truth, seen: &HashMap<u64, crate::rig::upstream::Seen>) {
    let bill = seen.get(&number).map(|seen| seen.bill).unwrap_or_default();
    let cost = bill.input * INPUT + bill.output * OUTPUT;
    let what = format!("request {number}, {:?}, told {:?}: {row:?}, billed {bill:?}", truth.fate(number), load.told_of(number));
    match (load.told_of(number), truth.fate(number)) {
        // The same, once, to the token and the nano-dollar.
        (Some(200), Fate::Good) => {
            let same = Row { requests: 1, input: bill.input, output: bill.output, nanos: cost, ..Row::default() };
            assert_eq!(row, same, "{what}");
        }
        // It broke off amid what it said: by what came.
        (Some(200), _) => assert!(row.requests == 1 && row.errors == 1 && row.estimated == 1 && row.input > 0, "{what}"),
        (Some(500..), Fate::Status(_) | Fate::Reset) => assert!(row.requests == 1 && row.errors == 1 && row.output == 0, "{what}"),
        (Some(500..), _) => assert!(row.requests == 1 && row.errors == 1, "{what}"),
        (Some(_), _) => panic!("{what}"),
        (None, _) => {
            assert!(row.requests <= 1, "{what}");
            assert!(row.requests == 1 || !seen.contains_key(&number), "it was sent, and is not written down: {what}");
            let left = load.left.lock().unwrap().contains(&number);
            // What somebody left before its end is charged by what came to here.
            assert!(left || row.nanos >= cost, "{what}");
        }
    }
}
