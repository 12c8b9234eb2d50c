//! The documentation: links lead somewhere, and tables say what the program says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hallpass::arguments::EXIT_CODES;
use hallpass::commands::help::VARIABLES;
use hallpass::tools;

use crate::sandbox::{Sandbox, files_below};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("\r\n", "\n")
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = files_below(&root().join("docs")).into_iter().collect();
    for name in [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ] {
        pages.push(root().join(name));
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// The anchor that a heading gets on the usual sites.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' | '-' => Some('-'),
        c if c.is_alphanumeric() || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn every_link_target_exists() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            assert!(path.exists(), "{}: {target}", page.display());
            if !heading.is_empty() {
                let other = fs::read_to_string(&path).unwrap();
                let mut headings = other.lines().filter(|line| line.starts_with('#'));
                let found =
                    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{}: {target}", page.display());
            }
        }
    }
}

#[test]
fn the_exit_codes_page_has_every_code() {
    let page = read("docs/reference/exit-codes.md");
    for (code, meaning) in EXIT_CODES {
        assert!(page.contains(&format!("| {code} | {meaning} |")), "{code}");
    }
    assert_eq!(first_cells(&page).count(), EXIT_CODES.len() + 1);
}

#[test]
fn the_environment_page_has_every_variable_and_no_other() {
    let page = read("docs/reference/environment.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), VARIABLES.len());
    for (names, meaning) in VARIABLES {
        assert!(page.contains(&format!(" | {meaning} |")), "{names}");
    }
    let listed: BTreeSet<_> = first_cells(&page).flat_map(code_spans).collect();
    assert_eq!(listed, known_variables());
}

#[test]
fn every_variable_of_hallpass_that_a_page_names_is_read_and_listed() {
    let listed = known_variables();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for name in own_variables(&text) {
            let exists = listed.contains(name) || is_internal(name);
            assert!(exists, "{}: {name}", page.display());
        }
    }
    let mut sources = String::new();
    for path in files_below(&root().join("src")) {
        // The list itself proves nothing, and neither does the list of those that a kubeconfig sets.
        let is_list = ["commands/help.rs", "kubectl/caller.rs"].map(|list| path.ends_with(list));
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        if is_source && is_list == [false, false] {
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            code.for_each(|line| sources += line);
        }
    }
    for name in own_variables(&sources) {
        assert!(listed.contains(name) || is_internal(name), "{name}");
    }
    for name in listed.iter().filter(|name| name.starts_with("HALLPASS_")) {
        assert!(sources.contains(&format!("\"{name}\"")), "{name}");
    }
}

fn known_variables() -> BTreeSet<String> {
    let names = VARIABLES.iter().flat_map(|(names, _)| names.split(", "));
    names.map(str::to_owned).collect()
}

/// Variables that no person sets: those of the tests, and the one of the completion scripts.
fn is_internal(variable: &str) -> bool {
    variable.starts_with("HALLPASS_TEST_") || variable == "HALLPASS_COMPLETE"
}

/// The `HALLPASS_…` names in a text. `HALLPASS_` alone stands for all of them.
fn own_variables(text: &str) -> impl Iterator<Item = &str> {
    let prefix = "HALLPASS_";
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        let rest = &text[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        (end > prefix.len()).then(|| &rest[..end])
    })
}

#[test]
fn the_configuration_page_has_no_key_that_does_not_exist() {
    let page = read("docs/reference/configuration.md");
    let (_, settings) = page.split_once("\n## Settings\n").unwrap();
    let (settings, providers) = settings.split_once("\n## `[providers.NAME]`\n").unwrap();
    let (providers, resources) = providers.split_once("\n## `[[resources]]`\n").unwrap();
    let (resources, presets) = resources.split_once("\n## Presets\n").unwrap();
    for (table, start) in [
        (settings, ""),
        (providers, "[providers.corp]\n"),
        (resources, "[[resources]]\n"),
    ] {
        let keys: Vec<_> = first_cells(table).flat_map(code_spans).collect();
        assert!(!keys.is_empty(), "no table for {start:?}");
        for key in keys {
            assert!(!is_unknown(start, &key), "{start}{key}");
        }
        assert!(is_unknown(start, "no_such_key"), "{start}");
    }
    for preset in first_cells(presets).flat_map(code_spans) {
        let sandbox = Sandbox::new();
        let outcome = sandbox.run(&["get-token", &preset, "--interactive", "never"]);
        let is_unknown = outcome.stderr.contains("unknown provider");
        assert!(!is_unknown, "{preset}: {}", outcome.stderr);
    }
}

