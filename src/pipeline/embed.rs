//! Embeddings for a target of another dialect: one request to several calls where the target takes fewer inputs at a time, and
//! their answers to one.

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer::{self, Refusal};
use super::good::{Content, Good};
use super::ingress::{self, Call};
use super::one_try::{Answered, AnsweredBody, Learnt, Tried, Try};
use super::outbound::{Prepared, renamed};
use crate::base::json::{Patch, Raw};
use crate::base::{Fault, FaultKind, Secret};
use crate::config::{Layout, Target};
use crate::dialect::{EmbedReply, EmbeddingsCodec, Notes, codec};
use crate::ir::{Dialect, Embeddings, Encoding, Usage};

/// How many calls of one request are under way at a time.
const LANES: usize = 8;

/// What was asked for, to read the answers by.
pub(super) struct Asked {
    /// How the caller wants to read the numbers.
    encoding: Encoding,
    /// The length of each vector, where asked for.
    dimensions: Option<u64>,
    /// How many vectors each call asks for.
    inputs: Vec<usize>,
    /// The bodies of the calls after the first.
    further: Vec<Bytes>,
}

impl Asked {
    /// Whether more than one call must be made.
    pub(super) fn has_several_calls(&self) -> bool {
        !self.further.is_empty()
    }
}

/// Makes the bodies for a target that speaks `dialect`.
///
/// # Errors
/// One of the two dialects has no embeddings, the request cannot be read, or the target cannot do what it asks for.
pub(super) fn prepare(call: &Call, target: &Target, dialect: Dialect, notes: &mut Notes) -> Result<(Bytes, Asked), Fault> {
    let (caller, provider) = (speaker(call.endpoint.dialect, target)?, speaker(dialect, target)?);
    if target.provider.layout == Layout::Vertex && dialect == Dialect::Gemini {
        let text = format!(
            "{}/{}: embeddings on Vertex are not translated: ask in its own dialect, by a path ending in `:embedContent` or `:predict`.",
            target.provider.name, target.model
        );
        return Err(Fault::unsupported("model", text));
    }
    let request = caller.read_request(root(call)?, call.endpoint.one_embedding)?;
    let calls = provider.encode_request(&request, &target.model, notes)?;
    let inputs = calls.iter().map(|call| call.inputs).collect();
    let mut bodies = calls.into_iter().map(|call| Bytes::from(call.body));
    let first = bodies.next().ok_or_else(|| Fault::internal("a request for embeddings became no call"))?;
    Ok((first, Asked { encoding: request.encoding, dimensions: request.dimensions, inputs, further: bodies.collect() }))
}

fn speaker(dialect: Dialect, target: &Target) -> Result<&'static dyn EmbeddingsCodec, Fault> {
    codec(dialect).embeddings().ok_or_else(|| {
        let text = format!("{}/{} has no embeddings: its dialect knows none.", target.provider.name, target.model);
        Fault::unsupported("model", text)
    })
}

/// The patches that put the target's name of the model where a request of the same dialect repeats the caller's.
pub(super) fn rename(call: &Call, target: &Target) -> Vec<Patch> {
    let Some(speaker) = codec(call.endpoint.dialect).embeddings() else { return Vec::new() };
    let Ok(root) = root(call) else { return Vec::new() };
    let start = call.body.as_ptr().addr();
    let names = speaker.names_of_model(root, call.endpoint.one_embedding).into_iter();
    let patches = names.filter_map(|name| {
        let from = name.get().as_ptr().addr().checked_sub(start)?;
        Some(Patch { span: from..from + name.get().len(), with: renamed(name, &target.model) })
    });
    patches.collect()
}

fn root(call: &Call) -> Result<Raw<'_>, Fault> {
    call.envelope.root(&call.body).ok_or_else(|| Fault::internal("the body is not the one whose members were noted"))
}

