//! LISTs that are bounded in bytes, so that large objects of tenants cannot fill the memory of a replica, and that
//! continue from the same page after an error. For reviews, also GETs that are repeated. Writes are never repeated.
//!
//! kube's watcher asks for pages by number of objects, however large they are, and starts a list over if one page
//! fails. With many Jobs and an API server that sometimes fails, it never finishes. So this is a layer below its
//! client.

use std::collections::HashMap;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, Request, Response, Uri, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::runtime::watcher::DefaultBackoff;
use kube::{Client, Error};
use tokio::sync::Semaphore;
use tokio::time::{self, error::Elapsed};

use super::{Unread, root};

/// Most bytes of a page with a single object: etcd accepts 1.5 MiB for one, and JSON may take six bytes for one of
/// these.
const OBJECT: usize = 10 << 20;
const PATHS: usize = 64;

/// The bounds of background work. Its retries for a page take two to four minutes; after five minutes the API server
/// forgets the token (`--etcd-compaction-interval`), and the list has to start over. Watches, scans and the pods of
/// eight runs may all be listed at once. Parsed JSON takes several times as much as a page, and a replica has 128 MiB.
const PATIENT: Bounds = Bounds {
    page: 1 << 20,
    at_once: 4,
    tries: 8,
    first_tries: 0,
    time: Duration::from_secs(60),
};
/// The bounds of reviews, which have only seconds.
const PROMPT: Bounds = Bounds {
    page: 2 << 20,
    at_once: 8,
    tries: 2,
    first_tries: 1,
    time: Duration::from_secs(60),
};

#[derive(Clone, Copy)]
struct Bounds {
    page: usize,
    /// Most pages whose bytes are read at the same time.
    at_once: usize,
    /// How often a page is read again after a transient error, if earlier pages would be lost.
    tries: usize,
    /// How often a first page or an object is read again. Without it, objects are read unbounded.
    first_tries: usize,
    time: Duration,
}

/// Wraps a client so that its LISTs are bounded and retried, for background work.
#[must_use]
pub(crate) fn patient(client: &Client) -> Client {
    with(client.clone(), PATIENT, DefaultBackoff::default)
}

/// [`patient`] for a caller that limits the time for each page itself.
#[must_use]
pub(crate) fn patient_untimed(client: Client) -> Client {
    let bounds = Bounds {
        time: Duration::MAX,
        ..PATIENT
    };
    with(client, bounds, DefaultBackoff::default)
}

/// [`patient`] for reviews: they soon report that the API server is busy.
pub(in crate::cluster) fn prompt(client: Client) -> Client {
    with(client, PROMPT, || iter::repeat(Duration::from_millis(100)))
}

/// A client with these bounds, and these pauses between the retries for a page.
fn with<P>(client: Client, bounds: Bounds, pauses: fn() -> P) -> Client
where
    P: Iterator<Item = Duration> + Send + 'static,
{
    let namespace = client.default_namespace().to_owned();
    let reader = Arc::new(Reader {
        client,
        bounds,
        seats: Semaphore::new(bounds.at_once),
        limits: Mutex::default(),
    });
    let service = tower::service_fn(move |request: Request<Body>| {
        let reader = Arc::clone(&reader);
        async move {
            let (parts, body) = request.into_parts();
            match Listing::of(&parts, bounds.first_tries > 0) {
                Some(listing) => reader.page(&listing, pauses()).await,
                None => reader.client.send(Request::from_parts(parts, body)).await,
            }
        }
    });
    Client::new(service, namespace)
}

/// A request for one page of a list, or for one object.
struct Listing {
    parts: Parts,
    /// The number of objects that the caller asked for.
    limit: u32,
    /// Whether there are earlier pages, which would have to be read again.
    continues: bool,
}

