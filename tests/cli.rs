//! The command line as a user meets it: what it prints and how it exits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use assert_cmd::Command;
use serde_json::{Value, json};

fn warden(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("migration-warden").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
    command
}

/// Exit code, standard output and standard error.
fn run(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let output = warden(args).write_stdin(stdin).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn check_json(stdin: &str) -> (i32, Value) {
    let (code, out, err) = run(&["check", "--format", "json", "-"], stdin.as_bytes());
    assert_eq!(err, "");
    (code, serde_json::from_str(&out).unwrap())
}

/// The line of the stream that the first finding points at.
fn pointed_at<'a>(stream: &'a str, out: &Value) -> &'a str {
    let line = out["findings"][0]["line"].as_u64().unwrap();
    stream
        .lines()
        .nth(usize::try_from(line).unwrap() - 1)
        .unwrap()
}

fn valid() -> String {
    std::fs::read_to_string("tests/fixtures/valid_job.yaml").unwrap()
}

#[test]
fn exit_codes_tell_fine_denied_and_could_not() {
    assert_eq!(run(&["check", "tests/fixtures/valid_job.yaml"], b"").0, 0);
    assert_eq!(run(&["check", "docs/examples/job.yaml"], b"").0, 1);
    let retried = valid().replace("backoffLimit: 0", "backoffLimit: 6");
    assert_eq!(run(&["check", "-"], retried.as_bytes()).0, 0);
    let (code, out, err) = run(&["check", "no/such/file.yaml"], b"");
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "error: failed to read no/such/file.yaml: No such file or directory\n"
    );
    assert_eq!(run(&["check", "-"], b"a: [1").0, 2);
    assert_eq!(run(&["check"], b"").0, 2);
}

#[test]
fn json_has_the_documented_shape() {
    let (code, out) =
        check_json(&valid().replace("restartPolicy: Never", "restartPolicy: OnFailure"));
    assert_eq!(code, 1);
    let line = valid()
        .lines()
        .position(|line| line.contains("restartPolicy"))
        .unwrap()
        + 1;
    assert_eq!(
        out,
        json!({
            "version": 1, "documents": 1, "jobs": 1,
            "findings": [{
                "rule": "MW004", "name": "restarting-pod", "action": "deny", "file": "<stdin>",
                "line": line, "column": 22, "namespace": "shop", "job": "shop-migrate-1766361600",
                "path": "spec.template.spec.restartPolicy", "reason": "restartPolicy is not Never",
                "detail": "found \"OnFailure\"",
                "remediation": "write restartPolicy: Never in the pod template",
            }],
            "summary": {"deny": 1, "patch": 0, "warn": 0, "audit": 0},
        })
    );
}

#[test]
fn streams_lists_and_cronjobs_are_looked_into() {
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    let indented = |text: &str, by: &str| {
        let lines: Vec<_> = text
            .lines()
            .map(|line| {
                format!(
                    "{by}{line}
"
                )
            })
            .collect();
        lines.concat()
    };
    let item = indented(&bad, "    ").replacen("    ", "  - ", 1);
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{item}");
    let (code, out) = check_json(&list);
    assert_eq!(
        (code, &out["jobs"], &out["findings"][0]["rule"]),
        (1, &json!(1), &json!("MW004"))
    );
    assert!(pointed_at(&list, &out).contains("OnFailure"));

    let stream = format!(
        "# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n{bad}"
    );
    let (_, out) = check_json(&stream);
    assert_eq!((&out["documents"], &out["jobs"]), (&json!(2), &json!(1)));
    assert!(pointed_at(&stream, &out).contains("OnFailure"));

    let cronjob = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: nightly\n  labels: {app.kubernetes.io/component: migration}\n\
        spec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: OnFailure\n          containers: [{name: migrate}]\n";
    let (code, out) = check_json(cronjob);
    assert_eq!((code, &out["jobs"]), (0, &json!(1)));
    assert_eq!(
        out["findings"][0]["path"],
        "spec.jobTemplate.spec.template.spec.restartPolicy"
    );
    assert_eq!(
        (&out["findings"][0]["action"], &out["findings"][0]["line"]),
        (&json!("warn"), &json!(12))
    );
}

#[test]
fn what_could_not_be_checked_is_told_and_the_rest_is_checked() {
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    let (code, out) = check_json(&format!("a: [1\n---\n{bad}"));
    assert_eq!((code, &out["summary"]["deny"]), (2, &json!(1)));
    assert_eq!(
        (&out["problems"][0]["file"], &out["problems"][0]["line"]),
        (&json!("<stdin>"), &json!(1))
    );

    let number = valid().replace("hook-weight: \"0\"", "hook-weight: 0");
    let (code, out) = check_json(&number);
    assert_eq!(code, 2);
    assert_eq!(
        out["problems"][0]["message"],
        "metadata.annotations['helm.sh/hook-weight']: Invalid value: 0: must be a string; write \"0\""
    );
    let other = valid().replace("hook-weight: \"0\"", "hook-weight: \"0\"\n    x/y: 5");
    let (code, out) = check_json(&other);
    assert_eq!(code, 2);
    assert_eq!(
        out["problems"][0]["message"],
        "metadata.annotations['x/y']: Invalid value: 5: must be a string; write \"5\""
    );
    let (_, out) = check_json(&valid().replace("backoffLimit: 0", "backoffLimit: none"));
    assert_eq!(
        out["problems"][0]["message"],
        "spec.backoffLimit: Invalid value: \"none\": must be an integer"
    );

    let (code, out, err) = run(&["check", "-"], b"kind: \xff");
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(
        out.starts_with(
            "could not check <stdin>:1:7: byte 0xFF is not UTF-8; save the file as UTF-8\n"
        ),
        "{out}"
    );
}

#[test]
fn templates_that_were_not_rendered_get_a_hint() {
    let hint = "this looks like a chart's template: render it first, as in helm template RELEASE CHART | migration-warden check -";
    for text in [
        valid().replace(
            "name: shop-migrate-1766361600",
            "name: \"{{ .Release.Name }}-migrate-{{ now | unixEpoch }}\"",
        ),
        "kind: {{ .Values.kind }}\napiVersion: batch/v1\n".to_owned(),
        "{{- if .Values.migrate }}\napiVersion: batch/v1\nkind: Job\n{{- end }}\n".to_owned(),
        valid().replace("backoffLimit: 0", "backoffLimit: \"{{ .Values.retries }}\""),
    ] {
        let (code, out) = check_json(&text);
        assert_eq!(code, 2, "{text}");
        let message = out["problems"][0]["message"].as_str().unwrap();
        assert!(message.ends_with(hint), "{message}");
    }
    let name = valid().replace(
        "name: shop-migrate-1766361600",
        "name: {{ .Release.Name }}-migrate",
    );
    let (_, out) = check_json(&name);
    assert_eq!(notes(&out, "problems"), [format!("5: {hint}")]);
    let elsewhere = format!("{}x: y: z\nb: \"{{{{ x }}}}\"\n", valid());
    let (_, out) = check_json(&elsewhere);
    let message = out["problems"][0]["message"].as_str().unwrap();
    assert!(
        !message.starts_with(hint) && message.ends_with(hint),
        "{message}"
    );
    let chart = tempfile::tempdir().unwrap();
    std::fs::write(chart.path().join("Chart.yaml"), "name: x\n").unwrap();
    let path = chart.path().to_str().unwrap();
    let (code, _, err) = run(&["check", path], b"");
    assert_eq!(code, 2);
    assert_eq!(
        err,
        format!(
            "error: {path} is a Helm chart, not rendered manifests; render it first: helm template RELEASE {path} | migration-warden check -\n"
        )
    );
}

