//! The process's own log, on stderr: stdout carries the decision lines.
//!
//! Not for decisions, and not for metrics.

mod short;

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

/// Takes the log besides stderr, after the filter.
pub type Another = Box<dyn Layer<Layered<EnvFilter, Registry>> + Send + Sync>;

/// The field with where a panic came from, which has many lines: it is asked for by `RUST_BACKTRACE`.
pub(crate) const BACKTRACE: &str = "backtrace";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people. Coloured when stderr is a terminal and `NO_COLOR` is not set.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "the log level is neither a level such as info nor a filter such as info,migration_warden=debug: {0}"
    )]
    Filter(#[from] ParseError),
    /// Stderr cannot be used.
    #[error("failed to open stderr: {0}")]
    Stderr(#[from] io::Error),
    /// There is a log already.
    #[error("failed to set up the log: {0}")]
    Init(#[from] TryInitError),
}

/// Starts the process's log. `filter` is a list such as `info,migration_warden=debug`; what passes it goes to
/// stderr, and to `another`.
///
/// Panics are logged too: where they happened, and only a message that is a literal, because any
/// other may quote what was being worked on.
pub fn init(
    format: LogFormat,
    filter: &str,
    another: Option<Another>,
) -> Result<(), TelemetryError> {
    // What this part warns of quotes the answers of the apiserver, and Secrets are among them.
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

/// Stderr that drops a line, or the rest of one, rather than wait: a log collector that hangs must
/// not hang the answers, and it is when the decision log hangs that there is something to say here.
struct Stderr {
    output: LineWriter,
    /// The last line is out without its end.
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
        // A log that cannot be written has nowhere to say so.
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
