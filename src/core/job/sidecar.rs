//! Containers that serve the other containers of their pod and never end by themselves.
//!
//! Beside a migration such a container keeps the Job from completing, and it does not show that the migration is still
//! running. Only well-known ones are listed here. [`crate::core::job::mesh`] covers service meshes that inject one.

use std::sync::LazyLock;

use crate::core::job::Job;
use crate::core::job::object::Container;

/// The names in `sidecars.txt`, of containers and of images.
pub(crate) static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let lines = include_str!("sidecars.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// Images whose last path element alone is ambiguous, by the end of their path.
pub(crate) const IMAGES: &[&str] = &[
    "linkerd/proxy",
    "linkerd-io/proxy",
    "datadog/agent",
    "newrelic/infrastructure",
    "timberio/vector",
    "dapr/dapr",
];

/// Images that contain a proxy among other programs. [`SERVES`] has the commands that start it.
pub(crate) const SERVERS: [&str; 3] = ["vault", "openbao", "bao"];
pub(crate) const SERVES: [&str; 2] = ["agent", "proxy"];
/// Arguments with which a proxy ends by itself.
pub(crate) const ENDS: [&str; 2] = ["exit-after-auth", "exit_after_auth"];
/// Words of a shell script that may end the proxy it starts.
pub(crate) const SCRIPT_ENDS: [&str; 5] = ["while", "until", "trap", "kill", "wait"];
/// Longest command line of a container that is searched, in characters. A longer one counts as stopping the sidecar.
pub(crate) const MAX_SEARCHED: usize = 65_536;

/// A sidecar that a script may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Istio,
    Linkerd,
    Proxy,
}

impl Stop {
    /// The texts in a script that stop it. They do not count in an option (`-…`), except a proxy's own
    /// `--quitquitquit`: it is only set if something calls that endpoint.
    pub(crate) const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Istio => &["quitquitquit", "scuttle"],
            Self::Linkerd => &["4191/shutdown", "linkerd-await"],
            Self::Proxy => &[
                "quitquitquit",
                "/shutdown",
                "graceful_shutdown",
                "/agent/v1/quit",
                "SHUTDOWN",
            ],
        }
    }
}

/// Whether something in the pod stops this sidecar once the migration has ended.
pub(crate) fn is_stopped(job: &Job<'_>, stop: Stop) -> bool {
    let shared = job.spec.template.spec.share_process_namespace;
    job.containers().any(|(_, _, container)| {
        let has = |text: &str| words(container).any(|word| word.contains(text));
        let says = |text: &&str| {
            let word =
                |word: &str| word.contains(text) && (stop == Stop::Proxy || !word.starts_with('-'));
            words(container).any(word)
        };
        let length: usize = words(container).map(|word| word.chars().count()).sum();
        let waits_only = stop == Stop::Linkerd && !has("shutdown") && !has("-S");
        length > MAX_SEARCHED
            || stop.texts().iter().any(says) && !waits_only
            || shared && has("kill")
    })
}

/// Whether a container is a proxy that keeps running when the others have ended.
pub(crate) fn never_ends(container: &Container<'_>) -> bool {
    let first = words(container).next().unwrap_or_default();
    let program = first.rsplit('/').next().unwrap_or_default();
    let says = |texts: &[&str]| {
        texts
            .iter()
            .any(|text| words(container).any(|word| word.contains(text)))
    };
    let scripted = matches!(program, "sh" | "bash" | "ash" | "dash") && says(&SCRIPT_ENDS);
    is_proxy(container) && program != "timeout" && !scripted && !says(&ENDS)
}

/// Whether a container is a proxy by its name, its image or its command.
pub(crate) fn is_proxy(container: &Container<'_>) -> bool {
    let program = repository(&container.image)
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let serves = SERVERS.contains(&program) && words(container).any(|word| SERVES.contains(&word));
    serves || is_known_proxy(&container.name, &container.image)
}

fn words<'c>(container: &'c Container<'_>) -> impl Iterator<Item = &'c str> {
    container
        .command
        .iter()
        .chain(&container.args)
        .map(|word| &**word)
}

/// Whether a container of this name and image is a well-known proxy or agent, which never ends by itself.
///
/// It is a sidecar only if the pod has a container that is not one of these.
pub(crate) fn is_known_proxy(name: &str, image: &str) -> bool {
    let repository = repository(image);
    let program = repository.rsplit('/').next().unwrap_or_default();
    known(name)
        || known(program)
        || IMAGES.iter().any(|known| {
            repository
                .strip_suffix(known)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        })
}

fn known(name: &str) -> bool {
    let dashed = name
        .bytes()
        .map(|byte| if byte == b'_' { b'-' } else { byte });
    KNOWN
        .iter()
        .any(|known| known.len() == name.len() && dashed.clone().eq(known.bytes()))
}

/// An image without tag and digest.
pub(crate) fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        // A colon before a slash is the registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    #[test]
    fn knows_a_proxy_by_its_name_or_its_image_and_nothing_else() {
        for (is_proxy, name, image) in table::<Vec<(bool, String, String)>>("job/sidecars") {
            assert_eq!(is_known_proxy(&name, &image), is_proxy, "{name} {image}");
        }
    }
}
