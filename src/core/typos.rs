//! Counts the typos in a name. [`super::text`] finds the known name that is most like another.

/// Texts whose lengths differ by more have nothing in common. It bounds the work for a text of any length.
const MAX_LENGTH: usize = 256;

/// The number of typos in `written`, which was meant as `wanted`, if there are at most `most`. The case does not count.
pub(crate) fn typos(written: &str, wanted: &str, most: usize) -> Option<usize> {
    if written.len().abs_diff(wanted.len()) > MAX_LENGTH {
        return None;
    }
    let typos = strsim::osa_distance(&written.to_lowercase(), &wanted.to_lowercase());
    (typos <= most).then_some(typos)
}
