//! Tests against a service that answers like an API server and fails on demand, which a real one cannot.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::core::PartialObjectMeta;
use serde_json::json;

use super::*;
use crate::cluster::api::testing;

/// The limit and token of each request.
type Asked = Arc<Mutex<Vec<(u32, String)>>>;

/// Serves pages of `total` Namespaces with this many bytes each. It calls `fails` before each answer, with the number
/// of the request.
fn server(
    bounds: Bounds,
    total: usize,
    bytes: usize,
    fails: impl Fn(usize) -> Option<u16> + Send + Sync + 'static,
) -> (Client, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let client = testing::client(move |request| {
        let query: Vec<_> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .collect();
        let value = |key: &str| {
            let pair = query.iter().find_map(|pair| pair.strip_prefix(key));
            pair.unwrap_or_default().to_owned()
        };
        let (limit, token) = (value("limit=").parse().unwrap(), value("continue="));
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push((limit, token.clone()));
            seen.len()
        };
        let start: usize = token.parse().unwrap_or_default();
        let end = total.min(start + limit as usize);
        let items: Vec<_> = (start..end)
            .map(|i| {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata":
                    {"name": format!("n{i}"), "annotations": {"a": "x".repeat(bytes)}}})
            })
            .collect();
        let mut metadata = json!({"resourceVersion": "7"});
        if end < total {
            metadata["continue"] = json!(end.to_string());
        }
        let list = json!({
            "kind": "NamespaceList", "apiVersion": "v1", "metadata": metadata, "items": items,
        });
        let failure =
            |code| json!({"status": "Failure", "message": "no", "reason": "Expired", "code": code});
        let answer = fails(number).map(|code| (code, failure(code)));
        std::future::ready(answer.unwrap_or((200, list)))
    });
    let pauses = || iter::repeat(Duration::ZERO);
    (with(client, bounds, pauses), asked)
}

/// The limits and tokens of all requests so far.
fn all(asked: &Asked) -> Vec<(u32, String)> {
    asked.lock().unwrap().clone()
}

fn limits(asked: &Asked) -> Vec<u32> {
    all(asked).into_iter().map(|(limit, _)| limit).collect()
}

/// Lists all, a hundred at a time. Returns the names, or the code of the error.
async fn list(client: &Client) -> Result<Vec<String>, u16> {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let mut params = ListParams::default().limit(100);
    let mut names = Vec::new();
    loop {
        let page = match api.list(&params).await {
            Ok(page) => page,
            Err(Error::Api(status)) => return Err(status.code),
            Err(error) => panic!("{error}"),
        };
        names.extend(page.items.into_iter().filter_map(|item| item.metadata.name));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(names),
        }
    }
}

#[tokio::test]
async fn a_list_continues_from_the_page_that_failed() {
    for code in [429, 500, 503, 504] {
        let (client, asked) = server(PATIENT, 1000, 10, move |number| {
            (number % 3 == 0).then_some(code)
        });
        assert_eq!(list(&client).await.unwrap().len(), 1000);
        let asked = all(&asked);
        let from_the_start = asked.iter().filter(|(_, token)| token.is_empty()).count();
        assert_eq!((from_the_start, asked.len()), (1, 14), "{code}");
    }
}

/// Its answer has the cause, which `/readyz` shows.
#[tokio::test]
async fn the_first_page_and_what_does_not_pass_are_answered_at_once() {
    for (nth, code) in [(1, 503), (1, 403), (2, 403), (2, 410), (3, 404)] {
        let (client, asked) = server(PATIENT, 1000, 10, move |number| {
            (number == nth).then_some(code)
        });
        assert_eq!(list(&client).await, Err(code));
        assert_eq!(all(&asked).len(), nth);
    }
}

#[tokio::test]
async fn a_page_is_given_up_before_its_token_is_forgotten() {
    for bounds in [PATIENT, PROMPT] {
        let (client, asked) = server(bounds, 1000, 10, |number| (number > 1).then_some(503));
        assert_eq!(list(&client).await, Err(503));
        assert_eq!(all(&asked).len(), 1 + 1 + bounds.tries);
    }
    let took: Duration = DefaultBackoff::default().take(PATIENT.tries).sum();
    let bounds = Duration::from_secs(60)..Duration::from_secs(300);
    assert!(bounds.contains(&took), "{took:?}");
}

