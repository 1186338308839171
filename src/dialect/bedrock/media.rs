//! Images, documents, sounds and films: formats and where their bytes are.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::content::extension;
use super::read::required;
use crate::base::Fault;
use crate::base::json::{Object, Raw};
use crate::dialect::anthropic::decode::{object, text};
use crate::dialect::anthropic::wire::Path;
use crate::dialect::{Losses, anthropic, refuse};
use crate::ir::{Dialect, Media, MediaKind, Source, Text};

/// The longest name of a document.
const NAME_BYTES_MAX: usize = 200;
/// How much of it is left free for a number behind it.
const NUMBER_BYTES: usize = 8;

/// Formats with their media types; where a format stands twice, the first is written.
const FORMATS: [(MediaKind, &str, &str); 42] = [
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (MediaKind::Document, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (MediaKind::Document, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "txt", "application/json"),
    (MediaKind::Document, "txt", "application/xml"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "mov", "video/mov"),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "mpg", "video/mpg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "wmv", "video/wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
    (MediaKind::Audio, "mp3", "audio/mp3"),
    (MediaKind::Audio, "mp3", "audio/mpeg"),
    (MediaKind::Audio, "opus", "audio/opus"),
    (MediaKind::Audio, "wav", "audio/wav"),
    (MediaKind::Audio, "wav", "audio/x-wav"),
    (MediaKind::Audio, "aac", "audio/aac"),
    (MediaKind::Audio, "flac", "audio/flac"),
    (MediaKind::Audio, "mp4", "audio/mp4"),
    (MediaKind::Audio, "ogg", "audio/ogg"),
    (MediaKind::Audio, "mkv", "audio/x-matroska"),
    (MediaKind::Audio, "mka", "audio/mka"),
    (MediaKind::Audio, "m4a", "audio/m4a"),
    (MediaKind::Audio, "mpga", "audio/mpga"),
    (MediaKind::Audio, "pcm", "audio/pcm"),
    (MediaKind::Audio, "webm", "audio/webm"),
];

/// Reads the block of a medium. A format is a media type of its own family where it is not a known one.
pub(super) fn read<'a>(kind: MediaKind, value: Raw<'a>, path: &Path<'_>) -> Result<Media<'a>, Fault> {
    object(value, path)?;
    let (mut format, mut title, mut from, mut extensions) = (None, None, None, Vec::new());
    for (key, value) in value.members().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "format" => format = Some(text(value, &path.name("format"))?),
            "name" if kind == MediaKind::Document => title = Some(text(value, &path.name("name"))?),
            "source" => from = Some(value),
            _ => extensions.push(extension(key, value)),
        }
    }
    let at = path.name("source");
    let from = from.ok_or_else(|| at.missing("an object"))?;
    object(from, &at)?;
    let held = from.members().find(|(_, value)| !value.is_null());
    let source = match held.as_ref().map(|(name, value)| (&**name, *value)) {
        Some(("bytes", data)) => Source::Base64 { media_type: media_type(kind, format), data: text(data, &at.name("bytes"))? },
        Some(("text", words)) if kind == MediaKind::Document => Source::Plain(text(words, &at.name("text"))?),
        Some(("s3Location", location)) => {
            if let Some(format) = value.member("format") {
                extensions.push(extension("format", format));
            }
            required(location, &at.name("s3Location"), "uri", text)?;
            Source::Opaque { dialect: Dialect::Bedrock, raw: from }
        }
        Some(_) => {
            if let Some(format) = value.member("format") {
                extensions.push(extension("format", format));
            }
            Source::Opaque { dialect: Dialect::Bedrock, raw: from }
        }
        None => return Err(at.missing("`bytes` or `s3Location`")),
    };
    Ok(Media { kind, source, title, detail: None, extensions, cache: None })
}

