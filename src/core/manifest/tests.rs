use super::stream::{DIRECTIVE, SEPARATOR};
use super::*;
use serde_json::json;

fn read(stream: &str) -> Vec<Document<'_>> {
    documents(stream).map(Result::unwrap).collect()
}

fn values(stream: &str) -> Vec<Value> {
    let documents = read(stream);
    documents.iter().map(|d| d.value(d.root())).collect()
}

/// The faults of a stream, each with line and column.
fn faults(stream: &str) -> Vec<(usize, usize, String)> {
    documents(stream)
        .filter_map(Result::err)
        .map(|broken| {
            let Position { line, column } = broken.position;
            (line, column, broken.message)
        })
        .collect()
}

#[test]
fn every_value_has_its_place_in_the_stream() {
    let stream = "# first\n---\na: 1\n---\n---\nb:\n  - c: 'x'\n    d: [1, two]\n";
    let documents = read(stream);
    assert_eq!(documents.len(), 2);
    let root = documents[1].root();
    assert_eq!(
        documents[1].value(root),
        json!({"b": [{"c": "x", "d": [1, "two"]}]})
    );
    let (at, bytes) = documents[1].locate(root, "/b/0/d/1");
    let place = |line, column| Position { line, column };
    assert_eq!((at, &stream[bytes]), (place(8, 12), "two"));
    let (at, bytes) = documents[1].locate(root, "/b/0/c");
    assert_eq!((at, &stream[bytes]), (place(7, 8), "'x'"));
    // The key of the nearest existing parent, or that parent if it has none.
    let (at, bytes) = documents[1].locate(root, "/b/x");
    assert_eq!((at, &stream[bytes]), (place(6, 1), "b"));
    let (at, bytes) = documents[1].locate(root, "/b/0/d/4/e");
    assert_eq!((at, &stream[bytes]), (place(8, 5), "d"));
    assert_eq!(documents[1].locate(root, "/b/0/e/f").0, place(7, 5));
    assert_eq!(documents[1].locate(root, "/e").0, place(6, 1));
    // A map or a list begins at its bracket, or else below its key.
    assert_eq!(documents[1].locate(root, "/b").0, place(6, 1));
    assert_eq!(documents[1].locate(root, "/b/0/d").0, place(8, 8));
    assert_eq!(
        documents[0].locate(documents[0].root(), "/a").0,
        place(3, 4)
    );
}

#[test]
fn a_document_may_begin_in_the_line_of_its_marker() {
    let stream = "--- {a: 1}\n--- # text\nb: 2\n";
    let documents = read(stream);
    assert_eq!(values(stream), [json!({"a": 1}), json!({"b": 2})]);
    let at = documents[0].locate(documents[0].root(), "/a").0;
    assert_eq!((at.line, at.column), (1, 9));
}