#[test]
fn the_hint_is_only_for_the_document_that_is_a_template() {
    let (_, out) = check_json("a: [1\n---\nb: \"{{ x }}\"\n---\nc: {{ x }\n");
    let messages: Vec<_> = out["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        !messages[0].contains("template") && messages[1].contains("template"),
        "{messages:?}"
    );
}

#[test]
fn folders_are_searched_and_paths_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("b")).unwrap();
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    std::fs::write(folder.path().join("b/job.yml"), &bad).unwrap();
    std::fs::write(folder.path().join("a.YAML"), valid()).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "a: [1").unwrap();
    let json: String =
        serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": []})).unwrap();
    std::fs::write(folder.path().join("c.json"), json).unwrap();
    let (code, out, _) = run(
        &["check", "--format", "json", folder.path().to_str().unwrap()],
        b"",
    );
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &out["documents"], &out["jobs"]),
        (1, &json!(3), &json!(2))
    );
    assert_eq!(
        out["findings"][0]["file"],
        folder.path().join("b/job.yml").to_str().unwrap()
    );
    assert_eq!(out["skipped_files"], 1);
    let (_, out, _) = run(&["check", folder.path().to_str().unwrap()], b"");
    let skipped = "1 file skipped: only names that end in .yaml, .yml or .json are read\n";
    assert!(out.contains(skipped), "{out}");
}

#[test]
fn items_of_a_typed_list_need_not_say_what_they_are() {
    let job: Value = json!({"metadata": {"name": "x", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "migrate"}]}}}});
    let list = json!({"apiVersion": "batch/v1", "kind": "JobList", "items": [job]});
    let (code, out) = check_json(&list.to_string());
    assert_eq!((code, &out["jobs"]), (1, &json!(1)));
}

#[test]
fn a_path_without_manifests_is_no_success() {
    let why = "it has no manifests, so nothing was checked. If `helm template` wrote it, Helm's stderr says why: an \
               error, or `skipping unknown hook` for a Job that Helm leaves out. To check a chart: helm template RELEASE \
               CHART | migration-warden check -";
    for stdin in ["", "\n---\n# nothing\n"] {
        let (code, out, err) = run(&["check", "-"], stdin.as_bytes());
        let expected = format!(
            "could not check <stdin>: {why}\n\n0 documents: no migration Job could be checked\n"
        );
        assert_eq!((code, &*out, &*err), (2, &*expected, ""));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.yaml");
    std::fs::write(&file, "# nothing\n").unwrap();
    for path in [&file, folder.path()] {
        let path = path.to_str().unwrap();
        let (code, out, _) = run(
            &["check", "-o", "json", "tests/fixtures/valid_job.yaml", path],
            b"",
        );
        let out: Value = serde_json::from_str(&out).unwrap();
        let problems = json!([{"file": path, "message": why}]);
        assert_eq!(
            (code, &out["jobs"], &out["problems"]),
            (2, &json!(1), &problems)
        );
    }
}

#[test]
fn an_error_is_also_a_report_for_programs() {
    let policy = b"apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nprofil: guide\nrule: {}\n";
    let faults = json!([
        {"file": "<stdin>", "line": 3, "column": 1, "message": "there is no key profil; did you mean profile?"},
        {"file": "<stdin>", "line": 4, "column": 1, "message": "there is no key rule; did you mean rules?"},
    ]);
    let lines = "error: <stdin>:3:1: there is no key profil; did you mean profile?\n\
                 <stdin>:4:1: there is no key rule; did you mean rules?\n";
    let job = "tests/fixtures/valid_job.yaml";
    for args in [
        &["check", "-o", "json", "--config", "-", job][..],
        &["scan", "-o", "json", "--config", "-"],
        &["check-config", "-o", "json", "-"],
    ] {
        let (code, out, err) = run(args, policy);
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &out["version"], &out["problems"]),
            (2, &json!(1), &faults)
        );
        assert_eq!(err, lines);
    }
    let (code, out, err) = run(
        &["check", "-o", "json", "--config", "no/such.yaml", job],
        b"",
    );
    let why = "--config: failed to read no/such.yaml: No such file or directory";
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &out["problems"]), (2, &json!([{"message": why}])));
    assert_eq!(err, format!("error: {why}\n"));
}

#[test]
fn a_missing_field_is_named_and_its_object_pointed_at() {
    let text = valid();
    let without = |part: &str| {
        text.lines()
            .filter(|line| !line.contains(part))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    for (part, at, key, detail) in [
        (
            "helm.sh/hook: ",
            "11:3",
            "annotations",
            "the annotation helm.sh/hook is missing, so Helm does not run this Job as a hook",
        ),
        (
            "hook-output-log-policy",
            "11:3",
            "annotations",
            "the annotation helm.sh/hook-output-log-policy is missing, so Helm prints no log when the hook fails",
        ),
        (
            "hook-delete-policy",
            "11:3",
            "annotations",
            "the annotation helm.sh/hook-delete-policy is missing, and Helm defaults it to before-hook-creation: \
             finished Jobs stay",
        ),
        (
            "activeDeadlineSeconds",
            "16:1",
            "spec",
            "activeDeadlineSeconds is not set, and no deployer's timeout stops the Job",
        ),
    ] {
        let (_, out, _) = run(&["check", "-"], without(part).as_bytes());
        assert!(out.contains(&format!("--> <stdin>:{at}\n")), "{out}");
        let caret = format!(
            "| {}{} {detail}\n",
            " ".repeat(2 * usize::from(at.ends_with('3'))),
            "^".repeat(key.len())
        );
        assert!(out.contains(&caret), "{caret}{out}");
    }
}

/// The warnings or problems of a report, each as `line: message`.
fn notes(out: &Value, list: &str) -> Vec<String> {
    let notes = out[list].as_array().map_or(&[][..], Vec::as_slice);
    let shown = notes.iter().map(|note| {
        let message = note["message"].as_str().unwrap();
        format!("{}: {message}", note["line"])
    });
    shown.collect()
}

#[test]
fn of_a_key_that_is_written_twice_the_last_value_counts() {
    let twice = valid().replace(
        "restartPolicy: Never",
        "restartPolicy: OnFailure\n      restartPolicy: Never",
    );
    let line = twice.lines().position(|l| l.contains("OnFailure")).unwrap() + 1;
    let (code, out) = check_json(&twice);
    assert_eq!((code, &out["summary"]["deny"]), (0, &json!(0)));
    assert_eq!(
        notes(&out, "warnings"),
        [format!(
            "{}: one map has the key \"restartPolicy\" in lines {line} and {}; \
             kubectl and Helm take the last value, Flux refuses the file",
            line + 1,
            line + 1
        )]
    );
    let swapped = valid().replace(
        "restartPolicy: Never",
        "restartPolicy: Never\n      restartPolicy: OnFailure",
    );
    let (code, out) = check_json(&swapped);
    assert_eq!((code, &out["findings"][0]["rule"]), (1, &json!("MW004")));
    assert_eq!(out["findings"][0]["line"], line + 1);
    let elsewhere = format!("kind: Deployment\na: 1\na: 1\n---\n{}", valid());
    let (code, out, _) = run(&["check", "-"], elsewhere.as_bytes());
    assert_eq!(code, 0);
    assert!(
        out.starts_with("warning: <stdin>:3:1: one map has the key \"a\" in lines 2 and 3; "),
        "{out}"
    );
}

#[test]
fn every_integer_of_a_job_may_be_written_with_a_point() {
    let codes = |values: Value| json!({"operator": "In", "values": values});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "shop-migrate-1766361600", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {
            "parallelism": 1.0, "completions": 1.0, "backoffLimit": 0.0, "backoffLimitPerIndex": 0.0,
            "activeDeadlineSeconds": 600.0, "ttlSecondsAfterFinished": 86400.0,
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": codes(json!([1.0, 2.0]))}]},
            "template": {"spec": {
                "restartPolicy": "Never", "activeDeadlineSeconds": 270.0,
                "containers": [{
                    "name": "m", "image": "app:1",
                    "restartPolicyRules": [{"action": "Restart", "exitCodes": codes(json!([42.0]))}],
                }],
            }},
        },
    });
    let (_, out) = check_json(&job.to_string());
    let problems = &out["problems"];
    assert_eq!((&out["jobs"], problems), (&json!(1), &Value::Null), "{out}");
}

