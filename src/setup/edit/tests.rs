//! Whatever else the user changes in a file after a set-up stays when the set-up is undone.

use serde_json::json;

use super::*;
use crate::setup::record::Done;

/// A small generator, so that a seed repeats a case.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one_of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

/// A kind of file, and what may happen to it.
struct Case {
    files: &'static [&'static str],
    edits: Vec<Change>,
    /// The lines that the user may insert: before any line, or only before a line that starts so.
    inserted: &'static [(&'static str, Option<&'static str>)],
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The number of equal lines at the beginning and at the end.
fn same_lines(before: &[&str], after: &[&str]) -> (usize, usize) {
    let begin = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let ends = before[begin..]
        .iter()
        .rev()
        .zip(after[begin..].iter().rev());
    (begin, ends.take_while(|(a, b)| a == b).count())
}

/// Makes the same random change outside the edited lines in both texts.
fn change(random: &mut Random, case: &Case, before: &str, after: &str) -> (String, String) {
    let (mut before, mut after) = (lines(before), lines(after));
    let (begin, end) = same_lines(&before, &after);
    let mut places: Vec<usize> = (0..=begin).collect();
    places.extend(before.len() - end..=before.len());
    let at = *random.one_of(&places);
    // Between equal places, the one at the end is after the edited lines.
    let is_before = at < begin || (at == begin && at + end != before.len());
    let at_after = if is_before || (at == begin && random.below(2) == 0) {
        at
    } else {
        at + after.len() - before.len()
    };
    let ends_line = |lines: &[&str], at: usize| at == 0 || lines[at - 1].ends_with('\n');
    let (text, only_before) = *random.one_of(case.inserted);
    let fits = |lines: &[&str], at: usize| {
        let next = lines.get(at).copied();
        ends_line(lines, at)
            && only_before.is_none_or(|start| next.is_some_and(|next| next.starts_with(start)))
    };
    if fits(&before, at) && fits(&after, at_after) {
        before.insert(at, text);
        after.insert(at_after, text);
    }
    (before.concat(), after.concat())
}

fn check(mut cases: Vec<Case>, count: u64) {
    for seed in 0..count {
        let mut random = Random(seed);
        let at = random.below(cases.len());
        let case = &mut cases[at];
        let before = *random.one_of(case.files);
        let edits: Vec<Edit> = (0..=random.below(case.edits.len()))
            .map(|_| random.one_of(&case.edits).clone())
            .map(|change| Edit::new(Path::new("file"), change))
            .collect();
        let mut now = Some(before.as_bytes().to_vec()).filter(|bytes| !bytes.is_empty());
        let mut done = Vec::new();
        for edit in &edits {
            if !edit.kind().is_in_place(now.as_deref()) {
                let after = edit.kind().apply(now.as_deref()).unwrap();
                done.push(Done::new(edit.clone(), now.as_deref(), after.as_deref()));
                now = after;
            }
        }
        let after = String::from_utf8(now.unwrap_or_default()).unwrap();
        let (mut expected, mut changed) = (before.to_owned(), after.clone());
        for _ in 0..=random.below(3) {
            (expected, changed) = change(&mut random, case, &expected, &changed);
        }
        let mut now = Some(changed.clone().into_bytes());
        for done in done.iter().rev() {
            assert!(
                done.edit.kind().is_ours(now.as_deref()),
                "seed {seed}:\n{changed}"
            );
            now = done.removed(now.as_deref()).unwrap();
        }
        let undone = String::from_utf8(now.unwrap_or_default()).unwrap();
        // Only a line break at the end may differ.
        assert_eq!(
            undone.trim_end_matches('\n'),
            expected.trim_end_matches('\n'),
            "seed {seed}:\n{changed}"
        );
    }
}

#[test]
fn undo_of_a_block_keeps_every_other_change() {
    let block = |title: &str, lines: &str| {
        let title = title.to_owned();
        let lines = Some(lines.to_owned());
        Change::Block(Block { title, lines })
    };
    check(
        vec![Case {
            files: &["", "a = 1\n", "a = 1", "# mine\n\n[x]\nb = 2\n\n", "\n\n"],
            edits: vec![block("one", "[[one]]\n"), block("two", "[two]\nx = 1\n")],
            // A blank line of the user's just before a block looks like the block's own.
            inserted: &[("# note\n", None), ("[own]\ny = 1\n", None)],
        }],
        2000,
    );
}

