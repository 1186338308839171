//! Outrider, an AI gateway that rides beside each service.
//!
//! Layers, each of which may use those above it in this list and none below (a test keeps that).

pub mod base;
pub mod ir;
pub mod config;
pub mod dialect;
pub mod telemetry;
pub mod policy;
pub mod journal;
pub mod quota;
pub mod upstream;
pub mod credential;
pub mod echo;
pub mod pipeline;
pub mod server;
pub mod status;
pub mod run;
pub mod cli;