#[test]
fn integers_are_taken_as_helm_prints_them() {
    for number in ["1.2096e+06", "600.0", "3e2", "1_000", "0x258"] {
        let text = valid().replace(
            "activeDeadlineSeconds: 600",
            &format!("activeDeadlineSeconds: {number}\n  ttlSecondsAfterFinished: 1.2096e+06"),
        );
        let (code, out) = check_json(&text);
        assert_eq!((code, &out["jobs"]), (0, &json!(1)), "{number}: {out}");
    }
    for (field, number, words) in [
        ("backoffLimit: 0", "1.5", "1.5: must be an integer"),
        (
            "backoffLimit: 0",
            "-1",
            "-1: must be greater than or equal to 0",
        ),
        (
            "activeDeadlineSeconds: 600",
            "-5",
            "-5: must be greater than or equal to 0",
        ),
    ] {
        let (name, _) = field.split_once(':').unwrap();
        let text = valid().replace(field, &format!("{name}: {number}"));
        let line = text.lines().position(|l| l.contains(name)).unwrap() + 1;
        let (code, out) = check_json(&text);
        assert_eq!(code, 2, "{name}");
        assert_eq!(
            notes(&out, "problems"),
            [format!("{line}: spec.{name}: Invalid value: {words}")]
        );
    }
}

#[test]
fn names_that_kubernetes_refuses_are_faults_of_the_file() {
    let text = valid().replace("name: shop-migrate-", "name: Shop_migrate-");
    let (code, out) = check_json(&text);
    assert_eq!((code, &out["jobs"]), (2, &json!(1)));
    let problems = notes(&out, "problems");
    assert!(
        problems[0].starts_with(
            "5: metadata.name: Invalid value: \"Shop_migrate-1766361600\": a lowercase RFC 1123 subdomain must "
        ),
        "{problems:?}"
    );
}

#[test]
fn utf_16_is_read_as_powershell_writes_it() {
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    let text = format!("\u{feff}{bad}").replace('\n', "\r\n");
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
        let (code, out, _) = run(&["check", "--format", "json", "-"], &bytes);
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &out["findings"][0]["rule"]), (1, &json!("MW004")));
        assert!(pointed_at(&bad, &out).contains("OnFailure"));
    }
}

