//! Credentials at work: the header, the token or the signature that a request goes out with.
//!
//! A key that never changes costs nothing but its header. Tokens and temporary keys are kept for the whole process, by
//! credential, and refreshed before they expire by one task while the old one still serves (`kept`). What they are and
//! where they are to be had is data of `config`; nothing here reads a variable or a file.

mod aws;
mod entra;
mod fetch;
mod google;
mod jwt;
mod kept;
mod sigv4;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};

use crate::base::body::Body;
use crate::base::clock::{self, WallClock};
use crate::base::{Fault, Secret};
use crate::config::{Aws, AwsKey, AwsKeys, Credential, Google, Place, Provider};
use crate::upstream::Upstream;
use fetch::Failure;
use kept::Kept;

/// How many credentials' tokens are kept. A policy has a handful; each reload may bring others.
const KEPT_MAX: usize = 256;

/// What a request is authorised with, where it is not the same each time.
pub(crate) enum Token {
    /// A bearer token, as its header.
    Bearer(HeaderValue, Secret),
    /// Temporary keys, which sign.
    Key(AwsKey),
}

/// The tokens of one process.
pub struct Credentials {
    wall: Arc<dyn WallClock>,
    kept: Mutex<HashMap<u64, Arc<Kept>>>,
}

impl Credentials {
    /// None yet. `wall` dates signatures.
    pub fn new(wall: Arc<dyn WallClock>) -> Self {
        Self { wall, kept: Mutex::default() }
    }

    /// Puts one of a provider's keys, by its place among them, on a request that is complete otherwise: nothing of it may change
    /// any more. Returns the secret that it now carries, to be removed from whatever the provider echoes.
    ///
    /// # Errors
    /// No token can be had at the moment; another target may answer.
    pub async fn authorize(
        &self,
        upstream: &Arc<Upstream>,
        provider: &Provider,
        key: usize,
        request: &mut Request<Body>,
        body: &[u8],
    ) -> Result<Option<Secret>, Fault> {
        let key = provider.key(key);
        match &key.credential {
            Credential::None => return Ok(None),
            Credential::Header(name, value) => {
                request.headers_mut().insert(name.clone(), value.clone());
                return Ok(key.secret.clone());
            }
            Credential::Aws(aws) => {
                if let AwsKeys::Fixed(fixed) = &aws.keys {
                    return self.sign(request, body, provider, aws, fixed);
                }
            }
            Credential::Entra(_) | Credential::Google(_) => {}
        }
        // Boxed, being rare and larger than the rest.
        let token = Box::pin(self.token(upstream, provider, &key.credential)).await?;
        match (&*token, &key.credential) {
            (Token::Key(key), Credential::Aws(aws)) => self.sign(request, body, provider, aws, key),
            (Token::Key(_), _) => Err(Fault::internal("keys of AWS where a token was asked for")),
            (Token::Bearer(header, secret), credential) => {
                request.headers_mut().insert(AUTHORIZATION, header.clone());
                if let Credential::Google(google) = credential {
                    charge(request, google);
                }
                Ok(Some(secret.clone()))
            }
        }
    }

    /// Takes note that the provider did not accept what it was sent: tokens may be withdrawn before they expire. One
    /// that is not brand-new is given up, so that the next request waits for another.
    pub fn refused(&self, provider: &Provider) {
        for id in provider.keys.iter().filter_map(|key| id(&key.credential)) {
            if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
                kept.give_up(clock::now());
            }
        }
    }

    fn sign(
        &self,
        request: &mut Request<Body>,
        body: &[u8],
        provider: &Provider,
        aws: &Aws,
        key: &AwsKey,
    ) -> Result<Option<Secret>, Fault> {
        let Place::Http(site) = &provider.place else { return Ok(None) };
        let host = site.host.clone().ok_or_else(|| Fault::internal("a site without a host"))?;
        sigv4::sign(request, body, host, key, &aws.region, aws.service, self.wall.now()).map_err(Fault::internal)?;
        Ok(key.session_token.clone())
    }

    async fn token(&self, upstream: &Arc<Upstream>, provider: &Provider, credential: &Credential) -> Result<Arc<Token>, Fault> {
        let kept = self.kept(id(credential).unwrap_or_default());
        let begin = || fetch(Arc::clone(upstream), credential.clone(), Arc::clone(&self.wall));
        kept.token(begin).await.map_err(|failure| fault(provider, credential, failure))
    }

    /// The place of one credential's token.
    fn kept(&self, id: u64) -> Arc<Kept> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX && !all.contains_key(&id) {
            let now = clock::now();
            all.retain(|_, kept| kept.serves(now));
            if all.len() >= KEPT_MAX {
                all.clear();
            }
        }
        Arc::clone(all.entry(id).or_default())
    }
}

fn id(credential: &Credential) -> Option<u64> {
    match credential {
        Credential::None | Credential::Header(..) => None,
        Credential::Aws(aws) => Some(aws.id),
        Credential::Entra(entra) => Some(entra.id),
        Credential::Google(google) => Some(google.id),
    }
}

async fn fetch(upstream: Arc<Upstream>, credential: Credential, wall: Arc<dyn WallClock>) -> Result<kept::Fetched, Failure> {
    match &credential {
        Credential::Aws(aws) => aws::fetch(&upstream, &aws.keys, wall.now()).await,
        Credential::Entra(entra) => entra::fetch(&upstream, entra).await,
        Credential::Google(google) => google::fetch(&upstream, google, wall.now()).await,
        Credential::None | Credential::Header(..) => Err(Failure::unreadable("nothing is to be had for this credential")),
    }
}

/// Names the project that pays, unless the configuration does.
fn charge(request: &mut Request<Body>, google: &Google) {
    const PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
    if let Some(project) = &google.quota_project
        && !request.headers().contains_key(PROJECT)
    {
        request.headers_mut().insert(PROJECT, project.clone());
    }
}

fn fault(provider: &Provider, credential: &Credential, failure: Failure) -> Fault {
    let text = format!("{} cannot be asked: Outrider got no credential for it. Its log has the cause.", provider.name);
    let cause = format!("no {}: {}", credential.label(), failure.cause);
    Fault::upstream(failure.kind, text).cause(cause).after(failure.again_in)
}
