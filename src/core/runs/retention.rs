//! Decides which runs are kept, and which attempt a new one is. Pure: from listed runs.

use jiff::Timestamp;

use super::resource::Outcome;

/// The parts of a stored run that are read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brief {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub job: String,
    pub job_uid: String,
    pub release: String,
    pub migration: String,
    pub attempt: i32,
    /// How it ended, or that it is still running.
    pub outcome: Outcome,
    /// When the run itself was created; `None` if it is not stored.
    pub(crate) recorded_at: Option<Timestamp>,
    /// When its Job was created.
    pub admitted_at: Timestamp,
    /// Whether its start was observed.
    pub(crate) has_started: bool,
    /// When it ended; `None` while it is running.
    pub finished_at: Option<Timestamp>,
}

impl Brief {
    /// The order of attempts; names order those of the same second.
    pub(super) fn age(&self) -> (Timestamp, &str) {
        (self.admitted_at, &self.name)
    }

    fn may_go(&self) -> bool {
        self.outcome != Outcome::Running
    }
}

/// The attempt of a new run, given the other runs of its namespace. Attempts are counted from one success to the next.
pub(crate) fn attempt(others: &[Brief], new: &Brief) -> i32 {
    let same = others
        .iter()
        .filter(|other| other.release == new.release && other.migration == new.migration);
    let before = same.filter(|other| other.age() < new.age());
    match before.max_by(|a, b| a.age().cmp(&b.age())) {
        Some(last) if last.outcome != Outcome::Succeeded => last.attempt.saturating_add(1),
        _ => 1,
    }
}

/// The runs to remove so that the newest `keep` of the release stay: from these runs of one namespace, and `new`, which
/// is not stored yet.
pub(crate) fn surplus<'r>(stored: &'r [Brief], new: &'r Brief, keep: usize) -> Vec<&'r Brief> {
    let others = stored.iter().filter(|run| run.name != new.name);
    let mut runs: Vec<&Brief> = others
        .filter(|run| run.release == new.release)
        .chain([new])
        .collect();
    runs.sort_by(|a, b| b.age().cmp(&a.age()));
    let old = runs.into_iter().skip(keep);
    old.filter(|run| run.may_go()).collect()
}

/// The `count` runs that ended first, collected page by page.
#[derive(Clone, Debug)]
pub(crate) struct Oldest {
    count: usize,
    runs: Vec<Brief>,
}

impl Oldest {
    pub(crate) fn new(count: usize) -> Self {
        let runs = Vec::new();
        Self { count, runs }
    }

    /// Adds one more page.
    pub(crate) fn add(&mut self, page: Vec<Brief>) {
        self.runs.extend(page.into_iter().filter(Brief::may_go));
        let ended = |run: &Brief| run.finished_at.unwrap_or(run.admitted_at);
        self.runs
            .sort_by(|a, b| (ended(a), &a.name).cmp(&(ended(b), &b.name)));
        self.runs.truncate(self.count);
    }

    /// The collected runs, oldest first.
    pub(crate) fn runs(self) -> Vec<Brief> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failed run of this attempt, created in this second.
    fn run(second: i64, attempt: i32) -> Brief {
        let at = Timestamp::from_second(second).unwrap();
        Brief {
            namespace: "team".to_owned(),
            name: format!("r{second:03}"),
            uid: format!("u{second}"),
            job: format!("j{second}"),
            job_uid: format!("ju{second}"),
            release: "shop".to_owned(),
            migration: "shop-migrate".to_owned(),
            attempt,
            outcome: Outcome::Failed,
            recorded_at: Some(at),
            admitted_at: at,
            has_started: true,
            finished_at: Some(at),
        }
    }

    fn with(outcome: Outcome, run: Brief) -> Brief {
        Brief { outcome, ..run }
    }

    fn names(runs: &[&Brief]) -> Vec<String> {
        runs.iter().map(|run| run.name.clone()).collect()
    }

    #[test]
    fn attempts_are_counted_from_a_success_to_the_next() {
        let new = run(9, 0);
        assert_eq!(attempt(&[], &new), 1);
        assert_eq!(attempt(&[run(1, 1), run(2, 2)], &new), 3);
        let succeeded = with(Outcome::Succeeded, run(3, 3));
        assert_eq!(attempt(&[run(1, 1), run(2, 2), succeeded], &new), 1);
        for outcome in [Outcome::Running, Outcome::Lost, Outcome::Deleted] {
            assert_eq!(attempt(&[with(outcome, run(1, 1))], &new), 2);
        }
        let elsewhere = Brief {
            migration: "shop-seed".to_owned(),
            ..run(1, 5)
        };
        let other = Brief {
            release: "web".to_owned(),
            ..run(1, 5)
        };
        assert_eq!(attempt(&[elsewhere, other, run(10, 7)], &new), 1);
    }

    #[test]
    fn the_newest_of_a_release_stay_and_so_does_what_runs() {
        let stored = [
            with(Outcome::Running, run(1, 1)),
            run(2, 1),
            run(3, 1),
            with(Outcome::Succeeded, run(4, 1)),
            Brief {
                release: "web".to_owned(),
                ..run(5, 1)
            },
        ];
        let new = with(Outcome::Running, run(9, 0));
        assert_eq!(names(&surplus(&stored, &new, 2)), ["r003", "r002"]);
        assert!(surplus(&stored, &new, 5).is_empty());
        // A run that ended long ago and is found only now.
        assert_eq!(names(&surplus(&stored, &run(0, 0), 4)), ["r000"]);
        // Already written by another replica.
        assert_eq!(
            names(&surplus(&stored, &run(2, 0), 3)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_oldest_are_found_over_pages() {
        let mut oldest = Oldest::new(2);
        oldest.add(vec![
            run(5, 1),
            with(Outcome::Running, run(1, 1)),
            run(7, 1),
        ]);
        oldest.add(vec![run(6, 1), run(2, 1)]);
        let runs = oldest.runs;
        assert_eq!(names(&runs.iter().collect::<Vec<_>>()), ["r002", "r005"]);
    }
}