/// Makes all the calls, a few at a time. The first that fails ends the others.
///
/// # Errors
/// That of the first call that failed.
pub(super) async fn ask_each(this: &Try<'_>, prepared: &Prepared, asked: &Asked, sent: &mut Option<Secret>) -> Result<Answered, Refusal> {
    let calls = 1 + asked.further.len();
    let next = AtomicUsize::new(0);
    let secret = OnceLock::new();
    let lane = || async {
        let mut answers = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let body = match place.checked_sub(1) {
                None => &prepared.body,
                Some(further) => match asked.further.get(further) {
                    Some(body) => body,
                    None => return Ok(answers),
                },
            };
            let part = prepared.with_body(body.clone());
            let mut sent = None;
            let answered = this.ask(&part, &mut sent).await;
            sent.into_iter().for_each(|sent| drop(secret.set(sent)));
            answers.push((place, answered?));
        }
    };
    let mut lanes: Vec<Option<Lane<'_>>> = (0..LANES.min(calls)).map(|_| Some(Box::pin(lane()) as Lane<'_>)).collect();
    let mut answers = Vec::with_capacity(calls);
    let outcome = std::future::poll_fn(|cx| {
        for slot in &mut lanes {
            let Some(lane) = slot else { continue };
            match lane.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(mut more)) => {
                    answers.append(&mut more);
                    *slot = None;
                }
                Poll::Ready(Err(refusal)) => return Poll::Ready(Err(refusal)),
            }
        }
        if lanes.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await;
    drop(lanes);
    *sent = secret.into_inner();
    outcome?;
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(Answered { headers: HeaderMap::new(), body: AnsweredBody::Several(answers.into_iter().map(|(_, answer)| answer).collect()) })
}

type Lane<'l> = Pin<Box<dyn Future<Output = Result<Vec<(usize, Answered)>, Refusal>> + Send + 'l>>;

/// Turns the answers into one in the caller's dialect.
///
/// # Errors
/// An answer that is none, or not to what was asked.
pub(super) fn understand(this: &Try<'_>, prepared: &mut Prepared, asked: &Asked, answered: Answered) -> Result<Tried, Fault> {
    let Try { line, call, .. } = *this;
    let target = this.target();
    let (caller, provider) = (speaker(call.endpoint.dialect, target)?, speaker(prepared.dialect, target)?);
    let answers = match answered {
        Answered { body: AnsweredBody::Several(several), .. } => several,
        one => vec![one],
    };
    let mut all = Embeddings::default();
    let mut bytes = 0;
    if answers.len() != asked.inputs.len() {
        return Err(Fault::internal("not every call for embeddings was answered"));
    }
    for (answered, inputs) in answers.iter().zip(&asked.inputs) {
        let AnsweredBody::Whole(body, _) = &answered.body else {
            return Err(Fault::internal("embeddings were answered with a stream"));
        };
        let answer = provider.decode_answer(body, &answered.headers)?;
        check(&answer, *inputs, asked.dimensions, target)?;
        bytes += body.len();
        all.vectors.extend(answer.vectors);
        all.model = all.model.or(answer.model);
        // What is not told of some would make the sum wrong, but less so than telling nothing.
        all.input_tokens = match (all.input_tokens, answer.input_tokens) {
            (Some(before), Some(more)) => Some(before.saturating_add(more)),
            (before, more) => before.or(more),
        };
    }
    let usage = Usage { input_tokens: all.input_tokens, ..Usage::default() };
    let learnt = Learnt { usage, output_bytes: bytes as u64, ..Learnt::default() };
    let reply = EmbedReply {
        encoding: asked.encoding,
        one: call.endpoint.one_embedding,
        model: &call.model,
        input_tokens_estimate: super::account::tokens_of_bytes(call.body.len() as u64),
    };
    let mut out = Vec::with_capacity(bytes + 256);
    caller.encode_answer(&all, &reply, &mut out)?;
    let mut hold = line.shared.stores.held.open();
    if !hold.grow(out.len()) {
        return Err(ingress::no_room());
    }
    let no_headers = HeaderMap::new();
    let theirs = answers.first().map_or(&no_headers, |answered| &answered.headers);
    let headers = answer::translated_answer_headers(theirs, call.endpoint.dialect, this.exchange.id, None);
    let losses = std::mem::take(&mut prepared.notes.losses);
    let good = Good { status: StatusCode::OK, headers, content: Content::Whole(out.into(), Some(hold)), losses };
    Ok(Tried { good, learnt })
}

/// Whether an answer has as many vectors as were asked for, of the length that was asked for.
fn check(answer: &Embeddings<'_>, inputs: usize, dimensions: Option<u64>, target: &Target) -> Result<(), Fault> {
    let unlike = |what: String| {
        let text = format!("{} answered with {what}.", target.provider.name);
        Fault::upstream(FaultKind::UpstreamProtocol, text)
    };
    if answer.vectors.len() != inputs {
        return Err(unlike(format!("{} embeddings where {inputs} were asked for", answer.vectors.len())));
    }
    let given = answer.vectors.first().and_then(|vector| vector.dimensions());
    match (dimensions, given) {
        (Some(asked), Some(given)) if asked != given as u64 => {
            Err(unlike(format!("embeddings of {given} numbers where {asked} were asked for")))
        }
        _ => Ok(()),
    }
}
