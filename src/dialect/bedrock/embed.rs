//! Embeddings: `InvokeModel` with the bodies of the vendors behind it. No app asks for them in this dialect, so requests are
//! only written and answers only read.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::json::{Object, Raw, object};
use crate::base::{Fault, FaultKind};
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

/// What a path's segment keeps as it is: the slash of an ARN does not pass.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of `InvokeModel`.
pub(super) fn path(model: &str) -> Cow<'static, str> {
    Cow::Owned(format!("/model/{}/invoke", utf8_percent_encode(model, SEGMENT)))
}

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
        let root = Raw::parse(body).map_err(|error| unlike("is not JSON").cause(error))?;
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
            return Err(unlike("has no embedding"));
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
    let list = if value.is_object() { value.member("float").ok_or_else(|| unlike("has no vectors of floats"))? } else { value };
    list.elements().map(|entry| Vector::of(entry.member("embedding").unwrap_or(entry))).collect()
}

fn unlike(what: &str) -> Fault {
    Fault::upstream(FaultKind::UpstreamProtocol, format!("The provider's answer {what}."))
}
