//! Requests: reading the caller's, writing the provider's.

mod compose;
mod decode;
mod encode;
mod items;
mod tools;

pub(super) use decode::decode;
pub(super) use encode::encode;
