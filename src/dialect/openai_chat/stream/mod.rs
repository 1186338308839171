//! Streamed answers: reading the provider's chunks, writing the caller's.

mod chunk;
mod decoder;
mod encoder;

pub(super) use decoder::Decoder;
pub(super) use encoder::{Encoder, write_error};
