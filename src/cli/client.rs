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
use jiff::SignedDuration;
use kube::client::Body;
use kube::{Client, Config};
use tokio::time::timeout;

use super::progress;
use crate::cluster::api::list::Address;
use crate::cluster::api::patient::patient_untimed;
use crate::cluster::api::{Unread, root};
use crate::core::{text, time};

/// How long the API server may be silent before stderr says that it is being waited for.
const SILENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer: more than a page of a list, which has a limit of its own.
const ANSWER: usize = 16 << 20;

type Failure = Box<dyn Error + Send + Sync>;

/// Creates a client that waits this long for each answer. Sends no request.
pub(super) fn new(config: Config, limit: Duration) -> anyhow::Result<Client> {
    let address = Address(address(&config.cluster_url).into());
    // The Kubernetes client uses the default provider of the process. The rest of this crate names its provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(config);
    let client =
        client.map_err(|error| anyhow!("the API server at {}: {}", address.0, reason(&error)))?;
    let client = patient_untimed(client);
    let namespace = client.default_namespace().to_owned();
    let was_silent = Arc::new(AtomicBool::new(false));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, address) = (client.clone(), address.clone());
        let was_silent = Arc::clone(&was_silent);
        async move {
            let mut asking = pin!(timeout(limit, send(&client, request, &address)));
            let answer = if let Ok(answer) = timeout(SILENCE, &mut asking).await {
                answer
            } else {
                // Once is enough: the next request is for the same API server.
                if !was_silent.swap(true, Ordering::Relaxed) {
                    progress::note(&format!("waiting for the API server at {}", address.0));
                }
                asking.await
            };
            let limit = time::in_words(limit.try_into().unwrap_or(SignedDuration::MAX));
            let late = format!("it took longer than {limit} (--request-timeout)");
            answer.unwrap_or_else(|_| Err(no_answer(&address, &late).into()))
        }
    });
    Ok(Client::new(service, namespace))
}

/// Sends a request, and reads the whole answer. Fails with a sentence.
async fn send(
    client: &Client,
    request: Request<Body>,
    address: &Address,
) -> Result<Response<Body>, Failure> {
    let answer = client.send(request).await;
    let (mut parts, body) = answer.map_err(|error| told(&error, address))?.into_parts();
    let body = Limited::new(body, ANSWER).collect().await;
    let body = body.map_err(|error| unread(address, &root(&*error)))?;
    parts.extensions.insert(address.clone());
    Ok(Response::from_parts(parts, Body::from(body.to_bytes())))
}

/// Why there is no answer, or none that can be read. A failed login is told whole, because its last words, such as
/// "No such file", name no program.
fn told(error: &kube::Error, address: &Address) -> String {
    let cut = match error {
        kube::Error::Auth(_) => {
            let why = reason(error);
            return format!("cannot log in to the API server at {}: {why}", address.0);
        }
        kube::Error::Service(error) => error.downcast_ref::<Unread>(),
        _ => None,
    };
    match cut {
        Some(Unread(why)) => unread(address, why),
        None => no_answer(address, &root(error)),
    }
}

fn no_answer(Address(address): &Address, why: &str) -> String {
    format!("no answer from the API server at {address}: {why}")
}

fn unread(Address(address): &Address, why: &str) -> String {
    format!("cannot read the answer of the API server at {address}: {why}")
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
    fn only_what_did_not_answer_gave_no_answer() {
        let at = Address("https://10.0.0.1:6443".into());
        let server = "the API server at https://10.0.0.1:6443";
        let service = |error: Failure| kube::Error::Service(error);
        let refused = std::io::Error::other("Connection refused");
        for (error, sentence) in [
            (
                service(refused.into()),
                format!("no answer from {server}: Connection refused"),
            ),
            (
                service(Unread("an object has more than 10 MiB".to_owned()).into()),
                format!("cannot read the answer of {server}: an object has more than 10 MiB"),
            ),
            (
                kube::Error::Auth(kube::client::AuthError::MissingCommand),
                format!(
                    "cannot log in to {server}: the login failed: {}",
                    kube::client::AuthError::MissingCommand
                ),
            ),
        ] {
            assert_eq!(told(&error, &at), sentence);
        }
    }

    #[test]
    fn a_proxy_that_is_not_supported_is_named_without_its_password() {
        let error = kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(Uri::from_static("ftp://me:s3cr3t@proxy:2121")),
        };
        assert_eq!(
            reason(&error),
            "the proxy ftp://proxy:2121 is not supported"
        );
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
