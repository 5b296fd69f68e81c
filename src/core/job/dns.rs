//! Whether names are valid in Kubernetes, and so safe in a URL's path or in a line. Pure.

/// Longest name of an object (`k8s.io/apimachinery: pkg/util/validation`, `DNS1123SubdomainMaxLength`).
const MAX_SUBDOMAIN: usize = 253;
/// Longest name of a namespace, and longest value of a label (`DNS1123LabelMaxLength`).
pub const MAX_LABEL: usize = 63;

/// Whether a namespace can have this name: a DNS-1123 label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// Whether a Job can have this name: a DNS-1123 subdomain, whose parts may be longer than a label.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(part: &str) -> bool {
    let is_taken = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !part.is_empty() && part.bytes().all(is_taken) && !part.starts_with('-') && !part.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_takes() {
        for name in ["a", "0", "shop-migrate-1766361600", &"a".repeat(63)] {
            assert!(is_label(name) && is_subdomain(name), "{name}");
        }
        for name in ["a.b", "shop.migrate-1", &"a".repeat(253)] {
            assert!(is_subdomain(name) && !is_label(name), "{name}");
        }
    }

    #[test]
    fn names_that_it_does_not() {
        for name in [
            "", "-", "a-", "-a", "A", "a b", "a/b", "..", "../a", "a\n", "\u{e9}", "%2e%2e",
            "a?b=c", "a#b", "a_b",
        ] {
            assert!(!is_label(name) && !is_subdomain(name), "{name:?}");
        }
        for name in [".", "a.", ".a", "a..b", "a.-b", "a-.b", &"a".repeat(254)] {
            assert!(!is_subdomain(name), "{name:?}");
        }
        assert!(!is_label(&"a".repeat(64)));
    }
}
