//! Counts the typos in a name. [`super::text`] finds the known name that is most like another.

/// The number of typos in `written`, which was meant as `wanted`, if there are at most `most`. The case does not count.
pub(crate) fn typos(written: &str, wanted: &str, most: usize) -> Option<usize> {
    let length = |text: &str| text.chars().count();
    // A typo adds or leaves out one character at most. It saves the comparison with nearly all texts, and with long ones.
    if length(written).abs_diff(length(wanted)) > most {
        return None;
    }
    let typos = strsim::osa_distance(&written.to_lowercase(), &wanted.to_lowercase());
    (typos <= most).then_some(typos)
}
