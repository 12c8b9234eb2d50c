//! The user's own git configuration, read and written by `git config` alone.

use std::io;
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// The values of a key in the user's own configuration, in their order.
pub(super) fn values(key: &str) -> Result<Vec<String>, Error> {
    let output = git(&["--null", "--get-all", key])?;
    // 1: there is none (git-config(1)).
    if output.status.code() == Some(1) {
        return Ok(Vec::new());
    }
    let text = checked(output, || format!("read {key}"))?;
    let text = String::from_utf8_lossy(&text);
    let mut values: Vec<String> = text.split('\0').map(str::to_owned).collect();
    values.pop();
    Ok(values)
}

/// The helpers that git asks by all its configuration files, each with where it stands.
pub(super) fn helpers_everywhere(key: &str) -> Result<Vec<String>, Error> {
    let mut command = Command::new("git");
    command.args(["config", "--null", "--show-origin", "--get-all", key]);
    let output = ran(&mut command, || format!("read {key}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts: Vec<&str> = text.split('\0').collect();
    let pairs = parts.chunks_exact(2);
    Ok(pairs
        .filter_map(|pair| match pair {
            [origin, helper] if !helper.is_empty() => Some(format!("{helper} ({origin})")),
            _ => None,
        })
        .collect())
}

pub(super) fn add(key: &str, value: &str) -> Result<(), Error> {
    let output = git(&["--add", key, value])?;
    checked(output, || format!("set {key}")).map(drop)
}

/// Leaves a key with these values. Values that stay are not touched where all of ours are at the
/// end.
pub(super) fn leave(key: &str, values: &[String]) -> Result<(), Error> {
    if self::values(key)?.is_empty() {
        return Ok(());
    }
    let output = git(&["--unset-all", key])?;
    checked(output, || format!("unset {key}"))?;
    values.iter().try_for_each(|value| add(key, value))
}

fn git(arguments: &[&str]) -> Result<Output, Error> {
    let mut command = Command::new("git");
    command.args(["config", "--global"]).args(arguments);
    ran(&mut command, || "start".to_owned())
}

fn ran(command: &mut Command, action: impl Fn() -> String) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|cause| Error::GitConfig {
        action: action(),
        cause,
    })
}

fn checked(output: Output, action: impl Fn() -> String) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::GitConfig {
        action: action(),
        cause: io::Error::other(said.trim().to_owned()),
    })
}
