//! The providers' tables: where each is, what it speaks, how it is paid.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use super::catalog::{self, Base, Kind};
use super::file::{Reading, Spot, Table, Text};
use super::locate::did_you_mean;
use super::resolve::keys;
use super::{Layout, Place, Provider, credential, place};
use crate::ir::Dialect;

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
    let listed = dialects(reading, &table);
    let Some(kind) = kind else {
        // Without a kind the rest can still be read for its own faults.
        place::judge(reading, &table);
        headers(reading, &table);
        table.one_or_more("api_key", usize::MAX);
        return None;
    };
    refuse_keys_of_others(reading, &table, kind);
    let claims = claims.unwrap_or_else(|| kind.claims.iter().map(|&claim| claim.to_owned()).collect());
    let dialects = listed.map_or(Cow::Borrowed(kind.dialects), Cow::Owned);
    let provider = Provider {
        name: name.to_owned(),
        kind: kind.name.to_owned(),
        dialects,
        place: Place::Echo,
        layout: Layout::Standard,
        keys: Vec::new(),
        told: Vec::new(),
        headers: Vec::new(),
        claims,
    };
    if kind.base == Base::Embedded {
        return Some(provider);
    }
    let headers = headers(reading, &table);
    let Some(mut placed) = place::place(reading, &table, kind, provider.dialect()) else {
        // Where it is has its fault already; the key may have one too.
        if table.has("api_key") {
            credential::static_key(reading, &table, kind);
        }
        return None;
    };
    let authorised = credential::read(reading, &table, kind, &placed.site, placed.region.as_deref());
    placed.told.extend(authorised.told);
    Some(Provider {
        place: Place::Http(Box::new(placed.site)),
        layout: placed.layout,
        keys: authorised.keys,
        told: placed.told,
        headers,
        ..provider
    })
}

/// The keys of some kinds only.
const OWN_KEYS: &[(Base, &str, &[&str])] = &[
    (Base::Azure, "azure", &["tenant_id", "client_id", "client_secret"]),
    (Base::Vertex, "vertex", &["project", "location", "credentials_file"]),
    (
        Base::Bedrock,
        "bedrock",
        &["region", "access_key_id", "secret_access_key", "session_token", "profile", "role_arn", "web_identity_token_file"],
    ),
];

fn refuse_keys_of_others(reading: &Reading<'_>, table: &Table<'_, '_>, kind: &Kind) {
    for (_, name, own) in OWN_KEYS.iter().filter(|(base, ..)| *base != kind.base) {
        for key in own.iter().filter(|key| table.has(key)) {
            reading.fault(&table.spot(key), format!("has no use for the kind {:?}: it belongs to {name:?} (leave it out)", kind.name));
        }
    }
    if kind.base == Base::Embedded {
        for key in ["dialects", "api_key", "base_url", "headers", "ca_file", "http_version"].into_iter().filter(|key| table.has(key)) {
            reading.fault(&table.spot(key), "has no use: echo answers inside this process (leave it out)");
        }
    }
}

/// What the table itself says that the provider speaks.
fn dialects(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Vec<Dialect>> {
    let labels = || Dialect::ALL.into_iter().map(Dialect::label);
    let mut listed = Vec::new();
    for text in table.names("dialects")? {
        match Dialect::ALL.into_iter().find(|dialect| dialect.label() == text.value) {
            Some(dialect) if listed.contains(&dialect) => reading.fault(&text.at, format!("{:?} stands twice", text.value)),
            Some(dialect) => listed.push(dialect),
            None => {
                let meant = did_you_mean(&text.value, labels());
                let meant = if meant.is_empty() { format!(" (one of {})", labels().collect::<Vec<_>>().join(", ")) } else { meant };
                reading.fault(&text.at, format!("no dialect named {:?}{meant}", text.value));
            }
        }
    }
    if table.is_empty_array("dialects") {
        reading.fault(&table.spot("dialects"), "is empty: the provider could not be asked anything (leave it out for the kind's own)");
    }
    (!listed.is_empty()).then_some(listed)
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
        let meant = did_you_mean(&text.value, names());
        let meant = if meant.is_empty() { format!(" (one of {})", supported()) } else { meant };
        reading.fault(&text.at, format!("no kind named {:?}{meant}", text.value));
    }
    kind
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

/// Whether a header of this name is a credential.
pub(super) fn carries_credential(name: &HeaderName) -> bool {
    HEADERS_REFUSED.iter().any(|(refused, why)| *why == CREDENTIAL && name.as_str() == *refused)
}

/// Whether something of this name mostly holds a secret.
pub(super) fn secretive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "auth", "password", "signature", "sig", "credential"].iter().any(|word| name.contains(word))
}
