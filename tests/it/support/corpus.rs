//! The recorded exchanges: read in place, skipped loudly where they are not.

use std::path::PathBuf;

use serde_json::Value;

/// One recorded exchange.
pub struct Exchange {
    pub id: String,
    pub provider: String,
    pub api: String,
    pub stream: bool,
    /// The request's body, where one was kept.
    pub request: Option<Value>,
    pub status: u16,
    pub content_type: String,
    /// The answer's body, as bytes to send.
    pub response: Vec<u8>,
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

/// The exchanges that `wanted` picks, in the order of their names.
pub fn load(wanted: impl Fn(&str, &str) -> bool) -> Vec<Exchange> {
    let Some(folder) = folder() else { return Vec::new() };
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("given")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("GROUPS.json"));
    paths.sort();
    paths.iter().filter_map(|path| read(&std::fs::read(path).unwrap(), &wanted)).collect()
}

fn read(file: &[u8], wanted: &impl Fn(&str, &str) -> bool) -> Option<Exchange> {
    let value: Value = serde_json::from_slice(file).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (provider, api) = (text(&value["provider"]), text(&value["api"]));
    if !wanted(&provider, &api) {
        return None;
    }
    let response = &value["response"];
    let body = match (&response["body_text"], &response["body"], &response["body_base64"]) {
        (Value::String(text), ..) => text.clone().into_bytes(),
        (_, Value::Null, _) => return None,
        (_, body, _) => serde_json::to_vec(body).unwrap(),
    };
    let headers = response["headers"].as_object();
    let content_type = headers.and_then(|h| h.iter().find(|(k, _)| k.eq_ignore_ascii_case("content-type"))).map(|(_, v)| text(v));
    let stream = value["stream"].as_bool().unwrap_or(false);
    let status = response["status"].as_u64().unwrap() as u16;
    Some(Exchange {
        id: text(&value["id"]),
        provider,
        api,
        stream,
        request: Some(value["request"]["body"].clone()).filter(Value::is_object),
        status,
        content_type: content_type
            .unwrap_or_else(|| if stream && status == 200 { "text/event-stream" } else { "application/json" }.to_owned()),
        response: body,
    })
}
