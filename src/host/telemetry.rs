//! The log of the process, on stderr. Stdout is for decision lines.

mod short;

use crate::core::text;
use crate::host::line_writer::{Attempt, LineWriter};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    borrow::Cow,
    env,
    io::{self, IsTerminal},
    os::fd::AsFd,
    panic::{self, PanicHookInfo},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    layer::{Layered, SubscriberExt},
    util::SubscriberInitExt,
    util::TryInitError,
};

/// A second destination of the log. It gets what passes the filter.
pub type Another = Box<dyn Layer<Layered<EnvFilter, Registry>> + Send + Sync>;

/// The field with the backtrace of a panic. It has many lines and is logged only if `RUST_BACKTRACE` is set.
pub(crate) const BACKTRACE: &str = "backtrace";

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Human-readable. Coloured if stderr is a terminal and `NO_COLOR` is not set.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error(
        "the log level is neither a level such as info nor a filter such as info,migration_warden=debug: {0}"
    )]
    Filter(#[from] ParseError),
    /// Stderr is not open or cannot be duplicated.
    #[error("failed to open stderr: {0}")]
    Stderr(#[from] io::Error),
    /// Another log is already installed in this process.
    #[error("failed to set up the log: {0}")]
    Init(#[from] TryInitError),
}

/// This crate, whose parts are its storeys.
const CRATE: &str = "migration_warden";
/// The parts of the program that log: the storeys, and the crates that it uses.
const PARTS: [&str; 18] = [
    "migration_warden::cli",
    "migration_warden::cluster",
    "migration_warden::core",
    "migration_warden::host",
    "migration_warden::server",
    "h2",
    "hyper_rustls",
    "hyper_util",
    "jiff",
    "jiff_core",
    "kube_client",
    "kube_lease_manager",
    "kube_runtime",
    "opentelemetry_appender_tracing",
    "rustls",
    "rustls_platform_verifier",
    "tower",
    "tower_http",
];

/// Returns the filter, or what is wrong with it. The library takes a word that is not a level for the name of a part of
/// the program, and then shows nothing else.
pub fn filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    // What is in brackets selects spans.
    let directives = text
        .split(',')
        .filter(|part| !part.contains(['[', ']', '{', '}']));
    for directive in directives {
        let (part, level) = match directive.rsplit_once('=') {
            Some((part, level)) => (Some(part.trim()), level.trim()),
            None => (None, directive.trim()),
        };
        let is_level = LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known));
        let meant = |word: &str, known: &[&'static str]| text::nearest(word, known.iter().copied());
        if !level.is_empty() && !is_level {
            let meant = meant(level, &LEVELS)
                .map_or_else(String::new, |level| format!("; did you mean {level}?"));
            return Err(format!(
                "{level:?} is not one of {}{meant}",
                LEVELS.join(", ")
            ));
        }
        if let Some(part) = part.filter(|part| !is_part(part)) {
            let meant = match meant(part, &[CRATE]).or_else(|| meant(part, &PARTS)) {
                Some(part) => format!("did you mean {part}?"),
                None => format!("write {CRATE}, {CRATE}::server, or a crate such as kube_client"),
            };
            return Err(format!(
                "{part:?} is not a part of the program that logs; {meant}"
            ));
        }
    }
    Ok(text.to_owned())
}

/// Whether a directive with this name selects a part, or some of one. A name selects all that begins with it.
fn is_part(name: &str) -> bool {
    let within = |part: &&str| {
        name.strip_prefix(*part)
            .is_some_and(|rest| rest.starts_with("::"))
    };
    let is = |part: &&str| part.starts_with(name) || within(part);
    PARTS.iter().any(is)
}

