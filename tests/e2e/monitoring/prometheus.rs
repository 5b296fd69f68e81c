//! A Prometheus that scrapes one replica.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Cluster, Outcome, epoch, eventually};

/// A running Prometheus; dropping it ends it.
pub(super) struct Prometheus {
    process: Child,
    address: String,
    dir: TempDir,
}

impl Prometheus {
    /// Scrapes this address every second, with the labels that a `ServiceMonitor` gives.
    pub(super) fn of(target: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n- job_name: migration-warden\n  static_configs:\n  \
             - {{targets: ['{target}'], labels: {{namespace: migration-warden, pod: migration-warden-0}}}}\n"
        );
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        // It cannot tell which port it chose; should another have taken it meanwhile, it ends and says so.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address = free.unwrap().to_string();
        let mut command = Cluster::get().prometheus();
        command
            .current_dir(dir.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap());
        let mut prometheus = Self {
            process: command.spawn().unwrap(),
            address,
            dir,
        };
        eventually("Prometheus to have scraped the replica", || {
            let exit = prometheus.process.try_wait().unwrap();
            let log = || fs::read_to_string(prometheus.dir.path().join("log")).unwrap();
            assert!(exit.is_none(), "prometheus ended: {exit:?}\n{}", log());
            let answer = prometheus.ask("query", &[("query", "up == 1")]);
            let up: Value = serde_json::from_str(&answer.stdout).ok()?;
            (up["data"]["result"].as_array()?.len() == 1).then_some(())
        });
        prometheus
    }

    /// The series of this expression now.
    pub(super) fn now(&self, query: &str) -> Value {
        self.answer("query", &[("query", query)])
    }

    /// The series of this expression in the last `seconds`, with a sample every `step` seconds.
    pub(super) fn over(&self, query: &str, seconds: u64, step: u64) -> Value {
        let end = epoch();
        let times = [end - seconds, end, step].map(|time| time.to_string());
        let [start, end, step] = &times;
        let parameters = [
            ("query", query),
            ("start", start),
            ("end", end),
            ("step", step),
        ];
        self.answer("query_range", &parameters)
    }

    /// What it answers to this query, which it has to take.
    #[track_caller]
    fn answer(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let outcome = self.ask(path, parameters).succeeds();
        let mut answer = outcome.json();
        assert_eq!(answer["status"], "success", "{parameters:?}: {outcome}");
        answer["data"]["result"].take()
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Outcome {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error"]);
        for (name, text) in parameters {
            curl.arg("--data-urlencode").arg(format!("{name}={text}"));
        }
        curl.arg(format!("http://{}/api/v1/{path}", self.address));
        Outcome::of(&mut curl, "")
    }
}

/// The numbers of all samples of these series.
pub(super) fn numbers(series: &Value) -> Vec<f64> {
    let series = series.as_array().unwrap().iter();
    series
        .flat_map(|one| match one["values"].as_array() {
            Some(samples) => samples.clone(),
            None => vec![one["value"].clone()],
        })
        // A sample is its time and a string.
        .map(|sample| sample[1].as_str().unwrap().parse().unwrap())
        .collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