#[test]
fn concatenated_json_is_read() {
    let documents = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    let job: Value = serde_saphyr::from_str(&documents).unwrap();
    let pretty = serde_json::to_string_pretty(&job).unwrap();
    for text in [
        format!("{job}{job}"),
        format!("{job}\n{job}\n"),
        format!("---\n{job}\n\n{job}"),
        format!("{pretty}\n{pretty}").replace("  ", "\t"),
    ] {
        let (code, out) = check_json(&text);
        assert_eq!(
            (code, &out["documents"], &out["jobs"]),
            (1, &json!(2), &json!(2)),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_job_never_decides() {
    let other = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: A_B, labels: {a: 1}}\nspec: {backoffLimit: -1}\n";
    let foreign = "kind: Job\napiVersion: batch.example.com/v1\nspec: {backoffLimit: x}\n";
    let text = format!(
        "{other}---\n{foreign}---\n- a\n---\njust text\n---\n{}",
        valid()
    );
    let (code, out) = check_json(&text);
    assert_eq!(
        (code, &out["documents"], &out["jobs"]),
        (0, &json!(5), &json!(1)),
        "{out}"
    );
    assert_eq!(notes(&out, "warnings").len(), 1);
}

#[test]
fn jobs_that_a_cronjob_made_are_left_alone() {
    let job = valid().replace(
        "metadata:\n  name: shop-migrate-1766361600\n",
        "metadata:\n  name: nightly\n  ownerReferences: [{kind: CronJob, name: nightly, controller: true}]\n",
    );
    let (code, out) = check_json(&job);
    assert_eq!((code, &out["jobs"]), (0, &json!(0)), "{out}");
    let (code, out) = check_json(&job.replace("controller: true", "controller: false"));
    assert_eq!((code, &out["jobs"]), (1, &json!(1)), "{out}");
    // A person who makes one of it with kubectl names the same controller, and the webhook judges it.
    let by_hand = job.replacen(
        "  annotations:\n",
        "  annotations:\n    cronjob.kubernetes.io/instantiate: manual\n",
        1,
    );
    let (code, out) = check_json(&by_hand);
    assert_eq!((code, &out["jobs"]), (0, &json!(1)), "{out}");
    assert_eq!(out["findings"][0]["rule"], "MW002", "{out}");
}

#[test]
fn why_nothing_was_checked_is_said_and_can_be_refused() {
    let other = b"kind: ConfigMap\napiVersion: v1\n---\nkind: Secret\n";
    let nothing = "no migration Job among 2 documents: nothing was checked. Helm does not render a Job with an unknown \
                   hook event: look for `skipping unknown hook` on its stderr\n\n2 documents: no migration Jobs\n";
    assert_eq!(
        run(&["check", "-"], other),
        (0, nothing.to_owned(), String::new())
    );
    let (code, out, err) = run(&["check", "--require-migration", "-"], other);
    let required = "no migration Job was found, but --require-migration requires one\n\n\
                    2 documents: no migration Jobs\n";
    assert_eq!((code, &*out, &*err), (2, required, ""));
    let fine = valid();
    assert_eq!(
        run(&["check", "--require-migration", "-"], fine.as_bytes()).0,
        0
    );
    let seed = seed("component: seed");
    let (code, out, _) = run(&["check", "-"], seed.as_bytes());
    let unlabelled = "no migration Job among 1 document: nothing was checked. No selector of the policy matches the \
                      labels of 1 Job, and nothing else shows that one is a migration. Unless the policy has other \
                      selectors, a migration Job needs this label:\n  app.kubernetes.io/component: migration\n\n\
                      1 document: no migration Jobs\n";
    assert_eq!((code, &*out), (0, unlabelled));
    let (code, out, _) = run(&["check", "-"], b"a: [1");
    assert!(code == 2 && !out.contains("nothing was checked"), "{out}");
    let (code, out, _) = run(&["check", "--require-migration", "-"], b"a: [1");
    let unread = "no migration Job was found in what could be read, but --require-migration requires one\n\n\
                  1 document: no migration Job could be checked\n";
    assert!(code == 2 && out.ends_with(unread), "{out}");
}

/// A Job that nothing shows to be a migration, with this label in place of the component.
fn seed(label: &str) -> String {
    let mut seed = valid().replace("component: migration", label);
    for (from, to) in [
        ("migrations", "seeds"),
        ("migrate", "seed"),
        ("arigaio/atlas", "example/seeder"),
    ] {
        seed = seed.replace(from, to);
    }
    seed.replace("-1766361600", "").replace("\"apply\", ", "")
}

#[test]
fn a_typo_in_the_label_is_named() {
    const RIGHT: &str = "app.kubernetes.io/component: migration";
    for typo in [
        "app.kubernetes.io/component: migratoin",
        "app.kubernetes.io/component: Migration",
        "app.kubernetes.io/componet: migration",
        "app.kubernets.io/Component: migration",
        "component: migration",
    ] {
        let why = format!(
            "8: no selector of the policy matches the label \"{typo}\"; did you mean {RIGHT}?"
        );
        let detected = valid().replace(RIGHT, typo);
        let unknown = seed("component: migration").replace(RIGHT, typo);
        for (job, jobs) in [(&detected, 1), (&unknown, 0)] {
            let (code, out) = check_json(job);
            assert_eq!((code, &out["jobs"]), (0, &json!(jobs)), "{out}");
            assert_eq!(notes(&out, "warnings"), std::slice::from_ref(&why));
            let args = ["check", "--require-migration", "-o", "json", "-"];
            let (code, out, _) = run(&args, job.as_bytes());
            let out: Value = serde_json::from_str(&out).unwrap();
            let name = if jobs == 1 {
                "shop-migrate-1766361600"
            } else {
                "shop-seed"
            };
            let required = format!(
                "null: no Job is a migration Job, but --require-migration requires one; write {RIGHT} on \
                 shop/{name}"
            );
            assert_eq!((code, notes(&out, "problems")), (2, vec![required]));
        }
    }
    for other in [
        "app.kubernetes.io/component: integration",
        "tier: migrants",
        "a: 'true'",
    ] {
        let (_, out) = check_json(&valid().replace(RIGHT, other));
        assert_eq!(out["warnings"], Value::Null, "{other}");
    }
    let key = valid().replace(RIGHT, "migration-warden.io/migrations: \"true\"");
    let (_, out) = check_json(&key);
    let why = "8: no selector of the policy matches the label \"migration-warden.io/migrations: true\"; did you mean \
               migration-warden.io/migration: \"true\"?";
    assert_eq!(notes(&out, "warnings"), [why]);
}

#[test]
fn a_migration_that_is_only_detected_is_not_the_one_that_is_required() {
    let bare = valid().replace("    app.kubernetes.io/component: migration\n", "");
    assert_eq!(
        run(&["check", "--require-migration", "-"], bare.as_bytes()).0,
        0,
        "adopted"
    );
    let bare = bare.replace("pre-install,pre-upgrade", "post-install");
    let (code, out, _) = run(&["check", "--require-migration", "-"], bare.as_bytes());
    let required = "no Job is a migration Job, but --require-migration requires one; write \
                    app.kubernetes.io/component: migration on shop/shop-migrate-1766361600\n\n";
    assert!(code == 2 && out.contains(required), "{out}");
    assert_eq!(run(&["check", "-"], bare.as_bytes()).0, 0);
    let both = format!("{bare}---\n{}", valid());
    assert_eq!(
        run(&["check", "--require-migration", "-"], both.as_bytes()).0,
        0
    );
    let policy = b"apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n\
                   match: {selectors: [{matchExpressions: [{key: team.example.com/migrates, operator: Exists}]}]}\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bare).unwrap();
    let args = [
        "check",
        "--require-migration",
        "--config",
        "-",
        file.path().to_str().unwrap(),
    ];
    let (code, out, _) = run(&args, policy);
    let required =
        "requires one; write team.example.com/migrates on shop/shop-migrate-1766361600\n";
    assert!(code == 2 && out.contains(required), "{out}");
}

#[test]
fn a_job_without_containers_is_refused_as_kubernetes_refuses_it() {
    let text = valid();
    let containers = text.find("      containers:").unwrap();
    let (code, out) = check_json(&text[..containers]);
    let why = "27: spec.template.spec.containers: Required value";
    assert_eq!((code, notes(&out, "problems")), (2, vec![why.to_owned()]));
    let cronjob = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: nightly\nspec:\n  schedule: '@daily'\n";
    let (code, out) = check_json(cronjob);
    let why = "5: spec.jobTemplate.spec.template.spec.containers: Required value";
    assert_eq!((code, notes(&out, "problems")), (2, vec![why.to_owned()]));
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_what_to_write() {
    let label = "app.kubernetes.io/instance: shop";
    let key = "metadata.labels['app.kubernetes.io/instance']";
    for (from, to, why) in [
        (label, "app.kubernetes.io/instance: 5", format!("{key}: Invalid value: 5: must be a string; write \"5\"")),
        (label, "app.kubernetes.io/instance: yes", format!("{key}: Invalid value: yes: must be a string; write \"yes\"")),
        (label, "app.kubernetes.io/instance: {a: b}", format!("{key}: Invalid value: a map: must be a string")),
        (
            "restartPolicy: Never",
            "restartPolicy: [Never]",
            "spec.template.spec.restartPolicy: Invalid value: a list: must be a string; write Never".to_owned(),
        ),
        (
            "backoffLimit: 0",
            "backoffLimit: \"0\"",
            "spec.backoffLimit: Invalid value: \"0\": must be an integer; write 0".to_owned(),
        ),
        (
            "- name: DATABASE_URL",
            "- name: PASSWORD\n              value: 48151623",
            "spec.template.spec.containers[0].env[0].value must be a string; put the value in quotes".to_owned(),
        ),
    ] {
        let (code, out) = check_json(&valid().replace(from, to));
        assert_eq!((code, &out["problems"][0]["message"]), (2, &json!(why)), "{out}");
        assert!(!out.to_string().contains("48151623"), "{out}");
    }
}

#[test]
fn text_without_a_manifest_is_no_success() {
    let why = "could not check <stdin>: none of its documents has apiVersion and kind, so nothing was checked; give it \
               rendered manifests, as in helm template RELEASE CHART | migration-warden check -\n";
    for text in [
        "A chart for the shop.\n",
        "[{\"a\": 1}]",
        "image: {tag: 1.2}\n",
        "{\"level\": \"info\"}\n{}",
    ] {
        let (code, out, _) = run(&["check", "-"], text.as_bytes());
        assert!(code == 2 && out.starts_with(why), "{text}: {out}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("values.yaml"), "image: {tag: 1.2}\n").unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run(&["check", path], b"").0, 2);
    std::fs::write(folder.path().join("job.yaml"), valid()).unwrap();
    assert_eq!(run(&["check", path], b"").0, 0);
}

#[test]
fn a_packaged_chart_is_to_be_rendered() {
    let file = tempfile::Builder::new().suffix(".tgz").tempfile().unwrap();
    std::fs::write(file.path(), b"\x1f\x8b\x08\x00\x00").unwrap();
    let path = file.path().to_str().unwrap();
    let (code, out, _) = run(&["check", path], b"");
    let why = format!(
        "could not check {path}: it is compressed, as a packaged chart is; render it first: helm template RELEASE {path} \
         | migration-warden check -\n"
    );
    assert!(code == 2 && out.starts_with(&why), "{out}");
    let (code, out, _) = run(&["check", "-"], b"\x1f\x8b\x08\x00\x00");
    assert!(
        code == 2 && out.contains("helm template RELEASE CHART | "),
        "{out}"
    );
}

#[test]
fn files_are_named_as_for_kubectl() {
    let file = "tests/fixtures/valid_job.yaml";
    let by_place = run(&["check", file], b"");
    assert_eq!(run(&["check", "-f", file], b""), by_place);
    let (code, out, _) = run(
        &["check", file, "-f", "-", "-o", "json"],
        valid().as_bytes(),
    );
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &out["jobs"]), (0, &json!(2)));
    let policy =
        b"apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nprofile: audit\n";
    let bad = "docs/examples/job.yaml";
    assert_eq!(run(&["check", bad, "--config", "-"], policy).0, 0);
    let (code, out, err) = run(&["check", "-f", "-", "--config", "-"], policy);
    let once = "error: standard input can be read only once; write - for one file\n";
    assert_eq!((code, &*out, &*err), (2, "", once));
    let (code, _, err) = run(&["check"], b"");
    assert_eq!(code, 2);
    assert!(err.contains("  <PATH>...\n"), "{err}");
    // It is the file that a verb is about; where it once was the policy beside that, it still works.
    for verb in [&["scan"][..], &["generate", "vap"]] {
        let (_, help, _) = run(&[verb, &["--help"]].concat(), b"");
        assert!(
            help.contains("--config <FILE>") && !help.contains("-f,"),
            "{help}"
        );
        let (code, _, err) = run(&[verb, &["-f", "no/such"]].concat(), b"");
        let why = "error: --config: failed to read no/such: No such file or directory\n";
        assert_eq!((code, &*err), (2, why));
    }
}

#[test]
fn quiet_leaves_problems() {
    let fine = run(&["check", "-q", "tests/fixtures/valid_job.yaml"], b"");
    assert_eq!(fine, (0, String::new(), String::new()));
    let bad = "docs/examples/job.yaml";
    let (code, out, err) = run(&["check", "-q", bad], b"");
    let (_, all, _) = run(&["check", bad], b"");
    assert_eq!((code, &*err), (1, ""));
    let summary = all.strip_prefix(&out).unwrap();
    assert!(
        out.contains("denied[MW004]") && summary.lines().count() == 1,
        "{all}"
    );
    let (code, out, _) = run(&["check", "-q", "-"], b"a: [1");
    assert!(
        code == 2 && out.starts_with("could not check <stdin>:1:"),
        "{out}"
    );
}

#[test]
fn a_folder_is_gone_through_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    write("a/Chart.yaml", b"name: a\n");
    write("a/templates/job.yaml", b"kind: {{ .Values.kind }}\n");
    write(".git/config.yaml", b"a: [\n");
    write("z/job.yaml", bad.as_bytes());
    let check = || {
        let path = folder.path().to_str().unwrap();
        let (code, out, err) = run(&["check", "--format", "json", path], b"");
        assert_eq!(err, "");
        (code, serde_json::from_str::<Value>(&out).unwrap())
    };
    // What is no manifest does not decide.
    let (code, out) = check();
    assert_eq!(
        (code, &out["jobs"], &out["problems"]),
        (1, &json!(1), &Value::Null)
    );
    let warnings = notes(&out, "warnings");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("this is a Helm chart"), "{warnings:?}");
    // What could not be read does, and hides nothing.
    write("b/binary.yaml", b"\x89PNG\r\n\x1a\n");
    write(
        "c/template.yaml",
        b"{{- if .Values.x }}\nkind: Job\n{{- end }}\n",
    );
    std::os::unix::fs::symlink("/nowhere", folder.path().join("gone.yaml")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("outside")).unwrap();
    let (code, out) = check();
    assert_eq!(
        (code, &out["jobs"], &out["summary"]["deny"]),
        (2, &json!(1), &json!(1))
    );
    let problems = notes(&out, "problems");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("0x89 is not UTF-8"), "{problems:?}");
    assert!(problems[1].contains("helm template"), "{problems:?}");
    assert!(problems[2].contains("No such file"), "{problems:?}");
    let warnings = notes(&out, "warnings");
    assert!(warnings[1].contains("a link to a folder"), "{warnings:?}");
}

