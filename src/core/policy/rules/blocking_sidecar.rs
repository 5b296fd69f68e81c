//! MW019: a sidecar keeps the finished migration running.

use crate::core::job::object::Container;
use crate::core::job::sidecar::{self, Stop};
use crate::core::job::{INIT_CONTAINERS, cel::list, mesh};
use crate::core::policy::rule::prelude::*;

rule! {
    /// A migration whose pod has a sidecar that does not end: one that Istio or Linkerd injects, or a well-known proxy
    /// among its containers. If such a proxy is an init container and not a native sidecar, the migration does not
    /// start.
    ///
    /// The rule predicts injection from the pod template, and from the namespace's own labels if it can ask a cluster.
    /// These are fine: native sidecars, a proxy that ends by itself, and a script that stops the sidecar
    /// (`/quitquitquit`, `linkerd-await --shutdown`, `pkill` with `shareProcessNamespace`).
    ///
    /// ## Why is this bad?
    /// The migration ends, its sidecar does not, and the Job never completes. The deploy fails at its timeout although
    /// the migration succeeded.
    ///
    /// ## Instead
    /// Switch injection off:
    /// ```yaml
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels:
    ///         sidecar.istio.io/inject: "false"
    ///       annotations:
    ///         linkerd.io/inject: disabled
    /// ```
    /// or ask the mesh for a native sidecar:
    /// ```yaml
    ///       annotations:
    ///         sidecar.istio.io/nativeSidecar: "true"
    ///         config.linkerd.io/proxy-enable-native-sidecar: "true"
    /// ```
    /// Istio 1.27 and later inject native sidecars by default. This default is part of Istio's configuration, which
    /// migration-warden does not read, so write the annotation or switch this rule off.
    ///
    /// Write a proxy of your own as a native sidecar, which is an init container with `restartPolicy: Always`.
    ///
    /// Source: the Kubernetes documentation, "Sidecar Containers". The Istio documentation, "Installing the Sidecar"
    /// and "Resource Annotations". The Linkerd documentation, "Automatic Proxy Injection". linkerd/linkerd2#8194 and
    /// istio/istio#6324.
    pub(super) static BLOCKING_SIDECAR = {
        id: "MW019",
        name: "blocking-sidecar",
        reason: "a sidecar keeps it running",
        remediation: "switch injection off, or make it a native sidecar",
        path: "spec.template.metadata.annotations",
        guide: Off,
        strict: Warn,
        scope: Scope::Template,
        patch: Patch::Refused("a migration may need the mesh to reach its database"),
        cel: Cel::Expression(expression),
        check: Check::All(check),
    };
}

fn check(job: &Job<'_>, _: &Context<'_>) -> Breaches {
    let injected = mesh::injected(job).map(|mesh| {
        let detail = format!("{mesh} injects a sidecar that does not end with the migration");
        Breach::new("spec.template.metadata.annotations", detail)
    });
    injected.into_iter().chain(blocking_proxies(job)).collect()
}

/// The proxies that are written in the Job and do not end.
fn blocking_proxies(job: &Job<'_>) -> impl Iterator<Item = Breach> {
    let is_blocking = |(list, _, container): &(&str, usize, &Container<'_>)| {
        !Job::is_native_sidecar(list, container) && sidecar::never_ends(container)
    };
    let mut proxies = job.containers().filter(is_blocking).peekable();
    let are_all = || {
        job.containers()
            .all(|(_, _, container)| sidecar::is_proxy(container))
    };
    let is_fine = proxies.peek().is_none() || are_all();
    let is_stopped = !is_fine && sidecar::is_stopped(job, Stop::Proxy);
    proxies
        .filter(move |_| !is_fine)
        .filter_map(move |(list, index, container)| {
            let name = shown(&container.name);
            let (detail, advice) = if list == INIT_CONTAINERS {
                let detail =
                    format!("the proxy {name} does not end, so the migration never starts");
                (detail, MAKE_IT_NATIVE)
            } else if is_stopped {
                return None;
            } else {
                let detail = format!("the proxy {name} does not end with the migration");
                (detail, MOVE_IT)
            };
            Some(Breach::new(FieldPath::of(list).index(index), detail).advise(advice))
        })
}

const MAKE_IT_NATIVE: &str = "write restartPolicy: Always in it, which makes it a native sidecar";
const MOVE_IT: &str =
    "move it to initContainers with restartPolicy: Always, which makes it a native sidecar";

const POD: &str = "object.spec.template.spec";
/// The words of a container's command line.
const WORDS: &str = "(c.?command.orValue([]) + c.?args.orValue([]))";

