//! Google: a credentials file of any of its types, else the metadata server ("application default credentials").

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;

use super::{Google, GoogleSource, Read, Site, endpoint, id, named_file};
use crate::base::Secret;
use crate::base::json::Raw;
use crate::config::file::{Reading, Spot, Table};

/// Where service accounts and users get tokens, unless their file says otherwise.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// Reads the table's file, else what Google's own tools look for. `None` after a fault.
pub(super) fn read(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Read> {
    let mut told = Vec::new();
    let at = table.spot("credentials_file");
    let text = match table.has("credentials_file") {
        true => {
            let (text, shown) = named_file(reading, table, "credentials_file", |text| text.trim_start().starts_with('{'))?;
            told.push(("credentials_file", shown));
            Some(text)
        }
        false => surroundings(reading, &at)?,
    };
    let google = match text {
        Some(text) => file(reading, &at, &text)?,
        None => metadata(reading, &at)?,
    };
    Some(Read::one(super::Credential::Google(Arc::new(google)), told))
}

/// The file that the environment names, or that `gcloud` left.
fn surroundings(reading: &Reading<'_>, at: &Spot) -> Option<Option<String>> {
    if let Some(path) = reading.env("GOOGLE_APPLICATION_CREDENTIALS") {
        let text = reading.read(&path).map_err(|why| format!("the file of GOOGLE_APPLICATION_CREDENTIALS: {why}"));
        return reading.accept(at, text).map(Some);
    }
    let folder = reading.env("CLOUDSDK_CONFIG").or_else(|| Some(format!("{}/.config/gcloud", reading.env("HOME")?)));
    Some(folder.and_then(|folder| reading.read_if_there(&format!("{folder}/application_default_credentials.json"))))
}

fn metadata(reading: &Reading<'_>, at: &Spot) -> Option<Google> {
    let host = reading.env("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".into());
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let site = reading.accept(at, endpoint(&url).map_err(|why| format!("the URL of GCE_METADATA_HOST {why}")))?;
    Some(Google { id: id(&["google", &host]), source: GoogleSource::Metadata(Box::new(site)), quota_project: None })
}

fn file(reading: &Reading<'_>, at: &Spot, text: &str) -> Option<Google> {
    let raw = Raw::parse(text.as_bytes()).map_err(|error| format!("is not a credentials file: {error}"));
    let members = Members(reading.accept(at, raw)?);
    let quota_project = members.text("quota_project_id").and_then(|project| HeaderValue::from_str(&project).ok());
    let source = match members.text("type").as_deref() {
        Some("service_account") => service_account(&members),
        Some("authorized_user") => authorized_user(&members),
        Some("external_account") => external_account(reading, &members),
        Some(other) => Err(format!(
            "has the type {other:?}, which this version does not know (it knows service_account, authorized_user and external_account)"
        )),
        None => Err("is not a credentials file: it has no `type`".into()),
    };
    let (id, source) = reading.accept(at, source)?;
    Some(Google { id, source, quota_project })
}

type Sourced = Result<(u64, GoogleSource), String>;

fn service_account(members: &Members<'_>) -> Sourced {
    let audience = members.text("token_uri").unwrap_or(Cow::Borrowed(TOKEN_URL)).into_owned();
    let site = members.site("token_uri", TOKEN_URL)?;
    let (email, key) = (members.needed("client_email")?, members.needed("private_key")?);
    if !key.contains("-----BEGIN PRIVATE KEY-----") {
        return Err("has a `private_key` that is no PKCS #8 key in PEM (-----BEGIN PRIVATE KEY-----)".into());
    }
    let key_id = members.text("private_key_id").map(Cow::into_owned);
    let id = id(&["service account", &audience, &email, key_id.as_deref().unwrap_or_default()]);
    Ok((id, GoogleSource::ServiceAccount { site, audience, email, key_id, key: Secret::new(&key) }))
}

fn authorized_user(members: &Members<'_>) -> Sourced {
    let site = members.site("token_uri", TOKEN_URL)?;
    let client_id = members.needed("client_id")?;
    let (client_secret, refresh_token) = (members.needed("client_secret")?, members.needed("refresh_token")?);
    let id = id(&["user", &client_id, &refresh_token]);
    let (client_secret, refresh_token) = (Secret::new(&client_secret), Secret::new(&refresh_token));
    Ok((id, GoogleSource::AuthorizedUser { site, client_id, client_secret, refresh_token }))
}

fn external_account(reading: &Reading<'_>, members: &Members<'_>) -> Sourced {
    let source = members.0.member("credential_source").map(Members);
    let path = source.as_ref().and_then(|source| source.text("file"));
    let (Some(source), Some(path)) = (source, path) else {
        return Err("has a `credential_source` without a `file`: this version reads the outside identity's token from a file only".into());
    };
    let text = reading.read(&path).map_err(|why| format!("names a token's file: {why}"))?;
    let format = source.0.member("format").map(Members);
    let subject_token = match format.as_ref().and_then(|format| format.text("subject_token_field_name")) {
        Some(name) => {
            let raw = Raw::parse(text.as_bytes()).map_err(|error| format!("names a token's file that is no JSON: {error}"))?;
            Members(raw).text(&name).ok_or_else(|| format!("names a token's file without the member {name:?}"))?.into_owned()
        }
        None => text,
    };
    let (audience, subject_token_type) = (members.needed("audience")?, members.needed("subject_token_type")?);
    let site = members.site("token_url", "https://sts.googleapis.com/v1/token")?;
    let impersonation = match members.text("service_account_impersonation_url") {
        Some(url) => Some(Box::new(endpoint(&url).map_err(|why| format!("has a `service_account_impersonation_url` that {why}"))?)),
        None => None,
    };
    let acting_as = impersonation.as_ref().map(|site| site.path_prefix.as_str()).unwrap_or_default();
    let id = id(&["external", &audience, &subject_token_type, &path, acting_as]);
    let subject_token = Secret::new(&subject_token);
    Ok((id, GoogleSource::External { site, audience, subject_token_type, subject_token, impersonation }))
}

/// The members of a JSON object.
struct Members<'a>(Raw<'a>);

impl<'a> Members<'a> {
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.member(name).and_then(Raw::string).filter(|text| !text.is_empty())
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.text(name).map(Cow::into_owned).ok_or_else(|| format!("is not a complete credentials file: it has no `{name}`"))
    }

    fn site(&self, name: &str, usual: &str) -> Result<Box<Site>, String> {
        let url = self.text(name).unwrap_or(Cow::Borrowed(usual));
        endpoint(&url).map(Box::new).map_err(|why| format!("has a `{name}` that {why}"))
    }
}
