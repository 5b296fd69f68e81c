//! MW011: what runs may change without a release.

use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration whose image has no digest, and whose tag is `latest` or missing.
    ///
    /// ## Why is this bad?
    /// The tag may point to another image tomorrow. A rollback or a retry then runs other migrations than those of its
    /// release, and nothing shows which ones ran.
    ///
    /// ## Instead
    /// Write a version:
    /// ```yaml
    /// image: registry.example.com/shop:1.4.2
    /// ```
    /// A digest always names the same image: `registry.example.com/shop@sha256:…`.
    ///
    /// Source: the Kubernetes documentation, "Images: Image names".
    pub(super) static FLOATING_IMAGE = {
        id: "MW011",
        name: "floating-image",
        reason: "the image may change",
        remediation: "write the image with a version tag or a digest",
        path: "spec.template.spec.containers[0].image",
        guide: Audit,
        strict: Deny,
        scope: Scope::Template,
        patch: Patch::Refused("the webhook does not ask registries"),
        cel: Cel::Expression(expression),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let images = job
        .containers()
        .map(|(list, index, container)| (list, index, &*container.image));
    let floating = images.filter(|(.., image)| !image.is_empty() && is_floating(image));
    let breach = |(list, index, image): (_, _, &str)| {
        let path = FieldPath::of(list).index(index).field("image");
        Breach::new(path, format!("found {}", shown(image)))
    };
    floating.map(breach).collect()
}

fn is_floating(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    // A colon before the last slash is a registry's port.
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':')
        .is_none_or(|(_, tag)| tag.is_empty() || tag == "latest")
}

fn expression(_: &Options) -> String {
    // A colon before the last slash is a registry's port.
    let fine = "[c.?image.orValue('')].all(i, i == '' || i.contains('@') || \
                 i.matches('(^|/)[^/:]*:[^/]+$') && !i.matches('(^|/)[^/:]*:latest$'))";
    let pod = "object.spec.template.spec";
    format!("{pod}.containers.all(c, {fine}) && {pod}.?initContainers.orValue([]).all(c, {fine})")
}
