//! Reading what both dialects spell alike: where a value stands, what was expected there, marks, media and
//! addresses.

use std::borrow::Cow;
use std::fmt;

use crate::base::Fault;
use crate::base::json::{Raw, unescape};
use crate::base::money::NanoUsd;
use crate::ir::{CacheMark, CacheTtl, Dialect, Extension, Number, OutputFormat, Request, ServiceTier, Source, Text, ToolChoice, Usage};

/// Where in the body a value stands. A chain on the stack, so that a sound request pays nothing for it.
#[derive(Clone, Copy)]
pub(in crate::dialect) enum At<'p> {
    /// The body itself.
    Root,
    /// A member.
    Key(&'p At<'p>, &'p str),
    /// An element.
    Item(&'p At<'p>, usize),
}

impl At<'_> {
    /// The member below.
    pub(in crate::dialect) fn key<'p>(&'p self, name: &'p str) -> At<'p> {
        At::Key(self, name)
    }

    /// A fault that names this place, what belongs there and what was found.
    pub(in crate::dialect) fn expected(&self, what: &str, found: Option<Raw<'_>>) -> Fault {
        let found = found.map_or("nothing", Raw::kind_name);
        match self {
            At::Root => Fault::bad_request(format!("the body: expected {what}, found {found}")),
            _ => self.wrong(format_args!("expected {what}, found {found}")),
        }
    }

    /// A fault that names this place.
    pub(in crate::dialect) fn wrong(&self, what: impl fmt::Display) -> Fault {
        Fault::bad_request(format!("{self}: {what}")).at(self.to_string())
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Key(At::Root, name) => f.write_str(name),
            At::Key(parent, name) => write!(f, "{parent}.{name}"),
            At::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A string.
pub(in crate::dialect) fn text<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Text<'a>, Fault> {
    Text::of(raw).ok_or_else(|| at.expected("a string", Some(raw)))
}

/// A string member that must be there.
pub(in crate::dialect) fn required_text<'a>(raw: Option<Raw<'a>>, at: &At<'_>) -> Result<Text<'a>, Fault> {
    raw.and_then(Text::of).ok_or_else(|| at.expected("a string", raw))
}

/// A number.
pub(in crate::dialect) fn number<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Number<'a>, Fault> {
    Number::of(raw).ok_or_else(|| at.expected("a number", Some(raw)))
}

/// A whole number.
pub(in crate::dialect) fn whole(raw: Raw<'_>, at: &At<'_>) -> Result<u64, Fault> {
    raw.u64().ok_or_else(|| at.expected("a whole number, 0 or more", Some(raw)))
}

/// A boolean.
pub(in crate::dialect) fn boolean(raw: Raw<'_>, at: &At<'_>) -> Result<bool, Fault> {
    raw.bool().ok_or_else(|| at.expected("true or false", Some(raw)))
}

/// A member that is there and not `null`: in this dialect the two mean the same.
pub(in crate::dialect) fn told<'a>(raw: Raw<'a>, name: &str) -> Option<Raw<'a>> {
    raw.member(name).filter(|value| !value.is_null())
}

/// A string that is there and not empty.
pub(in crate::dialect) fn words(raw: Option<Raw<'_>>) -> Option<Text<'_>> {
    raw.and_then(Text::of).filter(|text| !text.is_empty())
}

/// A prompt-cache mark: Anthropic's `cache_control`, which many hosts took over, or OpenAI's `prompt_cache_breakpoint`.
pub(in crate::dialect) fn cache_mark(raw: Raw<'_>) -> Option<CacheMark> {
    if !raw.is_object() {
        return None;
    }
    let ttl = raw.member("ttl").and_then(Raw::inner).and_then(|word| match word {
        "5m" => Some(CacheTtl::Minutes5),
        "30m" => Some(CacheTtl::Minutes30),
        "1h" => Some(CacheTtl::Hour1),
        "12h" => Some(CacheTtl::Hours12),
        _ => None,
    });
    Some(CacheMark { ttl })
}

/// An address that may hold its bytes itself, given as the inside of a JSON string. The pieces stay in their escapes:
/// neither `:`, `;` nor `,` can be part of one.
pub(in crate::dialect) fn source(inner: &str) -> Source<'_> {
    if let Some((media_type, data)) = split_data_url(inner) {
        return Source::Base64 { media_type: Text::Escaped(media_type), data: Text::Escaped(data) };
    }
    if !inner.contains('\\') {
        return Source::Url(Text::Escaped(inner));
    }
    let plain = unescape(inner);
    match split_data_url(&plain) {
        Some((media_type, data)) => {
            Source::Base64 { media_type: Text::Plain(Cow::Owned(media_type.to_owned())), data: Text::Plain(Cow::Owned(data.to_owned())) }
        }
        None => Source::Url(Text::Escaped(inner)),
    }
}

/// The media type and the base64 text of `data:TYPE;…;base64,TEXT`.
fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])?;
    let (head, data) = rest.split_once(',')?;
    let (media_type, last) = (head.split(';').next()?, head.rsplit(';').next()?);
    if !last.eq_ignore_ascii_case("base64") || !head.contains(';') {
        return None;
    }
    Some((if media_type.is_empty() { "text/plain" } else { media_type }, data))
}

