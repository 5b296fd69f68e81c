//! Durations as people write them: `5s`, `24h`, `30d`, `2w`. A day has 24 hours here.

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Nothing if the text is not a duration, or a negative one. Months and years are not, as they differ in length.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!duration.is_negative()).then_some(duration)
}

/// A duration in words, in the largest unit of which there are at least two: `75 seconds`, `67 days`, `50 milliseconds`.
pub(crate) fn in_words(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (count, unit) = match seconds {
        0 if duration.subsec_millis() > 0 => (duration.subsec_millis().into(), "milliseconds"),
        1 => return "1 second".to_owned(),
        0..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_one_unit() {
        for (seconds, text) in [
            (-3, "0 seconds"),
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(in_words(SignedDuration::from_secs(seconds)), text);
        }
        let short = SignedDuration::from_millis(50);
        assert_eq!(in_words(short), "50 milliseconds");
        assert_eq!(in_words(-short), "0 seconds");
    }

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
