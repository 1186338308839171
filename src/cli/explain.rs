//! `outrider explain`: what would happen to a request, and why.

use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request};

use super::{Exit, reject, warn, written};
use crate::base::json::Envelope;
use crate::config::{Config, Outside};
use crate::run;

/// What a request is explained by, beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its path; found by the body where it is not said.
    pub path: Option<String>,
    /// Its headers, as `NAME: VALUE`.
    pub headers: Vec<String>,
}

/// `outrider explain [-c FILE]`: reads a request's body from `input` and writes a JSON document to `out`. Nothing is sent.
pub fn explain(
    config: Option<&Path>,
    asked: &Asked,
    outside: &Outside<'_>,
    input: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let loaded = match Config::load(config, outside) {
        Ok(loaded) => loaded,
        Err(rejected) => return written(reject(&rejected, err), Exit::Failed),
    };
    let told = warn(&loaded.warnings, err);
    let request = read(input, loaded.config.bootstrap.bounds.body_bytes_max).and_then(|body| Ok((head(asked, &body)?, body)));
    let explained = request.and_then(|(head, body)| run::explain(&loaded, head, body));
    let done = match explained {
        Ok(document) => out.write_all(&indented(&document)).map(|()| Exit::Done),
        Err(why) => writeln!(err, "outrider explain: {why}").map(|()| Exit::Failed),
    };
    match told.and(done) {
        Ok(exit) => exit,
        Err(_) => Exit::Failed,
    }
}

fn read(input: &mut dyn Read, bytes_max: usize) -> Result<Bytes, String> {
    let mut body = Vec::new();
    input.take(bytes_max as u64 + 1).read_to_end(&mut body).map_err(|cause: io::Error| format!("cannot read the request: {cause}"))?;
    if body.trim_ascii().is_empty() {
        return Err("expected the request's JSON body on stdin (outrider explain < request.json)".to_owned());
    }
    Ok(body.into())
}

fn head(asked: &Asked, body: &[u8]) -> Result<Parts, String> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    for header in &asked.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| format!("--header {header:?}: expected NAME: VALUE"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| format!("--header {header:?}: {name:?} is not a header's name"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("--header {header:?}: no header can carry this value"))?;
        request.headers_mut().append(name, value);
    }
    let path = asked.path.clone().unwrap_or_else(|| likely_path(&request, body).to_owned());
    let uri = path.parse().map_err(|_| format!("--path {path:?}: expected a path, as /v1/chat/completions"))?;
    *request.uri_mut() = uri;
    Ok(request.into_parts().0)
}

/// The path whose requests look like this one. Gemini's and Bedrock's name the model, which their bodies do not.
fn likely_path(request: &Request<()>, body: &[u8]) -> &'static str {
    let envelope = Envelope::read(body).ok();
    let has = |name| envelope.as_ref().is_some_and(|envelope| envelope.get(body, name).is_some());
    match () {
        () if request.headers().contains_key("anthropic-version") || (has("messages") && has("system")) => "/v1/messages",
        () if has("input") && !has("messages") => "/v1/responses",
        () => "/v1/chat/completions",
    }
}

/// The same document with line breaks and two spaces for each level, for people.
fn indented(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() * 2);
    let (mut level, mut in_string, mut escaped, mut opened) = (0_usize, false, false, false);
    let line = |out: &mut Vec<u8>, level: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * level, b' ');
    };
    for &byte in document {
        if in_string {
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            out.push(byte);
            continue;
        }
        let closes = matches!(byte, b'}' | b']');
        level = level.saturating_sub(usize::from(closes));
        // An empty object or array stays on its line.
        if opened != closes {
            line(&mut out, level);
        }
        opened = matches!(byte, b'{' | b'[');
        level += usize::from(opened);
        in_string = byte == b'"';
        out.push(byte);
        match byte {
            b',' => line(&mut out, level),
            b':' => out.push(b' '),
            _ => {}
        }
    }
    out.push(b'\n');
    out
}
