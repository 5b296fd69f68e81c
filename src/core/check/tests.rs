use proptest::prelude::*;

use super::*;
use crate::core::policy_file::validate;
use crate::core::report::Source;

fn check(text: &str, policy: &Policy) -> (Report, Vec<Located>) {
    let mut findings = Vec::new();
    let mut check = Check::new(policy, "", Vec::new());
    check.file("file.yaml", text, &mut |located: Located| {
        findings.push(located);
    });
    (check.report, findings)
}

/// Pieces of generated manifests, right and wrong.
const PIECES: [&str; 36] = [
    "apiVersion: batch/v1\nkind: Job\n",
    "metadata:\n  name: shop-migrate-1766361600\n",
    "  labels: {app.kubernetes.io/component: migration}\n",
    "spec:\n  backoffLimit: 0\n",
    "  template:\n    spec:\n      containers: [{image: a, args: [--password, &x b, *x]}]\n",
    "kind: List\nitems:\n- ",
    "{\"kind\": \"JobList\", \"apiVersion\": \"batch/v1\", \"items\": [{\"metadata\": {\"name\": 5}}]}",
    "---\n",
    "--- text\n",
    "...\n",
    "%YAML 1.2\n",
    "<<: *x\n",
    "a: &x {b: 1}\n",
    "- *x\n",
    "? ",
    ": ",
    "!!int ",
    "!x ",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "{{ x }}",
    "|-\n",
    ">\n",
    "\t",
    "  ",
    "\n",
    "\r\n",
    "# c\n",
    "ä\u{1F600}",
    "\u{feff}",
    "\u{0}",
    "1.5e3",
];

proptest! {
    #[test]
    fn any_text_gives_a_report_whose_places_exist(
        parts in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
            1 => ".{0,8}",
        ], 0..24),
    ) {
        let text = parts.concat();
        let (report, findings) = check(&text, &validate::builtin());
        let lines = text.split('\n').count();
        let sources: Vec<_> = findings.iter().map(|located| located.source.as_ref().unwrap()).collect();
        let places = sources.iter().map(|source| source.position);
        let notes = report.problems.iter().chain(&report.warnings);
        for place in places.chain(notes.filter_map(|note| note.position)) {
            prop_assert!((1..=lines).contains(&place.line) && place.column >= 1, "{text:?}: {place:?}");
        }
        for Source { line, part, .. } in sources {
            prop_assert!(part.start <= part.end && part.end <= line.len(), "{text:?}");
        }
    }
}
