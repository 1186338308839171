//! What requests, answers and streams of this dialect have in common: names in namespaces, thinking, token counters, and
//! the words for how an answer ended.

use crate::base::json::{Object, Raw};
use crate::dialect::openai::read::{Bill, served, told, web_searches, words};
use crate::dialect::openai::usage::{read_input_details, read_output_details};
use crate::ir::{Dialect, Finish, FinishReason, Part, ServiceTier, Text, Usage, proof};

/// Stands between a namespace and the name of a tool in it. No vendor's charset has it, so that every target gets a name
/// of its own and the way back finds both again.
const NAMESPACE_MARK: char = '\u{1f}';

/// The name of a tool in a namespace, as the neutral form has it.
pub(super) fn in_namespace<'a>(namespace: Option<Text<'a>>, name: Text<'a>) -> Text<'a> {
    match namespace {
        Some(namespace) => Text::plain(format!("{}{NAMESPACE_MARK}{}", namespace.read(), name.read())),
        None => name,
    }
}

/// The namespace and the name.
pub(super) fn out_of_namespace(name: &str) -> (Option<&str>, &str) {
    match name.split_once(NAMESPACE_MARK) {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    }
}

/// The name of the tool that an item calls.
pub(super) fn called(item: Raw<'_>) -> Option<Text<'_>> {
    words(told(item, "name")).map(|name| in_namespace(words(told(item, "namespace")), name))
}

/// What a reasoning item holds. Without any words it is a proof alone; an empty summary that is there stands for thinking
/// whose words were left out.
pub(super) fn reasoning_part(item: Raw<'_>) -> Option<Part<'_>> {
    let (mut summary, mut content, mut encrypted) = (None, None, None);
    for (name, value) in item.members() {
        match &*name {
            "summary" => summary = joined(value, "\n\n"),
            "content" => content = joined(value, ""),
            "encrypted_content" => encrypted = words(Some(value)),
            _ => {}
        }
    }
    let proof = encrypted.map(|wire| proof::read(Dialect::OpenAiResponses, wire));
    let text = match (summary, content) {
        (Some(summary), content) if summary.is_empty() => content.or(Some(summary)),
        (summary, content) => summary.or(content),
    };
    match (text, proof) {
        (None, proof) => proof.map(Part::RedactedReasoning),
        (Some(text), None) if text.is_empty() => None,
        (Some(text), signature) => Some(Part::Reasoning { text, signature }),
    }
}

/// The texts of a list of parts; `None` where it has none.
pub(super) fn joined<'a>(list: Raw<'a>, between: &str) -> Option<Text<'a>> {
    let mut texts = list.elements().filter_map(|part| told(part, "text").and_then(Text::of));
    let first = texts.next()?;
    let Some(second) = texts.next() else { return Some(first) };
    let mut all = first.read().into_owned();
    for text in std::iter::once(second).chain(texts) {
        all.push_str(between);
        all.push_str(&text.read());
    }
    Some(Text::plain(all))
}

/// Reads a `usage` object. `None` where it is no object.
pub(super) fn usage(raw: Raw<'_>) -> Option<Usage> {
    if !raw.is_object() {
        return None;
    }
    let (mut usage, mut bill) = (Usage::default(), Bill::default());
    for (name, value) in raw.members() {
        match &*name {
            name if bill.read(name, value) => {}
            "input_tokens" => usage.input_tokens = value.u64(),
            "output_tokens" => usage.output_tokens = value.u64(),
            "input_tokens_details" => read_input_details(value, &mut usage),
            "output_tokens_details" => read_output_details(value, &mut usage),
            // xAI.
            "server_side_tool_usage_details" => usage.web_searches = web_searches(value).or(usage.web_searches),
            _ => {}
        }
    }
    usage.billed = bill.total();
    if let (Some(reasoning), Some(output)) = (usage.reasoning_tokens, usage.output_tokens) {
        usage.reasoning_tokens = Some(reasoning.min(output));
    }
    Some(usage)
}

