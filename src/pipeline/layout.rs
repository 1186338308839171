//! The paths of providers that do not lay them out as their dialect says, and what follows from it for the body.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::json::{self, Envelope, Patch};
use crate::config::{Layout, Target};
use crate::dialect::codec;
use crate::ir::{Dialect, Operation};

/// What stays as it is in one segment of a path. `@` divides a model of Vertex from its version.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// The path of an operation behind the provider's base URL; `None` where it has none there.
pub(super) fn path(target: &Target, dialect: Dialect, operation: Operation, stream: bool) -> Option<Cow<'static, str>> {
    let usual = codec(dialect).path(operation, &target.model, stream);
    laid_out(&target.provider.layout, usual, dialect, operation, &target.model, stream)
}

/// The path that asks for one embedding, in a dialect that has another for several.
pub(super) fn path_of_one_embedding(target: &Target, dialect: Dialect) -> Option<Cow<'static, str>> {
    let usual = codec(dialect).embeddings().and_then(|embeddings| embeddings.path_of_one(&target.model));
    laid_out(&target.provider.layout, usual, dialect, Operation::Embeddings, &target.model, false)
}

/// The path in a layout, from the path that the dialect knows.
pub(super) fn laid_out(
    layout: &Layout,
    usual: Option<Cow<'static, str>>,
    dialect: Dialect,
    operation: Operation,
    model: &str,
    stream: bool,
) -> Option<Cow<'static, str>> {
    match (layout, dialect) {
        (Layout::Standard, _) => usual,
        (Layout::AzureDeployments(named), Dialect::OpenAiChat) if operation != Operation::Models => {
            let deployment = named.as_deref().unwrap_or(model);
            Some(format!("/deployments/{}{}", utf8_percent_encode(deployment, SEGMENT), usual?).into())
        }
        (Layout::AzureDeployments(_), _) => usual,
        // Its lists of models are of another version of the API, and of another form.
        (Layout::Vertex, _) if operation == Operation::Models => None,
        (Layout::Vertex, Dialect::Anthropic) => {
            let claude =
                |model: &str, method: &str| format!("/publishers/anthropic/models/{}:{method}", utf8_percent_encode(model, SEGMENT));
            match operation {
                Operation::Chat if stream => Some(claude(model, "streamRawPredict").into()),
                Operation::Chat => Some(claude(model, "rawPredict").into()),
                Operation::CountTokens => Some(claude("count-tokens", "rawPredict").into()),
                _ => None,
            }
        }
        (Layout::Vertex, Dialect::Gemini) => Some(format!("/publishers/google{}", usual?).into()),
        (Layout::Vertex, _) => Some(format!("/endpoints/openapi{}", usual?).into()),
    }
}

/// Vertex's own version of Anthropic's API, in the body of each request. It takes whatever the first version takes.
const VERTEX_VERSION: &[u8] = br#""anthropic_version":"vertex-2023-10-16""#;

/// Whether a target wants Anthropic's body as Vertex does: the version in it, the model in the path.
pub(super) fn wants_vertex_body(target: &Target, dialect: Dialect) -> bool {
    target.provider.layout == Layout::Vertex && dialect == Dialect::Anthropic
}

/// The body that Vertex wants of a chat that our codec wrote, whose first member is the model; `None` where it is not.
pub(super) fn vertex_body(model: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut named = Vec::with_capacity(model.len() + 16);
    json::object(&mut named, |object| object.string("model", model));
    let rest = body.strip_prefix(named.strip_suffix(b"}")?)?;
    Some([b"{", VERTEX_VERSION, rest].concat())
}

/// The patches that make the body that Vertex wants of the app's own; none of them touches the value of a model that stays.
pub(super) fn vertex_patches(body: &Bytes, envelope: &Envelope, operation: Operation) -> Vec<Patch> {
    let versioned = envelope.get(body, "anthropic_version").is_some();
    let model = match operation {
        // Which model counts the tokens is told by the body alone.
        Operation::CountTokens => None,
        _ => position(body, envelope, "model"),
    };
    let members = envelope.members();
    // With the quotes of its key.
    let whole = |at: usize| members.get(at).map(|member| member.key.start - 1..member.value.end);
    match (model, versioned) {
        (None, true) => Vec::new(),
        (None, false) => {
            let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
            vec![Patch { span: envelope.open..envelope.open, with: [VERTEX_VERSION, comma].concat().into() }]
        }
        (Some(at), false) => whole(at).map(|span| Patch { span, with: Bytes::from_static(VERTEX_VERSION) }).into_iter().collect(),
        (Some(at), true) => {
            // One comma goes with it: the one behind, or before where it is the last.
            let span = match (whole(at), whole(at + 1), at.checked_sub(1).and_then(whole)) {
                (Some(own), Some(next), _) => Some(own.start..next.start),
                (Some(own), None, Some(before)) => Some(before.end..own.end),
                (own, ..) => own,
            };
            span.map(|span| Patch { span, with: Bytes::new() }).into_iter().collect()
        }
    }
}