#[test]
fn links_between_folders_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::os::unix::fs::symlink(folder.path(), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("job.yaml"), valid()).unwrap();
    let (code, out, _) = run(&["check", folder.path().to_str().unwrap()], b"");
    assert_eq!(code, 0, "{out}");
    assert_eq!(out, "1 document: no problems in 1 migration Job\n");
}

#[test]
fn the_namespace_of_manifests_that_name_none_can_be_given() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let text = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nnamespaces: [{names: [sandbox], mode: audit}]\n";
    std::fs::write(policy.path(), text).unwrap();
    let bad = valid()
        .replace("restartPolicy: Never", "restartPolicy: OnFailure")
        .replace("  namespace: shop\n", "");
    let path = policy.path().to_str().unwrap();
    let check = |rest: &[&str]| {
        run(
            &[&["check", "--config", path, "-"], rest].concat(),
            bad.as_bytes(),
        )
        .0
    };
    assert_eq!(
        (
            check(&[]),
            check(&["--namespace", "sandbox"]),
            check(&["-n", "shop"])
        ),
        (1, 0, 1)
    );
}

#[test]
fn a_credential_behind_an_anchor_is_not_shown() {
    let secret = "s3cr3t-anchor";
    let bad = valid()
        .replace(
            "helm.sh/hook: pre-install,pre-upgrade",
            &format!("helm.sh/hook: &pw {secret}"),
        )
        .replace("args: [", "args: [--password, *pw, ")
        .replace(
            "args:\n",
            "args:\n            - --password\n            - *pw\n",
        );
    assert!(bad.contains("*pw"));
    let (code, out, err) = run(&["check", "-"], bad.as_bytes());
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("MW010") && out.contains("MW002"), "{out}");
    let shown: Vec<_> = out.lines().filter(|line| line.contains(" | ")).collect();
    assert!(
        shown
            .iter()
            .all(|line| !line.contains(&format!("&pw {secret}"))),
        "{out}"
    );
}

