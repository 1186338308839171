//! What is said, part by part, with the signatures where the API looks for them.

use std::borrow::Cow;

use super::answer::put_words;
use super::encode::Writer;
use super::parts::{is_film_page, mime_of};
use super::tools::TOOL_NAME_MAX;
use super::turns::{Turn, Turns};
use crate::base::Fault;
use crate::base::json::{self, Array, Object, Raw, try_array, try_object};
use crate::dialect::{free_form, refuse};
use crate::ir::{Dialect, Media, MediaKind, Part, Source, Text, Thinking, proof};

/// What the API documents for a call that some other model made, whose signature nobody has.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// The API wants a turn of the user's first, and some part in it.
const BLANK_TURN: &str = r#"{"role":"user","parts":[{"text":" "}]}"#;

impl Writer<'_, '_> {
    /// Writes `systemInstruction`.
    pub(super) fn system(&mut self, parts: &[&Part<'_>], object: &mut Object<'_>) -> Result<(), Fault> {
        if parts.is_empty() {
            return Ok(());
        }
        let mut said = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Text { text, cache, .. } => {
                    self.note_cache(cache.is_some());
                    said.push(text);
                }
                Part::Refusal(text) => said.push(text),
                Part::Reasoning { .. } | Part::RedactedReasoning(_) => self.lose("messages[].reasoning"),
                Part::Media(_) | Part::ToolCall { .. } | Part::ToolResult { .. } | Part::Opaque { .. } => {
                    return Err(refuse::instructions());
                }
            }
        }
        object.object("systemInstruction", |system| {
            system.array("parts", |array| said.iter().for_each(|text| put_words(text, None, array.item())));
        });
        Ok(())
    }

    /// Writes `contents`.
    pub(super) fn contents(&mut self, turns: &Turns<'_, '_>, object: &mut Object<'_>) -> Result<(), Fault> {
        try_array(object.key("contents"), |array| {
            if turns.turns.first().is_none_or(|turn| turn.role != "user") {
                array.item().extend_from_slice(BLANK_TURN.as_bytes());
            }
            turns.turns.iter().try_for_each(|turn| self.turn(turn, turns, array))
        })
    }

    fn turn(&mut self, turn: &Turn<'_, '_>, turns: &Turns<'_, '_>, contents: &mut Array<'_>) -> Result<(), Fault> {
        let mut signatures = signatures(&turn.parts);
        let first_call = turn.parts.iter().position(|part| matches!(part, Part::ToolCall { .. }));
        let signs_all = matches!(self.traits.thinking, Thinking::Adaptive | Thinking::Always);
        if let Some(first) = first_call
            && turn.current
            && signs_all
            && signatures[first].is_none()
        {
            signatures[first] = Some(Text::plain(NO_SIGNATURE));
        }
        try_object(contents.item(), |content| {
            content.string("role", turn.role);
            try_array(content.key("parts"), |array| {
                let mut written = false;
                for (part, signature) in turn.parts.iter().zip(&signatures) {
                    written |= self.part(part, signature.as_ref(), turns, array)?;
                }
                // Nothing but what is left out: the API wants a part in every content.
                if !written {
                    put_words(&Text::plain(" "), None, array.item());
                }
                Ok(())
            })
        })
    }

    /// Writes one part and tells whether there was anything to write.
    fn part(&mut self, part: &Part<'_>, signature: Option<&Text<'_>>, turns: &Turns<'_, '_>, array: &mut Array<'_>) -> Result<bool, Fault> {
        match part {
            Part::Text { text, citations, cache } => {
                self.note_cache(cache.is_some());
                if citations.is_some() {
                    self.lose("messages[].annotations");
                }
                if text.is_empty() && signature.is_none() {
                    return Ok(false);
                }
                put_words(text, signature, array.item());
            }
            Part::Refusal(text) => put_words(text, signature, array.item()),
            Part::Reasoning { text, signature: proof } => return Ok(self.thought(text, proof.as_ref(), signature, array)),
            Part::RedactedReasoning(data) => return Ok(self.thought(&Text::EMPTY, Some(data), signature, array)),
            Part::ToolCall { name, arguments, custom, cache, .. } => {
                self.note_cache(cache.is_some());
                array.object(|part| {
                    part.object("functionCall", |call| {
                        call.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                        free_form::put_input("args", arguments, *custom, call);
                    });
                    if let Some(signature) = signature {
                        signature.put("thoughtSignature", part);
                    }
                });
            }
            Part::ToolResult { id, parts, error, cache } => {
                self.note_cache(cache.is_some());
                let function = turns.function(&id.read()).map_or_else(|| id.read(), |name| name.read());
                let name = self.notes.tools.fit(&function, TOOL_NAME_MAX);
                return try_object(array.item(), |part| {
                    try_object(part.key("functionResponse"), |response| {
                        response.string("name", &name);
                        self.result(parts, *error, response)
                    })
                })
                .map(|()| true);
            }
            Part::Media(media) => return self.media(media, array.item()).map(|()| true),
            Part::Opaque { dialect: Dialect::Gemini, raw, .. } => array.raw(*raw),
            Part::Opaque { kind, .. } => return Err(refuse::kind_of_content(kind)),
        }
        Ok(true)
    }

    /// Thinking goes back only with Gemini's own proof, and a proof without words only where no part took it.
    fn thought(&mut self, text: &Text<'_>, proof: Option<&Text<'_>>, leftover: Option<&Text<'_>>, array: &mut Array<'_>) -> bool {
        let own = proof.and_then(|proof| proof::claim(Dialect::Gemini, proof));
        match (own, leftover) {
            (Some(own), _) if !text.is_empty() => array.object(|part| {
                text.put("text", part);
                part.bool("thought", true);
                own.put("thoughtSignature", part);
            }),
            (Some(_), Some(signature)) => put_words(&Text::EMPTY, Some(signature), array.item()),
            (Some(_), None) => return false,
            (None, _) => {
                if !text.is_empty() || proof.is_some_and(|proof| !proof.is_empty()) {
                    self.lose("messages[].reasoning");
                }
                return false;
            }
        }
        true
    }

    /// Writes what a function said: an object, with its media beside it.
    fn result<'p>(&mut self, parts: &'p [Part<'_>], error: bool, response: &mut Object<'_>) -> Result<(), Fault> {
        let mut said: Option<Cow<'p, str>> = None;
        let mut say = |text: &'p Text<'_>| match &mut said {
            Some(before) => before.to_mut().push_str(&text.read()),
            None => said = Some(text.read()),
        };
        let mut media = Vec::new();
        for part in parts {
            match part {
                Part::Text { text, cache, .. } => {
                    self.note_cache(cache.is_some());
                    say(text);
                }
                Part::Refusal(text) => say(text),
                Part::Media(Media { source: Source::Plain(text), .. }) => say(text),
                Part::Media(medium) => media.push(medium),
                Part::Opaque { kind, .. } => {
                    let text = format!("messages: the target takes no `{kind}` in a tool's result; send its text.");
                    return Err(Fault::unsupported("messages[].content", text));
                }
                Part::Reasoning { .. } | Part::RedactedReasoning(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => {
                    self.lose("messages[].content[].content");
                }
            }
        }
        let said = said.unwrap_or_default();
        match Raw::parse(said.as_bytes()) {
            Ok(raw) if !error && raw.is_object() && !has_reference(raw) => response.raw("response", raw),
            _ => response.object("response", |object| object.string(if error { "error" } else { "result" }, &said)),
        }
        match media.is_empty() {
            true => Ok(()),
            false => try_array(response.key("parts"), |array| media.iter().try_for_each(|medium| self.media(medium, array.item()))),
        }
    }

    fn media(&mut self, media: &Media<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let cannot = |what: &str| Err(refuse::content(what));
        self.note_cache(media.cache.is_some());
        if media.title.is_some() {
            self.lose("messages[].content[].filename");
        }
        let address = match &media.source {
            Source::Base64 { .. } => None,
            Source::Url(url) => Some(url),
            Source::FileId { dialect: Dialect::Gemini, id } => Some(id),
            Source::Plain(text) => {
                put_words(text, None, out);
                return Ok(());
            }
            Source::FileId { .. } => return Err(refuse::file_elsewhere()),
            Source::Opaque { .. } => return cannot("media from such a source"),
        };
        json::object(out, |part| {
            if let Source::Base64 { media_type, data } = &media.source {
                part.object("inlineData", |blob| {
                    if media_type.is("image/jpg") {
                        blob.string("mimeType", "image/jpeg");
                    } else {
                        media_type.put("mimeType", blob);
                    }
                    data.put("data", blob);
                });
            }
            if let Some(address) = address {
                part.object("fileData", |file| {
                    let told = address.read();
                    if !(media.kind == MediaKind::Video && is_film_page(&told)) {
                        file.string("mimeType", mime_of(&told, Some(media.kind)));
                    }
                    address.put("fileUri", file);
                });
            }
            self.notes.losses.write_own(Dialect::Gemini, "messages[].content[].", &media.extensions, part);
        });
        Ok(())
    }

    fn note_cache(&mut self, marked: bool) {
        if marked {
            self.lose("cache_control");
        }
    }
}

