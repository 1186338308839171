//! AWS: the usual chain of where keys may be, walked once when the configuration is read.

use std::sync::Arc;

use super::super::place::aws_domain;
use super::{Aws, AwsKey, AwsKeys, REDACTED, Read, Site, endpoint, id, named_file, static_header};
use crate::base::Secret;
use crate::config::file::{Reading, Table};

/// Where keys were found.
enum Found {
    /// A key that travels as it is.
    Bearer(String),
    Keys(AwsKeys),
}

type Told = Vec<(&'static str, String)>;

/// Explicit keys, an explicit role, an explicit profile; then what the environment says, in the order of AWS's SDKs.
/// `None` after a fault.
pub(super) fn read(reading: &Reading<'_>, table: &Table<'_, '_>, site: &Site, region: &str) -> Option<Read> {
    let mut told = Vec::new();
    let explicit = explicit(reading, table, region, &mut told)?;
    let found = match explicit.or_else(|| bearer(reading)).or_else(|| variables(reading)) {
        Some(found) => found,
        None => surroundings(reading, table, region)?,
    };
    let keys = match found {
        Found::Bearer(key) => return static_header(reading, &table.at, &key).map(|key| Read { keys: vec![key], told }),
        Found::Keys(keys) => keys,
    };
    let id = match &keys {
        AwsKeys::Fixed(key) => id(&["fixed", &key.id]),
        AwsKeys::WebIdentity { sts, role_arn, session_name, .. } => id(&["web", &sts.origin.to_string(), role_arn, session_name]),
        AwsKeys::Container { site, .. } => id(&["container", &site.origin.to_string(), &site.path_prefix]),
        AwsKeys::Instance(site) => id(&["instance", &site.origin.to_string()]),
    };
    let aws = Aws { id, region: region.to_owned(), service: service(site.origin.host().unwrap_or_default()), keys };
    Some(Read::one(super::Credential::Aws(Arc::new(aws)), told))
}

/// The service that a host's signatures name, which is not always the host's own name.
fn service(host: &str) -> &'static str {
    let first = host.split('.').next().unwrap_or_default();
    match first {
        _ if first.starts_with("bedrock-mantle") => "bedrock-mantle",
        _ if first.starts_with("aws-external-anthropic") => "aws-external-anthropic",
        _ => "bedrock",
    }
}

/// What the table itself says: `Some(None)` where it says nothing.
fn explicit(reading: &Reading<'_>, table: &Table<'_, '_>, region: &str, told: &mut Told) -> Option<Option<Found>> {
    if table.has("access_key_id") || table.has("secret_access_key") {
        for (key, other) in [("access_key_id", "secret_access_key"), ("secret_access_key", "access_key_id")] {
            if !table.has(key) {
                reading.fault(&table.spot(key), format!("is missing: {other} is of no use without it"));
            }
        }
        let (key, secret) = (table.name("access_key_id"), table.name("secret_access_key"));
        told.extend([("access_key_id", REDACTED.to_owned()), ("secret_access_key", REDACTED.to_owned())]);
        // Never the session token of the environment, which belongs to other keys.
        let session_token = match table.has("session_token") {
            true => Some(Secret::new(&table.name("session_token")?.value)),
            false => None,
        };
        told.extend(session_token.as_ref().map(|_| ("session_token", REDACTED.to_owned())));
        let (key, secret) = (key?, secret?);
        let key = AwsKey { id: key.value.trim().to_owned(), secret: Secret::new(&secret.value), session_token };
        return Some(Some(Found::Keys(AwsKeys::Fixed(key))));
    }
    if table.has("session_token") {
        reading.fault(&table.spot("session_token"), "is of no use without access_key_id and secret_access_key");
        return None;
    }
    if table.has("role_arn") || table.has("web_identity_token_file") {
        for (key, other) in [("role_arn", "web_identity_token_file"), ("web_identity_token_file", "role_arn")] {
            if !table.has(key) {
                reading.fault(&table.spot(key), format!("is missing: {other} is of no use without it"));
            }
        }
        let role = table.name("role_arn")?.value;
        let (token, shown) = named_file(reading, table, "web_identity_token_file", is_token)?;
        told.extend([("role_arn", role.clone()), ("web_identity_token_file", shown)]);
        let keys = web_identity(reading, role, &token, region).ok()?;
        return Some(Some(Found::Keys(keys)));
    }
    if table.has("profile") {
        let name = table.name("profile")?;
        told.push(("profile", name.value.clone()));
        let (path, text) = profiles(reading)?;
        let key = text.ok_or_else(|| format!("cannot be found: there is no file {path}"));
        let key = key.and_then(|text| {
            let missing = || format!("{:?} has no aws_access_key_id and aws_secret_access_key in {path}", name.value);
            profile(&text, name.value.trim()).ok_or_else(missing)
        });
        return reading.accept(&name.at, key).map(|key| Some(Found::Keys(AwsKeys::Fixed(key))));
    }
    Some(None)
}

