//! Reads one table of a TOML file key by key, and reports the keys that were never read.
//!
//! It doesn't use `serde`, whose errors quote the value and which can't suggest a similar key. The
//! tables borrow from the file's text; a value is copied when it is read.
//!
//! Specification: <https://toml.io/en/v1.0.0>

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeArray, DeTable, DeValue};
use zeroize::Zeroizing;

use super::error::{ConfigError, Place, Problem, What};
use super::shown::{shown_at_home, shown_name};
use super::similar;

/// A file's text and what error messages need.
pub(crate) struct Source {
    pub(crate) name: Name,
    pub(crate) text: Zeroizing<String>,
    /// The folder that relative paths in the file start from.
    pub(crate) folder: PathBuf,
    pub(crate) home: Option<PathBuf>,
    pub(crate) unknown_keys: UnknownKeys,
}

/// How to treat unknown keys.
#[derive(Debug)]
pub(crate) enum UnknownKeys {
    /// As errors, because a key is often misspelled.
    Refused,
    /// Ignored, with these warnings: the file may be shared by many machines, some of which have an
    /// older hallpass.
    Ignored(RefCell<Vec<String>>),
}

/// A source's name. Formatted only when a message needs it, so a hit doesn't pay for it.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    File {
        path: PathBuf,
        home: Option<PathBuf>,
    },
    Preset(&'static str),
}

impl Name {
    /// The name as shown to the user.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File { path, home } => shown_at_home(path, home.as_deref()),
            Self::Preset(id) => format!("preset {id}"),
        }
    }
}

impl Source {
    /// The warnings about keys that were ignored.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match &self.unknown_keys {
            UnknownKeys::Refused => Vec::new(),
            UnknownKeys::Ignored(warnings) => warnings.borrow().clone(),
        }
    }

    pub(crate) fn parse(&self) -> Result<Section<'_, '_>, ConfigError> {
        match DeTable::parse(&self.text) {
            Ok(table) => Ok(Section::new(self, Title::Top, table.into_inner())),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let problem = self.twice(&span).filter(|_| error.message() == DUPLICATE);
                let problem =
                    problem.unwrap_or_else(|| Problem::Syntax(error.message().to_owned()));
                Err(self.problem(span.start, problem))
            }
        }
    }

    /// Names a duplicate: a key, or the header of a table. Neither is a value, so a message may
    /// show it.
    fn twice(&self, span: &Range<usize>) -> Option<Problem> {
        let key = self.text.get(span.clone())?;
        let before = self.text.get(..span.start)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start..)?.lines().next()?.trim();
        let header = line
            .strip_prefix('[')
            .and_then(|rest| Some(rest.split_once(']')?.0.trim_start_matches('[').trim()));
        match header {
            // `[resources]` instead of `[[resources]]`.
            Some(RESOURCES) => Some(Problem::Value {
                key: RESOURCES.to_owned(),
                within: String::new(),
                what: What::SingleBrackets { key: RESOURCES },
            }),
            Some(header) => Some(Problem::Twice {
                what: format!("[{}]", shown_name(header)),
            }),
            None => Some(Problem::Twice {
                what: format!("`{}`", shown_name(key)),
            }),
        }
    }

    pub(crate) fn problem(&self, at: usize, problem: Problem) -> ConfigError {
        let before = self.text.as_bytes().iter().take(at);
        ConfigError::Entry {
            place: Place {
                file: self.name.shown(),
                line: 1 + before.filter(|byte| **byte == b'\n').count(),
            },
            problem: Box::new(problem),
        }
    }
}

/// The parser's message for a duplicate key or table.
const DUPLICATE: &str = "duplicate key";

const RESOURCES: &str = "resources";

/// The table's name for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Title<'a> {
    Top,
    Docker,
    Git,
    Provider(&'a str),
    Identity,
    Resource,
}

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Docker => f.write_str(" in [docker]"),
            Self::Git => f.write_str(" in [git]"),
            Self::Provider(name) => write!(f, " in [providers.{name}]"),
            Self::Identity => f.write_str(" in `identity`"),
            Self::Resource => f.write_str(" in [[resources]]"),
        }
    }
}

/// The placeholders of a preset, such as `{base}`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Blanks<'a> {
    pub(crate) base: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
}

/// A table that is being read.
pub(crate) struct Section<'s, 'i> {
    source: &'s Source,
    title: Title<'s>,
    table: DeTable<'i>,
    asked: Vec<&'static str>,
    blanks: Option<Blanks<'s>>,
    /// The first placeholder that has no value.
    unfilled: Option<&'static str>,
}