/// The signature that each part is to carry. One without words stands before its part; a dialect that moves all thinking
/// to the front leaves it apart from the first call, which is what the API looks at.
fn signatures<'p>(parts: &[&'p Part<'_>]) -> Vec<Option<Text<'p>>> {
    let proofs: Vec<Option<Text<'p>>> = parts.iter().map(|part| wordless(part)).collect();
    let call = parts.iter().position(|part| matches!(part, Part::ToolCall { .. }));
    let last_before_call = call.and_then(|call| proofs.iter().take(call).rposition(Option::is_some));
    let mut carried = vec![None; parts.len()];
    let mut waiting: Vec<(usize, Text<'p>)> = Vec::new();
    for (i, (part, proof)) in parts.iter().zip(proofs).enumerate() {
        if let Some(proof) = proof {
            waiting.push((i, proof));
            continue;
        }
        let takes = match part {
            Part::ToolCall { .. } => true,
            // The last one before the call is the call's.
            Part::Text { .. } | Part::Refusal(_) | Part::Media(_) => {
                call.is_none_or(|call| i > call) || waiting.last().is_some_and(|(place, _)| Some(*place) != last_before_call)
            }
            _ => false,
        };
        if takes {
            carried[i] = waiting.pop().map(|(_, proof)| proof);
        } else if waiting.len() > 1 && matches!(part, Part::Text { .. } | Part::Refusal(_) | Part::Media(_)) {
            let behind = waiting.pop();
            carried[i] = waiting.pop().map(|(_, proof)| proof);
            waiting.extend(behind);
        }
    }
    // What no part took stands alone.
    for (i, proof) in waiting {
        carried[i] = Some(proof);
    }
    carried
}

/// Gemini's proof that stands without words.
fn wordless<'p>(part: &'p Part<'_>) -> Option<Text<'p>> {
    match part {
        Part::Reasoning { text, signature: Some(proof) } if text.is_empty() => proof::claim(Dialect::Gemini, proof),
        Part::RedactedReasoning(proof) => proof::claim(Dialect::Gemini, proof),
        _ => None,
    }
}

/// Whether the API would read a member anywhere in it as a pointer to another part.
fn has_reference(raw: Raw<'_>) -> bool {
    raw.get().contains("$ref") && refers(raw)
}

fn refers(raw: Raw<'_>) -> bool {
    raw.members().any(|(name, value)| name == "$ref" || refers(value)) || raw.elements().any(refers)
}
