//! How well the estimate divides, on prompts of both kinds.

use super::*;
use crate::ir::{Message, Part, Reasoning, Role, Text, Tool};

/// Prompts with whether they are hard: whether a small model would do noticeably worse.
const PROMPTS: &[(&str, bool)] = &[
    // Greetings, look-ups, small talk.
    ("hi", false),
    ("Hello, how are you today?", false),
    ("Thanks, that was all I needed!", false),
    ("What is the capital of Australia?", false),
    ("Who wrote Pride and Prejudice?", false),
    ("When does the shop open on Sundays?", false),
    ("Convert 45 miles to kilometres.", false),
    ("What does the word 'ubiquitous' mean?", false),
    // Classification and labels.
    (
        "Classify the sentiment of this review as positive, negative or neutral: 'The battery died after two days, and support never answered.'",
        false,
    ),
    ("Is the following message spam? Answer yes or no.\n\nYou have WON a prize!!! Click here to claim it now.", false),
    (
        "Label each support ticket with one of billing, shipping, returns:\n1. My card was charged twice\n2. The parcel is late\n3. I want my money back",
        false,
    ),
    ("Detect the language of: 'Wo ist der Bahnhof?'", false),
    (
        "Tag this article with up to three topics: The central bank raised interest rates by a quarter point on Wednesday, citing persistent inflation.",
        false,
    ),
    ("Does this sentence mention a person? \"Ada Lovelace wrote the first program.\"", false),
    // Extraction and formats.
    ("Extract the name, date and amount from this invoice as JSON: ACME Corp, 3 March 2026, EUR 1,240.50 due on receipt.", false),
    ("List all email addresses in the text below.\n\nContact sales@example.com or support@example.com for help.", false),
    ("Format this as a bullet list: apples, pears, plums, three kinds of nuts", false),
    (
        "Extract every order number from the following log lines:\n2026-01-01 order=4411 ok\n2026-01-01 order=4412 failed\n2026-01-02 order=4413 ok",
        false,
    ),
    ("What is the invoice number in: 'Please pay invoice INV-20391 by Friday'?", false),
    // Translation, rewriting, summaries.
    ("Translate to French: The meeting has been moved to Thursday at ten.", false),
    ("Übersetze ins Englische: Die Lieferung kommt erst am Montag, weil der Fahrer krank ist.", false),
    ("Traduce al inglés: El informe debe estar listo antes del viernes.", false),
    (
        "Summarize this paragraph in one sentence: The committee met on Tuesday to discuss the budget. After a long debate the members agreed to postpone the vote until the figures for the last quarter are known.",
        false,
    ),
    ("Correct the spelling: 'I recieved teh pakage yesterday.'", false),
    ("Rephrase more politely: Send me the file now.", false),
    ("Give me a title for a blog post about growing tomatoes on a balcony.", false),
    (
        "Shorten this to 20 words: Our team has worked hard over the past months to deliver a release that is faster, smaller and easier to use than everything before.",
        false,
    ),
    ("Write a friendly two-line birthday message for a colleague named Tom.", false),
    // Proofs and maths.
    ("Prove that there are infinitely many primes congruent to 3 modulo 4.", true),
    (
        "Let f be a continuous function on [0,1] with ∫ f(x) dx = 0. Show that f has a zero, and determine for which n the argument extends to ∫ x^n f(x) dx = 0.",
        true,
    ),
    (
        "A fair coin is tossed until two heads in a row appear. Derive the expectation and the variance of the number of tosses, and justify each step.",
        true,
    ),
    ("Find all integer solutions of x^2 - 7y^2 = 1 and explain why there are no others.", true),
    ("Solve the recurrence T(n) = 3T(n/4) + n log n and prove the bound by induction.", true),
    (
        "Three friends each make two statements, of which exactly one is true. Anna says: Ben lies, and I have the key. Ben says: Anna has the key, and Cleo never lies. Cleo says: Ben has it, and Anna lies. Who has the key? Explain your reasoning step by step.",
        true,
    ),
    ("How many ways are there to tile a 2×n board with dominoes and squares? Derive a recurrence, solve it and verify it for n ≤ 5.", true),
    // Code to be written, found fault with, designed.
    (
        "Implement a lock-free bounded queue for several producers in Rust, explain the memory ordering of each atomic operation, and argue why it is free of the ABA problem.",
        true,
    ),
    (
        "Here is a traceback from our service:\n```\nTraceback (most recent call last):\n  File \"app.py\", line 88, in handle\n    result = await pool.run(fn)\nRuntimeError: deadlock detected\n```\nIt only happens under load. Diagnose the likely cause, and propose a fix without changing the public API.",
        true,
    ),
    (
        "Refactor this function so that it runs in O(n log n) instead of O(n^2), keep the behaviour for duplicates, and explain the complexity:\n```python\ndef pairs(xs, k):\n    out = []\n    for i in range(len(xs)):\n        for j in range(len(xs)):\n            if i != j and xs[i] + xs[j] == k:\n                out.append((i, j))\n    return out\n```",
        true,
    ),
    (
        "Design a rate limiter for a distributed API gateway: at most 1000 requests per minute and tenant, exact within 1 %, and no single point of failure. Compare at least three algorithms, discuss consistency and latency, and give pseudocode for the one you choose.",
        true,
    ),
    (
        "Write a SQL query that finds, for every customer, the longest streak of consecutive days with at least one order, and explain why your window functions are correct for gaps and time zones.",
        true,
    ),
    (
        "Why does this Rust code not compile, and what is the idiomatic way to restructure it?\n```rust\nstruct Cache<'a> { map: HashMap<String, &'a str>, store: Vec<String> }\nimpl<'a> Cache<'a> {\n    fn add(&'a mut self, s: String) { self.store.push(s); let r = self.store.last().unwrap(); self.map.insert(s.clone(), r); }\n}\n```",
        true,
    ),
    (
        "Migrate our monolith's authentication to a separate service. Plan the steps so that there is never downtime, old sessions stay valid, every step can be rolled back, and the database schema changes are backwards compatible. List the risks of each step.",
        true,
    ),
    // Plans and analysis under constraints.
    (
        "Plan a ten-day itinerary through Japan for two adults and a toddler: at most 2 hours of travel a day, a budget of 4000 euros, one day without any plans, and never more than three hotels. Explain the trade-offs.",
        true,
    ),
    (
        "Analyze the following argument and identify every hidden assumption: if wages rise, prices must rise; prices did not rise; therefore productivity must have grown or profits fallen. Is it valid? Is it sound? Construct a counterexample if not.",
        true,
    ),
    (
        "Compare the monetary policy of the ECB and the Fed between 2021 and 2025, evaluate which reacted more optimally given what was known at the time, and justify your assessment with at least four figures.",
        true,
    ),
    (
        "We must schedule 12 nurses over 4 weeks. Each works at most 5 days a week, nobody works a night shift before a day shift, every shift needs at least 2 seniors, and requests for days off should be met where possible. Propose an algorithm, prove that it terminates, and discuss its complexity.",
        true,
    ),
    (
        "Evaluate whether we should rewrite our billing system in Rust or optimise the existing Java code. Constraints: six engineers, nine months, PCI compliance must never lapse. Propose a decision with a roadmap and the strongest argument against it.",
        true,
    ),
    (
        "Warum ist die Riemannsche Vermutung für die Verteilung der Primzahlen wichtig? Begründe jeden Schritt und beweise, dass ζ(s) für Re(s) > 1 keine Nullstellen hat.",
        true,
    ),
    (
        "Critique this experiment's design: 30 volunteers chose themselves whether to take the drug. Which biases arise, how would you redesign it within the same budget, and what sample size is needed to detect a difference of 5 % with a power of 0.8? Derive the number.",
        true,
    ),
    (
        "Derive the gradient of the cross-entropy loss with respect to the logits of a softmax layer, and explain why it is numerically better to compute both at once.",
        true,
    ),
    (
        "Given the utility U(x, y) = x^2 y and the budget 3x + 4y ≤ 120, maximize U, verify the second-order conditions, and determine how the optimum changes if the price of x rises by 10 %.",
        true,
    ),
];