/// A list of all Jobs of a cluster, in one line as `jq --compact-output` writes it.
#[test]
#[ignore = "measures time: run tests/long"]
fn one_long_line_is_no_burden() {
    let job: Value = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "x", "labels": {"app.kubernetes.io/component": "migration"}},
        "spec": {"template": {"spec": {"containers": [{"name": "migrate"}]}}}});
    let time = |jobs: usize| {
        let items = vec![job.clone(); jobs];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let start = std::time::Instant::now();
        let (code, out, _) = run(&["check", "-"], list.as_bytes());
        assert_eq!(code, 1);
        assert!(out.len() < jobs * 10 * 2500, "{}", out.len());
        start.elapsed()
    };
    // What reads all of the line for each finding takes sixteen times as long for four times as many.
    let is_linear = || time(1200) < 9 * time(300);
    assert!((0..3).any(|_| is_linear()));
}

#[test]
fn a_policy_changes_the_verdict_as_it_does_in_the_server() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let write = |rest: &str| {
        let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
        std::fs::write(policy.path(), format!("{head}{rest}")).unwrap();
    };
    let path = policy.path().to_str().unwrap();
    let check = |stdin: &str| {
        run(
            &["check", "--config", path, "--format", "json", "-"],
            stdin.as_bytes(),
        )
    };
    let bad = valid().replace("restartPolicy: Never", "restartPolicy: OnFailure");
    for (rest, code, action) in [
        ("rules: {restarting-pod: patch}\n", 0, "patch"),
        ("rules: {MW004: warn}\n", 0, "warn"),
        ("namespaces: [{names: [shop], mode: audit}]\n", 0, "audit"),
        ("profile: audit\n", 0, "audit"),
    ] {
        write(rest);
        let (found, out, _) = check(&bad);
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (found, &out["findings"][0]["action"]),
            (code, &json!(action)),
            "{rest}"
        );
    }
    // Not a hook: nothing that could be patched.
    write("rules: {restarting-pod: patch, missing-hook: warn}\n");
    let plain = bad
        .lines()
        .filter(|line| !line.contains("helm.sh/hook: "))
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(check(&plain).0, 1);
    write("rules: {missing-hook: patch}\n");
    let (code, _, err) = check(&bad);
    assert_eq!(code, 2);
    assert!(
        err.starts_with(&format!(
            "error: {path}:3:23: MW002 missing-hook cannot be patched: "
        )),
        "{err}"
    );
}

#[test]
fn check_config_tells_every_fault() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let path = policy.path().to_str().unwrap();
    std::fs::write(
        policy.path(),
        "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nrules:\n  a: deny\n  b: warn\n",
    )
    .unwrap();
    let (code, out, err) = run(&["check-config", path], b"");
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        format!(
            "error: {path}:4:6: there is no rule a; `migration-warden explain` lists them all\n\
             {path}:5:6: there is no rule b; `migration-warden explain` lists them all\n"
        )
    );
}

#[test]
fn check_config_prints_the_actions_in_force() {
    let text = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nrules: {MW004: warn}\n\
        adopt: [{name: rails, match: {tools: [rails]}}, {name: shop, match: {names: [shop-*]}}]\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, human, err) = run(&["check-config", path], b"");
    assert_eq!((code, &*err), (0, ""));
    let lines: Vec<_> = human.lines().collect();
    assert!(lines[0].starts_with(&format!("{path}: policy ")), "{human}");
    assert_eq!(lines.len(), 2 + 28 + 5);
    assert_eq!(lines[2], "MW001  untimestamped-name     deny");
    assert_eq!(lines[5], "MW004  restarting-pod         warn");
    let (code, by_flag, _) = run(&["check-config", "-f", "-"], text.as_bytes());
    assert_eq!((code, by_flag), (0, human.replace(path, "<stdin>")));
    let (_, out, _) = run(&["check-config", "-", "-o", "json"], text.as_bytes());
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out["rules"][3],
        json!({"id": "MW004", "name": "restarting-pod", "action": "warn"})
    );
    assert_eq!(out["failOpen"], json!(["rails", "detected"]));
    let quiet = run(&["check-config", "-q", path], b"");
    assert_eq!(quiet, (0, String::new(), String::new()));
    let (code, _, err) = run(&["check-config", "-"], b"kind: \xff");
    let fault = "error: <stdin>:1:7: byte 0xFF is not UTF-8; save the file as UTF-8\n";
    assert_eq!((code, &*err), (2, fault));
}

#[test]
fn check_config_prints_what_is_adopted() {
    let text = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nadopt:\n\
                \x20 - name: lago\n\
                \x20   match: {namespaces: [billing-*], names: [lago-migrate*, x], hooks: [PreSync], labels: {app: lago}}\n\
                \x20   database: main\n\
                \x20 - {name: rails, match: {tools: [rails]}, rules: warn, promises: [claims]}\n";
    let adopted = |text: &str| {
        let (code, out, err) = run(&["check-config", "-"], text.as_bytes());
        assert_eq!((code, &*err), (0, ""));
        out.split_once("\n\nadopts").unwrap().1.to_owned()
    };
    let expected = "\
, and the first entry that matches wins:
lago                          namespaces: billing-*; names: lago-migrate*, x; hooks: PreSync; labels: app=lago; database: main; rules: audit; promises: claims, guards, record, tidyUp
rails                         tools: rails (not adopted while no replica answers); rules: warn; promises: claims
detected                      a pre-install, pre-upgrade or PreSync hook that runs a migration tool (not adopted while no replica answers); rules: audit; promises: claims, guards, record, tidyUp
";
    assert_eq!(adopted(text), expected);
    let none = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\ndetection: {promises: []}\n";
    let (_, out, _) = run(&["check-config", "-"], none.as_bytes());
    assert!(out.ends_with("\n\nadopts no Job\n"), "{out}");
    let (_, out, _) = run(&["check-config", "-", "-o", "json"], text.as_bytes());
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        out["adopt"][1],
        json!({"name": "rails", "match": {"tools": ["rails"]}, "rules": "warn", "promises": ["claims"]})
    );
    assert_eq!(
        out["detection"],
        json!({"maxAction": "audit", "promises": ["claims", "guards", "record", "tidyUp"]})
    );
}

#[test]
fn explain_takes_ids_and_names_and_lists_all() {
    let (code, by_id, _) = run(&["explain", "MW001"], b"");
    assert_eq!(code, 0);
    assert!(
        by_id.starts_with("MW001 untimestamped-name\n\nA migration Job whose name"),
        "{by_id}"
    );
    assert!(
        by_id.contains(
            "Action:   deny (guide), deny (strict)\nPatch:    possible\nCEL:      in `generate vap`\nOptions:  rename\n"
        )
    );
    assert_eq!(run(&["explain", "untimestamped-name"], b"").1, by_id);
    assert_eq!(run(&["explain"], b"").1.lines().count(), 28);
    let (_, detected, _) = run(&["explain", "MW022"], b"");
    assert!(detected.contains("\nTools:    Atlas, "), "{detected}");
    let (_, _, err) = run(&["explain", "MW1"], b"");
    assert_eq!(err, "error: there is no rule MW1; did you mean MW001?\n");
    let (code, _, err) = run(&["explain", "MW999"], b"");
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "error: there is no rule MW999; `migration-warden explain` lists them all\n"
        )
    );
    let (_, _, err) = run(&["explain", "restarting-pods"], b"");
    assert_eq!(
        err,
        "error: there is no rule restarting-pods; did you mean restarting-pod?\n"
    );
    let (_, out, _) = run(&["explain", "MW002", "-o", "json"], b"");
    let rule: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&rule["name"], &rule["actions"]["guide"], &rule["options"]),
        (&json!("missing-hook"), &json!("deny"), &json!(["argocd"]))
    );
    let (_, out, _) = run(&["explain", "-o", "json"], b"");
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&all[1], all.as_array().unwrap().len()), (&rule, 28));
}

