//! Why a kubeconfig can't be used, and what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::error::KubectlError;
use crate::config::{access_fix, home, shown_at_home};
use crate::env::Env;
use crate::files;
use crate::shell::{list_command, quoted, quoted_at_home};

/// Checks that kubectl can read a file, if it exists: kubectl would hang on a named pipe or a device.
pub(super) fn check_readable(path: &Path, home: Option<&Path>) -> Result<(), KubectlError> {
    match files::check(path, files::LARGEST) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(inaccessible("read", path, home, "KUBECONFIG", cause))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error for a file that can't be read or written. `variable` is the one that can name another
/// file.
pub(super) fn inaccessible(
    action: &'static str,
    path: &Path,
    home: Option<&Path>,
    variable: &str,
    cause: io::Error,
) -> KubectlError {
    let file = shown_at_home(path, home);
    let kind = cause.kind();
    let fix = if kind == io::ErrorKind::PermissionDenied {
        access_fix(path, home, &cause).unwrap_or_else(|| copy_fix(path))
    } else if kind == io::ErrorKind::InvalidInput {
        format!("replace {file} with a regular file, or set {variable} to the path of one")
    } else if kind == io::ErrorKind::InvalidData {
        format!("save {file} as UTF-8 text")
    } else {
        let word = quoted_at_home(&file);
        format!("check `{}` and its folder", list_command(&word))
    };
    KubectlError::Inaccessible {
        action,
        file,
        cause,
        fix,
    }
}

/// A copy is for files that are not the user's own, such as k3s's.
fn copy_fix(path: &Path) -> String {
    if cfg!(windows) {
        let word = quoted(&path.to_string_lossy());
        return format!("check `{}`", list_command(&word));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = quoted_at_home(&format!("~/.kube/my-{name}"));
    format!(
        "make a copy that you own with `mkdir -p ~/.kube && sudo install -m 600 -o \"$(id -u)\" -g \
         \"$(id -g)\" {} {copy}`, run `export KUBECONFIG={copy}`",
        quoted(&path.to_string_lossy())
    )
}

/// The error for a message of kubectl's, such as `error loading config file "/x": yaml: line 3: …`.
pub(super) fn rejected(message: &str) -> KubectlError {
    let message = message.trim().trim_start_matches("error: ");
    // The list contains the users' secrets.
    let message = message.split(" in list: ").next().unwrap_or_default();
    let file = message.split_once("loading config file \"");
    let file = file.and_then(|(_, rest)| rest.split_once('"'));
    let fix = match file {
        Some((file, why)) => match files::read_text(Path::new(file), files::LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                format!("save {file} as UTF-8 text")
            }
            Ok(_) | Err(_) => match line_of(why) {
                Some(line) => format!("correct line {line} of {file}"),
                None => format!("correct {file}"),
            },
        },
        None => "correct the error in the kubeconfig that kubectl reports".to_owned(),
    };
    KubectlError::Rejected {
        cause: io::Error::other(message.to_owned()),
        fix,
    }
}

/// The line that a message about YAML names.
fn line_of(why: &str) -> Option<usize> {
    let (_, rest) = why.split_once("yaml: line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The error for a kubeconfig without contexts.
pub(super) fn without_contexts(env: &Env, files: &[PathBuf]) -> KubectlError {
    let home = home(env).ok();
    let shown = |path: &Path| shown_at_home(path, home.as_deref());
    let there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    let dangling = files.iter().find(|file| file.is_symlink());
    let (what, fix) = match (there.as_slice(), dangling, files) {
        ([file, ..], ..) => (
            format!("the kubeconfig {} contains no context", shown(file)),
            format!("save your cluster's kubeconfig as {}", shown(file)),
        ),
        ([], Some(link), _) => (
            format!("{} is a link to a file that doesn't exist", shown(link)),
            "restore that file, or replace the link with your cluster's kubeconfig".to_owned(),
        ),
        ([], None, []) => (
            "KUBECONFIG names no file".to_owned(),
            "unset KUBECONFIG, or set it to the path of your cluster's kubeconfig".to_owned(),
        ),
        ([], None, [file]) => (
            format!("there is no kubeconfig: {} doesn't exist", shown(file)),
            format!("save your cluster's kubeconfig as {}", shown(file)),
        ),
        ([], None, [..]) => {
            let all: Vec<String> = files.iter().map(|file| shown(file)).collect();
            (
                format!("there is no kubeconfig: none of {} exists", all.join(", ")),
                "set KUBECONFIG to the path of your cluster's kubeconfig".to_owned(),
            )
        }
    };
    let is_quoted = files.iter().any(|file| file.iter().any(|part| part == "~"));
    let fix = if is_quoted {
        "write `~` in KUBECONFIG outside quotes, so that the shell expands it".to_owned()
    } else if there.is_empty() && env.var_os("KUBECONFIG").is_none_or(|list| list.is_empty()) {
        format!("{fix}, or set KUBECONFIG to its path")
    } else {
        fix
    };
    KubectlError::Lacking {
        what,
        fix: format!("{fix}; then run the command again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_fix_of_a_rejected_file_names_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let shown = file.display();
        let loading = format!("error: error loading config file \"{shown}\": ");
        for (text, why, expected) in [
            (
                &b"a: 1\nb: [\n"[..],
                "yaml: line 2: did not find expected node content",
                format!("correct line 2 of {shown}"),
            ),
            (
                b"a: 1\nb: x: y\n",
                "yaml: line 2: mapping values are not allowed in this context",
                format!("correct line 2 of {shown}"),
            ),
            (
                b"users: x\n",
                "json: cannot unmarshal string into Go struct field Config.users",
                format!("correct {shown}"),
            ),
            (
                b"users: []\n",
                "duplicate name \"me\" in list: [{me { []  [] hush }}]",
                format!("correct {shown}"),
            ),
            (
                b"# caf\xe9\n",
                "yaml: invalid trailing UTF-8 octet",
                format!("save {shown} as UTF-8 text"),
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Error::from(rejected(&format!("{loading}{why}"))).report();
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
            let hint = error.hint.unwrap();
            assert_eq!(hint, format!("{expected}, then run the command again"));
        }
    }
}
