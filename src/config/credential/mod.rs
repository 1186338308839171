//! How requests to a provider are authorised, as data: which key, or where a key is to be had.
//!
//! Variables and files are followed when the configuration is read, files that rotate among them: they are watched, and
//! a reload brings their new content. What is kept of a credential's tokens outlives that, by the credential's `id`.

mod aws;
mod entra;
mod google;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::catalog::{Auth, Base, Kind};
use super::file::{Reading, Spot, Table, Text};
use super::{Site, values};
use crate::base::Secret;

/// How requests to a provider are authorised.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Not at all.
    None,
    /// By a header that is the same each time; marked sensitive.
    Header(HeaderName, HeaderValue),
    /// By a signature (AWS Signature Version 4).
    Aws(Arc<Aws>),
    /// By a token of Microsoft Entra.
    Entra(Arc<Entra>),
    /// By a token of Google.
    Google(Arc<Google>),
}

impl Credential {
    /// What it is, in words.
    pub fn label(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Header(..) => "a key",
            Self::Aws(aws) => match &aws.keys {
                AwsKeys::Fixed(_) => "AWS keys",
                AwsKeys::WebIdentity { .. } => "AWS keys by a web identity",
                AwsKeys::Container { .. } => "AWS keys of the container",
                AwsKeys::Instance(_) => "AWS keys of the instance",
            },
            Self::Entra(entra) => match &entra.grant {
                EntraGrant::Secret { .. } => "an Entra token by a client secret",
                EntraGrant::Assertion { .. } => "an Entra token by a workload identity",
                EntraGrant::Managed(_) => "an Entra token of the managed identity",
            },
            Self::Google(google) => match &google.source {
                GoogleSource::ServiceAccount { .. } => "a Google token of a service account",
                GoogleSource::AuthorizedUser { .. } => "a Google token of a user",
                GoogleSource::External { .. } => "a Google token by an outside identity",
                GoogleSource::Metadata(_) => "a Google token of the metadata server",
            },
        }
    }
}

/// Keys of AWS, and what they sign for.
#[derive(Debug)]
pub struct Aws {
    /// Tells what is kept of one from another's.
    pub id: u64,
    /// The region that signatures are good for.
    pub region: String,
    /// The service that they are good for.
    pub service: &'static str,
    /// The keys.
    pub keys: AwsKeys,
}

/// Where AWS keys are to be had.
#[derive(Debug)]
pub enum AwsKeys {
    /// Here.
    Fixed(AwsKey),
    /// From the token service, for a token of another identity provider (Kubernetes' service accounts on EKS).
    WebIdentity {
        /// The token service.
        sts: Box<Site>,
        /// The role to take on.
        role_arn: String,
        /// How the session is called in AWS's own records.
        session_name: String,
        /// The identity's token.
        token: Secret,
    },
    /// From the container's agent (ECS, EKS pod identity).
    Container {
        /// The address, path and query included.
        site: Box<Site>,
        /// Its `authorization`.
        authorization: Option<Secret>,
    },
    /// From the metadata service of the virtual machine, version 2.
    Instance(Box<Site>),
}

/// One pair of AWS keys.
#[derive(Clone, Debug)]
pub struct AwsKey {
    /// The access key's id, which is no secret.
    pub id: String,
    /// The secret that signs.
    pub secret: Secret,
    /// What temporary keys are sent with.
    pub session_token: Option<Secret>,
}

/// A token of Microsoft Entra.
#[derive(Debug)]
pub struct Entra {
    /// Tells what is kept of one from another's.
    pub id: u64,
    /// The token endpoint, path and query included.
    pub site: Site,
    /// What the token is for.
    pub scope: &'static str,
    /// How it is asked for.
    pub grant: EntraGrant,
}

