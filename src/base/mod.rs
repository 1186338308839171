//! What knows nothing of models or providers: errors, clocks, chance, digests, JSON by spans, server-sent events.

pub mod body;
pub mod clock;
pub mod digest;
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
pub mod text;

pub use fault::{Fault, FaultKind, Origin};
pub use secret::Secret;