/// [`prompt`] without its pauses.
fn quick(client: Client) -> Client {
    with(client, PROMPT, || iter::repeat(Duration::ZERO))
}

/// A client of an API server that fails as often as this, and the number of requests it gets.
fn failing(times: usize, code: u16) -> (Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let client = testing::client(move |_| {
        let fails = seen.fetch_add(1, Ordering::Relaxed) < times;
        let status = json!({"status": "Failure", "message": "no", "reason": "no", "code": code});
        let found = json!({"metadata": {"name": "shop"}, "items": []});
        std::future::ready(if fails { (code, status) } else { (200, found) })
    });
    (client, asked)
}

#[tokio::test]
async fn a_review_reads_once_more() {
    let params = ListParams::default().limit(100);
    for (code, times, is_read, requests) in [
        (500, 1, true, 2),
        (429, 1, true, 2),
        (503, 2, false, 2),
        (403, 1, false, 1),
        (404, 1, false, 1),
    ] {
        let (client, asked) = failing(times, code);
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(quick(client));
        assert_eq!(api.list(&params).await.is_ok(), is_read, "{code}");
        assert_eq!(asked.swap(0, Ordering::Relaxed), requests, "{code}");
        assert_eq!(api.get("shop").await.is_ok(), is_read, "{code}");
        assert_eq!(asked.load(Ordering::Relaxed), requests, "{code}");
    }
}

#[tokio::test]
async fn a_review_never_writes_twice() {
    let (client, asked) = failing(1, 503);
    let api: Api<Namespace> = Api::all(quick(client));
    let (params, namespace) = (PostParams::default(), Namespace::default());
    assert!(api.create(&params, &namespace).await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_lost_connection_is_a_transient_error() {
    let lost = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&lost);
    let service = tower::service_fn(move |_: Request<Body>| {
        seen.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err::<Response<Body>, _>(std::io::Error::other("reset")))
    });
    let api: Api<Namespace> = Api::all(quick(Client::new(service, "default")));
    assert!(api.get("shop").await.is_err());
    assert_eq!(lost.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_page_has_as_many_objects_as_fit() {
    let (client, asked) = server(PATIENT, 60, 100 << 10, |_| None);
    assert_eq!(list(&client).await.unwrap().len(), 60);
    // 100 objects of 100 KiB are too many, and so are 25. The next pages begin with what fits.
    assert_eq!(limits(&asked), [&[100, 25][..], &[6; 10]].concat());
    // Each object alone is larger than a page may be.
    let (client, _) = server(PATIENT, 3, 2 << 20, |_| None);
    assert_eq!(list(&client).await.unwrap().len(), 3);
}

/// One page of large objects must not make all later ones small.
#[tokio::test]
async fn pages_grow_again() {
    // 100 objects of 20 KiB are too many, 50 fit, and the last page has only 10.
    let (client, asked) = server(PATIENT, 110, 20 << 10, |_| None);
    for _ in 0..2 {
        assert_eq!(list(&client).await.unwrap().len(), 110);
    }
    assert_eq!(limits(&asked), [100, 25, 25, 25, 25, 25, 50, 50, 50]);
}

#[tokio::test]
async fn an_object_beyond_all_bounds_is_an_error() {
    let (client, _) = server(PATIENT, 1, OBJECT, |_| None);
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let error = api
        .list(&ListParams::default().limit(100))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 10 MiB"), "{error}");
}

#[test]
fn only_lists_by_pages_are_touched() {
    let of = |method: Method, uri: &str| {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        Listing::of(&request.into_parts().0, false)
            .map(|listing| (listing.limit, listing.continues))
    };
    let jobs = "/apis/batch/v1/jobs";
    assert_eq!(
        of(Method::GET, &format!("{jobs}?&limit=10")),
        Some((10, false))
    );
    let next = format!("{jobs}?&labelSelector=a&limit=10&continue=abc");
    assert_eq!(of(Method::GET, &next), Some((10, true)));
    for other in [
        "?",
        "",
        "?&limit=10&watch=true",
        "?&labelSelector=limit",
        "/x",
    ] {
        assert_eq!(of(Method::GET, &format!("{jobs}{other}")), None, "{other}");
    }
    assert_eq!(of(Method::DELETE, &next), None);
}
