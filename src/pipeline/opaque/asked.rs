//! What a path asks for that this gateway does not read: whose API it belongs to, and what stands behind the base URL.

use std::ops::Range;

use http::Method;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::ingress::likely_dialect;
use crate::base::Fault;
use crate::ir::Dialect;

/// What begins an API path of OpenAI or Anthropic, for SDKs that were given the base URL without its `/v1`.
const FAMILIES: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "chat",
    "complete",
    "completions",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "messages",
    "moderations",
    "organization",
    "organizations",
    "realtime",
    "rerank",
    "responses",
    "skills",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// A path that is forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Asked {
    /// Where the path names the provider.
    pub provider: Option<String>,
    /// Whose API it is: the dialect of errors, and of the providers that may be asked.
    pub dialect: Dialect,
    /// What stands behind the provider's base URL, as it was spelled.
    pub rest: String,
    /// Whether it is under `/upload` (Gemini's files), which stands before the version of the base URL.
    pub upload: bool,
    /// The model, where the path names it: what it says, and where in `rest` it stands.
    pub model: Option<(String, Range<usize>)>,
}

impl Asked {
    /// What a request asks for; `None` where nothing of it is a provider's path. Whether the gateway itself has an answer
    /// to the path must have been asked before.
    pub(in crate::pipeline) fn of(head: &Parts) -> Option<Self> {
        let path = head.uri.path();
        if let Some(behind) = path.strip_prefix("/providers/") {
            let (name, rest) = behind.find('/').map_or((behind, ""), |at| behind.split_at(at));
            return (!name.is_empty()).then(|| Self { provider: Some(name.to_owned()), ..Self::new(likely_dialect(head), rest) });
        }
        // A browser's question, which only this gateway could answer.
        if head.method == Method::OPTIONS {
            return None;
        }
        if path.starts_with("/model/") || path.starts_with("/guardrail/") || path.starts_with("/async-invoke") {
            return Some(Self { model: between(path, "/model/", '/'), ..Self::new(Dialect::Bedrock, path) });
        }
        if let Some(rest) = below(path, "/upload/v1beta") {
            return Some(Self { upload: true, ..Self::new(Dialect::Gemini, rest) });
        }
        if let Some(rest) = below(path, "/v1beta") {
            return Some(Self { model: between(rest, "/models/", ':'), ..Self::new(Dialect::Gemini, rest) });
        }
        if let Some(rest) = below(path, "/v1") {
            if rest.starts_with("/projects/") || names_method(path) {
                return Some(Self { model: between(rest, "/models/", ':'), ..Self::new(Dialect::Gemini, rest) });
            }
            return Some(Self::new(family(head), rest));
        }
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        FAMILIES.contains(&first).then(|| Self::new(family(head), path))
    }

    fn new(dialect: Dialect, rest: &str) -> Self {
        Self { provider: None, dialect, rest: rest.to_owned(), upload: false, model: None }
    }

    /// Refuses a path that a server might take for another one than was asked for: one that climbs, above the base URL
    /// too.
    pub(in crate::pipeline) fn check(&self) -> Result<(), Fault> {
        let climbs = |segment: &str| {
            let plain = percent_decode_str(segment).decode_utf8_lossy();
            plain == "." || plain == ".." || plain.contains("/..") || plain.contains("../") || plain.contains('\\')
        };
        if self.rest.split('/').any(climbs) {
            return Err(Fault::bad_request("The path has a segment `.` or `..`, or a backslash: ask for the path that is meant."));
        }
        Ok(())
    }

    /// The path behind the base URL, with the model by the name that its provider knows.
    pub(super) fn path(&self, model: Option<&str>) -> String {
        match (&self.model, model) {
            (Some((asked, span)), Some(model)) if asked != model => {
                let encoded = utf8_percent_encode(model, IN_SEGMENT).to_string();
                format!("{}{encoded}{}", &self.rest[..span.start], &self.rest[span.end..])
            }
            _ => self.rest.clone(),
        }
    }
}

/// Whether the path ends in a method of a Gemini model, known or not (`…/models/MODEL:predict`).
pub(in crate::pipeline) fn names_method(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    path.contains("/models/") && last.contains(':')
}

