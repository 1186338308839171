//! The recorded exchanges: read in place, skipped loudly where they are not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use outrider::base::framing::Framing;
use outrider::ir::Dialect;
use serde_json::Value;

/// One recorded exchange.
pub struct Exchange {
    pub id: String,
    pub provider: String,
    pub api: String,
    pub stream: bool,
    pub method: String,
    /// Path and query as recorded.
    pub path: String,
    /// The request's body, where one was kept.
    pub request: Option<Value>,
    pub status: u16,
    pub headers: http::HeaderMap,
    pub content_type: String,
    /// The answer's body, as bytes to send.
    pub response: Vec<u8>,
}

impl Exchange {
    /// The dialect whose chat answer it holds.
    pub fn chat(&self) -> Option<Dialect> {
        Some(match self.api.as_str() {
            "chat.completions" => Dialect::OpenAiChat,
            "responses" => Dialect::OpenAiResponses,
            "messages" | "vertex.rawPredict" => Dialect::Anthropic,
            "generateContent" => Dialect::Gemini,
            "converse" => Dialect::Bedrock,
            _ => return None,
        })
    }

    /// How its stream is cut.
    pub fn framing(&self) -> Framing {
        match self.chat() {
            Some(Dialect::Bedrock) => Framing::EventStream,
            Some(Dialect::Gemini) if !self.content_type.starts_with("text/event-stream") => Framing::JsonArray,
            _ => Framing::Sse,
        }
    }
}

/// Where the corpus is: `OUTRIDER_CORPUS`, else beside the package.
pub fn folder() -> Option<PathBuf> {
    let told = std::env::var("OUTRIDER_CORPUS").ok().map(PathBuf::from);
    let folder = told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traffic"));
    if folder.join("given").is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no recorded traffic at {} (set OUTRIDER_CORPUS); 0 exchanges checked", folder.display());
    None
}

/// All exchanges, in the order of their names.
pub fn load() -> Vec<Exchange> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("given")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("GROUPS.json"));
    paths.sort();
    paths.iter().map(|path| read(&std::fs::read(path).unwrap())).collect()
}

fn read(file: &[u8]) -> Exchange {
    let value: Value = serde_json::from_slice(file).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (provider, api) = (text(&value["provider"]), text(&value["api"]));
    let response = &value["response"];
    let body = match (&response["body_text"], &response["body"], &response["body_base64"]) {
        (Value::String(text), ..) => text.clone().into_bytes(),
        (_, _, Value::String(base64)) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
        (_, Value::Null, _) => Vec::new(),
        (_, body, _) => serde_json::to_vec(body).unwrap(),
    };
    let mut headers = http::HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name.as_str()), http::HeaderValue::try_from(text(value))) {
            headers.append(name, value);
        }
    }
    let stream = value["stream"].as_bool().unwrap_or(false);
    let status = response["status"].as_u64().unwrap() as u16;
    let recorded = headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
    // Some recorders did not keep the type that goes with the body.
    let recorded = recorded.filter(|_| !(stream && body.starts_with(b"data:")) || headers["content-type"] == "text/event-stream");
    let content_type = recorded.unwrap_or_else(|| match (stream && status == 200, body.first()) {
        (true, _) if api == "converse" || api == "invoke" => "application/vnd.amazon.eventstream".to_owned(),
        (true, Some(b'[')) => "application/json".to_owned(),
        (true, _) => "text/event-stream".to_owned(),
        (false, _) => "application/json".to_owned(),
    });
    let request = &value["request"];
    Exchange {
        id: text(&value["id"]),
        provider,
        api,
        stream,
        method: text(&request["method"]),
        path: text(&request["path"]),
        request: Some(request["body"].clone()).filter(Value::is_object),
        status,
        headers,
        content_type,
        response: body,
    }
}

/// What became of the exchanges of one provider, api and way of answering.
#[derive(Default)]
pub struct Row {
    /// Passed through in their own dialect, or opaquely.
    pub checked: usize,
    /// Of these, request and answer byte for byte; the others had the patches that policy asks for.
    pub exact: usize,
    /// Times an answer was told in another dialect, its facts kept.
    pub translated: usize,
    /// Of these, with something lost that was named.
    pub lossy: usize,
    /// What was lost, and how often.
    pub lost: BTreeMap<String, usize>,
    /// What went wrong.
    pub failed: Vec<String>,
}

/// Rows by provider, api and whether the answer is a stream.
#[derive(Default)]
pub struct Table(BTreeMap<(String, String, bool), Row>);

impl Table {
    /// The row of an exchange.
    pub fn row(&mut self, exchange: &Exchange) -> &mut Row {
        self.0.entry((exchange.provider.clone(), exchange.api.clone(), exchange.stream)).or_default()
    }

    /// Adds another table's rows.
    pub fn merge(&mut self, other: Self) {
        for (key, theirs) in other.0 {
            let ours = self.0.entry(key).or_default();
            ours.checked += theirs.checked;
            ours.exact += theirs.exact;
            ours.translated += theirs.translated;
            ours.lossy += theirs.lossy;
            ours.failed.extend(theirs.failed);
            theirs.lost.into_iter().for_each(|(name, count)| *ours.lost.entry(name).or_default() += count);
        }
    }

    /// The failures of all rows.
    pub fn failures(&self) -> Vec<&String> {
        self.0.values().flat_map(|row| &row.failed).collect()
    }

    /// The table as text, with a last line of sums.
    pub fn render(&self) -> String {
        let mut text = format!(
            "{:<16} {:<22} {:<6} {:>7} {:>6} {:>10} {:>6} {:>6}  lost\n",
            "provider", "api", "stream", "checked", "exact", "translated", "lossy", "failed"
        );
        let mut sums = [0; 5];
        for ((provider, api, stream), row) in &self.0 {
            let figures = [row.checked, row.exact, row.translated, row.lossy, row.failed.len()];
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
            let lost: Vec<_> = row.lost.iter().map(|(name, count)| format!("{name}×{count}")).collect();
            let [checked, exact, translated, lossy, failed] = figures;
            let stream = if *stream { "yes" } else { "no" };
            writeln!(
                text,
                "{provider:<16} {api:<22} {stream:<6} {checked:>7} {exact:>6} {translated:>10} {lossy:>6} {failed:>6}  {}",
                lost.join(" ")
            )
            .unwrap();
        }
        let [checked, exact, translated, lossy, failed] = sums;
        writeln!(text, "{:<46} {checked:>7} {exact:>6} {translated:>10} {lossy:>6} {failed:>6}", "all").unwrap();
        text
    }
}
