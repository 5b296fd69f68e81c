//! Finds releases whose migrations have another name with each version: their attempts do not wait for each other. Pure:
//! from listed runs.

use jiff::SignedDuration;

use super::retention::Brief;

/// Names of one kind, with the new one. Two may be two migrations of the release.
const NAMES: usize = 3;
/// How long ago the first of them was used. The migrations of one deploy follow each other sooner.
const AGE: SignedDuration = SignedDuration::from_hours(1);

/// The name that the migration of a new run had before, if its name changes with a version or a revision: the release has
/// had at least two others that differ only there, and none was used again after the next one. `others` are the other
/// runs of the release.
pub(crate) fn former<'r>(others: &'r [Brief], new: &Brief) -> Option<&'r str> {
    let kind = kind(&new.migration);
    let alike =
        |other: &&Brief| other.release == new.release && self::kind(&other.migration) == kind;
    let mut runs: Vec<&Brief> = others.iter().filter(alike).collect();
    runs.sort_by(|a, b| a.age().cmp(&b.age()));
    if runs
        .iter()
        .any(|run| run.migration == new.migration || run.age() > new.age())
    {
        return None;
    }
    let first = runs.first()?.admitted_at;
    let mut names: Vec<&str> = runs.iter().map(|run| &*run.migration).collect();
    names.dedup();
    let mut known = names.clone();
    known.sort_unstable();
    known.dedup();
    let changes = known.len() == names.len() && names.len() + 1 >= NAMES;
    let is_later = new.admitted_at.duration_since(first) >= AGE;
    names.pop().filter(|_| changes && is_later)
}

/// The name without what a version or a revision may be: its parts between dashes and dots, those with a digit as one.
fn kind(name: &str) -> Vec<&str> {
    let has_digit = |part: &str| part.contains(|c: char| c.is_ascii_digit());
    let parts = name.split(['-', '.']);
    let mut kind: Vec<&str> = parts
        .map(|part| if has_digit(part) { "#" } else { part })
        .collect();
    kind.dedup();
    kind
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::runs::resource::Outcome;

    /// The run of a migration with this name, so many minutes after the first one.
    fn run(migration: &str, minute: i64) -> Brief {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        Brief {
            namespace: "shop".to_owned(),
            name: format!("r{minute:03}"),
            uid: String::new(),
            job: String::new(),
            job_uid: String::new(),
            release: "shop".to_owned(),
            migration: migration.to_owned(),
            attempt: 1,
            outcome: Outcome::Succeeded,
            recorded_at: None,
            admitted_at: at,
            has_started: true,
            finished_at: None,
        }
    }

    #[test]
    fn a_name_that_changes_with_each_version_is_found() {
        for (names, found) in [
            // The last one is new.
            ("0 web-1-0-0, 30 web-1-0-1, 60 web-1-1-0", Some("web-1-0-1")),
            ("0 web-r1, 0 web-r1, 30 web-r2, 60 web-r3", Some("web-r2")),
            ("0 web-1.9, 30 web-1.9-2, 60 web-2f3c9e1", Some("web-1.9-2")),
            // A second name, and three migrations of one deploy.
            ("0 web-1, 60 web-2", None),
            ("0 web-1, 30 web-2, 59 web-3", None),
            // One that has been used before, and two that take turns.
            ("0 web-1, 30 web-2, 60 web-2", None),
            ("0 db1, 1 db2, 100 db1, 101 db2, 200 db3", None),
            // Other migrations of the release, and a run that is found late.
            ("0 web, 30 api, 60 db", None),
            ("0 web-1, 30 web-2, 90 web-3, 60 web-4", None),
        ] {
            let runs = names.split(", ").map(|run| run.split_once(' ').unwrap());
            let mut runs: Vec<Brief> = runs
                .map(|(at, name)| self::run(name, at.parse().unwrap()))
                .collect();
            let new = runs.pop().unwrap();
            assert_eq!(former(&runs, &new), found, "{names}");
            for other in &mut runs {
                other.release = "other".to_owned();
            }
            assert_eq!(former(&runs, &new), None, "{names}");
        }
    }
}