/// How Entra is asked for a token.
#[derive(Debug)]
pub enum EntraGrant {
    /// By an app's secret.
    Secret {
        /// The app.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
    /// By a token of a federated identity (Azure's workload identity on Kubernetes).
    Assertion {
        /// The app.
        client_id: String,
        /// The identity's token.
        assertion: Secret,
    },
    /// From the machine that this runs on; the header that its endpoint wants.
    Managed((HeaderName, HeaderValue)),
}

/// A token of Google.
#[derive(Debug)]
pub struct Google {
    /// Tells what is kept of one from another's.
    pub id: u64,
    /// Where it is to be had.
    pub source: GoogleSource,
    /// The project whose quota is used, where it is not the credential's own: `x-goog-user-project`.
    pub quota_project: Option<HeaderValue>,
}

/// Where a token of Google is to be had.
#[derive(Debug)]
pub enum GoogleSource {
    /// By a service account's private key.
    ServiceAccount {
        /// The token endpoint.
        site: Box<Site>,
        /// The same as a URL: the assertion's audience.
        audience: String,
        /// The account.
        email: String,
        /// Which of its keys.
        key_id: Option<String>,
        /// The key, PKCS #8 in PEM.
        key: Secret,
    },
    /// By a user's refresh token (`gcloud auth application-default login`).
    AuthorizedUser {
        /// The token endpoint.
        site: Box<Site>,
        /// The app that the user has allowed.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// What tokens are asked for with.
        refresh_token: Secret,
    },
    /// By a token of another identity provider (workload identity federation).
    External {
        /// The token exchange.
        site: Box<Site>,
        /// The identity pool's provider.
        audience: String,
        /// What kind of token the other's is.
        subject_token_type: String,
        /// The other's token.
        subject_token: Secret,
        /// The service account to act as, where not as itself.
        impersonation: Option<Box<Site>>,
    },
    /// From the metadata server of the machine that this runs on.
    Metadata(Box<Site>),
}

/// One of a provider's keys.
#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// How requests are authorised by it.
    pub credential: Credential,
    /// Its text where it is always the same, to be removed from whatever the upstream echoes.
    pub secret: Option<Secret>,
}

impl ProviderKey {
    /// No key.
    pub(super) const NONE: Self = Self { credential: Credential::None, secret: None };

    /// Tells it from another one that may come in its place by a reload; not for show.
    pub fn id(&self) -> u64 {
        match &self.credential {
            Credential::None => 0,
            Credential::Header(name, value) => {
                let mut hasher = std::hash::DefaultHasher::new();
                (name, value).hash(&mut hasher);
                hasher.finish()
            }
            Credential::Aws(aws) => aws.id,
            Credential::Entra(entra) => entra.id,
            Credential::Google(google) => google.id,
        }
    }
}

/// The most keys of one provider.
const KEYS_MAX: usize = 100;

/// What a provider's table says of its credential.
pub(super) struct Read {
    /// None where requests go out without.
    pub(super) keys: Vec<ProviderKey>,
    /// What else the table says, as it may be shown.
    pub(super) told: Vec<(&'static str, String)>,
}

impl Read {
    fn none() -> Self {
        Self { keys: Vec::new(), told: Vec::new() }
    }

