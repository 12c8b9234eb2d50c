//! What a person sees of a set-up: each line that it adds or takes out, before it does.

use crate::arguments::Changing;
use crate::report::printable;

pub(crate) struct Shown {
    changing: Changing,
    text: String,
}

impl Shown {
    pub(crate) fn new(changing: Changing) -> Self {
        Self {
            changing,
            text: String::new(),
        }
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(&printable(line));
        self.text.push('\n');
    }

    /// The heading above the lines of one file: what becomes of them, and where.
    pub(crate) fn heading(&mut self, place: &str) {
        let Changing { dry_run, undo, .. } = self.changing;
        let becomes = match (dry_run, undo) {
            (true, true) => "would be taken out of",
            (true, false) => "would be added to",
            (false, true) => "taken out of",
            (false, false) => "added to",
        };
        self.line(&format!("{becomes} {place}:"));
    }

    /// A line that is added or taken out.
    pub(crate) fn changed(&mut self, line: &str) {
        let sign = if self.changing.undo { "-" } else { "+" };
        self.line(format!("  {sign} {line}").trim_end());
    }

    /// What stood, or will stand, in the place of the lines above.
    pub(crate) fn instead(&mut self, what: &str) {
        let sign = if self.changing.undo { "+" } else { "-" };
        self.line(&format!("  {sign} (what was there: {what})"));
    }

    /// How to take it back, where there is something to take back; `command` is the set-up's
    /// own.
    pub(crate) fn way_back(&mut self, command: &str) {
        let Changing { dry_run, undo, .. } = self.changing;
        if !dry_run && !undo {
            self.line(&format!("to take it back: {command} --undo"));
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
