//! Embeddings: what is to be turned into vectors, and the vectors.
//!
//! Numbers move as they are spelled, base64 moves as it stands; only from one to the other is anything computed, and then exactly.

use std::io::Write as _;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Text;
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind};

/// The most inputs of one request: OpenAI's own bound.
pub const INPUTS_MAX: usize = 2048;

/// Bytes of one number in base64.
const FLOAT_BYTES: usize = 4;

/// OpenAI pads; a host that does not is understood all the same.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A request for vectors. The model is the pipeline's to say.
#[derive(Clone, Debug)]
pub struct EmbedRequest<'a> {
    /// What is to be turned into vectors, one each, in this order. Never empty, at most [`INPUTS_MAX`].
    pub inputs: Vec<EmbedInput<'a>>,
    /// The length of each vector, where asked for.
    pub dimensions: Option<u64>,
    /// How the caller wants to read the numbers.
    pub encoding: Encoding,
    /// What the caller's dialect calls things, for losses and faults.
    pub names: &'static EmbedNames,
    /// Members that the neutral form does not model, by the name under which they are told as lost.
    pub unmodelled: Vec<String>,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedInput<'a> {
    /// The content.
    pub content: EmbedContent<'a>,
    /// What the vector is for.
    pub task: Option<EmbedTask>,
    /// The title of the document that the text is of.
    pub title: Option<Text<'a>>,
}

/// What one vector is to be made of.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbedContent<'a> {
    /// Text.
    Text(Text<'a>),
    /// Tokens of the caller's own counting, an array of numbers: only who has the same tokenizer can read them.
    Tokens(Raw<'a>),
}

/// What a vector is for: asymmetric models make another one of a question than of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedTask {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To be compared with its like.
    Similarity,
    /// To be sorted into known classes.
    Classification,
    /// To be grouped.
    Clustering,
    /// A question whose answer is searched.
    QuestionAnswering,
    /// A claim whose proof is searched.
    FactVerification,
    /// A description of code that is searched.
    CodeQuery,
}

/// How numbers travel in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON numbers.
    #[default]
    Floats,
    /// As base64 of little-endian 32-bit floats, which OpenAI's SDKs ask for.
    Base64,
}

/// What a dialect calls the members of its requests, without indexes.
#[derive(Debug, PartialEq, Eq)]
pub struct EmbedNames {
    /// The inputs.
    pub inputs: &'static str,
    /// The length of the vectors.
    pub dimensions: &'static str,
    /// The task.
    pub task: &'static str,
    /// The title.
    pub title: &'static str,
}

/// The vectors, in the order of the inputs.
#[derive(Clone, Debug, Default)]
pub struct Embeddings<'a> {
    /// One for each input.
    pub vectors: Vec<Vector<'a>>,
    /// Who made them, where told.
    pub model: Option<Text<'a>>,
    /// Tokens read, where told.
    pub input_tokens: Option<u64>,
}

