use serde_json::{Value, json};

use super::block::scalar;
use super::*;

/// Replaces the user's value.
fn replace(text: &str, value: &Value) -> String {
    let root = parse(text).unwrap().unwrap();
    let item = &root.value("users").unwrap().items()[0];
    replaced(text, item, "user", value).unwrap()
}

#[test]
fn replacing_a_value_preserves_every_other_byte() {
    let value = json!({"exec": {"args": ["kubectl", "--provider", "a b"], "env": null}});
    for (before, after) in [
        (
            "# mine\nusers:\n- name: a # it\n  user:\n    token: x  # old\n\n# end\nz: 1\n",
            "# mine\nusers:\n- name: a # it\n  user:\n    exec:\n      args:\n      - kubectl\n      \
             - --provider\n      - a b\n      env: null  # old\n\n# end\nz: 1\n",
        ),
        (
            "users:\n  - user:\n        token: \"x\" # '\"'\n        as: ä\n    name: ü\n",
            "users:\n  - user:\n        exec:\n          args:\n          - kubectl\n          \
             - --provider\n          - a b\n          env: null\n    name: ü\n",
        ),
        (
            "users: [{name: a, user: {token: x}}]",
            "users: [{name: a, user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\"a b\"],\
             \"env\":null}}}]",
        ),
        (
            "{\"users\":[{\"name\":\"a\",\"user\":{\"token\":\"x\"}}]}\n",
            "{\"users\":[{\"name\":\"a\",\"user\":{\"exec\":{\"args\":[\"kubectl\",\
             \"--provider\",\"a b\"],\"env\":null}}}]}\n",
        ),
        (
            "users:\n- name: a\n  user: &x\n    token: y\n",
            "users:\n- name: a\n  user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\
             \"a b\"],\"env\":null}}\n",
        ),
        (
            "users:\r\n- name: a\r\n  user:\r\n- name: b\r\n",
            "users:\r\n- name: a\r\n  user: {\"exec\":{\"args\":[\"kubectl\",\"--provider\",\
             \"a b\"],\"env\":null}}\r\n- name: b\r\n",
        ),
    ] {
        assert_eq!(replace(before, &value), after);
    }
}

#[test]
fn a_tab_may_separate_a_key_and_its_value() {
    let value = json!({"exec": null});
    for (before, after) in [
        (
            "users:\n- name: a\n  user:\n    token:\tx\nz:\t\t1\n",
            "users:\n- name: a\n  user:\n    exec: null\nz:\t\t1\n",
        ),
        (
            "users:\n- name:\ta\n  user:\t{token: x}\n",
            "users:\n- name:\ta\n  user:\t{\"exec\":null}\n",
        ),
    ] {
        assert_eq!(replace(before, &value), after);
    }
}

#[test]
fn a_file_with_crlf_keeps_its_line_breaks() {
    let value = json!({"exec": {"args": ["kubectl"], "env": null}});
    assert_eq!(
        replace(
            "users:\r\n- name: a\r\n  user:\r\n    token: x # old\r\n- name: b\r\n",
            &value
        ),
        "users:\r\n- name: a\r\n  user:\r\n    exec:\r\n      args:\r\n      - kubectl\r\n      env: \
         null # old\r\n- name: b\r\n"
    );
    let edited = appended("l:\r\n- a\r\n# end\r\n", "l", &json!({"b": 1, "c": 2})).unwrap();
    assert_eq!(edited, "l:\r\n- a\r\n- b: 1\r\n  c: 2\r\n# end\r\n");
    let edited = appended("a: 1\r\n", "l", &json!("x")).unwrap();
    assert_eq!(edited, "a: 1\r\nl:\r\n- x\r\n");
}

#[test]
fn a_scalar_ends_before_the_comment_that_follows() {
    for scalar in [
        "x",
        "x y",
        "\"x\"",
        "\"\\\" # \"",
        "'x'",
        "'it''s # '",
        "!!str 'x'",
        "&a \"x\"",
        "\"x\n    # y\"",
    ] {
        for after in [" # '\"'\n", "  \n", "\n", "\r\n", "\n\n# end\n", ""] {
            let text = format!("ü: 1\nuser: {scalar}{after}");
            let root = parse(&text).unwrap().unwrap();
            let edited = replaced(&text, &root, "user", &json!(2)).unwrap();
            assert_eq!(edited, format!("ü: 1\nuser: 2{after}"), "{text}");
        }
        let text = format!("[{scalar}, {{user: {scalar}}}]");
        let root = parse(&text).unwrap().unwrap();
        let edited = replaced(&text, &root.items()[1], "user", &json!(2)).unwrap();
        assert_eq!(edited, format!("[{scalar}, {{user: 2}}]"));
    }
}

