//! The providers' tables: where each is, what it speaks, how it is paid.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use crate::base::Secret;

use super::catalog::{self, Auth, Kind};
use super::file::{Reading, Spot, Table, Text};
use super::locate::did_you_mean;
use super::resolve::keys;
use super::values::{self, BaseUrl};
use super::{HttpVersion, Place, Provider, Site};

/// The providers, and the names that are declared, be the declaration right or wrong.
pub(super) struct Providers<'d> {
    /// Those that are sound.
    pub(super) resolved: Vec<Arc<Provider>>,
    declared: Vec<&'d str>,
}

impl<'d> Providers<'d> {
    /// Reads `[providers.*]`.
    pub(super) fn read(reading: &Reading<'_>, root: &Table<'_, 'd>) -> Self {
        let entries = root.tables_by_name("providers");
        if !root.has("providers") {
            let text = "there is no provider, so that no request can be answered (add [providers.NAME] with its kind)";
            reading.warn(&root.spot("providers"), text);
        }
        let declared = entries.iter().map(|(name, ..)| *name).collect();
        let resolved = entries.into_iter().filter_map(|(name, value, at)| provider(reading, name, value, at)).map(Arc::new).collect();
        Self { resolved, declared }
    }

    /// The provider that a target names; `None` after its fault is noted, here or at its own table.
    pub(super) fn find(&self, reading: &Reading<'_>, name: &Text) -> Option<Arc<Provider>> {
        if !self.declared.contains(&name.value.as_str()) {
            let meant = did_you_mean(&name.value, self.declared.iter().copied());
            let known =
                if self.declared.is_empty() { "none is declared".into() } else { format!("declared: {}", self.declared.join(", ")) };
            let meant = if meant.is_empty() { format!(" ({known})") } else { meant };
            reading.fault(&name.at, format!("no provider named {:?}{meant}", name.value));
        }
        self.resolved.iter().find(|provider| provider.name == name.value).map(Arc::clone)
    }
}

fn provider<'d>(reading: &Reading<'_>, name: &str, value: &'d Spanned<DeValue<'d>>, at: Spot) -> Option<Provider> {
    let table = Table::open(reading, value, at, keys::PROVIDER)?;
    let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !sound {
        let text = "a provider's name has letters, digits, \"_\", \"-\" and \".\" only, since models are asked for as provider/model";
        reading.fault(&table.at, text);
    }
    let kind = kind(reading, &table, name);
    let claims = table.names("models").map(|names| names.into_iter().map(|name| name.value).collect());
    let Some(base_url) = kind.map(|kind| kind.base_url) else {
        // Without a kind the rest can still be read for its own faults.
        site(reading, &table, "http://unknown.invalid");
        headers(reading, &table);
        table.text("api_key");
        return None;
    };
    let kind = kind?;
    let claims = claims.unwrap_or_else(|| kind.claims.iter().map(|&claim| claim.to_owned()).collect());
    let (name, kind_name, dialects) = (name.to_owned(), kind.name.to_owned(), Cow::Borrowed(kind.dialects));
    let Some(base_url) = base_url else {
        for key in ["api_key", "base_url", "headers", "ca_file", "http_version"].into_iter().filter(|key| table.has(key)) {
            reading.fault(&table.spot(key), "has no use: echo answers inside this process (leave it out)");
        }
        return Some(Provider {
            name,
            kind: kind_name,
            dialects,
            place: Place::Echo,
            credential: None,
            secret: None,
            headers: vec![],
            claims,
        });
    };
    let (credential, secret) = credential(reading, &table, kind).unzip();
    let headers = headers(reading, &table);
    let place = Place::Http(Box::new(site(reading, &table, base_url)?));
    Some(Provider { name, kind: kind_name, dialects, place, credential, secret, headers, claims })
}

