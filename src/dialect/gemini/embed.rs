//! Embeddings: `embedContent` for one, `batchEmbedContents` for several.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use crate::base::Fault;
use crate::base::json::{Object, Raw, object};
use crate::dialect::broken;
use crate::dialect::embed::{note_losses, text_of};
use crate::dialect::{Codec, EmbedCall, EmbedReply, EmbeddingsCodec, Notes};
use crate::ir::{EmbedContent, EmbedInput, EmbedNames, EmbedRequest, EmbedTask, Embeddings, Encoding, INPUTS_MAX, Text, Vector};

/// The codec of Gemini's embeddings.
pub(super) struct GeminiEmbeddings;

static NAMES_OF_ONE: EmbedNames = EmbedNames { inputs: "content", dimensions: "outputDimensionality", task: "taskType", title: "title" };
static NAMES_OF_BATCH: EmbedNames = EmbedNames {
    inputs: "requests[].content",
    dimensions: "requests[].outputDimensionality",
    task: "requests[].taskType",
    title: "requests[].title",
};

/// The most inputs of one `batchEmbedContents`.
const BATCH_MAX: usize = 100;

/// A model by its resource name.
fn resource(model: &str) -> Cow<'_, str> {
    match model.starts_with("models/") || model.starts_with("tunedModels/") {
        true => Cow::Borrowed(model),
        false => Cow::Owned(format!("models/{model}")),
    }
}

impl EmbeddingsCodec for GeminiEmbeddings {
    fn path_of_one(&self, model: &str) -> Option<Cow<'static, str>> {
        Some(super::path_of(model, "embedContent").into())
    }

    fn names_of_model<'a>(&self, root: Raw<'a>, one: bool) -> Vec<Raw<'a>> {
        match (one, root.member("requests")) {
            (false, Some(requests)) => requests.elements().filter_map(|request| request.member("model")).collect(),
            _ => Vec::new(),
        }
    }

    fn read_request<'a>(&self, root: Raw<'a>, one: bool) -> Result<EmbedRequest<'a>, Fault> {
        let names = if one { &NAMES_OF_ONE } else { &NAMES_OF_BATCH };
        let mut request = EmbedRequest { inputs: Vec::new(), dimensions: None, encoding: Encoding::Floats, names, unmodelled: Vec::new() };
        if one {
            let read = read_one(root, "", &mut request)?;
            request.dimensions = read.dimensions;
            return Ok(request);
        }
        let mut first: Option<One<'a>> = None;
        for (name, value) in root.members() {
            match &*name {
                _ if value.is_null() => {}
                "model" => {}
                "requests" if value.is_array() => {
                    for (index, entry) in value.elements().enumerate() {
                        let at = format!("requests[{index}]");
                        if index >= INPUTS_MAX {
                            let text = format!("{at}: expected at most {INPUTS_MAX} requests: send the rest in another batch");
                            return Err(Fault::bad_request(text).at(at));
                        }
                        let read = read_one(entry, &at, &mut request)?;
                        match &first {
                            None => first = Some(read),
                            Some(first) => agree(first, &read, &at)?,
                        }
                    }
                }
                "requests" => return Err(expected("requests", "a list of requests", Some(value))),
                _ => request.unmodelled.push(name.into_owned()),
            }
        }
        let first = first.ok_or_else(|| Fault::bad_request("requests: expected at least one request").at("requests"))?;
        request.dimensions = first.dimensions;
        Ok(request)
    }

    fn encode_request(&self, request: &EmbedRequest<'_>, model: &str, notes: &mut Notes) -> Result<Vec<EmbedCall>, Fault> {
        note_losses(request, true, true, notes);
        let model = resource(model);
        let mut calls = Vec::with_capacity(request.inputs.len().div_ceil(BATCH_MAX));
        for inputs in request.inputs.chunks(BATCH_MAX) {
            for input in inputs {
                text_of(&input.content, request)?;
            }
            let mut body = Vec::with_capacity(256);
            object(&mut body, |out| {
                out.array("requests", |out| {
                    for input in inputs {
                        out.object(|out| write_one(input, request.dimensions, &model, out));
                    }
                });
            });
            calls.push(EmbedCall { body, inputs: inputs.len() });
        }
        Ok(calls)
    }

    fn decode_answer<'a>(&self, body: &'a [u8], headers: &HeaderMap) -> Result<Embeddings<'a>, Fault> {
        let root = broken::json(body)?;
        let mut answer = Embeddings::default();
        let mut found = false;
        for (name, value) in root.members() {
            match &*name {
                "error" if value.is_object() => return Err(super::Gemini.decode_error(inner_status(value), headers, body)),
                "embeddings" if value.is_array() => {
                    found = true;
                    for entry in value.elements() {
                        answer.vectors.push(values(entry)?);
                    }
                }
                "embedding" if value.is_object() => {
                    found = true;
                    answer.vectors.push(values(value)?);
                }
                "usageMetadata" => answer.input_tokens = value.member("promptTokenCount").and_then(Raw::u64),
                _ => {}
            }
        }
        match found {
            true => Ok(answer),
            false => Err(broken::answer("has no `embeddings`")),
        }
    }

    fn encode_answer(&self, answer: &Embeddings<'_>, asked: &EmbedReply<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut outcome = Ok(());
        let mut write = |vector: &Vector<'_>, out: &mut Object<'_>| {
            let written = vector.write(Encoding::Floats, out.key("values"));
            if outcome.is_ok() {
                outcome = written;
            }
        };
        object(out, |out| {
            match (asked.one, answer.vectors.first()) {
                (true, Some(vector)) => out.object("embedding", |out| write(vector, out)),
                _ => out.array("embeddings", |out| answer.vectors.iter().for_each(|vector| out.object(|out| write(vector, out)))),
            }
            if let Some(tokens) = answer.input_tokens {
                out.object("usageMetadata", |out| out.u64("promptTokenCount", tokens));
            }
        });
        outcome
    }
}

