//! Any sequence of what can happen, against the simplest of models.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A new exchange with this estimate.
    Intent(u64),
    /// One of the open ones raises its estimate.
    Raise(prop::sample::Index, u64),
    /// One of the open ones ends at this cost.
    Settle(prop::sample::Index, u64),
    /// An answer from the cache.
    Cached,
    /// Time passes, and upkeep is done.
    Pass(u64),
    /// Upkeep is done.
    Tick,
    /// Everything is made into sums.
    Collapse,
    /// The process is killed, and another one starts.
    Kill,
    /// The process ends, and another one starts.
    End,
    /// The disk is full for a while: nothing can be written.
    Full,
    /// It has room again.
    Room,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>();
    let step = prop_oneof![
        6 => (1..1000u64).prop_map(Step::Intent),
        1 => (index.clone(), 1000..2000u64).prop_map(|(which, cost)| Step::Raise(which, cost)),
        6 => (index, 1..1000u64).prop_map(|(which, cost)| Step::Settle(which, cost)),
        1 => Just(Step::Cached),
        2 => (1..200u64).prop_map(Step::Pass),
        1 => Just(Step::Tick),
        1 => Just(Step::Collapse),
        1 => Just(Step::Kill),
        1 => Just(Step::End),
        1 => Just(Step::Full),
        2 => Just(Step::Room),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is true.
#[derive(Default)]
struct Truth {
    next: u64,
    /// Estimates of the open ones, and of these what the files know.
    open: BTreeMap<u64, (u64, Option<u64>)>,
    settled: (u64, u64, u64),
    /// What of the settled is only in memory.
    memory: Vec<(u64, u64)>,
}

impl Truth {
    fn add(&mut self, cost: u64, estimated: u64) {
        self.settled.0 += 1;
        self.settled.1 += cost;
        self.settled.2 += estimated;
    }

    /// The process is gone with its memory: exchanges of which the files know only the beginning count at what they know.
    fn killed(&mut self) {
        for (estimate, cost) in std::mem::take(&mut self.memory) {
            self.settled.0 -= 1;
            self.settled.1 -= cost;
            if estimate > 0 {
                self.add(estimate, estimate);
            }
        }
        for (_, known) in std::mem::take(&mut self.open).into_values() {
            if let Some(known) = known {
                self.add(known, known);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_each_exchange_counts_once(steps in steps()) {
        let folder = Folder::new();
        let mut seconds = 0;
        let mut journal = open_small(&folder.0, at(0), 700);
        let mut truth = Truth::default();
        let mut full = false;
        for step in steps {
            let open = |which: prop::sample::Index, truth: &Truth| {
                let ids: Vec<_> = truth.open.keys().copied().collect();
                (!ids.is_empty()).then(|| *which.get(&ids))
            };
            match step {
                Step::Intent(cost) => {
                    truth.next += 1;
                    let kept = journal.intent(id(truth.next), at(seconds), &dims("t"), &estimate(cost));
                    prop_assert_eq!(kept == Kept::Written, !full);
                    truth.open.insert(truth.next, (cost, (!full).then_some(cost)));
                }
                Step::Raise(which, cost) => if let Some(which) = open(which, &truth) {
                    let kept = journal.intent(id(which), at(seconds), &dims("t"), &estimate(cost));
                    let known = if kept == Kept::Written { Some(cost) } else { truth.open[&which].1 };
                    truth.open.insert(which, (cost, known));
                },
                Step::Settle(which, cost) => if let Some(which) = open(which, &truth) {
                    let kept = journal.settle(id(which), at(seconds), &dims("t"), &charge(cost));
                    let (_, known) = truth.open.remove(&which).unwrap();
                    truth.add(cost, 0);
                    if kept == Kept::Memory {
                        truth.memory.push((known.unwrap_or(0), cost));
                    }
                },
                Step::Cached => {
                    truth.next += 1;
                    if journal.settle(id(truth.next), at(seconds), &dims("cached"), &charge(1)) == Kept::Memory {
                        truth.memory.push((0, 1));
                    }
                    truth.add(1, 0);
                }
                Step::Pass(time) => {
                    seconds += time;
                    journal.tick(at(seconds));
                }
                Step::Tick => journal.tick(at(seconds)),
                Step::Collapse => {
                    let through = locked(&journal.shared.log).current() - 1;
                    rewrite::collapse(&folder.0, through, sums::minute_of(millis(at(seconds))), 1000).unwrap();
                }
                Step::Kill | Step::End => {
                    if matches!(step, Step::End) {
                        if full {
                            locked(&journal.shared.log).allow();
                        }
                        journal.close(at(seconds));
                        truth.memory.clear();
                    }
                    truth.killed();
                    drop(journal);
                    full = false;
                    journal = open_small(&folder.0, at(seconds), 700);
                    let recovered = journal.recovered().unwrap();
                    prop_assert_eq!(recovered_totals(&recovered), truth.settled);
                }
                Step::Full => {
                    full = true;
                    locked(&journal.shared.log).forbid();
                }
                Step::Room => {
                    if full {
                        full = false;
                        locked(&journal.shared.log).allow();
                        journal.tick(at(seconds));
                        seconds += 10;
                        journal.tick(at(seconds));
                        truth.memory.clear();
                        prop_assert!(journal.health().trouble.is_none());
                    }
                }
            }
            if !full {
                prop_assert_eq!(totals(&folder.0), truth.settled);
            }
            prop_assert_eq!(report(&folder.0).damaged, 0);
        }
    }
}
