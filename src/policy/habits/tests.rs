use super::*;
use crate::base::clock;

fn used(output: u64, reasoning: u64) -> Usage {
    Usage { output_tokens: Some(output), reasoning_tokens: Some(reasoning), ..Usage::default() }
}

fn asking(input_tokens: u64, has: Has) -> Features {
    Features { input_tokens, has, ..Features::default() }
}

#[test]
fn it_starts_sensibly_and_learns_by_size_and_by_reasoning() {
    let (now, plain, thinking) = (clock::now(), Has::default(), Has::REASONING);
    let habits = Habits::new(now);
    let output = |input, has| habits.expected(&asking(input, has), 0).output_tokens;
    assert_eq!((output(100, plain), output(100, thinking)), (300, 1500));
    for _ in 0..200 {
        habits.observe(&asking(100, plain), &used(40, 0), now);
        habits.observe(&asking(100, thinking), &used(5_000, 4_000), now);
        habits.observe(&asking(100, plain), &Usage::default(), now);
    }
    assert!((40..50).contains(&output(100, plain)), "{}", output(100, plain));
    assert_eq!(output(10_000, plain), 300, "of another size nothing is known");
    let expected = habits.expected(&asking(100, thinking), 70);
    assert!((4_900..5_000).contains(&expected.output_tokens) && (3_900..4_000).contains(&expected.reasoning_tokens), "{expected:?}");
    assert_eq!((expected.input_tokens, expected.cached_input_tokens), (100, 70));
    let bounded = Features { output_tokens_max: Some(64), ..asking(100, thinking) };
    let expected = habits.expected(&bounded, 1_000);
    assert_eq!((expected.output_tokens, expected.reasoning_tokens, expected.cached_input_tokens), (64, 64, 100));
}

#[test]
fn old_habits_fade() {
    let now = clock::now();
    let habits = Habits::new(now);
    let asked = asking(100, Has::default());
    (0..500).for_each(|_| habits.observe(&asked, &used(4_000, 0), now));
    let later = now + 20 * DECAY.half_life;
    (0..20).for_each(|_| habits.observe(&asked, &used(40, 0), later));
    assert!(habits.expected(&asked, 0).output_tokens < 100);
    assert_eq!(habits.typical().map(|typical| typical.input_tokens), Some(100));
}
