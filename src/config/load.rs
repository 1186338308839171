//! Which configuration counts, and how the world outside its text is reached.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::catalog::Base;
use super::locate::Finding;
use super::place::AWS_REGIONS;
use super::{Config, catalog, file, resolve, values};

/// Where values come from that are not in the text: an argument, so that tests need neither variables nor files.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// The environment variable of this name.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of this file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl Outside<'static> {
    /// The process's own environment and files.
    pub fn process() -> Self {
        Self { env: &variable, read: &read_bounded }
    }
}

/// A configuration that is sound.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What its author may want to know, in the order of the text.
    pub warnings: Vec<Finding>,
    /// The file; `None` for zero-config.
    pub file: Option<PathBuf>,
}

/// A configuration that is not sound: every fault that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The faults, in the order of the text; at least one.
    pub faults: Vec<Finding>,
    /// What is to say beside them.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.faults.iter().map(Finding::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Rejected {}

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "sidecar.toml";

/// Where a resource of Azure is, by the name that its SDKs read.
const AZURE_ENDPOINT: &str = "AZURE_OPENAI_ENDPOINT";

/// The variable that names the file.
const FILE_VARIABLE: &str = "OUTRIDER_CONFIG";

impl Config {
    /// Loads `path`, else the file that `$OUTRIDER_CONFIG` names, else `./sidecar.toml` if it exists, else zero-config.
    pub fn load(path: Option<&Path>, outside: &Outside<'_>) -> Result<Loaded, Rejected> {
        let named = (outside.env)(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        if let Some(path) = path.map(Path::to_path_buf).or(named) {
            let text = (outside.read)(&path).map_err(|cause| unreadable(&path, &cause))?;
            return Self::parse(&path, &text, outside);
        }
        let path = Path::new(DEFAULT_FILE);
        match (outside.read)(path) {
            Ok(text) => Self::parse(path, &text, outside),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Self::zero(outside),
            Err(cause) => Err(unreadable(path, &cause)),
        }
    }

    /// Reads `text`, the content of the file at `path`; relative `file:` paths start from its folder.
    pub fn parse(path: &Path, text: &str, outside: &Outside<'_>) -> Result<Loaded, Rejected> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.display().to_string();
        let reading = file::Reading::new(&name, text, folder, outside);
        let (mut config, warnings) = resolve::resolve(reading, text)?;
        config.watched.insert(0, path.to_path_buf());
        Ok(Loaded { config, warnings, file: Some(path.to_path_buf()) })
    }

    /// What counts without a file: a provider for each API key in the environment, and the embedded `echo`.
    pub fn zero(outside: &Outside<'_>) -> Result<Loaded, Rejected> {
        let mut text = String::new();
        let set = |name: &str| (outside.env)(name).is_some_and(|value| !value.trim().is_empty());
        for kind in catalog::KINDS.iter().filter(|kind| kind.found_by_key) {
            let Some(name) = kind.key_variables.iter().find(|name| set(name)) else { continue };
            let place = match kind.base {
                Base::Azure if set(AZURE_ENDPOINT) => format!("base_url = \"env:{AZURE_ENDPOINT}\"\n"),
                Base::Bedrock if AWS_REGIONS.iter().any(|name| set(name)) => String::new(),
                Base::Azure | Base::Bedrock => continue,
                _ => String::new(),
            };
            text += &format!("[providers.{0}]\nkind = {0:?}\napi_key = \"env:{name}\"\n{place}", kind.name);
        }
        text += "[providers.echo]\nkind = \"echo\"\n";
        let reading = file::Reading::new("zero-config", &text, Path::new(""), outside);
        let (config, warnings) = resolve::resolve(reading, &text)?;
        Ok(Loaded { config, warnings, file: None })
    }
}

fn unreadable(path: &Path, cause: &io::Error) -> Rejected {
    let text = values::cannot_read(path, cause);
    let fault = Finding { file: path.display().to_string(), line: 1, column: 1, key: "file".into(), text };
    Rejected { faults: vec![fault], warnings: Vec::new() }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn variable(name: &str) -> Option<String> {
    // A name with these is no name, and the standard library panics on some of them.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok()
}

/// The largest file that is read, configuration or secret: a bound against a path that never ends.
const FILE_BYTES_MAX: u64 = 8 << 20;

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 8MiB"));
    }
    Ok(text)
}
