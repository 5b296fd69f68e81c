//! The binary under test, serving.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, PipeWriter, Read as _, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use migration_warden::host::tls::issue;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cluster, Faulty, Outcome, Proxy, eventually};
use crate::published::is_as_published;

/// A running `migration-warden serve`; dropping it ends it.
pub(crate) struct Warden {
    process: Child,
    command: Command,
    /// The end of its log that it writes to.
    log: PipeWriter,
    port: u16,
    admin: u16,
    dir: TempDir,
    read: Arc<Mutex<Read>>,
    marks: AtomicU64,
}

/// What has been read of its log.
#[derive(Default)]
struct Read {
    decisions: Vec<Value>,
    /// The last mark of ours in it.
    mark: u64,
}

impl Warden {
    /// Serves this policy, given without its `apiVersion` and `kind`, without a cluster.
    pub(crate) fn serve(policy: &str) -> Self {
        Self::with(policy).serve()
    }

    /// How to serve this policy, given without its `apiVersion` and `kind`.
    pub(crate) fn with(policy: &str) -> Setup<'_> {
        Setup {
            policy,
            args: Vec::new(),
            kubeconfig: None,
            registered_as: None,
            program: PathBuf::from(env!("CARGO_BIN_EXE_migration-warden")),
        }
    }

    /// Waits until it is ready.
    pub(crate) fn is_ready(&self) {
        eventually("the webhook to be ready", || {
            let answer = self.admin("/readyz");
            answer.starts_with("HTTP/1.1 200").then_some(())
        });
    }

    /// What it answers to its operators.
    pub(crate) fn admin(&self, path: &str) -> String {
        let mut answer = String::new();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.admin))
            && stream.write_all(request.as_bytes()).is_ok()
        {
            let _ = stream.read_to_string(&mut answer);
        }
        answer
    }

    /// The value of a series, its labels included in the name.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.admin("/metrics");
        let prefix = format!("migration_warden_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value.expect(series).parse().unwrap()
    }

    /// Starts it, and waits until it listens.
    fn begin(setup: &Setup<'_>) -> Self {
        let dir = TempDir::new().unwrap();
        let mut command = setup.command(dir.path());
        // It outlives the process, as a container runtime's does.
        let (stdout, log) = io::pipe().unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let read = Arc::new(Mutex::new(Read::default()));
        let stdout = BufReader::new(stdout);
        let sink = Arc::clone(&read);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value: Value = serde_json::from_str(&line).expect("stdout has only JSON lines");
                if let Some(mark) = value.as_u64() {
                    sink.lock().unwrap().mark = mark;
                    continue;
                }
                is_as_published(&value);
                if value["kind"] == "decision" {
                    sink.lock().unwrap().decisions.push(value);
                }
            }
        });
        let mut warden = Self {
            process,
            command,
            log,
            port: 0,
            admin: 0,
            dir,
            read,
            marks: AtomicU64::new(0),
        };
        warden.wait();
        warden
    }

    fn wait(&mut self) {
        eventually("the webhook to listen", || {
            let exit = self.process.try_wait().unwrap();
            assert!(exit.is_none(), "serve ended: {exit:?}\n{}", self.stderr());
            (self.port, self.admin) = self.ports()?;
            Some(())
        });
    }

    /// Crashes, and starts again on the same port, with the same certificate and the same log.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let args: Vec<_> = self.command.get_args().collect();
        let port = args.iter().position(|arg| *arg == "--listen").unwrap() + 1;
        let mut command = Command::new(self.command.get_program());
        command
            .args(&args[..port])
            .arg(format!("127.0.0.1:{}", self.port))
            .args(&args[port + 1..])
            .stdin(Stdio::null())
            .stdout(self.log.try_clone().unwrap())
            .stderr(File::create(self.dir.path().join("stderr")).unwrap());
        for (key, value) in self.command.get_envs() {
            command.env(key, value.unwrap());
        }
        self.process = command.spawn().unwrap();
        self.wait();
        self.is_ready();
    }

    /// Where probes and metrics are, without a scheme.
    pub(crate) fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }

    /// Has it another policy in its file, which it takes into use some time soon if it can.
    pub(crate) fn change_policy(&self, policy: &str) {
        write_policy(self.dir.path(), policy);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// The CA that `serve` made for itself, as PEM.
    pub(crate) fn ca(&self) -> String {
        fs::read_to_string(self.ca_path()).unwrap()
    }

    fn ca_path(&self) -> PathBuf {
        self.dir.path().join("tls/ca.crt")
    }

    /// Every decision so far, those of all reviews that have been answered among them: each is in the log
    /// before its answer is sent, and the log is read to a mark that is made now.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed) + 1;
        let line = format!("{mark}\n");
        (&self.log).write_all(line.as_bytes()).unwrap();
        eventually("the log to be read", || {
            let read = self.read.lock().unwrap();
            (read.mark >= mark).then(|| read.decisions.clone())
        })
    }

    /// The first decision that is so, waiting for it.
    pub(crate) fn decision(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a decision: {what}"), || {
            let read = self.read.lock().unwrap();
            read.decisions.iter().find(|d| is(d)).cloned()
        })
    }

    /// Sends a review as the apiserver would, and returns the answer.
    pub(crate) fn post(&self, path: &str, review: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--data-binary",
            "@-",
        ])
        .args(["--header", "Content-Type: application/json", "--cacert"])
        .arg(self.ca_path())
        .arg(self.url(path));
        Outcome::of(&mut curl, review).succeeds().json()
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Where it says that it serves. It chooses the ports itself: one that was free a moment ago may
    /// be another's by the time it is used.
    fn ports(&self) -> Option<(u16, u16)> {
        let log = self.stderr();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let serving = lines.find(|line| line["message"] == "serving")?;
        let port = |name: &str| serving[name].as_str()?.rsplit(':').next()?.parse().ok();
        Some((port("address")?, port("admin")?))
    }

    /// The most memory that it has had resident so far, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        peak_mib(self.process.id())
    }

    /// What it has said to its operators.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }
}

