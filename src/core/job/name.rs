//! Job names: the timestamp at the end, and the base name before it.
//!
//! Dates must exist (`jiff` parses them) and be between 2015 and 2099, so that a build number or an image tag does not
//! pass for a time.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::core::job::hooks;

/// Characters the API server appends to `generateName` (`k8s.io/apiserver: pkg/storage/names/generate.go`).
const GENERATED: usize = 5;
/// A generated name is cut to this length before the random characters are appended.
const MAX_GENERATED_BASE: usize = 58;

/// Length of a dash and seconds since 1970.
const SECONDS: usize = 11;
/// Characters of a revision that Argo CD keeps in the name of a hook.
const REVISION: usize = 7;
/// How a timestamp is written, which decides whether its time zone is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Seconds or milliseconds since 1970, or a date marked `z`: an exact moment.
    Exact,
    /// A date in the unknown time zone of the machine that rendered the chart.
    Local,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    /// The name without the timestamp and the dash before it.
    pub base: &'a str,
    /// The moment; a date without a zone is read as UTC.
    pub time: Timestamp,
    pub form: Form,
}

#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    full: &'a str,
    generate: &'a str,
    /// The API server generated the name from `generate`, or will.
    is_generated: bool,
    /// Argo CD may have made the name from `generate`.
    is_argocds: bool,
    cron_job: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// From `metadata.name` and `metadata.generateName`; either may be empty.
    pub fn new(full: &'a str, generate: &'a str) -> Self {
        // A client may set both: then the name was not generated, and `generateName` has no effect.
        let cut = cut(generate, MAX_GENERATED_BASE);
        let is_generated = full.is_empty()
            || full
                .strip_prefix(cut)
                .is_some_and(|rest| rest.len() == GENERATED)
                && stamp(full).is_none();
        Self {
            full,
            generate,
            is_generated,
            is_argocds: false,
            cron_job: None,
        }
    }

    /// The same name, for a Job that this CronJob owns. All its Jobs are attempts of one migration, whether named by
    /// the CronJob or by a person.
    pub(crate) fn owned_by(self, cron_job: Option<&'a str>) -> Self {
        let cron_job = cron_job.filter(|name| !name.is_empty());
        Self { cron_job, ..self }
    }

    /// The same name, with whether Argo CD runs the Job as a hook.
    pub(crate) fn of_argocd_hook(mut self, is_hook: bool) -> Self {
        self.is_argocds = is_hook;
        self
    }

    /// `metadata.name`; empty while it is still to be generated.
    pub fn full(&self) -> &'a str {
        self.full
    }

    /// The `generateName` that the name was or will be made from.
    pub fn generate(&self) -> Option<&'a str> {
        (self.is_generated && !self.generate.is_empty()).then_some(self.generate)
    }

    pub fn shown(&self) -> &'a str {
        if self.full.is_empty() {
            self.generate
        } else {
            self.full
        }
    }

    pub(crate) fn stamp(&self) -> Option<Stamp<'a>> {
        match self.generate() {
            Some(prefix) => {
                let kept = cut(prefix, MAX_GENERATED_BASE);
                stamp(kept.strip_suffix('-').unwrap_or(kept))
            }
            None => stamp(self.full),
        }
    }

    /// The base name, which all attempts of one migration share: the name without its timestamp and without the commit
    /// and the phase that Argo CD writes before it, or the name of its CronJob.
    pub fn base(&self) -> &'a str {
        if let Some(cron_job) = self.cron_job {
            return cron_job;
        }
        if let Some(stem) = self.argocd_stem() {
            return stamp(stem).map_or(stem, |stamp| stamp.base);
        }
        match (self.stamp(), self.generate()) {
            (Some(stamp), _) => stamp.base,
            (None, Some(prefix)) => prefix.strip_suffix('-').unwrap_or(prefix),
            (None, None) => self.full,
        }
    }
}

/// How many characters Argo CD appends to the `generateName` of a hook of this type.
pub(crate) fn appended_by_argocd(hook_type: &str) -> usize {
    REVISION + 1 + hook_type.len() + SECONDS
}

impl<'a> Name<'a> {
    /// The part before `<revision>-<phase>-<seconds since 1970>`, which Argo CD appends to the `generateName` of its
    /// hooks (`getSyncTasks` in `argoproj/gitops-engine: pkg/sync/sync_context.go`, 0.7.3).
    fn argocd_stem(&self) -> Option<&'a str> {
        let seconds = stamp(self.full).filter(|_| self.is_argocds)?;
        let is_epoch = self.full.len() - seconds.base.len() == SECONDS;
        let (before, phase) = seconds.base.rsplit_once('-')?;
        let is_phase = |known: &&str| known.eq_ignore_ascii_case(phase);
        if !is_epoch || !hooks::ARGOCD_TYPES.iter().any(is_phase) {
            return None;
        }
        let revision = before.strip_prefix(self.generate);
        let stem = match revision.filter(|_| !self.generate.is_empty()) {
            Some(revision) if revision.len() <= REVISION => self.generate,
            _ => {
                before
                    .rsplit_once('-')
                    .filter(|(_, end)| is_revision(end))?
                    .0
            }
        };
        let stem = stem.trim_end_matches('-');
        (!stem.is_empty()).then_some(stem)
    }
}

