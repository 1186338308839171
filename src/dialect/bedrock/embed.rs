//! Embeddings: `InvokeModel` with the bodies of the vendors behind it. No app asks for them in this dialect, so requests are
//! only written and answers only read.

use http::{HeaderMap, StatusCode};

use crate::base::Fault;
use crate::base::json::{Object, Raw, object};
use crate::dialect::broken;
use crate::dialect::embed::{note_losses, text_of};
use crate::dialect::{Codec, EmbedCall, EmbeddingsCodec, Notes};
use crate::ir::{EmbedInput, EmbedRequest, EmbedTask, Embeddings, Vector};

/// The codec of the embedding models on Bedrock.
pub(super) struct BedrockEmbeddings;

/// The most texts of one call to Cohere's models.
const COHERE_TEXTS_MAX: usize = 96;
/// The length that some models always give, which may be asked for, too.
const TITAN_1_DIMENSIONS: u64 = 1536;
const COHERE_3_DIMENSIONS: u64 = 1024;

/// Where the tokens are told, of the models that do not tell them in the body.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// Whose body a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Titan1,
    Titan2,
    TitanImage,
    Nova,
    Cohere3,
    Cohere4,
}

impl Family {
    /// By the id, be it behind a region's prefix or in an ARN.
    fn of(model: &str) -> Result<Self, Fault> {
        let has = |part: &str| model.contains(part);
        Ok(match () {
            () if has("titan-embed-text-v2") => Self::Titan2,
            () if has("titan-embed-text-v1") || has("titan-embed-g1-text") => Self::Titan1,
            () if has("titan-embed-image-") => Self::TitanImage,
            () if has("amazon.nova-") && has("-embeddings-") => Self::Nova,
            () if has("cohere.embed-v4") => Self::Cohere4,
            () if has("cohere.embed-") => Self::Cohere3,
            () => {
                let text = format!(
                    "`{model}` is not known as an embedding model of Bedrock's: expected an id with amazon.titan-embed-…, \
                     amazon.nova-…-embeddings-… or cohere.embed-… in it."
                );
                return Err(Fault::unsupported("model", text));
            }
        })
    }

    /// Refuses a length of vectors that it cannot give.
    fn check(self, request: &EmbedRequest<'_>) -> Result<(), Fault> {
        let fixed = match self {
            Self::Titan1 => TITAN_1_DIMENSIONS,
            Self::Cohere3 => COHERE_3_DIMENSIONS,
            Self::Titan2 | Self::TitanImage | Self::Nova | Self::Cohere4 => return Ok(()),
        };
        match request.dimensions {
            Some(asked) if asked != fixed => {
                let name = request.names.dimensions;
                Err(Fault::unsupported(name, format!("{name}: this model's vectors have {fixed} numbers; {asked} cannot be had of it.")))
            }
            _ => Ok(()),
        }
    }

    fn knows_tasks(self) -> bool {
        matches!(self, Self::Nova | Self::Cohere3 | Self::Cohere4)
    }
}

impl EmbeddingsCodec for BedrockEmbeddings {
    fn encode_request(&self, request: &EmbedRequest<'_>, model: &str, notes: &mut Notes) -> Result<Vec<EmbedCall>, Fault> {
        let family = Family::of(model)?;
        family.check(request)?;
        note_losses(request, family.knows_tasks(), false, notes);
        match family {
            Family::Cohere3 | Family::Cohere4 => cohere(family, request),
            Family::Titan1 | Family::Titan2 | Family::TitanImage | Family::Nova => {
                request.inputs.iter().map(|input| one_text(family, input, request)).collect()
            }
        }
    }

    fn decode_answer<'a>(&self, body: &'a [u8], headers: &HeaderMap) -> Result<Embeddings<'a>, Fault> {
        let root = broken::json(body)?;
        let mut answer = Embeddings::default();
        let mut told = None;
        for (name, value) in root.members() {
            match &*name {
                _ if value.is_null() => {}
                // Titan's.
                "embedding" => answer.vectors = vec![Vector::of(value)?],
                "inputTextTokenCount" => told = value.u64(),
                // Cohere's in two forms, and Nova's.
                "embeddings" => answer.vectors = vectors(value)?,
                "meta" => told = value.member("billed_units").and_then(|units| units.member("input_tokens")).and_then(Raw::u64),
                _ => {}
            }
        }
        if answer.vectors.is_empty() {
            if root.member("message").or_else(|| root.member("Message")).is_some() {
                return Err(super::Bedrock.decode_error(StatusCode::BAD_GATEWAY, headers, body));
            }
            return Err(broken::answer("has no embedding"));
        }
        let counted = headers.get(INPUT_TOKENS).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
        answer.input_tokens = told.or(counted);
        Ok(answer)
    }
}