fn kind(reading: &Reading<'_>, table: &Table<'_, '_>, name: &str) -> Option<&'static Kind> {
    let names = || catalog::KINDS.iter().map(|kind| kind.name);
    let supported = || names().collect::<Vec<_>>().join(", ");
    if !table.has("kind") {
        let meant = did_you_mean(name, names());
        let meant = if meant.is_empty() { format!(" (one of {})", supported()) } else { meant };
        reading.fault(&table.spot("kind"), format!("is missing{meant}"));
        return None;
    }
    let text = table.text("kind")?;
    let kind = catalog::kind(&text.value);
    if kind.is_none() {
        let fault = if catalog::LATER.contains(&text.value.as_str()) {
            format!("{:?} is not supported by this version (supported: {})", text.value, supported())
        } else {
            let meant = did_you_mean(&text.value, names());
            let meant = if meant.is_empty() { format!(" (one of {})", supported()) } else { meant };
            format!("no kind named {:?}{meant}", text.value)
        };
        reading.fault(&text.at, fault);
    }
    kind
}

type Credential = ((HeaderName, HeaderValue), Secret);

fn credential(reading: &Reading<'_>, table: &Table<'_, '_>, kind: &Kind) -> Option<Credential> {
    let variable = kind.key_variable.unwrap_or("NAME");
    if !table.has("api_key") {
        if kind.key_needed {
            let text = format!("is missing: requests go out without a credential (did you mean api_key = \"env:{variable}\"?)");
            reading.warn(&table.spot("api_key"), text);
        }
        return None;
    }
    let text = table.name("api_key")?;
    if !text.outside && (text.value.starts_with('$') || Some(text.value.as_str()) == kind.key_variable) {
        reading.fault(&text.at, format!("names a variable as a shell does (did you mean \"env:{variable}\"?)"));
        return None;
    }
    let secret = Secret::new(&text.value);
    // Anthropic's subscription tokens are refused as an x-api-key.
    let bearer = kind.auth == Auth::Bearer || secret.reveal().starts_with("sk-ant-oat");
    let (name, value) = match bearer {
        true => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", secret.reveal()))),
        false => (HeaderName::from_static("x-api-key"), HeaderValue::from_str(secret.reveal())),
    };
    let value = value.map_err(|_| "has characters that no header can carry (is there a line break inside?)".to_owned());
    let mut value = reading.accept(&text.at, value)?;
    value.set_sensitive(true);
    Some(((name, value), secret))
}

/// Headers that a provider's table may not set: those of the connection, those that Outrider writes, and credentials.
const HEADERS_REFUSED: &[(&str, &str)] = &[
    ("connection", HOP),
    ("keep-alive", HOP),
    ("proxy-connection", HOP),
    ("te", HOP),
    ("trailer", HOP),
    ("trailers", HOP),
    ("transfer-encoding", HOP),
    ("upgrade", HOP),
    ("proxy-authenticate", HOP),
    ("proxy-authorization", CREDENTIAL),
    ("authorization", CREDENTIAL),
    ("x-api-key", CREDENTIAL),
    ("api-key", CREDENTIAL),
    ("x-goog-api-key", CREDENTIAL),
    ("x-amz-security-token", CREDENTIAL),
    ("cookie", CREDENTIAL),
    ("set-cookie", CREDENTIAL),
    ("host", OWN),
    ("content-length", OWN),
    ("content-type", OWN),
    ("accept-encoding", OWN),
    ("expect", OWN),
];
const HOP: &str = "belongs to one connection and cannot be set here";
const CREDENTIAL: &str = "is a credential, which belongs into api_key";
const OWN: &str = "is written by Outrider for each request and cannot be set here";

fn headers(reading: &Reading<'_>, table: &Table<'_, '_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, text) in table.texts_by_name("headers") {
        let Ok(name) = HeaderName::try_from(&name) else {
            reading.fault(&text.at, format!("{name:?} is not a header name (letters, digits and \"-\")"));
            continue;
        };
        if let Some((_, why)) = HEADERS_REFUSED.iter().find(|(refused, _)| name.as_str() == *refused) {
            reading.fault(&text.at, format!("the header {name} {why}"));
            continue;
        }
        if headers.iter().any(|(earlier, _)| *earlier == name) {
            reading.fault(&text.at, format!("the header {name} is set twice (names do not differ by case)"));
            continue;
        }
        let value = HeaderValue::from_str(&text.value).map_err(|_| format!("the value of {name} has characters that no header can carry"));
        let Some(mut value) = reading.accept(&text.at, value) else { continue };
        value.set_sensitive(text.outside || secretive(name.as_str()));
        headers.push((name, value));
    }
    headers
}

/// Whether something of this name mostly holds a secret.
pub(super) fn secretive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "auth", "password", "signature", "sig", "credential"].iter().any(|word| name.contains(word))
}

fn site(reading: &Reading<'_>, table: &Table<'_, '_>, default: &str) -> Option<Site> {
    let http_version = table.text("http_version").and_then(|text| {
        let version = match text.value.as_str() {
            "auto" => Ok(HttpVersion::Auto),
            "1.1" => Ok(HttpVersion::Http1),
            "2" => Ok(HttpVersion::Http2),
            other => Err(format!("expected \"auto\", \"1.1\" or \"2\", found {other:?}")),
        };
        reading.accept(&text.at, version)
    });
    let ca_pem = table.name("ca_file").and_then(|text| {
        let pem = if text.value.starts_with("-----BEGIN") { Ok(text.value) } else { reading.read(&text.value) };
        let certificates = |pem: String| match pem.contains("-----BEGIN CERTIFICATE-----") {
            true => Ok(pem.into_bytes()),
            false => Err("holds no certificate (expected PEM: -----BEGIN CERTIFICATE-----)".to_owned()),
        };
        reading.accept(&text.at, pem.and_then(certificates))
    });
    let url = match table.has("base_url") {
        true => {
            let text = table.text("base_url")?;
            let url = reading.accept(&text.at, values::base_url(&text.value))?;
            warn_of_lost_path(reading, &text.at, &url, default);
            Some(url)
        }
        false => reading.accept(&table.at, values::base_url(default)),
    };
    let BaseUrl { origin, path_prefix, query } = url?;
    Some(Site::new(origin, path_prefix, query, ca_pem, http_version.unwrap_or_default()))
}

/// The vendors' SDKs differ in whether their base URL has the `/v1`; ours has it.
fn warn_of_lost_path(reading: &Reading<'_>, at: &Spot, url: &BaseUrl, default: &str) {
    let Ok(usual) = values::base_url(default) else { return };
    if url.origin == usual.origin && url.path_prefix.is_empty() && !usual.path_prefix.is_empty() {
        reading.warn(at, format!("has no path, although this vendor's has (did you mean {default:?}?)"));
    }
}
