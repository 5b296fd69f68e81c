//! Durations as people write them: `5s`, `24h`, `30d`, `2w`. A day has 24 hours here.

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Nothing if the text is not a duration, or a negative one. Months and years are not, as they differ in length.
#[must_use]
pub fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!duration.is_negative()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_are_durations() {
        let hours = SignedDuration::from_hours;
        for (text, expected) in [
            ("0s", Some(hours(0))),
            ("15m", Some(SignedDuration::from_mins(15))),
            ("24h", Some(hours(24))),
            ("1h 30m", Some(SignedDuration::from_mins(90))),
            ("PT1H", Some(hours(1))),
            ("30d", Some(hours(720))),
            ("2w", Some(hours(336))),
            ("-5s", None),
            ("1mo", None),
            ("1y", None),
            ("5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }
}