/// What stands beside the counters and has a price: the tier that answered, and searches of the web.
#[derive(Default)]
pub(super) struct Served {
    tier: Option<ServiceTier>,
    told: Option<u64>,
    seen: u64,
}

impl Served {
    /// Looks at a member of the response.
    pub(super) fn read(&mut self, name: &str, value: Raw<'_>) {
        match name {
            "service_tier" => self.tier = value.inner().and_then(ServiceTier::named),
            "tool_usage" => {
                self.told = told(value, "web_search").and_then(|search| told(search, "num_requests")).and_then(Raw::u64);
            }
            "output" => {
                for item in value.elements() {
                    self.item(item.member("type").and_then(Raw::inner) == Some("web_search_call"), item.member("action"));
                }
            }
            _ => {}
        }
    }

    /// Looks at an item of the output: a search is paid for, opening a page and looking in it are not.
    pub(super) fn item(&mut self, is_search_call: bool, action: Option<Raw<'_>>) {
        let searched = || action.and_then(|action| told(action, "type")).and_then(Raw::inner).is_none_or(|word| word == "search");
        self.seen += u64::from(is_search_call && searched());
    }

    /// The counters with it.
    pub(super) fn with(&self, usage: Option<Usage>) -> Option<Usage> {
        let searches = self.told.or((self.seen > 0).then_some(self.seen));
        served(usage, self.tier).map(|usage| Usage { web_searches: usage.web_searches.or(searches), ..usage })
    }
}

/// Writes the `usage` member. The SDKs' types want the details as numbers, so what is not known is 0.
pub(super) fn put_usage(usage: Option<&Usage>, o: &mut Object<'_>) {
    let Some(usage) = usage else { return o.null("usage") };
    let (input, output) = (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
    o.object("usage", |o| {
        o.u64("input_tokens", input);
        o.object("input_tokens_details", |o| {
            o.u64("cached_tokens", usage.cache_read_tokens.unwrap_or(0));
            o.u64("cache_write_tokens", usage.cache_write_tokens.unwrap_or(0));
        });
        o.u64("output_tokens", output);
        o.object("output_tokens_details", |o| o.u64("reasoning_tokens", usage.reasoning_tokens.unwrap_or(0)));
        o.u64("total_tokens", input.saturating_add(output));
    });
}

/// Why an answer ended, from its status and, where it is not whole, the reason for that. `None` where it has not ended.
pub(super) fn finish<'a>(status: Option<Text<'a>>, reason: Option<Text<'a>>, has_calls: bool) -> Option<Finish<'a>> {
    let (told, raw) = match (status, reason) {
        // Some hosts leave the status out and name the reason alone.
        (Some(status), reason) if status.is("incomplete") => (incomplete(reason.as_ref()), reason.unwrap_or(status)),
        (None, Some(reason)) => (incomplete(Some(&reason)), reason),
        (Some(status), _) if status.is("in_progress") || status.is("queued") => return None,
        (Some(status), _) if status.is("completed") => (FinishReason::Stop, status),
        (None, None) => (FinishReason::Stop, Text::EMPTY),
        (Some(status), _) => (FinishReason::Other, status),
    };
    let reason = if told == FinishReason::Stop && has_calls { FinishReason::ToolCalls } else { told };
    Some(Finish::new(reason, raw))
}

fn incomplete(reason: Option<&Text<'_>>) -> FinishReason {
    match reason.map(Text::read).as_deref() {
        None | Some("max_output_tokens" | "max_tokens" | "length") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some(_) => FinishReason::Other,
    }
}

/// The status of an answer that ended so, and why it is not whole.
pub(super) fn status_words(reason: FinishReason) -> (&'static str, Option<&'static str>) {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other => ("completed", None),
        FinishReason::Length | FinishReason::Pause => ("incomplete", Some("max_output_tokens")),
        FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
    }
}
