//! The exceptions that `check` is given: reads their files, and names those that change nothing.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cli::files;
use crate::cli::render::Printer;
use crate::core::exception::file::Written;
use crate::core::exception::{self, Exception, Standing};
use crate::core::job::Job;
use crate::core::policy::finding::{ExceptionRef, Finding};
use crate::core::policy::select::Selection;
use crate::core::report::{Ignored, Located, Problem, Sink};
use crate::core::text;

#[derive(Default)]
pub(super) struct Exceptions {
    pub(super) honoured: Vec<Arc<Exception>>,
    pub(super) ignored: Vec<Ignored>,
    /// The honoured ones that no finding has used so far, each with what to say of it.
    unused: Vec<(Arc<ExceptionRef>, Problem)>,
    /// The files without exceptions.
    empty: Vec<String>,
}

impl Exceptions {
    /// Reads a file. The policy allows exceptions to last for `max`.
    pub(super) fn read(
        &mut self,
        path: &Path,
        namespace: &str,
        max: SignedDuration,
    ) -> anyhow::Result<()> {
        let (file, text) = (files::name(path), files::text(path, Some("--exceptions"))?);
        let now = Timestamp::now();
        let read = exception::file::read(&file, &text, namespace, now).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(lines.join("\n"))
        })?;
        if read.is_empty() {
            self.empty.push(file.clone());
        }
        for Written {
            exception,
            position,
        } in read
        {
            let reference = Arc::clone(&exception.reference);
            let (name, of) = (&reference.name, text::quoted(&reference.namespace));
            match exception.standing(now, max) {
                Standing::Honoured => {
                    let message = format!(
                        "the exception {name} changes no finding; compare its rules, its selector and its namespace \
                         {of} with the findings. --namespace sets the namespace of Jobs without one"
                    );
                    let problem = Problem::at(&file, position, message);
                    self.unused.push((reference, problem));
                    self.honoured.push(Arc::new(exception));
                }
                other => self.ignored.push(Ignored {
                    name: name.clone(),
                    problem: Problem::at(&file, position, other.message()),
                }),
            }
        }
        Ok(())
    }

    /// The same sink, which also notes the exceptions that findings use.
    pub(super) fn noting<'a>(&'a mut self, out: &'a mut Printer) -> Noting<'a> {
        Noting {
            exceptions: self,
            out,
        }
    }

    fn used_by(&mut self, finding: &Finding) {
        if let Some(used) = &finding.exception {
            self.unused.retain(|(unused, _)| !Arc::ptr_eq(unused, used));
        }
    }

    /// What the author should know about those that change nothing.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let empty = self.empty.iter();
        let empty = empty.map(|file| format!("{file} has no exceptions"));
        let unused = self.unused.iter();
        empty.chain(unused.map(|(_, note)| text::one_line(&note.to_string()).into_owned()))
    }
}

/// Notes the exceptions that findings use, and prints what it receives.
pub(super) struct Noting<'a> {
    exceptions: &'a mut Exceptions,
    out: &'a mut Printer,
}

impl Sink for Noting<'_> {
    fn job(&mut self, job: &Job<'_>, selection: Selection, mode: Option<&str>) {
        self.out.job(job, selection, mode);
    }

    fn finding(&mut self, located: Located) {
        self.exceptions.used_by(&located.finding);
        self.out.finding(located);
    }
}
