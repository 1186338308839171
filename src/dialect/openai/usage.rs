//! The details of the token counters, which both dialects spell alike.

use super::read::told;
use crate::base::json::Raw;
use crate::ir::Usage;

/// Reads the details of what was asked.
pub(in crate::dialect) fn read_input_details(details: Raw<'_>, usage: &mut Usage) {
    for (name, value) in details.members() {
        match &*name {
            "cached_tokens" => usage.cache_read_tokens = value.u64(),
            "cache_write_tokens" | "cache_creation_tokens" | "cache_creation_input_tokens" => {
                usage.cache_write_tokens = value.u64().or(usage.cache_write_tokens);
            }
            "cache_write_tokens_details" => usage.cache_write_12h_tokens = told(value, "ttl_12h_tokens").and_then(Raw::u64),
            "cached_tokens_details" => usage.cache_read_audio_tokens = told(value, "audio_tokens").and_then(Raw::u64),
            "audio_tokens" => usage.input_audio_tokens = value.u64(),
            "image_tokens" => usage.input_image_tokens = value.u64(),
            "video_tokens" => usage.input_video_tokens = value.u64(),
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
            "image_tokens" => usage.output_image_tokens = value.u64(),
            _ => {}
        }
    }
}
