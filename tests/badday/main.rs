//! A bad day over real sockets: the binary itself between clients that keep their connections and upstreams that misbehave by
//! script, down to the bytes. What holds: as long as nothing has reached the client, a sick target costs no request.
#![allow(missing_docs, unreachable_pub, reason = "tests say it in their names")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they saw"
)]
#![allow(clippy::disallowed_methods, reason = "a test's tasks end with its runtime, and its clock is the real one")]

#[path = "../rig/mod.rs"]
mod rig;
use rig::{answer, client, house, lanes, speech, upstream};

mod faults;

mod healthy;
mod hedging;
mod laws;
mod midstream;
mod storm;
