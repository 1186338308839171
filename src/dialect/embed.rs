//! What a dialect must know to speak of embeddings, beside [`super::Codec`].

use std::borrow::Cow;

use http::HeaderMap;

use super::Notes;
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind};
use crate::ir::{EmbedContent, EmbedRequest, Embeddings, Encoding, Text};

/// Requests for vectors, and vectors. A dialect that no app asks for embeddings in only writes requests and reads answers.
pub trait EmbeddingsCodec: Sync {
    /// The path that asks for one vector, where the dialect has one beside that for several.
    fn path_of_one(&self, _model: &str) -> Option<Cow<'static, str>> {
        None
    }

    /// Where a request names the model again, for a caller of the same dialect whose name for it is another.
    fn names_of_model<'a>(&self, _root: Raw<'a>, _one: bool) -> Vec<Raw<'a>> {
        Vec::new()
    }

    /// Reads a request, whose body is valid JSON: for one vector by a path of its own, or for several.
    ///
    /// # Errors
    /// A fault of the caller's, with `param` naming the member.
    fn read_request<'a>(&self, _root: Raw<'a>, _one: bool) -> Result<EmbedRequest<'a>, Fault> {
        Err(Fault::caller(FaultKind::NotFound, "This dialect has no request for embeddings."))
    }

    /// Writes a request for `model`, as several ones where the target takes fewer inputs at a time. What cannot be said goes to
    /// `notes.losses`.
    ///
    /// # Errors
    /// [`FaultKind::Unsupported`] where the vectors would be other ones than those that were asked for.
    fn encode_request(&self, request: &EmbedRequest<'_>, model: &str, notes: &mut Notes) -> Result<Vec<EmbedCall>, Fault>;

    /// Reads an answer of status 200.
    ///
    /// # Errors
    /// [`FaultKind::UpstreamProtocol`] where it is not an answer of this dialect; an error object under status 200 is that error.
    fn decode_answer<'a>(&self, body: &'a [u8], headers: &HeaderMap) -> Result<Embeddings<'a>, Fault>;

    /// Writes an answer.
    ///
    /// # Errors
    /// A vector that cannot be written in the caller's encoding.
    fn encode_answer(&self, _answer: &Embeddings<'_>, _asked: &EmbedReply<'_>, _out: &mut Vec<u8>) -> Result<(), Fault> {
        Err(Fault::internal("embeddings were asked for in a dialect that has none"))
    }
}

/// One of the requests that a target is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedCall {
    /// The body.
    pub body: Vec<u8>,
    /// How many vectors it asks for.
    pub inputs: usize,
}

/// What the writer of an answer knows of the request.
#[derive(Clone, Debug)]
pub struct EmbedReply<'a> {
    /// How the caller wants to read the numbers.
    pub encoding: Encoding,
    /// Whether the caller asked for one vector by a path of its own.
    pub one: bool,
    /// Shown where the upstream names no model.
    pub model: &'a str,
    /// Told by a dialect that must name the input tokens, where the upstream does not.
    pub input_tokens_estimate: u64,
}

/// Names as lost what no other dialect has, and what this target has no word for.
pub(super) fn note_losses(request: &EmbedRequest<'_>, task: bool, title: bool, notes: &mut Notes) {
    for name in &request.unmodelled {
        notes.losses.add(name.clone());
    }
    if !task && request.inputs.iter().any(|input| input.task.is_some()) {
        notes.losses.add(request.names.task);
    }
    if !title && request.inputs.iter().any(|input| input.title.is_some()) {
        notes.losses.add(request.names.title);
    }
}

/// The text of an input, for a target that reads nothing else.
pub(super) fn text_of<'t, 'a>(content: &'t EmbedContent<'a>, request: &EmbedRequest<'_>) -> Result<&'t Text<'a>, Fault> {
    match content {
        EmbedContent::Text(text) => Ok(text),
        EmbedContent::Tokens(_) => {
            let name = request.names.inputs;
            let text = format!(
                "{name}: tokens can be read only by models with the same tokenizer, and this model has another. Send text \
                 (LangChain: check_embedding_ctx_length=False)."
            );
            Err(Fault::unsupported(name, text))
        }
    }
}
