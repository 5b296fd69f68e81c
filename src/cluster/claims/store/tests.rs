//! What becomes of an attempt whose write the API server does not answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use http_body_util::BodyExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::cluster::api::testing;
use crate::cluster::claims::key::Key;
use crate::core::job::object::Object;
use crate::core::job::{self, Kind};
use crate::core::policy_file::validate::builtin;
use crate::host::metrics::Registry;

/// An API server without Jobs that answers so to one write of a claim after the other, and stores it or not. Then it
/// answers as it should.
#[derive(Default)]
struct Server {
    answers: VecDeque<(u16, bool)>,
    /// By name.
    leases: HashMap<String, Value>,
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
        let name = path.rsplit('/').next().unwrap();
        if verb == "GET" {
            let lease = self.leases.get(name).cloned();
            return lease.map_or_else(|| status(404), |lease| (200, lease));
        }
        if verb == "DELETE" {
            return match self.leases.remove(name) {
                Some(_) => (
                    200,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                ),
                None => status(404),
            };
        }
        let (code, is_stored) = self.answers.pop_front().unwrap_or((200, true));
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        lease["metadata"]["uid"] = json!("l1");
        lease["metadata"]["resourceVersion"] = json!(self.asked.len().to_string());
        if is_stored {
            let name = lease["metadata"]["name"].as_str().unwrap().to_owned();
            self.leases.insert(name, lease.clone());
        }
        if code == 200 {
            (200, lease)
        } else {
            status(code)
        }
    }
}

/// The outcome of an attempt, and the verbs of the requests for the claims.
async fn take(
    answers: &[(u16, bool)],
    database: Option<&str>,
) -> (Result<Taken, ClaimError>, String) {
    let server = Arc::new(Mutex::new(Server {
        answers: answers.to_vec().into(),
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
    let job = crate::testing::job(|job| {
        job["metadata"]["annotations"]["migration-warden.io/database"] = json!(database);
    });
    let object = Object::deserialize(&job).unwrap();
    let policy = Arc::new(builtin());
    let wanted = Wanted {
        keys: &Key::all_of(
            &job::Job::new(&object, Kind::Job, "shop"),
            &policy.claims,
            None,
        ),
        policy: &policy,
        claimant: Claimant {
            namespace: "shop",
            job: "shop-migrate-1766361600",
            generate_name: None,
            uid: "u1",
            created: Timestamp::UNIX_EPOCH,
            user: "ci",
        },
        is_adopted: false,
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
        let (taken, verbs) = take(&answers, None).await;
        assert_eq!(verbs, asked, "{answers:?}: {taken:?}");
        assert_eq!(
            matches!(taken, Ok(Taken::Held { taken_over: None })),
            is_held,
            "{taken:?}"
        );
    }
}

/// Whatever keeps the second one from being written.
#[tokio::test]
async fn the_first_of_two_claims_does_not_stay_behind() {
    let refused = [(200, true), (403, false)];
    let (taken, verbs) = take(&refused, Some("orders")).await;
    assert!(matches!(taken, Err(ClaimError::Api(_))), "{taken:?}");
    assert_eq!(verbs, "GET GET POST POST DELETE");
    // Another Job was faster, and is gone.
    let lost = [(200, true), (409, false)];
    let (taken, verbs) = take(&lost, Some("orders")).await;
    assert!(matches!(taken, Ok(Taken::Held { .. })), "{taken:?}");
    assert_eq!(verbs, "GET GET POST POST DELETE GET GET POST POST");
}
