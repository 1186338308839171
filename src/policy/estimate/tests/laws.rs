//! Laws: what is learned converges, holds as often as it says, and no report leads it anywhere absurd.

use proptest::prelude::*;

use super::super::*;
use crate::base::rng::RootRng;
use crate::dialect::codec;
use crate::ir::Dialect;

/// A request that says this, and offers tools or not.
fn saying(text: &str, tools: bool) -> Features {
    let content = serde_json::Value::from(text);
    let tools = if tools { r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"# } else { "" };
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]{tools}}}"#);
    Features::of(&codec(Dialect::OpenAiChat).decode_request(body.as_bytes()).unwrap())
}

fn words(count: u64) -> String {
    "word ".repeat(count as usize)
}

/// Some request of an app: prose, code, other scripts, with or without tools.
fn any_request() -> impl Strategy<Value = Features> {
    let piece = prop_oneof![
        (1..4_000_u64).prop_map(words),
        (1..400_usize).prop_map(|times| "if (a[i] != b) { return f(a); }\n".repeat(times)),
        (1..2_000_usize).prop_map(|times| "你好，世界。".repeat(times)),
    ];
    (proptest::collection::vec(piece, 0..4), any::<bool>()).prop_map(|(pieces, tools)| saying(&pieces.concat(), tools))
}

fn any_features() -> impl Strategy<Value = Features> {
    let number = || prop_oneof![0..10_u64, 0..1_000_000_u64, any::<u64>(), Just(u64::MAX)];
    let told = (number(), number(), proptest::option::of(number()), proptest::option::of(number()), number());
    (told, any::<[bool; 5]>(), any::<u32>()).prop_map(|((input, media, output, answers, searches), flags, sealed)| {
        let [tools, own, schema, read, held] = flags;
        let has = [(tools, Has::TOOLS), (own, Has::SIDE_EFFECTS), (schema, Has::STRUCTURED_OUTPUT)];
        Features {
            input_tokens: input,
            media_tokens: media,
            output_tokens_max: output,
            answers,
            searches_max: searches,
            has: has.into_iter().filter(|(is, _)| *is).fold(Has::default(), |all, (_, one)| all.and(one)),
            read,
            held,
            sealed,
            ..Features::default()
        }
    })
}

#[test]
fn at_first_the_estimate_is_safe() {
    let fresh = Calibration::of("anyone/any");
    // What dearer tokenizers count: two thirds more than was estimated, and a template around it.
    for words in [1, 10, 100, 10_000] {
        let asked = saying(&self::words(words), false);
        assert!(fresh.upper(&asked) * 3 >= asked.input_tokens * 4, "{words}");
        assert!(fresh.upper(&asked) <= asked.input_tokens * 2 + 200, "{words}");
    }
    assert_eq!(Calibration::default().upper(&Features::default()), fresh.upper(&Features::default()));
}