#[test]
fn typos_get_the_nearest_name() {
    for (args, tip) in [
        (&["verfy"][..], "a similar subcommand exists: 'verify'"),
        (&["explain", "-o", "jsn"], "a similar value exists: 'json'"),
        (
            &["scan", "--request-timout", "1s"],
            "a similar argument exists: '--request-timeout'",
        ),
        (
            &["generate", "vap", "--action", "Denny"],
            "a similar value exists: 'Deny'",
        ),
    ] {
        let (code, _, err) = run(args, b"");
        assert_eq!(code, 2);
        assert!(err.contains(&format!("tip: {tip}\n")), "{err}");
    }
}

#[test]
fn the_holder_is_not_in_the_help() {
    let (_, help, _) = run(&["--help"], b"");
    assert!(
        help.contains("  serve ") && !help.contains("hold-listener"),
        "{help}"
    );
    assert_eq!(run(&["hold-listener", "--help"], b"").0, 0);
}

#[test]
fn generate_vap_prints_what_kubectl_can_apply() {
    let (code, out, err) = run(&["generate", "vap", "--name", "net"], b"");
    assert_eq!((code, err.as_str()), (0, ""));
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&out).unwrap();
    assert_eq!(manifests.len(), 6);
    assert_eq!(manifests[0]["kind"], "ValidatingAdmissionPolicy");
    assert_eq!(
        manifests[1],
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "net"},
            "spec": {"policyName": "net", "validationActions": ["Warn", "Audit"]},
        })
    );
    let (code, out, err) = run(&["generate", "vap", "--action", "Deny,Warn"], b"");
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "error: --action: the API server does not accept both Deny and Warn; keep one of them\n"
    );
}

#[test]
fn generate_adopt_labels_what_the_api_server_can_find() {
    let written =
        "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nadopt:\n";
    let by_tool = "  - {name: a, match: {tools: [rails]}}\n";
    let args = [
        "generate", "adopt", "-f", "-", "--name", "net", "-o", "json",
    ];
    let both = format!("{written}{by_tool}  - {{name: b, match: {{names: [b-*]}}}}\n");
    let (code, out, err) = run(&args, both.as_bytes());
    assert_eq!((code, err.as_str()), (0, ""));
    let list: Value = serde_json::from_str(&out).unwrap();
    let [policy, binding] = &list["items"].as_array().unwrap()[..] else {
        panic!("{list:#}")
    };
    assert_eq!(policy["kind"], "MutatingAdmissionPolicy");
    assert_eq!(
        policy["spec"]["variables"][3],
        json!({
            "name": "adopted",
            "expression": "variables.names.exists(t, t.matches('^(?:b-.*)$')) ? 'b' : ''",
        })
    );
    assert_eq!(
        *binding,
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": "net"},
            "spec": {"policyName": "net"},
        })
    );
    let (code, out, err) = run(&args, format!("{written}{by_tool}").as_bytes());
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "error: <stdin>: the API server can evaluate no entry of adopt; write one without tools\n"
    );
}

#[test]
fn generate_takes_names_that_kubernetes_takes() {
    let long = "a".repeat(248);
    for (flag, name, fault) in [
        (
            "--name",
            "Net",
            "not a name in Kubernetes; write at most 253 lower-case letters, digits, '-' and '.', with a letter or digit \
             at both ends and beside each '.'",
        ),
        (
            "--name",
            &long,
            "must be no more than 247 characters, because `-audit` is appended",
        ),
        (
            "--excluded-namespaces",
            "shop,a.b",
            "not a name in Kubernetes; write at most 63 lower-case letters, digits and '-', with a letter or digit at both \
             ends",
        ),
    ] {
        let (code, out, err) = run(&["generate", "vap", flag, name], b"");
        assert_eq!((code, &*out), (2, ""));
        assert!(err.contains(flag) && err.contains(fault), "{err}");
    }
    let policy = b"apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
    let args = ["generate", "vap", "-f", "-", "-o", "json"];
    let (code, out, _) = run(&args, policy);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &list["kind"]), (0, &json!("List")));
    assert_eq!(list["items"].as_array().unwrap().len(), 6);
}

#[test]
fn serve_needs_to_be_told_to_use_a_kubeconfig() {
    let (code, out, err) = run(&["serve", "--context", "x"], b"");
    assert_eq!((code, &*out), (2, ""));
    let why = "error: --context has no meaning without --cluster kubeconfig\n";
    assert!(err.ends_with(why), "{err}");
}

#[test]
fn serve_refuses_what_it_cannot_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, "kind: x\n").unwrap();
    let (code, out, err) = run(&["serve", "--config", policy.to_str().unwrap()], b"");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.starts_with(&format!("error: {}:1:", policy.display())),
        "{err}"
    );
    let (code, _, err) = run(&["serve", "--tls-cert", "x.crt"], b"");
    assert_eq!(code, 2);
    assert!(err.contains("--tls-key"), "{err}");
    let missing = folder.path().join("none.crt");
    let missing = missing.to_str().unwrap();
    let (code, _, err) = run(&["serve", "--tls-cert", missing, "--tls-key", missing], b"");
    assert_eq!(code, 2);
    assert!(
        err.ends_with(&format!(
            "error: --tls-cert and --tls-key: failed to read {missing}: No such file or directory\n"
        )),
        "{err}"
    );
}

#[test]
fn what_needs_a_cluster_says_so_before_anything_is_made() {
    for (argument, rest) in [
        ("--tls-secret", &["--service", "y"][..]),
        ("--webhook-configuration", &[]),
    ] {
        let args = [&["serve", argument, "x"], rest].concat();
        let (code, out, err) = run(&args, b"");
        assert_eq!((code, &*out), (2, ""));
        assert_eq!(
            err,
            format!("error: {argument} needs a cluster; add --cluster in-cluster\n")
        );
    }
    let (code, _, err) = run(&["serve", "--excluded-namespaces", "x"], b"");
    assert!(
        code == 2 && err.contains("--webhook-configuration"),
        "{err}"
    );
}

#[test]
fn names_of_objects_are_those_that_kubernetes_takes() {
    let serve = ["serve", "--cluster", "in-cluster"];
    for (args, flag, name, kind) in [
        (&serve[..], "--tls-secret", "Tls", "subdomain"),
        (&serve, "--service", "warden.svc", "label"),
        (&serve, "--webhook-configuration", "a_b", "subdomain"),
        (&serve, "--excluded-namespaces", "shop,a.b", "label"),
        (&["check", "-"], "--namespace", "Shop", "label"),
        (&["check", "-"], "-n", "../shop", "label"),
    ] {
        let (code, out, err) = run(&[args, &[flag, name]].concat(), b"");
        assert_eq!((code, &*out), (2, ""));
        let most = if kind == "label" { 63 } else { 253 };
        let fault =
            format!(": not a name in Kubernetes; write at most {most} lower-case letters, digits");
        assert!(
            err.starts_with("error: invalid value '") && err.contains(&fault),
            "{err}"
        );
    }
}

