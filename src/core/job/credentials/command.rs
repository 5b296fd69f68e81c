//! Options of programs that take a password: `mysql -pX`, `sqlcmd -P X`, `curl -u user:X`.
//!
//! Options with a telling name, such as `--password`, are the same for all programs and not listed here.

/// How a program takes its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// After this letter, in the same word. The letter alone makes the program prompt for one.
    Attached(u8),
    /// After this letter, in the same word or the next.
    Either(u8),
    /// After one of these words, in the next word.
    Next(&'static [&'static str]),
    /// After this letter, or in the operand `user:password@host`.
    Login(u8),
    /// After the colon in the value of one of these options.
    User(&'static [&'static str]),
    /// In the operand `user/password@…`.
    Operand,
    /// In `user/password@…` at the beginning of a line, with or without `connect` before it.
    Connect,
    /// Not at all: it prints text for people.
    Prints,
    /// Not at all: it searches for its operand.
    Searches,
}

/// How an unknown program may take it.
pub(super) const UNKNOWN: Takes = Takes::Next(&["-P"]);
/// Redis' commands and options.
const REDIS: Takes = Takes::Next(&["-a", "auth"]);

impl Takes {
    /// How lines of its input give it.
    pub(super) fn of_input(self) -> Option<Self> {
        match self {
            Self::Operand => Some(Self::Connect),
            REDIS => Some(REDIS),
            _ => None,
        }
    }
}

/// How the program named by a word takes its password.
pub(super) fn program(word: &str) -> Option<Takes> {
    let name = word.rsplit('/').next().unwrap_or(word);
    Some(match name {
        "mysql" | "mysqladmin" | "mysqldump" | "mysqlimport" | "mysqlcheck" | "mysqlshow"
        | "mysqlpump" | "mysqlbinlog" | "mysqlslap" | "mysql_upgrade" | "mariadb"
        | "mariadb-admin" | "mariadb-dump" | "mariadb-import" | "mariadb-check"
        | "mariadb-upgrade" | "mydumper" | "myloader" | "mycli" => Takes::Attached(b'p'),
        "mysqlsh" => Takes::Login(b'p'),
        "cqlsh" | "mongosh" | "mongo" | "mongodump" | "mongorestore" | "mongoexport"
        | "mongoimport" | "mongostat" | "sshpass" | "cypher-shell" | "hdbsql" | "rabbitmqadmin"
        | "login" | "isql-fb" | "exaplus" | "beeline" | "arangosh" | "arangorestore" => {
            Takes::Either(b'p')
        }
        "sqlcmd" | "bcp" | "tsql" | "isql" | "unzip" | "zip" => Takes::Either(b'P'),
        "ldapsearch" | "ldapmodify" | "ldapadd" | "ldapdelete" | "ldapwhoami" | "ldappasswd"
        | "vsql" => Takes::Either(b'w'),
        "redis-cli" | "valkey-cli" | "keydb-cli" => REDIS,
        "db2" => Takes::Next(&["using"]),
        "curl" => Takes::User(&["-u", "--user", "-U", "--proxy-user"]),
        "sqlplus" | "sqlldr" | "sqlcl" | "rman" | "expdp" | "impdp" => Takes::Operand,
        "echo" | "printf" | "logger" => Takes::Prints,
        "grep" | "egrep" | "fgrep" | "zgrep" | "rg" => Takes::Searches,
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the word, from this byte on.
    Here(usize),
    Next,
    /// It is the next word, or begins at this byte in quotes.
    NextOrHere(usize),
    User(usize),
    NextUser,
}

/// The place of a program's password, if `word` announces one.
pub(super) fn place(takes: Takes, word: &str) -> Option<Place> {
    let letter = |option: u8| word.strip_prefix('-')?.strip_prefix(char::from(option));
    match takes {
        Takes::Attached(option) | Takes::Login(option) => letter(option)
            .filter(|rest| is_attached(rest))
            .map(|_| Place::Here(2)),
        Takes::Either(option) => match letter(option)? {
            "" => Some(Place::NextOrHere(2)),
            rest => is_attached(rest).then_some(Place::Here(2)),
        },
        // Redis' commands are written in either case.
        Takes::Next(words) => {
            let is = |known: &&str| {
                word == *known || !word.starts_with('-') && word.eq_ignore_ascii_case(known)
            };
            words.iter().any(is).then_some(Place::Next)
        }
        Takes::User(options) => {
            let behind = |option: &&str| {
                let rest = word.strip_prefix(option)?;
                match rest.strip_prefix('=') {
                    _ if rest.is_empty() => Some(Place::NextUser),
                    Some(_) => Some(Place::User(option.len() + 1)),
                    None if option.len() == 2 => Some(Place::User(option.len())),
                    None => None,
                }
            };
            options.iter().find_map(behind).or_else(|| bundled(word))
        }
        Takes::Operand | Takes::Connect | Takes::Prints | Takes::Searches => None,
    }
}

/// The place of curl's user after flags without a value: `-sSu user:password`.
fn bundled(word: &str) -> Option<Place> {
    const FLAGS: &[u8] = b"#0123456BGIJLMNORSZafgijklnpqsv";
    let letters = word.strip_prefix('-')?.as_bytes();
    let flags = letters.iter().take_while(|b| FLAGS.contains(b)).count();
    let end = flags + 2;
    let is_user = flags > 0 && matches!(letters.get(flags), Some(b'u' | b'U'));
    is_user.then_some(if word.len() == end {
        Place::NextUser
    } else {
        Place::User(end)
    })
}

/// Whether the rest of an option's word may be its value: `-p8080:80` maps ports, and `-port` is another option.
fn is_attached(rest: &str) -> bool {
    let is_mapping = rest.contains(':') && rest.bytes().all(|b| b.is_ascii_digit() || b == b':');
    !is_mapping && !matches!(rest, "ort" | "assword" | "ath" | "rofile" | "3306")
}
