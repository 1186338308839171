//! Chat requests: reading the caller's, writing the provider's.

mod compose;
mod decode;
mod encode;
mod message;

pub(super) use decode::decode;
pub(super) use encode::encode;