/// Starts the log of the process. `filter` is a list such as `info,migration_warden=debug`; what passes it is written to
/// stderr and to `another`.
///
/// Panics are logged too, with their location. Their message is logged only if it is a literal, because any other may
/// quote a request or a Secret.
pub fn init(
    format: LogFormat,
    filter: &str,
    another: Option<Another>,
) -> Result<(), TelemetryError> {
    // The warnings of this module quote responses of the API server, which may contain Secrets.
    let filter = EnvFilter::builder()
        .parse(filter)?
        .add_directive("kube_client::client=error".parse()?);
    let stderr = Stderr {
        output: LineWriter::new(io::stderr().as_fd().try_clone_to_owned()?)?,
        torn: AtomicBool::new(false),
    };
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(colour)
        .with_writer(Arc::new(stderr))
        .fmt_fields(short::fields());
    let log = tracing_subscriber::registry().with(filter).with(another);
    match format {
        LogFormat::Text => log.with(layer).try_init()?,
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true);
            log.with(layer.map_event_format(short::Json)).try_init()?;
        }
    }
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload().downcast_ref::<&'static str>().copied();
    let message = message.unwrap_or("(omitted, because it may contain sensitive data)");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(place, panic = message, %backtrace, "panicked");
    } else {
        tracing::error!(place, panic = message, "panicked");
    }
}

/// Stderr that drops a line, or the rest of one, instead of waiting. A log collector that hangs must not block
/// responses, and the log matters most when the decision log hangs.
struct Stderr {
    output: LineWriter,
    /// The last line was written without its end.
    torn: AtomicBool,
}

impl io::Write for &Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let torn = self.torn.load(Ordering::Relaxed);
        let bytes = if torn {
            Cow::Owned([b"\n", line].concat())
        } else {
            Cow::Borrowed(line)
        };
        // A failure is ignored: there is no other place to report it.
        match self.output.attempt(&bytes) {
            Attempt::Written(written) => {
                self.torn.store(written < bytes.len(), Ordering::Relaxed);
            }
            Attempt::MayWait if self.output.writable(Duration::ZERO) => {
                self.output.write_all(&bytes);
            }
            _ => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PARTS, filter};

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in [
            "",
            "info",
            "DEBUG",
            "off",
            "info,migration_warden=debug",
            "warn,migration_warden::server=trace, kube=error",
            "info,[review{name=shop}]=debug",
        ] {
            assert_eq!(filter(good), Ok(good.to_owned()));
        }
        let levels = "is not one of error, warn, info, debug, trace, off";
        for (bad, word, meant) in [
            ("debgu", "debgu", "; did you mean debug?"),
            ("Inof", "Inof", "; did you mean info?"),
            ("loud", "loud", ""),
            (
                "info,migration_warden=debgu",
                "debgu",
                "; did you mean debug?",
            ),
            ("info,migration_warden", "migration_warden", ""),
        ] {
            assert_eq!(filter(bad), Err(format!("{word:?} {levels}{meant}")));
        }
    }
    #[test]
    fn a_name_that_selects_no_part_is_refused() {
        for (bad, word, meant) in [
            (
                "x=debug",
                "x",
                "write migration_warden, migration_warden::server, or a crate such as kube_client",
            ),
            (
                "info,migration_wardn=debug",
                "migration_wardn",
                "did you mean migration_warden?",
            ),
            (
                "warden::sever=debug",
                "warden::sever",
                "did you mean migration_warden::server?",
            ),
            (
                "kube_clinet=trace",
                "kube_clinet",
                "did you mean kube_client?",
            ),
        ] {
            let message = format!("{word:?} is not a part of the program that logs; {meant}");
            assert_eq!(filter(bad), Err(message));
        }
    }

    /// A crate logs if it depends on one of the two that take a line.
    #[test]
    fn the_parts_are_those_that_can_log() {
        let lock = include_str!("../../Cargo.lock");
        let packages = lock.split("[[package]]").filter_map(|package| {
            let logs = ["\n \"log\"", "\n \"tracing\""];
            let name = package.split('"').nth(1)?;
            logs.iter().any(|log| package.contains(log)).then_some(name)
        });
        for name in packages.filter(|name| !name.starts_with("tracing") && *name != "jni") {
            let name = name.replace('-', "_");
            assert!(PARTS.iter().any(|part| part.starts_with(&name)), "{name}");
        }
    }
}
