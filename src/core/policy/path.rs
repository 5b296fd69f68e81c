//! The path of a field, in Kubernetes' notation and as a JSON Pointer.

use std::fmt;

use json_patch::jsonptr::PointerBuf;

use crate::core::job::Kind;
use crate::core::job::annotation::Annotation;
use crate::core::job::credentials::Hit;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Key(&'static str),
    Index(usize),
}

/// The path of a field, such as `metadata.annotations['helm.sh/hook']`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// From field names joined by dots.
    #[must_use]
    pub(crate) fn of(dotted: &'static str) -> Self {
        Self(dotted.split('.').map(Step::Field).collect())
    }

    /// The path of an annotation.
    #[must_use]
    pub(crate) fn annotation(annotation: Annotation) -> Self {
        Self::of("metadata.annotations").key(annotation.key())
    }

    /// Steps into an entry of a map.
    #[must_use]
    pub(crate) fn key(mut self, key: &'static str) -> Self {
        self.0.push(Step::Key(key));
        self
    }

    /// Steps into a field.
    #[must_use]
    pub(crate) fn field(mut self, name: &'static str) -> Self {
        self.0.push(Step::Field(name));
        self
    }

    /// Steps into an element of a list.
    #[must_use]
    pub(crate) fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The path of a credential.
    #[must_use]
    pub(crate) fn credential(hit: &Hit<'_>) -> Self {
        let place = &hit.place;
        let path = Self::of(place.list)
            .index(place.container)
            .field(place.field)
            .index(place.index);
        if place.field == "env" {
            path.field("value")
        } else {
            path
        }
    }

    /// The path of a Job's field in an object of this kind.
    #[must_use]
    pub(crate) fn within(self, kind: Kind) -> Self {
        match kind {
            Kind::Job => self,
            Kind::CronJob => {
                let mut path = Self::of("spec.jobTemplate");
                path.0.extend(self.0);
                path
            }
        }
    }

    /// The path as a JSON Pointer (RFC 6901), `/` and `~` in keys escaped.
    #[must_use]
    pub(crate) fn pointer(&self) -> PointerBuf {
        PointerBuf::from_tokens(self.0.iter().map(|step| match step {
            Step::Field(name) | Step::Key(name) => (*name).to_owned(),
            Step::Index(index) => index.to_string(),
        }))
    }
}

impl From<&'static str> for FieldPath {
    fn from(dotted: &'static str) -> Self {
        Self::of(dotted)
    }
}

impl From<Annotation> for FieldPath {
    fn from(annotation: Annotation) -> Self {
        Self::annotation(annotation)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "['{key}']")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_both_notations() {
        let containers = FieldPath::of("spec.template.spec.containers").index(0);
        for (path, notation, pointer) in [
            (
                FieldPath::annotation(Annotation::Hook),
                "metadata.annotations['helm.sh/hook']",
                "/metadata/annotations/helm.sh~1hook",
            ),
            (
                containers.field("args").index(3),
                "spec.template.spec.containers[0].args[3]",
                "/spec/template/spec/containers/0/args/3",
            ),
            (
                FieldPath::of("metadata.labels").within(Kind::CronJob),
                "spec.jobTemplate.metadata.labels",
                "/spec/jobTemplate/metadata/labels",
            ),
        ] {
            assert_eq!(path.to_string(), notation);
            assert_eq!(path.pointer().as_str(), pointer);
        }
    }
}
