//! The pieces of an answer that a whole one and a streamed one share: the response object around it, and its items.

use super::wire::{out_of_namespace, put_usage};
use crate::base::json::{Array, Object, array, object, write_string};
use crate::dialect::Reply;
use crate::ir::{Text, Usage};

/// What every response object of one answer begins with.
pub(super) struct Head {
    id: String,
    model: String,
    created: u64,
}

/// How far an answer is.
pub(super) struct Status<'s> {
    /// The dialect's word.
    pub(super) word: &'static str,
    /// Why it is not whole.
    pub(super) incomplete: Option<&'static str>,
    /// The `error` member, as JSON.
    pub(super) error: Option<&'s [u8]>,
}

impl Head {
    /// The provider's own id, where it is one of this dialect; else one of ours.
    pub(super) fn new(id: Option<&Text<'_>>, model: Option<&Text<'_>>, created: Option<u64>, reply: &Reply) -> Self {
        let own = id.map(Text::read).filter(|id| id.starts_with("resp_"));
        Self {
            id: own.map_or_else(|| format!("resp_{}", reply.id), |id| id.into_owned()),
            model: model.map_or_else(|| reply.model.clone(), |model| model.read().into_owned()),
            created: created.unwrap_or(reply.created),
        }
    }

    /// Writes the members up to the output. What repeats a request is what holds where none says otherwise: the SDKs want
    /// the members to be there.
    pub(super) fn put(&self, status: &Status<'_>, o: &mut Object<'_>) {
        o.string("id", &self.id);
        o.string("object", "response");
        o.u64("created_at", self.created);
        o.string("status", status.word);
        o.bool("background", false);
        match status.error {
            Some(error) => o.key("error").extend_from_slice(error),
            None => o.null("error"),
        }
        match status.incomplete {
            Some(reason) => o.object("incomplete_details", |o| o.string("reason", reason)),
            None => o.null("incomplete_details"),
        }
        o.null("instructions");
        o.null("max_output_tokens");
        o.string("model", &self.model);
    }
}

/// Writes the members behind the output.
pub(super) fn put_rest(usage: Option<&Usage>, o: &mut Object<'_>) {
    o.bool("parallel_tool_calls", true);
    o.null("previous_response_id");
    o.verbatim("reasoning", r#"{"effort":null,"summary":null}"#);
    o.bool("store", false);
    o.null("temperature");
    o.verbatim("text", r#"{"format":{"type":"text"}}"#);
    o.string("tool_choice", "auto");
    o.verbatim("tools", "[]");
    o.null("top_p");
    o.string("truncation", "disabled");
    put_usage(usage, o);
    o.null("user");
    o.verbatim("metadata", "{}");
}

/// Writes `"key":"…"`; `inner` writes the inside of the literal.
pub(super) fn put_literal(o: &mut Object<'_>, key: &str, inner: impl FnOnce(&mut Vec<u8>)) {
    let out = o.key(key);
    out.push(b'"');
    inner(out);
    out.push(b'"');
}

/// Writes the members of a text part. `annotations` is a JSON array.
pub(super) fn put_text(o: &mut Object<'_>, inner: impl FnOnce(&mut Vec<u8>), annotations: Option<&str>) {
    o.string("type", "output_text");
    o.verbatim("annotations", annotations.unwrap_or("[]"));
    o.verbatim("logprobs", "[]");
    put_literal(o, "text", inner);
}

/// Writes the members of a refusal part.
pub(super) fn put_refusal(o: &mut Object<'_>, inner: impl FnOnce(&mut Vec<u8>)) {
    o.string("type", "refusal");
    put_literal(o, "refusal", inner);
}

/// A call as the caller knows it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    id: String,
    name: String,
    namespace: Option<String>,
    /// Whether the caller's tool is a free-form one.
    pub(super) custom: bool,
    /// Whether its text comes wrapped in an object, since upstream it is a function.
    pub(super) wrapped: bool,
}

impl Call {
    /// The call under the caller's names.
    pub(super) fn new(id: &Text<'_>, name: &Text<'_>, custom: bool, made: &Made<'_>) -> Self {
        let upstream = name.read();
        let restored = made.reply.tools.restore(&upstream);
        let was_custom = restored.is_some_and(|(_, custom)| custom);
        let (namespace, name) = out_of_namespace(restored.map_or(&upstream, |(name, _)| name));
        Self {
            id: if id.is_empty() { made.id("call_") } else { id.read().into_owned() },
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            custom: custom || was_custom,
            wrapped: was_custom && !custom,
        }
    }

    /// Writes the name and, where it has one, the namespace.
    pub(super) fn put_name(&self, o: &mut Object<'_>) {
        o.string("name", &self.name);
        if let Some(namespace) = &self.namespace {
            o.string("namespace", namespace);
        }
    }

    /// The prefix of its item's id.
    pub(super) fn prefix(&self) -> &'static str {
        if self.custom { "ctc_" } else { "fc_" }
    }
}

/// Writes items; their ids follow from the exchange and the item's place, so that the same answer has the same ids.
pub(super) struct Made<'m> {
    /// The exchange.
    pub(super) reply: &'m Reply,
    /// The item's place in the output.
    pub(super) place: usize,
}

impl Made<'_> {
    /// An id for the item.
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}{}{:03}", self.reply.id, self.place)
    }

    /// A message of these parts.
    pub(super) fn message(&self, status: &str, out: &mut Vec<u8>, parts: impl FnOnce(&mut Array<'_>)) {
        object(out, |o| {
            o.string("id", &self.id("msg_"));
            o.string("type", "message");
            o.string("status", status);
            array(o.key("content"), parts);
            o.string("role", "assistant");
        });
    }

    /// A thought. Without words it is a proof alone; words that are empty are kept as such: see
    /// [`super::wire::reasoning_part`].
    pub(super) fn reasoning(&self, out: &mut Vec<u8>, words: Option<impl FnOnce(&mut Vec<u8>)>, proof: Option<&Text<'_>>) {
        object(out, |o| {
            o.string("id", &self.id("rs_"));
            o.string("type", "reasoning");
            o.array("summary", |a| {
                if let Some(words) = words {
                    a.object(|o| {
                        o.string("type", "summary_text");
                        put_literal(o, "text", words);
                    });
                }
            });
            if let Some(proof) = proof {
                proof.put("encrypted_content", o);
            }
        });
    }

    /// A call; `inner` writes the inside of the literal of its arguments.
    pub(super) fn call(&self, call: &Call, status: &str, out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>)) {
        object(out, |o| {
            o.string("id", &self.id(call.prefix()));
            o.string("type", if call.custom { "custom_tool_call" } else { "function_call" });
            o.string("status", status);
            put_literal(o, if call.custom { "input" } else { "arguments" }, inner);
            write_string(&call.id, o.key("call_id"));
            call.put_name(o);
        });
    }
}