fn position(body: &Bytes, envelope: &Envelope, name: &str) -> Option<usize> {
    let value = envelope.span(body, name)?;
    envelope.members().iter().position(|member| member.value == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_in(
        layout: &Layout,
        usual: Option<&'static str>,
        dialect: Dialect,
        operation: Operation,
        model: &str,
        stream: bool,
    ) -> Option<String> {
        laid_out(layout, usual.map(Cow::Borrowed), dialect, operation, model, stream).map(Cow::into_owned)
    }

    #[test]
    fn paths_follow_the_layout() {
        use Dialect::{Anthropic, Gemini, OpenAiChat, OpenAiResponses};
        use Operation::{Chat, CountTokens, Embeddings, Models};
        let (dated, fixed) = (Layout::AzureDeployments(None), Layout::AzureDeployments(Some("one".into())));
        let (vertex, standard) = (Layout::Vertex, Layout::Standard);
        let completions = Some("/chat/completions");
        // (layout, the dialect's path, dialect, operation, model, stream, path)
        let cases = [
            (&standard, completions, OpenAiChat, Chat, "m", false, completions),
            (&dated, completions, OpenAiChat, Chat, "my gpt/4", true, Some("/deployments/my%20gpt%2F4/chat/completions")),
            (&dated, Some("/embeddings"), OpenAiChat, Embeddings, "e", false, Some("/deployments/e/embeddings")),
            (&dated, Some("/models"), OpenAiChat, Models, "", false, Some("/models")),
            (&dated, Some("/responses"), OpenAiResponses, Chat, "m", false, Some("/responses")),
            (&fixed, completions, OpenAiChat, Chat, "m", false, Some("/deployments/one/chat/completions")),
            (&dated, None, OpenAiChat, CountTokens, "m", false, None),
            (
                &vertex,
                Some("/messages"),
                Anthropic,
                Chat,
                "claude-opus-4-5@20251101",
                false,
                Some("/publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict"),
            ),
            (&vertex, Some("/messages"), Anthropic, Chat, "../x", true, Some("/publishers/anthropic/models/..%2Fx:streamRawPredict")),
            (
                &vertex,
                Some("/messages/count_tokens"),
                Anthropic,
                CountTokens,
                "claude-x",
                false,
                Some("/publishers/anthropic/models/count-tokens:rawPredict"),
            ),
            (&vertex, Some("/models"), Anthropic, Models, "", false, None),
            (
                &vertex,
                Some("/models/gemini-3:generateContent"),
                Gemini,
                Chat,
                "gemini-3",
                false,
                Some("/publishers/google/models/gemini-3:generateContent"),
            ),
            (&vertex, completions, OpenAiChat, Chat, "google/gemini-3", false, Some("/endpoints/openapi/chat/completions")),
        ];
        for (layout, usual, dialect, operation, model, stream, expected) in cases {
            assert_eq!(path_in(layout, usual, dialect, operation, model, stream).as_deref(), expected, "{layout:?} {dialect:?} {model}");
        }
    }

    #[test]
    fn vertex_bodies_have_the_version_and_no_model() {
        let version = r#""anthropic_version":"vertex-2023-10-16""#;
        // (body, the chat's, the count's)
        let cases = [
            (r#"{"model":"m"}"#, format!("{{{version}}}"), format!("{{{version},\"model\":\"m\"}}")),
            (
                r#"{ "model" : "m" , "x":1.50}"#,
                format!("{{ {version} , \"x\":1.50}}"),
                format!("{{{version}, \"model\" : \"m\" , \"x\":1.50}}"),
            ),
            (
                r#"{"x":"model", "mod\u0065l":"m"}"#,
                format!("{{\"x\":\"model\", {version}}}"),
                format!("{{{version},\"x\":\"model\", \"mod\\u0065l\":\"m\"}}"),
            ),
            (
                r#"{"model":"m","anthropic_version":"v","x":1}"#,
                r#"{"anthropic_version":"v","x":1}"#.into(),
                r#"{"model":"m","anthropic_version":"v","x":1}"#.into(),
            ),
            (
                r#"{"anthropic_version":"v", "model":"m"}"#,
                r#"{"anthropic_version":"v"}"#.into(),
                r#"{"anthropic_version":"v", "model":"m"}"#.into(),
            ),
            ("{}", format!("{{{version}}}"), format!("{{{version}}}")),
        ];
        for (body, chat, count) in cases {
            let bytes = Bytes::from(body);
            let envelope = Envelope::read(&bytes).unwrap();
            for (operation, expected) in [(Operation::Chat, chat), (Operation::CountTokens, count)] {
                let made = json::splice(&bytes, vertex_patches(&bytes, &envelope, operation));
                assert_eq!(made, expected.as_bytes(), "{body}");
                Envelope::read(&made).unwrap();
            }
        }
    }
    #[test]
    fn a_translated_body_has_the_version_in_place_of_its_model() {
        let version = r#""anthropic_version":"vertex-2023-10-16""#;
        let made = |body: &str| vertex_body("m\"", body.as_bytes()).map(|made| String::from_utf8(made).unwrap());
        assert_eq!(made(r#"{"model":"m\"","max_tokens":1}"#), Some(format!("{{{version},\"max_tokens\":1}}")));
        assert_eq!(made(r#"{"max_tokens":1,"model":"m\""}"#), None);
    }
}