/// Calls of Cohere's models: neighbours of one task together.
fn cohere(family: Family, request: &EmbedRequest<'_>) -> Result<Vec<EmbedCall>, Fault> {
    let mut calls = Vec::new();
    for alike in request.inputs.chunk_by(|a, b| cohere_word(a.task) == cohere_word(b.task)) {
        for inputs in alike.chunks(COHERE_TEXTS_MAX) {
            let mut texts = Vec::with_capacity(inputs.len());
            for input in inputs {
                texts.push(text_of(&input.content, request)?);
            }
            let mut body = Vec::with_capacity(256);
            object(&mut body, |out| {
                out.array("texts", |out| texts.iter().for_each(|text| text.write(out.item())));
                out.string("input_type", cohere_word(inputs.first().and_then(|input| input.task)));
                // The older models refuse the member, even where it says what they give anyway.
                if let Some(dimensions) = request.dimensions.filter(|_| family == Family::Cohere4) {
                    out.u64("output_dimension", dimensions);
                }
            });
            calls.push(EmbedCall { body, inputs: inputs.len() });
        }
    }
    Ok(calls)
}

/// A word that Cohere's models must be given. Where the caller says nothing, both sides of a search go in as queries: they stay
/// comparable with each other.
fn cohere_word(task: Option<EmbedTask>) -> &'static str {
    match task {
        None | Some(EmbedTask::Query | EmbedTask::QuestionAnswering | EmbedTask::FactVerification | EmbedTask::CodeQuery) => "search_query",
        Some(EmbedTask::Document | EmbedTask::Similarity) => "search_document",
        Some(EmbedTask::Classification) => "classification",
        Some(EmbedTask::Clustering) => "clustering",
    }
}

/// A call of a model that takes one text.
fn one_text(family: Family, input: &EmbedInput<'_>, request: &EmbedRequest<'_>) -> Result<EmbedCall, Fault> {
    let text = text_of(&input.content, request)?;
    let mut body = Vec::with_capacity(text.len() + 128);
    let dimensions = |name: &str, out: &mut Object<'_>| {
        if let Some(dimensions) = request.dimensions {
            out.u64(name, dimensions);
        }
    };
    object(&mut body, |out| {
        if family == Family::Nova {
            out.string("taskType", "SINGLE_EMBEDDING");
            out.object("singleEmbeddingParams", |out| {
                out.string("embeddingPurpose", nova_word(input.task));
                dimensions("embeddingDimension", out);
                out.object("text", |out| {
                    // Too long a text is an error, as with the other models.
                    out.string("truncationMode", "NONE");
                    text.put("value", out);
                });
            });
            return;
        }
        text.put("inputText", out);
        match family {
            Family::TitanImage if request.dimensions.is_some() => {
                out.object("embeddingConfig", |out| dimensions("outputEmbeddingLength", out));
            }
            Family::Titan2 => dimensions("dimensions", out),
            _ => {}
        }
    });
    Ok(EmbedCall { body, inputs: 1 })
}

fn nova_word(task: Option<EmbedTask>) -> &'static str {
    match task {
        None | Some(EmbedTask::Document | EmbedTask::Similarity) => "GENERIC_INDEX",
        Some(EmbedTask::Query | EmbedTask::QuestionAnswering | EmbedTask::FactVerification | EmbedTask::CodeQuery) => "TEXT_RETRIEVAL",
        Some(EmbedTask::Classification) => "CLASSIFICATION",
        Some(EmbedTask::Clustering) => "CLUSTERING",
    }
}

