//! What OpenAI's two dialects have in common: errors, and what values look like on the wire.

pub(in crate::dialect) mod error;
pub(in crate::dialect) mod read;
pub(in crate::dialect) mod write;
