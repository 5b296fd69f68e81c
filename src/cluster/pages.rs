//! LISTs of the apiserver, page by page, as text: whoever asks reads of a page what he needs, and forgets
//! it.
//!
//! Not for what is to be kept up to date: that is a watch's.

use std::time::Duration;

use kube::api::{GetParams, ListParams};
use kube::core::{Request, Status};
use kube::{Client, Resource};
use serde::de::IgnoredAny;

use crate::core::json::{Page, Unreadable};

/// Objects on a page, as `kubectl` has it.
const PAGE: u32 = 500;
/// A page of large objects takes its time, over a slow line even more.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A LIST under way.
#[derive(Debug)]
pub struct Pages {
    path: String,
    params: ListParams,
    /// In words.
    what: String,
    is_over: bool,
    was_late: bool,
}

/// Why something is not listed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing}: {why}")]
pub struct ListError {
    doing: String,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("the apiserver did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("{0}")]
    Client(#[source] kube::Error),
    #[error("{0}")]
    Answer(#[source] Unreadable),
}

impl ListError {
    /// The apiserver does not have this kind, or not this object.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whoever asks may not know.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
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
    /// All objects of a kind, of one namespace or of all.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Self {
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

    /// Without those of these namespaces.
    #[must_use]
    pub fn without(mut self, namespaces: &[&str]) -> Self {
        let terms: Vec<_> = namespaces
            .iter()
            .map(|name| format!("metadata.namespace!={name}"))
            .collect();
        self.params = self.params.fields(&terms.join(","));
        self
    }

    /// The next page; nothing after the last one.
    pub async fn next(&mut self, client: &Client) -> Result<Option<String>, ListError> {
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
                    // It goes on where it was, with what is there now.
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

    /// What to say of a page that is not what was asked for.
    #[must_use]
    pub fn failed_to_read(&self) -> String {
        format!("failed to read the list of {}", self.what)
    }

    /// What there is to say of pages that do not all show the same moment, because somebody took longer than the
    /// apiserver remembers.
    #[must_use]
    pub fn caveat(&self) -> Option<String> {
        self.was_late.then(|| {
            format!(
                "listing {} took so long that it shows no single moment: what was made or changed meanwhile may be missing",
                self.what
            )
        })
    }
}

/// One object that belongs to no namespace.
pub async fn get<K: Resource<DynamicType = ()>>(
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

/// The token that an apiserver gives who took too long to ask for the next page.
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
    let answer = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
    Ok(answer.map_err(|_| Why::Timeout)??)
}

impl From<kube::Error> for Why {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Client(other),
        }
    }
}
