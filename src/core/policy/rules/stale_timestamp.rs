//! MW005: the Job was rendered long ago, or by a clock that is wrong.

use crate::core::job::name::Form;
use crate::core::policy::rule::prelude::*;
use crate::core::time;
use jiff::SignedDuration;

rule! {
    /// A migration Job whose name has a timestamp far from the API server's clock.
    ///
    /// The rule compares the timestamp with `creationTimestamp`, so the webhook's own clock does not matter. It does
    /// not apply to a Job without `creationTimestamp`. Options: `maxAge` (24h), and `maxSkew` (15m) for times in the
    /// future. A date without a time zone may be another 14 hours off in either direction.
    ///
    /// ## Why is this bad?
    /// An old timestamp often means that an old migration is replayed. It may also be intended: a rollback sends the
    /// hooks as Helm stored them, and Argo CD keeps rendered manifests for a day. So both profiles only warn.
    ///
    /// ## Instead
    /// Render the chart for each release, with `{{ now | unixEpoch }}` in the name, and do not store the output.
    ///
    /// Source: `rest.FillObjectMetaSystemFields` in `k8s.io/apiserver: pkg/registry/rest/create.go`.
    pub(super) static STALE_TIMESTAMP = {
        id: "MW005",
        name: "stale-timestamp",
        reason: "the timestamp in the name is not recent",
        remediation: "render the chart for each release",
        path: "metadata.name",
        guide: Warn,
        strict: Warn,
        scope: Scope::Job,
        patch: Patch::Refused("a new name would hide that the manifest is old"),
        options: &[AnyOption::Duration(&MAX_AGE), AnyOption::Duration(&MAX_SKEW)],
        cel: Cel::Expression(expression),
        check: Check::One(check),
    };
}

static MAX_AGE: RuleOption<SignedDuration> = RuleOption {
    key: "maxAge",
    about: "For `stale-timestamp`: the highest age of the timestamp in the name, such as `24h`.",
    default: SignedDuration::from_hours(24),
    needs: None,
};

static MAX_SKEW: RuleOption<SignedDuration> = RuleOption {
    key: "maxSkew",
    about: "For `stale-timestamp`: how far in the future the timestamp may be, such as `15m`.",
    default: SignedDuration::from_mins(15),
    needs: None,
};

/// Zones reach from UTC-12 to UTC+14.
const ZONES: SignedDuration = SignedDuration::from_hours(14);

fn check(job: &Job<'_>, context: &Context<'_>) -> Option<Breach> {
    let (stamp, created) = (job.name.stamp()?, job.created?);
    let options = context.options;
    let slack = if stamp.form == Form::Local {
        ZONES
    } else {
        SignedDuration::ZERO
    };
    let age = created.duration_since(stamp.time);
    let (distance, side) = if age > options.duration(&MAX_AGE).saturating_add(slack) {
        (age, "older")
    } else if -age > options.duration(&MAX_SKEW).saturating_add(slack) {
        (-age, "newer")
    } else {
        return None;
    };
    let (name, distance) = (shown(job.name.full()), time::in_words(distance));
    let detail = format!("the timestamp in {name} is {distance} {side} than the Job");
    Some(Breach::new("metadata.name", detail))
}

fn expression(options: &Options) -> String {
    /// Longer than any distance between two years that names may hold, and within CEL's range.
    const CENTURY: SignedDuration = SignedDuration::from_hours(100 * 366 * 24);
    let seconds = |limit: SignedDuration| limit.min(CENTURY).as_secs_f64();
    let within = |slack: SignedDuration| {
        format!(
            "age <= duration('{}s') && age >= duration('-{}s')",
            seconds(options.duration(&MAX_AGE).saturating_add(slack)),
            seconds(options.duration(&MAX_SKEW).saturating_add(slack))
        )
    };
    format!(
        "variables.stamp == '' || \
         [timestamp(object.metadata.creationTimestamp) - variables.time].all(age, \
         size(variables.stamp) in {} ? {} : {})",
        cel::LOCAL,
        within(ZONES),
        within(SignedDuration::ZERO)
    )
}
