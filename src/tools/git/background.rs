//! Recognizes git commands that run in the background, where a browser tab would surprise the user.
//!
//! `git maintenance` has a scheduler start it, and newer versions pass
//! `-c credential.interactive=false` themselves. For older ones the command lines of the processes
//! above this one say what started it.

use crate::env::program_name;

/// More than there are between git and its helper: a remote helper, a shell, git itself.
#[cfg(target_os = "linux")]
const MOST_ANCESTORS: usize = 8;

/// Whether a background command of git started this process, as far as the system tells.
pub(super) fn is_background() -> bool {
    ancestors().iter().any(|words| is_background_command(words))
}

/// The command lines of the processes above this one, the closest first.
#[cfg(target_os = "linux")]
pub(super) fn ancestors() -> Vec<Vec<String>> {
    let mut pid = std::os::unix::process::parent_id();
    let mut found = Vec::new();
    while pid > 1 && found.len() < MOST_ANCESTORS {
        let of = |name: &str| std::fs::read(format!("/proc/{pid}/{name}"));
        let (Ok(words), Ok(stat)) = (of("cmdline"), of("stat")) else {
            break;
        };
        let words = words.split(|byte| *byte == 0);
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
        found.push(words.collect());
        let Some(parent) = parent_in(&String::from_utf8_lossy(&stat)) else {
            break;
        };
        pid = parent;
    }
    found
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ancestors() -> Vec<Vec<String>> {
    Vec::new()
}

/// The parent in `/proc/PID/stat`, where it follows the state. The name before that is in
/// parentheses and may contain anything (proc(5)).
#[cfg(target_os = "linux")]
fn parent_in(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Whether it is `git maintenance`, or the fetch that it runs.
fn is_background_command(words: &[String]) -> bool {
    let Some((program, words)) = words.split_first() else {
        return false;
    };
    if program_name(program) != "git" {
        return false;
    }
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            // These two have a value (git(1)).
            "-c" | "-C" => drop(words.next()),
            option if option.starts_with('-') => (),
            "maintenance" => return true,
            "fetch" => return words.any(|word| word == "--prefetch"),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_commands_are_recognized() {
        for (line, expected) in [
            ("git maintenance run --schedule=hourly", true),
            ("/usr/bin/git --exec-path=/x -c a=b maintenance run", true),
            (
                "/usr/lib/git-core/git fetch origin --prefetch --quiet",
                true,
            ),
            ("git fetch origin", false),
            ("git push origin maintenance", false),
            ("git -C maintenance fetch", false),
            ("vim maintenance", false),
            ("", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(is_background_command(&words), expected, "{line}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_parent_is_found_behind_any_process_name() {
        assert_eq!(parent_in("7 (a) 9 (b) S 42 1 1"), Some(42));
        assert_eq!(parent_in("7 (a"), None);
        assert!(!ancestors().is_empty());
    }
}
