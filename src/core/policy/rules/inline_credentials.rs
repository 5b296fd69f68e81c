//! MW010: a password is written into the Job.

use crate::core::job::credentials;
use crate::core::policy::rule::prelude::*;

rule! {
    /// A password in a container's command, arguments or environment.
    ///
    /// The rule finds:
    ///
    /// - variables, options and parameters whose name ends in `password`, `passwd`, `passphrase`, `pwd`, `pass` or `pw`
    ///   (`DB_PW`, `DBPASS`, `dbPassword`), also in JSON, YAML, JDBC, ODBC and SASL texts;
    /// - URLs and data source names with a password, URLs with a token, and `Authorization` headers;
    /// - options of known programs, such as `mysql -pX`, `sqlcmd -P X`, `redis-cli -a X`, `cqlsh -p X`, `curl -u
    ///   user:X` and `sqlplus user/X@db`, also in the lines that a script feeds to `sqlplus` or `redis-cli`;
    /// - values below or beside their name: YAML blocks, `name: DB_PASSWORD` with `value: X`, operands of `printf`;
    /// - SQL statements that set a password, lines of `.pgpass` and `.netrc`, and the literal default in
    ///   `${DB_PASSWORD:-X}`.
    ///
    /// These are not passwords: references such as `$(DB_PASSWORD)`, `vault:…`, `op://…`, `arn:…`, `ref+…` and
    /// `file:…`, paths, placeholders such as `<password>`, expressions such as `ENV.fetch("PW")` and `var.password`,
    /// switches such as `MYSQL_ALLOW_EMPTY_PASSWORD`, and comments and tests in scripts.
    ///
    /// The rule reads 256 KiB of one Job. If a Job has more text, a finding says how many bytes it did not read. No
    /// output of migration-warden shows a password or text that it did not read.
    ///
    /// ## Why is this bad?
    /// Everyone who may read Jobs can read the password. It is also in the API server's audit log, in backups of etcd,
    /// and in the release that Helm stores.
    ///
    /// ## Instead
    /// Store the password in a Secret, and let Kubernetes read it from there:
    /// ```yaml
    /// containers:
    ///   - args: [migrate, apply, --url, $(DATABASE_URL)]
    ///     env:
    ///       - name: DATABASE_URL
    ///         valueFrom: {secretKeyRef: {name: shop-db, key: url}}
    /// ```
    ///
    /// Source: the Kubernetes documentation, "Good practices for Kubernetes Secrets".
    pub(super) static INLINE_CREDENTIALS = {
        id: "MW010",
        name: "inline-credentials",
        reason: "it contains a password",
        remediation: "take it from a Secret, by an env variable with valueFrom.secretKeyRef",
        path: "spec.template.spec.containers[0].args[3]",
        guide: Warn,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("the webhook has no Secret to put in its place"),
        cel: Cel::Refused("CEL cannot tell a password from other text without false alarms"),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let hits = credentials::told(job.credentials()).into_iter();
    hits.map(|hit| {
        let breach = Breach::new(FieldPath::credential(hit), hit.form.to_string());
        let breach = breach.in_part(hit.range.clone());
        if hit.place.field == "env" {
            return breach;
        }
        breach.advise(
            "put it into an env variable with valueFrom.secretKeyRef, and write $(NAME) here",
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::core::policy::Action;
    use crate::core::policy::select::Selection;
    use crate::core::policy::testing::{self, job};
    use serde_json::json;

    #[test]
    fn the_last_one_counts_those_that_are_not_listed() {
        let variable = |i| json!({"name": format!("P{i}_PASSWORD"), "value": "x"});
        let env: Vec<_> = (0..40).map(variable).collect();
        let job =
            job(|job| job["spec"]["template"]["spec"]["initContainers"] = json!([{"env": env}]));
        let policy = testing::policy("rules: {MW011: off}\n");
        let found = testing::stored(&job, |job| {
            policy.evaluate(job, Selection::Labelled, Action::Deny)
        });
        let last = found.last().unwrap();
        assert_eq!((found.len(), last.rule.id), (16, "MW010"));
        assert_eq!(
            (last.path.to_string(), &*last.detail),
            (
                "spec.template.spec.initContainers[0].env[15].value".to_owned(),
                "holds the value of P15_PASSWORD (and 24 more like this)"
            )
        );
    }
}