/// How a [`Warden`] is to be started. It knows no cluster unless one of these methods is called.
#[must_use]
pub(crate) struct Setup<'a> {
    policy: &'a str,
    args: Vec<String>,
    kubeconfig: Option<Value>,
    registered_as: Option<&'a str>,
    program: PathBuf,
}

impl<'a> Setup<'a> {
    /// With all rights in the cluster under test. Its claims are in the namespace `default`, where every replica gives
    /// up claims of Jobs that have ended: which one did that is known only in a namespace of the test's own.
    pub(crate) fn cluster(self) -> Self {
        self.kubeconfig(|_| {})
    }

    /// With its claims in this namespace.
    pub(crate) fn claims_in(self, namespace: &str) -> Self {
        self.kubeconfig(|config| config["contexts"][0]["context"]["namespace"] = namespace.into())
    }

    /// With no more rights than this user has.
    pub(crate) fn user(self, user: &str) -> Self {
        self.kubeconfig(|config| config["users"][0]["user"]["as"] = user.into())
    }

    /// With all rights, under this name.
    pub(crate) fn admin(self, user: &str) -> Self {
        self.user(user).kubeconfig(|config| {
            config["users"][0]["user"]["as-groups"] = json!(["system:masters"]);
        })
    }

    /// Another version's program, if one is given.
    pub(crate) fn program(mut self, other: Option<OsString>) -> Self {
        self.program = other.map_or(self.program, PathBuf::from);
        self
    }

    /// With all rights, and an API server that often fails.
    pub(crate) fn by(self, faulty: &Faulty) -> Self {
        self.kubeconfig(|config| {
            config["clusters"][0]["cluster"] = json!({"server": faulty.url()});
            config["users"][0]["user"] = json!({});
        })
    }

    pub(crate) fn through(self, proxy: &Proxy) -> Self {
        self.kubeconfig(|config| config["clusters"][0]["cluster"]["server"] = proxy.url().into())
    }

    /// As a replica of the installation whose webhook configurations have this name.
    pub(crate) fn registered_as(mut self, name: &'a str) -> Self {
        self.registered_as = Some(name);
        self
    }

    pub(crate) fn args(mut self, more: &[&str]) -> Self {
        self.args.extend(more.iter().map(|&arg| arg.to_owned()));
        self
    }

    fn kubeconfig(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let config = self.kubeconfig.get_or_insert_with(|| {
            let text = fs::read_to_string(Cluster::get().kubeconfig()).unwrap();
            let mut config: Value = serde_saphyr::from_str(&text).unwrap();
            config["contexts"][0]["context"]["namespace"] = "default".into();
            config
        });
        change(config);
        self
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn serve(self) -> Warden {
        let warden = self.begin();
        warden.is_ready();
        warden
    }

    /// Starts it, and waits only until it listens.
    pub(crate) fn begin(self) -> Warden {
        Warden::begin(&self)
    }

    /// `serve` with its files in this folder.
    fn command(&self, dir: &Path) -> Command {
        let tls = dir.join("tls");
        issue::ensure(&tls, jiff::Timestamp::now()).unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--config"])
            .arg(write_policy(dir, self.policy))
            .arg("--tls-dir")
            .arg(&tls);
        if let Some(config) = &self.kubeconfig {
            let path = dir.join("kubeconfig");
            fs::write(&path, config.to_string()).unwrap();
            command
                .args(["--cluster", "kubeconfig"])
                .env("KUBECONFIG", path);
        }
        if let Some(name) = self.registered_as {
            command
                .args(["--webhook-configuration", name, "--ca-bundle"])
                .arg(tls.join("ca.crt"));
        }
        command.args(&self.args);
        command
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("serve said:\n{}", self.stderr());
            // One test makes hundreds.
            if let Ok(read) = self.read.lock() {
                for decision in read.decisions.iter().rev().take(8).rev() {
                    eprintln!("decision: {decision}");
                }
            }
        }
    }
}

/// `migration-warden check --format json` on this text, under this policy.
pub(crate) fn check(policy: &str, manifest: &str) -> Outcome {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command.args(["check", "--format", "json", "--config"]);
    command.arg(write_policy(dir.path(), policy)).arg("-");
    Outcome::of(&mut command, manifest)
}

/// `migration-warden generate` of this kind under this policy.
pub(crate) fn generate(what: &str, policy: &str, args: &[&str]) -> Outcome {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command.args(["generate", what, "--config"]);
    command.arg(write_policy(dir.path(), policy)).args(args);
    Outcome::of(&mut command, "")
}

/// The most memory that this process has had resident so far, in MiB.
pub(crate) fn peak_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024
}

fn write_policy(dir: &Path, policy: &str) -> PathBuf {
    const HEADER: &str = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    let path = dir.join("policy.yaml");
    fs::write(&path, HEADER.to_owned() + policy).unwrap();
    path
}
