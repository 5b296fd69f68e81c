//! Reads LISTs page by page, and single answers, as text: the caller reads what it needs from a page, and drops it.
//!
//! The client limits the bytes of a page and, for a command, the time for it.

use std::sync::Arc;

use axum::http::response::Parts;
use futures_util::TryFutureExt;
use kube::api::{GetParams, ListParams};
use kube::client::Body;
use kube::core::{Request, Status, request};
use kube::{Client, Error, Resource};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ApiError, failed, said};
use crate::core::json::{Page, Unreadable};
use crate::core::text;

/// Objects per page if the caller does not say, the same as in `kubectl`.
const PAGE: u32 = 500;

/// The address of the API server, which a command's client adds to each answer, for the message of an error.
#[derive(Clone, Debug)]
pub(crate) struct Address(pub(crate) Arc<str>);

pub(crate) struct List<'c> {
    client: &'c Client,
    path: String,
    params: ListParams,
    /// What is listed, in words.
    what: String,
    address: Option<Address>,
    is_over: bool,
    was_late: bool,
}

impl<'c> List<'c> {
    /// A LIST of the objects of a kind in one namespace, or in all.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(
        client: &'c Client,
        namespace: Option<&str>,
        mut params: ListParams,
    ) -> Self {
        let (plural, group) = (K::plural(&()), K::group(&()));
        let dot = if group.is_empty() { "" } else { "." };
        let place = namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
        params.limit.get_or_insert(PAGE);
        Self {
            client,
            path: K::url_path(&(), namespace),
            params,
            what: format!("{plural}{dot}{group}{place}"),
            address: None,
            is_over: false,
            was_late: false,
        }
    }

    /// The text of the next page, which the caller passes to [`read`](Self::read); `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, ApiError> {
        if self.is_over {
            return Ok(None);
        }
        // So that a page that is not read ends the list.
        self.is_over = true;
        let request = Request::new(&*self.path).list(&self.params);
        let (page, address) = text(self.client, request, &self.doing()).await?;
        self.address = address;
        Ok(Some(page))
    }

    pub(crate) fn read<'t, T: Deserialize<'t>>(
        &mut self,
        page: &'t str,
    ) -> Result<Vec<T>, ApiError> {
        let page: Page<'t, T> = serde_json::from_str(page).map_err(|error| {
            let of = of(self.address.as_ref());
            ApiError::Unreadable {
                doing: self.doing(),
                why: format!("cannot read the answer{of}: {}", Unreadable::from(error)),
            }
        })?;
        self.params.continue_token = page.next();
        self.is_over = self.params.continue_token.is_none();
        Ok(page.items)
    }

    /// Like [`next`](Self::next), for a report whose parts read the pages by themselves. If reading takes longer than
    /// the API server keeps old versions, the list continues at the same place with the current objects.
    pub(crate) async fn next_of_report(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            match self.next().await {
                Ok(Some(page)) => {
                    self.read::<IgnoredAny>(&page)?;
                    return Ok(Some(page));
                }
                Err(ApiError::Refused { doing, status }) => {
                    let token = later(&status).filter(|_| self.params.continue_token.is_some());
                    if token.is_none() {
                        return Err(ApiError::Refused { doing, status });
                    }
                    self.params.continue_token = token;
                    (self.is_over, self.was_late) = (false, true);
                }
                other => return other,
            }
        }
    }

    /// The message for a page that the caller cannot read.
    pub(crate) fn failed_to_read(&self) -> String {
        format!("failed to read the list of {}", self.what)
    }

    /// The warning, if the pages do not all show the same moment.
    pub(crate) fn caveat(&self) -> Option<String> {
        self.was_late.then(|| {
            format!(
                "listing {} took so long that it does not show a single moment: objects that were created or changed meanwhile may be missing",
                self.what
            )
        })
    }

    fn doing(&self) -> String {
        format!("list {}", self.what)
    }
}

