//! Tests whether the webhook is enforcing in a namespace, from the answers to a good Job, a broken one and one without
//! a label, and advises what to do if it is not.

mod advice;
mod answer;
mod jobs;

use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;
use kube::Client;
use kube::api::PostParams;
use kube::core::Request;
use serde_json::{Value, json};

use super::api::{ApiError, list};
use crate::core::text::one_line;
use answer::{Answer, Check, check};

/// Whether the webhook is enforcing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
pub(crate) enum State {
    /// It admits good Jobs and denies broken ones.
    #[strum(serialize = "ok")]
    InForce,
    /// It does not deny broken Jobs, or denies good ones.
    #[strum(serialize = "failed")]
    NotInForce,
    /// The answers do not show it.
    #[strum(serialize = "unknown")]
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Good,
    Broken,
    /// A good one, but without a label.
    Unlabelled,
}

/// What the answers to the Jobs show. Displayed, it is the report for the user.
#[derive(Debug)]
pub(crate) struct Verification {
    namespace: String,
    good: Check,
    broken: Check,
    unlabelled: Check,
}

impl Verification {
    /// Sends the Jobs to the API server.
    pub(crate) async fn of(client: &Client, namespace: String) -> Result<Self, ApiError> {
        let now = Timestamp::now();
        let good = dry_run(client, &namespace, &jobs::good(now)).await?;
        let broken = dry_run(client, &namespace, &jobs::broken()).await?;
        let unlabelled = dry_run(client, &namespace, &jobs::unlabelled(now)).await?;
        Ok(Self {
            good: check(Sent::Good, &good, &namespace),
            broken: check(Sent::Broken, &broken, &namespace),
            unlabelled: check(Sent::Unlabelled, &unlabelled, &namespace),
            namespace,
        })
    }

    /// The conclusion from all Jobs.
    pub(crate) fn state(&self) -> State {
        let states = [&self.good, &self.broken, &self.unlabelled].map(|check| check.state);
        states.into_iter().fold(State::InForce, State::max)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "version": 1, "namespace": self.namespace, "result": self.state().to_string(),
            "good": self.good.json(), "broken": self.broken.json(), "unlabelled": self.unlabelled.json(),
        })
    }
}