/// What the requests of a batch must agree on: the other dialects say it once.
struct One<'a> {
    dimensions: Option<u64>,
    model: Option<Raw<'a>>,
}

/// Reads one request at a place (nothing: the body itself) and adds its input.
fn read_one<'a>(raw: Raw<'a>, at: &str, request: &mut EmbedRequest<'a>) -> Result<One<'a>, Fault> {
    if !raw.is_object() {
        return Err(expected(at, "an object", Some(raw)));
    }
    let mut one = One { dimensions: None, model: None };
    let mut input = EmbedInput { content: EmbedContent::Text(Text::EMPTY), task: None, title: None };
    let mut content = None;
    for (name, value) in raw.members() {
        match &*name {
            _ if value.is_null() => {}
            "model" => one.model = Some(value),
            "content" => content = Some(value),
            // Newer clients put the settings into an object of their own.
            "embedContentConfig" | "embed_content_config" => {
                for (inner, value) in value.members() {
                    read_setting(&inner, value, &format!("{at}{}{name}", dot(at)), &mut one, &mut input, request)?;
                }
            }
            _ => read_setting(&name, value, at, &mut one, &mut input, request)?,
        }
    }
    input.content = EmbedContent::Text(read_content(content, &format!("{at}{}content", dot(at)))?);
    request.inputs.push(input);
    Ok(one)
}

fn dot(at: &str) -> &'static str {
    if at.is_empty() { "" } else { "." }
}

fn read_setting<'a>(
    name: &str,
    value: Raw<'a>,
    at: &str,
    one: &mut One<'a>,
    input: &mut EmbedInput<'a>,
    request: &mut EmbedRequest<'a>,
) -> Result<(), Fault> {
    let place = || format!("{at}{}{name}", dot(at));
    let mut lost = || {
        let place = place();
        let name = match place.split_once(']') {
            Some((_, rest)) => format!("requests[]{rest}"),
            None => place,
        };
        if !request.unmodelled.contains(&name) {
            request.unmodelled.push(name);
        }
    };
    match name {
        _ if value.is_null() => {}
        "taskType" | "task_type" => match value.inner().map(task_of) {
            Some(Task::Known(task)) => input.task = Some(task),
            Some(Task::None) => {}
            Some(Task::Unknown) | None => lost(),
        },
        "title" => input.title = Some(Text::of(value).ok_or_else(|| expected(&place(), "a string", Some(value)))?),
        "outputDimensionality" | "output_dimensionality" => match value.u64() {
            Some(0) | None => return Err(expected(&place(), "a whole number, 1 or more", Some(value))),
            told => one.dimensions = told,
        },
        _ => lost(),
    }
    Ok(())
}