/// What needs no encoding within a segment of a path, or a value of a query.
pub(super) const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whose API an unprefixed path is: OpenAI's, unless something says another's.
fn family(head: &Parts) -> Dialect {
    match likely_dialect(head) {
        // Its errors are those of the older dialect, word by word.
        Dialect::OpenAiResponses => Dialect::OpenAiChat,
        other => other,
    }
}

/// The path below a prefix, with its leading slash.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// The segment behind `before` and up to `end`, decoded, and its span.
fn between(path: &str, before: &str, end: char) -> Option<(String, Range<usize>)> {
    let start = path.find(before)? + before.len();
    let length = path[start..].rfind(end).filter(|_| end == ':').or_else(|| path[start..].find(end))?;
    let span = start..start + length;
    let name = percent_decode_str(&path[span.clone()]).decode_utf8().ok()?.into_owned();
    (!name.is_empty()).then_some((name, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<Asked> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn paths_have_an_owner() {
        use Dialect::{Anthropic, Bedrock, Gemini, OpenAiChat};
        let anthropic = [("anthropic-version", "2023-06-01")];
        type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], Dialect, &'r str);
        let table: &[Row<'_>] = &[
            ("/v1/files", &[], OpenAiChat, "/files"),
            ("/v1/files", &anthropic, Anthropic, "/files"),
            ("/files/f/content", &[], OpenAiChat, "/files/f/content"),
            ("/v1/responses/r/cancel", &[], OpenAiChat, "/responses/r/cancel"),
            ("/v1/messages/batches", &[], Anthropic, "/messages/batches"),
            ("/v1/what/is/new", &[], OpenAiChat, "/what/is/new"),
            ("/v1beta/cachedContents", &[], Gemini, "/cachedContents"),
            ("/v1beta/models/imagen:predict", &[], Gemini, "/models/imagen:predict"),
            ("/v1/models/imagen:predict", &[], Gemini, "/models/imagen:predict"),
            ("/upload/v1beta/files", &[], Gemini, "/files"),
            ("/model/m/invoke", &[], Bedrock, "/model/m/invoke"),
            ("/guardrail/g/version/1/apply", &[], Bedrock, "/guardrail/g/version/1/apply"),
        ];
        for (path, headers, dialect, rest) in table {
            let asked = asked("POST", path, headers).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((asked.dialect, asked.rest.as_str(), asked.provider), (*dialect, *rest, None), "{path}");
        }
        for path in ["/", "/v1", "/v1/", "/favicon.ico", "/v1x/files", "/providers/", "/upload", "/v2/files"] {
            assert_eq!(asked("GET", path, &[]), None, "{path}");
        }
        assert_eq!(asked("OPTIONS", "/v1/files", &[]), None);
        let named = asked("OPTIONS", "/providers/a.b/x//y", &[]).unwrap();
        assert_eq!((named.provider.as_deref(), named.rest.as_str()), (Some("a.b"), "/x//y"));
        assert_eq!(asked("GET", "/providers/p", &[]).unwrap().rest, "");
    }

    #[test]
    fn the_model_of_a_path_is_found_and_written_over() {
        let table = [
            ("/model/a%2Fb:0/invoke", "a/b:0", "/model/x%2Fy%3A1/invoke"),
            ("/v1beta/models/imagen-4:predict", "imagen-4", "/models/x%2Fy%3A1:predict"),
            ("/v1/models/ft:x:predict", "ft:x", "/models/x%2Fy%3A1:predict"),
        ];
        for (path, model, written) in table {
            let asked = asked("POST", path, &[]).unwrap();
            assert_eq!(asked.model.as_ref().unwrap().0, model, "{path}");
            assert_eq!(asked.path(Some("x/y:1")), written, "{path}");
            assert_eq!(asked.path(Some(model)), asked.rest, "{path}");
        }
    }

    #[test]
    fn nothing_climbs() {
        for path in ["/v1/files/../x", "/v1/./x", "/providers/p/%2e%2E/x", "/providers/p/a%2f..%2fb", "/providers/p/..%5cx", "/v1beta/.."] {
            assert!(asked("GET", path, &[]).unwrap().check().is_err(), "{path}");
        }
        for path in ["/v1/files/a..b", "/providers/p/...", "/v1/x.y/.z", "/model/arn%3Aaws%3A%3Aa%2Fb/invoke"] {
            asked("GET", path, &[]).unwrap().check().unwrap();
        }
    }
}
