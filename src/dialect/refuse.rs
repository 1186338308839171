//! What a target cannot do: refused where leaving it out would change the meaning, named where it would not.

use super::Losses;
use crate::base::Fault;
use crate::base::json::Raw;
use crate::ir::{Dialect, Extension, Request};

/// Refuses what only OpenAI's dialects can say, where it says anything, and names the rest of what is left out for a target
/// of another dialect. `cannot` goes on behind the name of what is refused; `says` tells what the target says otherwise.
///
/// # Errors
/// Several answers, or a member that the target cannot do without.
pub(super) fn foreign(
    request: &Request<'_>,
    target: Dialect,
    cannot: &str,
    says: impl Fn(&str, Raw<'_>) -> bool,
    losses: &mut Losses,
) -> Result<(), Fault> {
    let refuse = |name: &str| {
        let text = format!("{name}: {cannot}; leave it out, or choose another model.");
        Err(Fault::unsupported(name.to_owned(), text))
    };
    if request.answers.is_some_and(|n| n > 1) {
        return refuse("n");
    }
    for Extension { dialect, name, value } in &request.extensions {
        if *dialect == target || value.is_null() {
            continue;
        }
        match &**name {
            "logit_bias" if value.members().next().is_some() => return refuse(name),
            "logprobs" if value.bool() == Some(true) => return refuse(name),
            "top_logprobs" if value.u64() != Some(0) => return refuse(name),
            "modalities" if value.elements().any(|m| m.inner() != Some("text")) => return refuse(name),
            "audio" | "web_search_options" | "prediction" | "moderation" => return refuse(name),
            "logit_bias" | "logprobs" | "top_logprobs" | "modalities" | "stream_options" => {}
            "store" if value.bool() == Some(false) => {}
            name if says(name, *value) => {}
            _ => losses.add(name.to_string()),
        }
    }
    Ok(())
}

/// Writes a request, and nothing of one that is refused.
///
/// # Errors
/// That of `write`.
pub(super) fn all_or_nothing(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> Result<(), Fault> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// Names the seed and the penalties as lost, for a target that has none.
pub(super) fn penalties(request: &Request<'_>, losses: &mut Losses) {
    if request.seed.is_some() {
        losses.add("seed");
    }
    for (name, penalty) in [("presence_penalty", &request.presence_penalty), ("frequency_penalty", &request.frequency_penalty)] {
        // A penalty of zero is none.
        if penalty.as_ref().is_some_and(|penalty| penalty.value() != 0.0) {
            losses.add(name);
        }
    }
}

/// Content of which the target takes none: `what` it is.
pub(super) fn content(what: &str) -> Fault {
    let text = format!("messages: the target takes no {what}; leave it out, or choose another model.");
    Fault::unsupported("messages[].content", text)
}

/// Content of another dialect's own kind.
pub(super) fn kind_of_content(kind: &str) -> Fault {
    content(&format!("content of type `{kind}`"))
}

/// A file that only another provider has.
pub(super) fn file_elsewhere() -> Fault {
    content("file that was uploaded to another provider")
}

/// Instructions that are not words.
pub(super) fn instructions() -> Fault {
    let text = "messages: instructions must be text for this target; move images and files into a user message.";
    Fault::unsupported("messages[].content", text)
}

/// An answer that only the provider who spoke it has.
pub(super) fn spoken_answer() -> Fault {
    let text = "messages: a spoken answer of another provider (`audio`) cannot be replayed to this target; remove it or send its text.";
    Fault::unsupported("messages[].audio", text)
}

/// A tool that another provider runs.
pub(super) fn tool(kind: &str) -> Fault {
    let text = format!("tools: the target has no tool of type `{kind}`; leave it out, or choose another model.");
    Fault::unsupported("tools", text)
}

/// An answer that is to follow a schema.
pub(super) fn structured_output() -> Fault {
    let text = "response_format: the target model has no structured output; leave it out, or choose another model.";
    Fault::unsupported("response_format", text)
}
