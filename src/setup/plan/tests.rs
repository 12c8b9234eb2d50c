//! The engine with edits of a pretend tool, in a folder of its own.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::setup::error::SetupError;

const JSON: &str = "{\n  \"a\": {\"x\": \"theirs\"},\n  \"secret\": \"canary\"\n}\n";
const TOML: &str = "# mine\nbrowser = \"firefox\"\n";
const TOOL: &str = "pretend";

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder };
        fs::write(desk.at("config.toml"), TOML).unwrap();
        fs::write(desk.at("tool.json"), JSON).unwrap();
        desk
    }

    fn env(&self) -> Env {
        let at = |name: &str| self.at(name).to_str().unwrap().to_owned();
        let variables = [
            (if cfg!(windows) { "USERPROFILE" } else { "HOME" }, at("")),
            ("HALLPASS_DATA_DIR", at("data")),
            ("HALLPASS_CONFIG", at("config.toml")),
        ];
        Env::new(Vec::<&str>::new(), variables)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.at(name)).ok()
    }

    /// The content of the files that a set-up changes.
    fn all(&self) -> [Option<String>; 3] {
        ["config.toml", "tool.json", "new.json"].map(|name| self.text(name))
    }

    fn untouched() -> [Option<String>; 3] {
        [Some(TOML.to_owned()), Some(JSON.to_owned()), None]
    }

    /// A set-up of one host in three files.
    fn part(&self, what: &str) -> Part {
        let json = self.at("tool.json");
        Part {
            what: what.to_owned(),
            command: format!("hallpass setup {TOOL} {what}"),
            edits: vec![
                Edit::block(&self.at("config.toml"), what, "# a block\n"),
                Edit::member(&json, &["a", what], "hallpass"),
                Edit::member(&json, &["all"], "hallpass"),
                Edit::member(&self.at("new.json"), &["b", what], "hallpass"),
            ],
            data: Value::Null,
        }
    }

    fn run(
        &self,
        compute: &mut dyn FnMut() -> Result<Request<'static>, Error>,
        confirm: Option<&mut dyn FnMut(&str) -> bool>,
    ) -> Result<bool, Error> {
        self.run_and_print(compute, confirm, &|_| ())
    }

    fn run_and_print(
        &self,
        compute: &mut dyn FnMut() -> Result<Request<'static>, Error>,
        confirm: Option<&mut dyn FnMut(&str) -> bool>,
        print: &dyn Fn(&str),
    ) -> Result<bool, Error> {
        let engine = Engine {
            env: &self.env(),
            tool: TOOL,
            dry_run: false,
            print,
        };
        engine.carry_out(compute, confirm)
    }

    fn set_up(&self, whats: &[&str]) -> Result<bool, Error> {
        let mut compute = || Ok(set_up(whats.iter().map(|what| self.part(what)).collect()));
        self.run(&mut compute, None)
    }

    /// Without a name, undoes everything.
    fn undo(&self, whats: &[&str]) -> Result<bool, Error> {
        let mut compute = || {
            let parts = whats.iter().map(|what| self.part(what));
            Ok(Request::Undo(Undo {
                all: whats.is_empty(),
                parts: parts.collect(),
                ..Undo::default()
            }))
        };
        self.run(&mut compute, None)
    }

    fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.at("data/setups"));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn set_up(parts: Vec<Part>) -> Request<'static> {
    Request::SetUp(Plan {
        parts,
        ..Plan::default()
    })
}

fn append(path: &Path, more: &str) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text + more).unwrap();
}

#[test]
fn undo_restores_the_same_bytes_in_any_order() {
    for (set_ups, undos) in [
        (&[&["x"][..]][..], &[&["x"][..]][..]),
        (&[&["x", "y"]], &[&[]]),
        (&[&["x"], &["y"], &["x", "z"]], &[&[]]),
        (&[&["x"], &["y"]], &[&["y"], &["x"]]),
        (&[&["x"], &["y"]], &[&["x"], &["y"]]),
        (
            &[&["x"], &["y", "z"], &["w"]],
            &[&["y", "x"], &["w"], &["z"]],
        ),
    ] {
        let desk = Desk::new();
        for whats in set_ups {
            desk.set_up(whats).unwrap();
        }
        assert!(
            desk.text("tool.json")
                .unwrap()
                .contains("\"x\": \"hallpass\"")
        );
        for whats in undos {
            desk.undo(whats).unwrap();
        }
        assert_eq!(desk.all(), Desk::untouched(), "{set_ups:?}");
        assert!(!desk.at("data").exists());
    }
}

