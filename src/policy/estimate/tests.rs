//! What is estimated before a request is sent.

mod laws;
mod recorded;