fn agree(first: &One<'_>, other: &One<'_>, at: &str) -> Result<(), Fault> {
    if first.dimensions != other.dimensions {
        let text =
            format!("{at}.outputDimensionality: this model takes one length of vectors for a whole batch. Send a batch for each length.");
        return Err(Fault::unsupported(NAMES_OF_BATCH.dimensions, text));
    }
    if first.model.map(Raw::get) != other.model.map(Raw::get) {
        return Err(Fault::bad_request(format!("{at}.model: expected the model of the first request")).at(format!("{at}.model")));
    }
    Ok(())
}

/// The text of a content. Several parts make one vector, so they are one text, a line each.
fn read_content<'a>(content: Option<Raw<'a>>, at: &str) -> Result<Text<'a>, Fault> {
    let content = content.ok_or_else(|| expected(at, "a content with text parts", None))?;
    if let Some(text) = Text::of(content) {
        return Ok(text);
    }
    let parts = content.member("parts").ok_or_else(|| expected(&format!("{at}.parts"), "a list of text parts", None))?;
    // Protobuf's JSON form takes one object for a list of one.
    if parts.is_object() {
        return read_part(parts, &format!("{at}.parts"));
    }
    let mut texts = Vec::new();
    for (index, part) in parts.elements().enumerate() {
        texts.push(read_part(part, &format!("{at}.parts[{index}]"))?);
    }
    match texts.len() {
        0 => Err(expected(&format!("{at}.parts"), "at least one text part", Some(parts))),
        1 => Ok(texts.swap_remove(0)),
        _ => Ok(Text::plain(texts.iter().map(Text::read).collect::<Vec<_>>().join("\n"))),
    }
}

fn read_part<'a>(part: Raw<'a>, at: &str) -> Result<Text<'a>, Fault> {
    if let Some(text) = part.member("text") {
        return Text::of(text).ok_or_else(|| expected(&format!("{at}.text"), "a string", Some(text)));
    }
    match part.members().next() {
        None => Err(expected(&format!("{at}.text"), "a string", None)),
        Some((kind, _)) => {
            let text = format!("{at}.{kind}: this model makes vectors of text only.");
            Err(Fault::unsupported(format!("{at}.{kind}"), text))
        }
    }
}

fn write_one(input: &EmbedInput<'_>, dimensions: Option<u64>, model: &str, out: &mut Object<'_>) {
    out.string("model", model);
    if let EmbedContent::Text(text) = &input.content {
        out.object("content", |out| out.array("parts", |out| out.object(|out| text.put("text", out))));
    }
    if let Some(task) = input.task {
        out.string("taskType", word_of(task));
    }
    if let Some(title) = &input.title {
        title.put("title", out);
    }
    if let Some(dimensions) = dimensions {
        out.u64("outputDimensionality", dimensions);
    }
}

enum Task {
    Known(EmbedTask),
    None,
    Unknown,
}

fn task_of(word: &str) -> Task {
    let known = TASKS.iter().find(|(_, known)| *known == word);
    match known {
        Some((task, _)) => Task::Known(*task),
        None if word == "TASK_TYPE_UNSPECIFIED" => Task::None,
        None => Task::Unknown,
    }
}

fn word_of(task: EmbedTask) -> &'static str {
    TASKS.iter().find(|(known, _)| *known == task).map_or("TASK_TYPE_UNSPECIFIED", |(_, word)| word)
}

