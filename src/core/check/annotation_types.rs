//! Annotations that are no strings, which Kubernetes refuses whatever their key.
//!
//! A review never has them, so the facts of a Job are taken without a look at those that no rule
//! asks for.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An object of which only the annotations are read, its own and those of what it makes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "reading it is what tells whether it is right")]
pub(super) struct Annotated {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct Metadata {
    annotations: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "as above")]
struct Spec {
    template: Option<Box<Annotated>>,
    job_template: Option<Box<Annotated>>,
}