/// One vector, as it came.
#[derive(Clone, Debug, PartialEq)]
pub enum Vector<'a> {
    /// An array of numbers and of nothing else.
    Floats(Raw<'a>),
    /// Base64 of little-endian 32-bit floats.
    Base64(Text<'a>),
}

impl<'a> Vector<'a> {
    /// The vector that a value holds.
    ///
    /// # Errors
    /// Neither a string nor an array of numbers: [`FaultKind::UpstreamProtocol`].
    pub fn of(raw: Raw<'a>) -> Result<Self, Fault> {
        if let Some(text) = Text::of(raw) {
            return Ok(Self::Base64(text));
        }
        // Between the brackets of a valid array, whatever is no number holds one of these.
        let only_numbers = |text: &str| !text.bytes().skip(1).any(|byte| matches!(byte, b'"' | b'{' | b'[' | b't' | b'f' | b'n'));
        match raw.is_array() && only_numbers(raw.get()) {
            true => Ok(Self::Floats(raw)),
            false => Err(unsound("a vector that is not all numbers")),
        }
    }

    /// Appends the vector in this encoding, as a JSON value.
    ///
    /// # Errors
    /// It cannot be said so: base64 that is none or not of 32-bit floats, a number beyond them, one that JSON cannot spell.
    pub fn write(&self, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), Fault> {
        match (self, encoding) {
            (Self::Floats(raw), Encoding::Floats) => out.extend_from_slice(raw.get().as_bytes()),
            (Self::Base64(text), Encoding::Base64) => text.write(out),
            (Self::Floats(raw), Encoding::Base64) => write_base64(*raw, out)?,
            (Self::Base64(text), Encoding::Floats) => write_floats(text, out)?,
        }
        Ok(())
    }

    /// How many numbers it has; `None` where that needs it to be understood and it cannot be.
    pub fn dimensions(&self) -> Option<usize> {
        match self {
            Self::Floats(raw) => Some(raw.elements().count()),
            Self::Base64(text) => bytes_of(text).ok().map(|bytes| bytes.len() / FLOAT_BYTES),
        }
    }
}

fn write_base64(numbers: Raw<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut bytes = Vec::with_capacity(numbers.get().len() / 2);
    for number in numbers.elements() {
        // Straight to 32 bits: by way of 64 it would be rounded twice.
        let value: f32 = number.get().parse().map_err(|_| unsound("a vector that is not all numbers"))?;
        if !value.is_finite() {
            return Err(unsound("a number beyond what a 32-bit float holds"));
        }
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(&bytes, out.get_mut(start..).unwrap_or_default()).map_err(Fault::internal)?;
    out.truncate(start + written);
    out.push(b'"');
    Ok(())
}

fn write_floats(text: &Text<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bytes = bytes_of(text)?;
    out.reserve(bytes.len() * 3);
    out.push(b'[');
    let (numbers, _) = bytes.as_chunks::<FLOAT_BYTES>();
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let value = f32::from_le_bytes(*number);
        if !value.is_finite() {
            return Err(unsound("base64 that holds no sound 32-bit floats"));
        }
        // The shortest spelling that reads as the same float, with an exponent where it is long.
        write!(out, "{value:?}").map_err(Fault::internal)?;
    }
    out.push(b']');
    Ok(())
}

fn bytes_of(text: &Text<'_>) -> Result<Vec<u8>, Fault> {
    let bytes = BASE64.decode(text.read().as_bytes()).map_err(|error| unsound("a vector that is no base64").cause(error))?;
    match bytes.len().is_multiple_of(FLOAT_BYTES) {
        true => Ok(bytes),
        false => Err(unsound("base64 that does not hold 32-bit floats")),
    }
}

fn unsound(what: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamProtocol, format!("The provider answered with {what}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn array(text: &str) -> Vector<'_> {
        Vector::of(Raw::parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn written(vector: &Vector<'_>, encoding: Encoding) -> String {
        let mut out = Vec::new();
        vector.write(encoding, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn base64(values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn known_vectors() {
        let cases: [(&str, &[f32], &str); 5] = [
            ("[]", &[], "[]"),
            ("[1,-2.5,0]", &[1.0, -2.5, 0.0], "[1.0,-2.5,0.0]"),
            ("[ -0 , 1e-45,\n3.4028235e38]", &[-0.0, f32::from_bits(1), f32::MAX], "[-0.0,1e-45,3.4028235e38]"),
            // As of a host that writes in 64 bits.
            ("[-0.01367950439453125,0.021121643483638763]", &[-0.013_679_504, 0.021_121_643], "[-0.013679504,0.021121643]"),
            // The middle between two floats but for its last digit, which 64 bits cannot see.
            ("[1.00000017881393432617187499]", &[1.000_000_1], "[1.0000001]"),
        ];
        for (text, values, spelled) in cases {
            assert_eq!(written(&array(text), Encoding::Floats), text, "numbers move as they are spelled");
            assert_eq!(written(&array(text), Encoding::Base64), format!("\"{}\"", base64(values)), "{text}");
            let back = base64(values);
            let back = Vector::Base64(Text::Escaped(&back));
            assert_eq!(written(&back, Encoding::Floats), spelled);
            assert_eq!((back.dimensions(), array(text).dimensions()), (Some(values.len()), Some(values.len())));
        }
    }

    #[test]
    fn base64_moves_as_it_stands_and_is_read_in_any_spelling() {
        let literal = Raw::parse(br#""AACAPwAAAEA""#).unwrap();
        assert_eq!(written(&Vector::of(literal).unwrap(), Encoding::Base64), literal.get());
        assert_eq!(written(&Vector::of(literal).unwrap(), Encoding::Floats), "[1.0,2.0]");
        let escaped = Vector::Base64(Text::Escaped(r"\/\/9\/fw=="));
        assert_eq!(written(&escaped, Encoding::Base64), r#""\/\/9\/fw==""#);
        assert_eq!(written(&Vector::Base64(Text::Escaped(r"\u0041ACAPw==")), Encoding::Floats), "[1.0]");
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for text in ["null", "{}", "7", "[1,null]", "[true]", "[[1]]", "[\"1\"]", "[1,{}]"] {
            assert_eq!(Vector::of(Raw::parse(text.as_bytes()).unwrap()).unwrap_err().kind, FaultKind::UpstreamProtocol, "{text}");
        }
        for (vector, encoding) in [
            (array("[1e39]"), Encoding::Base64),
            (array("[-1e999]"), Encoding::Base64),
            (Vector::Base64(Text::Escaped("AAAA")), Encoding::Floats),
            (Vector::Base64(Text::Escaped("not base64!")), Encoding::Floats),
            (Vector::Base64(Text::Escaped("AADAfw==")), Encoding::Floats),
            (Vector::Base64(Text::Escaped("AACA/w==")), Encoding::Floats),
        ] {
            assert_eq!(vector.write(encoding, &mut Vec::new()).unwrap_err().kind, FaultKind::UpstreamProtocol, "{vector:?}");
        }
    }

    fn any_finite() -> impl Strategy<Value = f32> {
        prop_oneof![
            any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite()),
            prop::sample::select(vec![0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x807f_ffff)]),
        ]
    }

    proptest! {
        /// base64 → numbers → base64 gives every bit back.
        #[test]
        fn base64_to_numbers_and_back_is_the_identity(values in prop::collection::vec(any_finite(), 0..40)) {
            let start = base64(&values);
            let numbers = written(&Vector::Base64(Text::Escaped(&start)), Encoding::Floats);
            prop_assert!(serde_json::from_str::<Vec<f32>>(&numbers).is_ok(), "{}", numbers);
            prop_assert_eq!(written(&array(&numbers), Encoding::Base64), format!("\"{start}\""));
        }

        /// numbers → base64 → numbers gives the nearest float of each.
        #[test]
        fn numbers_to_base64_and_back_are_the_nearest_floats(values in prop::collection::vec(-1e30f64..1e30, 0..40)) {
            let text = serde_json::to_string(&values).unwrap();
            let encoded = written(&array(&text), Encoding::Base64);
            let inner = encoded.trim_matches('"').to_owned();
            let back: Vec<f32> = serde_json::from_str(&written(&Vector::Base64(Text::Plain(inner.into())), Encoding::Floats)).unwrap();
            prop_assert_eq!(back, values.iter().map(|value| *value as f32).collect::<Vec<_>>());
        }
    }
}
