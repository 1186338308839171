//! The words, signs and lines of a text by which it looks hard or easy.

/// What was seen, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Signs of code.
    pub(super) code: u32,
    /// Signs and words of maths.
    pub(super) maths: u32,
    /// Words that bind the answer.
    pub(super) constraints: u32,
    /// Question marks.
    pub(super) questions: u32,
    /// Lines that begin with a number or a bullet.
    pub(super) steps: u32,
    /// Words that ask why, or for a proof.
    pub(super) reasoning: u32,
    /// Words that ask for something to be thought out.
    pub(super) design: u32,
    /// Words that ask for what needs no thought.
    pub(super) routine: u32,
    /// Whether the first of the words that ask for anything asks for that.
    pub(super) routine_first: bool,
    /// Whether there was such a word.
    asked: bool,
}

/// How much of either end of the text is looked at, in bytes.
const END: usize = 4 << 10;

impl Seen {
    /// Looks at a text.
    pub(super) fn of(text: &str) -> Self {
        let mut seen = Self::default();
        if text.len() <= 2 * END {
            seen.look(text);
            return seen;
        }
        seen.look(text.get(..text.floor_char_boundary(END)).unwrap_or_default());
        seen.look(text.get(text.ceil_char_boundary(text.len() - END)..).unwrap_or_default());
        seen
    }

    fn look(&mut self, text: &str) {
        self.code += text.matches("```").count() as u32;
        text.lines().for_each(|line| self.line(line));
        // Words of which only the first many letters are kept are none of ours.
        let (mut word, mut length) = ([0_u8; LONGEST], 0);
        let ends = |seen: &mut Self, word: &[u8; LONGEST], length: usize| {
            if let Some(kind) = word.get(..length).and_then(kind) {
                seen.count(kind);
            }
        };
        for byte in text.bytes() {
            if byte.is_ascii_alphabetic() || byte >= 0x80 {
                if let Some(place) = word.get_mut(length) {
                    *place = byte.to_ascii_lowercase();
                }
                length += 1;
            } else if length > 0 {
                ends(self, &word, length);
                length = 0;
            }
            if byte == b'?' {
                self.questions += 1;
            }
        }
        ends(self, &word, length);
        self.maths += text.chars().filter(|c| is_maths(*c)).count().min(8) as u32;
    }

