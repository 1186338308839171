//! Tokens of Google.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::Token;
use super::fetch::{Ask, Failure, bearer, bearer_of};
use super::jwt;
use super::kept::Fetched;
use crate::base::json::{self, Raw};
use crate::config::{Google, GoogleSource, Site};
use crate::upstream::Upstream;

/// What tokens are for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The longest that Google takes.
const ASSERTION_SECONDS: u64 = 3600;

/// Fetches a token.
pub(super) async fn fetch(upstream: &Upstream, google: &Google, now: SystemTime) -> Result<Fetched, Failure> {
    match &google.source {
        GoogleSource::ServiceAccount { site, audience, email, key_id, key } => {
            let issued = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let mut claims = Vec::with_capacity(256);
            json::object(&mut claims, |o| {
                o.string("iss", email);
                o.string("scope", SCOPE);
                o.string("aud", audience);
                o.u64("iat", issued);
                o.u64("exp", issued + ASSERTION_SECONDS);
            });
            let assertion = jwt::sign(key.reveal(), key_id.as_deref(), &claims).map_err(Failure::unreadable)?;
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            bearer(&Ask::form(site, &[grant, ("assertion", &assertion)]).send(upstream).await?)
        }
        GoogleSource::AuthorizedUser { site, client_id, client_secret, refresh_token } => {
            let ask = Ask::form(
                site,
                &[
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.reveal()),
                    ("refresh_token", refresh_token.reveal()),
                ],
            );
            bearer(&ask.send(upstream).await?)
        }
        GoogleSource::External { site, audience, subject_token_type, subject_token, impersonation } => {
            let ask = Ask::form(
                site,
                &[
                    ("grant_type", EXCHANGE),
                    ("audience", audience),
                    ("scope", SCOPE),
                    ("requested_token_type", ACCESS_TOKEN),
                    ("subject_token", subject_token.reveal()),
                    ("subject_token_type", subject_token_type),
                ],
            );
            let exchanged = bearer(&ask.send(upstream).await?)?;
            match impersonation {
                Some(account) => impersonate(upstream, account, exchanged, now).await,
                None => Ok(exchanged),
            }
        }
        GoogleSource::Metadata(site) => {
            let flavor = HeaderName::from_static("metadata-flavor");
            bearer(&Ask::get(site).with(flavor, HeaderValue::from_static("Google")).send(upstream).await?)
        }
    }
}

/// Trades a token of the identity pool for one of a service account.
async fn impersonate(upstream: &Upstream, account: &Site, exchanged: Fetched, now: SystemTime) -> Result<Fetched, Failure> {
    let Token::Bearer(_, token) = exchanged.token else {
        return Err(Failure::unreadable("the exchange gave no bearer token"));
    };
    let mut body = Vec::with_capacity(128);
    json::object(&mut body, |o| {
        o.array("scope", |a| a.string(SCOPE));
        o.string("lifetime", "3600s");
    });
    let ask = Ask::json(account, body).with_secret(AUTHORIZATION, &format!("Bearer {}", token.reveal()))?;
    let body = ask.send(upstream).await?;
    let raw = Raw::parse(&body).map_err(|error| Failure::unreadable(format!("the answer is not JSON: {error}")))?;
    let text = |name: &str| raw.member(name).and_then(Raw::string);
    let token = text("accessToken").ok_or_else(|| Failure::unreadable("the answer has no accessToken"))?;
    let expires = text("expireTime").and_then(|time| humantime::parse_rfc3339_weak(&time).ok());
    bearer_of(&token, expires.map(|at| at.duration_since(now).unwrap_or(Duration::ZERO)))
}
