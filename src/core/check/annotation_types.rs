//! Finds annotations that are not strings: Kubernetes refuses them, whatever their key.
//!
//! A review never has them, so the facts of a Job leave out annotations that no rule reads.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The annotations of an object, and of the objects that it creates.
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
