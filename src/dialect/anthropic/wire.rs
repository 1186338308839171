//! What requests, answers and streams share: places, words, ids, counters.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::base::Fault;
use crate::base::json::{Object, Raw};
use crate::dialect::call_id;
use crate::ir::{Finish, FinishReason, ServiceTier, Text, Usage};

/// Where in a body something stands, in Anthropic's own spelling (`messages.2.content`). Built on the stack, spelled
/// only where a fault names it.
#[derive(Clone, Copy)]
pub(in crate::dialect) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// A top-level member.
    pub(in crate::dialect) fn root(name: &'p str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }

    /// A member of the object here.
    pub(in crate::dialect) fn name(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Name(name) }
    }

    /// An element of the array here.
    pub(in crate::dialect) fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// A malformed request: what was expected here, and what was found.
    pub(in crate::dialect) fn wrong(&self, expected: &str, found: Raw<'_>) -> Fault {
        self.fault(format_args!("expected {expected}, found {}", found.kind_name()))
    }

    /// A malformed request: what is missing here.
    pub(in crate::dialect) fn missing(&self, expected: &str) -> Fault {
        self.fault(format_args!("Field required: expected {expected}"))
    }

    /// A malformed request.
    pub(in crate::dialect) fn fault(&self, what: impl fmt::Display) -> Fault {
        let path = self.to_string();
        Fault::bad_request(format!("{path}: {what}")).at(path)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        match self.step {
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "{index}"),
        }
    }
}

/// Whether there is nothing to read in it: the API refuses such text blocks.
pub(in crate::dialect) fn is_blank(text: &Text<'_>) -> bool {
    let bytes = match text {
        Text::Escaped(inner) => inner.as_bytes(),
        Text::Plain(plain) => plain.as_bytes(),
    };
    match bytes.first() {
        None => true,
        Some(byte) if byte.is_ascii_graphic() && *byte != b'\\' => false,
        Some(_) => text.read().trim().is_empty(),
    }
}

/// Writes the `id` of a call, or the `tool_use_id` of its result.
pub(super) fn put_call_id(key: &str, id: &Text<'_>, object: &mut Object<'_>) {
    object.string(key, &call_id::fit(&id.read(), b"_-", usize::MAX));
}

/// The unified reason for a `stop_reason`. `called`: a tool call was seen, which outweighs a careless `end_turn`.
pub(super) fn finish_reason(word: &str, called: bool) -> FinishReason {
    match word {
        "end_turn" if called => FinishReason::ToolCalls,
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" => FinishReason::Pause,
        _ => FinishReason::Other,
    }
}

/// Reads why an answer ended from the object that holds `stop_reason`: a message, or the delta of a `message_delta`.
pub(super) fn finish<'a>(holder: Raw<'a>, called: bool) -> Option<Finish<'a>> {
    let (mut reason, mut sequence, mut explanation) = (None, None, None);
    for (key, value) in holder.members() {
        match &*key {
            "stop_reason" => reason = Text::of(value),
            "stop_sequence" => sequence = Text::of(value),
            "stop_details" => explanation = value.member("explanation").and_then(Text::of),
            _ => {}
        }
    }
    let raw = reason?;
    let reason = finish_reason(&raw.read(), called);
    Some(Finish { reason, raw, stop_sequence: sequence, explanation })
}

/// What a writer of an answer must have seen to name its end.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::dialect) struct Seen {
    /// A tool call.
    pub(in crate::dialect) call: bool,
    /// Words by which the model declined.
    pub(in crate::dialect) refusal: bool,
}

/// The `stop_reason` to tell.
pub(super) fn stop_reason(finish: Option<&Finish<'_>>, seen: Seen) -> &'static str {
    const OWN: [&str; 7] =
        ["end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded", "tool_use", "refusal", "pause_turn"];
    let by_content = match seen {
        Seen { call: true, .. } => "tool_use",
        Seen { refusal: true, .. } => "refusal",
        _ => "end_turn",
    };
    let Some(finish) = finish else { return by_content };
    let own = OWN.iter().find(|word| finish.raw.is(word) && finish_reason(word, false) == finish.reason);
    match finish.reason {
        FinishReason::Stop | FinishReason::Other if by_content != "end_turn" => by_content,
        FinishReason::Stop if finish.stop_sequence.is_some() => "stop_sequence",
        _ if own.is_some_and(|word| *word != "stop_sequence") => own.unwrap_or(&by_content),
        FinishReason::Stop | FinishReason::Other => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Pause => "pause_turn",
    }
}

/// Writes `stop_reason`, `stop_sequence` and, for a refusal that is explained, `stop_details`.
pub(super) fn put_finish(finish: Option<&Finish<'_>>, seen: Seen, object: &mut Object<'_>) {
    let reason = stop_reason(finish, seen);
    object.string("stop_reason", reason);
    match finish.and_then(|f| f.stop_sequence.as_ref()) {
        Some(sequence) if reason == "stop_sequence" => sequence.put("stop_sequence", object),
        _ => object.null("stop_sequence"),
    }
    if let (Some(explanation), "refusal") = (finish.and_then(|f| f.explanation.as_ref()), reason) {
        object.object("stop_details", |details| {
            details.string("type", "refusal");
            details.null("category");
            explanation.put("explanation", details);
        });
    }
}

/// The counters as Anthropic tells them: input without the cached, each cumulative in a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    tier: Option<ServiceTier>,
    us_only: Option<bool>,
    beside: Beside,
}

/// What was billed beside the counters: compactions and advisors, which only `iterations` tells.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    cache_write_1h: u64,
    output: u64,
}

