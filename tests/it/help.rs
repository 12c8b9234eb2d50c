//! Help, completions, manual pages and the command reference, all generated from one command tree.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;
use crate::scene::Scene;

const WIDTH: usize = 80;

/// Every command, with its full name.
fn commands() -> Vec<(String, clap::Command)> {
    fn add(all: &mut Vec<(String, clap::Command)>, name: &str, command: &clap::Command) {
        all.push((name.to_owned(), command.clone()));
        for one in command.get_subcommands() {
            add(all, &format!("{name} {}", one.get_name()), one);
        }
    }
    let mut all = Vec::new();
    add(&mut all, "hallpass", &hallpass::commands::tree());
    all
}

/// The visible commands that have no subcommands.
fn leaves() -> impl Iterator<Item = (String, clap::Command)> {
    commands()
        .into_iter()
        .filter(|(_, command)| !command.has_subcommands() && !command.is_hide_set())
}

fn help(name: &str, command: &clap::Command) -> String {
    let mut command = command.clone().bin_name(name).term_width(WIDTH);
    command.render_long_help().to_string()
}

#[test]
fn every_command_has_examples_and_fits_a_terminal() {
    for (name, command) in leaves() {
        let help = help(&name, &command);
        assert!(help.contains("Examples:\n"), "{name}:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= WIDTH + 6, "{name}: {line}");
        }
    }
}

#[test]
fn every_option_has_help() {
    for (name, command) in commands() {
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{name}: {}",
                argument.get_id()
            );
        }
    }
}

#[test]
fn topics_are_shown_and_commands_keep_their_own_help() {
    let sandbox = Sandbox::new();
    for (topic, _) in hallpass::commands::help::TOPICS {
        let shown = sandbox.run(&["help", topic]);
        shown.succeeds();
        assert!(shown.stdout.lines().count() > 3, "{shown}");
    }
    let environment = sandbox.run(&["help", "environment"]).stdout;
    assert!(environment.contains("HALLPASS_STORE"));
    let setup = sandbox.run(&["help", "setup", "git"]);
    setup.succeeds();
    assert!(setup.stdout.contains("--host"), "{setup}");
}

/// The help topic lists exactly the variables that the program reads.
#[test]
fn every_variable_of_hallpass_is_in_the_help() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed: Vec<&str> = hallpass::commands::help::VARIABLES
        .iter()
        .flat_map(|(names, _)| names.split(", "))
        .collect();
    for path in crate::sandbox::files_below(&root) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (at, _) in text.match_indices("\"HALLPASS_") {
            let name: String = text[at + 1..]
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || *c == '_')
                .collect();
            let is_internal = name.starts_with("HALLPASS_TEST_")
                || ["HALLPASS_COMPLETE", "HALLPASS_SOME_KEY"].contains(&&*name);
            assert!(
                is_internal || listed.contains(&&*name),
                "{name} ({})",
                path.display()
            );
        }
    }
}

#[test]
fn a_shell_completes_providers_options_and_hosts() {
    let mut sandbox = Sandbox::new();
    sandbox.config(
        "[providers.corp]\nissuer = \"https://login.corp.example\"\nclient_id = \"x\"\n\
         [[resources]]\nmatch = \"https://git.corp.example\"\nprovider = \"corp\"\naccount = \"work\"\n",
    );
    for (words, expected) in [
        (vec!["hallpass", "log"], vec!["login", "logout"]),
        (vec!["hallpass", "login", "cor"], vec!["corp"]),
        (
            vec!["hallpass", "login", "corp", "--acc"],
            vec!["--account"],
        ),
        (
            vec!["hallpass", "login", "corp", "--account", "w"],
            vec!["work"],
        ),
        (
            vec!["hallpass", "setup", "git", "--host", "git."],
            vec!["git.corp.example"],
        ),
        (vec!["hallpass", "setup", "do"], vec!["docker"]),
    ] {
        let last = words.len() - 1;
        let mut command = sandbox.command();
        command
            .env("HALLPASS_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", last.to_string())
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .arg("--")
            .args(&words)
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let found: Vec<&str> = stdout.lines().map(str::trim).collect();
        assert_eq!(found, expected, "{words:?}");
    }
}

#[test]
fn every_shell_has_a_completion_script_that_needs_no_home() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = sandbox.run(&["completions", shell]);
        script.succeeds();
        assert!(script.stdout.contains("HALLPASS_COMPLETE"), "{script}");
    }
    sandbox.run(&["completions", "tcsh"]).fails_with(2);
}

