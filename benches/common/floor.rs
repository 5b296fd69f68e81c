//! The least that a webhook with these four rules can do: borrowed structs of exactly the fields
//! it needs, four comparisons, and an answer with the right uid. The denominator of every ratio.

use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    annotations: Annotations<'a>,
}

#[derive(Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, rename = "helm.sh/hook")]
    hook: Cow<'a, str>,
    #[serde(borrow, rename = "helm.sh/hook-delete-policy")]
    delete_policy: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    template: Template<'a>,
}

#[derive(Deserialize)]
struct Template<'a> {
    #[serde(borrow)]
    spec: Pod<'a>,
}

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(borrow, rename = "restartPolicy")]
    restart_policy: Cow<'a, str>,
}

/// Judges a review by way of borrowed structs.
pub(crate) fn rules(body: &[u8]) -> Option<String> {
    let Request { uid, object } = serde_json::from_slice::<Review<'_>>(body).ok()?.request;
    let annotations = object.metadata.annotations;
    let allowed = keeps_the_rules(
        &object.metadata.name,
        &annotations.hook,
        &annotations.delete_policy,
        &object.spec.template.spec.restart_policy,
    );
    Some(answer(&uid, allowed))
}

/// Judges a review by way of a tree of all of it.
pub(crate) fn value(body: &[u8]) -> Option<String> {
    let review: Value = serde_json::from_slice(body).ok()?;
    let (request, object) = (&review["request"], &review["request"]["object"]);
    let annotations = &object["metadata"]["annotations"];
    let allowed = keeps_the_rules(
        object["metadata"]["name"].as_str()?,
        annotations["helm.sh/hook"].as_str()?,
        annotations["helm.sh/hook-delete-policy"].as_str()?,
        object["spec"]["template"]["spec"]["restartPolicy"].as_str()?,
    );
    Some(answer(request["uid"].as_str()?, allowed))
}

fn keeps_the_rules(name: &str, hook: &str, delete_policy: &str, restart_policy: &str) -> bool {
    let lists = |list: &str, wanted: &str| list.split(',').any(|element| element.trim() == wanted);
    let stamp = name.rsplit_once('-').map_or("", |(_, stamp)| stamp);
    stamp.len() == 10
        && stamp.bytes().all(|byte| byte.is_ascii_digit())
        && lists(hook, "pre-install")
        && lists(hook, "pre-upgrade")
        && lists(delete_policy, "before-hook-creation")
        && lists(delete_policy, "hook-succeeded")
        && restart_policy == "Never"
}

fn answer(uid: &str, allowed: bool) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":{allowed}}}}}"#
    )
}
