//! Wire schemas ⇄ the neutral form: synchronous, pure, one folder for each dialect.
//!
//! A dialect is code, a provider is data: what differs between providers of one dialect comes in as
//! [`ModelTraits`]. Adding a dialect is one folder and one line in [`codec`].

pub mod anthropic;
pub mod asked;
pub mod bedrock;
mod broken;
mod call_id;
mod embed;
mod free_form;
pub mod gemini;
mod marks;
mod notes;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
mod refuse;
#[cfg(test)]
mod tests;
pub mod wait;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

pub use embed::{EmbedCall, EmbedReply, EmbeddingsCodec};
pub use notes::{Losses, Notes, ToolNames};

use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::base::rng::ExchangeId;
use crate::base::sse::Frame;
use crate::ir::{Answer, Dialect, Event, FinishReason, ModelTraits, Operation, Request, Text, Usage};

/// The registry: one `match`, so that the compiler finds what a new dialect lacks.
pub fn codec(dialect: Dialect) -> &'static dyn Codec {
    match dialect {
        Dialect::OpenAiChat => &openai_chat::OpenAiChat,
        Dialect::OpenAiResponses => &openai_responses::OpenAiResponses,
        Dialect::Anthropic => &anthropic::Anthropic,
        Dialect::Gemini => &gemini::Gemini,
        Dialect::Bedrock => &bedrock::Bedrock,
    }
}

/// What one dialect must know. Decoders borrow from the wire text, encoders append to the caller's buffer.
pub trait Codec: Sync {
    /// Which dialect this is.
    fn dialect(&self) -> Dialect;

    /// The path of an operation behind the provider's base URL, `None` where the dialect has none. Some dialects name
    /// the model in it, percent-encoded where a path needs it, and whether the answer is a stream.
    fn path(&self, operation: Operation, model: &str, stream: bool) -> Option<Cow<'static, str>>;

    /// The query that a streamed request wants (`alt=sse`), for a caller of another dialect.
    fn stream_query(&self) -> Option<&'static str> {
        None
    }

    /// How its streams are cut, when this gateway asks for one.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// The header in which its SDKs look for the request's id.
    fn request_id_header(&self) -> &'static str;

    /// The header that tells a fault's type beside the body, where the dialect has one.
    fn error_header(&self, _: &Fault) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Headers that a provider of this dialect wants and a caller of another does not send.
    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Top-level request members by which policy decides: a case variant of one is refused, since a lenient reader
    /// upstream would take it for the member itself.
    fn known_members(&self) -> &'static [&'static str];

    /// Reads a chat request. The body is valid JSON, so errors are about types and meaning. Where the path names the model
    /// and the stream, the caller of this function sets [`Request::model`] and [`Request::stream`].
    ///
    /// # Errors
    /// A fault of the caller's, with `param` naming the member (`messages[2].content`), the expected type and what was found.
    fn decode_request<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, Fault> {
        self.read_request(Raw::parse(body).map_err(|error| Fault::bad_request(format!("the body is not JSON: {error}")))?)
    }

    /// The same, of a body that has been validated.
    ///
    /// # Errors
    /// As above.
    fn read_request<'a>(&self, root: Raw<'a>) -> Result<Request<'a>, Fault>;

    /// Writes a chat request for `model`. What the dialect cannot say goes to `notes.losses`; what would change the
    /// meaning of the request (several answers, a file of another provider) is refused.
    ///
    /// # Errors
    /// [`crate::base::FaultKind::Unsupported`], with `param` in the caller's words where they are known.
    fn encode_request(
        &self,
        request: &Request<'_>,
        model: &str,
        traits: &ModelTraits,
        notes: &mut Notes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault>;

    /// Reads a whole answer of status 200.
    ///
    /// # Errors
    /// [`crate::base::FaultKind::UpstreamProtocol`] where it is not an answer of this dialect; an error object under status 200 is that error.
    fn decode_answer<'a>(&self, body: &'a [u8]) -> Result<Answer<'a>, Fault>;

    /// Writes a whole answer.
    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, out: &mut Vec<u8>);

    /// What accounting wants of a whole answer that is passed on unchanged.
    ///
    /// # Errors
    /// The body is not JSON: [`crate::base::FaultKind::UpstreamProtocol`].
    fn observe_answer(&self, body: &[u8]) -> Result<Observed, Fault>;

    /// Reads an error answer: `status` is not 2xx, the body may be anything.
    fn decode_error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault;

    /// The status that this dialect's SDKs expect for a fault.
    fn error_status(&self, fault: &Fault) -> StatusCode;

    /// Writes an error body.
    fn encode_error(&self, fault: &Fault, id: ExchangeId, out: &mut Vec<u8>);

    /// Writes the error event that ends a broken stream of this framing, complete with its blank line. Never an end
    /// mark, but for the bracket of a JSON array, whose elements `begun` tells of.
    fn encode_stream_error(&self, fault: &Fault, id: ExchangeId, framing: Framing, begun: bool, out: &mut Vec<u8>);

    /// Writes the answer to a question for the number of input tokens; `false` where the dialect has no such question.
    fn encode_token_count(&self, _tokens: u64, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// How it speaks of embeddings, where it does.
    fn embeddings(&self) -> Option<&'static dyn EmbeddingsCodec> {
        None
    }

    /// A reader of one streamed answer.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;

    /// A writer of one streamed answer.
    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder>;
}

/// Reads the frames of one streamed answer.
pub trait StreamDecoder: Send {
    /// Hands the meanings of one frame to `sink`, in order. Tolerates what the dialect's own SDK tolerates.
    ///
    /// # Errors
    /// [`crate::base::FaultKind::UpstreamProtocol`] where the frame cannot be read.
    fn decode(&mut self, frame: &Frame, sink: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault>;
}

/// Writes one streamed answer. Whatever comes in, what goes out keeps the dialect's grammar: parts never overlap, and
/// open ones are closed before the end.
pub trait StreamEncoder: Send {
    /// Appends the wire text of one event. [`Event::End`] closes the stream with the dialect's end mark,
    /// [`Event::Fault`] with its error event.
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>);

    /// What the dialect could not say so far.
    fn losses(&self) -> &Losses;
}

/// What the writer of an answer knows of the exchange.
#[derive(Clone, Debug)]
pub struct Reply {
    /// For ids that the dialect wants and the upstream did not give.
    pub id: ExchangeId,
    /// Shown where the upstream names no model.
    pub model: String,
    /// Seconds since the Unix epoch, where the upstream gives none.
    pub created: u64,
    /// Whether the caller asked for usage in the stream (OpenAI's `stream_options.include_usage`).
    pub stream_usage: bool,
    /// Upper estimate of the input tokens, for a stream that must name them before the provider does.
    pub input_tokens_estimate: u64,
    /// Tool names as the caller knows them.
    pub tools: ToolNames,
    /// How the caller's stream is cut.
    pub framing: Framing,
}

impl Reply {
    /// The name by which the caller knows a tool.
    fn caller_name<'n>(&'n self, upstream: &'n Text<'_>) -> Cow<'n, str> {
        let upstream = upstream.read();
        match self.tools.restore(&upstream) {
            Some((caller, _)) => Cow::Borrowed(caller),
            None => upstream,
        }
    }
}

/// What accounting reads from an answer that passes unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The tokens, where told.
    pub usage: Option<Usage>,
    /// Why it ended, where told.
    pub finish: Option<FinishReason>,
}