#[test]
fn packages_contain_manual_pages_completions_and_every_program_name() {
    let sandbox = Sandbox::new();
    let prefix = sandbox.root().join("package/usr");
    // A second run changes nothing.
    for _ in 0..2 {
        sandbox
            .run(&["package-files", prefix.to_str().unwrap()])
            .succeeds();
    }
    let folder = prefix.join("share/man/man1");
    for name in hallpass::tools::ALL
        .iter()
        .flat_map(|tool| tool.program_names())
    {
        let page = fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        let target = page.trim().strip_prefix(".so man1/").expect(name);
        assert!(folder.join(target).is_file(), "{name}: {target}");
        if cfg!(unix) {
            let link = fs::read_link(prefix.join("bin").join(name)).expect(name);
            assert_eq!(link, Path::new("hallpass"), "{name}");
        }
    }
    for script in [
        "share/bash-completion/completions/hallpass",
        "share/fish/vendor_completions.d/hallpass.fish",
        "share/zsh/site-functions/_hallpass",
    ] {
        let script = fs::read_to_string(prefix.join(script)).expect(script);
        assert!(script.contains("HALLPASS_COMPLETE"), "{script}");
    }
    for (name, command) in commands() {
        if command.is_hide_set() {
            continue;
        }
        let page = folder.join(format!("{}.1", name.replace(' ', "-")));
        let text = fs::read_to_string(&page).expect(&name).replace("\\-", "-");
        let shown = command.get_arguments().filter(|one| !one.is_hide_set());
        for argument in shown.filter_map(|one| one.get_long()) {
            assert!(
                text.contains(&format!("--{argument}")),
                "{name}: --{argument}"
            );
        }
    }
}

/// `HALLPASS_TEST_UPDATE=1 cargo test --test it reference` writes the page.
#[test]
fn the_reference_of_commands_is_current() {
    let mut page =
        "# Commands\n\nEvery command and its options, as `--help` shows them. `cargo test` \
                    checks that this page is current; CONTRIBUTING.md says how to regenerate it.\n"
            .to_owned();
    for (name, command) in commands() {
        if command.is_hide_set() {
            continue;
        }
        let help = help(&name, &command);
        let help = help.trim_end();
        page = format!("{page}\n## {name}\n\n```text\n{help}\n```\n");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/commands.md");
    if std::env::var_os("HALLPASS_TEST_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    assert!(
        written == page,
        "docs/reference/commands.md is out of date; to update it, run \
         `HALLPASS_TEST_UPDATE=1 cargo test --test it reference`"
    );
}

#[test]
fn colour_is_used_when_forced_and_never_in_a_pipe() {
    let sandbox = Sandbox::new();
    let plain = sandbox.run(&["login", "--bogus"]);
    assert!(!plain.stderr.contains('\u{1b}'), "{plain}");
    let coloured = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command();
        let output = command
            .args(["login", "--bogus"])
            .envs(variables.iter().copied())
            .output();
        String::from_utf8(output.unwrap().stderr)
            .unwrap()
            .contains('\u{1b}')
    };
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

const WORDS: &str = "HALLPASS_TEST_WORDS";

/// Runs a command line twice within one process, and prints how many commands the second run built.
pub(crate) fn play() {
    let words = std::env::var(WORDS).unwrap();
    let words = std::iter::once("hallpass").chain(words.split(' '));
    let args: Vec<std::ffi::OsString> = words.map(Into::into).collect();
    let env = || hallpass::env::Env::new(args.clone(), std::env::vars_os());
    let _ = hallpass::commands::run(&env());
    let before = hallpass::arguments::BUILT.load(std::sync::atomic::Ordering::Relaxed);
    let _ = hallpass::commands::run(&env());
    let after = hallpass::arguments::BUILT.load(std::sync::atomic::Ordering::Relaxed);
    let mut stderr = std::io::stderr().lock();
    std::io::Write::write_fmt(
        &mut stderr,
        format_args!("built {before} {}\n", after - before),
    )
    .unwrap();
}

#[test]
fn a_remembered_hit_builds_no_command() {
    let (scene, _) = Scene::signed_in();
    for words in [
        "get-token corp --token access",
        "get-token corp --format json",
    ] {
        let this = std::env::current_exe().unwrap();
        let mut command = scene.sandbox.surround(Command::new(this));
        let output = command
            .args([
                "--exact",
                "two_runs_in_one_process",
                "--ignored",
                "--nocapture",
            ])
            .env(WORDS, words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find(|line| line.starts_with("built "));
        let numbers: Vec<&str> = line.expect(&said).split(' ').skip(1).collect();
        assert_eq!(numbers, ["1", "0"], "{words}");
    }
}
