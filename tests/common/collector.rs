//! A real OpenTelemetry collector, which `tests/otlp/build` builds and `MW_COLLECTOR` names.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

/// A process that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("waited 20 s in vain for {what}");
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A collector that writes down in words what it gets.
pub(crate) struct Collector {
    /// Where it takes OTLP over HTTP.
    pub(crate) port: u16,
    said: PathBuf,
    _process: Running,
}

impl Collector {
    /// It takes OTLP over gRPC at this port.
    pub(crate) fn start(folder: &TempDir, grpc: u16) -> Self {
        let program = std::env::var_os("MW_COLLECTOR").expect("MW_COLLECTOR, see tests/otlp/build");
        let (port, said) = (free_port(), folder.path().join("collector.log"));
        let config = folder.path().join("collector.yaml");
        let pipeline = json!({"receivers": ["otlp"], "exporters": ["debug"]});
        let settings = json!({
            "receivers": {"otlp": {"protocols": {
                "http": {"endpoint": format!("127.0.0.1:{port}")},
                "grpc": {"endpoint": format!("127.0.0.1:{grpc}")},
            }}},
            "exporters": {"debug": {"verbosity": "detailed"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": pipeline, "logs": pipeline},
            },
        });
        fs::write(&config, settings.to_string()).unwrap();
        let log = File::create(&said).unwrap();
        let process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let collector = Self {
            port,
            said,
            _process: Running(process),
        };
        eventually("the collector", || {
            let said = collector.said();
            said.contains("Everything is ready").then_some(())
        });
        collector
    }

    /// What it has got so far, in words.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }
}

/// The pieces of what the collector said that begin with this.
pub(crate) fn blocks<'a>(said: &'a str, start: &str) -> Vec<&'a str> {
    said.split(start).skip(1).collect()
}
