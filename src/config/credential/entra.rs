//! Microsoft Entra: an app's secret, a workload's identity, or the identity of the machine.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{Entra, EntraGrant, REDACTED, Read, Site, endpoint, id, sensitive};
use crate::base::Secret;
use crate::config::file::{Reading, Table};

/// Reads the keys of the table, else the variables that Azure's SDKs read. `None` after a fault.
pub(super) fn read(reading: &Reading<'_>, table: &Table<'_, '_>, site: &Site) -> Option<Read> {
    let mut told = Vec::new();
    let text = |key: &'static str| match table.has(key) {
        true => table.name(key).map(|text| Some(text.value)),
        false => Some(None),
    };
    let (tenant, client, secret) = (text("tenant_id")?, text("client_id")?, text("client_secret")?);
    told.extend([("tenant_id", &tenant), ("client_id", &client)].into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    told.extend(secret.as_ref().map(|_| ("client_secret", REDACTED.to_owned())));
    let explicit = secret.is_some();
    let tenant = tenant.or_else(|| reading.env("AZURE_TENANT_ID"));
    let client_id = client.or_else(|| reading.env("AZURE_CLIENT_ID"));
    let secret = secret.or_else(|| reading.env("AZURE_CLIENT_SECRET"));
    let scope = scope(site.origin.host().unwrap_or_default());
    let (endpoint, grant) = match (tenant, client_id) {
        (Some(tenant), Some(client_id)) if secret.is_some() => {
            let secret = Secret::new(&secret.unwrap_or_default());
            (authority(reading, table, &tenant)?, EntraGrant::Secret { client_id, secret })
        }
        _ if explicit => {
            let text = "is of no use without tenant_id and client_id (the Entra tenant, and the app's id)";
            reading.fault(&table.spot("client_secret"), text);
            return None;
        }
        (Some(tenant), Some(client_id)) if reading.env("AZURE_FEDERATED_TOKEN_FILE").is_some() => {
            let path = reading.env("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default();
            let token = reading.read(&path).map_err(|why| format!("the credential of AZURE_FEDERATED_TOKEN_FILE {why}"));
            let assertion = Secret::new(&reading.accept(&table.at, token)?);
            (authority(reading, table, &tenant)?, EntraGrant::Assertion { client_id, assertion })
        }
        (_, client_id) => managed(reading, table, scope, client_id.as_deref())?,
    };
    let who = match &grant {
        EntraGrant::Secret { client_id, .. } | EntraGrant::Assertion { client_id, .. } => client_id.as_str(),
        EntraGrant::Managed(_) => endpoint.query.as_deref().unwrap_or_default(),
    };
    let id = id(&["entra", &endpoint.origin.to_string(), &endpoint.path_prefix, scope, who]);
    let entra = Entra { id, site: endpoint, scope, grant };
    Some(Read::one(super::Credential::Entra(Arc::new(entra)), told))
}

/// What a token must be for: the hosts of Foundry ask for another than the older ones.
fn scope(host: &str) -> &'static str {
    match host.ends_with(".services.ai.azure.com") {
        true => "https://ai.azure.com/.default",
        false => "https://cognitiveservices.azure.com/.default",
    }
}

fn authority(reading: &Reading<'_>, table: &Table<'_, '_>, tenant: &str) -> Option<Site> {
    let sound = !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if !sound {
        reading.fault(&table.spot("tenant_id"), "is no tenant: expected its id or domain");
        return None;
    }
    let host = reading.env("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com".into());
    let url = format!("{}/{tenant}/oauth2/v2.0/token", host.trim_end_matches('/'));
    reading.accept(&table.at, endpoint(&url).map_err(|why| format!("the URL of AZURE_AUTHORITY_HOST {why}")))
}

/// The identity of the machine: of an app service or a container app by its variables, else of a virtual machine.
fn managed(reading: &Reading<'_>, table: &Table<'_, '_>, scope: &str, client_id: Option<&str>) -> Option<(Site, EntraGrant)> {
    let resource = scope.trim_end_matches("/.default");
    let client = client_id.map(|id| format!("&client_id={id}")).unwrap_or_default();
    let (url, version, header) = match (reading.env("IDENTITY_ENDPOINT"), reading.env("IDENTITY_HEADER")) {
        (Some(url), Some(secret)) => (url, "2019-08-01", (HeaderName::from_static("x-identity-header"), sensitive(&secret)?)),
        _ => (
            "http://169.254.169.254/metadata/identity/oauth2/token".into(),
            "2018-02-01",
            (HeaderName::from_static("metadata"), HeaderValue::from_static("true")),
        ),
    };
    let url = format!("{}?api-version={version}&resource={resource}{client}", url.trim_end_matches('/'));
    let site = reading.accept(&table.at, endpoint(&url).map_err(|why| format!("the URL of IDENTITY_ENDPOINT {why}")))?;
    Some((site, EntraGrant::Managed(header)))
}
