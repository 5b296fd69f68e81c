//! Sends a Job to the API server as a dry run.

use kube::Client;
use kube::api::PostParams;
use kube::client::Body;
use kube::core::Request;
use serde_json::Value;

use super::answer::Answer;
use crate::cluster::pages::words;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("failed to create a Job as a dry run: {0}")]
pub(crate) struct AskError(String);

impl From<kube::Error> for AskError {
    fn from(error: kube::Error) -> Self {
        Self(words(error))
    }
}

/// Creates the Job as a dry run, which does not store it.
pub(crate) async fn dry_run(
    client: &Client,
    namespace: &str,
    job: &Value,
) -> Result<Answer, AskError> {
    let params = PostParams {
        dry_run: true,
        field_manager: Some("migration-warden-verify".to_owned()),
    };
    let url = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let request = Request::new(url).create(&params, job.to_string().into_bytes());
    let request = request.map_err(kube::Error::BuildRequest)?;
    // Not `Api::create`, which drops the warnings.
    let response = client.send(request.map(Body::from)).await?;
    let (head, body) = response.into_parts();
    let body = body.collect_bytes().await?;
    let warnings = head.headers.get_all("warning").iter();
    Ok(Answer {
        status: head.status.as_u16(),
        warnings: warnings
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect(),
        // A proxy's answer need not be JSON; its status is enough.
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}