    fn line(&mut self, line: &str) {
        let line = line.trim();
        let numbered = line.split_once(['.', ')']).is_some_and(|(number, rest)| {
            (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with(' ')
        });
        self.steps += u32::from(numbered || line.starts_with("- ") || line.starts_with("* "));
        let code = line.ends_with(['{', '}', ';'])
            || line.ends_with("):")
            || ["=>", "->", "::", "==", "!=", "();", "</"].iter().any(|sign| line.contains(sign));
        self.code += u32::from(code);
        self.maths +=
            ["\\frac", "\\int", "\\sum", "\\sqrt", "^2", "^n", "x^", "= 0", " mod "].iter().filter(|sign| line.contains(**sign)).count()
                as u32;
    }

    fn count(&mut self, kind: Kind) {
        let asks = matches!(kind, Kind::Routine | Kind::Reasoning | Kind::Design);
        self.routine_first |= kind == Kind::Routine && !self.asked;
        self.asked |= asks;
        let number = match kind {
            Kind::Code => &mut self.code,
            Kind::Maths => &mut self.maths,
            Kind::Constraint => &mut self.constraints,
            Kind::Reasoning => &mut self.reasoning,
            Kind::Design => &mut self.design,
            Kind::Routine => &mut self.routine,
        };
        *number += 1;
    }
}

fn is_maths(c: char) -> bool {
    matches!(
        c,
        '∑' | '∏'
            | '∫'
            | '∂'
            | '√'
            | '∞'
            | '≤'
            | '≥'
            | '≠'
            | '≡'
            | '∈'
            | '∉'
            | '⊂'
            | '⊆'
            | '∀'
            | '∃'
            | '∇'
            | '→'
            | '²'
            | '³'
            | 'π'
            | 'λ'
            | 'θ'
            | 'Σ'
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Maths,
    Constraint,
    Reasoning,
    Design,
    Routine,
}

/// The longest word of the tables below, in bytes.
const LONGEST: usize = 20;

fn kind(word: &[u8]) -> Option<Kind> {
    let place = WORDS.binary_search_by(|(own, _)| own.as_bytes().cmp(word)).ok()?;
    WORDS.get(place).map(|(_, kind)| *kind)
}

use Kind::{Code, Constraint, Design, Maths, Reasoning, Routine};

/// In the order of their bytes.
const WORDS: &[(&str, Kind)] = &[
    ("algebra", Maths),
    ("algorithm", Design),
    ("allowed", Constraint),
    ("always", Constraint),
    ("analyse", Reasoning),
    ("analyze", Reasoning),
    ("architect", Design),
    ("architecture", Design),
    ("argue", Reasoning),
    ("assess", Reasoning),
    ("assume", Constraint),
    ("asymptotic", Maths),
    ("async", Code),
    ("avoid", Constraint),
    ("await", Code),
    ("begründe", Reasoning),
    ("beweise", Reasoning),
    ("bijection", Maths),
    ("bug", Code),
    ("calculus", Maths),
    ("categorise", Routine),
    ("categorize", Routine),
    ("class", Code),
    ("classify", Routine),
    ("combinatorial", Maths),
    ("compare", Design),
    ("compile", Code),
    ("compiler", Code),
    ("complexity", Design),
    ("compute", Reasoning),
    ("concurrency", Design),
    ("congruent", Maths),
    ("consistency", Design),
    ("const", Code),
    ("constraint", Constraint),
    ("constraints", Constraint),
    ("contradiction", Reasoning),
    ("convergence", Maths),
    ("converges", Maths),
    ("convert", Routine),
    ("convex", Maths),
    ("conçois", Design),
    ("coprime", Maths),
    ("counterexample", Reasoning),
    ("critique", Reasoning),
    ("darf", Constraint),
    ("deadlock", Code),
    ("debe", Constraint),
    ("debug", Code),
    ("deduce", Reasoning),
    ("def", Code),
    ("demuestra", Reasoning),
    ("derivative", Maths),
    ("derive", Reasoning),
    ("design", Design),
    ("detect", Routine),
    ("determinant", Maths),
    ("determine", Reasoning),
    ("diagnose", Reasoning),
    ("differentiable", Maths),
    ("diseña", Design),
    ("disprove", Reasoning),
    ("distributed", Design),
    ("divisible", Maths),
    ("doit", Constraint),
    ("each", Constraint),
    ("eigenvalue", Maths),
    ("eigenvalues", Maths),
    ("endpoint", Code),
    ("ensure", Constraint),
    ("entwirf", Design),
    ("equation", Maths),
    ("erkläre", Reasoning),
    ("essay", Design),
    ("evaluate", Reasoning),
    ("every", Constraint),
    ("exactly", Constraint),
    ("except", Constraint),
    ("exception", Code),
    ("expectation", Maths),
    ("explain", Reasoning),
    ("explique", Reasoning),
    ("extract", Routine),
    ("factorial", Maths),
    ("fasse", Routine),
    ("fault", Design),
    ("fn", Code),
    ("format", Routine),
    ("function", Code),
    ("given", Constraint),
    ("gleichung", Maths),
    ("golang", Code),
    ("graph", Maths),
    ("greet", Routine),
    ("guarantee", Constraint),
    ("homomorphism", Maths),
    ("however", Constraint),
    ("hypothesis", Maths),
    ("implement", Design),
    ("implementation", Design),
    ("import", Code),
    ("induction", Maths),
    ("inequality", Maths),
    ("infer", Reasoning),
    ("integer", Maths),
    ("integers", Maths),
    ("integral", Maths),
    ("investigate", Reasoning),
    ("irrational", Maths),
    ("itinerary", Design),
    ("java", Code),
    ("javascript", Code),
    ("justify", Reasoning),
    ("kubernetes", Code),
    ("label", Routine),
    ("lambda", Code),
    ("latency", Design),
    ("least", Constraint),
    ("lemma", Maths),
    ("limit", Maths),
    ("list", Routine),
    ("lowercase", Routine),
    ("matrix", Maths),
    ("maximise", Reasoning),
    ("maximize", Reasoning),
    ("maximum", Constraint),
    ("migrate", Design),
    ("migration", Design),
    ("minimise", Reasoning),
    ("minimize", Reasoning),
    ("minimum", Constraint),
    ("modulo", Maths),
    ("most", Constraint),
    ("muss", Constraint),
    ("must", Constraint),
    ("mutex", Code),
    ("never", Constraint),
    ("null", Code),
    ("numpy", Code),
    ("ohne", Constraint),
    ("only", Constraint),
    ("optimal", Reasoning),
    ("optimally", Reasoning),
    ("optimise", Design),
    ("optimize", Design),
    ("orthogonal", Maths),
    ("pandas", Code),
    ("panic", Code),
    ("paraphrase", Routine),
    ("plan", Design),
    ("planning", Design),
    ("polynomial", Maths),
    ("postgres", Code),
    ("pourquoi", Reasoning),
    ("preserve", Constraint),
    ("prime", Maths),
    ("primes", Maths),
    ("probability", Maths),
    ("proof", Reasoning),
    ("proofread", Routine),
    ("propose", Design),
    ("prouve", Reasoning),
    ("prove", Reasoning),
    ("provided", Constraint),
    ("puzzle", Reasoning),
    ("python", Code),
    ("rational", Maths),
    ("rationale", Reasoning),
    ("reason", Reasoning),
    ("reasoning", Reasoning),
    ("reconcile", Reasoning),
    ("recurrence", Maths),
    ("recursion", Code),
    ("refactor", Code),
    ("regex", Code),
    ("rephrase", Routine),
    ("requirement", Constraint),
    ("requirements", Constraint),
    ("resume", Routine),
    ("reword", Routine),
    ("rigorous", Reasoning),
    ("rigorously", Reasoning),
    ("roadmap", Design),
    ("rust", Code),
    ("résume", Routine),
    ("sans", Constraint),
    ("scalable", Design),
    ("schedule", Design),
    ("schema", Code),
    ("segfault", Code),
    ("sentiment", Routine),
    ("shall", Constraint),
    ("shorten", Routine),
    ("should", Constraint),
    ("simulate", Design),
    ("sin", Constraint),
    ("solve", Reasoning),
    ("spell", Routine),
    ("spelling", Routine),
    ("sql", Code),
    ("stacktrace", Code),
    ("strategy", Design),
    ("struct", Code),
    ("subject", Constraint),
    ("summarise", Routine),
    ("summarize", Routine),
    ("summary", Routine),
    ("suppose", Constraint),
    ("synonym", Routine),
    ("synthesise", Design),
    ("synthesize", Design),
    ("tag", Routine),
    ("theorem", Maths),
    ("thesis", Design),
    ("thread", Code),
    ("throughput", Design),
    ("title", Routine),
    ("tldr", Routine),
    ("traceback", Code),
    ("tradeoff", Design),
    ("tradeoffs", Design),
    ("traduce", Routine),
    ("traduis", Routine),
    ("transcribe", Routine),
    ("translate", Routine),
    ("translation", Routine),
    ("triangle", Maths),
    ("typescript", Code),
    ("undefined", Code),
    ("unittest", Code),
    ("unless", Constraint),
    ("uppercase", Routine),
    ("variance", Maths),
    ("vector", Maths),
    ("verify", Reasoning),
    ("wahrscheinlichkeit", Maths),
    ("warum", Reasoning),
    ("why", Reasoning),
    ("within", Constraint),
    ("without", Constraint),
    ("zusammenfassung", Routine),
    ("übersetze", Routine),
    ("übersetzen", Routine),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_short_enough_to_be_found() {
        assert!(
            WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "{:?}",
            WORDS.windows(2).find(|pair| pair[0].0 >= pair[1].0).map(|pair| pair[1].0)
        );
        assert!(WORDS.iter().all(|(word, _)| word.len() <= LONGEST && word.to_lowercase() == *word));
        assert!(WORDS.iter().all(|(word, _)| kind(word.as_bytes()).is_some()));
    }
}
