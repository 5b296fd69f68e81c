//! Rounds of writes, against a service that answers like an API server and fails on demand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::cluster::WatchMetrics;
use crate::cluster::api::testing;
use crate::cluster::exceptions::{ExceptionMetrics, Exceptions};
use crate::core::policy::finding::ExceptionRef;
use crate::host::metrics::Registry;
use crate::host::policy_watch::PolicyMetrics;

/// An API server that refuses, or does not answer, what is about the exceptions `a…`.
#[derive(Default)]
struct Server {
    refuses: AtomicBool,
    hangs: AtomicBool,
    /// The exceptions whose status was written.
    written: Mutex<Vec<String>>,
    /// The requests that have no answer yet, and most of them so far.
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        testing::client(move |request| {
            let (server, path) = (Arc::clone(&server), request.uri().path().to_owned());
            async move {
                let open = server.open.fetch_add(1, Ordering::Relaxed) + 1;
                server.most.fetch_max(open, Ordering::Relaxed);
                tokio::task::yield_now().await;
                server.open.fetch_sub(1, Ordering::Relaxed);
                let name = path.split('/').nth(7).unwrap().to_owned();
                if name.starts_with('a') {
                    if server.hangs.load(Ordering::Relaxed) {
                        return std::future::pending().await;
                    }
                    if server.refuses.load(Ordering::Relaxed) {
                        return (500, json!({}));
                    }
                }
                let object = json!({"metadata": {"namespace": "shop", "name": name, "uid": "u1"}});
                if path.ends_with("/status") {
                    server.written.lock().unwrap().push(name);
                }
                (200, object)
            }
        })
    }

    fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.written.lock().unwrap())
    }
}

fn writer(client: Client) -> Writer {
    let mut registry = Registry::new();
    let policy = LivePolicy::builtin(&PolicyMetrics::new(&mut registry));
    let (metrics, failures) = (
        ExceptionMetrics::new(&mut registry),
        WatchMetrics::new(&mut registry),
    );
    let (live, events) = (policy.clone(), Events::default());
    let (known, _) = Exceptions::watch(client.clone(), live, metrics, failures, events);
    Writer::new(client, known.0.unwrap(), policy, Events::default())
}

fn key(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn learn(writer: &Writer, name: &str) {
    let entry = Entry {
        read: Err("it is not valid".to_owned()),
        condition: None,
    };
    writer.shared.change(|known| {
        known.insert(key(name), entry);
    });
}

/// A writer that knows twenty-one exceptions without a status, of which the server treats the last one well.
fn crowded() -> (Arc<Server>, Writer) {
    let server = Arc::new(Server::default());
    let writer = writer(server.client());
    for index in 0..20 {
        learn(&writer, &format!("a{index:02}"));
    }
    learn(&writer, "b");
    (server, writer)
}

fn used(name: &str) -> Use {
    Use {
        exception: Arc::new(ExceptionRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: "u1".to_owned(),
            expires_at: Timestamp::MAX,
        }),
        rules: vec!["MW001"],
        job: "shop-migrate".to_owned(),
        at: Timestamp::now(),
    }
}

#[tokio::test]
async fn a_status_that_was_not_written_comes_last_and_keeps_its_uses() {
    let (server, writer) = crowded();
    let mut progress = Progress::default();
    progress.merge(used("a00"));
    progress.merge(used("a00"));
    server.refuses.store(true, Ordering::Relaxed);
    writer.write(&mut progress).await;
    assert_eq!(server.written(), ["b"]);
    assert_eq!(server.most.load(Ordering::Relaxed), WRITERS);
    assert_eq!(progress.pending[&key("a00")].uses, 2);

    server.refuses.store(false, Ordering::Relaxed);
    learn(&writer, "c");
    writer.write(&mut progress).await;
    let written = server.written();
    assert_eq!((written.len(), &*written[0]), (21, "c"));
    assert!(progress.pending.is_empty() && progress.failed.is_empty());
    writer.write(&mut progress).await;
    assert_eq!(server.written(), Vec::<String>::new(), "all is written");

    writer.shared.change(BTreeMap::clear);
    progress.merge(used("a00"));
    writer.write(&mut progress).await;
    assert!(progress.pending.is_empty() && progress.told.is_empty());
}

#[tokio::test(start_paused = true)]
async fn statuses_that_hang_do_not_keep_the_others_waiting_for_long() {
    let (server, writer) = crowded();
    let mut progress = Progress::default();
    server.hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    for _ in 0..3 {
        writer.write(&mut progress).await;
    }
    assert_eq!(server.written(), ["b"]);
    assert!(begun.elapsed() < TIMEOUT * 4);
}