/// Reads one cluster-scoped object.
pub(crate) async fn get<K: Resource<DynamicType = ()>>(
    client: &Client,
    name: &str,
) -> Result<String, ApiError> {
    let request = Request::new(K::url_path(&(), None)).get(name, &GetParams::default());
    let doing = format!("get {} {name}", K::plural(&()));
    Ok(text(client, request, &doing).await?.0)
}

/// The whole answer to a request, whatever its status.
pub(in crate::cluster) async fn answer(
    client: &Client,
    request: Result<axum::http::Request<Vec<u8>>, request::Error>,
    doing: &str,
) -> Result<(Parts, Vec<u8>), ApiError> {
    let request = request.map_err(Error::BuildRequest);
    let request = request.map_err(failed(doing))?.map(Body::from);
    let (head, body) = client
        .send(request)
        .await
        .map_err(failed(doing))?
        .into_parts();
    let body = body.collect_bytes().map_err(failed(doing)).await?;
    Ok((head, body.into()))
}

/// The text of a successful answer, and the address that it came from.
async fn text(
    client: &Client,
    request: Result<axum::http::Request<Vec<u8>>, request::Error>,
    doing: &str,
) -> Result<(String, Option<Address>), ApiError> {
    let (mut head, body) = answer(client, request, doing).await?;
    let address = head.extensions.remove::<Address>();
    if !head.status.is_success() {
        let status = Box::new(refusal(head.status.as_u16(), &body, address.as_ref()));
        let doing = doing.to_owned();
        return Err(ApiError::Refused { doing, status });
    }
    let text = String::from_utf8(body).map_err(|_| ApiError::Unreadable {
        doing: doing.to_owned(),
        why: format!(
            "cannot read the answer{}: it is not UTF-8",
            of(address.as_ref())
        ),
    })?;
    Ok((text, address))
}

/// The status of an answer, which need not come from the API server itself. With an address, its message says who
/// answered.
fn refusal(code: u16, body: &[u8], address: Option<&Address>) -> Status {
    let mut status = serde_json::from_slice::<Status>(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        Status::failure(&text::bounded(text.trim(), text::DETAIL), "")
    });
    status.code = code;
    if let Some(Address(address)) = address {
        status.message = format!("the API server at {address} answered: {}", said(&status));
    }
    status
}

fn of(address: Option<&Address>) -> String {
    address.map_or_else(String::new, |Address(at)| {
        format!(" of the API server at {at}")
    })
}

/// The token with which the API server lets a slow client continue after the first token has expired.
fn later(status: &Status) -> Option<String> {
    let metadata = status.metadata.as_ref().filter(|_| status.code == 410)?;
    metadata.continue_.clone().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::api::testing;

    #[tokio::test]
    async fn a_list_has_all_pages_and_ends() {
        let client = testing::client(|request| {
            let query = request.uri().query().unwrap_or_default();
            let page = match query.split("continue=").nth(1) {
                None => json!({"metadata": {"continue": "next"}, "items": [1, 2]}),
                Some(token) => json!({"metadata": {"continue": ""}, "items": [token]}),
            };
            std::future::ready((200, page))
        });
        let mut list = List::of::<Pod>(&client, None, ListParams::default());
        let mut items: Vec<Value> = Vec::new();
        while let Some(page) = list.next().await.unwrap() {
            items.extend(list.read::<Value>(&page).unwrap());
        }
        assert_eq!(items, [json!(1), json!(2), json!("next")]);
        assert!(list.next().await.unwrap().is_none());
    }

    #[test]
    fn an_answer_that_is_no_status_is_quoted() {
        let at = Address("https://10.0.0.1:6443".into());
        for (body, said) in [
            ("", "HTTP 502 Bad Gateway"),
            ("{\"message\": \"no\"}", "no"),
            (" <html>nginx</html>\n", "<html>nginx</html>"),
        ] {
            let status = refusal(502, body.as_bytes(), Some(&at));
            let told = format!("the API server at https://10.0.0.1:6443 answered: {said}");
            assert_eq!((status.code, status.message), (502, told));
            let status = refusal(502, body.as_bytes(), None);
            assert_eq!(super::said(&status), said);
        }
    }
}