/// Whether this is the beginning of a commit's hash, or of a chart's version.
fn is_revision(text: &str) -> bool {
    let is_commit = text.len() == REVISION
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let version = text.strip_prefix('v').unwrap_or(text);
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_commit || is_version && text.len() <= REVISION
}

/// The longest prefix of at most `length` bytes, on a character boundary.
pub(crate) fn cut(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn stamp(name: &str) -> Option<Stamp<'_>> {
    // Longest first, so that `20260102-030405` is not read as a name that ends in `030405`.
    const FORMS: [(&str, Form); 6] = [
        ("0000-00-00-00-00-00", Form::Local),
        ("00000000t000000z", Form::Exact),
        ("00000000-000000", Form::Local),
        ("00000000000000", Form::Local),
        ("0000000000000", Form::Exact),
        ("0000000000", Form::Exact),
    ];
    FORMS.iter().find_map(|&(shape, form)| {
        let at = name.len().checked_sub(shape.len())?;
        if !name.is_char_boundary(at) {
            return None;
        }
        let (before, text) = name.split_at(at);
        let base = before.strip_suffix('-').filter(|base| !base.is_empty())?;
        let matches = text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, model)| match model {
                b'0' => byte.is_ascii_digit(),
                _ => byte == model,
            });
        let time = if matches { moment(text)? } else { return None };
        in_range(time).then_some(Stamp { base, time, form })
    })
}

fn moment(text: &str) -> Option<Timestamp> {
    match text.len() {
        10 => Timestamp::from_second(text.parse().ok()?).ok(),
        13 => Timestamp::from_millisecond(text.parse().ok()?).ok(),
        _ => {
            let mut digits = text
                .bytes()
                .filter(u8::is_ascii_digit)
                .map(|b| i16::from(b - b'0'));
            let mut number = |width: usize| {
                digits
                    .by_ref()
                    .take(width)
                    .fold(0_i16, |sum, digit| sum * 10 + digit)
            };
            let year = number(4);
            let [month, day, hour, minute, second] =
                std::array::from_fn(|_| i8::try_from(number(2)).unwrap_or(i8::MAX));
            let date = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
            Some(TimeZone::UTC.to_timestamp(date).ok()?)
        }
    }
}

fn in_range(time: Timestamp) -> bool {
    // 2015-01-01 and 2100-01-01, both UTC.
    (1_420_070_400..4_102_444_800).contains(&time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Names {
        stamped: Vec<String>,
        unstamped: Vec<String>,
        generated: Vec<(String, String, bool, bool, String)>,
        argocd: Vec<(String, String, String)>,
        cron_jobs: Vec<(String, String, String)>,
    }

    fn names() -> Names {
        crate::testing::table("job/names")
    }

    #[test]
    fn a_stamp_is_one_of_six_forms() {
        for name in names().stamped {
            let stamp = Name::new(&name, "").stamp().expect(&name);
            assert_eq!(stamp.base, "shop-migrate", "{name}");
            assert_eq!(stamp.time.as_second(), 1_766_361_600, "{name}");
        }
        for name in names().unstamped {
            assert_eq!(Name::new(&name, "").stamp(), None, "{name:?}");
        }
    }

    #[test]
    fn a_generated_name_is_judged_by_its_prefix() {
        for (full, generate, is_generated, is_stamped, base) in names().generated {
            let name = Name::new(&full, &generate);
            let expected = is_generated.then_some(&*generate);
            assert_eq!(name.generate(), expected, "{full:?} {generate:?}");
            assert_eq!(name.stamp().is_some(), is_stamped, "{full:?} {generate:?}");
            assert_eq!(name.base(), base, "{full:?} {generate:?}");
        }
    }

    #[test]
    fn attempts_of_one_migration_share_a_base() {
        for (generate, name, base) in names().argocd {
            let found = Name::new(&name, &generate).of_argocd_hook(true);
            assert_eq!(found.base(), base, "{generate:?} {name:?}");
        }
        let name = Name::new("db-apply-abcdef0-presync-1766361600", "db-apply-");
        assert_eq!(name.base(), "db-apply-abcdef0-presync");
        let stamp = name.of_argocd_hook(true).stamp().unwrap();
        assert_eq!(stamp.time.as_second(), 1_766_361_600);
        for (cron_job, name, base) in names().cron_jobs {
            let found = Name::new(&name, "").owned_by(Some(&cron_job));
            assert_eq!((found.base(), found.full()), (&*base, &*name));
        }
    }
}
