//! Name patterns of policies and exceptions, in which `*` stands for any characters in one line.
//!
//! Each pattern is compared by itself, in linear time whatever the text is. One automaton for all of them is not: a tenant
//! can write texts for which it is built again and again.

/// Whether one of these patterns matches the whole text.
pub(crate) fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether this pattern matches the whole text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return text == first;
    };
    let mut rest = text.strip_prefix(first).filter(|_| !text.contains('\n'));
    for part in parts {
        rest = rest.and_then(|rest| Some(rest.split_once(part)?.1));
    }
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// The regular expression that matches what this pattern does, for the API server.
pub(crate) fn expression(pattern: &str) -> String {
    format!("^{}$", regex::escape(pattern).replace(r"\*", ".*"))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_pattern_matches_as_its_regular_expression_does() {
        let patterns = [
            "shop",
            "shop-*",
            "*-migrate",
            "a*a",
            "*-a-*-b",
            "a**b",
            "*",
            "",
        ];
        let texts = [
            "shop",
            "shop-",
            "x-migrate",
            "a",
            "aa",
            "aba",
            "x-a-b",
            "x-a--b",
            "ab",
            "a\nb",
            "",
        ];
        for pattern in patterns {
            let expression = Regex::new(&expression(pattern)).unwrap();
            for text in texts {
                let found = matches(pattern, text);
                assert_eq!(found, expression.is_match(text), "{pattern} {text}");
            }
        }
    }
}
