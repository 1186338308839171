//! Tokens of Microsoft Entra.

use super::fetch::{Ask, Failure, bearer};
use super::kept::Fetched;
use crate::config::{Entra, EntraGrant};
use crate::upstream::Upstream;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Fetches a token.
pub(super) async fn fetch(upstream: &Upstream, entra: &Entra) -> Result<Fetched, Failure> {
    let grant = [("grant_type", "client_credentials"), ("scope", entra.scope)];
    let ask = match &entra.grant {
        EntraGrant::Secret { client_id, secret } => {
            let [grant, scope] = grant;
            Ask::form(&entra.site, &[grant, scope, ("client_id", client_id), ("client_secret", secret.reveal())])
        }
        EntraGrant::Assertion { client_id, assertion } => {
            let [grant, scope] = grant;
            let (kind, assertion) = (("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.reveal()));
            Ask::form(&entra.site, &[grant, scope, ("client_id", client_id), kind, assertion])
        }
        EntraGrant::Managed((name, value)) => Ask::get(&entra.site).with(name.clone(), value.clone()),
    };
    bearer(&ask.send(upstream).await?)
}
