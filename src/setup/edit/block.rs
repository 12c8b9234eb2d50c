//! A block of lines between two comments that begin with `#`: in the user's own `config.toml`, or in
//! another program's file.

use serde::{Deserialize, Serialize};

use super::kind::{Bytes, Kind, Unfit, text};
use crate::config::user_file::{
    add_block, add_block_without_heading, block_at, check_end, has_heading, remove_block,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(super) title: String,
    /// `None` removes the block.
    pub(super) lines: Option<String>,
}

impl Block {
    fn found<'b>(&self, bytes: Bytes<'b>) -> Option<&'b str> {
        let text = text(bytes).ok()?;
        block_at(text, &self.title).map(|(_, lines)| lines)
    }

    fn with(&self, bytes: Bytes<'_>, lines: Option<&str>) -> Result<Option<Vec<u8>>, Unfit> {
        let mut text = text(bytes)?.to_owned();
        // A changed block with a heading moves to the end of the file.
        check_end(&text, &self.title).map_err(Unfit)?;
        match lines {
            Some(lines) if has_heading(lines.as_bytes()) => {
                add_block(&mut text, &self.title, lines);
            }
            Some(lines) => {
                add_block_without_heading(&mut text, &self.title, lines).map_err(Unfit)?;
            }
            None => drop(remove_block(&mut text, &self.title)),
        }
        Ok(Some(text.into_bytes()).filter(|text| !text.is_empty()))
    }
}

impl Kind for Block {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        self.with(bytes, self.lines.as_deref())
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        self.found(bytes) == self.lines.as_deref()
    }

    /// Everything between the two comments was written by a set-up with this title.
    fn is_ours(&self, bytes: Bytes<'_>) -> bool {
        self.found(bytes).is_some() == self.lines.is_some()
    }

    fn is_removal(&self) -> bool {
        self.lines.is_none()
    }

    fn replaced(&self, bytes: Bytes<'_>) -> Option<serde_json::Value> {
        self.found(bytes).map(Into::into)
    }

    fn remove(
        &self,
        bytes: Bytes<'_>,
        replaced: Option<&serde_json::Value>,
    ) -> Result<Option<Vec<u8>>, Unfit> {
        let lines = replaced.and_then(serde_json::Value::as_str);
        // A block that replaced an earlier one of the same title is removed without restoring that.
        self.with(bytes, lines.filter(|_| self.lines.is_none()))
    }

    fn place(&self) -> String {
        self.title.clone()
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        let lines = self.found(bytes).unwrap_or_default().lines();
        lines.map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_and_removing_a_block_changes_nothing_else() {
        let block = |lines: Option<&str>| Block {
            title: "t".to_owned(),
            lines: lines.map(str::to_owned),
        };
        for before in [None, Some("a = 1\n"), Some("a = 1"), Some("# é\n\n")] {
            let before = before.map(str::as_bytes);
            let one = block(Some("x = 1\n")).apply(before).unwrap();
            let two = block(Some("x = 2\n"));
            assert!(!two.is_in_place(one.as_deref()) && two.is_ours(one.as_deref()));
            let old = two.replaced(one.as_deref());
            assert_eq!(old, Some("x = 1\n".into()));
            let now = two.apply(one.as_deref()).unwrap();
            assert!(two.is_in_place(now.as_deref()));
            assert_eq!(two.apply(now.as_deref()).unwrap(), now);
            assert_eq!(two.view(now.as_deref()), ["x = 2"]);
            assert_eq!(
                two.remove(now.as_deref(), old.as_ref()).unwrap().as_deref(),
                before
            );
            let gone = block(None);
            let was = gone.replaced(now.as_deref());
            let without = gone.apply(now.as_deref()).unwrap();
            assert_eq!(without.as_deref(), before);
            assert_eq!(gone.remove(before, was.as_ref()).unwrap(), now);
        }
    }

    #[test]
    fn a_changed_block_without_a_heading_stays_before_the_users_sections() {
        let block = |lines: &str| Block {
            title: "t".to_owned(),
            lines: Some(lines.to_owned()),
        };
        let mut text = block("a = [1]\n").apply(None).unwrap().unwrap();
        let own = b"b = 2\n\n[[section]]\nc = 3\n";
        text.extend(own);
        let now = block("a = [1, 2]\n").apply(Some(&text)).unwrap().unwrap();
        let mut expected = block("a = [1, 2]\n").apply(None).unwrap().unwrap();
        expected.extend(own);
        assert_eq!(now, expected);
        assert!(block("a = [1]\n").apply(Some(own)).is_err());
    }

    #[test]
    fn only_a_line_that_belongs_to_the_blocks_table_keeps_it_in_place() {
        for (lines, is_removable) in [
            ("common --flag\n", true),
            ("a = [1]\n", true),
            ("[table]\na = 1\n", false),
        ] {
            let block = Block {
                title: "t".to_owned(),
                lines: Some(lines.to_owned()),
            };
            let mut text = block.apply(None).unwrap().unwrap();
            text.extend(b"b = 2\n");
            let removed = block.remove(Some(&text), None);
            assert_eq!(removed.is_ok(), is_removable, "{lines}");
        }
    }
}
