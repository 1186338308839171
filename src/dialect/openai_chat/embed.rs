//! Embeddings: `POST /embeddings`, as OpenAI and the hosts beside it speak of them.

use http::HeaderMap;

use crate::base::Fault;
use crate::base::json::{Raw, object};
use crate::dialect::broken;
use crate::dialect::embed::{note_losses, text_of};
use crate::dialect::openai::error;
use crate::dialect::openai::read::{At, told, whole, words};
use crate::dialect::{EmbedCall, EmbedReply, EmbeddingsCodec, Notes};
use crate::ir::{EmbedContent, EmbedInput, EmbedNames, EmbedRequest, EmbedTask, Embeddings, Encoding, INPUTS_MAX, Text, Vector};

/// The codec of OpenAI's embeddings.
pub(super) struct OpenAiEmbeddings;

static NAMES: EmbedNames = EmbedNames { inputs: "input", dimensions: "dimensions", task: "input_type", title: "title" };

impl EmbeddingsCodec for OpenAiEmbeddings {
    fn read_request<'a>(&self, root: Raw<'a>, _: bool) -> Result<EmbedRequest<'a>, Fault> {
        let (mut input, mut task) = (None, None);
        let mut request =
            EmbedRequest { inputs: Vec::new(), dimensions: None, encoding: Encoding::Floats, names: &NAMES, unmodelled: Vec::new() };
        for (name, value) in root.members() {
            let at = At::Root;
            let at = at.key(&name);
            match &*name {
                _ if value.is_null() => {}
                "model" => {}
                "input" => input = Some(value),
                "dimensions" => request.dimensions = Some(positive(value, &at)?),
                "encoding_format" => request.encoding = encoding(value, &at)?,
                // Not OpenAI's own, but what the asymmetric models on OpenAI-like hosts are told by.
                "input_type" => match value.inner().and_then(task_of) {
                    Some(known) => task = Some(known),
                    None => request.unmodelled.push(name.into_owned()),
                },
                _ => request.unmodelled.push(name.into_owned()),
            }
        }
        let input = input.ok_or_else(|| At::Root.key("input").expected(SHAPES, None))?;
        request.inputs = inputs(input)?.into_iter().map(|content| EmbedInput { content, task, title: None }).collect();
        Ok(request)
    }

    fn encode_request(&self, request: &EmbedRequest<'_>, model: &str, notes: &mut Notes) -> Result<Vec<EmbedCall>, Fault> {
        note_losses(request, false, false, notes);
        for input in &request.inputs {
            text_of(&input.content, request)?;
        }
        let mut body = Vec::with_capacity(256);
        object(&mut body, |out| {
            out.string("model", model);
            out.array("input", |out| {
                for input in &request.inputs {
                    if let EmbedContent::Text(text) = &input.content {
                        text.write(out.item());
                    }
                }
            });
            // The callers of this are of dialects that have numbers only. Said aloud, since some hosts have another default.
            out.string("encoding_format", "float");
            if let Some(dimensions) = request.dimensions {
                out.u64("dimensions", dimensions);
            }
        });
        Ok(vec![EmbedCall { body, inputs: request.inputs.len() }])
    }

    fn decode_answer<'a>(&self, body: &'a [u8], _: &HeaderMap) -> Result<Embeddings<'a>, Fault> {
        let root = broken::json(body)?;
        if let Some(fault) = error::inside(root) {
            return Err(fault);
        }
        let mut answer = Embeddings::default();
        let mut placed = None;
        for (name, value) in root.members() {
            match &*name {
                "data" if value.is_array() => placed = Some(data(value)?),
                "model" => answer.model = words(Some(value)),
                // Some hosts tell the sum only, which is the same where nothing is generated.
                "usage" => answer.input_tokens = told(value, "prompt_tokens").or_else(|| told(value, "total_tokens")).and_then(Raw::u64),
                _ => {}
            }
        }
        answer.vectors = placed.ok_or_else(|| broken::answer("has no `data`: it is not a list of embeddings"))?;
        Ok(answer)
    }

    fn encode_answer(&self, answer: &Embeddings<'_>, asked: &EmbedReply<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        object(out, |out| {
            out.string("object", "list");
            out.array("data", |out| {
                for (index, vector) in answer.vectors.iter().enumerate() {
                    out.object(|out| {
                        out.string("object", "embedding");
                        out.u64("index", index as u64);
                        let written = vector.write(asked.encoding, out.key("embedding"));
                        if outcome.is_ok() {
                            outcome = written;
                        }
                    });
                }
            });
            match &answer.model {
                Some(model) => model.put("model", out),
                None => out.string("model", asked.model),
            }
            let tokens = answer.input_tokens.unwrap_or(asked.input_tokens_estimate);
            out.object("usage", |out| {
                out.u64("prompt_tokens", tokens);
                out.u64("total_tokens", tokens);
            });
        });
        outcome
    }
}

