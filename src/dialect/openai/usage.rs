//! The details of the token counters, which both dialects spell alike.

use crate::base::json::Raw;
use crate::ir::Usage;

/// Reads the details of what was asked.
pub(in crate::dialect) fn read_input_details(details: Raw<'_>, usage: &mut Usage) {
    for (name, value) in details.members() {
        match &*name {
            "cached_tokens" => usage.cache_read_tokens = value.u64(),
            "cache_write_tokens" | "cache_creation_tokens" => usage.cache_write_tokens = value.u64().or(usage.cache_write_tokens),
            "audio_tokens" => usage.input_audio_tokens = value.u64(),
            _ => {}
        }
    }
}

/// Reads the details of what was answered.
pub(in crate::dialect) fn read_output_details(details: Raw<'_>, usage: &mut Usage) {
    for (name, value) in details.members() {
        match &*name {
            "reasoning_tokens" => usage.reasoning_tokens = value.u64(),
            "audio_tokens" => usage.output_audio_tokens = value.u64(),
            _ => {}
        }
    }
}
