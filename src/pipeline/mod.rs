//! The line: one function, read from top to bottom, from an app's request to its answer.

mod account;
mod admission;
mod answer;
mod attempt;
mod embed;
mod explain;
mod funds;
mod good;
mod held;
mod ingress;
mod layout;
mod models;
mod one_try;
mod opaque;
mod outbound;
mod passing;
mod race;
mod ratelimit;
mod relay;
mod routing;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;

pub use account::Account;
pub use explain::explain;
pub use held::Held;
pub use routing::order;
pub use snapshot::{Route, Snapshot, Stores};

use crate::base::body::Body;
use crate::base::clock::{self, WallClock};
use crate::base::drain::Drain;
use crate::base::rng::RootRng;
use crate::base::{Fault, FaultKind, Origin};
use crate::credential::Credentials;
use crate::dialect::Losses;
use crate::ir::{Dialect, Operation};
use crate::journal::Recovered;
use crate::quota::Moment;
use crate::upstream::Upstream;
use admission::Subject;
use answer::{Refusal, Told};
use attempt::Payer;
use funds::Upper;
use good::{Content, Good};
use routing::Asker;

/// The longest window of a limit is a month, and its zone may be a day off.
const WINDOW_MAX: Duration = Duration::from_secs(33 * 86_400);

/// How many headers of our own an answer has, mostly.
const OWN_HEADERS: usize = 12;

/// Where time and chance enter. The network enters through each worker's [`Upstream`].
pub struct Env {
    /// Stamps.
    pub wall: Arc<dyn WallClock>,
    /// Chance.
    pub rng: RootRng,
}

/// What all workers share.
pub struct Shared {
    /// Time and chance.
    pub env: Env,
    /// The policy in force.
    pub snapshot: tokio::sync::watch::Sender<Arc<Snapshot>>,
    /// What outlives it.
    pub stores: Stores,
    /// The tokens that providers are asked with.
    pub credentials: Credentials,
    /// The way down.
    pub drain: Drain,
}

impl Shared {
    /// Now, on both clocks.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: clock::now(), wall: self.env.wall.now() }
    }

    /// Puts back what earlier processes spent in the windows of limits that are still running.
    pub fn restore(&self, recovered: &Recovered) {
        let at = self.moment();
        let limits = Arc::clone(&self.snapshot.borrow().limits);
        for spent in recovered.since(at.wall - WINDOW_MAX) {
            admission::restore(&limits, &spent, at);
        }
    }
}

/// One worker's line.
#[derive(Clone)]
pub struct Pipeline {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// This worker's way to the providers.
    pub upstream: Arc<Upstream>,
}

impl Pipeline {
    /// Answers one request. Dropping the future means that the app went away: everything under way for it is dropped too.
    pub async fn serve<B>(&self, inbound: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::error::Error + 'static,
    {
        let (head, body) = inbound.into_parts();
        if let Some(response) = sign_of_life(&head) {
            return response;
        }
        let snapshot = Arc::clone(&self.shared.snapshot.borrow());
        let mut account = self.open_account();
        account.takes_trailers = answer::takes_trailers(&head.headers);
        let endpoint = match self.enter(&head) {
            Ok(endpoint) => endpoint,
            Err(fault) => {
                let allow = (fault.kind == FaultKind::MethodNotAllowed).then(|| ingress::allowed(&head)).flatten();
                let mut response = self.refused(fault.into(), ingress::likely_dialect(&head), account, &snapshot);
                if allow.is_some() && opaque::is_handshake(&head) {
                    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
                    response.headers_mut().extend([opaque::UPGRADE_REQUIRED]);
                }
                response.headers_mut().extend(allow.map(|method| (http::header::ALLOW, method)));
                return response;
            }
        };
        account.record.operation = Some(endpoint.operation);
        account.record.dialect = Some(endpoint.dialect);
        let mut dialect = endpoint.dialect;
        let key = match snapshot.keys.caller(&head.headers, head.uri.query(), self.shared.env.wall.now()) {
            Ok(key) => key,
            Err(refused) => return self.refused(refused.fault().into(), dialect, account, &snapshot),
        };
        account.record.key = key.as_ref().map(|caller| Arc::clone(&caller.key));
        let mut asker = Asker::of(self, &snapshot, &head.headers, key.as_ref());
        let exchanged = match endpoint.operation {
            Operation::Models => Box::pin(self.list_models(&snapshot, dialect, &head, &asker, &mut account)).await,
            Operation::Opaque => {
                dialect = opaque::dialect(&snapshot, &head).unwrap_or(dialect);
                account.record.dialect = Some(dialect);
                Box::pin(opaque::forward(self, &snapshot, dialect, head, body, &asker, &mut account)).await
            }
            _ => self.exchange(endpoint, head, body, &snapshot, &mut asker, &mut account).await,
        };
        match exchanged {
            Ok(good) => self.answered(good, dialect, account, &snapshot),
            Err(refusal) => self.refused(refusal, dialect, account, &snapshot),
        }
    }

    /// ingress → route → admission → attempts; what comes back is told by the caller of this function.
    async fn exchange<B>(
        &self,
        endpoint: ingress::Endpoint,
        head: Parts,
        body: B,
        snapshot: &Snapshot,
        asker: &mut Asker<'_>,
        account: &mut Account,
    ) -> Result<Good, Refusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let stores = &self.shared.stores;
        let mut call = ingress::receive(endpoint, head, body, &stores.bounds, stores.held.open()).await?;
        asker.reads(&call).map_err(|refused| refused.fault())?;
        account.record.receiving = clock::now().duration_since(account.record.started);
        account.record.request_bytes = call.body.len() as u64;
        account.record.stream = call.stream;
        let subject = Subject::of(&self.shared, &snapshot.limits, asker, call.endpoint.operation);
        let routed = admission::admit(self, snapshot, &call, &subject, account).await?;
        account.record.model = Some(Arc::clone(&routed.route.name));
        account.record.rule = routed.rule.clone();
        if let Some(counted) = models::count_tokens_here(&call, &routed.route)? {
            return Ok(counted);
        }
        let payer = Payer { limits: &snapshot.limits, subject: &subject };
        attempt::first_good(self, &mut call, &routed, payer, account).await
    }