#[test]
fn a_shared_edit_is_removed_with_the_last_set_up_that_needs_it() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    desk.set_up(&["y"]).unwrap();
    desk.undo(&["x"]).unwrap();
    let json = desk.text("tool.json").unwrap();
    assert!(
        json.contains("\"x\": \"theirs\"") && json.contains("\"all\""),
        "{json}"
    );
    desk.undo(&["y"]).unwrap();
    assert_eq!(desk.all(), Desk::untouched());
}

#[test]
fn undo_after_a_change_removes_only_the_set_up() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    append(&desk.at("config.toml"), "[more]\n");
    append(&desk.at("tool.json"), "\n");
    let new = desk
        .text("new.json")
        .unwrap()
        .replacen('{', "{\"own\": 1,", 1);
    fs::write(desk.at("new.json"), new).unwrap();
    desk.undo(&[]).unwrap();
    assert_eq!(desk.text("config.toml").unwrap(), format!("{TOML}[more]\n"));
    assert_eq!(desk.text("tool.json").unwrap(), format!("{JSON}\n"));
    let new: Value = serde_json::from_str(&desk.text("new.json").unwrap()).unwrap();
    assert_eq!(new, serde_json::json!({ "own": 1 }));
    assert!(desk.records().is_empty());
}

#[test]
fn a_value_that_the_user_set_later_stays() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    let theirs = desk
        .text("tool.json")
        .unwrap()
        .replace("\"all\": \"hallpass\"", "\"all\": \"own\"");
    fs::write(desk.at("tool.json"), theirs).unwrap();
    let undo = || {
        Ok(Request::Undo(Undo {
            all: true,
            ..Undo::default()
        }))
    };
    let engine = Engine {
        env: &desk.env(),
        tool: TOOL,
        dry_run: false,
        print: &|_| (),
    };
    let text = engine.draft(undo().unwrap()).unwrap().text(false);
    assert!(
        text.contains(&format!(
            "~{}tool.json has been changed since the set-up, so this part of it stays: all\n",
            std::path::MAIN_SEPARATOR
        )),
        "{text}"
    );
    desk.run(&mut { undo }, None).unwrap();
    let json: Value = serde_json::from_str(&desk.text("tool.json").unwrap()).unwrap();
    assert_eq!(json["all"], "own");
    assert_eq!(json["a"]["x"], "theirs");
}

#[test]
fn undo_without_a_record_removes_recognizable_edits() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    for record in desk.records() {
        fs::remove_file(record).unwrap();
    }
    desk.undo(&["x"]).unwrap();
    assert_eq!(desk.text("config.toml").unwrap(), TOML);
    for name in ["tool.json", "new.json"] {
        let json = desk.text(name).unwrap();
        assert!(!json.contains("hallpass"), "{json}");
    }
}

#[test]
fn a_record_of_a_newer_version_blocks_only_its_own_set_up() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    let [record] = &desk.records()[..] else {
        panic!("one record")
    };
    let newer = fs::read_to_string(record)
        .unwrap()
        .replacen("\"version\":2", "\"version\":3", 1);
    fs::write(record, &newer).unwrap();
    // Edits that are in place need no record.
    desk.set_up(&["x"]).unwrap();
    desk.set_up(&["y"]).unwrap();
    desk.undo(&["y"]).unwrap();
    fs::write(desk.at("tool.json"), JSON).unwrap();
    let before = desk.all();
    let refused = desk.set_up(&["x"]).unwrap_err();
    assert!(matches!(
        refused,
        Error::Setup(SetupError::NewerRecord { .. })
    ));
    assert_eq!(desk.all(), before);
    assert!(
        crate::setup::list(&desk.env())
            .unwrap()
            .contains("damaged, or written by")
    );
    desk.undo(&["x"]).unwrap();
    assert_eq!(desk.text("config.toml").unwrap(), TOML);
    assert_eq!(fs::read_to_string(record).unwrap(), newer);
}

