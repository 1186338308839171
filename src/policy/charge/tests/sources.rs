//! The two lists of prices: where they agree ours is that, and where they do not a rule says whose counts.

use std::process::Command;

use crate::config::catalog::price::{Counted, Occasion};
use crate::config::catalog::{self};

use super::{NOON, on};

#[test]
#[expect(clippy::print_stderr, reason = "each difference is said aloud, and so is a test that checks nothing")]
fn every_difference_of_the_lists_has_a_rule() {
    let lists = super::shared().map(|shared| shared.join("../specs/data"));
    let paths = lists.iter().flat_map(|lists| ["models.litellm.json", "prices.genai-prices.json"].map(|name| lists.join(name)));
    let paths: Vec<_> = paths.filter(|path| path.exists()).collect();
    if paths.len() != 2 {
        eprintln!("SKIPPED: the lists of prices are not beside the recorded traffic (set OUTRIDER_CORPUS)");
        return;
    }
    let refresh = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/refresh");
    let asked = Command::new("python3").arg(refresh).args(["--date", "2026-11-22", "--differences"]).args(paths).output();
    let told = match asked {
        Ok(output) => output,
        Err(cause) => return eprintln!("SKIPPED: python3 cannot be run: {cause}"),
    };
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let text = String::from_utf8(told.stdout).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in text.lines() {
        count += 1;
        let columns: Vec<_> = line.split('\t').collect();
        let &[kind, model, condition, letter, litellm, genai, winner, why] = columns.as_slice() else { panic!("{line}") };
        if winner.is_empty() {
            wrong.push(format!("no rule: {line}"));
            continue;
        }
        let ours = if winner == "LiteLLM" { litellm } else { genai };
        eprintln!("{kind} {model} {condition} {letter}: LiteLLM {litellm}, genai-prices {genai}; ours {ours}, since {why}");
        let found = price(kind, model, condition, letter);
        if found != ours {
            wrong.push(format!("ours is {found}, not {ours}: {line}"));
        }
    }
    eprintln!("{count} differences, each by a rule");
    assert!(count > 200, "only {count} differences: were the lists compared?");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The catalogue's price at its ordinary hours.
fn price(kind: &str, model: &str, condition: &str, letter: &str) -> String {
    let tokens = condition.split(' ').find_map(|word| word.strip_prefix('>')).map_or(0, |tokens| tokens.parse::<u64>().unwrap() + 1);
    let service_tier = condition.split(' ').find_map(|word| word.strip_prefix('@')).unwrap_or_default();
    let counted = Counted::ALL.iter().find(|(known, _)| *known == letter.as_bytes()[0]).unwrap().1;
    // DeepSeek's list is that of the dear hours.
    let at = on(if kind == "deepseek" { "2026-11-25T02:00:00Z" } else { NOON });
    let rates = catalog::facts(kind, model).prices.rates(&Occasion { at, input_tokens: tokens, service_tier });
    rates.and_then(|rates| rates.of(counted)).map_or_else(|| "none".to_owned(), |rate| rate.to_string())
}
