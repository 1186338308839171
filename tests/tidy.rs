//! What must be absent, kept absent: the direction of the layers and the doors to time, the environment and names.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};

/// A module may use those to its left.
const LAYERS: [&str; 16] = [
    "base",
    "ir",
    "config",
    "dialect",
    "telemetry",
    "policy",
    "quota",
    "journal",
    "upstream",
    "credential",
    "echo",
    "pipeline",
    "server",
    "status",
    "run",
    "cli",
];

/// Lines of code in one file, tests aside.
const LINES_MAX: usize = 500;

struct Source {
    path: PathBuf,
    layer: String,
    /// Without comments and without what follows `#[cfg(test)]`.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "tests" {
                    folders.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_owned();
            if name.ends_with("tests.rs") || name.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let layer = name.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let production = text.split("#[cfg(test)]").next().unwrap();
            let code = production.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            found.push(Source { path: name, layer, code });
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn refuse(what: &str, wrong: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> =
        sources().iter().flat_map(|source| wrong(source).into_iter().map(|line| format!("{}: {line}", source.path.display()))).collect();
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn layers_use_only_what_stands_to_their_left() {
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    refuse("a layer uses one to its right", |source| {
        let Some(own) = place(&source.layer) else { return vec![] };
        let names = source.code.split("crate::").skip(1).flat_map(|rest| {
            let group = rest.strip_prefix('{').map(|group| group.split('}').next().unwrap_or_default());
            let heads = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
            heads.into_iter().map(|head| head.trim().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
        });
        names.filter(|name| place(name).is_some_and(|other| other > own)).map(|name| format!("crate::{name}")).collect()
    });
}

#[test]
fn every_layer_is_known() {
    refuse("a module without a layer", |source| match source.layer.as_str() {
        "lib" | "bin" => vec![],
        layer if LAYERS.contains(&layer) => vec![],
        layer => vec![layer.to_owned()],
    });
}

#[test]
fn files_stay_readable() {
    refuse("a file asks which of its nouns wants a file of its own", |source| {
        let lines = source.code.lines().count();
        if lines > LINES_MAX { vec![format!("{lines} lines")] } else { vec![] }
    });
}

#[test]
fn doors_are_used() {
    let doors: [(&str, &[&str], &str); 5] = [
        ("Instant::now()", &["base/clock.rs"], "ask base::clock"),
        ("SystemTime::now()", &["base/clock.rs"], "ask Env.wall"),
        ("std::env::var", &["config/load.rs"], "only config reads the environment"),
        ("\"outrider_", &["telemetry/metrics.rs"], "metric names stand in one place"),
        ("\"gen_ai_", &["telemetry/metrics.rs"], "metric names stand in one place"),
    ];
    refuse("a door was walked around", |source| {
        let here = |paths: &[&str]| paths.iter().any(|path| source.path == Path::new(path));
        let used = doors.iter().filter(|(text, paths, _)| source.code.contains(text) && !here(paths));
        used.map(|(text, _, why)| format!("{text}: {why}")).collect()
    });
}

#[test]
fn codecs_are_pure() {
    refuse("a codec waits, parses by a library or knows a provider", |source| {
        if source.layer != "dialect" {
            return vec![];
        }
        let words = ["async ", "await", "serde_json", "tokio", "api.openai.com", "api.anthropic.com"];
        words.iter().filter(|word| source.code.contains(**word)).map(|word| (*word).to_owned()).collect()
    });
}