type Value<'i> = (DeValue<'i>, Range<usize>);

impl<'s, 'i> Section<'s, 'i> {
    pub(crate) fn new(source: &'s Source, title: Title<'s>, table: DeTable<'i>) -> Self {
        Self {
            source,
            title,
            table,
            asked: Vec::new(),
            blanks: None,
            unfilled: None,
        }
    }

    /// Replaces `{base}` and `{tenant}` in the values that are read from now on.
    pub(crate) fn fill(&mut self, blanks: Blanks<'s>) {
        self.blanks = Some(blanks);
    }

    pub(crate) fn unfilled(&self) -> Option<&'static str> {
        self.unfilled
    }

    /// The keys that have been read.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// Adopts the unfilled placeholder of a nested table.
    pub(crate) fn adopt_unfilled(&mut self, inner: &Self) {
        self.unfilled = self.unfilled.or(inner.unfilled);
    }

    /// Drops keys without reading them.
    pub(crate) fn forget(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.table.remove(*key);
            self.asked.push(key);
        }
    }

    /// Finishes reading. Any key that is left is unknown.
    pub(crate) fn end(&self) -> Result<(), ConfigError> {
        let mut unknown: Vec<_> = self.table.iter().map(|(key, _)| key).collect();
        unknown.sort_by_key(|key| key.span().start);
        for key in unknown {
            let within = self.title.to_string();
            let is_secret = key.get_ref() == "client_secret";
            let problem = if is_secret {
                Problem::InlineSecret {
                    key: "client_secret".to_owned(),
                    within,
                }
            } else {
                Problem::UnknownKey {
                    key: shown_name(key.get_ref()),
                    within,
                    similar: similar::nearest(key.get_ref(), self.asked.iter().copied()),
                }
            };
            let error = self.source.problem(key.span().start, problem);
            match &self.source.unknown_keys {
                UnknownKeys::Ignored(warnings) if !is_secret => warnings.borrow_mut().push(
                    format!("{error}; hallpass ignores it, as it may be for a newer version"),
                ),
                UnknownKeys::Ignored(_) | UnknownKeys::Refused => return Err(error),
            }
        }
        Ok(())
    }

    /// A non-empty string without control characters.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A string that `parse` accepts.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, What>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(None);
        };
        let text = match self.filled(&value) {
            Err(what) => return Err(self.wrong(key, span, what)),
            Ok(None) => return Ok(None),
            Ok(Some(text)) => text,
        };
        match parse(&text) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(what) => Err(self.wrong(key, span, what)),
        }
    }

    /// A value of any type that `read` accepts.
    pub(crate) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, What>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(None);
        };
        match read(&value) {
            Ok(value) => Ok(Some(value)),
            Err(what) => Err(self.wrong(key, span, what)),
        }
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.value(key, |value| {
            value.as_bool().ok_or(What::Is("true or false"))
        })
    }

    /// A list of strings, each of which `parse` accepts.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, What>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(None);
        };
        let not_a_list = What::Is("a list of strings");
        let Some(array) = value.as_array() else {
            return Err(self.wrong(key, span, not_a_list));
        };
        let mut list = Vec::with_capacity(array.len());
        for element in array {
            let parsed = match element.get_ref().as_str() {
                None => Err(not_a_list.clone()),
                Some(text) => printable(text).and_then(&parse),
            };
            list.push(parsed.map_err(|what| self.wrong(key, element.span(), what))?);
        }
        Ok(Some(list))
    }

    /// A string or a list of strings, which `parse` gets as a list.
    pub(crate) fn one_or_more<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&[&str]) -> Result<T, What>,
    ) -> Result<Option<T>, ConfigError> {
        self.value(key, |value| {
            let list = value.as_array();
            let texts: Option<Vec<&str>> = match list {
                Some(list) => list.iter().map(|one| one.get_ref().as_str()).collect(),
                None => value.as_str().map(|text| vec![text]),
            };
            let texts = texts.filter(|texts| !texts.is_empty());
            let texts = texts.ok_or(What::Is("a string or a list of strings"))?;
            texts
                .iter()
                .try_for_each(|text| printable(text).map(drop))?;
            parse(&texts)
        })
    }

    /// A table of strings whose names `check` accepts.
    pub(crate) fn map(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Result<(), What>,
    ) -> Result<Option<BTreeMap<String, String>>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(None);
        };
        let not_a_map = What::Is("a table of strings");
        let Some(table) = value.as_table() else {
            return Err(self.wrong(key, span, not_a_map));
        };
        let mut map = BTreeMap::new();
        for (name, value) in table {
            let text = match value.get_ref().as_str() {
                None => Err(not_a_map.clone()),
                Some(text) => check(name.get_ref()).map(|()| text),
            };
            let text = text.map_err(|what| self.wrong(key, name.span(), what))?;
            map.insert(name.get_ref().to_string(), text.to_owned());
        }
        Ok(Some(map))
    }

    /// A path: absolute, below `~/`, or relative to the configuration file's folder.
    pub(crate) fn path(&mut self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let source = self.source;
        self.parsed(key, |text| {
            if text == "~" || text.starts_with("~/") {
                let home = source.home.as_deref().ok_or(What::NoHome)?;
                Ok(home.join(text.trim_start_matches(['~', '/'])))
            } else {
                Ok(source.folder.join(Path::new(text)))
            }
        })
    }

    /// A nested table, if present.
    pub(crate) fn table(
        &mut self,
        key: &'static str,
        title: Title<'s>,
    ) -> Result<Option<Section<'s, 'i>>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(None);
        };
        let DeValue::Table(table) = value else {
            return Err(self.wrong(key, span, What::Is("a table")));
        };
        let mut section = Section::new(self.source, title, table);
        section.blanks = self.blanks;
        Ok(Some(section))
    }

    /// The keys and tables of a table of tables, sorted by name.
    pub(crate) fn tables(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<(String, Range<usize>, DeTable<'i>)>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Table(tables) = value else {
            return Err(self.wrong(key, span, What::Is("a table of tables")));
        };
        let mut named = Vec::with_capacity(tables.len());
        for (name, value) in tables {
            let DeValue::Table(table) = value.into_inner() else {
                return Err(self.wrong(key, name.span(), What::Is("a table of tables")));
            };
            named.push((name.get_ref().to_string(), name.span(), table));
        }
        Ok(named)
    }

    /// The tables of an array of tables, each with its position.
    pub(crate) fn array(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<(Range<usize>, DeTable<'i>)>, ConfigError> {
        let Some((value, span)) = self.take(key) else {
            return Ok(Vec::new());
        };
        let not_an_array = What::Is("an array of tables");
        let array = match value {
            DeValue::Array(array) => array,
            DeValue::Table(_) => {
                return Err(self.wrong(key, span, What::SingleBrackets { key }));
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => return Err(self.wrong(key, span, not_an_array)),
        };
        let mut tables = Vec::with_capacity(array.len());
        for element in DeArray::into_iter(array) {
            let span = element.span();
            let DeValue::Table(table) = element.into_inner() else {
                return Err(self.wrong(key, span, not_an_array));
            };
            tables.push((span, table));
        }
        Ok(tables)
    }

    /// The position of a value, without reading it.
    pub(crate) fn place_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get(key).map(toml::Spanned::span)
    }

    pub(crate) fn absent(&self, at: usize, key: &'static str) -> ConfigError {
        let within = self.title.to_string();
        self.source.problem(at, Problem::Absent { key, within })
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'i>> {
        self.asked.push(key);
        let value = self.table.remove(key)?;
        let span = value.span();
        Some((value.into_inner(), span))
    }

    fn wrong(&self, key: &'static str, at: Range<usize>, what: What) -> ConfigError {
        let problem = Problem::Value {
            key: key.to_owned(),
            within: self.title.to_string(),
            what,
        };
        self.source.problem(at.start, problem)
    }

    /// The string in `value` with its placeholders replaced; `None` if one has no value.
    fn filled(&mut self, value: &DeValue<'_>) -> Result<Option<String>, What> {
        let text = value.as_str().ok_or(What::Is("a string"))?;
        let text = printable(text)?;
        let Some(Blanks { base, tenant }) = self.blanks else {
            return Ok(Some(text.to_owned()));
        };
        let mut filled = text.to_owned();
        for (name, blank, with) in [("base", "{base}", base), ("tenant", "{tenant}", tenant)] {
            if !text.contains(blank) {
                continue;
            }
            let Some(with) = with else {
                self.unfilled.get_or_insert(name);
                return Ok(None);
            };
            filled = filled.replace(blank, with);
        }
        Ok(Some(filled))
    }
}

/// Checks what every string here must satisfy.
pub(crate) fn printable(text: &str) -> Result<&str, What> {
    if text.is_empty() {
        Err(What::Is("a non-empty string"))
    } else if text.contains(char::is_control) {
        Err(What::Is("free of control characters"))
    } else {
        Ok(text)
    }
}
