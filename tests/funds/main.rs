//! Limits and the journal on the binary itself, over real sockets: crowds that ask at once, leave at random and meet a provider that
//! fails at random; kills at random moments; disks that are full, fail, or lie. The provider keeps the truth.
//!
//! `OUTRIDER_CHAOS=1` makes the crowds 2,000 and the kills 300; `OUTRIDER_SEED` repeats a run.
#![allow(missing_docs, unreachable_pub, reason = "tests say it in their names")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "clients and the provider are tasks of the test, which asks the environment how long to run")]

#[path = "../rig/mod.rs"]
mod rig;
use rig::{chance, client, house, lanes, speech, truth};

mod books;
mod crowd;
mod damage;
mod disk;
mod kill;
mod kinds;
mod load;
