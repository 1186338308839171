//! What OpenAI's two dialects have in common: errors, refusals, counters, tools and the choice among them, and what values look
//! like on the wire.

pub(in crate::dialect) mod error;
pub(in crate::dialect) mod form;
pub(in crate::dialect) mod read;
pub(in crate::dialect) mod refuse;
#[cfg(test)]
pub(in crate::dialect) mod tests;
pub(in crate::dialect) mod usage;
pub(in crate::dialect) mod write;
