//! Everything that is tested from outside the library, in one binary.
#![allow(missing_docs, unreachable_pub, reason = "tests say it in their names")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they checked"
)]
#![allow(clippy::disallowed_methods, reason = "the scripted providers are tasks of the test")]

mod attempts;
mod corpus;
mod embed;
mod square;
mod hedge;
mod limit_laws;
mod limits;
mod line;
mod money;
mod opaque;
mod pairs;
mod providers;
mod routing;
mod shown;
mod socket;
#[path = "../rig/speech.rs"]
mod speech;
mod support;
mod traps;
mod transport;
