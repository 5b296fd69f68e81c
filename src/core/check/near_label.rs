//! Finds a label that is nearly one that a selector of the policy asks for. With a typo in its label a Job is not
//! enforced, and nothing else would say so. [`crate::core::policy::select`] decides which Jobs are migrations.

use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

use crate::core::manifest;
use crate::core::policy::breach::shown;
use crate::core::policy::select::Selectors;
use crate::core::typos::typos;

/// The objects in a Job or CronJob whose labels may mark a migration.
const LABELLED: [&str; 4] = [
    "",
    "/spec/template",
    "/spec/jobTemplate",
    "/spec/jobTemplate/spec/template",
];

/// A label that a selector asks for. Any value will do if it has none.
#[derive(Clone, Copy)]
struct Wanted<'s> {
    key: &'s str,
    value: Option<&'s str>,
}

/// A label that no selector matches.
pub(super) struct NearLabel {
    /// JSON Pointer to its value.
    pub(super) at: PointerBuf,
    /// The label that a selector asks for, as it is written in a manifest.
    pub(super) meant: String,
    pub(super) message: String,
}

/// The label of an object that is most like one that a selector asks for, and is not that one.
pub(super) fn find(object: &Value, selectors: &Selectors) -> Option<NearLabel> {
    let labels = LABELLED.iter().flat_map(|parent| {
        let map = object.pointer(&format!("{parent}/metadata/labels"));
        let map = map.and_then(Value::as_object).into_iter().flatten();
        map.filter_map(move |(key, value)| Some((parent, key, value.as_str()?)))
    });
    let near = labels.flat_map(|(parent, key, value)| {
        wanted(selectors).filter_map(move |wanted| {
            let distance = wanted.distance(key, value)?;
            Some((distance, parent, key, value, wanted))
        })
    });
    let (_, parent, key, value, wanted) = near.min_by_key(|(distance, ..)| *distance)?;
    let mut at = PointerBuf::parse(format!("{parent}/metadata/labels")).ok()?;
    at.push_back(key);
    let label = wanted.value.map(|_| format!("{key}: {value}"));
    let label = shown(label.as_deref().unwrap_or(key));
    let meant = wanted.written();
    let message =
        format!("no selector of the policy matches the label {label}; did you mean {meant}?");
    Some(NearLabel { at, meant, message })
}

/// The first label that a selector asks for, as it is written in a manifest.
pub(super) fn first(selectors: &Selectors) -> Option<String> {
    wanted(selectors).next().map(Wanted::written)
}

fn wanted(selectors: &Selectors) -> impl Iterator<Item = Wanted<'_>> {
    selectors.as_written().iter().flat_map(|selector| {
        let labels = selector.match_labels.iter().flatten();
        let labels = labels.map(|(key, value)| Wanted {
            key,
            value: Some(value),
        });
        let expressions = selector.match_expressions.iter().flatten();
        labels.chain(expressions.flat_map(|asked| {
            let key = asked.key.as_str();
            let values = asked.values.iter().flatten();
            let values = values.filter(|_| asked.operator == "In");
            let values = values.map(move |value| Wanted {
                key,
                value: Some(value),
            });
            let any = (asked.operator == "Exists").then_some(Wanted { key, value: None });
            values.chain(any)
        }))
    })
}

impl Wanted<'_> {
    /// How far a label is from this one, if it is near and is not this one. The prefixes of keys do not count: charts
    /// write `component` for `app.kubernetes.io/component`.
    fn distance(self, key: &str, value: &str) -> Option<usize> {
        let wanted = self.value.unwrap_or(value);
        if (key, value) == (self.key, wanted) {
            return None;
        }
        let name = |key| str::rsplit(key, '/').next().unwrap_or_default();
        Some(distance(name(key), name(self.key))? + distance(value, wanted)?)
    }

    fn written(self) -> String {
        match (self.key, self.value) {
            (key, None) => key.to_owned(),
            (key, Some(value)) if manifest::is_text(value) => format!("{key}: {value}"),
            (key, Some(value)) => format!("{key}: \"{value}\""),
        }
    }
}

/// The number of typos, if there are few of them for the length of the text.
fn distance(written: &str, wanted: &str) -> Option<usize> {
    typos(written, wanted, (wanted.len() / 4).min(2))
}