#[test]
fn thirty_reports_are_enough() {
    let mut wrong = Vec::new();
    for percent in [60, 80, 100, 135, 180, 300] {
        // Without tools, and with some, which Claude is told how to use.
        for (around, tools) in [(0, false), (70, false), (400, true)] {
            let calibration = Calibration::of("anyone/any");
            let told = |asked: &Features| asked.input_tokens * percent / 100 + around;
            for turn in 1..=30 {
                let asked = saying(&words(turn * 317 % 2_000 + 200), tools);
                calibration.learn(&asked, told(&asked));
            }
            let asked = saying(&words(1_500), tools);
            let (upper, typical, told) = (calibration.upper(&asked) as f64, calibration.typical(&asked) as f64, told(&asked) as f64);
            if !(0.9..1.1).contains(&(typical / told)) || !(1.0..1.5).contains(&(upper / told)) {
                wrong.push(format!("{percent} % + {around}: typical {typical}, upper {upper} of {told}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn kinds_of_content_are_learned_apart() {
    let calibration = Calibration::of("anyone/any");
    let (prose, chinese) = (saying(&words(2_000), false), saying(&"你好，世界。".repeat(500), false));
    for _ in 0..30 {
        calibration.learn(&prose, prose.input_tokens * 8 / 10);
        calibration.learn(&chinese, chinese.input_tokens * 16 / 10);
    }
    let both = saying(&(words(2_000) + &"你好，世界。".repeat(500)), false);
    let told = (prose.input_tokens * 8 + chinese.input_tokens * 16) / 10;
    let (typical, upper) = (calibration.typical(&both), calibration.upper(&both));
    assert!(typical.abs_diff(told) * 20 < told, "{typical} of {told}");
    assert!(upper >= told && upper < told * 13 / 10, "{upper} of {told}");
}

/// Whatever the errors' distribution, about one in a hundred is missed.
#[test]
fn one_in_a_hundred_is_missed() {
    // How often an error is three times as large as most.
    for outliers in [0, 10, 100] {
        let (calibration, mut rng) = (Calibration::of("anyone/any"), RootRng::seeded(7).fork());
        let mut draw = |below: u64| rng.next_u64() % below;
        let (mut missed, mut excess) = (0, 0.0);
        for report in 0..4_000 {
            let asked = Features { input_tokens: 500 + draw(20_000), read: true, ..Features::default() };
            // A bell of four draws, a tenth wide.
            let bell = (0..4).map(|_| draw(1_000) as f64 / 1_000.0 - 0.5).sum::<f64>() * 0.17;
            let error = if draw(1_000) < outliers { bell * 3.0 } else { bell };
            let told = (asked.input_tokens as f64 * (1.2 + error)) as u64;
            if report >= 100 {
                missed += u64::from(calibration.upper(&asked) < told);
                excess += calibration.upper(&asked) as f64 / told as f64 - 1.0;
            }
            calibration.learn(&asked, told);
        }
        let (missed, excess) = (missed as f64 / 3_900.0, excess / 3_900.0);
        assert!((0.002..=0.02).contains(&missed), "{missed} with {outliers}");
        assert!(excess < 0.45, "{excess} with {outliers}");
    }
}

#[test]
fn another_model_behind_a_name_is_followed() {
    let calibration = Calibration::of("anyone/any");
    let report = |percent: u64, times: u64| {
        for turn in 0..times {
            let asked = saying(&words(turn * 317 % 2_000 + 200), false);
            calibration.learn(&asked, asked.input_tokens * percent / 100);
        }
    };
    report(90, 3_000);
    report(125, 40);
    let asked = saying(&words(1_000), false);
    let told = asked.input_tokens * 125 / 100;
    assert!(calibration.upper(&asked) >= told, "{} of {told}", calibration.upper(&asked));
    assert!(calibration.typical(&asked) * 100 >= told * 93, "{} of {told}", calibration.typical(&asked));
    // A single strange report among many does little.
    let before = calibration.typical(&asked);
    calibration.learn(&asked, u64::MAX);
    assert!(calibration.typical(&asked) < before * 2, "{} of {before}", calibration.typical(&asked));
    report(125, 200);
    assert!(calibration.upper(&asked) < told * 3 / 2, "{} of {told}", calibration.upper(&asked));
}

#[test]
fn the_rest_is_bounded_by_what_is_known() {
    let calibration = Calibration::of("anyone/any");
    let facts = |context, output| Facts { context_tokens: context, output_tokens: output, ..Facts::default() };
    let asked = |input, output, answers| Features { input_tokens: input, output_tokens_max: output, answers, ..Features::default() };
    // (request, window, the model's most, assumed, output)
    let cases = [
        (asked(9, Some(100), None), Some(4_096), Some(77), 100),
        (asked(9, None, None), Some(4_096), Some(77), 77),
        (asked(9, None, None), Some(4_096), None, 4_096),
        (asked(9, None, None), None, None, OUTPUT_UNKNOWN),
        (asked(9, Some(100), Some(3)), None, None, 300),
        (asked(9, Some(100), Some(0)), None, None, 100),
        (asked(9, Some(u64::MAX), Some(3)), None, None, u64::MAX),
        (asked(9, Some(7), Some(u64::MAX)), None, None, u64::MAX),
        (asked(9, Some(0), None), None, None, 0),
    ];
    for (features, most, assumed, output) in cases {
        assert_eq!(upper(&features, &calibration, &facts(None, most), assumed).output_tokens, output, "{features:?}");
    }
    // The window bounds what is read, unless it is too small to be true, or the provider reads more.
    let (near, far) = (asked(100_000, None, None), asked(300_000, None, None));
    assert_eq!(upper(&near, &calibration, &facts(Some(110_000), None), None).input_tokens, 110_000);
    assert_eq!(upper(&far, &calibration, &facts(Some(110_000), None), None).input_tokens, calibration.typical(&far));
    let searching = Features { has: Has::SIDE_EFFECTS, searches_max: 5, ..near };
    let bound = upper(&searching, &calibration, &facts(Some(110_000), None), None);
    assert!(bound.input_tokens > 110_000 && bound.searches == 5, "{bound:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is reported, the estimate of an ordinary request is neither nothing nor more than its bytes can be.
    #[test]
    fn absurd_reports_lead_nowhere(
        reports in proptest::collection::vec((any_features(), prop_oneof![Just(0), Just(1), any::<u64>(), Just(u64::MAX)]), 0..60),
        asked in any_request(),
        big in any_features(),
    ) {
        let calibration = Calibration::of("anyone/any");
        for (features, told) in &reports {
            calibration.learn(features, *told);
            calibration.learn(&asked, *told);
        }
        for features in [&asked, &big] {
            let (typical, upper) = (calibration.typical(features), calibration.upper(features));
            prop_assert!(1 <= typical && typical <= upper, "{typical} {upper}");
            super::super::upper(features, &calibration, &Facts::default(), None);
        }
        prop_assert!(calibration.upper(&asked) >= asked.input_tokens / 5);
        prop_assert!(calibration.upper(&asked) <= asked.input_tokens * 9 / 2 + 100_000);
        // And it comes back.
        for _ in 0..300 {
            calibration.learn(&asked, asked.input_tokens + 10);
        }
        let (typical, told) = (calibration.typical(&asked), asked.input_tokens + 10);
        prop_assert!(typical * 10 > told * 8 && typical * 10 < told * 12 + 100, "{typical} of {told}");
    }

    /// More is never estimated at less.
    #[test]
    fn more_is_more(
        reports in proptest::collection::vec((any_request(), 20..300_u64), 0..20),
        text in "[a-z ,.(){}你好]{0,400}",
        more in 1..500_u64,
        tools in any::<bool>(),
    ) {
        let calibration = Calibration::of("anyone/any");
        for (features, percent) in &reports {
            calibration.learn(features, features.input_tokens * percent / 100);
        }
        let less = saying(&text, false);
        for greater in [
            Features { input_tokens: less.input_tokens.saturating_add(more), ..less.clone() },
            Features { has: less.has.and(Has::TOOLS), ..less.clone() },
            saying(&text, tools),
        ] {
            prop_assert!(calibration.upper(&greater) >= calibration.upper(&less));
            prop_assert!(calibration.typical(&greater) >= calibration.typical(&less));
        }
    }
}
