//! Sends a Job to the API server as a dry run.

use std::time::Duration;

use kube::Client;
use kube::api::PostParams;
use kube::client::Body;
use kube::core::Request;
use serde_json::Value;

use super::answer::Answer;

/// Time limit: longer than the webhooks of both phases may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The API server did not answer in time.
    #[error("failed to get an answer from the API server within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The API server cannot be reached, or its answer is not readable.
    #[error("failed to ask the API server: {0}")]
    Client(#[from] kube::Error),
    /// The request cannot be built.
    #[error("failed to write the request: {0}")]
    Request(#[from] kube::core::request::Error),
}

/// Creates the Job as a dry run, which does not store it.
pub async fn dry_run(client: &Client, namespace: &str, job: &Value) -> Result<Answer, AskError> {
    let params = PostParams {
        dry_run: true,
        field_manager: Some("migration-warden-verify".to_owned()),
    };
    let url = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let request = Request::new(url).create(&params, job.to_string().into_bytes())?;
    // Not `Api::create`, which drops the warnings.
    let asking = async {
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
    };
    tokio::time::timeout(TIMEOUT, asking)
        .await
        .map_err(|_| AskError::Timeout)?
}
