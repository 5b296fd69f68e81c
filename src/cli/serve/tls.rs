//! Sets up TLS for `serve`: where the certificate comes from, and how the API server learns to trust it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use super::args::Args;
use super::setup::Setup;
use crate::cluster::certificate::KeptCertificate;
use crate::cluster::registration::{Disagreement, Registration};
use crate::core::pki::rotation;
use crate::host::file_watch;
use crate::host::health::{Readiness, Status};
use crate::host::policy_watch::LivePolicy;
use crate::host::tls::issue;
use crate::host::tls::live::LiveTls;
use crate::host::tls::reload::{TlsFiles, keep_bundle};

/// Where the server creates a certificate if no argument names one.
const DEVELOPMENT: &str = "certs/dev";

/// Loads the certificate that the arguments name, and adds the tasks that reload or renew it, and that publish its CA.
pub(super) fn set_up(
    args: &Args,
    client: Option<&Client>,
    policy: &LivePolicy,
    setup: &mut Setup,
) -> anyhow::Result<LiveTls> {
    let live = LiveTls::new(setup.metrics.certificates.clone())?;
    if let Some(ca) = &args.client_ca {
        let files = TlsFiles::client_ca(ca.clone(), &live).context("--client-ca")?;
        let fresh = files.keep_fresh(file_watch::PERIOD);
        setup.add("watching the callers' CA", fresh);
    }
    let (bundle, bundled) = watch::channel(String::new());
    if let (Some(secret), Some(client)) = (&args.tls_secret, client) {
        let service = args.service.as_deref().unwrap_or_default();
        let kept = KeptCertificate::new(client.clone(), secret.clone(), service);
        setup.add(
            "managing the certificate",
            kept.keep_fresh(live.clone(), bundle),
        );
    } else {
        watch_files(args, &live, bundle, setup)?;
    }
    tell_expiry(&setup.readiness, &live);
    if let (Some(name), Some(client)) = (&args.webhook_configuration, client) {
        let writes = args.tls_secret.is_some() || args.ca_bundle.is_some();
        let registration = Registration {
            client: client.clone(),
            name: name.clone(),
            policy: policy.clone(),
            bundle: writes.then_some(bundled),
            metrics: setup.metrics.registration.clone(),
            disagreement: Disagreement::default(),
        };
        publish(registration, setup);
    }
    Ok(live)
}

/// Loads the certificate from files, and the CAs to publish if a file has them.
fn watch_files(
    args: &Args,
    live: &LiveTls,
    bundle: watch::Sender<String>,
    setup: &mut Setup,
) -> anyhow::Result<()> {
    let fresh = files(args, live)?.keep_fresh(file_watch::PERIOD);
    setup.add("watching the certificate files", fresh);
    let Some(file) = &args.ca_bundle else {
        return Ok(());
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--ca-bundle: failed to read {}", file.display()))?;
    if !rotation::usable(&text, Timestamp::now()) {
        anyhow::bail!(
            "{} has no CA that is still valid; write one or more CAs into it as PEM",
            file.display()
        );
    }
    let fresh = keep_bundle(file.clone(), file_watch::PERIOD, live.clone(), bundle);
    setup.add("watching the CA file", fresh);
    Ok(())
}

/// Watches the webhook configurations, and writes the CAs into them if the replicas manage these.
fn publish(registration: Registration, setup: &mut Setup) {
    let disagreement = registration.disagreement.clone();
    let trust = Trust::default();
    if registration.bundle.is_some() {
        tell_trust(&setup.readiness, &trust);
    }
    setup.add("watching the webhook configurations", async move {
        registration.keep(|all| trust.set(all)).await;
    });
    setup.readiness.probe("webhook-configuration", move || {
        disagreement
            .current()
            .map_or(Status::Ok(String::new()), Status::Warning)
    });
}

/// Whether the webhook configurations trust the CA of the certificate: now, and at least once. Clones share the state.
#[derive(Clone, Default)]
struct Trust(Arc<(AtomicBool, AtomicBool)>);

impl Trust {
    fn set(&self, all: bool) {
        self.0.0.store(all, Ordering::Relaxed);
        self.0.1.fetch_or(all, Ordering::Relaxed);
    }
}

/// Adds the readiness condition `ca-bundle`.
///
/// A replica that is not trusted yet fails it, so that a rollout does not replace a replica that is. Later it is only a
/// warning: all replicas serve the same certificate, so sending reviews elsewhere would not help.
fn tell_trust(readiness: &Readiness, trust: &Trust) {
    let trust = trust.clone();
    readiness.probe("ca-bundle", move || {
        let [now, ever] = [&trust.0.0, &trust.0.1].map(|flag| flag.load(Ordering::Relaxed));
        let message =
            "caBundle of the webhook configurations lacks the CA of the certificate in use";
        match (now, ever) {
            (true, _) => Status::Ok(String::new()),
            (false, true) => Status::Warning(message.to_owned()),
            (false, false) => Status::Failed(message.to_owned()),
        }
    });
}

fn files(args: &Args, live: &LiveTls) -> anyhow::Result<TlsFiles> {
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let files = TlsFiles::certificate(cert.clone(), key.clone(), live);
        return files.context("--tls-cert and --tls-key");
    }
    let dir = match &args.tls_dir {
        Some(dir) => {
            // A typo must not serve a certificate that no client trusts.
            let lacks = |file: &str| matches!(dir.join(file).try_exists(), Ok(false));
            if lacks("tls.crt") && lacks("tls.key") {
                let dir = dir.display();
                anyhow::bail!(
                    "the folder {dir} of --tls-dir has neither tls.crt nor tls.key; for a development certificate, leave \
                     the flag out or run\n  migration-warden certs make --dir {dir}"
                );
            }
            dir.as_path()
        }
        None => Path::new(DEVELOPMENT),
    };
    let issued = issue::ensure(dir, Timestamp::now())?;
    if let Some(ca) = &issued.ca {
        tracing::info!(
            ca = %ca.display(),
            "serving with a development certificate for localhost; clients must trust this CA"
        );
    }
    let files = TlsFiles::certificate(issued.cert, issued.key, live);
    match args.tls_dir {
        Some(_) => files.context("--tls-dir"),
        None => Ok(files?),
    }
}

fn tell_expiry(readiness: &Readiness, live: &LiveTls) {
    let live = live.clone();
    readiness.probe("certificate", move || {
        let expiry = live.expiry();
        let Some(expires) = expiry.certificate else {
            return Status::Failed("no certificate is loaded yet".to_owned());
        };
        if expires < Timestamp::now() {
            return Status::Failed(format!("expired {expires}"));
        }
        let ca = expiry.ca.map(|ca| format!(", its CA {ca}"));
        Status::Ok(format!("expires {expires}{}", ca.unwrap_or_default()))
    });
}
