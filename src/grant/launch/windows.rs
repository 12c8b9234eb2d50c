//! Has the Windows shell start a browser.
//!
//! On Windows, a child process inherits the streams of its parent, whatever it gets as its own. A
//! tool that reads hallpass's output to its end would wait until the browser is closed. What the
//! shell starts inherits nothing.

#[cfg(windows)]
pub(super) use start::start;

#[cfg(windows)]
mod start {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::argument;
    use crate::env::Env;

    /// Starts the browser, or passes it to `as_child` if the shell can't start it.
    pub(in super::super) fn start(
        command: Command,
        env: &Env,
        as_child: impl FnOnce(Command) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(program) = find(&command, env) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        // A batch file reads its arguments by other rules, which the standard library knows. And the
        // shell starts every program with the environment of this process.
        let is_batch_file = program.extension().is_some_and(|ending| {
            ["bat", "cmd"]
                .map(Into::into)
                .contains(&ending.to_ascii_lowercase())
        });
        if is_batch_file || command.get_envs().next().is_some() {
            return as_child(command);
        }
        let words = command.get_args();
        let words = words.map(|word| argument(&word.to_string_lossy()));
        let words = words.collect::<Vec<_>>().join(" ");
        ::open::with_detached(words, program.to_string_lossy())
    }

    /// The program's file. If there were none, the shell would show a dialog.
    fn find(command: &Command, env: &Env) -> Option<PathBuf> {
        // Browsers are not on `PATH` but register their names.
        let registered = ::open::with_command("", command.get_program().to_str()?);
        let name = Path::new(registered.get_program());
        let folders = match env.var_os("PATH") {
            Some(path) if name.components().count() == 1 => std::env::split_paths(path).collect(),
            Some(_) | None => vec![PathBuf::new()],
        };
        let files = folders.iter().flat_map(|folder| {
            ["", ".exe", ".cmd", ".bat"].map(|ending| {
                let mut file = folder.join(name).into_os_string();
                file.push(ending);
                PathBuf::from(file)
            })
        });
        let mut files = files.filter(|file| file.is_file());
        files.next()
    }
}

/// Quotes a word so that a program reads it back as one argument.
///
/// <https://learn.microsoft.com/en-us/cpp/c-language/parsing-c-command-line-arguments>
fn argument(word: &str) -> String {
    let mut text = String::from('"');
    let mut backslashes = 0;
    for c in word.chars() {
        if c == '\\' {
            backslashes += 1;
        } else {
            // Backslashes are escaped only before a quotation mark.
            if c == '"' {
                text.extend(std::iter::repeat_n('\\', backslashes + 1));
            }
            backslashes = 0;
        }
        text.push(c);
    }
    text.extend(std::iter::repeat_n('\\', backslashes));
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_program_reads_each_word_back_as_one_argument() {
        for (word, expected) in [
            ("-new-tab", r#""-new-tab""#),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r"C:\a b\", r#""C:\a b\\""#),
            (r#"say "x""#, r#""say \"x\"""#),
            (r"\", r#""\\""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            (
                "https://id.example/?a=1&b=%20",
                r#""https://id.example/?a=1&b=%20""#,
            ),
        ] {
            assert_eq!(argument(word), expected, "{word}");
        }
    }
}
