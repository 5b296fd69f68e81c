//! One migration at a time: who waits for whom, and what becomes of it where that cannot be known.

mod chaos;
mod forged;
pub(crate) mod patience;
mod superseded;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::PostParams, core::Status};
use serde_json::{Value, json};

use crate::harness::{Chart, Cluster, Guarded, Space, Warden, action, epoch};
use crate::testing;

/// Asks once: kubectl would try again for minutes.
pub(crate) fn create(
    space: &Space,
    manifest: &str,
    params: &PostParams,
) -> Result<Job, Box<Status>> {
    let job: Job = serde_saphyr::from_str(manifest).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Cluster::get().client(space.name(), None).await;
        let jobs: Api<Job> = Api::default_namespaced(client);
        match jobs.create(params, &job).await {
            Ok(job) => Ok(job),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{error:?}"),
        }
    })
}

pub(crate) fn is_created(space: &Space, manifest: &str) -> Value {
    let job = create(space, manifest, &PostParams::default()).unwrap();
    serde_json::to_value(job).unwrap()
}

pub(crate) fn waits(space: &Space, manifest: &str) -> String {
    waits_for(space, manifest).0
}

/// What the client is told, and the seconds after which it is to try again.
pub(crate) fn waits_for(space: &Space, manifest: &str) -> (String, u32) {
    let status = create(space, manifest, &PostParams::default()).unwrap_err();
    assert_eq!((status.code, &*status.reason), (429, "TooManyRequests"));
    let seconds = status.details.unwrap().retry_after_seconds;
    assert!((15..=60).contains(&seconds), "{seconds}");
    (status.message, seconds)
}

pub(crate) fn guarded(policy: &str) -> Guarded {
    let warden = Warden::with(policy).cluster().serve();
    Guarded::by(warden, Space::new(), |webhooks| webhooks)
}

/// A review of this operation on the Job, as a client writes it that is no API server.
fn review(namespace: &str, operation: &str, job: &Value) -> String {
    let mut review = match operation {
        "DELETE" => testing::deletion(job),
        _ => testing::review(job),
    };
    review["request"]["namespace"] = json!(namespace);
    review["request"]["operation"] = json!(operation);
    review.to_string()
}

/// A migration that does not end: on the fake node others do at once.
pub(crate) fn endless(release: &str) -> String {
    Chart::good()
        .with("spec:\n  template", "spec:\n  suspend: true\n  template")
        .render(release)
}

/// The next attempt of the same migration.
pub(crate) fn again(manifest: &str) -> String {
    let (now, next) = (format!("-migrate-{}", epoch()), epoch() + 60);
    let before = format!("-migrate-{}", epoch() - 1);
    manifest
        .replace(&now, &format!("-migrate-{next}"))
        .replace(&before, &format!("-migrate-{next}"))
}

