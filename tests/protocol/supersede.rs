//! Which reviews may have an earlier attempt fail that never started: only those that would be refused because of it.

use super::*;

/// Whether the review's question about the claim says so.
fn supersedes(rules: &str, namespace: NamespaceView, is_dry_run: bool) -> bool {
    let mut body = review(&job());
    body["request"]["dryRun"] = json!(is_dry_run);
    let body = body.to_string();
    let (policy, circumstances) = (policy(rules), circumstances());
    let parsed = admit::parse(Validate, body.as_bytes()).unwrap();
    let judged = parsed.select(&policy).expect("a migration");
    let judged = judged.judge(&circumstances, namespace);
    let Some(Question::Claim(claimant)) = judged.question() else {
        panic!("{rules}: it needs no claim")
    };
    claimant.supersedes
}

#[test]
fn only_a_refusal_supersedes() {
    for (rules, expected) in [
        ("", true),
        ("claims: {supersede: neverStarted}\n", true),
        ("rules: {MW101: deny}\n", true),
        ("profile: strict\n", true),
        ("claims: {supersede: off}\n", false),
        ("rules: {MW101: warn}\n", false),
        ("rules: {MW101: audit}\n", false),
        ("profile: audit\n", false),
        ("namespaces: [{names: [shop], mode: warn}]\n", false),
        ("namespaces: [{names: [shop], mode: audit}]\n", false),
    ] {
        let found = supersedes(rules, NamespaceView::default(), false);
        assert_eq!(found, expected, "{rules}");
    }
    assert!(!supersedes("", NamespaceView::default(), true), "a dry run");
    assert!(
        !supersedes("", excepting(&["MW101"]), false),
        "an exception"
    );
}
