//! Temporary keys of AWS: from the token service, a container's agent, or a virtual machine's metadata.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::Token;
use super::fetch::{Ask, Failure, bounded, element};
use super::kept::Fetched;
use crate::base::json::Raw;
use crate::base::{FaultKind, Secret};
use crate::config::{AwsKey, AwsKeys, Site};
use crate::upstream::Upstream;

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// Fetches keys.
pub(super) async fn fetch(upstream: &Upstream, keys: &AwsKeys, now: SystemTime) -> Result<Fetched, Failure> {
    match keys {
        AwsKeys::Fixed(_) => Err(Failure::unreadable("fixed keys are not fetched")),
        AwsKeys::WebIdentity { sts, role_arn, session_name, token } => {
            let ask = Ask::form(
                sts,
                &[
                    ("Action", "AssumeRoleWithWebIdentity"),
                    ("Version", "2011-06-15"),
                    ("RoleArn", role_arn),
                    ("RoleSessionName", session_name),
                    ("WebIdentityToken", token.reveal()),
                ],
            );
            let body = ask.send(upstream).await?;
            of_xml(&body, now)
        }
        AwsKeys::Container { site, authorization } => {
            let ask = match authorization {
                Some(token) => Ask::get(site).with_secret(AUTHORIZATION, token.reveal())?,
                None => Ask::get(site),
            };
            of_json(&ask.send(upstream).await?, now)
        }
        AwsKeys::Instance(site) => instance(upstream, site, now).await,
    }
}

/// Version 2 of the metadata service: a token of its own first, then the role's name, then its keys.
async fn instance(upstream: &Upstream, site: &Site, now: SystemTime) -> Result<Fetched, Failure> {
    const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
    let token = Ask::put(site).at("/latest/api/token").with(TTL, HeaderValue::from_static("21600")).send(upstream).await?;
    let token = std::str::from_utf8(&token).unwrap_or_default().trim();
    let roles = Ask::get(site).at(ROLES).with_secret(TOKEN, token)?.send(upstream).await?;
    let role = std::str::from_utf8(&roles).unwrap_or_default().lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(Failure::new(FaultKind::Unauthenticated, "the instance has no role"));
    }
    let keys = Ask::get(site).at(&format!("{ROLES}{role}")).with_secret(TOKEN, token)?.send(upstream).await?;
    of_json(&keys, now)
}

/// Keys as the agents and the metadata service tell them.
fn of_json(body: &[u8], now: SystemTime) -> Result<Fetched, Failure> {
    let raw = Raw::parse(body).map_err(|error| Failure::unreadable(format!("the answer is not JSON: {error}")))?;
    let text = |name: &str| raw.member(name).and_then(Raw::string).filter(|text| !text.is_empty());
    if let Some(code) = text("Code").filter(|code| code != "Success") {
        return Err(Failure::new(FaultKind::Unauthenticated, format!("the answer is {code}")));
    }
    keys(text("AccessKeyId").as_deref(), text("SecretAccessKey").as_deref(), text("Token").as_deref(), text("Expiration").as_deref(), now)
}

/// Keys as the token service tells them.
fn of_xml(body: &[u8], now: SystemTime) -> Result<Fetched, Failure> {
    let text = std::str::from_utf8(body).map_err(|error| Failure::unreadable(format!("the answer is not text: {error}")))?;
    let named = |name| element(text, name);
    keys(named("AccessKeyId"), named("SecretAccessKey"), named("SessionToken"), named("Expiration"), now)
}

fn keys(
    id: Option<&str>,
    secret: Option<&str>,
    session_token: Option<&str>,
    expiration: Option<&str>,
    now: SystemTime,
) -> Result<Fetched, Failure> {
    let (Some(id), Some(secret)) = (id, secret) else {
        return Err(Failure::unreadable("the answer has no AccessKeyId and SecretAccessKey"));
    };
    let lifetime = match expiration.map(humantime::parse_rfc3339_weak) {
        None => None,
        Some(Ok(at)) => Some(at.duration_since(now).unwrap_or(Duration::ZERO)),
        Some(Err(error)) => return Err(Failure::unreadable(format!("the answer's Expiration is no time: {error}"))),
    };
    if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        return Err(Failure::new(FaultKind::Unauthenticated, "the keys that were given have expired, or this machine's clock is wrong"));
    }
    let key = AwsKey { id: id.to_owned(), secret: Secret::new(secret), session_token: session_token.map(Secret::new) };
    Ok(Fetched { token: Token::Key(key), lifetime: bounded(lifetime) })
}
