//! What knows nothing of models or providers: errors, clocks, chance, JSON by spans, server-sent events.

pub mod body;
pub mod clock;
pub mod drain;
pub mod eventstream;
pub mod fault;
pub mod framing;
pub mod io;
pub mod json;
pub mod json_array;
pub mod money;
pub mod rng;
pub mod secret;
pub mod sse;

pub use fault::{Fault, FaultKind, Origin, Retry};
pub use secret::Secret;
