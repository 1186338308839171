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
        let bytes = text.as_bytes();
        let (mut start, mut before) = (None, b'\n');
        for (at, byte) in bytes.iter().copied().enumerate() {
            if byte.is_ascii_alphabetic() || byte >= 0x80 {
                start = start.or(Some(at));
            } else {
                if let Some(from) = start.take() {
                    self.word(bytes.get(from..at).unwrap_or_default());
                }
                self.sign(before, byte, bytes.get(at + 1..).unwrap_or_default());
            }
            if before == b'\n' {
                self.steps += u32::from(begins_item(bytes.get(at..).unwrap_or_default()));
            }
            before = byte;
        }
        self.word(start.and_then(|from| bytes.get(from..)).unwrap_or_default());
        if !text.is_ascii() {
            self.maths += text.chars().filter(|c| is_maths(*c)).count().min(8) as u32;
        }
    }

    fn word(&mut self, word: &[u8]) {
        if let Some(kind) = kind(word) {
            self.count(kind);
        }
    }

    /// A byte that is no letter, with the one before and those behind.
    fn sign(&mut self, before: u8, byte: u8, behind: &[u8]) {
        let next = behind.first().copied().unwrap_or(b'\n');
        match (before, byte, next) {
            (_, b'?', _) => self.questions += 1,
            (_, b'{' | b'}' | b';', b'\n' | b'\r')
            | (b'=' | b'-', b'>', _)
            | (b':', b':', _)
            | (b'=' | b'!', b'=', _)
            | (b')', b':', b'\n' | b'\r')
            | (b'(', b')', b';')
            | (_, b'<', b'/') => self.code += 1,
            (b'`', b'`', b'`') => self.code += 1,
            (_, b'^', b'0'..=b'9' | b'n' | b'k' | b'{') | (b'x' | b'y' | b'n', b'^', _) | (b'=', b' ', b'0') => self.maths += 1,
            (_, b'\\', _) if COMMANDS.iter().any(|command| behind.starts_with(command)) => self.maths += 1,
            _ => {}
        }
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

/// What formulae of TeX begin with.
const COMMANDS: [&[u8]; 6] = [b"frac", b"int", b"sum", b"sqrt", b"prod", b"mathbb"];

/// Whether a line begins with a number or a bullet.
fn begins_item(line: &[u8]) -> bool {
    matches!(line, [b'-' | b'*', b' ', ..] | [b'0'..=b'9', b'.' | b')', b' ', ..] | [b'0'..=b'9', b'0'..=b'9', b'.' | b')', b' ', ..])
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

/// What a word is, whatever its case beyond ASCII.
fn kind(word: &[u8]) -> Option<Kind> {
    let word = word.get(..word.len().min(LONGEST + 1)).unwrap_or_default();
    if word.len() < SHORTEST || word.len() > LONGEST {
        return None;
    }
    let mut slot = slot(word);
    // Half of the slots are empty, so that the walk is short and ends.
    while let Some(place) = SLOTS.get(slot).copied().filter(|place| *place != EMPTY) {
        let (own, kind) = WORDS.get(usize::from(place))?;
        if own.as_bytes().eq_ignore_ascii_case(word) {
            return Some(*kind);
        }
        slot = (slot + 1) % SLOTS.len();
    }
    None
}

/// The shortest word of the table, in bytes.
const SHORTEST: usize = 2;

const EMPTY: u16 = u16::MAX;

/// The places of the words, by their digests.
static SLOTS: [u16; 1024] = slots();

const fn slots() -> [u16; 1024] {
    let mut slots = [EMPTY; 1024];
    let mut place = 0;
    while place < WORDS.len() {
        let mut at = slot(WORDS[place].0.as_bytes());
        while slots[at] != EMPTY {
            at = (at + 1) % slots.len();
        }
        slots[at] = place as u16;
        place += 1;
    }
    slots
}

/// Where a word is looked for first: by its first bytes, its last, and its length. Lower and upper case are the same to it.
const fn slot(word: &[u8]) -> usize {
    let mut hash = word.len() as u32;
    let mut at = 0;
    while at < word.len() && at < 5 {
        hash = (hash ^ (word[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash = (hash ^ (word[word.len() - 1] | 0x20) as u32).wrapping_mul(0x0100_0193);
    ((hash ^ (hash >> 15)) % 1024) as usize
}

use Kind::{Code, Constraint, Design, Maths, Reasoning, Routine};

/// In lower case.
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
    fn each_word_is_there_once_and_found() {
        let words: std::collections::HashSet<_> = WORDS.iter().map(|(word, _)| word).collect();
        assert_eq!(words.len(), WORDS.len());
        for (word, own) in WORDS {
            assert!((SHORTEST..=LONGEST).contains(&word.len()) && word.to_lowercase() == *word, "{word}");
            assert!(kind(word.as_bytes()) == Some(*own) && kind(word.to_ascii_uppercase().as_bytes()) == Some(*own), "{word}");
            assert!(kind(&word.as_bytes()[1..]).is_none_or(|_| words.contains(&&word[1..])), "{word}");
        }
        assert!([&b""[..], b"x", b"the", &[b'a'; 100], "é".as_bytes()].iter().all(|word| kind(word).is_none()));
    }
}
