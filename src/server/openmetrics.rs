//! The Prometheus text format, turned into OpenMetrics.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

/// Says the same in OpenMetrics 1.0: a counter's family is named without `_total` and its samples with it, `untyped` is
/// `unknown`, there are neither blank lines nor comments, and `# EOF` ends the text.
pub fn to_openmetrics(prometheus_text: &str) -> String {
    let counters: HashSet<&str> = prometheus_text.lines().filter_map(counter_name).collect();
    let mut out = String::with_capacity(prometheus_text.len() + 64);
    for line in prometheus_text.lines() {
        let done = match line.strip_prefix('#') {
            Some(comment) => write_comment(comment.trim_start(), &counters, &mut out),
            None if line.trim().is_empty() => Ok(()),
            None => write_sample(line, &counters, &mut out),
        };
        debug_assert!(done.is_ok(), "a string takes whatever is written");
    }
    out.push_str("# EOF\n");
    out
}

fn counter_name(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.trim_end().strip_suffix(" counter")
}

fn write_comment(comment: &str, counters: &HashSet<&str>, out: &mut String) -> std::fmt::Result {
    let mut words = comment.splitn(3, ' ');
    let (Some(keyword @ ("TYPE" | "HELP" | "UNIT")), Some(name)) = (words.next(), words.next()) else { return Ok(()) };
    let text = words.next().unwrap_or_default();
    let text = if keyword == "TYPE" && text.trim() == "untyped" { "unknown" } else { text };
    let family = if counters.contains(name) { name.strip_suffix("_total").unwrap_or(name) } else { name };
    writeln!(out, "# {keyword} {family} {text}")
}

fn write_sample(line: &str, counters: &HashSet<&str>, out: &mut String) -> std::fmt::Result {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or(line.len()));
    let name = match counters.contains(name) && !name.ends_with("_total") {
        true => Cow::Owned(format!("{name}_total")),
        false => Cow::Borrowed(name),
    };
    writeln!(out, "{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_are_renamed_and_the_rest_stays() {
        let prometheus = "\
# HELP requests_total All of them, # and _total alike.
# TYPE requests_total counter
requests_total{path=\"/a b\",q=\"{x}\"} 3

# TYPE bare counter
bare 1
bare{a=\"b\"} 2

# HELP disk_total Not a counter.
# TYPE disk_total gauge
disk_total 9
# a comment
# TYPE thing untyped
thing NaN
# TYPE seconds histogram
seconds_bucket{le=\"0.1\"} 1
seconds_bucket{le=\"+Inf\"} 2
seconds_sum 0.3
seconds_count 2
";
        let openmetrics = "\
# HELP requests All of them, # and _total alike.
# TYPE requests counter
requests_total{path=\"/a b\",q=\"{x}\"} 3
# TYPE bare counter
bare_total 1
bare_total{a=\"b\"} 2
# HELP disk_total Not a counter.
# TYPE disk_total gauge
disk_total 9
# TYPE thing unknown
thing NaN
# TYPE seconds histogram
seconds_bucket{le=\"0.1\"} 1
seconds_bucket{le=\"+Inf\"} 2
seconds_sum 0.3
seconds_count 2
# EOF
";
        assert_eq!(to_openmetrics(prometheus), openmetrics);
    }

    #[test]
    fn nothing_is_only_an_end() {
        assert_eq!(to_openmetrics(""), "# EOF\n");
    }
}
