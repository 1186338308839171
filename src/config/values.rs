//! What strings of the configuration may stand for: `env:` and `file:`, durations, sizes, base URLs, patterns.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;
use http::uri::{Authority, Scheme};

use super::load::Outside;

/// A string with its `env:` or `file:` followed.
pub(super) struct Fetched {
    /// The string itself.
    pub(super) value: String,
    /// Whether it came from outside the text, so that it may be a secret.
    pub(super) outside: bool,
    /// The file that it came from.
    pub(super) file: Option<PathBuf>,
}

/// Follows `env:NAME` and `file:PATH`; any other string stands for itself. The error says what to do.
pub(super) fn fetch(text: &str, folder: &Path, outside: &Outside<'_>) -> Result<Fetched, String> {
    if let Some(name) = text.strip_prefix("env:") {
        return match (outside.env)(name) {
            _ if name.is_empty() => Err("\"env:\" lacks the name of a variable (env:NAME)".into()),
            Some(value) => Ok(Fetched { value, outside: true, file: None }),
            None => Err(format!("the environment variable {name} is not set (set it, or write the value another way)")),
        };
    }
    if let Some(path) = text.strip_prefix("file:") {
        if path.is_empty() {
            return Err("\"file:\" lacks a path (file:/path)".into());
        }
        let path = folder.join(path);
        let value = (outside.read)(&path).map_err(|cause| cannot_read(&path, &cause))?;
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        return Ok(Fetched { value, outside: true, file: Some(path) });
    }
    Ok(Fetched { value: text.to_owned(), outside: false, file: None })
}

/// Why a file could not be read, and what to do.
pub(super) fn cannot_read(path: &Path, cause: &std::io::Error) -> String {
    let hint = match cause.kind() {
        ErrorKind::NotFound => " (check the path; a relative one in a file starts from that file's folder)",
        ErrorKind::PermissionDenied => " (let this user read it)",
        _ => "",
    };
    format!("cannot read the file {}: {cause}{hint}", path.display())
}

/// The longest duration that is accepted: clocks may add it to any instant.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration as `humantime` reads it: `30s`, `1m 30s`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) => Err(format!("{text:?} is longer than a year")),
        Err(cause) => Err(format!("{text:?} is not a duration: {cause} (write it as \"30s\", \"250ms\" or \"10m\")")),
    }
}

/// A duration as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// The largest size that is accepted, in bytes.
const SIZE_MAX: u64 = 1 << 40;

/// A size in bytes, as `bytesize` reads it: `64KiB`, `4MB`, `1000`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(bytes)) if bytes <= SIZE_MAX => {
            usize::try_from(bytes).map_err(|_| format!("{text:?} is more than this machine addresses"))
        }
        Ok(_) => Err(format!("{text:?} is more than 1TiB")),
        Err(_) => Err(format!("{text:?} is not a size (write it as \"64KiB\" or \"32MiB\")")),
    }
}

/// A size as [`size`] reads it, exactly.
pub(super) fn show_size(bytes: usize) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// A base URL, in the parts that [`super::Site`] wants.
pub(super) struct BaseUrl {
    pub(super) origin: Uri,
    pub(super) path_prefix: String,
    pub(super) query: Option<String>,
}

/// Reads a base URL; the origin gets its port written out, the path loses its last slash.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, String> {
    let example = "write it as \"https://host/v1\"";
    if text.is_empty() {
        return Err(format!("is empty ({example})"));
    }
    if text.contains('#') {
        return Err("has a fragment (#…), which no server sees".into());
    }
    // The text is not shown: what looks like a password may stand in it.
    let uri: Uri = text.parse().map_err(|cause| format!("is not a URL: {cause} ({example})"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(format!("lacks a scheme or a host ({example})"));
    };
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(format!("has the scheme {scheme:?}, expected http or https"));
    }
    if authority.as_str().contains('@') {
        return Err("has a user or password before the host: a credential belongs into api_key".into());
    }
    if authority.host().is_empty() {
        return Err(format!("lacks a host ({example})"));
    }
    let port = match (port_text(authority), scheme == &Scheme::HTTPS) {
        (Some(port), _) => port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(|| format!("has no valid port: {port:?}"))?,
        (None, true) => 443,
        (None, false) => 80,
    };
    let origin = format!("{scheme}://{}:{port}", authority.host().to_ascii_lowercase());
    let origin = origin.parse().map_err(|cause| format!("is not a URL: {cause} ({example})"))?;
    let path_prefix = uri.path().trim_end_matches('/').to_owned();
    Ok(BaseUrl { origin, path_prefix, query: uri.query().filter(|query| !query.is_empty()).map(str::to_owned) })
}

fn port_text(authority: &Authority) -> Option<&str> {
    authority.as_str().get(authority.host().len()..)?.strip_prefix(':')
}

/// Whether `name` matches `pattern`, in which `*` stands for any text.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let Some((middle, last)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
    // The leftmost place of each piece leaves the most for what follows.
    for piece in middle.split('*') {
        match name.find(piece) {
            Some(at) => name = name.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    name.ends_with(last)
}

/// A digest of a text that is stable over builds and machines: FNV-1a, 64 bits, in hex.
pub(super) fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
