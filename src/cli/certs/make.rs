//! `migration-warden certs make`: creates a CA and a certificate in a folder.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;

use crate::core::time;
use crate::host::tls::issue;

/// Ten years. A limit is needed because the dates in a certificate cannot be later than the year 9999.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Arguments of `certs make`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Output folder for ca.crt, tls.crt and tls.key. Files that migration-warden did not create are never overwritten.
    #[arg(long, value_name = "DIR", default_value = "certs/dev")]
    dir: PathBuf,
    /// DNS name or IP address of the server. Can be given several times (default: `localhost`, `127.0.0.1` and
    /// `::1`).
    #[arg(long = "name", value_name = "NAME", value_parser = name)]
    names: Vec<String>,
    /// How long the certificate is valid, at most 3650d.
    #[arg(long, value_name = "DURATION", default_value = "365d", value_parser = lifetime)]
    lifetime: SignedDuration,
}

fn name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text.strip_prefix("*.").unwrap_or(text)) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(
            "neither a DNS name nor an IP address; write one such as localhost or 127.0.0.1"
                .to_owned(),
        ),
    }
}

fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let lifetime = time::duration(text)
        .ok_or_else(|| "not a duration; write one such as 30d or 12h".to_owned())?;
    if lifetime.is_zero() || lifetime > MAX_LIFETIME {
        return Err("must be longer than 0s and at most 3650d".to_owned());
    }
    Ok(lifetime)
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let names = if self.names.is_empty() {
            issue::names()
        } else {
            self.names
        };
        let now = Timestamp::now();
        let issued = issue::make(&self.dir, &names, self.lifetime, now)?;
        let mut out = anstream::stdout().lock();
        if let Some(ca) = &issued.ca {
            writeln!(
                out,
                "{}: the CA to trust; its key was not kept",
                ca.display()
            )?;
        }
        writeln!(
            out,
            "{}: the certificate for {}, until {}",
            issued.cert.display(),
            names.join(", "),
            (now + self.lifetime).strftime("%Y-%m-%d %H:%M:%S UTC")
        )?;
        writeln!(out, "{}: its private key", issued.key.display())?;
        Ok(ExitCode::SUCCESS)
    }
}
