//! One part of a content as it stands on the wire, in requests and in answers.

use std::borrow::Cow;

use super::wire::{At, boolean, extension, members, object, signature, text};
use crate::base::Fault;
use crate::base::json::Raw;
use crate::ir::{Dialect, Media, MediaKind, Part, Source, Text};

/// What a part may hold, one of them at a time.
const KINDS: [&str; 8] =
    ["functionCall", "functionResponse", "inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/// The members of a part.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// Its words.
    pub(super) text: Option<Text<'a>>,
    /// Whether they are thinking.
    pub(super) thought: bool,
    /// The provider's proof, in the neutral form.
    pub(super) signature: Option<Text<'a>>,
    /// What it holds instead of words, by its name.
    pub(super) held: Option<(Cow<'a, str>, Raw<'a>)>,
    /// The rest (`videoMetadata`).
    pub(super) rest: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Fields<'a> {
    /// Reads a part.
    pub(super) fn read(raw: Raw<'a>, at: &At<'_>) -> Result<Self, Fault> {
        let mut fields = Self::default();
        for (name, value) in members(object(raw, at)?) {
            match &*name {
                "text" => fields.text = Some(text(value, &at.name("text"))?),
                "thought" => fields.thought = boolean(value, &at.name("thought"))?,
                "thoughtSignature" => {
                    let wire = text(value, &at.name("thoughtSignature"))?;
                    fields.signature = Some(signature(wire)).filter(|s| !s.is_empty());
                }
                name_of_kind if KINDS.contains(&name_of_kind) => fields.held = Some((name, value)),
                _ => fields.rest.push((name, value)),
            }
        }
        // A kind that is newer than this reader.
        if fields.held.is_none() && fields.text.is_none() && !fields.rest.is_empty() {
            fields.held = Some(fields.rest.remove(0));
        }
        Ok(fields)
    }
}

/// A function call.
#[derive(Default)]
pub(super) struct Call<'a> {
    /// Its id, which the API gives on some surfaces only.
    pub(super) id: Option<Text<'a>>,
    /// The function's name.
    pub(super) name: Option<Text<'a>>,
    /// The arguments.
    pub(super) args: Option<Raw<'a>>,
    /// More of the arguments, of a call that is streamed.
    pub(super) partial: Option<Raw<'a>>,
    /// Whether more of the call follows.
    pub(super) continues: bool,
}

impl<'a> Call<'a> {
    /// Reads a `functionCall`.
    pub(super) fn read(raw: Raw<'a>, at: &At<'_>) -> Result<Self, Fault> {
        let mut call = Self::default();
        for (name, value) in members(object(raw, at)?) {
            match &*name {
                "id" => call.id = Some(text(value, &at.name("id"))?).filter(|id| !id.is_empty()),
                "name" => call.name = Some(text(value, &at.name("name"))?),
                "args" => call.args = Some(object(value, &at.name("args"))?),
                "partialArgs" => call.partial = Some(value),
                "willContinue" => call.continues = boolean(value, &at.name("willContinue"))?,
                _ => {}
            }
        }
        Ok(call)
    }

    /// Its name, which a whole call must have.
    pub(super) fn name(&self, at: &At<'_>) -> Result<Text<'a>, Fault> {
        self.name.clone().ok_or_else(|| at.name("name").missing("the function's name"))
    }
}

/// Reads `inlineData` or `fileData`; `rest` are the members beside it.
pub(super) fn media<'a>(raw: Raw<'a>, at: &At<'_>, rest: Vec<(Cow<'a, str>, Raw<'a>)>) -> Result<Part<'a>, Fault> {
    let (mut mime, mut data, mut uri, mut title) = (None, None, None, None);
    let mut extensions: Vec<_> = rest.into_iter().map(|(name, value)| extension(name, value)).collect();
    for (name, value) in members(object(raw, at)?) {
        match &*name {
            "mimeType" => mime = Some(text(value, &at.name("mimeType"))?),
            "data" => data = Some(text(value, &at.name("data"))?),
            "fileUri" => uri = Some(text(value, &at.name("fileUri"))?),
            "displayName" => title = Some(text(value, &at.name("displayName"))?),
            _ => extensions.push(extension(name, value)),
        }
    }
    let (kind, source) = match (data, uri) {
        (Some(data), _) => {
            let media_type = mime.ok_or_else(|| at.name("mimeType").missing("a media type (`image/png`)"))?;
            (kind_of(&media_type.read()), Source::Base64 { media_type, data })
        }
        (None, Some(uri)) => {
            let address = uri.read();
            let mime = mime.map_or_else(|| mime_of(&address, None).into(), |mime| mime.read().into_owned());
            let kind = if is_film_page(&address) { MediaKind::Video } else { kind_of(&mime) };
            let own = !address.starts_with("http") || address.contains("generativelanguage.googleapis.com/");
            (kind, if own { Source::FileId { dialect: Dialect::Gemini, id: uri } } else { Source::Url(uri) })
        }
        (None, None) => return Err(at.missing("`data` in base64, or a `fileUri`")),
    };
    Ok(Part::Media(Media { kind, source, title, detail: None, extensions, cache: None }))
}

fn kind_of(mime: &str) -> MediaKind {
    match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// Whether the address is a page that the API watches as a film: it has no media type.
pub(super) fn is_film_page(address: &str) -> bool {
    let host = address.trim_start_matches("https://").trim_start_matches("http://").trim_start_matches("www.");
    ["youtube.com/", "youtu.be/", "m.youtube.com/"].iter().any(|page| host.starts_with(page))
}

/// The media type that an address ends in, or what is likeliest for its kind.
pub(super) fn mime_of(address: &str, kind: Option<MediaKind>) -> &'static str {
    const ENDINGS: [(&str, &str); 25] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("heic", "image/heic"),
        ("heif", "image/heif"),
        ("bmp", "image/bmp"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("html", "text/html"),
        ("json", "application/json"),
        ("mp3", "audio/mp3"),
        ("wav", "audio/wav"),
        ("flac", "audio/flac"),
        ("ogg", "audio/ogg"),
        ("m4a", "audio/m4a"),
        ("aac", "audio/aac"),
        ("mp4", "video/mp4"),
        ("mov", "video/mov"),
        ("webm", "video/webm"),
        ("mpeg", "video/mpeg"),
        ("avi", "video/avi"),
    ];
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    let known = ending.and_then(|ending| ENDINGS.iter().find(|(own, _)| own.eq_ignore_ascii_case(ending)));
    match (known, kind) {
        (Some((_, mime)), _) => mime,
        (None, Some(MediaKind::Image)) => "image/jpeg",
        (None, Some(MediaKind::Audio)) => "audio/mp3",
        (None, Some(MediaKind::Video)) => "video/mp4",
        (None, Some(MediaKind::Document) | None) => "application/pdf",
    }
}
