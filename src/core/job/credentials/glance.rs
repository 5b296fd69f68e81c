//! A cheap first check, so that nearly all texts need no scan.

/// What a credential begins with or ends in, cut to three bytes at most, in any case: `pass`, `pw`, `identified`,
/// `authorization`, `secret`, `AccountKey`, `AccessKey`, `sqlplus`, `x-api-key:`, `token:`, `bearer`, `curl`, `auth`,
/// `db2`.
const WORDS: [&[u8]; 14] = [
    b"pas", b"pw", b"ied", b"riz", b"ecr", b"ntk", b"ssk", b"lpl", b"ey:", b"en:", b"rer", b"cur",
    b"uth", b"db2",
];
/// An option such as `-p`, after a space, a quote or nothing.
const OPTION: u32 = 1 << WORDS.len();
/// The port of a line of `.pgpass`, or a star for every port.
const PORT: u32 = OPTION << 1;
const EVERY_PORT: u32 = PORT << 1;

/// For each byte, the set of words that have it as first, second or third byte.
const TABLES: [[u32; 256]; 3] = tables();

const fn tables() -> [[u32; 256]; 3] {
    let mut tables = [[0; 256]; 3];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let own = byte as u8;
        let mut at = 0;
        while at < 3 {
            let mut word = 0;
            while word < WORDS.len() {
                if at >= WORDS[word].len() || own.to_ascii_lowercase() == WORDS[word][at] {
                    tables[at][byte] |= 1 << word;
                }
                word += 1;
            }
            at += 1;
        }
        let [first, second, third] = &mut tables;
        if own <= b' ' || own == b'"' {
            first[byte] |= OPTION;
        }
        match own {
            b'-' => second[byte] |= OPTION,
            b'p' | b'P' | b'a' | b'w' | b'u' | b'U' => third[byte] |= OPTION,
            b'0'..=b'9' => {
                second[byte] |= PORT;
                third[byte] |= PORT;
            }
            b'*' => second[byte] |= EVERY_PORT,
            b':' => {
                first[byte] |= PORT | EVERY_PORT;
                third[byte] |= EVERY_PORT;
            }
            _ => {}
        }
        byte += 1;
    }
    tables
}

/// A group that nearly every request names. It contains `auth`.
const AUTHENTICATED: &str = "system:authenticated";

/// Whether `text` has anything that a credential begins with or ends in.
pub(in crate::core::job) fn may_hold_any(text: &str) -> bool {
    if text == AUTHENTICATED {
        return false;
    }
    let bytes = text.as_bytes();
    let [first, second, third] = &TABLES;
    let [from_second, from_third] = [1, 2].map(|from| bytes.get(from..).unwrap_or_default());
    // No early exit: it would make each byte wait for the previous one, and most texts hold nothing.
    let found = bytes.iter().zip(from_second).zip(from_third);
    let found = found.fold(0, |found, ((&a, &b), &c)| {
        found | first[usize::from(a)] & second[usize::from(b)] & third[usize::from(c)]
    });
    // A line of `.pgpass` has four colons, and a port after the first.
    found & !(PORT | EVERY_PORT) != 0
        || memchr::memchr2(b'@', b'?', bytes).is_some()
        || found != 0 && memchr::memchr_iter(b':', bytes).nth(3).is_some()
}