/// Creates the Job as a dry run, which does not store it. Not with `Api::create`, which drops the warnings.
async fn dry_run(client: &Client, namespace: &str, job: &Value) -> Result<Answer, ApiError> {
    let params = PostParams {
        dry_run: true,
        field_manager: Some("migration-warden-verify".to_owned()),
    };
    let url = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
    let request = Request::new(url).create(&params, job.to_string().into_bytes());
    let (head, body) = list::answer(client, request, "create a Job as a dry run").await?;
    let warnings = head.headers.get_all("warning").iter();
    Ok(Answer {
        status: head.status.as_u16(),
        warnings: warnings
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect(),
        // A proxy's answer need not be JSON; its status is enough.
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

impl Display for Verification {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sent = [
            ("good", &self.good),
            ("broken", &self.broken),
            ("unlabelled", &self.unlabelled),
        ];
        for (name, check) in sent {
            let word = check.state.to_string();
            writeln!(f, "{word:<7}  {name} migration Job: {}", check.told)?;
            for line in check.words.lines() {
                writeln!(f, "         {}", one_line(line))?;
            }
        }
        let whether = match self.state() {
            State::InForce => "migration-warden is in force",
            State::NotInForce => "migration-warden is not in force",
            State::Unknown => "could not determine whether migration-warden is in force",
        };
        writeln!(f, "\n{whether} in namespace {}", self.namespace)?;
        // Advice that applies to several is given once.
        let mut given = Vec::new();
        for (_, Check { advice, .. }) in sent {
            if !advice.is_empty() && !given.contains(&advice) {
                given.push(advice);
                writeln!(f, "{advice}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::testing::table;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Row {
        status: u16,
        /// Of the answer's body, which is the broken Job without it.
        body: Option<Value>,
        warnings: Vec<String>,
        /// A field of the Job that the webhook has set.
        set: Option<(String, Value)>,
        expected: Value,
    }

    impl Row {
        fn answer(&self) -> Answer {
            let mut stored = jobs::broken();
            if let Some((path, value)) = &self.set {
                *stored.pointer_mut(path).unwrap() = value.clone();
            }
            Answer {
                status: self.status,
                warnings: self.warnings.clone(),
                body: self.body.clone().unwrap_or(stored),
            }
        }
    }

    #[test]
    fn every_kind_of_answer_is_told_apart() {
        #[derive(Deserialize)]
        struct Rows {
            good: Vec<Row>,
            broken: Vec<Row>,
            unlabelled: Vec<Row>,
        }
        let rows = table::<Rows>("verify");
        for (sent, rows) in [
            (Sent::Good, rows.good),
            (Sent::Broken, rows.broken),
            (Sent::Unlabelled, rows.unlabelled),
        ] {
            assert!(rows.len() > 1);
            for row in rows {
                let mut told = check(sent, &row.answer(), "shop").json();
                // Of the advice, the first line.
                let advice = told["advice"].as_str().unwrap().lines().next();
                told["advice"] = json!(advice.unwrap_or_default());
                assert_eq!(told, row.expected);
            }
        }
    }

    fn report(good: &Row, broken: &Row) -> (State, String) {
        let verification = Verification {
            namespace: "shop".to_owned(),
            good: check(Sent::Good, &good.answer(), "shop"),
            broken: check(Sent::Broken, &broken.answer(), "shop"),
            unlabelled: check(Sent::Unlabelled, &good.answer(), "shop"),
        };
        (verification.state(), verification.to_string())
    }

    fn refused(status: u16, message: &str) -> Row {
        Row {
            status,
            body: Some(json!({"message": message})),
            ..Row::default()
        }
    }

    #[test]
    fn a_good_job_allowed_and_a_broken_one_denied_is_in_force() {
        let status = 201;
        let allowed = Row {
            status,
            ..Row::default()
        };
        let denied = "admission webhook \"mutate.migration-warden.io\" denied the request: MW001 a: x\nMW004 b: y";
        let expected = "\
ok       good migration Job: allowed
ok       broken migration Job: denied by mutate.migration-warden.io
         MW001 a: x
         MW004 b: y
ok       unlabelled migration Job: allowed, but not adopted

migration-warden is in force in namespace shop
no webhook adopts a Job of the guide's shape that has no label, so it gets none of the promises:
- is detection.promises in the policy empty, or detection.maxAction off?
- is the mode of the namespace off? kubectl get namespace shop --show-labels
- does the entry detect-mutate.migration-warden.io of the mutating webhook configuration exist, and did it answer in time?
";
        let told = report(&allowed, &refused(403, denied));
        assert_eq!(told, (State::InForce, expected.to_owned()));
    }

    #[test]
    fn what_hinders_all_is_said_once() {
        let message =
            "Internal error occurred: failed calling webhook \"validate.migration-warden.io\"";
        let unanswered = refused(500, message);
        let expected = format!(
            "\
failed   good migration Job: refused, because the webhook does not answer
         {message}
failed   broken migration Job: refused, because the webhook does not answer
         {message}
failed   unlabelled migration Job: refused, because the webhook does not answer
         {message}

migration-warden is not in force in namespace shop
{}
",
            advice::UNANSWERED
        );
        let told = report(&unanswered, &unanswered);
        assert_eq!(told, (State::NotInForce, expected));
    }

    #[test]
    fn a_refusal_by_something_else_shows_nothing() {
        let denied = "admission webhook \"mutate.migration-warden.io\" denied the request: MW001";
        let (state, text) = report(&refused(401, "Unauthorized"), &refused(403, denied));
        assert_eq!(state, State::Unknown);
        let end = "\ncould not determine whether migration-warden is in force in namespace shop\n\
                   the API server does not accept the credentials\n";
        assert!(text.ends_with(end), "{text}");
    }
}
