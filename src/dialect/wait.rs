//! When a provider says to come back: the many forms of it in headers and texts.

use std::time::Duration;

use http::HeaderMap;

/// A longer wait than this is not believed, and cut to it.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// How the headers of a refusal say when to come back. `limited`: whether a limit was hit, since the headers of limits stand on
/// every answer. Zero is no hint.
pub fn told(headers: &HeaderMap, limited: bool) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    // By the provider's own clock: ours may differ.
    let sent = || httpdate::parse_http_date(text("date")?).ok()?.duration_since(std::time::UNIX_EPOCH).ok();
    let until = |then: Duration| Some(then.saturating_sub(sent()?));
    let millis = || seconds(text("retry-after-ms")?.parse::<f64>().ok()? / 1000.0);
    let after = || {
        let value = text("retry-after")?;
        match httpdate::parse_http_date(value) {
            Ok(date) => until(date.duration_since(std::time::UNIX_EPOCH).ok()?),
            Err(_) => span(value),
        }
    };
    let reset = || {
        let resets = headers.iter().filter(|_| limited).filter_map(|(name, value)| {
            let (unit, remaining) = resetting(name.as_str())?;
            // Of several limits it is the one that is used up; a host that does not say how much is left has only that one.
            let left = remaining.map(|name| text(&name));
            let used_up = matches!(left, None | Some(None)) || left.flatten().is_some_and(|left| left.parse::<f64>() == Ok(0.0));
            if !used_up {
                return None;
            }
            let value = value.to_str().ok()?.trim();
            match unit {
                Unit::Moment => until(rfc3339(value)?),
                Unit::Span => match value.parse::<f64>() {
                    // A date in seconds or milliseconds since 1970, of which there is no other sign.
                    Ok(number) if number >= 1e12 => until(seconds(number / 1000.0)?),
                    Ok(number) if number >= 1e9 => until(seconds(number)?),
                    _ => span(value),
                },
            }
        });
        resets.max()
    };
    let some = |wait: Option<Duration>| wait.filter(|wait| !wait.is_zero()).map(|wait| wait.min(WAIT_MAX));
    some(millis()).or_else(|| some(after())).or_else(|| some(reset()))
}

enum Unit {
    Span,
    Moment,
}

/// How the header of a limit tells when it is full again, and the header that tells how much is left of it.
fn resetting(name: &str) -> Option<(Unit, Option<String>)> {
    if let Some(limit) = name.strip_prefix("anthropic-")
        && let Some(limit) = limit.strip_suffix("-reset")
    {
        return Some((Unit::Moment, Some(format!("anthropic-{limit}-remaining"))));
    }
    for prefix in ["x-ratelimit-", "ratelimit-", "ratelimitbysize-"] {
        let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix("reset")) else { continue };
        return Some((Unit::Span, Some(format!("{prefix}remaining{rest}"))));
    }
    None
}

/// A span of time: `34.4s`, `1m30s`, `120ms`, `6m0s`, `1h2m3s`, or bare seconds.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "" if rest.len() == text.len() && after.is_empty() => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    Some(seconds(total)?.min(WAIT_MAX))
}

/// The span that follows one of the phrases in which hosts tell it in a text alone: "Please try again in 7.66s."
pub(crate) fn in_text(text: &str) -> Option<Duration> {
    const PHRASES: [&str; 3] = ["Please try again in ", "Please retry in ", "Please retry after "];
    let rest = PHRASES.iter().find_map(|phrase| Some(text.split_once(phrase)?.1))?;
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let word = word.trim_end_matches(['.', ',']);
    let unit = match after.split(|c: char| !c.is_ascii_alphabetic()).next() {
        Some("second" | "seconds") => "s",
        Some("minute" | "minutes") => "m",
        _ => "",
    };
    let spelled = if unit.is_empty() { span(word) } else { span(&format!("{word}{unit}")) };
    spelled.filter(|wait| !wait.is_zero()).map(|wait| wait.min(WAIT_MAX))
}

/// Not for what is negative or no number; at most [`WAIT_MAX`].
fn seconds(seconds: f64) -> Option<Duration> {
    // Far above any wait, so that dates pass.
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(1e11)))
}

fn rfc3339(text: &str) -> Option<Duration> {
    // A zone that is not UTC's: nobody sends one.
    humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests;
