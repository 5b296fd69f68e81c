//! A cheap look at a text, which spares nearly all texts the scan.

/// A cheap look first: whether `text` has anything that a credential begins with or ends in.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "the compiler looks at many bytes at once only if nothing branches"
)]
pub(in crate::job) fn may_hold_any(text: &str) -> bool {
    let bytes = text.as_bytes();
    let [second, third] = [1, 2].map(|from| bytes.get(from..).unwrap_or_default());
    let begins = |a: u8, b: u8, c: u8| {
        let is_option = (a <= b' ' || a == b'"') & (b == b'-') & b"pPawuU".contains(&c);
        let [a, b, c] = [a, b, c].map(|byte| byte | 0x20);
        let is = |word: &[u8; 3]| (a == word[0]) & (b == word[1]) & (c == word[2]);
        // `pass`, `pw`, `identified`, `authorization`, `secret`, `AccountKey`, `AccessKey`, `sqlplus`,
        // `x-api-key:`, `token:`, `bearer`, `curl`, `auth`, `db2`
        is_option
            | ((a == b'p') & (b == b'w'))
            | is(b"pas")
            | is(b"ied")
            | is(b"riz")
            | is(b"ecr")
            | is(b"ntk")
            | is(b"ssk")
            | is(b"lpl")
            | is(b"ey:")
            | is(b"en:")
            | is(b"rer")
            | is(b"cur")
            | is(b"uth")
            | is(b"db2")
    };
    let is_port = |a: u8, b: u8, c: u8| {
        (a == b':') & (b.is_ascii_digit() & c.is_ascii_digit() | (b == b'*') & (c == b':'))
    };
    // Without a way out in the middle, so that the compiler can look at many bytes at once: most
    // texts are short, and most hold none.
    let (found, port) = bytes
        .iter()
        .zip(second)
        .zip(third)
        .fold((false, false), |(found, port), ((&a, &b), &c)| {
            (found | begins(a, b, c), port | is_port(a, b, c))
        });
    // A line of `.pgpass` has four colons, and a port behind the first.
    found
        || memchr::memchr2(b'@', b'?', bytes).is_some()
        || port && memchr::memchr_iter(b':', bytes).nth(3).is_some()
}
