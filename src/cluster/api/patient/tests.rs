//! Tests against a service that answers like an API server and fails on demand, which a real one cannot.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;
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
        Listing::of(&request.into_parts().0).map(|listing| (listing.limit, listing.continues))
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
