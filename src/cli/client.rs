//! The client of a verb that asks a cluster. Its errors name the API server's address, and stderr says after a while
//! which API server does not answer.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use axum::http::{Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use tokio::time::timeout;

use super::progress;
use crate::cluster::patient_untimed;
use crate::core::text;

/// How long the API server may be silent before stderr says that it is being waited for.
const SILENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer: more than a page of a list, which has a limit of its own.
const ANSWER: usize = 16 << 20;

type Failure = Box<dyn Error + Send + Sync>;

/// Creates a client that waits this long for each answer. Sends no request.
pub(super) fn new(config: Config, limit: Duration) -> anyhow::Result<Client> {
    let address: Arc<str> = address(&config.cluster_url).into();
    // The Kubernetes client uses the default provider of the process. The rest of this crate names its provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(config);
    let client =
        client.map_err(|error| anyhow!("the API server at {address}: {}", reason(&error)))?;
    let client = patient_untimed(client);
    let namespace = client.default_namespace().to_owned();
    let was_silent = Arc::new(AtomicBool::new(false));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, address) = (client.clone(), Arc::clone(&address));
        let was_silent = Arc::clone(&was_silent);
        async move {
            let mut asking = pin!(timeout(limit, send(&client, request)));
            let answer = if let Ok(answer) = timeout(SILENCE, &mut asking).await {
                answer
            } else {
                // Once is enough: the next request is for the same API server.
                if !was_silent.swap(true, Ordering::Relaxed) {
                    progress::note(&format!("waiting for the API server at {address}"));
                }
                asking.await
            };
            let why = match answer {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => root(&*error),
                Err(_) => format!("it took longer than {limit:?} (--request-timeout)"),
            };
            Err(Failure::from(format!(
                "no answer from the API server at {address}: {why}"
            )))
        }
    });
    Ok(Client::new(service, namespace))
}

/// Sends a request, and reads the whole answer.
async fn send(client: &Client, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let (parts, body) = client.send(request).await?.into_parts();
    let body = Limited::new(body, ANSWER).collect().await?;
    Ok(Response::from_parts(parts, Body::from(body.to_bytes())))
}

/// The address without a user and a password.
fn address(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{}://{host}", url.scheme_str().unwrap_or("https"))
}

/// Why a client cannot be made or cannot log in, without what a kubeconfig and a login program hold: credentials.
pub(super) fn reason(error: &kube::Error) -> String {
    use kube::client::AuthError as E;
    let why = match error {
        kube::Error::Auth(E::AuthExecRun { out, .. }) => {
            format!("the login program of the kubeconfig failed: {}", out.status)
        }
        kube::Error::Auth(E::AuthExecParse(_)) => {
            "the login program of the kubeconfig did not print an ExecCredential".to_owned()
        }
        kube::Error::Auth(error) => format!("the login failed: {error}"),
        kube::Error::ProxyProtocolUnsupported { proxy_url }
        | kube::Error::ProxyProtocolDisabled { proxy_url, .. } => {
            format!("the proxy {} is not supported", address(proxy_url))
        }
        error => error.to_string(),
    };
    text::bounded(&why, text::DETAIL).into_owned()
}

/// The words of the error that began the chain: the others are those of libraries that passed it on. A failed login
/// is told whole, because its last words, such as "No such file", name no program.
fn root(error: &(dyn Error + 'static)) -> String {
    if let Some(error @ kube::Error::Auth(_)) = error.downcast_ref() {
        return reason(error);
    }
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_holds_no_credential() {
        for (url, shown) in [
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("https://me:s3cr3t@[::1]:6443/k8s?a", "https://[::1]:6443"),
            ("http://localhost", "http://localhost"),
        ] {
            assert_eq!(address(&url.parse().unwrap()), shown);
        }
    }

    #[test]
    fn a_failed_login_shows_nothing_of_its_program() {
        use std::os::unix::process::ExitStatusExt;
        use std::process::{ExitStatus, Output};

        let out = Output {
            status: ExitStatus::from_raw(1 << 8),
            stdout: b"token: s3cr3t".to_vec(),
            stderr: Vec::new(),
        };
        let error = kube::Error::Auth(kube::client::AuthError::AuthExecRun {
            cmd: "login --secret=s3cr3t".to_owned(),
            out: Box::new(out),
        });
        let why = "the login program of the kubeconfig failed: exit status: 1";
        assert_eq!(reason(&error), why);
    }
}