const SHAPES: &str = "a text, a list of texts, a list of tokens or a list of such lists";

fn inputs(input: Raw<'_>) -> Result<Vec<EmbedContent<'_>>, Fault> {
    let root = At::Root;
    let at = root.key("input");
    if let Some(text) = Text::of(input) {
        return Ok(vec![EmbedContent::Text(text)]);
    }
    if !input.is_array() {
        return Err(at.expected(SHAPES, Some(input)));
    }
    let Some(first) = input.elements().next() else { return Err(at.wrong("expected at least one text, found an empty list")) };
    if first.number().is_some() {
        return Ok(vec![tokens(input, &at)?]);
    }
    let mut found = Vec::new();
    for (index, value) in input.elements().enumerate() {
        let at = At::Item(&at, index);
        if index >= INPUTS_MAX {
            return Err(at.wrong(format_args!("expected at most {INPUTS_MAX} inputs: ask for the rest in another request")));
        }
        found.push(match Text::of(value) {
            Some(text) => EmbedContent::Text(text),
            None if value.is_array() => tokens(value, &at)?,
            None => return Err(at.expected("a text or a list of tokens", Some(value))),
        });
    }
    Ok(found)
}

fn tokens<'a>(list: Raw<'a>, at: &At<'_>) -> Result<EmbedContent<'a>, Fault> {
    match list.elements().enumerate().find(|(_, token)| token.u64().is_none()) {
        None => Ok(EmbedContent::Tokens(list)),
        Some((index, wrong)) => Err(At::Item(at, index).expected("a token, which is a whole number", Some(wrong))),
    }
}

fn positive(value: Raw<'_>, at: &At<'_>) -> Result<u64, Fault> {
    match whole(value, at)? {
        0 => Err(at.expected("a whole number, 1 or more", Some(value))),
        number => Ok(number),
    }
}

fn encoding(value: Raw<'_>, at: &At<'_>) -> Result<Encoding, Fault> {
    match value.inner() {
        Some("float") => Ok(Encoding::Floats),
        Some("base64") => Ok(Encoding::Base64),
        Some(other) => Err(at.wrong(format_args!("expected \"float\" or \"base64\", found {other:?}"))),
        None => Err(at.expected("\"float\" or \"base64\"", Some(value))),
    }
}

fn task_of(word: &str) -> Option<EmbedTask> {
    match word {
        "search_query" | "query" => Some(EmbedTask::Query),
        "search_document" | "document" | "passage" => Some(EmbedTask::Document),
        "classification" => Some(EmbedTask::Classification),
        "clustering" => Some(EmbedTask::Clustering),
        _ => None,
    }
}

/// The vectors by their `index`, which is their place where a host does not number them.
fn data(list: Raw<'_>) -> Result<Vec<Vector<'_>>, Fault> {
    let mut placed = Vec::new();
    let mut sorted = true;
    for (place, entry) in list.elements().enumerate() {
        let (mut index, mut vector) = (place as u64, None);
        for (name, value) in entry.members() {
            match &*name {
                "index" => index = value.u64().unwrap_or(index),
                "embedding" => vector = Some(Vector::of(value)?),
                _ => {}
            }
        }
        sorted &= index == place as u64;
        placed.push((index, vector.ok_or_else(|| broken::answer("has an entry without an `embedding`"))?));
    }
    if !sorted {
        placed.sort_by_key(|(index, _)| *index);
        if placed.iter().enumerate().any(|(place, (index, _))| *index != place as u64) {
            return Err(broken::answer("numbers its embeddings other than from 0 without a gap"));
        }
    }
    Ok(placed.into_iter().map(|(_, vector)| vector).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<EmbedRequest<'_>, Fault> {
        OpenAiEmbeddings.read_request(Raw::parse(body.as_bytes()).unwrap(), false)
    }

    #[test]
    fn inputs_of_every_shape_are_read() {
        // (input, how many, whether tokens)
        let cases = [
            (r#""a""#, 1, false),
            (r#"["a","b"]"#, 2, false),
            ("[1,2,3]", 1, true),
            ("[[1,2],[3]]", 2, true),
            (r#"[""]"#, 1, false),
            ("[[]]", 1, true),
        ];
        for (input, length, tokens) in cases {
            let body = format!(r#"{{"input":{input},"model":"m","user":null,"encoding_format":null,"dimensions":null}}"#);
            let request = read(&body).unwrap();
            let are_tokens = request.inputs.iter().all(|input| matches!(input.content, EmbedContent::Tokens(_)));
            assert_eq!((request.inputs.len(), are_tokens), (length, tokens), "{input}");
            assert_eq!((request.dimensions, request.encoding, request.unmodelled.len()), (None, Encoding::Floats, 0));
        }
    }

    #[test]
    fn the_task_is_read_where_hosts_beside_openai_have_it() {
        let task = |word: &str| {
            let body = format!(r#"{{"input":"a","input_type":{word}}}"#);
            let request = read(&body).unwrap();
            (request.inputs[0].task, request.unmodelled)
        };
        assert_eq!(task(r#""passage""#), (Some(EmbedTask::Document), vec![]));
        assert_eq!(task(r#""query""#), (Some(EmbedTask::Query), vec![]));
        assert_eq!(task("7"), (None, vec!["input_type".to_owned()]));
    }

    #[test]
    fn vectors_come_in_the_order_of_their_numbers() {
        // (data, vectors; none: no answer)
        let cases: [(&str, Option<&[&str]>); 7] = [
            (r#"[{"index":0,"embedding":[0]},{"index":1,"embedding":[1]}]"#, Some(&["[0]", "[1]"])),
            (r#"[{"index":1,"embedding":[1]},{"embedding":[0],"index":0}]"#, Some(&["[0]", "[1]"])),
            (r#"[{"embedding":[0]},{"embedding":[1]}]"#, Some(&["[0]", "[1]"])),
            (r#"[{"index":0,"embedding":[0]},{"index":0,"embedding":[1]}]"#, None),
            (r#"[{"index":5,"embedding":[0]}]"#, None),
            (r#"[{"index":0}]"#, None),
            ("[7]", None),
        ];
        for (data, expected) in cases {
            let body = format!(r#"{{"object":"list","data":{data},"model":"m","usage":{{"total_tokens":4}}}}"#);
            let answer = OpenAiEmbeddings.decode_answer(body.as_bytes(), &HeaderMap::new()).ok();
            let vectors = answer.map(|answer| {
                assert_eq!((answer.input_tokens, answer.model.unwrap().read().into_owned()), (Some(4), "m".to_owned()));
                let of = |vector: &Vector<'_>| match vector {
                    Vector::Floats(raw) => raw.get().to_owned(),
                    Vector::Base64(text) => text.read().into_owned(),
                };
                answer.vectors.iter().map(of).collect::<Vec<_>>()
            });
            assert_eq!(vectors, expected.map(|list| list.iter().map(|one| (*one).to_owned()).collect()), "{data}");
        }
    }
}