#[test]
fn a_record_holds_only_the_replaced_values() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    let record = fs::read_to_string(&desk.records()[0]).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let removed: Vec<u8> = record
        .pointer("/steps/0/edits")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|done| done["splices"].as_array().unwrap())
        .flat_map(|splice| splice["removed"].as_array().unwrap())
        .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
        .collect();
    // The last letter is the same in both values, so it isn't in the record.
    assert_eq!(String::from_utf8(removed).unwrap(), "their");
    assert!(!record.to_string().contains("canary"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&desk.records()[0])
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn all_files_are_changed_or_none() {
    // Each file in turn can't be replaced, because its folder is gone by then.
    for name in ["config.toml", "tool.json", "new.json"] {
        let desk = Desk::new();
        let mut part = desk.part("x");
        let beneath = desk.at("tool.json").join("beneath");
        for edit in &mut part.edits {
            if edit.path == desk.at(name) {
                edit.path.clone_from(&beneath);
            }
        }
        let mut compute = || {
            Ok(set_up(vec![Part {
                edits: part.edits.clone(),
                ..desk.part("x")
            }]))
        };
        let failed = desk.run(&mut compute, None).unwrap_err();
        assert!(
            failed
                .report()
                .hint
                .unwrap()
                .contains("nothing was changed")
        );
        assert_eq!(desk.all(), Desk::untouched(), "{name}");
        assert!(!desk.at("data").exists(), "{name}");
    }
}

#[test]
fn if_one_file_fails_at_the_last_moment_the_others_are_restored() {
    let desk = Desk::new();
    let mut documents = Documents::new(&desk.env());
    for edit in &desk.part("x").edits {
        let document = documents.of(edit).unwrap();
        document
            .change(edit, |bytes| edit.kind().apply(bytes))
            .unwrap();
    }
    // The last rename fails, because its target is a folder, after the other two files are written.
    fs::create_dir(desk.at("new.json")).unwrap();
    assert!(documents.write().is_err());
    fs::remove_dir(desk.at("new.json")).unwrap();
    assert_eq!(desk.all(), Desk::untouched());
    let left = fs::read_dir(desk.folder.path()).unwrap().count();
    assert_eq!(left, 2);
}

/// Windows has no such files in folders, and few users can create links there.
#[cfg(unix)]
#[test]
fn only_regular_files_are_edited() {
    for target in ["/dev/null", "/dev/zero", "folder", "fifo", "nowhere"] {
        let desk = Desk::new();
        fs::create_dir(desk.at("folder")).unwrap();
        nix::unistd::mkfifo(&desk.at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(target, desk.at("new.json")).unwrap();
        let refused = desk.set_up(&["x"]).unwrap_err();
        assert!(
            matches!(refused, Error::Setup(SetupError::Unusable { .. })),
            "{target}"
        );
        assert_eq!(desk.text("tool.json").unwrap(), JSON);
        assert_eq!(desk.text("config.toml").unwrap(), TOML);
    }
}

#[test]
fn a_folder_is_not_edited() {
    let desk = Desk::new();
    fs::create_dir(desk.at("new.json")).unwrap();
    let refused = desk.set_up(&["x"]).unwrap_err();
    assert!(matches!(refused, Error::Setup(SetupError::Unusable { .. })));
    assert_eq!(desk.text("tool.json").unwrap(), JSON);
    assert_eq!(desk.text("config.toml").unwrap(), TOML);
}

#[test]
fn a_read_only_file_is_not_changed_and_its_lines_are_shown() {
    let desk = Desk::new();
    let real = desk.at("generated.json");
    // On Windows, few users can create links.
    let real = if cfg!(windows) {
        desk.at("tool.json")
    } else {
        fs::rename(desk.at("tool.json"), &real).unwrap();
        real
    };
    let mut permissions = fs::metadata(&real).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&real, permissions).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&real, desk.at("tool.json")).unwrap();
    let hint = desk.set_up(&["x"]).unwrap_err().report().hint.unwrap();
    assert!(
        hint.contains("- a.x = \"theirs\"\n+ a.x = \"hallpass\"\n+ all = \"hallpass\""),
        "{hint}"
    );
    assert_eq!(desk.all(), Desk::untouched());
    assert!(!desk.at("data").exists());
}

/// Windows has no modes, and few users can create links there.
#[cfg(unix)]
#[test]
fn links_and_file_modes_are_preserved() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let real = desk.at("dotfiles.json");
    fs::rename(desk.at("tool.json"), &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, desk.at("tool.json")).unwrap();
    desk.set_up(&["x"]).unwrap();
    desk.undo(&["x"]).unwrap();
    assert!(
        desk.at("tool.json")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(desk.all(), Desk::untouched());
}

#[test]
fn changes_are_shown_again_if_a_file_changes_after_the_question() {
    let desk = Desk::new();
    let asked = Cell::new(0);
    let mut compute = || Ok(set_up(vec![desk.part("x")]));
    let mut confirm = |changes: &str| {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => {
                assert!(changes.contains("  - a.x = \"theirs\"\n"), "{changes}");
                let other = JSON.replace("theirs", "another's");
                fs::write(desk.at("tool.json"), other).unwrap();
            }
            _ => assert!(changes.contains("  - a.x = \"another's\"\n"), "{changes}"),
        }
        true
    };
    assert!(desk.run(&mut compute, Some(&mut confirm)).unwrap());
    assert_eq!(asked.get(), 2);
    desk.undo(&[]).unwrap();
    assert_eq!(
        desk.text("tool.json").unwrap(),
        JSON.replace("theirs", "another's")
    );
}