/// The text of a call's arguments. Some give the object itself.
pub(in crate::dialect) fn arguments(raw: Option<Raw<'_>>) -> Text<'_> {
    match raw {
        None => Text::EMPTY,
        Some(raw) => Text::of(raw).unwrap_or(Text::plain(raw.get())),
    }
}

/// The form that a JSON schema gives the answer; `inner` holds the schema and what it is called.
pub(in crate::dialect) fn json_schema<'a>(inner: Raw<'a>, at: &At<'_>) -> Result<OutputFormat<'a>, Fault> {
    let schema = told(inner, "schema").ok_or_else(|| at.key("schema").expected("a JSON schema", None))?;
    let strict = told(inner, "strict").map(|strict| boolean(strict, &at.key("strict"))).transpose()?;
    let (name, description) = (told(inner, "name").and_then(Text::of), told(inner, "description").and_then(Text::of));
    Ok(OutputFormat::JsonSchema { name, description, schema: schema.into(), strict })
}

/// The choice among the tools that a word stands for.
pub(in crate::dialect) fn choice<'a>(word: &str, at: &At<'_>) -> Result<ToolChoice<'a>, Fault> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => Err(at.wrong(format_args!("expected `auto`, `none`, `required` or an object that names a tool, found `{word}`"))),
    }
}

/// A sound with its bytes in it: `input_audio`.
pub(in crate::dialect) fn audio<'a>(audio: Option<Raw<'a>>, at: &At<'_>) -> Result<Source<'a>, Fault> {
    let audio = audio.ok_or_else(|| at.expected("an object", None))?.fields();
    let data = required_text(audio.told("data"), &at.key("data"))?;
    let media_type = match audio.told("format").and_then(Raw::string).as_deref() {
        None | Some("wav") => Text::Escaped("audio/wav"),
        Some("mp3") => Text::Escaped("audio/mpeg"),
        Some(other) => Text::plain(format!("audio/{other}")),
    };
    Ok(Source::Base64 { media_type, data })
}

/// The `file_data` of a file: hosts take an address here too, or the bare base64 of a PDF.
pub(in crate::dialect) fn file_data<'a>(data: Raw<'a>, at: &At<'_>) -> Result<Source<'a>, Fault> {
    Ok(match source(data.inner().ok_or_else(|| at.expected("a string", Some(data)))?) {
        Source::Url(url) if !url.read().contains("://") => Source::Base64 { media_type: Text::Escaped("application/pdf"), data: url },
        source => source,
    })
}

/// Takes the newer name for the user as the user, where the older one is not told.
pub(in crate::dialect) fn safety_identifier<'a>(told: Option<Raw<'a>>, dialect: Dialect, request: &mut Request<'a>) {
    let Some(value) = told else { return };
    match (request.user.is_none(), Text::of(value)) {
        (true, Some(id)) => request.user = Some(id),
        _ => request.extensions.push(Extension { dialect, name: "safety_identifier".into(), value }),
    }
}

/// The counters with the tier that answered, which stands beside them.
pub(in crate::dialect) fn served(usage: Option<Usage>, tier: Option<ServiceTier>) -> Option<Usage> {
    usage.map(|usage| Usage { service_tier: usage.service_tier.or(tier), ..usage })
}

/// What hosts of this dialect say that they charge. OpenRouter and those who follow it tell `cost`, Perplexity takes that
/// apart, xAI tells ticks of a ten-billionth of a dollar.
#[derive(Default)]
pub(in crate::dialect) struct Bill {
    cost: Option<NanoUsd>,
    /// What another provider charges its customer's own key, beside the host's fee.
    upstream: Option<NanoUsd>,
    own_key: bool,
}

impl Bill {
    /// Looks at a member of the usage; says whether it is one of these.
    pub(in crate::dialect) fn read(&mut self, name: &str, value: Raw<'_>) -> bool {
        let dollars = |value: Raw<'_>| value.number().and_then(NanoUsd::from_json);
        match name {
            "cost" => self.cost = dollars(value).or_else(|| told(value, "total_cost").and_then(dollars)),
            "cost_in_usd_ticks" => self.cost = value.u64().map(|ticks| NanoUsd(ticks.div_ceil(10))),
            "cost_details" => self.upstream = told(value, "upstream_inference_cost").and_then(dollars),
            "is_byok" => self.own_key = value.bool() == Some(true),
            _ => return false,
        }
        true
    }

    /// All of it.
    pub(in crate::dialect) fn total(&self) -> Option<NanoUsd> {
        match (self.own_key, self.upstream) {
            (true, None) => None,
            (true, Some(upstream)) => self.cost.map(|cost| cost.saturating_add(upstream)),
            (false, _) => self.cost,
        }
    }
}

/// Searches among the tools that xAI ran.
pub(in crate::dialect) fn web_searches(tools: Raw<'_>) -> Option<u64> {
    let called = |name| told(tools, name).and_then(Raw::u64);
    let (web, own) = (called("web_search_calls"), called("x_search_calls"));
    (web.is_some() || own.is_some()).then(|| web.unwrap_or(0).saturating_add(own.unwrap_or(0)))
}
