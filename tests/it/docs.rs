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
fn every_link_leads_to_a_page_and_a_heading() {
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
fn the_pages_have_every_exit_code_and_every_variable() {
    let page = read("docs/reference/exit-codes.md");
    for (code, meaning) in EXIT_CODES {
        assert!(page.contains(&format!("| {code} | {meaning} |")), "{code}");
    }
    let page = read("docs/reference/environment.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), VARIABLES.len());
    for (names, meaning) in VARIABLES {
        assert!(page.contains(&format!(" | {meaning} |")), "{names}");
        for name in names.split(", ") {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

/// What is made from `tools::ALL`, and what goes with it.
#[test]
fn every_tool_has_all_its_parts() {
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
