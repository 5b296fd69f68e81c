//! One page of a LIST as text, bounded in bytes, so that large objects of tenants cannot fill the memory of a replica.
//!
//! For reviews. [`super::patient`] does the same for background work, with more retries.

use std::time::Duration;

use axum::http;
use futures_util::AsyncReadExt;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Error};
use tokio::time;

use super::patient::is_passing;

/// Most bytes of a page. A hundred Jobs of the usual 7 KB are well below.
const PAGE: u64 = 4 << 20;
/// Most bytes of a page with a single object: etcd accepts 1.5 MiB for one, and JSON may take six bytes for one of
/// these.
const OBJECT: u64 = 10 << 20;

/// Retries for a page, and the pause between two: a review has only seconds.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The page for these parameters. If it has too many bytes, this and the following pages have only a fraction of the
/// objects. A transient error does not end a list that has begun.
pub(super) async fn page(
    client: &Client,
    path: &str,
    params: &mut ListParams,
) -> Result<String, Error> {
    let mut tries = if params.continue_token.is_some() {
        TRIES
    } else {
        1
    };
    loop {
        let alone = params.limit == Some(1);
        let most = if alone { OBJECT } else { PAGE };
        let request = Request::new(path)
            .list(params)
            .map_err(Error::BuildRequest)?;
        let text = match read(client, request, most).await {
            Ok(text) => text,
            Err(error) if tries > 1 && is_transient(&error) => {
                tries -= 1;
                time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if text.len() as u64 <= most {
            return String::from_utf8(text).map_err(Error::FromUtf8);
        }
        if alone {
            let much = format!("an object has more than {} MiB", OBJECT >> 20);
            return Err(Error::Service(much.into()));
        }
        params.limit = params.limit.map(|limit| (limit / 4).max(1));
    }
}

/// The answer, or its beginning: at most one byte more than `most`.
async fn read(
    client: &Client,
    request: http::Request<Vec<u8>>,
    most: u64,
) -> Result<Vec<u8>, Error> {
    let answer = client.request_stream(request).await?;
    let mut text = Vec::new();
    let read = answer.take(most + 1).read_to_end(&mut text).await;
    read.map_err(|error| Error::Service(error.into()))?;
    Ok(text)
}

/// Whether the same request may succeed soon.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::Api(status) => is_passing(status.code),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{Request as Sent, Response};
    use kube::client::Body;

    use super::*;

    /// The number of requests, and whether the last one succeeds, if the first ones are answered with this code.
    async fn ask(token: &str, failures: usize, code: u16) -> (usize, bool) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Sent<Body>| {
            let fails = count.fetch_add(1, Ordering::Relaxed) < failures;
            let code = if fails { code } else { 200 };
            let body =
                format!("{{\"kind\": \"Status\", \"status\": \"Failure\", \"code\": {code}}}");
            let answer = Response::builder().status(code);
            std::future::ready(answer.body(Body::from(body.into_bytes())))
        });
        let client = Client::new(service, "default");
        let mut params = ListParams::default().limit(100);
        if !token.is_empty() {
            params = params.continue_token(token);
        }
        let page = page(&client, "/apis/batch/v1/jobs", &mut params).await;
        (asked.load(Ordering::Relaxed), page.is_ok())
    }

    #[tokio::test]
    async fn a_list_that_has_begun_survives_a_transient_error() {
        assert_eq!(ask("next", 2, 503).await, (3, true));
        assert_eq!(ask("next", 3, 503).await, (3, false));
        assert_eq!(ask("next", 1, 410).await, (1, false));
        assert_eq!(ask("", 1, 503).await, (1, false));
    }
}