/// More of both kinds, written after the weights were found and not used to better them.
const HELD_OUT: &[(&str, bool)] = &[
    ("Can you tell me a joke about cats?", false),
    ("good morning! is anybody there?", false),
    ("Which of these is a fruit: carrot, banana, potato?", false),
    ("How do you say 'good night' in Italian?", false),
    ("What year did the Berlin Wall fall?", false),
    ("Pull out the phone numbers from this text: call 555-0199 or 555-0123 after five.", false),
    ("Is this email urgent, normal or low priority? 'The server room is flooding, please call me at once!'", false),
    ("Turn this into a table with the columns name and age: Tim is 5, Ana is 7, and Jo is 9 years old.", false),
    ("Make this sentence past tense: She goes to the market.", false),
    (
        "Summarise the minutes below in three bullet points.\n\nThe team agreed to ship on Friday. Testing must be finished by Wednesday. Marketing needs the texts by Thursday at noon.",
        false,
    ),
    ("Suggest five names for a coffee shop.", false),
    ("Rewrite the following in a formal tone: hey guys, the thing is broken again, pls fix asap", false),
    (
        "A train leaves Leeds at 60 km/h and another leaves York, 40 km away, at 45 km/h an hour later on the same line. Compute where they meet, and explain how the answer changes if the second must stop for 10 minutes.",
        true,
    ),
    (
        "Write a function in Go that merges k sorted channels into one without leaking goroutines when the consumer stops early, and explain the complexity.",
        true,
    ),
    (
        "Show that every bounded sequence of real numbers has a convergent subsequence, and give a counterexample in an infinite-dimensional space.",
        true,
    ),
    (
        "Our Postgres query went from 40 ms to 9 s after a migration that added an index. EXPLAIN shows a nested loop instead of a hash join. What are the likely causes, how would you verify each, and which fix would you try first?",
        true,
    ),
    (
        "Design the schema and the API for a booking system in which double bookings must never happen, even when two requests arrive at the same instant, and discuss the trade-offs of at least two locking strategies.",
        true,
    ),
    (
        "Evaluate the ethical arguments for and against mandatory organ donation, and argue which is strongest from a Kantian point of view.",
        true,
    ),
    (
        "There are 100 prisoners and a room with a light bulb. Plan a strategy by which they can determine with certainty that everybody has been in the room, and prove that it works.",
        true,
    ),
    (
        "Find the bug:\n```c\nint *f(void) {\n    int x[4] = {0};\n    for (int i = 0; i <= 4; i++) x[i] = i;\n    return x;\n}\n```\nExplain every undefined behaviour and how a compiler may exploit it.",
        true,
    ),
    (
        "Minimize the cost of a closed cylinder that must hold exactly 1 litre, given that the lid costs twice as much as the rest. Derive the optimum and check the second derivative.",
        true,
    ),
    (
        "Write an essay comparing the causes of the French and the Russian revolutions, with a thesis, three arguments and one counterargument for each.",
        true,
    ),
    (
        "Simulate by hand how the Raft algorithm elects a leader when two of five nodes are partitioned, and explain why no two leaders can commit in the same term.",
        true,
    ),
    (
        "Propose a pricing model for our API: revenue must not fall, heavy users should pay more, and no customer's bill may rise by more than 15 %. Justify the model with a worked example.",
        true,
    ),
];