    /// A credential that is not the same each time.
    fn one(credential: Credential, told: Vec<(&'static str, String)>) -> Self {
        Self { keys: vec![ProviderKey { credential, secret: None }], told }
    }
}

/// Stands where a secret is, wherever a configuration is shown.
pub(super) const REDACTED: &str = "[redacted]";

/// Reads how requests to a provider are authorised, once it is known where it is.
pub(super) fn read(reading: &Reading<'_>, table: &Table<'_, '_>, kind: &Kind, site: &Site, region: Option<&str>) -> Read {
    if table.has("api_key") {
        if let Some(other) = CREDENTIAL_KEYS.iter().find(|key| table.has(key)) {
            reading.fault(&table.spot(other), "stands beside api_key: one credential alone is used (leave one of them out)");
        }
        return static_key(reading, table, kind);
    }
    let chain = match kind.base {
        Base::Bedrock => aws::read(reading, table, site, region.unwrap_or_default()),
        Base::Azure => entra::read(reading, table, site),
        Base::Vertex => google::read(reading, table),
        Base::Url(_) | Base::Embedded => Some(Read::none()),
    };
    if kind.key_needed {
        let variable = kind.key_variables.first().unwrap_or(&"NAME");
        let text = format!("is missing: requests go out without a credential (did you mean api_key = \"env:{variable}\"?)");
        reading.warn(&table.spot("api_key"), text);
    }
    chain.unwrap_or_else(Read::none)
}

/// The keys of a table that name a credential beside `api_key`.
const CREDENTIAL_KEYS: &[&str] =
    &["tenant_id", "client_id", "client_secret", "credentials_file", "access_key_id", "profile", "role_arn", "web_identity_token_file"];

/// The credential that `api_key` is, or those that it lists.
pub(super) fn static_key(reading: &Reading<'_>, table: &Table<'_, '_>, kind: &Kind) -> Read {
    let texts = table.one_or_more("api_key", KEYS_MAX).unwrap_or_default();
    let mut known: Vec<&Text> = Vec::with_capacity(texts.len());
    for text in &texts {
        match known.iter().find(|earlier| earlier.value.trim() == text.value.trim()) {
            Some(earlier) => reading.warn(&text.at, format!("is the same key as {}, and shares its limits (leave it out)", earlier.at.key)),
            None => known.push(text),
        }
    }
    let sound = texts.iter().filter(|text| !names_a_variable(reading, text, kind));
    let (headers, secrets): (Vec<_>, Vec<_>) = sound.filter_map(|text| key_header(reading, text, kind.auth)).unzip();
    let keys = headers.into_iter().zip(Secret::together(secrets));
    Read { keys: keys.map(|(credential, secret)| ProviderKey { credential, secret: Some(secret) }).collect(), told: Vec::new() }
}

fn names_a_variable(reading: &Reading<'_>, text: &Text, kind: &Kind) -> bool {
    let variable = kind.key_variables.iter().find(|name| text.value == **name).or(kind.key_variables.first()).unwrap_or(&"NAME");
    let named = !text.outside && (text.value.starts_with('$') || kind.key_variables.contains(&text.value.as_str()));
    if named {
        reading.fault(&text.at, format!("names a variable as a shell does (did you mean \"env:{variable}\"?)"));
    }
    named
}

fn key_header(reading: &Reading<'_>, text: &Text, auth: Auth) -> Option<(Credential, Secret)> {
    let secret = Secret::new(&text.value);
    let (name, value) = match auth {
        Auth::Header(name) if !travels_as_bearer(name, secret.reveal()) => (HeaderName::from_static(name), secret.reveal().to_owned()),
        _ => (AUTHORIZATION, format!("Bearer {}", secret.reveal())),
    };
    let value = sensitive(&value).ok_or_else(|| "has characters that no header can carry (is there a line break inside?)".to_owned());
    let value = reading.accept(&text.at, value)?;
    Some((Credential::Header(name, value), secret))
}

/// A key that travels as a bearer token, though no key of the table holds it.
fn static_header(reading: &Reading<'_>, at: &Spot, key: &str) -> Option<ProviderKey> {
    let text = Text { value: key.to_owned(), at: at.clone(), outside: true };
    key_header(reading, &text, Auth::Bearer).map(|(credential, secret)| ProviderKey { credential, secret: Some(secret) })
}

/// Tokens that are refused in the header of keys: Anthropic's of a subscription, and Entra's and Google's own.
fn travels_as_bearer(header: &str, key: &str) -> bool {
    match header {
        "x-api-key" => key.starts_with("sk-ant-oat"),
        "api-key" => key.starts_with("eyJ") && key.matches('.').count() == 2,
        "x-goog-api-key" => key.starts_with("ya29."),
        _ => false,
    }
}

/// A header's value that logs do not show.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A site of which path and query are all that is asked for.
fn endpoint(url: &str) -> Result<Site, String> {
    let values::BaseUrl { origin, path_prefix, query } = values::base_url(url)?;
    Ok(Site::new(origin, path_prefix, query, None, super::HttpVersion::Auto))
}

/// A digest of what makes one credential another than its neighbour.
fn id(parts: &[&str]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// A file that the table names, or its content where that stands there in the place of the path; and what may be shown.
fn named_file(reading: &Reading<'_>, table: &Table<'_, '_>, key: &str, is_content: fn(&str) -> bool) -> Option<(String, String)> {
    let text = table.name(key)?;
    if is_content(&text.value) {
        return Some((text.value, REDACTED.into()));
    }
    let content = reading.accept(&text.at, reading.read(text.value.trim()))?;
    Some((content, text.value))
}
