//! What the user asked last: the text that words, patterns and the difficulty are about.

use std::borrow::Cow;

use crate::base::json;
use crate::ir::{Part, Request, Role, Text};

/// How much of a message's beginning, and of its end, is looked at, in bytes: what is asked stands there, and what a pattern
/// costs grows with the text.
pub const END_BYTES: usize = 8 << 10;

/// The text of the last message of the user that has one; results of tools are none. Of a longer one the beginning and the
/// end, each of [`END_BYTES`]. Empty where there is no such message.
pub fn last_user_text<'r>(request: &'r Request<'_>) -> Cow<'r, str> {
    let said = |part: &'r Part<'_>| match part {
        Part::Text { text, .. } => Some(text),
        _ => None,
    };
    let of_user = request.messages.iter().rev().filter(|message| message.role == Role::User);
    let Some(message) = of_user.into_iter().find(|message| message.parts.iter().any(|part| said(part).is_some())) else {
        return Cow::Borrowed("");
    };
    let mut texts = message.parts.iter().filter_map(said);
    match (texts.next(), texts.next()) {
        (Some(only), None) if only.len() <= 2 * END_BYTES => only.read(),
        (Some(only), None) => Cow::Owned(format!("{}\n{}", beginning(only, END_BYTES), end(only, END_BYTES))),
        (Some(first), Some(second)) => Cow::Owned(joined([first, second].into_iter().chain(texts).collect())),
        (None, _) => Cow::Borrowed(""),
    }
}

/// How long that text is as a whole, in bytes as it stands.
pub fn last_user_bytes(request: &Request<'_>) -> usize {
    let bytes = |part: &Part<'_>| if let Part::Text { text, .. } = part { text.len() } else { 0 };
    let of_user = request.messages.iter().rev().filter(|message| message.role == Role::User);
    of_user.map(|message| message.parts.iter().map(bytes).sum()).find(|bytes| *bytes > 0).unwrap_or(0)
}

/// Several parts, a line each, from the first and the last of them as much as is looked at.
fn joined(texts: Vec<&Text<'_>>) -> String {
    let whole: usize = texts.iter().map(|text| text.len()).sum();
    if whole <= 2 * END_BYTES {
        return texts.iter().map(|text| text.read()).collect::<Vec<_>>().join("\n");
    }
    let mut left = END_BYTES;
    let mut start = Vec::new();
    for text in &texts {
        start.push(beginning(text, left));
        left = left.saturating_sub(text.len());
        if left == 0 {
            break;
        }
    }
    left = END_BYTES;
    let mut finish = Vec::new();
    for text in texts.iter().rev() {
        finish.push(end(text, left));
        left = left.saturating_sub(text.len());
        if left == 0 {
            break;
        }
    }
    finish.reverse();
    start.extend(finish);
    start.join("\n")
}

/// Its first bytes. An escape that is cut becomes another character, once.
fn beginning<'t>(text: &'t Text<'_>, bytes: usize) -> Cow<'t, str> {
    let cut = |text: &'t str| text.get(..text.floor_char_boundary(bytes)).unwrap_or_default();
    match text {
        Text::Escaped(inner) => json::unescape(cut(inner)),
        Text::Plain(plain) => Cow::Borrowed(cut(plain)),
    }
}

/// Its last bytes.
fn end<'t>(text: &'t Text<'_>, bytes: usize) -> Cow<'t, str> {
    let cut = |text: &'t str| text.get(text.ceil_char_boundary(text.len().saturating_sub(bytes))..).unwrap_or_default();
    match text {
        Text::Escaped(inner) => json::unescape(cut(inner)),
        Text::Plain(plain) => Cow::Borrowed(cut(plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Message;
    use proptest::prelude::*;

    fn asked<'a>(messages: Vec<(Role, Vec<Part<'a>>)>) -> Request<'a> {
        Request { messages: messages.into_iter().map(|(role, parts)| Message::new(role, parts)).collect(), ..Request::default() }
    }

    fn text(text: &str) -> Part<'_> {
        Part::text(Text::plain(text))
    }

    #[test]
    fn it_is_what_the_user_said_last() {
        let result = Part::ToolResult { id: Text::plain("1"), parts: vec![text("42")], error: false, cache: None };
        let request = asked(vec![
            (Role::System, vec![text("be brief")]),
            (Role::User, vec![text("first")]),
            (Role::User, vec![Part::text(Text::Escaped("one\\n\\u00e9")), text("two")]),
            (Role::Assistant, vec![text("three")]),
            (Role::User, vec![result]),
        ]);
        assert_eq!(last_user_text(&request), "one\né\ntwo");
        assert_eq!(last_user_text(&asked(vec![(Role::Assistant, vec![text("a")])])), "");
        assert_eq!(last_user_text(&Request::default()), "");
    }

    proptest! {
        #[test]
        fn of_a_long_one_both_ends_are_there(lengths in prop::collection::vec(1usize..30_000, 1..4), unit in "[aé😀]") {
            let mut texts: Vec<String> = lengths.iter().map(|length| unit.repeat(*length)).collect();
            texts[0].insert_str(0, "BEGIN");
            texts.last_mut().unwrap().push_str("END");
            let request = asked(vec![(Role::User, texts.iter().map(|each| text(each)).collect())]);
            let seen = last_user_text(&request);
            prop_assert!(seen.starts_with("BEGIN") && seen.ends_with("END"));
            prop_assert!(seen.len() <= 2 * END_BYTES + 8);
            prop_assert_eq!(last_user_bytes(&request), texts.iter().map(String::len).sum::<usize>());
        }
    }
}