#[test]
fn an_empty_heading_of_the_users_own_stays_in_git_configuration() {
    let edit = Edit::git_helper(
        Path::new("file"),
        "credential.https://a.example",
        "/usr/bin/hallpass git",
    );
    for before in [
        "[credential \"https://a.example\"]\n[user]\n\tname = a\n",
        "[user]\n\tname = a\n[credential \"https://a.example\"]\n",
        "[user]\n\tname = a",
    ] {
        let after = edit.kind().apply(Some(before.as_bytes())).unwrap();
        let done = Done::new(edit.clone(), Some(before.as_bytes()), after.as_deref());
        let more = "[alias]\n\tx = y\n";
        let changed = [after.unwrap(), more.into()].concat();
        let undone = String::from_utf8(done.removed(Some(&changed)).unwrap().unwrap()).unwrap();
        let expected = format!("{}\n{more}", before.trim_end());
        assert_eq!(undone, expected);
    }
}

#[test]
fn undo_of_git_values_keeps_every_other_change() {
    let helper = |section| Change::GitValues(KeyValues::helper(section, "/usr/bin/hallpass git"));
    let path = Change::GitValues(KeyValues::path("credential.https://a.example/x"));
    check(
        vec![Case {
            files: &[
                "",
                "[user]\n\tname = a\n",
                "# mine\n[credential]\n\thelper = store\n# last\n[user]\n\tname = a\n",
                "[credential \"https://a.example\"]\n\tusername = me\n[core]\n\tx = y\n",
            ],
            edits: vec![
                helper("credential"),
                helper("credential.https://a.example"),
                helper("credential.https://a.example/x"),
                path,
            ],
            inserted: &[
                ("# note\n", None),
                ("\n", None),
                ("[alias]\n\tx = y\n", Some("[")),
            ],
        }],
        // Each of these starts git many times.
        25,
    );
}

#[test]
fn undo_of_yaml_nodes_keeps_every_other_change() {
    let named = |name: &str| {
        Change::Named(Named {
            list: "users".to_owned(),
            name: name.to_owned(),
            key: "user".to_owned(),
            value: json!({"exec": {"command": "hallpass", "args": ["kubectl", "--entry", "id"]}}),
            marks: vec!["/exec/command".to_owned(), "/exec/args/0".to_owned()],
            hidden: None,
            top: "kind: Config\n".to_owned(),
        })
    };
    let item = Change::Item(Item {
        list: "allowed".to_owned(),
        item: json!({"command": "hallpass"}),
    });
    check(
        vec![Case {
            files: &[
                "users:\n- name: me\n  user:\n    token: x  # old\n- name: you\n  user: {}\nkind: Config\nallowed:\n- command: y\n",
                "# mine\nkind: Config\nusers:\n  - name: you\n    user: {token: y}\nallowed:\n- command: x\n",
                "allowed:\n- command: x\nusers:\n- user:\n    as: boss\n  name: me\n\n# end\n",
                "kind: Config\nusers: # none yet\n# end\n",
                "kind: Config\nallowed:\nusers:\n",
            ],
            edits: vec![named("me"), named("new"), item],
            inserted: &[
                ("# note\n", None),
                ("\n", None),
                ("clusters:\n- name: c\n", Some("kind")),
            ],
        }],
        2000,
    );
}

#[test]
fn undo_of_json_members_keeps_every_other_change() {
    let member = |keys: &[&str]| {
        Change::Member(Member {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            text: "hallpass".to_owned(),
        })
    };
    check(
        vec![Case {
            files: &[
                "{\n  \"auths\": {\n    \"x\": {}\n  },\n  \"credHelpers\": {\n    \"b\": \"gcloud\"\n  }\n}\n",
                "{\n\t\"credsStore\": \"desktop\",\n\t\"a\": [1.50,\n\t2]\n}",
                "{\n  \"credHelpers\": {\n    \"a\": \"old\",\n    \"c\": \"c\"\n  },\n  \"z\": 1\n}\n",
            ],
            edits: vec![
                member(&["credsStore"]),
                member(&["credHelpers", "a"]),
                member(&["credHelpers", "b"]),
            ],
            inserted: &[
                ("\n", None),
                ("  \"own\": {\"x\": 1},\n", Some("  \"auths\"")),
                ("  \"own\": true,\n", Some("  \"z\"")),
                ("\t\"own\": null,\n", Some("\t\"a\"")),
            ],
        }],
        2000,
    );
}
