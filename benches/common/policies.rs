//! The policies that are measured besides the built-in one.

/// A policy that adopts the migrations of this many charts, each in its namespaces.
pub(crate) fn adopting(entries: usize) -> String {
    let entry = |number| {
        format!(
            "  - {{name: chart-{number}, match: {{namespaces: [team-{number}-*], names: [chart-{number}-migrate*], \
             images: ['*/chart-{number}:*']}}}}\n"
        )
    };
    let entries: String = (0..entries).map(entry).collect();
    format!(
        "apiVersion: config.migration-warden.io/v1alpha1\nkind: MigrationPolicy\nadopt:\n{entries}"
    )
}
