//! What tests over real sockets share: the binary as a process, clients that keep their connections, and providers that do with
//! theirs what a script says and keep account of it.
#![allow(dead_code, reason = "each test takes its part")]

pub mod answer;
pub mod chance;
pub mod client;
pub mod house;
pub mod lanes;
pub mod speech;
pub mod truth;
pub mod upstream;
