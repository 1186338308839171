//! Streamed answers: reading the provider's events, writing the caller's.

mod decoder;
mod encoder;
mod event;
mod held;

pub(super) use decoder::Decoder;
pub(super) use encoder::{Encoder, write_error};
