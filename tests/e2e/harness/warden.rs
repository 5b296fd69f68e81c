//! The binary under test, serving.

use std::{
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

use super::{Cluster, Outcome, Proxy, eventually};
use crate::published::is_as_published;

/// Where replicas keep their claims unless a test says otherwise. All of them give up any claim there whose Job
/// has ended, so which replica did that is known only in a namespace of a test's own.
const SHARED: &str = "default";

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
    /// Serves this policy, given without its `apiVersion` and `kind`, and waits until it is ready.
    pub(crate) fn serve(policy: &str) -> Self {
        Self::start(policy, |command| command)
    }

    /// The same, asking the cluster under test for the labels of its namespaces.
    pub(crate) fn serve_with_cluster(policy: &str) -> Self {
        let kubeconfig = Cluster::get().kubeconfig();
        Self::start(policy, |command| {
            command
                .args(["--cluster", "kubeconfig"])
                .env("KUBECONFIG", kubeconfig)
        })
    }

    /// The same, with no more rights than this user has, and with its claims in this namespace.
    pub(crate) fn serve_as(user: &str, namespace: &str, policy: &str) -> Self {
        let warden = Self::begin_as(user, namespace, policy);
        warden.is_ready();
        warden
    }

    /// The same, with more arguments.
    pub(crate) fn serve_with(policy: &str, more: &[&str]) -> Self {
        let warden = Self::begin_with(SHARED, policy, more, |_| {});
        warden.is_ready();
        warden
    }

    /// The same, with all rights, under a name of its own.
    pub(crate) fn serve_under(user: &str, policy: &str) -> Self {
        let warden = Self::begin_with(SHARED, policy, &[], |config| {
            let auth = &mut config["users"][0]["user"];
            auth["as"] = user.into();
            auth["as-groups"] = json!(["system:masters"]);
        });
        warden.is_ready();
        warden
    }

    /// The same as [`Self::serve_as`], without waiting until it is ready.
    pub(crate) fn begin_as(user: &str, namespace: &str, policy: &str) -> Self {
        Self::begin_with(namespace, policy, &[], |config| {
            config["users"][0]["user"]["as"] = user.into();
        })
    }

    /// The same, with all its rights, through this proxy, with more arguments, and without waiting.
    pub(crate) fn begin_through(
        proxy: &Proxy,
        namespace: &str,
        policy: &str,
        more: &[&str],
    ) -> Self {
        Self::begin_with(namespace, policy, more, |config| {
            config["clusters"][0]["cluster"]["server"] = proxy.url().into();
        })
    }

    /// With another kubeconfig than the cluster's own, and its claims in this namespace.
    fn begin_with(
        namespace: &str,
        policy: &str,
        more: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let (_dir, path) = kubeconfig(namespace, change);
        // It has been read by the time that the webhook listens.
        Self::begin(policy, |command| {
            command
                .args(["--cluster", "kubeconfig"])
                .args(more)
                .env("KUBECONFIG", path)
        })
    }

    /// The same, as a replica of the installation in this namespace, whose webhook configurations have its
    /// name.
    pub(crate) fn serve_for(namespace: &str, policy: &str) -> Self {
        let (_dir, path) = kubeconfig(namespace, |_| {});
        Self::start(policy, |command| {
            // The last argument so far is the folder in which it makes its CA.
            let tls = PathBuf::from(command.get_args().last().unwrap());
            command
                .args(["--cluster", "kubeconfig"])
                .args(["--webhook-configuration", namespace])
                .arg("--ca-bundle")
                .arg(tls.join("ca.crt"))
                .env("KUBECONFIG", path)
        })
    }

    fn start(policy: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let warden = Self::begin(policy, change);
        warden.is_ready();
        warden
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
    fn begin(policy: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let dir = TempDir::new().unwrap();
        let config = write_policy(dir.path(), policy);
        let tls = dir.path().join("tls");
        issue::ensure(&tls, jiff::Timestamp::now()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
        command
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .arg("--config")
            .arg(config)
            .arg("--tls-dir")
            .arg(tls);
        // It outlives the process, as a container runtime's does.
        let (stdout, log) = io::pipe().unwrap();
        let process = change(&mut command)
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

/// `migration-warden generate vap` under this policy.
pub(crate) fn generate_vap(policy: &str, args: &[&str]) -> Outcome {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration-warden"));
    command.args(["generate", "vap", "--config"]);
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

/// The cluster's own kubeconfig with this namespace and a change, in a folder that is there as long as the
/// first of both.
fn kubeconfig(namespace: &str, change: impl FnOnce(&mut Value)) -> (TempDir, PathBuf) {
    let text = fs::read_to_string(Cluster::get().kubeconfig()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    config["contexts"][0]["context"]["namespace"] = namespace.into();
    change(&mut config);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    (dir, path)
}

fn write_policy(dir: &Path, policy: &str) -> PathBuf {
    const HEADER: &str = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    let path = dir.join("policy.yaml");
    fs::write(&path, HEADER.to_owned() + policy).unwrap();
    path
}
