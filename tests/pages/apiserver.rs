//! An apiserver of ours, and the program that asks it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use assert_cmd::Command;
use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A request that came: path and query.
type Asked = (String, HashMap<String, String>);

/// Answers by status and body.
type Answer = fn(&str, &HashMap<String, String>) -> (u16, Value);

type Handler = (Answer, Arc<Mutex<Vec<Asked>>>);

pub(crate) struct Apiserver {
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

impl Apiserver {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let router = Router::new().fallback(respond).with_state((answer, seen));
                axum_server::from_tcp(listener)
                    .unwrap()
                    .serve(router.into_make_service())
                    .await
                    .unwrap();
            });
        });
        let dir = kubeconfig(address);
        Self {
            asked,
            address,
            dir,
        }
    }

    /// How errors name it.
    pub(crate) fn name(&self) -> String {
        format!("the API server at http://{}", self.address)
    }

    pub(crate) fn kubeconfig(&self) -> String {
        self.dir.path().join("kubeconfig").display().to_string()
    }

    pub(crate) fn run(&self, args: &[&str]) -> (i32, String, String) {
        run(&self.dir, args)
    }

    /// Path, limit and token of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let field = |query: &HashMap<String, String>, name| {
            query.get(name).cloned().unwrap_or_else(|| "-".to_owned())
        };
        let line = |(path, query): &Asked| {
            format!(
                "{path} {} {}",
                field(query, "limit"),
                field(query, "continue")
            )
        };
        asked.iter().map(line).collect()
    }
}

async fn respond(State((answer, seen)): State<Handler>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = query.collect();
    let (code, body) = answer(&path, &query);
    seen.lock().unwrap().push((path, query));
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(code).unwrap(), json, body.to_string()).into_response()
}

fn kubeconfig(address: SocketAddr) -> TempDir {
    let dir = TempDir::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [
            {"name": "test", "cluster": {"server": format!("http://{address}")}},
            {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "contexts": [
            {"name": "one", "context": {"cluster": "test", "user": "me", "namespace": "shop"}},
            {"name": "nowhere", "context": {"cluster": "nowhere", "user": "me"}},
        ],
        "users": [{"name": "me", "user": {"token": "s3cr3t-token"}}],
    });
    std::fs::write(dir.path().join("kubeconfig"), config.to_string()).unwrap();
    dir
}

/// Exit code, standard output and standard error.
fn run(dir: &TempDir, args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("migration-warden")
        .unwrap()
        .env_clear()
        .env("KUBECONFIG", dir.path().join("kubeconfig"))
        .args(args)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!format!("{out}{err}").contains("s3cr3t"), "{out}{err}");
    (output.status.code().unwrap(), out, err)
}

pub(crate) fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, status)
}