fn media_type(kind: MediaKind, format: Option<Text<'_>>) -> Text<'static> {
    let format = format.as_ref().map(Text::read).unwrap_or_default();
    match FORMATS.iter().find(|(of, name, _)| *of == kind && *name == format) {
        Some((_, _, media_type)) => Text::Escaped(media_type),
        None if kind == MediaKind::Document || format.is_empty() => Text::Escaped("application/octet-stream"),
        None => Text::plain(format!("{}/{format}", family(kind))),
    }
}

fn family(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Document => "document",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// Names of the documents of a request: of neutral characters, and each only once.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// How often a name was wanted that was taken already.
    again: HashMap<String, usize>,
}

impl Names {
    /// A name for a document of this title and format, and whether it says all that the title said.
    fn fit(&mut self, title: Option<&Text<'_>>, format: &str) -> (String, bool) {
        let title = title.map(Text::read).unwrap_or_default();
        let wanted = title.strip_suffix(format).and_then(|name| name.strip_suffix('.')).unwrap_or(&title);
        let mut name = String::new();
        for c in wanted.chars() {
            let c = if c.is_ascii_alphanumeric() || "-()[] ".contains(c) { c } else { '-' };
            // White space in a row is refused.
            if !(c == ' ' && (name.is_empty() || name.ends_with(' '))) && name.len() < NAME_BYTES_MAX {
                name.push(c);
            }
        }
        name.truncate(name.trim_end().len());
        let mut kept = name == wanted;
        if name.is_empty() {
            "document".clone_into(&mut name);
        }
        if self.taken.contains(&name) {
            kept &= title.is_empty();
            let stem = name[..name.len().min(NAME_BYTES_MAX - NUMBER_BYTES)].to_owned();
            let number = self.again.entry(stem.clone()).or_insert(1);
            while self.taken.contains(&name) {
                *number += 1;
                name = format!("{stem} {number}");
            }
        }
        self.taken.insert(name.clone());
        (name, kept)
    }
}

/// Writes the block of a medium as a member that its kind names. Nothing is written where it is refused.
pub(super) fn write(media: &Media<'_>, names: &mut Names, losses: &mut Losses, block: &mut Object<'_>) -> Result<(), Fault> {
    let (format, from) = source(media)?;
    let format = match &from {
        From::Own(_) => media.extensions.iter().find(|e| e.name == "format").and_then(|e| e.value.inner()),
        _ => Some(format),
    };
    block.object(family(media.kind), |object| {
        if let Some(format) = format {
            object.string("format", format);
        }
        match media.kind {
            MediaKind::Document => {
                let (name, kept) = names.fit(media.title.as_ref(), format.unwrap_or_default());
                object.string("name", &name);
                if !kept {
                    losses.add("messages[].content[].filename");
                }
            }
            _ if media.title.is_some() => losses.add("messages[].content[].filename"),
            _ => {}
        }
        match &from {
            From::Own(raw) => object.raw("source", *raw),
            From::S3(uri) => object.object("source", |source| source.object("s3Location", |location| location.string("uri", uri))),
            From::Bytes(data) => object.object("source", |source| data.put("bytes", source)),
        }
        for extension in media.extensions.iter().filter(|e| !e.value.is_null()) {
            match (&*extension.name, extension.dialect) {
                ("format", Dialect::Bedrock) => {}
                // Claude's words for the same.
                (_, Dialect::Bedrock) | ("context" | "citations", Dialect::Anthropic) => object.raw(&extension.name, extension.value),
                (name, _) => losses.add(format!("messages[].content[].{name}")),
            }
        }
    });
    Ok(())
}

enum From<'m> {
    Bytes(Text<'m>),
    S3(String),
    Own(Raw<'m>),
}

/// The format and the place of a medium's bytes.
fn source<'m>(media: &'m Media<'_>) -> Result<(&'static str, From<'m>), Fault> {
    let kind = media.kind;
    let cannot = |what: &str| Err(refuse::content(what));
    // A file of no telling type may tell by its name.
    let by_name = || {
        let title = media.title.as_ref().map(Text::read).unwrap_or_default();
        title.rsplit_once('.').and_then(|(_, ending)| format_of_ending(kind, ending))
    };
    match &media.source {
        Source::Opaque { dialect: Dialect::Bedrock, raw } => Ok(("", From::Own(*raw))),
        Source::Base64 { media_type, data } => match format_of(kind, &media_type.read()).or_else(by_name) {
            Some(format) => Ok((format, From::Bytes(data.by_ref()))),
            None => cannot(&format!("{} of the type `{}`", family(kind), anthropic::decode::short(&media_type.read()))),
        },
        Source::Plain(words) if kind == MediaKind::Document => {
            Ok(("txt", From::Bytes(Text::plain(STANDARD.encode(words.read().as_bytes())))))
        }
        Source::Url(url) => {
            let url = url.read();
            if let Some((head, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
                return match format_of(kind, head).or_else(by_name) {
                    Some(format) => Ok((format, From::Bytes(Text::plain(data.to_owned())))),
                    None => cannot(&format!("{} of the type `{}`", family(kind), anthropic::decode::short(head))),
                };
            }
            if url.starts_with("s3://")
                && let Some(format) = url.rsplit_once('.').and_then(|(_, ending)| format_of_ending(kind, ending))
            {
                return Ok((format, From::S3(url.into_owned())));
            }
            let text = "messages: the target does not fetch from web addresses; send the bytes in base64 (a `data:` URL) instead.";
            Err(Fault::unsupported("messages[].content", text))
        }
        Source::FileId { .. } => Err(refuse::file_elsewhere()),
        Source::Plain(_) => cannot(&format!("{} as plain text", family(kind))),
        Source::Opaque { .. } => cannot("media from such a source"),
    }
}

fn format_of(kind: MediaKind, media_type: &str) -> Option<&'static str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = FORMATS.iter().find(|(of, _, name)| *of == kind && *name == essence).map(|(_, format, _)| *format);
    known.or_else(|| (kind == MediaKind::Document && essence.starts_with("text/")).then_some("txt"))
}

fn format_of_ending(kind: MediaKind, ending: &str) -> Option<&'static str> {
    let ending = if ending.eq_ignore_ascii_case("jpg") { "jpeg" } else { ending };
    let known = FORMATS.iter().find(|(of, format, _)| *of == kind && format.eq_ignore_ascii_case(ending));
    known.map(|(_, format, _)| *format)
}

/// Whether a text is whole base64, as a slot of bytes wants it: an SDK decodes what stands there.
pub(super) fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}