    async fn list_models(
        &self,
        snapshot: &Snapshot,
        dialect: Dialect,
        head: &Parts,
        asker: &Asker<'_>,
        account: &mut Account,
    ) -> Result<Good, Refusal> {
        let subject = Subject::of(&self.shared, &snapshot.limits, asker, Operation::Models);
        let payer = Payer { limits: &snapshot.limits, subject: &subject };
        admission::admit_unread(&self.shared, payer, dialect, "".into(), Upper::default(), None, account).await?;
        Ok(models::list(self, snapshot, dialect, head, asker.key).await?)
    }

    /// What is refused before a byte of the body is read.
    fn enter(&self, head: &Parts) -> Result<ingress::Endpoint, Fault> {
        let stores = &self.shared.stores;
        if stores.exchanges.load(Ordering::Relaxed) > stores.bounds.exchanges_max {
            let text = "Outrider has as many requests in flight as it may (`bounds.exchanges_max`); try again.";
            let fault = Fault::new(FaultKind::Overloaded, Origin::Gateway, text);
            return Err(fault.after(Some(std::time::Duration::from_secs(1))));
        }
        ingress::endpoint(head)
    }

    fn open_account(&self) -> Box<Account> {
        let id = self.shared.env.rng.fork().exchange_id();
        Account::open(id, clock::now(), Arc::clone(&self.shared))
    }

    fn answered(&self, mut good: Good, caller: Dialect, mut account: Box<Account>, snapshot: &Snapshot) -> Response<Body> {
        account.record.status = Some(good.status.as_u16());
        account.record.losses = good.losses.names().len();
        if matches!(good.content, Content::Whole(..)) && account.record.usage.input_tokens.is_some() {
            account.charge();
        }
        let told = Told {
            id: account.record.id,
            target: account.target.as_ref(),
            attempts: account.record.attempts,
            cost: account.record.cost,
            degraded: account.degraded(),
            losses: &good.losses,
            policy: Some(&snapshot.version),
        };
        good.headers.reserve(OWN_HEADERS);
        answer::tell(&mut good.headers, &told);
        if let Some(left) = account.left() {
            ratelimit::tell(&mut good.headers, caller, left, self.shared.env.wall.now());
        }
        if account.takes_trailers && matches!(good.content, Content::Stream(_)) {
            answer::announce_trailers(&mut good.headers);
        }
        good.respond(account, self)
    }

    fn refused(&self, refusal: Refusal, caller: Dialect, mut account: Box<Account>, snapshot: &Snapshot) -> Response<Body> {
        let fault = refusal.fault.clone();
        let told = Told {
            id: account.record.id,
            target: account.target.as_ref(),
            attempts: account.record.attempts,
            cost: account.record.cost,
            degraded: account.degraded(),
            losses: &Losses::default(),
            policy: Some(&snapshot.version),
        };
        let response = answer::refuse(refusal, caller, &told);
        account.record.status = Some(response.status().as_u16());
        account.fail(&fault);
        response
    }

    /// Refuses a request that the edge did not let in. It never was an exchange with a model, but it is told like one.
    pub fn refuse(&self, head: &Parts, fault: Fault) -> Response<Body> {
        let snapshot = Arc::clone(&self.shared.snapshot.borrow());
        self.refused(fault.into(), ingress::likely_dialect(head), self.open_account(), &snapshot)
    }
}

/// Clients knock before they speak (`HEAD /`, Claude Code's `HEAD /api/hello`): answered at once, and no exchange.
fn sign_of_life(head: &Parts) -> Option<Response<Body>> {
    let knocks = matches!(head.uri.path(), "/" | "/v1" | "/v1/" | "/api/hello") && matches!(head.method, Method::HEAD | Method::GET);
    knocks.then(|| answer::respond(StatusCode::OK, HeaderMap::new(), Body::Empty))
}
