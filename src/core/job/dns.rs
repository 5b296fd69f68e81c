//! Whether names are valid in Kubernetes, and so safe in a URL's path or in a line. Pure.
//!
//! The faults are in Kubernetes' own words (`k8s.io/apimachinery: pkg/util/validation`), because users search for them.

/// Longest name of an object (`k8s.io/apimachinery: pkg/util/validation`, `DNS1123SubdomainMaxLength`).
const MAX_SUBDOMAIN: usize = 253;
/// Longest name of a namespace, and longest value of a label (`DNS1123LabelMaxLength`).
pub(crate) const MAX_LABEL: usize = 63;

/// Whether a namespace can have this name: a DNS-1123 label.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// Whether a Job can have this name: a DNS-1123 subdomain, whose parts may be longer than a label.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

/// Whether a label can have this key: a name, after an optional prefix that is a DNS-1123 subdomain and a slash
/// (`IsQualifiedName`).
pub(crate) fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text
        .rsplit_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether a label can have this value, which may be empty (`IsValidLabelValue`).
pub(crate) fn is_label_value(text: &str) -> bool {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.iter().copied().all(is_taken)
        && is_end(bytes.first())
        && is_end(bytes.last())
}

/// Why a namespace or a container cannot have this name, if it cannot.
pub(crate) fn label_fault(name: &str) -> Option<String> {
    let wanted = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                  and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                  '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    (!is_label(name)).then(|| fault(name, MAX_LABEL, wanted))
}

/// Why an object cannot have this name, if it cannot.
pub(crate) fn subdomain_fault(name: &str) -> Option<String> {
    let wanted = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                  must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                  '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    (!is_subdomain(name)).then(|| fault(name, MAX_SUBDOMAIN, wanted))
}

fn fault(name: &str, max: usize, wanted: &str) -> String {
    if name.len() > max {
        format!("must be no more than {max} characters")
    } else {
        wanted.to_owned()
    }
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

    #[test]
    fn labels_have_keys_and_values_that_kubernetes_takes() {
        let long = "a".repeat(63);
        for key in [
            "a",
            "A_b.c-D",
            "app.kubernetes.io/component",
            &format!("x.y/{long}"),
        ] {
            assert!(is_label_key(key), "{key}");
        }
        for key in [
            "",
            "a b",
            "/a",
            "a/",
            "a/b/c",
            "App/a",
            "-a",
            "a_",
            &format!("{long}a"),
        ] {
            assert!(!is_label_key(key), "{key}");
        }
        for value in ["", "a", "A_b.c-D", "1", &long] {
            assert!(is_label_value(value), "{value}");
        }
        for value in [" ", "a b", "a/b", "-", "a.", "\u{e9}", &format!("{long}a")] {
            assert!(!is_label_value(value), "{value}");
        }
    }
}
