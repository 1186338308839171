//! What of a request's body must be read before it is known where it goes: all of a JSON body, the beginning of a form,
//! nothing of anything else.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header;
use http::request::Parts;
use http_body::Body;

use super::super::held::Hold;
use super::super::ingress::{check_content, next_chunk, no_room, read_body};
use super::multipart::{Form, Search};
use crate::base::Fault;
use crate::base::json::{self, Envelope, Patch, Raw};
use crate::config::Bounds;

/// How much of a form is read in search of its `model`. A form that sends its file before is forwarded without it.
const FORM_BYTES_MAX: usize = 64 << 10;

/// A request's body, read as far as needed.
pub(super) struct Payload<B> {
    /// The model that it names, and where.
    pub model: Option<(String, Range<usize>)>,
    /// What has been read.
    pub begun: Bytes,
    /// What has not been; `None` where `begun` is all.
    pub rest: Option<B>,
    /// What `begun` holds of the memory bound.
    pub hold: Hold,
    /// Whether it is JSON, which spells names in its own way.
    json: bool,
}

impl<B> Payload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    /// Reads what must be read. Where the path has named the provider, nothing hangs on the body: one that is compressed or
    /// too large to be read is forwarded unread.
    ///
    /// # Errors
    /// Stalled or cut short; a JSON object with twins, of a wrong type of `model`, too large, or compressed.
    pub(super) async fn read(head: &Parts, body: B, bounds: &Bounds, hold: Hold, provider_named: bool) -> Result<Self, Fault> {
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let nothing = Self { model: None, begun: Bytes::new(), rest: None, hold, json: false };
        if body.is_end_stream() {
            return Ok(nothing);
        }
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            let readable = check_content(&head.headers);
            let large = body.size_hint().lower() > bounds.body_bytes_max as u64;
            if provider_named && (readable.is_err() || large) {
                return Ok(Self { rest: Some(body), ..nothing });
            }
            readable?;
            return Self::read_json(body, bounds, nothing.hold).await;
        }
        match Form::of(content_type) {
            Some(form) if !provider_named => Self::read_form(form, body, bounds, nothing.hold).await,
            _ => Ok(Self { rest: Some(body), ..nothing }),
        }
    }

    async fn read_json(body: B, bounds: &Bounds, mut hold: Hold) -> Result<Self, Fault> {
        let begun = read_body(body, bounds, &mut hold).await?;
        let mut payload = Self { model: None, begun, rest: None, hold, json: true };
        if payload.begun.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Ok(payload);
        }
        let envelope =
            Envelope::read(&payload.begun).map_err(|error| Fault::bad_request(format!("The body is not valid JSON: {error}.")))?;
        if let Some((wrong, right)) = envelope.case_variant(&payload.begun, &["model"]) {
            let wrong = String::from_utf8_lossy(&payload.begun[wrong.key]).into_owned();
            return Err(Fault::bad_request(format!("`{wrong}` must be spelt `{right}`: member names are case-sensitive.")).at(wrong));
        }
        let Some(span) = envelope.span(&payload.begun, "model") else { return Ok(payload) };
        let Some(value) = Raw::parse(&payload.begun[span.clone()]).ok().filter(|value| !value.is_null()) else { return Ok(payload) };
        let Some(name) = value.string() else {
            return Err(Fault::bad_request(format!("`model` must be a string, found {}.", value.kind_name())).at("model"));
        };
        payload.model = Some((name.into_owned(), span));
        Ok(payload)
    }

    async fn read_form(mut form: Form, mut body: B, bounds: &Bounds, mut hold: Hold) -> Result<Self, Fault> {
        let mut begun = BytesMut::new();
        let mut model = None;
        while begun.len() < FORM_BYTES_MAX && !body.is_end_stream() {
            let Some(chunk) = next_chunk(&mut body, bounds).await? else { break };
            if !hold.grow(chunk.len()) {
                return Err(no_room());
            }
            begun.extend_from_slice(&chunk);
            match form.search(&begun[..begun.len().min(FORM_BYTES_MAX)]) {
                Search::More => {}
                Search::No => break,
                Search::Found(span) => {
                    // What is no text is no name of a model: the provider will say so.
                    model = std::str::from_utf8(&begun[span.clone()]).ok().map(|name| (name.to_owned(), span));
                    break;
                }
            }
        }
        let rest = (!body.is_end_stream()).then_some(body);
        Ok(Self { model: model.filter(|(name, _)| !name.is_empty()), begun: begun.freeze(), rest, hold, json: false })
    }

    /// Reads what is left, where a provider cannot take a body before it is known.
    ///
    /// # Errors
    /// Too large, stalled or cut short.
    pub(super) async fn read_rest(&mut self, bounds: &Bounds) -> Result<(), Fault> {
        let Some(rest) = self.rest.take() else { return Ok(()) };
        let rest = read_body(rest, bounds, &mut self.hold).await?;
        self.begun = match self.begun.is_empty() {
            true => rest,
            false => [&self.begun[..], &rest[..]].concat().into(),
        };
        Ok(())
    }

    /// What has been read, with the model by the name that its provider knows.
    pub(super) fn with_model(&self, model: Option<&str>) -> Bytes {
        let (Some((asked, span)), Some(model)) = (&self.model, model) else { return self.begun.clone() };
        if asked == model {
            return self.begun.clone();
        }
        let mut with = Vec::with_capacity(model.len() + 2);
        if self.json {
            json::write_string(model, &mut with);
        } else {
            with.extend_from_slice(model.as_bytes());
        }
        json::splice(&self.begun, vec![Patch { span: span.clone(), with: with.into() }])
    }
}
