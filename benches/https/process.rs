//! Servers as child processes: their certificate, their start, and what the kernel says they use.

use crate::floor_server::Floor;
use crate::policies;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    fs::{self, File},
    io::Read,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

/// The argument with which this program is a floor server.
pub(crate) const FLOOR: &str = "--floor-server";

/// Linux tells CPU time in these to programs, whatever it counts in itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server to measure.
#[derive(Clone, Debug)]
pub(crate) enum Contender {
    Floor(Floor),
    /// A `migration-warden`, whether its decision log is a file rather than a pipe, and how many entries of its policy
    /// adopt Jobs.
    Warden {
        name: &'static str,
        program: PathBuf,
        to_file: bool,
        entries: usize,
    },
}

impl Contender {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Floor(floor) => format!("floor-{}", floor.name()),
            Self::Warden { name, .. } => (*name).to_owned(),
        }
    }

    /// Starts it with the certificate in `dir`, on a port that was free a moment ago.
    pub(crate) fn start(&self, dir: &Path) -> Server {
        let port = free_port();
        let mut command = match self {
            Self::Floor(floor) => {
                let mut command = Command::new(std::env::current_exe().expect("own path"));
                command.args([FLOOR, floor.name(), &port.to_string()]);
                command.arg(dir);
                command.stdout(Stdio::piped());
                command
            }
            Self::Warden {
                program,
                to_file,
                entries,
                ..
            } => {
                let mut command = Command::new(program);
                command.args(["serve", "--log-level", "info", "--tls-dir"]);
                command.arg(dir);
                command.args(["--listen", &format!("127.0.0.1:{port}")]);
                command.args(["--admin-listen", "127.0.0.1:0"]);
                if *entries > 0 {
                    let policy = dir.join(format!("policy-{port}.yaml"));
                    fs::write(&policy, policies::adopting(*entries)).expect("a policy file");
                    command.arg("--config").arg(policy);
                }
                if *to_file {
                    let log = File::create(dir.join(format!("decisions-{port}.log")));
                    command.stdout(log.expect("a log file"));
                } else {
                    command.stdout(Stdio::piped());
                }
                command
            }
        };
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server that starts");
        if let Some(log) = child.stdout.take() {
            // Ends with the process.
            thread::spawn(move || drain(log));
        }
        Server { child, port }
    }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, which the measurement will have told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Seconds of CPU so far, the kernel's part included, to 10 ms.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // utime and stime are the 14th and 15th of all fields; the third is the first one here.
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|ticks| ticks.parse::<f64>().expect("a number"));
        ticks.sum::<f64>() / TICKS_PER_SECOND
    }

    /// Resident memory in MiB: now, and at its peak.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = self.proc("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse::<f64>().ok())
                .unwrap_or(f64::NAN)
                / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(path).expect("a server that still runs")
    }
}

/// Reads a decision log as a log collector would, and throws it away.
fn drain(mut log: ChildStdout) {
    let mut buffer = vec![0; 64 << 10];
    while log.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Puts a certificate for `localhost` and its ECDSA P-256 key into `dir`.
pub(crate) fn make_certificate(dir: &Path) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert_file, key_file) = certificate_files(dir);
    fs::write(cert_file, cert.pem()).expect("a writable directory");
    fs::write(key_file, signing_key.serialize_pem()).expect("a writable directory");
}

/// Where certificate and key are.
pub(crate) fn certificate_files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("tls.crt"), dir.join("tls.key"))
}
