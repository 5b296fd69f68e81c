//! What becomes of an attempt whose write the API server does not answer.

use std::sync::Mutex;
use std::time::Duration;

use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::cluster::api::testing;
use crate::core::job::Kind;
use crate::core::job::object::Object;
use crate::core::policy_file::validate::builtin;
use crate::host::metrics::Registry;

/// An API server without Jobs that answers so to one write of the claim after the other, and stores it or not.
#[derive(Default)]
struct Server {
    answers: Vec<(u16, bool)>,
    lease: Option<Value>,
    asked: Vec<String>,
}

impl Server {
    fn answer(&mut self, verb: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let status = |code| {
            let reason = if code == 404 { "NotFound" } else { "" };
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code}),
            )
        };
        if !path.contains("/leases") {
            return (200, json!({"metadata": {}, "items": []}));
        }
        self.asked.push(verb.to_owned());
        if verb == "GET" {
            return self
                .lease
                .clone()
                .map_or_else(|| status(404), |lease| (200, lease));
        }
        let (code, is_stored) = self.answers.remove(0);
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        lease["metadata"]["uid"] = json!("l1");
        lease["metadata"]["resourceVersion"] = json!(self.asked.len().to_string());
        if is_stored {
            self.lease = Some(lease.clone());
        }
        if code == 200 {
            (200, lease)
        } else {
            status(code)
        }
    }
}

/// The outcome of an attempt, and the verbs of the requests for the claim.
async fn take(answers: &[(u16, bool)]) -> (Result<Taken, ClaimError>, String) {
    let server = Arc::new(Mutex::new(Server {
        answers: answers.to_vec(),
        ..Server::default()
    }));
    let shared = Arc::clone(&server);
    let client = testing::client(move |request| {
        let server = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let (verb, path) = (parts.method.as_str(), parts.uri.path());
            server.lock().unwrap().answer(verb, path, &body)
        }
    });
    let claims = Claims::new(
        client,
        Jobs::default(),
        ClaimMetrics::new(&mut Registry::new()),
    );
    let job = crate::testing::job(|_| {});
    let object = Object::deserialize(&job).unwrap();
    let policy = Arc::new(builtin());
    let wanted = Wanted {
        keys: &Key::all_of(&job::Job::new(&object, Kind::Job, "shop"), &policy.claims),
        policy: &policy,
        claimant: Claimant {
            namespace: "shop",
            job: "shop-migrate-1766361600",
            generate_name: None,
            uid: "u1",
            created: Timestamp::UNIX_EPOCH,
            user: "ci",
        },
        dry_run: false,
        supersedes: None,
    };
    let taken = claims
        .take(&wanted, Instant::now() + Duration::from_secs(60))
        .await;
    let asked = server.lock().unwrap().asked.join(" ");
    (taken, asked)
}

#[tokio::test]
async fn a_write_without_an_answer_is_decided_anew_once() {
    for (answers, asked, is_held) in [
        (vec![(200, true)], "GET POST", true),
        // It has not taken effect, or it has: then the claim is our own, and is written again.
        (vec![(503, false), (200, true)], "GET POST GET POST", true),
        (vec![(500, true), (200, true)], "GET POST GET PUT", true),
        (vec![(503, false), (503, false)], "GET POST GET POST", false),
        // It would be refused again.
        (vec![(403, false)], "GET POST", false),
    ] {
        let (taken, verbs) = take(&answers).await;
        assert_eq!(verbs, asked, "{answers:?}: {taken:?}");
        assert_eq!(
            matches!(taken, Ok(Taken::Held { taken_over: None })),
            is_held,
            "{taken:?}"
        );
    }
}