#[test]
fn a_key_that_a_mapping_lacks_is_added() {
    let value = json!({"exec": {"env": null}});
    for (before, after) in [
        (
            "users:\n- name: w # it\n- name: b\n",
            "users:\n- name: w # it\n  user:\n    exec:\n      env: null\n- name: b\n",
        ),
        (
            "users: [{name: w}]\n",
            "users: [{name: w, \"user\": {\"exec\":{\"env\":null}}}]\n",
        ),
        (
            "users:\r\n  -   name: w\r\n",
            "users:\r\n  -   name: w\r\n      user:\r\n        exec:\r\n          env: null\r\n",
        ),
    ] {
        assert_eq!(replace(before, &value), after);
    }
}

#[test]
fn an_item_can_be_appended_and_removed() {
    let item = json!({"command": "hallpass"});
    for (before, after) in [
        ("", "l:\n- command: hallpass\n"),
        ("a: 1\n# end\n", "a: 1\nl:\n- command: hallpass\n# end\n"),
        ("a: 1", "a: 1\nl:\n- command: hallpass"),
        ("l:\na: 1\n", "l:\n- command: hallpass\na: 1\n"),
        ("l: null # none\n", "l:\n- command: hallpass # none\n"),
        ("l: []\n", "l: [{\"command\":\"hallpass\"}]\n"),
        (
            "l:\n  - command: x # it\n  # more\na: 1\n",
            "l:\n  - command: x # it\n  - command: hallpass\n  # more\na: 1\n",
        ),
        (
            "l:\n- command: x\n",
            "l:\n- command: x\n- command: hallpass\n",
        ),
        (
            "l: [{command: x}]",
            "l: [{command: x}, {\"command\":\"hallpass\"}]",
        ),
        (
            "{\"a\": 1}\n",
            "{\"a\": 1, \"l\": [{\"command\":\"hallpass\"}]}\n",
        ),
        ("{}", "{\"l\": [{\"command\":\"hallpass\"}]}"),
    ] {
        let edited = appended(before, "l", &item).unwrap();
        assert_eq!(edited, after);
        let root = parse(&edited).unwrap().unwrap();
        let list = root.value("l").unwrap();
        let index = list.items().len() - 1;
        let command = list.items()[index].value("command").and_then(Node::text);
        assert_eq!(command, Some("hallpass"), "{edited}");
        let removed = removed(&edited, list, &list.items()[index]);
        let root = parse(&removed).unwrap().unwrap();
        assert_eq!(root.value("l").unwrap().items().len(), index, "{removed}");
    }
}

#[test]
fn removing_an_item_preserves_the_others() {
    for (text, index, after) in [
        ("l:\n- a\n- b # it\n- c\n", 1, "l:\n- a\n- c\n"),
        ("l:\n- a\n- b\nm: 1\n", 1, "l:\n- a\nm: 1\n"),
        ("l: [a, b, c]", 0, "l: [b, c]"),
        ("l: [a, b]", 1, "l: [a]"),
        ("l:\n- a\n", 0, "l:\n []\n"),
    ] {
        let root = parse(text).unwrap().unwrap();
        let list = root.value("l").unwrap();
        assert_eq!(removed(text, list, &list.items()[index]), after);
        let root = parse(after).unwrap().unwrap();
        assert!(root.value("l").is_some());
    }
}

#[test]
fn a_file_that_cannot_be_edited_safely_is_refused() {
    let item = json!("x");
    for (text, expected) in [
        ("a: 1\n---\nb: 2\n", Unfit::SeveralDocuments),
        ("- a\n", Unfit::NotAMapping),
        ("l: 1\n", Unfit::NotAList("l".to_owned())),
        ("l: {}\n", Unfit::NotAList("l".to_owned())),
        ("a: &x []\nl: *x\n", Unfit::Alias),
    ] {
        assert_eq!(appended(text, "l", &item), Err(expected), "{text}");
    }
    for (text, expected) in [("l: []\nb: 1\n'l': []\n", true), ("l: {l: 1}\n", false)] {
        let root = parse(text).unwrap().unwrap();
        assert_eq!(root.has_duplicate("l"), expected, "{text}");
    }
    let error = parse("a: [\n").unwrap_err();
    assert!(matches!(error, Unfit::NotYaml { .. }));
}

#[test]
fn text_is_written_plain_only_if_it_remains_text() {
    for (text, expected) in [
        ("hallpass", "hallpass"),
        ("/usr/local/bin/hallpass", "/usr/local/bin/hallpass"),
        ("--issuer-url", "--issuer-url"),
        (
            "https://login.corp.example/x",
            "https://login.corp.example/x",
        ),
        (
            "client.authentication.k8s.io/v1",
            "client.authentication.k8s.io/v1",
        ),
        ("", "\"\""),
        ("true", "\"true\""),
        ("No", "\"No\""),
        ("1e3", "\"1e3\""),
        ("2026-01-01", "\"2026-01-01\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("- a", "\"- a\""),
        ("*a", "\"*a\""),
        ("C:\\x", "\"C:\\\\x\""),
        ("a\nb", "\"a\\nb\""),
        ("~", "\"~\""),
        ("a ", "\"a \""),
    ] {
        assert_eq!(scalar(text), expected);
    }
}