#[test]
fn a_user_who_confirmed_the_changes_sees_them_once() {
    let desk = Desk::new();
    for is_asked in [true, false] {
        let printed = Cell::new(String::new());
        let print = |text: &str| printed.set(printed.take() + text);
        let mut compute = || {
            Ok(Request::SetUp(Plan {
                parts: vec![desk.part("x")],
                notes: vec!["a note".to_owned()],
                command: "hallpass setup pretend x".to_owned(),
                ..Plan::default()
            }))
        };
        let mut shown = String::new();
        let mut confirm = |changes: &str| {
            changes.clone_into(&mut shown);
            true
        };
        let confirm: Option<&mut dyn FnMut(&str) -> bool> = Some(&mut confirm);
        desk.run_and_print(&mut compute, confirm.filter(|_| is_asked), &print)
            .unwrap();
        let printed = printed.take();
        let changes = "  - a.x = \"theirs\"\n  + a.x = \"hallpass\"\n";
        if is_asked {
            assert!(
                shown.contains(changes) && shown.ends_with("a note\n"),
                "{shown}"
            );
            assert_eq!(
                printed.replace("~\\", "~/"),
                "Changed ~/config.toml, ~/tool.json, ~/new.json\n\
                 To undo this, run `hallpass setup pretend x --undo`\n"
            );
        } else {
            assert!(printed.contains(changes), "{printed}");
        }
        desk.undo(&[]).unwrap();
    }
}

#[test]
fn a_change_elsewhere_in_the_file_stays_and_causes_no_question() {
    let desk = Desk::new();
    let mut compute = || Ok(set_up(vec![desk.part("x")]));
    let asked = Cell::new(0);
    let mut confirm = |_: &str| {
        asked.set(asked.get() + 1);
        fs::write(desk.at("tool.json"), JSON.replace("canary", "new")).unwrap();
        true
    };
    assert!(desk.run(&mut compute, Some(&mut confirm)).unwrap());
    assert_eq!(asked.get(), 1);
    assert!(
        desk.text("tool.json")
            .unwrap()
            .contains("\"secret\": \"new\"")
    );
    desk.undo(&[]).unwrap();
    assert_eq!(
        desk.text("tool.json").unwrap(),
        JSON.replace("canary", "new")
    );
}

#[test]
fn answering_no_changes_nothing_and_an_empty_plan_asks_nothing() {
    let desk = Desk::new();
    let mut compute = || Ok(set_up(vec![desk.part("x")]));
    assert!(!desk.run(&mut compute, Some(&mut |_| false)).unwrap());
    assert_eq!(desk.all(), Desk::untouched());
    assert!(!desk.at("data").exists());
    desk.set_up(&["x"]).unwrap();
    assert!(
        desk.run(&mut compute, Some(&mut |_| panic!("a question")))
            .unwrap()
    );
}

#[test]
fn an_interrupted_set_up_can_be_completed_or_undone() {
    // The record is written first; the process may end after any number of files.
    for written in 0..3 {
        for is_completed in [false, true] {
            let desk = Desk::new();
            desk.set_up(&["x"]).unwrap();
            let done = desk.all();
            let names = ["config.toml", "tool.json", "new.json"];
            for (name, before) in names.iter().zip(Desk::untouched()).skip(written) {
                match before {
                    Some(before) => fs::write(desk.at(name), before).unwrap(),
                    None => fs::remove_file(desk.at(name)).unwrap(),
                }
            }
            if is_completed {
                desk.set_up(&["x"]).unwrap();
                assert_eq!(desk.all(), done, "{written}");
            }
            desk.undo(&[]).unwrap();
            assert_eq!(desk.all(), Desk::untouched(), "{written} {is_completed}");
            assert!(desk.records().is_empty());
        }
    }
}

#[test]
fn an_interrupted_undo_can_be_completed() {
    let desk = Desk::new();
    desk.set_up(&["x"]).unwrap();
    // The last file is restored first, and the record is removed at the end.
    fs::remove_file(desk.at("new.json")).unwrap();
    desk.undo(&[]).unwrap();
    assert_eq!(desk.all(), Desk::untouched());
    assert!(!desk.at("data").exists());
}

#[test]
fn fifty_parallel_set_ups_all_succeed_and_are_undone_to_the_byte() {
    let desk = Desk::new();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let desk = &desk;
            scope.spawn(move || desk.set_up(&[&format!("h{number}")]).unwrap());
        }
    });
    let json: Value = serde_json::from_str(&desk.text("tool.json").unwrap()).unwrap();
    let config = desk.text("config.toml").unwrap();
    for number in 0..50 {
        let what = format!("h{number}");
        assert_eq!(json["a"][&what], "hallpass");
        assert!(config.contains(&format!("# >>> {what}\n")));
    }
    assert_eq!(desk.records().len(), 50);
    desk.undo(&[]).unwrap();
    assert_eq!(desk.all(), Desk::untouched());
}