impl Listing {
    /// `None` for any other request.
    fn of(parts: &Parts, with_objects: bool) -> Option<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(found, value)| (found == key).then_some(value))
        };
        if parts.method != Method::GET || value("watch").is_some() {
            return None;
        }
        Some(Self {
            parts: parts.clone(),
            limit: match value("limit") {
                Some(limit) => limit.parse().ok()?,
                None if with_objects => 1,
                None => return None,
            },
            continues: value("continue").is_some_and(|token| !token.is_empty()),
        })
    }

    fn request(&self, limit: u32) -> Result<Request<Body>, Error> {
        let query = self.parts.uri.query().unwrap_or_default().split('&');
        let query: Vec<_> = query
            .map(|pair| match pair.split_once('=') {
                Some(("limit", _)) => format!("limit={limit}"),
                _ => pair.to_owned(),
            })
            .collect();
        let path = format!("{}?{}", self.parts.uri.path(), query.join("&"));
        let mut uri = self.parts.uri.clone().into_parts();
        let path = PathAndQuery::try_from(path).map_err(|error| Error::HttpError(error.into()))?;
        uri.path_and_query = Some(path);
        let uri = Uri::from_parts(uri).map_err(|error| Error::HttpError(error.into()))?;
        let mut parts = self.parts.clone();
        parts.uri = uri;
        Ok(Request::from_parts(parts, Body::empty()))
    }
}

struct Reader {
    client: Client,
    bounds: Bounds,
    seats: Semaphore,
    /// By path, how many objects fit on a page, if that is fewer than the caller asks for. The API server reads all
    /// requested objects before it sends the first byte.
    limits: Mutex<HashMap<String, u32>>,
}

impl Reader {
    /// The page, with fewer objects if they are too large together. A transient error does not end a list that has
    /// begun. An expired token does, and the caller starts over.
    async fn page(
        &self,
        listing: &Listing,
        pauses: impl Iterator<Item = Duration>,
    ) -> Result<Response<Body>, Error> {
        let path = listing.parts.uri.path();
        let mut limit = self.limit(path).unwrap_or(listing.limit).min(listing.limit);
        let mut pauses = pauses.take(if listing.continues {
            self.bounds.tries
        } else {
            self.bounds.first_tries
        });
        loop {
            let read = match self.read(listing, limit).await {
                Ok(Read::TooLarge) if limit > 1 => {
                    limit = (limit / 4).max(1);
                    self.learn(path, limit);
                    continue;
                }
                Ok(Read::TooLarge) => {
                    let much = format!("an object has more than {} MiB", OBJECT >> 20);
                    return Err(Error::Service(Unread(much).into()));
                }
                Ok(Read::Page(page, bytes)) => {
                    let is_small = page.status().is_success() && bytes < self.bounds.page / 4;
                    if is_small && limit < listing.limit {
                        self.learn(path, limit * 2);
                    }
                    Ok(page)
                }
                Err(error) => Err(error),
            };
            let error = match &read {
                Ok(page) if !is_passing(page.status().as_u16()) => return read,
                Ok(page) => page.status().to_string(),
                Err(error) => root(error),
            };
            let Some(pause) = pauses.next() else {
                return read;
            };
            tracing::warn!(path, error, "failed to read from the API server, retrying");
            time::sleep(pause).await;
        }
    }

    /// One try. A request that waits for its answer needs no seat: the API server answers consistent LISTs every 100 ms.
    async fn read(&self, listing: &Listing, limit: u32) -> Result<Read, Error> {
        let late = |late: Elapsed| Error::Service(late.into());
        let most = if limit == 1 { OBJECT } else { self.bounds.page };
        let answer = self.client.send(listing.request(limit)?);
        let answer = time::timeout(self.bounds.time, answer).await;
        let (parts, body) = answer.map_err(late)??.into_parts();
        // The semaphore is never closed.
        let _seat = self.seats.acquire().await;
        let body = Limited::new(body, most).collect();
        match time::timeout(self.bounds.time, body).await.map_err(late)? {
            Ok(read) => {
                let read = read.to_bytes();
                let bytes = read.len();
                let page = Response::from_parts(parts, Body::from(read));
                Ok(Read::Page(page, bytes))
            }
            Err(error) if error.is::<LengthLimitError>() => Ok(Read::TooLarge),
            Err(error) => Err(Error::Service(Unread(root(&*error)).into())),
        }
    }

    fn limit(&self, path: &str) -> Option<u32> {
        self.limits().get(path).copied()
    }

    fn learn(&self, path: &str, limit: u32) {
        let mut limits = self.limits();
        // A cluster may have any number of namespaces.
        if limits.len() >= PATHS {
            limits.clear();
        }
        limits.insert(path.to_owned(), limit);
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Read {
    /// The answer, and its size in bytes.
    Page(Response<Body>, usize),
    TooLarge,
}

/// Whether the error is transient, so that the same request may succeed soon.
pub(super) fn is_passing(code: u16) -> bool {
    matches!(code, 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests;
