//! Hours of traffic to a fleet whose latency drifts, on a still clock.
#![allow(missing_docs, unreachable_pub, reason = "tests say it in their names")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests fail by panicking and say what they checked")]

mod cheapest;
mod chance;
mod fleet;
mod scenes;
mod weighted;
mod world;
