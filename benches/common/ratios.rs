//! Medians and ranges. Only ratios of measurements that were made one after the other mean
//! anything on a machine that is shared.

/// The median of `values`, and the least and the greatest.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let (lower, upper) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    (
        f64::midpoint(at(lower), at(upper)),
        at(0),
        at(sorted.len().saturating_sub(1)),
    )
}

/// The ratio to another contender, taken round by round, as text.
pub(crate) fn ratio(ours: &[f64], others: &[f64]) -> String {
    let (median, least, greatest) = spread(ours.iter().zip(others).map(|(a, b)| a / b));
    format!("x{median:.2} [{least:.2}–{greatest:.2}]")
}

/// The order of `count` contenders in a round: forth, then back, so that whatever changes slowly
/// during a run hits all of them alike.
pub(crate) fn order(count: usize, round: usize) -> Vec<usize> {
    if round.is_multiple_of(2) {
        (0..count).collect()
    } else {
        (0..count).rev().collect()
    }
}

/// Whether a smoke test is wanted instead of a measurement.
pub(crate) fn quick() -> bool {
    is_set("MW_BENCH_QUICK")
}

/// Whether a variable is set to something other than nothing or `0`.
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Whether `name` is to be measured: all are, unless arguments pick some by parts of their names.
pub(crate) fn is_wanted(name: &str) -> bool {
    let picked = || {
        std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with("--"))
    };
    picked().next().is_none() || picked().any(|part| name.contains(&part))
}
