//! What knows nothing of models or providers: errors, clocks, chance, JSON by spans, server-sent events.

pub mod body;
pub mod clock;
pub mod drain;
pub mod fault;
pub mod json;
pub mod rng;
pub mod secret;
pub mod sse;

pub use fault::{Fault, FaultKind, Origin, Retry};
pub use secret::Secret;