const TASKS: [(EmbedTask, &str); 8] = [
    (EmbedTask::Query, "RETRIEVAL_QUERY"),
    (EmbedTask::Document, "RETRIEVAL_DOCUMENT"),
    (EmbedTask::Similarity, "SEMANTIC_SIMILARITY"),
    (EmbedTask::Classification, "CLASSIFICATION"),
    (EmbedTask::Clustering, "CLUSTERING"),
    (EmbedTask::QuestionAnswering, "QUESTION_ANSWERING"),
    (EmbedTask::FactVerification, "FACT_VERIFICATION"),
    (EmbedTask::CodeQuery, "CODE_RETRIEVAL_QUERY"),
];

fn values(entry: Raw<'_>) -> Result<Vector<'_>, Fault> {
    entry.member("values").ok_or_else(|| broken::answer("has an embedding without `values`")).and_then(Vector::of)
}

/// The status that an error tells of itself.
fn inner_status(error: Raw<'_>) -> StatusCode {
    let code = error.member("code").and_then(Raw::u64).and_then(|code| u16::try_from(code).ok());
    code.and_then(|code| StatusCode::from_u16(code).ok()).filter(|status| !status.is_success()).unwrap_or(StatusCode::BAD_GATEWAY)
}

fn expected(at: &str, what: &str, found: Option<Raw<'_>>) -> Fault {
    let found = found.map_or("nothing", Raw::kind_name);
    Fault::bad_request(format!("{at}: expected {what}, found {found}")).at(at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, one: bool) -> Result<EmbedRequest<'_>, Fault> {
        GeminiEmbeddings.read_request(Raw::parse(body.as_bytes()).unwrap(), one)
    }

    /// What is read is written again, but for the names that protobuf's JSON form also takes.
    #[test]
    fn requests_come_back_as_they_were() {
        let full = r#"{"model":"models/m","content":{"parts":[{"text":"a \u00e9"}]},"taskType":"CODE_RETRIEVAL_QUERY","title":"t","outputDimensionality":64}"#;
        let bare = r#"{"model":"models/m","content":{"parts":[{"text":"a"}]}}"#;
        // (request, whether for one, what is sent)
        let cases = [
            (full.to_owned(), true, format!(r#"{{"requests":[{full}]}}"#)),
            (format!(r#"{{"requests":[{bare},{bare}]}}"#), false, format!(r#"{{"requests":[{bare},{bare}]}}"#)),
            (r#"{"content":{"role":"user","parts":{"text":"a"}},"taskType":"TASK_TYPE_UNSPECIFIED"}"#.to_owned(), true, format!(r#"{{"requests":[{bare}]}}"#)),
            (
                r#"{"content":{"parts":[{"text":"a \u00e9"}]},"embed_content_config":{"task_type":"CODE_RETRIEVAL_QUERY","title":"t","output_dimensionality":64}}"#.to_owned(),
                true,
                format!(r#"{{"requests":[{full}]}}"#),
            ),
        ];
        for (body, one, expected) in cases {
            let mut notes = Notes::default();
            let calls = GeminiEmbeddings.encode_request(&read(&body, one).unwrap(), "m", &mut notes).unwrap();
            assert_eq!((calls.len(), std::str::from_utf8(&calls[0].body).unwrap()), (1, expected.as_str()), "{body}");
            assert!(notes.losses.is_empty());
        }
    }

    #[test]
    fn parts_of_one_content_are_one_text() {
        let request = read(r#"{"content":{"parts":[{"text":"a"},{"text":"b"}]}}"#, true).unwrap();
        assert_eq!(request.inputs[0].content, EmbedContent::Text(Text::plain("a\nb")));
    }

    #[test]
    fn every_task_has_its_word() {
        for (task, word) in TASKS {
            let body = format!(r#"{{"content":{{"parts":[{{"text":"a"}}]}},"taskType":"{word}"}}"#);
            assert_eq!((read(&body, true).unwrap().inputs[0].task, word_of(task)), (Some(task), word));
        }
    }

    #[test]
    fn paths_name_the_model_and_the_method() {
        let path = |model| GeminiEmbeddings.path_of_one(model).unwrap().into_owned();
        assert_eq!(path("gemini-embedding-001"), "/models/gemini-embedding-001:embedContent");
        assert_eq!(path("models/m"), "/models/m:embedContent");
        assert_eq!((resource("m"), resource("models/m")), ("models/m".into(), "models/m".into()));
    }
}