#[test]
fn a_broken_document_does_not_hide_the_next() {
    let found: Vec<_> = documents("a: [1\n---\nb: 2\n---\nc: 1\nc: 2\n").collect();
    let [Err(broken), Ok(_), Ok(last)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(broken.position.line, 1, "{broken:?}");
    assert_eq!(last.value(last.root()), json!({"c": 2}));
}

#[test]
fn the_last_value_of_a_key_that_is_written_twice_counts() {
    let stream = "a: &x {b: 1, c: 2, b: 3}\nd:\n- {e: 1, 'e': 2}\nf: {1: a, \"1\": b}\nd: *x\n";
    let x = json!({"b": 3, "c": 2});
    assert_eq!(values(stream), [json!({"a": x, "d": x, "f": {"1": "b"}})]);
    let twice = |stream| -> Vec<_> {
        let document = read(stream).remove(0);
        let found = document.duplicates();
        found
            .map(|t| {
                format!(
                    "{} {} {}:{}",
                    t.key, t.earlier.line, t.later.line, t.later.column
                )
            })
            .collect()
    };
    assert_eq!(
        twice(stream),
        ["b 1 1:20", "e 3 3:10", "1 4 4:11", "d 2 5:1"]
    );
    // In the order of the file, whatever the keys are.
    assert_eq!(
        twice("b: 1\na: 1\nb: 2\na: 2\nb: 3\n"),
        ["b 1 3:1", "a 2 4:1", "b 3 5:1"]
    );
}

/// The same JSON as from `sigs.k8s.io/yaml` 1.6.0.
#[test]
fn aliases_and_merges_are_read_as_kubectl_reads_them() {
    let stream =
        "x: &x {a: 2, b: 3}\nw:\n  a: 1\n  <<: *x\nz:\n  <<: [*x, {a: 9, c: 4}]\n  b: 7\nv: *x\n";
    let x = json!({"a": 2, "b": 3});
    assert_eq!(
        values(stream),
        [json!({"x": x, "w": x, "z": {"a": 2, "b": 7, "c": 4}, "v": x})]
    );
    let documents = read(stream);
    let document = &documents[0];
    let line = |pointer| document.locate(document.root(), pointer).0.line;
    assert_eq!((line("/w/a"), line("/v"), line("/v/b")), (1, 8, 1));
}

#[test]
fn values_are_read_as_kubectl_reads_them() {
    for (stream, value) in [
        (
            "a: !Ref 5\nb: !!str 5\nc: !!int \"5\"\nd: !!float 3\ne: !!binary aGk=\nf: !x {g: 1}\nh: ! 1\n",
            json!({"a": "5", "b": "5", "c": 5, "d": 3, "e": "hi", "f": {"g": 1}, "h": "1"}),
        ),
        (
            "a: \"x\\ny\"\nb: 'it''s'\nc: one\n  two\nd: >-\n  one\n  two\ne: \"\"\nf:\ng: '5'\nh: |-\n  'x'\n",
            json!({"a": "x\ny", "b": "it's", "c": "one two", "d": "one two", "e": "", "f": null, "g": "5", "h": "'x'"}),
        ),
        (
            "a: |\n  ---\n  x\nb: a---b\n",
            json!({"a": "---\nx\n", "b": "a---b"}),
        ),
    ] {
        assert_eq!(values(stream), [value]);
    }
    for (stream, words) in [
        (
            "a: !!int s3cr3t",
            "the tag !!int stands before a value that is not an integer",
        ),
        (
            "a: !!binary '#'",
            "the tag !!binary stands before a value that is not base64",
        ),
    ] {
        let (line, column, message) = faults(stream).remove(0);
        assert_eq!((line, message.as_str()), (1, words));
        assert!(column > 3, "{column}");
    }
}

#[test]
fn json_needs_no_marker_between_documents() {
    let stream = "{\"a\": 1}{\"b\": 2}\n\n{\"c\":\n\t3}\n---\n{\"d\": 4}\n{\"e\": 5}\n";
    let all = [
        json!({"a": 1}),
        json!({"b": 2}),
        json!({"c": 3}),
        json!({"d": 4}),
        json!({"e": 5}),
    ];
    assert_eq!(values(stream), all);
    let documents = read(stream);
    let at = documents[4].locate(documents[4].root(), "/e").0;
    assert_eq!((at.line, at.column), (7, 7));
    let broken = "{\"a\": 1}\n{\"b\": \n---\nc: 1\n";
    assert_eq!(documents_and_faults(broken), (2, 1));
}

fn documents_and_faults(stream: &str) -> (usize, usize) {
    let (read, broken): (Vec<_>, Vec<_>) = documents(stream).partition(Result::is_ok);
    (read.len(), broken.len())
}

#[test]
fn text_after_a_marker_is_named_and_both_documents_are_read() {
    for (stream, at) in [
        ("a: 1\n--- next document\nb: 2\n", (2, 5)),
        ("a: 1\n---next document\nb: 2\n", (2, 1)),
        ("a: 1\n----------\nb: 2\n", (2, 1)),
        ("a: 1\r\n--- next document\r\nb: 2\r\n", (2, 5)),
    ] {
        let found: Vec<_> = documents(stream).collect();
        let [Ok(first), Err(broken), Ok(second)] = found.as_slice() else {
            panic!("{stream}: {found:?}");
        };
        assert_eq!(first.value(first.root()), json!({"a": 1}));
        assert_eq!(second.value(second.root()), json!({"b": 2}));
        assert!(broken.is_between);
        assert_eq!(
            (broken.position.line, broken.position.column),
            at,
            "{stream}"
        );
        assert_eq!(broken.message, SEPARATOR);
    }
}

#[test]
fn a_directive_in_the_middle_is_named_and_both_documents_are_read() {
    let stream = "%YAML 1.2\n---\na: 1\n...\n# text\n%YAML 1.2\n---\nb: 2\n";
    let found: Vec<_> = documents(stream).collect();
    let [Ok(_), Err(broken), Ok(_)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (broken.position.line, broken.message.as_str()),
        (6, DIRECTIVE)
    );
    // An end marker without a following document.
    assert_eq!(
        values("a: 1\n...\nb: 2\n"),
        [json!({"a": 1}), json!({"b": 2})]
    );
}

#[test]
fn faults_are_named_in_plain_words_at_their_place() {
    for (stream, line, words) in [
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: *x\n", 1, "anchor"),
        ("a: 'b\n", 1, "quote"),
        ("a: [1, 2\nb: 3\n", 2, "]"),
        ("a: {b: 1\n", 1, "}"),
        ("a: b: c\n", 1, ": "),
        ("a: 1\n b: 2\n", 2, ": "),
        ("a: !e!x 1\n", 1, "tag"),
        ("a: \"\\q\"\n", 1, "\\"),
        ("a: @b\n", 1, "character"),
        ("? {b: 1}\n: 2\n", 1, "key"),
        ("a: 1\n<<: 5\n", 2, "<<"),
        ("a: &x [*x]\n", 1, "itself"),
    ] {
        let found = faults(stream);
        assert_eq!(found.len(), 1, "{stream}: {found:?}");
        assert_eq!(found[0].0, line, "{stream}: {found:?}");
        assert!(found[0].2.contains(words), "{stream}: {found:?}");
        for word in [
            "EOF", "eof", "scalar", "block", "flow", "mapping", "sequence", "token", "context",
        ] {
            assert!(!found[0].2.contains(word), "{stream}: {found:?}");
        }
    }
}

#[test]
fn aliases_may_be_many_but_not_a_bomb() {
    let many = format!("a: &a {{b: 1, c: 2}}\nd:\n{}", "- *a\n".repeat(1000));
    assert_eq!(values(&many)[0]["d"][999]["c"], 2);
    let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()];
    let (open, close) = ("[".repeat(60), "]".repeat(60));
    let mut deep = vec![format!("a0: &a0 {open}1{close}\n")];
    for n in 1..9 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push(format!("a{n}: &a{n} [{aliases}]\n"));
        deep.push(format!("a{n}: &a{n} {open}*a{}{close}\n", n - 1));
    }
    assert_eq!(faults(&bomb.concat())[0].2, words::BOMB);
    assert_eq!(faults(&deep.concat())[0].2, words::TOO_DEEP);
    let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(faults(&deep)[0].2, words::TOO_DEEP);
}