const THRESHOLD: f32 = 0.4;

#[test]
#[expect(clippy::print_stderr, reason = "the accuracy is said aloud")]
fn it_divides_the_hard_from_the_easy() {
    for (name, prompts, least_percent) in [("known", PROMPTS, 95), ("held out", HELD_OUT, 80)] {
        let judged: Vec<_> = prompts.iter().map(|(text, hard)| (Difficulty::of_text(text, text.len()), *hard, *text)).collect();
        let wrong: Vec<_> = judged.iter().filter(|(difficulty, hard, _)| (difficulty.value() >= THRESHOLD) != *hard).collect();
        let right = judged.len() - wrong.len();
        eprintln!("{right} of {} {name} prompts on the right side of {THRESHOLD}", judged.len());
        for (difficulty, _, text) in &wrong {
            let why: Vec<_> = difficulty.reasons().map(|(reason, weight)| format!("{reason} {weight:+.2}")).collect();
            eprintln!("  {:.2} {} ({})", difficulty.value(), text.chars().take(60).collect::<String>(), why.join(", "));
        }
        assert!(right * 100 >= judged.len() * least_percent, "{name}");
    }
}

#[test]
fn what_the_request_asks_for_counts() {
    let of = |change: &dyn Fn(&mut Request<'_>, &mut Features)| {
        let message = Message::new(Role::User, vec![Part::text(Text::plain("Which of the two is it, and where from?"))]);
        let mut request = Request { messages: vec![message], ..Request::default() };
        let mut features = Features::default();
        change(&mut request, &mut features);
        Difficulty::of(&request, &features, &prompt::last_user_text(&request))
    };
    let plain = of(&|_, _| {}).value();
    let effort = |effort| {
        of(&|request: &mut Request<'_>, _: &mut Features| {
            request.reasoning = Some(Reasoning { effort: Some(effort), ..Reasoning::default() })
        })
        .value()
    };
    assert!(effort(Effort::High) >= plain + 0.25 && effort(Effort::Low) > plain);
    assert_eq!(effort(Effort::None), plain);
    let budget = of(&|request, _| request.reasoning = Some(Reasoning { budget_tokens: Some(20_000), ..Reasoning::default() }));
    assert!(budget.value() > plain);
    let tools = of(&|request, features| {
        request.tools = (0..30).map(|_| Tool::Custom { name: Text::EMPTY, description: None, format: None }).collect();
        features.has = Has::TOOLS;
    });
    assert!(tools.value() > plain && tools.value() <= plain + 0.16);
    let short = of(&|_, features| features.output_tokens_max = Some(16));
    assert!(short.value() < plain);
    let reasons: Vec<_> = tools.reasons().collect();
    assert_eq!(reasons, [("tools", 0.15)]);
    assert_eq!(REASONS.len(), Reason::Documents as usize + 1);
}

#[test]
fn long_texts_are_harder_and_stay_within_bounds() {
    let hard = "Prove, derive, design and optimize x^2 ≤ 0 because it must never fail?\n1. a\n2. b\n".repeat(1_000);
    let difficulty = Difficulty::of_text(&hard, hard.len());
    assert_eq!(difficulty.value(), 1.0);
    let easy = "Translate this, translate that. ".repeat(2);
    assert!(Difficulty::of_text(&easy, easy.len()).value() == 0.0);
    let word = "word ".repeat(100);
    assert!(Difficulty::of_text(&word, 100_000).value() > Difficulty::of_text(&word, word.len()).value());
}

proptest::proptest! {
    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}|[a-z^?.;0-9\n{}é ]{0,200}", bytes in 0usize..1_000_000) {
        let difficulty = Difficulty::of_text(&text, bytes);
        let value = difficulty.value();
        proptest::prop_assert!((0.0..=1.0).contains(&value));
        proptest::prop_assert!(difficulty.reasons().all(|(_, weight)| weight.is_finite()));
    }
}
