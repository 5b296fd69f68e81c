//! A Prometheus that scrapes one replica.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Cluster, Outcome, eventually};

/// A running Prometheus; dropping it ends it.
pub(super) struct Prometheus {
    process: Child,
    address: String,
    dir: TempDir,
}

impl Prometheus {
    /// Scrapes this address every second, with the labels that a ServiceMonitor gives.
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

    /// Every sample of this expression's values now.
    pub(super) fn now(&self, query: &str) -> Vec<f64> {
        let answer = self.answer("query", &[("query", query)]);
        let series = answer["result"].as_array().unwrap();
        series
            .iter()
            .map(|series| value(&series["value"]))
            .collect()
    }

    /// Every sample of this expression's values in the last `seconds`, one each second.
    pub(super) fn over(&self, query: &str, seconds: u64) -> Vec<f64> {
        let end = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let (start, end) = ((end - seconds).to_string(), end.to_string());
        let parameters = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        let answer = self.answer("query_range", &parameters);
        let series = answer["result"].as_array().unwrap();
        series
            .iter()
            .flat_map(|series| series["values"].as_array().unwrap())
            .map(value)
            .collect()
    }

    /// What it answers to this query, which it has to take.
    #[track_caller]
    fn answer(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let outcome = self.ask(path, parameters).succeeds();
        let mut answer = outcome.json();
        assert_eq!(answer["status"], "success", "{parameters:?}: {outcome}");
        answer["data"].take()
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

/// The number of a sample, which is its time and a string.
fn value(sample: &Value) -> f64 {
    sample[1].as_str().unwrap().parse().unwrap()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