/// Whether hallpass says that it doesn't know a key. The value has a type that few keys accept: an
/// error about the type means that the key exists.
fn is_unknown(table: &str, key: &str) -> bool {
    let mut sandbox = Sandbox::new();
    sandbox.config(&format!("{table}{key} = []\n"));
    let outcome = sandbox.run(&["get-token", "corp", "--interactive", "never"]);
    outcome.stderr.contains(&format!("unknown key `{key}`"))
}

/// The first cell of each row of the tables in a text, the header's too.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| row.split(" |").next().unwrap_or(row))
}

/// What is in backticks.
fn code_spans(cell: &str) -> Vec<String> {
    let inside = cell.split('`').skip(1).step_by(2);
    inside.map(str::to_owned).collect()
}

/// What is made from `tools::ALL`, and what goes with it.
#[test]
fn every_tool_has_all_its_commands_and_pages() {
    let readme = read("README.md");
    let tree = hallpass::commands::tree();
    let mut names = BTreeSet::new();
    for command in tree.get_subcommands() {
        assert!(
            names.insert(command.get_name().to_owned()),
            "{}",
            command.get_name()
        );
    }
    let mut programs = BTreeSet::new();
    for tool in tools::ALL {
        let name = tool.name();
        assert!(names.contains(name), "{name} is no command");
        for program in tool.program_names() {
            assert!(programs.insert(*program), "{program} is two tools'");
            assert!(!names.contains(*program), "{program} is a command, too");
        }
        let sandbox = Sandbox::new();
        for words in [
            vec![name, "--help"],
            vec!["setup", name, "--help"],
            vec!["doctor", name, "--help"],
        ] {
            let help = sandbox.run(&words);
            help.succeeds();
            assert!(help.stdout.contains("Examples:"), "{words:?}");
            if words[0] == "setup" {
                for option in ["--undo", "--dry-run", "--yes"] {
                    assert!(help.stdout.contains(option), "{name} {option}");
                }
            }
        }
        for verb in ["setup", "doctor"] {
            let group = tree.find_subcommand(verb).unwrap();
            assert!(group.find_subcommand(name).is_some(), "{verb} {name}");
        }
        sandbox.run(&["setup", name, "--undo"]).succeeds();
        let guide = format!("docs/guides/{name}.md");
        assert!(root().join(&guide).exists(), "{guide}");
        assert!(readme.contains(&guide), "the README has no link to {guide}");
        assert!(readme.contains(&format!("hallpass setup {name}")), "{name}");
        assert!(root().join(format!("src/tools/{name}/mod.rs")).exists());
        assert!(root().join(format!("tests/it/{name}.rs")).exists());
        assert!(root().join(format!("tests/real/cases/{name}.py")).exists());
    }
}

#[test]
fn a_tool_answers_under_its_own_program_name() {
    for tool in tools::ALL {
        for program in tool.program_names() {
            let sandbox = Sandbox::new();
            let link = sandbox.root().join(program);
            #[cfg(unix)]
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallpass"), &link).unwrap();
            #[cfg(not(unix))]
            fs::hard_link(env!("CARGO_BIN_EXE_hallpass"), &link).unwrap();
            let mut command = sandbox.surround(std::process::Command::new(&link));
            let output = command.arg("--help").output().unwrap();
            let help = String::from_utf8(output.stdout).unwrap();
            let usage = format!("Usage: hallpass {}", tool.name());
            assert!(help.contains(&usage), "{program}: {help}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").lines().count() < 200);
}