/// Whether it is a token itself (a JWT) in the place of its file's path.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ")
}

/// A Bedrock API key wins over keys that sign, but for explicit ones.
fn bearer(reading: &Reading<'_>) -> Option<Found> {
    reading.env("AWS_BEARER_TOKEN_BEDROCK").map(Found::Bearer)
}

fn variables(reading: &Reading<'_>) -> Option<Found> {
    let (id, secret) = (reading.env("AWS_ACCESS_KEY_ID")?, reading.env("AWS_SECRET_ACCESS_KEY")?);
    let session_token = reading.env("AWS_SESSION_TOKEN").map(|token| Secret::new(&token));
    Some(Found::Keys(AwsKeys::Fixed(AwsKey { id, secret: Secret::new(&secret), session_token })))
}

/// What the place where this runs has: an identity's token, a profile, a container's agent, the machine itself.
fn surroundings(reading: &Reading<'_>, table: &Table<'_, '_>, region: &str) -> Option<Found> {
    if let (Some(path), Some(role)) = (reading.env("AWS_WEB_IDENTITY_TOKEN_FILE"), reading.env("AWS_ROLE_ARN")) {
        let keys = reading.read(&path).and_then(|token| web_identity(reading, role, &token, region));
        let named = |why| format!("the credential of AWS_WEB_IDENTITY_TOKEN_FILE {why}");
        return reading.accept(&table.at, keys.map_err(named)).map(Found::Keys);
    }
    let name = reading.env("AWS_PROFILE").unwrap_or_else(|| "default".into());
    if let Some(key) = profiles(reading).and_then(|(_, text)| profile(&text?, &name)) {
        return Some(Found::Keys(AwsKeys::Fixed(key)));
    }
    if let Some(url) = container_url(reading) {
        return container(reading, table, &url);
    }
    if reading.env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let text = "has no credential (did you mean api_key = \"env:AWS_BEARER_TOKEN_BEDROCK\", or access_key_id and secret_access_key?)";
        reading.warn(&table.at, text);
        return None;
    }
    let url = reading.env("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| "http://169.254.169.254".into());
    let site = reading.accept(&table.at, endpoint(&url).map_err(|why| format!("AWS_EC2_METADATA_SERVICE_ENDPOINT {why}")))?;
    Some(Found::Keys(AwsKeys::Instance(Box::new(site))))
}

fn web_identity(reading: &Reading<'_>, role_arn: String, token: &str, region: &str) -> Result<AwsKeys, String> {
    let session_name = reading.env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "outrider".into());
    let sts = Box::new(endpoint(&format!("https://sts.{region}.{}", aws_domain(region)))?);
    Ok(AwsKeys::WebIdentity { sts, role_arn, session_name, token: Secret::new(token) })
}

/// The file of shared credentials, where it is there.
fn profiles(reading: &Reading<'_>) -> Option<(String, Option<String>)> {
    let named = reading.env("AWS_SHARED_CREDENTIALS_FILE");
    let path = named.or_else(|| Some(format!("{}/.aws/credentials", reading.env("HOME")?)))?;
    let text = reading.read_if_there(&path);
    Some((path, text))
}

/// The static keys of a profile in a file of shared credentials, which is written as an INI file.
fn profile(text: &str, wanted: &str) -> Option<AwsKey> {
    let (mut id, mut secret, mut session_token) = (None, None, None);
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = section.trim() == wanted;
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let value = value.trim();
        match key.trim() {
            "aws_access_key_id" => id = Some(value.to_owned()),
            "aws_secret_access_key" => secret = Some(Secret::new(value)),
            "aws_session_token" => session_token = Some(Secret::new(value)),
            _ => {}
        }
    }
    Some(AwsKey { id: id?, secret: secret?, session_token })
}

fn container_url(reading: &Reading<'_>) -> Option<String> {
    let relative = reading.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
    relative.or_else(|| reading.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
}

/// The addresses of the agents of ECS and EKS: without TLS, keys are asked for nowhere else but on this machine.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

fn container(reading: &Reading<'_>, table: &Table<'_, '_>, url: &str) -> Option<Found> {
    let named = |why: String| format!("the credential of AWS_CONTAINER_CREDENTIALS_FULL_URI {why}");
    let site = reading.accept(&table.at, endpoint(url).map_err(named))?;
    let host = site.origin.host().unwrap_or_default();
    let near = AGENTS.contains(&host) || host == "localhost" || host == "[::1]" || host.starts_with("127.");
    if site.origin.scheme_str() == Some("http") && !near {
        let text = "would be asked for without TLS at another machine (expected https, or an address of this machine)".into();
        reading.fault(&table.at, named(text));
        return None;
    }
    let authorization = match reading.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(reading.accept(&table.at, reading.read(&path).map_err(named))?),
        None => reading.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let authorization = authorization.map(|token| Secret::new(&token));
    Some(Found::Keys(AwsKeys::Container { site: Box::new(site), authorization }))
}
