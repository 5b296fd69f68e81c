//! LISTs page by page, as text: the caller reads what it needs from a page, and drops it.
//!
//! For commands that read a cluster once; the server uses watches. The client limits the time for a page.

use kube::api::{GetParams, ListParams};
use kube::core::{Request, Status};
use kube::{Client, Resource};
use serde::de::IgnoredAny;

use crate::core::json::{Page, Unreadable};

/// Objects per page, the same as in `kubectl`.
const PAGE: u32 = 500;

/// A LIST in progress.
#[derive(Debug)]
pub(crate) struct Pages {
    path: String,
    params: ListParams,
    /// What is listed, in words.
    what: String,
    is_over: bool,
    was_late: bool,
}

/// Why a LIST failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing}: {why}")]
pub(crate) struct ListError {
    doing: String,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("{0}")]
    Unanswered(String),
    #[error("{0}")]
    Answer(#[source] Unreadable),
}

impl ListError {
    /// Whether the API server does not have this kind, or this object.
    #[must_use]
    pub(crate) fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the user is not allowed to read it.
    #[must_use]
    pub(crate) fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    fn code(&self) -> Option<u16> {
        match &self.why {
            Why::Refused(status) => Some(status.code),
            _ => None,
        }
    }
}

impl Pages {
    /// A LIST of all objects of a kind, in one namespace or in all.
    #[must_use]
    pub(crate) fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
        let (plural, group) = (K::plural(&()), K::group(&()));
        let dot = if group.is_empty() { "" } else { "." };
        let place = namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
        Self {
            path: K::url_path(&(), namespace),
            params: ListParams::default().limit(PAGE),
            what: format!("{plural}{dot}{group}{place}"),
            is_over: false,
            was_late: false,
        }
    }

    /// Leaves out the objects of these namespaces.
    #[must_use]
    pub(crate) fn without(mut self, namespaces: &[&str]) -> Self {
        let terms: Vec<_> = namespaces
            .iter()
            .map(|name| format!("metadata.namespace!={name}"))
            .collect();
        self.params = self.params.fields(&terms.join(","));
        self
    }

    /// The next page; `None` after the last one.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Option<String>, ListError> {
        while !self.is_over {
            let failed = |why| ListError {
                doing: format!("list {}", self.what),
                why,
            };
            match text(client, &self.path, Ask::List(&self.params)).await {
                Ok(page) => {
                    let read = serde_json::from_str::<Page<'_, IgnoredAny>>(&page);
                    let token = read
                        .map_err(|error| failed(Why::Answer(error.into())))?
                        .next();
                    self.is_over = token.is_none();
                    self.params.continue_token = token;
                    return Ok(Some(page));
                }
                Err(Why::Refused(status)) => match later(&status) {
                    // The list continues at the same place, with the current objects.
                    Some(token) if self.params.continue_token.is_some() => {
                        self.was_late = true;
                        self.params.continue_token = Some(token);
                    }
                    _ => return Err(failed(Why::Refused(status))),
                },
                Err(why) => return Err(failed(why)),
            }
        }
        Ok(None)
    }

    /// The message for a page that cannot be parsed.
    #[must_use]
    pub(crate) fn failed_to_read(&self) -> String {
        format!("failed to read the list of {}", self.what)
    }

    /// The warning, if the pages do not all show the same moment because reading took longer than the API server keeps
    /// old versions.
    #[must_use]
    pub(crate) fn caveat(&self) -> Option<String> {
        self.was_late.then(|| {
            format!(
                "listing {} took so long that it does not show a single moment: objects that were created or changed meanwhile may be missing",
                self.what
            )
        })
    }
}

/// Reads one cluster-scoped object.
pub(crate) async fn get<K: Resource<DynamicType = ()>>(
    client: &Client,
    name: &str,
) -> Result<String, ListError> {
    let failed = |why| ListError {
        doing: format!("get {} {name}", K::plural(&())),
        why,
    };
    let path = K::url_path(&(), None);
    text(client, &path, Ask::Get(name)).await.map_err(failed)
}

/// The token with which the API server lets a slow client continue after the first token has expired.
fn later(status: &Status) -> Option<String> {
    let metadata = status.metadata.as_ref().filter(|_| status.code == 410)?;
    metadata.continue_.clone().filter(|token| !token.is_empty())
}

enum Ask<'a> {
    List(&'a ListParams),
    Get(&'a str),
}

async fn text(client: &Client, path: &str, ask: Ask<'_>) -> Result<String, Why> {
    let request = Request::new(path);
    let request = match ask {
        Ask::List(params) => request.list(params),
        Ask::Get(name) => request.get(name, &GetParams::default()),
    };
    let request = request.map_err(kube::Error::BuildRequest)?;
    Ok(client.request_text(request).await?)
}

impl From<kube::Error> for Why {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Unanswered(words(other)),
        }
    }
}

/// The words of an error. A client with layers of its own makes whole sentences, which the library only passes on.
pub(super) fn words(error: kube::Error) -> String {
    match error {
        kube::Error::Service(error) => error.to_string(),
        other => other.to_string(),
    }
}