fn migrates(database: &str, manifest: &str) -> String {
    let annotation = format!("annotations:\n    migration-warden.io/database: {database}");
    manifest.replacen("annotations:", &annotation, 1)
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_second_attempt_waits_and_others_do_not() {
    let space = guarded("");
    let first = endless("app");
    let held = is_created(&space, &first);
    let holder = held["metadata"]["name"].as_str().unwrap();
    let second = again(&first);
    let told = waits(&space, &second);
    assert!(
        told.contains(&format!(
            "MW101 concurrent-migration: metadata.name: {}/{holder} is suspended",
            space.name()
        )),
        "{told}"
    );
    let patience = "\nHelm and kubectl retry by themselves for eight to ten minutes.";
    assert!(told.ends_with(patience), "{told}");
    let _ = waits(&space, &second);
    is_created(&space, &endless("other"));
    let waiting = space.warden.decisions().into_iter();
    let waiting: Vec<_> = waiting.filter(|d| d["verdict"] == "waiting").collect();
    assert_eq!(waiting.len(), 1, "told once for each that waits");

    // What has never run may be deleted, and holds nothing then.
    space.kubectl(&["delete", "job", holder]).succeeds();
    // It was seen by the one that waits.
    is_created(&space, &second);
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn the_action_says_what_becomes_of_the_second() {
    for (word, verdict) in [("deny", "denied"), ("warn", "warned"), ("audit", "allowed")] {
        let rules = format!("{{concurrent-migration: {word}, suspended-migration: off}}");
        let space = guarded(&format!("rules: {rules}\n"));
        let first = endless("app");
        is_created(&space, &first);
        let second = create(&space, &again(&first), &PostParams::default());
        assert_eq!(
            second.as_ref().err().map(|s| s.code),
            (word == "deny").then_some(403)
        );
        let decisions = space.warden.decisions();
        let last = decisions.last().unwrap();
        assert_eq!(last["verdict"], verdict);
        assert_eq!(action(last, "MW101"), Some(word));
    }
    let space = guarded("rules: {concurrent-migration: off}\n");
    let first = endless("app");
    is_created(&space, &first);
    is_created(&space, &again(&first));
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_dry_run_looks_and_takes_nothing() {
    let space = guarded("");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let first = endless("app");
    create(&space, &first, &dry).unwrap();
    is_created(&space, &again(&first));
    let told = create(&space, &first, &dry).unwrap_err();
    assert_eq!(told.code, 429);
    // A pipeline that tries its chart wants to know now.
    assert!(!told.message.contains("retry by themselves"), "{told:?}");
    assert_eq!(told.details.unwrap().retry_after_seconds, 0);
}

/// Argo CD's hooks have a finalizer and a tracking-id, and are applied by its own account.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn hooks_of_argocd_wait_for_each_other() {
    let space = guarded("");
    let first = argocd(&endless("app"));
    let held = is_created(&space, &first);
    let holder = held["metadata"]["name"].as_str().unwrap();
    let told = waits(&space, &argocd(&again(&endless("app"))));
    assert!(told.contains(&format!("{holder} is suspended")), "{told}");
    // Terminated, it stays until Argo CD takes the finalizer away, but none of its pods runs, and none follows.
    let delete = ["delete", "job", holder, "--wait=false"];
    space.kubectl(&delete).succeeds();
    let kept = space.get("job", holder);
    assert!(kept["metadata"]["deletionTimestamp"].is_string(), "{kept}");
    is_created(&space, &argocd(&again(&endless("app"))));
}

/// As Argo CD would send it.
pub(crate) fn argocd(manifest: &str) -> String {
    manifest.replacen(
        "annotations:",
        "finalizers: [argocd.argoproj.io/hook-finalizer]\n  annotations:\n    \
             argocd.argoproj.io/tracking-id: shop:batch/Job:shop/app\n    \
             argocd.argoproj.io/hook: PreSync\n    \
             argocd.argoproj.io/hook-delete-policy: BeforeHookCreation",
        1,
    )
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn releases_share_a_database_where_they_say_so() {
    let space = guarded("");
    is_created(&space, &migrates("orders", &endless("one")));
    waits(&space, &migrates("orders", &endless("two")));
    is_created(&space, &migrates("stock", &endless("three")));
}

/// A chart may begin to name its database, or stop, while a Job of the release before still runs.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_database_is_a_key_besides_the_name() {
    let space = guarded("");
    let (plain, named) = (endless("plain"), migrates("stock", &endless("named")));
    is_created(&space, &plain);
    waits(&space, &migrates("orders", &again(&plain)));
    // The one that waits has left no claim of its database behind.
    is_created(&space, &migrates("orders", &endless("other")));
    is_created(&space, &named);
    let unnamed = again(&named).replace("migration-warden.io/database: stock", "x: y");
    let told = waits(&space, &unnamed);
    assert!(told.contains("named-migrate-"), "{told}");
}

/// Else any tenant could hold up another's deploys.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn namespaces_share_a_database_only_where_the_policy_says_so() {
    let (near, far) = (Space::new(), Space::new());
    let names = format!("[{}, {}]", near.name(), far.name());
    let policy = format!("claims: {{databases: [{{name: orders, namespaces: {names}}}]}}\n");
    let near = Guarded::by(Warden::with(&policy).cluster().serve(), near, |w| w);
    is_created(&far, &migrates("orders", &endless("one")));
    is_created(&far, &migrates("stock", &endless("two")));
    let told = waits(&near, &migrates("orders", &endless("three")));
    assert!(told.contains(far.name()), "{told}");
    is_created(&near, &migrates("stock", &endless("four")));
}

/// Whoever reaches the port can send these; they must not become claims that nobody can look at.
#[test]
#[ignore = "needs a cluster: run tests/run"]
fn a_review_that_no_apiserver_sends_takes_no_claim() {
    let (warden, space) = (Warden::with("").cluster().serve(), Space::new());
    let ask = |tweak: fn(&mut Value)| {
        let mut job: Value = serde_saphyr::from_str(&Chart::good().render("forged")).unwrap();
        job["metadata"]["uid"] = json!("705ab4f5-6393-11e8-b7cc-42010a800002");
        job["metadata"]["creationTimestamp"] = json!(Timestamp::now());
        tweak(&mut job["metadata"]);
        let review = review(space.name(), "CREATE", &job);
        warden.post("/validate", &review)["response"].take()
    };
    for tweak in [
        |metadata: &mut Value| metadata["uid"] = Value::Null,
        |metadata: &mut Value| metadata["creationTimestamp"] = Value::Null,
        |metadata: &mut Value| metadata["name"] = json!("a b-1766361600"),
    ] {
        let status = ask(tweak)["status"].take();
        assert_eq!(status["code"], 429, "{status:#}");
        let told = status["message"].as_str().unwrap();
        assert!(told.contains("no valid metadata.name"), "{told}");
    }
    let allowed = ask(|_| {});
    assert_eq!(allowed["allowed"], true, "{allowed:#}");
}

#[test]
#[ignore = "needs a cluster: run tests/run"]
fn what_cannot_be_known_is_refused_unless_the_policy_says_otherwise() {
    let space = Space::new();
    let user = knows_only_namespaces(&space);
    let warden = Warden::with("").user(&user).claims_in(space.name()).serve();
    let space = Guarded::by(warden, space, |webhooks| webhooks);
    let told = waits(&space, &endless("app"));
    assert!(
        told.contains("could not determine whether another migration is running: failed to "),
        "{told}"
    );

    let other = Space::new();
    let warden = Warden::with("claims: {onFailure: allow}\n")
        .user(&user)
        .claims_in(other.name())
        .serve();
    let other = Guarded::by(warden, other, |webhooks| webhooks);
    is_created(&other, &endless("app"));
    let decision = other.decision("app");
    assert_eq!(decision["verdict"], "warned");
    assert_eq!(action(&decision, "MW101"), Some("warn"));
}

/// A user who may not take claims.
fn knows_only_namespaces(space: &Space) -> String {
    let name = space.name();
    let user = format!("blind-{name}");
    let role = [
        "create",
        "clusterrole",
        name,
        "--verb=list,watch",
        "--resource=namespaces",
    ];
    space.kubectl(&role).succeeds();
    space.bind(name, name, &user);
    user
}