#[test]
fn a_pod_without_a_kubeconfig_uses_its_own_account() {
    let home = tempfile::tempdir().unwrap();
    let mut command = warden(&["scan"]);
    command
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("HOME", home.path());
    // The test does not run in a pod, so the account's files are missing.
    for kubeconfig in ["", "no/such/file"] {
        let output = command.env("KUBECONFIG", kubeconfig).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(
            err.starts_with("error: failed to find the cluster of this pod: "),
            "{err}"
        );
    }
    let output = command.arg("--context=x").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!err.contains("this pod"), "{err}");
}

#[test]
fn the_policys_help_is_printed_once_and_last() {
    let policy = "docs/examples/policy.yaml";
    let args = ["check", "--config", policy, "docs/examples/job.yaml"];
    let (code, out, _) = run(&args, b"");
    let help = "Why, and how to ask for an exception: https://wiki.example.com/migrations\n";
    assert_eq!((code, out.matches(help).count()), (1, 1), "{out}");
    assert!(out.ends_with(help), "{out}");
    let args = [&args[..3], &["-"]].concat();
    let good = std::fs::read("tests/fixtures/valid_job.yaml").unwrap();
    let (code, out, _) = run(&args, &good);
    assert!(code == 0 && !out.contains("Why, "), "{out}");
}

#[test]
fn a_typo_in_an_argument_of_serve_serves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tsl");
    let shown = dir.display();
    let neither = format!(
        "error: the folder {shown} of --tls-dir has neither tls.crt nor tls.key; for a development certificate, leave \
         the flag out or run\n  migration-warden certs make --dir {shown}\n"
    );
    let refused = |args: &[&str]| {
        let (code, out, err) = run(&[&["serve"], args].concat(), b"");
        assert_eq!((code, &*out), (2, ""));
        err
    };
    for address in ["localhost:8443", ":8443", "8443"] {
        let err = refused(&["--listen", address]);
        let why = format!(
            "error: invalid value '{address}' for '--listen <ADDRESS>': not an IP address with a port; write one such \
             as 127.0.0.1:8443 or [::]:8443\n"
        );
        assert!(err.starts_with(&why), "{err}");
    }
    let why = "error: --cluster in-cluster: this is not a pod, because KUBERNETES_SERVICE_HOST is not set; write \
               --cluster kubeconfig\n";
    let err = refused(&["--cluster", "in-cluster"]);
    assert!(err.ends_with(why), "{err}");
    for flag in ["--config", "--client-ca"] {
        let why = format!("error: {flag}: failed to read no/such: No such file or directory\n");
        let err = refused(&[flag, "no/such"]);
        assert!(err.ends_with(&why), "{err}");
    }
    for _ in 0..2 {
        assert_eq!(refused(&["--tls-dir", dir.to_str().unwrap()]), neither);
        assert!(!dir.join("tls.crt").exists());
        let _ = std::fs::create_dir(&dir);
    }
    let err = refused(&["--log-level", "migration_wardn=debug"]);
    let why = "\"migration_wardn\" is not a part of the program that logs; did you mean migration_warden?";
    assert!(err.contains(why), "{err}");
    let err = refused(&["--log-level", "debgu"]);
    assert!(
        err.contains("did you mean debug?") && err.contains("--log-level"),
        "{err}"
    );
}

/// An exception from both rules that the example breaks, changed by `change`, in a file of its own.
fn exceptions(change: impl Fn(String) -> String) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = std::fs::read_to_string("docs/examples/exception.yaml").unwrap();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let text = text.replace("2026-12-10T00:00:00Z", &soon.to_string());
    std::fs::write(file.path(), change(text)).unwrap();
    file
}

#[test]
fn exceptions_are_honoured_as_in_the_server() {
    let check = |file: &tempfile::NamedTempFile, format: &str| {
        let path = file.path().to_str().unwrap();
        let job = "docs/examples/job.yaml";
        run(
            &["check", "--exceptions", path, "--format", format, job],
            b"",
        )
    };
    let good = exceptions(|text| text);
    let (code, out, _) = check(&good, "json");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &out["summary"]["deny"]), (0, &json!(0)));
    for finding in out["findings"].as_array().unwrap() {
        assert_eq!(
            (&finding["action"], &finding["exception"]),
            (&json!("audit"), &json!("shop-1-4"))
        );
    }
    let (_, out, _) = check(&good, "human");
    assert!(out.contains("exempted[MW004]: restarting-pod: "), "{out}");
    assert!(out.contains("= note: by shop-1-4 until 20"), "{out}");

    let (code, _, _) = check(
        &exceptions(|text| text.replace("namespace: shop", "namespace: other")),
        "json",
    );
    assert_eq!(code, 1);

    let (code, out, _) = check(
        &exceptions(|text| text.replace("expiresAt: \"", "expiresAt: \"3")),
        "json",
    );
    let why = "spec.expiresAt is not a time; write one such as 2026-12-01T12:00:00Z";
    assert!(code == 2 && out.contains(why), "{out}");

    let old = exceptions(|text| {
        let line = text
            .lines()
            .find(|line| line.contains("expiresAt"))
            .unwrap()
            .to_owned();
        text.replace(&line, "  expiresAt: \"2026-01-01T00:00:00Z\"")
    });
    let (code, out, _) = check(&old, "json");
    let out: Value = serde_json::from_str(&out).unwrap();
    let ignored = &out["ignored_exceptions"][0];
    assert_eq!(code, 1);
    assert_eq!(ignored["message"], "it has expired (spec.expiresAt)");
    assert_eq!(
        (&ignored["line"], &ignored["column"]),
        (&json!(4), &json!(9))
    );
}

#[test]
fn exceptions_with_faults_are_none() {
    let bad = exceptions(|text| text.replace("restarting-pod", "restarting-pods"));
    let path = bad.path().to_str().unwrap();
    let (code, out, err) = run(
        &["check", "--exceptions", path, "docs/examples/job.yaml"],
        b"",
    );
    assert_eq!((code, &*out), (2, ""));
    assert_eq!(
        err,
        format!(
            "error: {path}:7:31: there is no rule restarting-pods; did you mean restarting-pod?\n"
        )
    );
}

#[test]
fn exceptions_that_change_nothing_are_named() {
    let note = |file: &tempfile::NamedTempFile, quiet: &[&str]| {
        let path = file.path().to_str().unwrap();
        let args = [
            &["check", "--exceptions", path, "docs/examples/job.yaml"],
            quiet,
        ]
        .concat();
        run(&args, b"").2.replace(path, "FILE")
    };
    assert_eq!(note(&exceptions(|text| text), &[]), "");
    let other = exceptions(|text| text.replace("namespace: shop", "namespace: other"));
    assert_eq!(
        note(&other, &[]),
        "note: FILE:4:9: the exception shop-1-4 changes no finding; compare its rules, its selector and its namespace \"other\" \
         with the findings. --namespace sets the namespace of Jobs without one\n"
    );
    assert_eq!(note(&other, &["-q"]), "");
    let empty = exceptions(|_| "# none\n".to_owned());
    assert_eq!(note(&empty, &[]), "note: FILE has no exceptions\n");
}