fn expression(options: &Options) -> String {
    format!("{} && {}", injection(options), proxies())
}

/// [`mesh::injected`] finds none.
fn injection(_: &Options) -> String {
    let own = "object.spec.template.?metadata.?labels";
    let istio = cel::pod_annotation(Annotation::IstioInject);
    let istio_native = cel::pod_annotation(Annotation::IstioNativeSidecar);
    let linkerd = cel::pod_annotation(Annotation::LinkerdInject);
    let native = mesh::LINKERD_NATIVE.map(cel::pod_annotation);
    let native = format!("{}.or({}).or({})", native[0], native[1], native[2]);
    let space = "namespaceObject.metadata";
    let by_istio = format!(
        "{space}.?labels[?'istio-injection'].optMap(v, v == 'enabled')\
         .orValue({space}.?labels[?'istio.io/rev'].hasValue())"
    );
    let by_linkerd =
        format!("{space}.?annotations[?'linkerd.io/inject'].orValue('') in ['enabled', 'ingress']");
    let keys = mesh::LINKERD_NATIVE.map(Annotation::key);
    let natively = format!(
        "{}.exists(k, {space}.?annotations[?k].orValue('') == 'true')",
        list(&keys)
    );
    format!(
        "({istio_native}.orValue('') == 'true' || \
         [{own}[?'sidecar.istio.io/inject'].or({istio}).orValue('')].all(i, i != 'true' && \
         (i == 'false' || !({own}[?'istio.io/rev'].hasValue() || {by_istio}))) || {istio_stops}) && \
         ({native}.optMap(v, v == 'true').orValue(!({by_istio}) && {natively}) || \
         [{linkerd}.orValue('')].all(l, !(l in ['enabled', 'ingress'] || l != 'disabled' && \
         !({by_istio}) && !{natively} && {by_linkerd})) || {linkerd_stops})",
        istio_stops = stops(Stop::Istio),
        linkerd_stops = stops(Stop::Linkerd),
    )
}

/// No proxy that never ends is among the containers, or something stops it.
fn proxies() -> String {
    let last = "p[size(p) - 1].split(':')[0]";
    let proxy = format!(
        "(c.name.replace('_', '-') in {known} || [c.?image.orValue('').split('@')[0].split('/')].exists(p, \
         {last}.replace('_', '-') in {known} || size(p) > 1 && p[size(p) - 2] + '/' + {last} in {images} || \
         {last} in {servers} && {WORDS}.exists(w, w in {serves})))",
        known = list(&sidecar::KNOWN),
        images = list(sidecar::IMAGES),
        servers = list(&sidecar::SERVERS),
        serves = list(&sidecar::SERVES),
    );
    let says = |texts: &[&str]| {
        format!(
            "{WORDS}.exists(w, {}.exists(t, w.contains(t)))",
            list(texts)
        )
    };
    let ends = format!(
        "{} || size({WORDS}) > 0 && ({WORDS}[0].matches('^([^ ]*/)?timeout$') || \
         {WORDS}[0].matches('^([^ ]*/)?(sh|bash|ash|dash)$') && {})",
        says(&sidecar::ENDS),
        says(&sidecar::SCRIPT_ENDS),
    );
    let init = format!("{POD}.?initContainers.orValue([])");
    format!(
        "({POD}.containers.all(c, {proxy}) && {init}.all(c, {proxy}) || \
         {init}.all(c, c.?restartPolicy.orValue('') == 'Always' || !{proxy} || {ends}) && \
         ({POD}.containers.all(c, !{proxy} || {ends}) || {}))",
        stops(Stop::Proxy)
    )
}

/// [`sidecar::is_stopped`].
fn stops(stop: Stop) -> String {
    let has = |text: &str| format!("{WORDS}.exists(w, w.contains('{text}'))");
    let option = if stop == Stop::Proxy {
        ""
    } else {
        "!w.startsWith('-') && "
    };
    let mut says = format!(
        "{WORDS}.exists(w, {option}{}.exists(t, w.contains(t)))",
        list(stop.texts())
    );
    if stop == Stop::Linkerd {
        says = format!("{says} && ({} || {})", has("shutdown"), has("-S"));
    }
    let stops = format!(
        "{WORDS}.map(w, size(w)).sum() > {max} || {says} || \
         {POD}.?shareProcessNamespace.orValue(false) && {kill}",
        max = sidecar::MAX_SEARCHED,
        kill = has("kill"),
    );
    // The API server takes the two lists for lists of different types, which cannot be joined.
    format!(
        "({POD}.containers.exists(c, {stops}) || {POD}.?initContainers.orValue([]).exists(c, {stops}))"
    )
}
