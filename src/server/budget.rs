//! Computes how long a request may take.
//!
//! The caller enforces it.

use std::time::Duration;

/// For requests without a `timeout`: the API server's own default.
const DEFAULT: Duration = Duration::from_secs(10);

/// The API server's maximum for a webhook.
const MAX: Duration = Duration::from_secs(30);

/// The time for a request with this query: nine tenths of its `timeout`, so that the answer still reaches the caller.
pub(super) fn budget(query: Option<&str>) -> Duration {
    let fields = query.unwrap_or_default().split('&');
    let timeout = fields
        .filter_map(|field| field.strip_prefix("timeout="))
        .find_map(go_duration);
    timeout.map_or(DEFAULT, |timeout| timeout.min(MAX) * 9 / 10)
}

/// Reads a duration as Go prints it: `10s`, `1m30s`, `1.5s`. `None` if it is not positive, or not a duration.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(end);
        // "ms" must come before "m" and "s".
        let (tail, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((tail.strip_prefix(name)?, unit)))?;
        seconds += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
}

const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        for (text, millis) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("0s", None),
            ("", None),
            ("10", None),
            ("-1s", None),
            ("s", None),
            ("1.2.3s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(
                go_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn leaves_a_tenth_for_the_way_back() {
        for (query, millis) in [
            (None, 10_000),
            (Some(""), 10_000),
            (Some("timeout=5s"), 4_500),
            (Some("a=b&timeout=1s"), 900),
            (Some("timeout=soon"), 10_000),
            (Some("timeout=5m"), 27_000),
        ] {
            assert_eq!(budget(query), Duration::from_millis(millis), "{query:?}");
        }
    }
}
