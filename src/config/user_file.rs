//! Adds blocks to the user's file and removes them.
//!
//! A command adds a block between two comments at the end of the file. Every other byte stays as
//! the user wrote it, so removing the block restores the file exactly.

use std::ops::Range;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::ConfigError;
use super::file::{self, Kind, Unusable};
use super::folders;
use super::section::{Name, Source, UnknownKeys};
use super::shown::shown_at_home;
use crate::env::Env;

const OPENS: &str = "# >>> ";
const CLOSES: &str = "# <<< ";

#[derive(Debug, Clone)]
pub(crate) struct UserFile {
    path: PathBuf,
    home: Option<PathBuf>,
    text: Zeroizing<String>,
}

impl UserFile {
    /// Reads the file; a missing one is empty.
    pub(crate) fn read(env: &Env) -> Result<Self, ConfigError> {
        let (path, _) = folders::user_file(env)?;
        let home = folders::home(env).ok();
        let text = read_text(&path, home.as_deref())?.unwrap_or_default();
        Ok(Self { path, home, text })
    }

    /// The file's folder, which need not exist.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Adds a block, replacing an older one with the same title.
    pub(crate) fn add(&mut self, title: &str, lines: &str) {
        add_block(&mut self.text, title, lines);
    }

    /// The titles of the blocks that start with this prefix, in the order of the file.
    pub(crate) fn titles(&self, begin: &str) -> Vec<String> {
        let titles = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(OPENS));
        let titles = titles.filter(|title| title.starts_with(begin));
        titles.map(str::to_owned).collect()
    }

    /// The content of a block.
    pub(crate) fn block(&self, title: &str) -> Option<&str> {
        block_at(&self.text, title).map(|(_, lines)| lines)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The file, for the user.
    pub(crate) fn shown(&self) -> String {
        shown_at_home(&self.path, self.home.as_deref())
    }

    /// Removes a block. Returns its content, or `None` if there is no such block.
    pub(crate) fn remove(&mut self, title: &str) -> Option<String> {
        remove_block(&mut self.text, title)
    }

    /// The same file with different text.
    pub(crate) fn with_text(&self, text: &str) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn source(&self) -> Source {
        Source {
            name: Name::File {
                path: self.path.clone(),
                home: self.home.clone(),
            },
            text: self.text.clone(),
            folder: self.folder().to_owned(),
            home: self.home.clone(),
            unknown_keys: UnknownKeys::Refused,
        }
    }
}

/// Adds a block at the end, and removes an older one with the same title.
pub(crate) fn add_block(text: &mut String, title: &str, lines: &str) {
    remove_block(text, title);
    if !text.is_empty() {
        text.push('\n');
    }
    let lines = lines.trim_end();
    for part in [OPENS, title, "\n", lines, "\n", CLOSES, title, "\n"] {
        text.push_str(part);
    }
}

/// Adds a block without a heading, whose lines belong to no section: it stays where it is, because at
/// the end of the file its lines could belong to a section.
///
/// # Errors
///
/// What is wrong, and what to do, after the name of the file.
pub(crate) fn add_block_without_heading(
    text: &mut String,
    title: &str,
    lines: &str,
) -> Result<(), String> {
    if let Some((range, old)) = block_at(text, title)
        && !has_heading(old.as_bytes())
    {
        let end = range.end - CLOSES.len() - title.len() - 1;
        text.replace_range(end - old.len()..end, &format!("{}\n", lines.trim_end()));
        return Ok(());
    }
    if has_heading(text.as_bytes()) {
        return Err(
            "has a section, which the new lines at its end would belong to; move the sections to \
             another file"
                .to_owned(),
        );
    }
    add_block(text, title, lines);
    Ok(())
}

/// Removes a block. Returns its content, or `None` if there is no such block.
pub(crate) fn remove_block(text: &mut String, title: &str) -> Option<String> {
    let (range, lines) = block_at(text, title)?;
    let lines = lines.to_owned();
    text.replace_range(range, "");
    Some(lines)
}

/// A block's range, with the line break that separates it from the preceding text, and its content.
pub(crate) fn block_at<'t>(text: &'t str, title: &str) -> Option<(Range<usize>, &'t str)> {
    let opens = format!("{OPENS}{title}\n");
    let closes = format!("{CLOSES}{title}\n");
    let start = text.find(&opens)?;
    let inner = start + opens.len();
    let length = text.get(inner..)?.find(&closes)?;
    let lines = text.get(inner..inner + length)?;
    let end = inner + length + closes.len();
    let (before, after) = (text.get(..start)?, text.get(end..)?);
    // The line break before the block belongs to it, unless it ends a line and the user's text follows.
    let ends_line = !before.ends_with("\n\n") && before != "\n";
    let is_followed = !after.is_empty() && !after.starts_with(&format!("\n{OPENS}"));
    let has_break = before.ends_with('\n') && !(ends_line && is_followed);
    Some((start - usize::from(has_break)..end, lines))
}

/// Checks that no line after a block belongs to the block's last table: without the block, it would
/// belong to another one.
///
/// # Errors
///
/// What is wrong, and what to do, after the name of the file.
pub(crate) fn check_end(text: &str, title: &str) -> Result<(), String> {
    let block = block_at(text, title).filter(|(_, lines)| has_heading(lines.as_bytes()));
    let after = block.and_then(|(at, _)| text.get(at.end..));
    if after.is_none_or(|after| !continues_section(after.as_bytes())) {
        return Ok(());
    }
    Err(format!(
        "has a line after the block of `{title}` that belongs to the block's last table; move it into \
         the block, where it is removed with it, or elsewhere"
    ))
}

/// Whether a line of git's configuration or TOML begins a section.
pub(crate) fn has_heading(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"["))
}

/// Whether a text begins with a line that belongs to the section before it. Without its heading, that
/// line would belong to another section.
pub(crate) fn continues_section(text: &[u8]) -> bool {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines =
        lines.filter(|line| !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b";"));
    lines.next().is_some_and(|line| !line.starts_with(b"["))
}

/// The text of another program's file, if it exists and no other user can have written it.
pub(crate) fn read_text(
    path: &Path,
    home: Option<&Path>,
) -> Result<Option<Zeroizing<String>>, ConfigError> {
    file::read(path, Kind::User).map_err(|unusable| match unusable {
        Unusable::Untrusted(why) => ConfigError::Untrusted {
            file: shown_at_home(path, home),
            why,
        },
        Unusable::Unreadable(cause) => ConfigError::unreadable(path, home, cause),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_block_restores_the_file_exactly() {
        for text in ["", "a = 1\n", "a = 1", "\n", "# ö\n\n"] {
            let mut file = UserFile {
                path: PathBuf::from("/x/config.toml"),
                home: None,
                text: Zeroizing::new(text.to_owned()),
            };
            file.add("one", "[a]\nb = 1\n");
            let with_one = file.text.clone();
            file.add("two", "[c]");
            assert_eq!(file.titles("t"), ["two"]);
            assert_eq!(file.titles(""), ["one", "two"]);
            assert_eq!(file.remove("two").as_deref(), Some("[c]\n"));
            assert_eq!(file.text, with_one);
            file.add("one", "[a]\nb = 2\n");
            assert_eq!(file.remove("one").as_deref(), Some("[a]\nb = 2\n"));
            assert_eq!(*file.text, text);
            assert_eq!(file.remove("one"), None);
        }
    }
}