impl Counters {
    /// Takes over what a `usage` object tells. A later zero does not take back what was told, unless the object tells the
    /// input anew: some backends fill a counter in only one of the two events.
    pub(super) fn read(&mut self, usage: Raw<'_>) {
        let anew = usage.member("input_tokens").and_then(Raw::u64).is_some_and(|input| input > 0);
        let take = |slot: &mut Option<u64>, value: Option<Raw<'_>>| {
            if let Some(count) = value.and_then(Raw::u64)
                && (count > 0 || slot.is_none() || anew)
            {
                *slot = Some(count);
            }
        };
        for (key, value) in usage.members() {
            let slot = match &*key {
                "input_tokens" => &mut self.input,
                "cache_read_input_tokens" => &mut self.cache_read,
                "cache_creation_input_tokens" => &mut self.cache_write,
                "output_tokens" => &mut self.output,
                "cache_creation" => {
                    take(&mut self.cache_write_1h, value.member("ephemeral_1h_input_tokens"));
                    continue;
                }
                "output_tokens_details" => {
                    take(&mut self.thinking, value.member("thinking_tokens"));
                    continue;
                }
                "server_tool_use" => {
                    take(&mut self.searches, value.member("web_search_requests"));
                    continue;
                }
                "service_tier" | "speed" => {
                    // Fast is a speed of the ordinary tier.
                    let tier =
                        value.inner().and_then(ServiceTier::named).filter(|tier| key == "service_tier" || *tier == ServiceTier::Fast);
                    self.tier = self.tier.max(tier);
                    continue;
                }
                "inference_geo" => {
                    self.us_only = value.inner().map(|place| place == "us").or(self.us_only);
                    continue;
                }
                "iterations" if value.is_array() => {
                    self.beside = Beside::read(value);
                    continue;
                }
                _ => continue,
            };
            take(slot, Some(value));
        }
    }

    /// The same in the neutral form.
    pub(super) fn usage(&self) -> Usage {
        let with = |counter: Option<u64>, beside: u64| match (counter, beside) {
            (None, 0) => None,
            (counter, beside) => Some(counter.unwrap_or(0).saturating_add(beside)),
        };
        let beside = &self.beside;
        let (read, write) = (with(self.cache_read, beside.cache_read), with(self.cache_write, beside.cache_write));
        let cached = read.unwrap_or(0).saturating_add(write.unwrap_or(0));
        Usage {
            input_tokens: with(self.input, beside.input).map(|input| input.saturating_add(cached)),
            cache_read_tokens: read,
            cache_write_tokens: write,
            cache_write_1h_tokens: with(self.cache_write_1h, beside.cache_write_1h),
            output_tokens: with(self.output, beside.output),
            reasoning_tokens: self.thinking,
            web_searches: self.searches,
            service_tier: self.tier,
            us_only: self.us_only,
            ..Usage::default()
        }
    }
}

impl Beside {
    /// The sum of the iterations that the counters leave out. An advisor is another model, whose tokens count here as the
    /// answering model's, since a charge knows one price.
    fn read(iterations: Raw<'_>) -> Self {
        let mut sum = Self::default();
        let left_out = |each: &Raw<'_>| matches!(each.member("type").and_then(Raw::inner), Some("compaction" | "advisor_message"));
        for (key, value) in iterations.elements().filter(left_out).flat_map(Raw::members) {
            let (slot, count) = match &*key {
                "input_tokens" => (&mut sum.input, value.u64()),
                "cache_read_input_tokens" => (&mut sum.cache_read, value.u64()),
                "cache_creation_input_tokens" => (&mut sum.cache_write, value.u64()),
                "output_tokens" => (&mut sum.output, value.u64()),
                "cache_creation" => (&mut sum.cache_write_1h, value.member("ephemeral_1h_input_tokens").and_then(Raw::u64)),
                _ => continue,
            };
            *slot = slot.saturating_add(count.unwrap_or(0));
        }
        sum
    }
}

/// Writes the cache and detail counters behind `input_tokens`; those that were not told are 0, as in the API's own answers.
pub(super) fn put_usage_rest(usage: &Usage, object: &mut Object<'_>) {
    object.u64("cache_creation_input_tokens", usage.cache_write_tokens.unwrap_or(0));
    object.u64("cache_read_input_tokens", usage.cache_read_tokens.unwrap_or(0));
    object.u64("output_tokens", usage.output_tokens.unwrap_or(0));
    if let Some(thinking) = usage.reasoning_tokens {
        object.object("output_tokens_details", |details| details.u64("thinking_tokens", thinking));
    }
}

/// Writes how the cache writes are split by how long they are kept, where that is known.
pub(super) fn put_cache_creation(usage: &Usage, object: &mut Object<'_>) {
    if let Some(hour) = usage.cache_write_1h_tokens {
        let rest = usage.cache_write_tokens.unwrap_or(hour).saturating_sub(hour);
        object.object("cache_creation", |split| {
            split.u64("ephemeral_5m_input_tokens", rest);
            split.u64("ephemeral_1h_input_tokens", hour);
        });
    }
}

/// The bytes of a base64 text (RFC 4648, with or without padding); `None` where it is not one.
pub(in crate::dialect) fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    /// Whatever stands in the bits that no byte takes.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone).with_decode_allow_trailing_bits(true),
    );
    let digits = text.trim_ascii_end();
    let digits = &digits[..digits.len() - digits.iter().rev().take_while(|b| **b == b'=').count()];
    LENIENT.decode(digits).ok()
}
