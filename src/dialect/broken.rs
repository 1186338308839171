//! What a provider sent that is not what its dialect promises.

use crate::base::json::Raw;
use crate::base::{Fault, FaultKind};

/// How much of an answer that is not JSON is kept as its message, in bytes: enough for an operator, bounded for everybody else.
const MESSAGE_BYTES_MAX: usize = 2048;

/// An answer that cannot be understood. `what` goes on behind "The provider's answer".
pub(super) fn answer(what: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamProtocol, format!("The provider's answer {what}."))
}

/// A stream that cannot be understood: `what` it holds.
pub(super) fn stream(what: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamProtocol, format!("The provider's stream holds {what}."))
}

/// A part of an answer in which a reader of requests found this fault.
pub(super) fn part(fault: &Fault) -> Fault {
    answer(&format!("is malformed: {}", fault.client_text.trim_end_matches('.')))
}

/// The body of an answer whose status promises that it is JSON.
pub(super) fn json(body: &[u8]) -> Result<Raw<'_>, Fault> {
    Raw::parse(body).map_err(|error| answer("is not JSON, though its status says success").cause(error))
}

/// The same, where it promises an object.
pub(super) fn object(body: &[u8]) -> Result<Raw<'_>, Fault> {
    json(body).and_then(|root| if root.is_object() { Ok(root) } else { Err(answer("is not a JSON object")) })
}

/// What is said of an error by a body of which nothing else is known.
pub(super) fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)]);
    match text.trim() {
        "" | "{}" => "The provider gave no reason.".to_owned(),
        text => text.to_owned(),
    }
}
