//! How many tokens a medium has, about, of which only the size is looked at; images are in [`super::images`].
//!
//! * Documents: a page is 1,500 to 3,000 tokens at Anthropic, text and picture, 258 to 560 at Gemini, and about 50 KB of PDF.
//! * Sound: 32 tokens a second at Gemini, 10 at OpenAI; 16 KB a second compressed, twice as much where it is not.
//! * Films: about 300 tokens a second at Gemini, which are about 250 KB.
//!
//! What lies elsewhere, by an address or an id, counts as one image, a page, half a minute of sound, ten seconds of film.

use memchr::memchr;

use super::content::Contents;
use super::images::ImageTokens;
use super::tokens::{ASCII, of_escaped, of_plain};
use crate::ir::{Media, MediaKind, Source, Text};

const IMAGE_ELSEWHERE: u64 = 1_100;
const PAGE: u64 = 2_000;
const SOUND_ELSEWHERE: u64 = 1_000;
const FILM_ELSEWHERE: u64 = 3_000;

impl Contents {
    /// Adds a medium that is no plain text.
    pub(super) fn add_media(&mut self, media: &Media<'_>) {
        let (bytes, file, media_type) = match &media.source {
            Source::Base64 { data, media_type } => {
                let data = super::bytes_of(data);
                (Some(decoded(data.len())), data, Some(media_type))
            }
            Source::Url(_) | Source::FileId { .. } | Source::Plain(_) => (None, &[][..], None),
            Source::Opaque { raw, .. } => (Some(decoded(raw.get().len())), &[][..], None),
        };
        match media.kind {
            MediaKind::Image => {
                let image = if file.is_empty() { ImageTokens::same(IMAGE_ELSEWHERE) } else { ImageTokens::of(file) };
                let low = media.detail.as_ref().is_some_and(|detail| detail.is("low"));
                self.images.add(if low { image.at_low_detail() } else { image });
            }
            MediaKind::Document if media_type.is_some_and(is_text) => self.text.prose += ASCII * bytes.unwrap_or(0),
            MediaKind::Document => self.documents += bytes.map_or(PAGE, of_document),
            MediaKind::Audio => self.audio += bytes.map_or(SOUND_ELSEWHERE, |bytes| of_sound(bytes, media_type.is_some_and(is_raw_sound))),
            MediaKind::Video => self.video += bytes.map_or(FILM_ELSEWHERE, of_film),
        }
    }

    /// Adds JSON that nobody read. Long strings are text, short ones and what stands between them are JSON, and a very long one
    /// without a space near its beginning looks like a medium.
    pub(super) fn add_unread(&mut self, json: &[u8]) {
        const WORDS: usize = 32;
        const LONG: usize = 1024;
        const NEAR: usize = 256;
        let (mut between, mut at) = (0, 0);
        while let Some(length) = json.get(at..).filter(|rest| !rest.is_empty()).map(|rest| memchr(b'"', rest).unwrap_or(rest.len())) {
            let piece = json.get(at..at + length).unwrap_or_default();
            if piece.len() >= WORDS {
                self.json += of_plain(json.get(between..at).unwrap_or_default()).all();
                between = at + length;
                if piece.len() >= LONG && !piece.iter().take(NEAR).any(|byte| matches!(byte, b' ' | b'\\' | b'{' | 0x80..)) {
                    self.add_blob(piece);
                } else {
                    self.text += of_escaped(piece);
                }
            }
            at += length + 1;
        }
        self.json += of_plain(json.get(between..).unwrap_or_default()).all();
    }

    /// Adds what looks like a medium, by what it says of itself.
    fn add_blob(&mut self, blob: &[u8]) {
        const HEAD: usize = 128;
        let comma = memchr(b',', blob.get(..HEAD).unwrap_or_default()).filter(|_| blob.starts_with(b"data:"));
        let (head, file) = comma.and_then(|comma| blob.split_at_checked(comma + 1)).unwrap_or((&[], blob));
        let says = |word: &[u8]| head.starts_with(word);
        let begins = |word: &[u8]| file.starts_with(word);
        let bytes = decoded(file.len());
        // "%PDF-", "ID3", and "RIFF" with a "WAVE" behind its length.
        if says(b"data:application/pdf") || begins(b"JVBERi0") {
            self.documents += of_document(bytes);
        } else if says(b"data:audio/") || begins(b"SUQz") || begins(b"UklGR") && file.get(12..16) == Some(b"QVZF") {
            self.audio += of_sound(bytes, true);
        } else if says(b"data:video/") {
            self.video += of_film(bytes);
        } else {
            self.images.add(ImageTokens::of(file));
        }
    }
}

/// Bytes that so much base64 stands for.
pub(super) fn decoded(base64: usize) -> u64 {
    base64 as u64 / 4 * 3
}

fn of_document(bytes: u64) -> u64 {
    (bytes / 25).max(PAGE)
}

fn of_sound(bytes: u64, raw: bool) -> u64 {
    bytes.div_ceil(if raw { 1_000 } else { 500 })
}

fn of_film(bytes: u64) -> u64 {
    bytes.div_ceil(800)
}

fn is_text(media_type: &Text<'_>) -> bool {
    let name = media_type.read();
    name.starts_with("text/") || name.ends_with("json") || name.ends_with("xml")
}

fn is_raw_sound(media_type: &Text<'_>) -> bool {
    ["wav", "pcm", "l16"].iter().any(|raw| media_type.read().contains(raw))
}