/// A list of vectors, a list of objects that hold one each, or such a list under the name of its type of number.
fn vectors(value: Raw<'_>) -> Result<Vec<Vector<'_>>, Fault> {
    let list = if value.is_object() { value.member("float").ok_or_else(|| broken::answer("has no vectors of floats"))? } else { value };
    list.elements().map(|entry| Vector::of(entry.member("embedding").unwrap_or(entry))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{EmbedContent, EmbedNames, Encoding, Text};

    static NAMES: EmbedNames = EmbedNames { inputs: "input", dimensions: "dimensions", task: "task", title: "title" };

    fn request(tasks: &[Option<EmbedTask>]) -> EmbedRequest<'static> {
        let input = |task: &Option<EmbedTask>| EmbedInput { content: EmbedContent::Text(Text::plain("a\"")), task: *task, title: None };
        let inputs = tasks.iter().map(input).collect();
        EmbedRequest { inputs, dimensions: None, encoding: Encoding::Floats, names: &NAMES, unmodelled: Vec::new() }
    }

    fn bodies(model: &str, request: &EmbedRequest<'_>) -> Vec<String> {
        let calls = BedrockEmbeddings.encode_request(request, model, &mut Notes::default()).unwrap();
        calls.into_iter().map(|call| String::from_utf8(call.body).unwrap()).collect()
    }

    #[test]
    fn families_are_known_by_their_ids() {
        let cases = [
            ("amazon.titan-embed-text-v1", Some(Family::Titan1)),
            ("amazon.titan-embed-g1-text-02", Some(Family::Titan1)),
            ("amazon.titan-embed-text-v2:0", Some(Family::Titan2)),
            ("amazon.titan-embed-image-v1", Some(Family::TitanImage)),
            ("amazon.nova-2-multimodal-embeddings-v1:0", Some(Family::Nova)),
            ("cohere.embed-multilingual-v3", Some(Family::Cohere3)),
            ("global.cohere.embed-v4:0", Some(Family::Cohere4)),
            ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.cohere.embed-v4:0", Some(Family::Cohere4)),
            ("amazon.nova-pro-v1:0", None),
            ("cohere.command-r-v1:0", None),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", None),
        ];
        for (model, family) in cases {
            assert_eq!(Family::of(model).ok(), family, "{model}");
        }
    }

    #[test]
    fn tasks_are_said_where_there_are_words_for_them() {
        use EmbedTask::{Clustering, Document, Query};
        let mixed = request(&[None, Some(Query), Some(Document), Some(Clustering), Some(Document)]);
        let cohere = |texts: &str, word: &str| format!(r#"{{"texts":[{texts}],"input_type":"{word}"}}"#);
        let (one, two) = (r#""a\"""#, r#""a\"","a\"""#);
        let expected =
            [cohere(two, "search_query"), cohere(one, "search_document"), cohere(one, "clustering"), cohere(one, "search_document")];
        assert_eq!(bodies("cohere.embed-english-v3", &mixed), expected);
        let nova = bodies("amazon.nova-2-multimodal-embeddings-v1:0", &mixed);
        let purposes = ["GENERIC_INDEX", "TEXT_RETRIEVAL", "GENERIC_INDEX", "CLUSTERING", "GENERIC_INDEX"];
        assert!(nova.iter().zip(purposes).all(|(body, purpose)| body.contains(purpose)), "{nova:?}");
        let mut notes = Notes::default();
        BedrockEmbeddings.encode_request(&mixed, "amazon.titan-embed-text-v2:0", &mut notes).unwrap();
        assert_eq!(notes.losses.names(), ["task"]);
        let image = EmbedRequest { dimensions: Some(256), ..request(&[None]) };
        let expected = r#"{"inputText":"a\"","embeddingConfig":{"outputEmbeddingLength":256}}"#;
        assert_eq!(bodies("amazon.titan-embed-image-v1", &image), [expected]);
    }

    type Case = (&'static str, Option<&'static str>, &'static [&'static str], Option<u64>);

    #[test]
    fn answers_of_every_form_are_read() {
        // (body, tokens in the header, numbers, tokens)
        let cases: [Case; 7] = [
            (r#"{"embedding":[1,2.50],"inputTextTokenCount":4,"embeddingsByType":{"float":[1,2.50]}}"#, Some("9"), &["[1,2.50]"], Some(4)),
            (
                r#"{"embeddings":[[1],[2]],"id":"x","response_type":"embeddings_floats","texts":["a","b"]}"#,
                Some("6"),
                &["[1]", "[2]"],
                Some(6),
            ),
            (r#"{"embeddings":{"float":[[1]]},"response_type":"embeddings_by_type"}"#, Some(" 3 "), &["[1]"], Some(3)),
            (r#"{"embeddings":{"float":[[1]]},"meta":{"billed_units":{"input_tokens":7}}}"#, None, &["[1]"], Some(7)),
            (r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[-0.5]}]}"#, Some("ten"), &["[-0.5]"], None),
            (r#"{"embedding":null,"message":"boom"}"#, None, &[], None),
            (r#"{"embeddings":{"int8":[[1]]}}"#, None, &[], None),
        ];
        for (body, header, numbers, tokens) in cases {
            let header = header.map(|value| (http::HeaderName::from_static(INPUT_TOKENS), http::HeaderValue::from_static(value)));
            let answer = BedrockEmbeddings.decode_answer(body.as_bytes(), &header.into_iter().collect());
            let Ok(answer) = answer else {
                assert!(numbers.is_empty(), "{body}");
                continue;
            };
            let written = answer.vectors.iter().map(|vector| match vector {
                Vector::Floats(raw) => raw.get(),
                Vector::Base64(_) => "base64",
            });
            assert_eq!((written.collect::<Vec<_>>().as_slice(), answer.input_tokens), (numbers, tokens), "{body}");
        }
    }
}
