//! What a program that was run said, and expectations of it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

/// A program's exit and output, with the command line for when a test fails.
pub(crate) struct Outcome {
    command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Runs a program to its end, with this on its standard input.
    #[must_use = "say whether it succeeds or fails"]
    pub(crate) fn of(command: &mut Command, stdin: &str) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}; tests/cluster/build makes the programs")
        });
        // One that does not read its input ends before all is written; its exit code will tell.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let args = command.get_args().map(|arg| arg.to_string_lossy());
        Self {
            command: args.fold(
                command.get_program().to_string_lossy().into_owned(),
                |line, arg| line + " " + &arg,
            ),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.code == Some(0), "should have succeeded: {self}");
        self
    }

    #[track_caller]
    pub(crate) fn fails(self) -> Self {
        assert!(self.code != Some(0), "should have failed: {self}");
        self
    }

    /// Standard error, where kubectl and Helm report, has this text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "should have said {text:?}: {self}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn never_says(&self, text: &str) -> &Self {
        assert!(
            !self.stderr.contains(text),
            "should not have said {text:?}: {self}"
        );
        self
    }

    /// There is a warning with this text.
    #[track_caller]
    pub(crate) fn warns(&self, text: &str) -> &Self {
        let mut warnings = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("Warning: "));
        assert!(
            warnings.any(|line| line.contains(text)),
            "should have warned {text:?}: {self}"
        );
        self
    }

    /// Standard output, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{command}\nexit code {code:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}
