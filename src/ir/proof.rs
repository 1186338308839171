//! Proofs of thinking (signatures, encrypted and redacted reasoning): whose they are, wherever they travel.
//!
//! A proof means something only to the provider that gave it, and another one refuses the whole request for it. A
//! caller replays it in its own dialect's slot, so a proof that stands in a foreign slot carries a tag. The tags are
//! base64 of a multiple of three bytes: SDKs that decode and encode the slot leave tag and proof whole.
//!
//! In the neutral form a proof without a tag is Anthropic's, whose slot two dialects share (OpenAI's hosts give
//! Anthropic's `thinking_blocks`).

use std::borrow::Cow;

use super::{Dialect, Text};

/// `outrider/anthropic`, `outrider/responses`, `outrider/gemini`, `outrider/bedrock//`.
const TAGS: [(Dialect, &str); 4] = [
    (Dialect::Anthropic, "b3V0cmlkZXIvYW50aHJvcGlj"),
    (Dialect::OpenAiResponses, "b3V0cmlkZXIvcmVzcG9uc2Vz"),
    (Dialect::Gemini, "b3V0cmlkZXIvZ2VtaW5p"),
    (Dialect::Bedrock, "b3V0cmlkZXIvYmVkcm9jay8v"),
];

/// Reads a proof from a slot whose natural owner is `slot`: the neutral form.
pub fn read(slot: Dialect, wire: Text<'_>) -> Text<'_> {
    match owner(&wire) {
        Some((Dialect::Anthropic, tag)) => without(wire, tag.len()),
        Some(_) => wire,
        None => with_tag(slot, wire),
    }
}

/// The neutral proof as it stands in a slot whose natural owner is `slot`, for a caller to replay.
pub fn write<'t>(slot: Dialect, proof: &'t Text<'_>) -> Text<'t> {
    match owner(proof) {
        Some((origin, tag)) if origin == slot => without(proof.by_ref(), tag.len()),
        None if slot != Dialect::Anthropic && !proof.is_empty() => prefixed(tag_of(Dialect::Anthropic), proof.by_ref()),
        _ => proof.by_ref(),
    }
}

/// The proof as its own provider knows it; `None` where it is another's, and must not be sent there.
pub fn claim<'t>(target: Dialect, proof: &'t Text<'_>) -> Option<Text<'t>> {
    match owner(proof) {
        Some((origin, tag)) => (origin == target).then(|| without(proof.by_ref(), tag.len())),
        None => (target == Dialect::Anthropic && !proof.is_empty()).then(|| proof.by_ref()),
    }
}

fn owner(text: &Text<'_>) -> Option<(Dialect, &'static str)> {
    let raw = match text {
        Text::Escaped(inner) => inner,
        Text::Plain(plain) => &**plain,
    };
    TAGS.iter().find(|(_, tag)| raw.starts_with(tag)).copied()
}

fn tag_of(dialect: Dialect) -> &'static str {
    TAGS.iter().find(|(owner, _)| *owner == dialect).map_or("", |(_, tag)| tag)
}

fn with_tag(origin: Dialect, text: Text<'_>) -> Text<'_> {
    match origin {
        Dialect::Anthropic | Dialect::OpenAiChat => text,
        _ if text.is_empty() => text,
        _ => prefixed(tag_of(origin), text),
    }
}

fn prefixed<'t>(tag: &str, text: Text<'t>) -> Text<'t> {
    Text::Plain(Cow::Owned(format!("{tag}{}", text.read())))
}

fn without(text: Text<'_>, length: usize) -> Text<'_> {
    match text {
        Text::Escaped(inner) => Text::Escaped(&inner[length..]),
        Text::Plain(Cow::Borrowed(plain)) => Text::Plain(Cow::Borrowed(&plain[length..])),
        Text::Plain(Cow::Owned(mut plain)) => {
            plain.drain(..length);
            Text::Plain(Cow::Owned(plain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNERS: [Dialect; 4] = [Dialect::Anthropic, Dialect::OpenAiResponses, Dialect::Gemini, Dialect::Bedrock];

    #[test]
    fn a_proof_comes_home_and_nowhere_else() {
        for origin in OWNERS {
            let neutral = read(origin, Text::Escaped("c2ln"));
            for slot in Dialect::ALL {
                let slot = if slot == Dialect::OpenAiChat { Dialect::Anthropic } else { slot };
                let wire = write(slot, &neutral).into_owned();
                assert_eq!(wire.is("c2ln"), origin == slot, "{origin:?} in {slot:?}");
                let back = read(slot, wire);
                for target in Dialect::ALL {
                    assert_eq!(claim(target, &back).is_some_and(|p| p.is("c2ln")), origin == target, "{origin:?} {slot:?} {target:?}");
                    assert_eq!(claim(target, &back).is_some(), origin == target);
                }
            }
        }
    }

    #[test]
    fn a_tag_is_whole_base64() {
        assert!(TAGS.iter().all(|(_, tag)| tag.len() % 4 == 0 && !tag.contains('=')));
    }
}
