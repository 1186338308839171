//! The laws of limits, on a still clock and under threads. See the head of `src/quota/mod.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test")]

mod examples;
mod laws;
mod lines;
mod reference;
mod shown;
mod support;
mod threads;
