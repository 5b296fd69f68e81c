"""Prints the messages in the files that are named as arguments, each with its place: from Rust, the string literals
outside tests that have two words; from JSON, titles and descriptions. Reads Rust only as far as that needs."""

import re
import sys

# A comment, the reason of a lint's exception, a text that is searched for, a character, a raw string or a string; the
# rest is skipped.
TOKEN = re.compile(
    r"""//[^\n]*|reason = "[^"]*"|(?:_with|contains|_once|_prefix)\("(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^'\\])'|r(#+)"(?P<raw>.*?)"\1|"(?P<text>(?:\\.|[^"\\])*)\"""",
    re.S,
)
DESCRIPTION = re.compile(r'"(?:title|description)": "(?P<text>(?:\\.|[^"\\])*)"')
PROSE = re.compile(r"[a-z]{2,}[^a-z]? [a-z]+")
# Tests, and the words of Kubernetes itself.
SKIPPED = re.compile(r"(^|/)(tests?|testing|model|check/refused|job/dns|credentials/place)(/|\.rs$)")


def messages(path):
    source = open(path, encoding="utf-8").read()
    source = source.partition("\n#[cfg(test)]\nmod tests {")[0]
    for match in (DESCRIPTION if path.endswith(".json") else TOKEN).finditer(source):
        text = match["text"] or match.groupdict().get("raw") or ""
        text = re.sub(r"\\\n\s*", "", text).replace("\\n", "\n\n").replace('\\"', '"')
        # After a semicolon another sentence begins; CEL has none.
        text = re.sub(r"{[^}]*}", "{}", text).replace("; ", ".\n")
        if PROSE.search(text) and "&&" not in text and "||" not in text:
            yield source.count("\n", 0, match.start()) + 1, text


for path in sys.argv[1:]:
    if not SKIPPED.search(path):
        for line, text in messages(path):
            print(f"`{path}:{line}` {text}\n")
