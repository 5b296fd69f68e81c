//! Validates the policy file's section `record.runs`.

use crate::core::policy::runs::Runs;

/// The faults, each with the JSON Pointer of its value.
pub(super) fn faults(runs: Runs) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let (per_release, total) = (runs.keep_per_release, runs.keep_total);
    if !(1..=1000).contains(&per_release) {
        let message = format!("keepPerRelease: {per_release} is not between 1 and 1000");
        faults.push(("/record/runs/keepPerRelease", message));
    }
    if !(100..=100_000).contains(&total) {
        let message = format!("keepTotal: {total} is not between 100 and 100000");
        faults.push(("/record/runs/keepTotal", message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use crate::core::policy::runs::{RunMode, Runs};
    use crate::core::policy_file::validate::{InvalidPolicy, read};

    fn runs(rest: &str) -> Result<Runs, Vec<String>> {
        let head = "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\n";
        match read("policy.yaml", &format!("{head}{rest}")) {
            Ok(policy) => Ok(policy.runs),
            Err(InvalidPolicy(faults)) => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_section_is_read_and_may_be_left_out() {
        assert_eq!(runs(""), Ok(Runs::default()));
        assert_eq!(runs("record: {onFailure: deny}\n"), Ok(Runs::default()));
        let expected = Runs {
            mode: RunMode::Off,
            keep_per_release: 5,
            keep_total: 200,
        };
        for off in ["off", "'off'", "false"] {
            let text =
                format!("record: {{runs: {{mode: {off}, keepPerRelease: 5, keepTotal: 200}}}}\n");
            assert_eq!(runs(&text), Ok(expected), "{off}");
        }
    }

    #[test]
    fn faults_say_where_and_what() {
        let text = "record:\n  runs:\n    keepPerRelease: 0\n    keepTotal: 99\n";
        let expected = [
            "policy.yaml:5:21: keepPerRelease: 0 is not between 1 and 1000",
            "policy.yaml:6:16: keepTotal: 99 is not between 100 and 100000",
        ];
        assert_eq!(runs(text), Err(expected.map(str::to_owned).to_vec()));
        let unknown = runs("record: {runs: {keep: 3}}\n").unwrap_err();
        assert!(
            unknown[0].contains("there is no key keep; did you mean keepTotal?"),
            "{unknown:?}"
        );
    }
}
