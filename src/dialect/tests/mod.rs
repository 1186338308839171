//! What the tests of several codecs share.

mod bad;
mod many;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use super::{Codec, Notes, Reply, ToolNames};
use crate::base::Fault;
use crate::base::framing::{Framer, Framing};
use crate::base::json::Raw;
use crate::base::rng::RootRng;
use crate::base::sse::Frame;
use crate::ir::{Dialect, Event, Extension, Fold, Message, ModelTraits, Part, Request, Role, Text, Tool};

pub(super) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

pub(super) fn reply(framing: Framing) -> Reply {
    Reply {
        id: RootRng::seeded(1).fork().exchange_id(),
        model: "asked-model".to_owned(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 7,
        tools: ToolNames::default(),
        framing,
    }
}

pub(super) fn losses(notes: &Notes) -> Vec<&str> {
    notes.losses.names().iter().map(|name| name.as_ref()).collect()
}

pub(super) fn says(role: Role, text: &str) -> Message<'_> {
    Message::new(role, vec![Part::text(Text::plain(text))])
}

pub(super) fn function(name: &str) -> Tool<'_> {
    let parameters = Some(Raw::literal(r#"{"type":"object"}"#).into());
    Tool::Function { name: Text::plain(name), description: None, parameters, strict: None, cache: None, extensions: vec![] }
}

pub(super) fn call<'a>(id: &'a str, name: &'a str, arguments: &'a str) -> Part<'a> {
    Part::ToolCall { id: Text::plain(id), name: Text::plain(name), arguments: Text::plain(arguments), custom: false, cache: None }
}

pub(super) fn result<'a>(id: &'a str, text: &'a str) -> Part<'a> {
    Part::ToolResult { id: Text::plain(id), parts: vec![Part::text(Text::plain(text))], error: false, cache: None }
}

pub(super) fn foreign<'a>(name: &'a str, value: &'static str) -> Extension<'a> {
    Extension { dialect: Dialect::OpenAiChat, name: name.into(), value: Raw::literal(value) }
}

/// A request as the codec writes it for `model`, and what was lost.
pub(super) fn written(codec: &dyn Codec, request: &Request<'_>, model: &str, traits: &ModelTraits) -> Result<(Value, Notes), Fault> {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    codec.encode_request(request, model, traits, &mut notes, &mut out)?;
    Ok((json(&out), notes))
}

/// The frames of a wire text that ends with the last of them.
pub(super) fn frames(framing: Framing, wire: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    let mut framer = Framer::new(framing, 64 << 20);
    framer.push(Bytes::copy_from_slice(wire), |frame| all.push(frame)).unwrap();
    let rest = framer.rest();
    assert!(rest.is_none_or(|rest| rest.trim_ascii().is_empty()), "an unfinished frame: {}", String::from_utf8_lossy(wire));
    all
}

/// The events of a stream folded, and each as `brief` tells it.
pub(super) fn folded(
    codec: &dyn Codec,
    framing: Framing,
    wire: &[u8],
    brief: impl Fn(&Event<'_>) -> String,
) -> Result<(Fold, Vec<String>), Fault> {
    let (mut decoder, mut fold, mut told) = (codec.stream_decoder(), Fold::default(), Vec::new());
    for frame in frames(framing, wire) {
        decoder.decode(&frame, &mut |event| {
            told.push(brief(&event));
            fold.add(&event);
        })?;
    }
    Ok((fold, told))
}

/// Puts `with` in the place of the node of this number, in the order of a walk.
pub(super) fn mangle(tree: &mut Value, place: usize, with: &Value) {
    fn walk(tree: &mut Value, left: &mut usize, with: &Value) -> bool {
        if *left == 0 {
            *tree = with.clone();
            return true;
        }
        *left -= 1;
        match tree {
            Value::Array(list) => list.iter_mut().any(|child| walk(child, left, with)),
            Value::Object(map) => map.values_mut().any(|child| walk(child, left, with)),
            _ => false,
        }
    }
    walk(tree, &mut { place }, with);
}

/// The recorded exchanges of these APIs, and those of the further errors whose names hold one of `errors`, by their names.
/// None where there are no recordings, which is said aloud.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test finds the recordings by the environment, and says when there are none"
)]
pub(super) fn recordings(apis: &[&str], errors: &[&str]) -> Vec<(String, Value)> {
    let root = std::env::var("OUTRIDER_CORPUS")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic"), PathBuf::from);
    let Ok(index) = std::fs::read_to_string(root.join("given/INDEX.tsv")) else {
        eprintln!("SKIPPED: no recorded traffic at {} (set OUTRIDER_CORPUS)", root.display());
        return Vec::new();
    };
    let rows = index.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let wanted = rows.filter(|row| row.get(2).is_some_and(|api| apis.contains(api)));
    let given = wanted.map(|row| root.join(format!("given/{}.json", row[0])));
    let further = std::fs::read_dir(root.join("extras/errors")).into_iter().flatten().flatten().map(|entry| entry.path());
    let further = further.filter(|path| errors.iter().any(|name| path.to_string_lossy().contains(name)));
    let read = |path: &Path| json(&std::fs::read(path).unwrap());
    given.chain(further).map(|path| (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), read(&path))).collect()
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(a: &T, b: &T) -> Result<(), String> {
    if a == b { Ok(()) } else { Err(format!("{a:?} is not {b:?}")) }
}
