//! Errors in the configuration, reported without quoting it.
//!
//! A value may be a secret that was pasted into the wrong line, so no message contains a value or
//! a line of a file. The key, its place and what was expected are enough to find it.

use std::fmt;
use std::io;
use std::path::Path;

use super::access::access_fix;
use super::access_list::Weakness;
use super::file::Untrusted;
use super::shown::shown_at_home;
use crate::shell::{end_command, list_command, quoted_at_home};
use crate::store::{Holder, by};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{place}: {problem}")]
    Entry { place: Place, problem: Box<Problem> },
    /// An environment variable or a flag, by its name.
    #[error("{name} {what}")]
    Given { name: &'static str, what: What },
    #[error("cannot read {file}")]
    Unreadable {
        file: String,
        #[source]
        cause: io::Error,
        /// How the user gets access to it.
        fix: Option<String>,
    },
    #[error("cannot write {file}")]
    Unwritable {
        file: String,
        #[source]
        cause: io::Error,
        /// How the user gets access to it.
        fix: Option<String>,
    },
    #[error("{} has been changing {file} for too long", by(holder.as_ref()))]
    Busy {
        file: String,
        holder: Option<Holder>,
    },
    #[error("{file} {why}")]
    NotAnObject { file: String, why: NotAnObject },
    #[error("{file} {why}")]
    Untrusted { file: String, why: Untrusted },
    #[error("{file}, which HALLPASS_CONFIG names, does not exist")]
    Absent { file: String },
    #[error("{name} must be an absolute path")]
    RelativeFolder { name: &'static str },
    #[error("no home folder found: HOME is not set, and the user database has none")]
    NoHome,
    #[error("unknown provider `{name}`{}", DidYouMean(similar))]
    UnknownProvider {
        /// Shortened, and safe to print.
        name: String,
        similar: Option<String>,
        known: Vec<String>,
    },
    #[error("no provider is configured")]
    NoProvider { file: String },
    #[error("several providers are configured and none is the default")]
    SeveralProviders { known: Vec<String> },
    #[error("provider `{}` has no {}", .0.lines.provider, .0.key)]
    Missing(Box<Missing>),
    #[error("{0}")]
    Unregistered(Box<Unregistered>),
    #[error(
        "provider `{provider}` requests an ID token (scope `openid`) but has no issuer to verify it against"
    )]
    OpenIdWithoutIssuer { provider: String },
    #[error("preset `{preset}` is for a single server and has no `{key}`")]
    NotInPreset {
        preset: &'static str,
        key: &'static str,
    },
    #[error("the client secret file {file} of provider `{provider}` {why}")]
    Secret {
        provider: String,
        file: String,
        why: BadSecret,
    },
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, home: Option<&Path>, cause: io::Error) -> Self {
        Self::Unreadable {
            file: shown_at_home(path, home),
            fix: access_fix(path, home, &cause),
            cause,
        }
    }

    pub(crate) fn unwritable(path: &Path, home: Option<&Path>, cause: io::Error) -> Self {
        Self::Unwritable {
            file: shown_at_home(path, home),
            fix: access_fix(path, home, &cause),
            cause,
        }
    }

    /// Whether the machine is at fault and not the configuration: a full or failing disk, a
    /// read-only file system, another process.
    pub(crate) fn is_the_machines(&self) -> bool {
        match self {
            Self::Unwritable { .. } | Self::Busy { .. } => true,
            Self::Unreadable { cause, .. }
            | Self::Secret {
                why: BadSecret::Unreadable(cause),
                ..
            } => !matches!(
                cause.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
            ),
            Self::Entry { .. }
            | Self::Given { .. }
            | Self::NotAnObject { .. }
            | Self::Untrusted { .. }
            | Self::Absent { .. }
            | Self::RelativeFolder { .. }
            | Self::NoHome
            | Self::UnknownProvider { .. }
            | Self::NoProvider { .. }
            | Self::SeveralProviders { .. }
            | Self::Missing(_)
            | Self::Unregistered(_)
            | Self::OpenIdWithoutIssuer { .. }
            | Self::NotInPreset { .. }
            | Self::Secret { .. } => false,
        }
    }

    /// What the user can do about it: lines to run or to write.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Entry { place, problem } => Some(problem.hint().unwrap_or_else(|| {
                let Place { file, line } = place;
                format!("correct line {line} of {file}, then run the command again")
            })),
            Self::Untrusted { file, why } => why_untrusted(file, why),
            Self::Absent { .. } => {
                Some("create it, or unset HALLPASS_CONFIG to use the default file".to_owned())
            }
            Self::NoHome => Some("set HOME, or HALLPASS_CONFIG, to an absolute path".to_owned()),
            Self::UnknownProvider { known, .. } => {
                Some(format!("known providers: {}", known.join(", ")))
            }
            Self::NoProvider { file } => Some(format!(
                "name a provider (`hallpass get-token codeberg`), give an issuer (`hallpass \
                 get-token --issuer-url URL --client-id ID`), or configure one in {file}"
            )),
            Self::SeveralProviders { known } => Some(format!(
                "name one of {}, or set `default_provider`",
                known.join(", ")
            )),
            Self::Missing(missing) => Some(missing.hint()),
            Self::Unregistered(unregistered) => Some(unregistered.hint()),
            Self::OpenIdWithoutIssuer { .. } => {
                Some("set `issuer`, or remove `openid` from `scopes`".to_owned())
            }
            Self::NotInPreset { .. } => Some(
                "set `issuer`, or `authorization_endpoint` and `token_endpoint`, instead"
                    .to_owned(),
            ),
            Self::Secret { file, why, .. } => match why {
                BadSecret::Untrusted(why) => why_untrusted(file, why),
                BadSecret::Absent | BadSecret::Empty | BadSecret::Lines => {
                    Some("the file must contain the secret on one line and nothing else".to_owned())
                }
                BadSecret::Unreadable(_) => None,
            },
            Self::Unreadable { fix, .. } => fix
                .as_ref()
                .map(|fix| format!("{fix}, then run the command again")),
            Self::Unwritable { fix: Some(fix), .. } => Some(format!(
                "{fix}, then run the command again; nothing was changed"
            )),
            Self::Unwritable {
                file, fix: None, ..
            } => Some(format!(
                "check `{}` and its folder; nothing was changed",
                list_command(&quoted_at_home(file))
            )),
            Self::Busy { holder, .. } => Some(held_by(holder.as_ref())),
            Self::NotAnObject { file, why } => Some(format!(
                "correct line {} of {file}, then run the command again; a JSON file has no \
                 comments, and no comma before a closing bracket",
                why.line
            )),
            Self::Given { .. } | Self::RelativeFolder { .. } => None,
        }
    }
}

/// What to do about another process that holds a lock.
pub(crate) fn held_by(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, .. }) => format!(
            "wait until that process has finished, or end it with `{}`; then run the same command \
             again",
            end_command(*pid)
        ),
        None => "run the same command again when the other hallpass has finished".to_owned(),
    }
}

fn why_untrusted(file: &str, why: &Untrusted) -> Option<String> {
    // A path that a shell would interpret is not offered as part of a command.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/~._-+@".contains(c);
    let run = |command| {
        file.chars()
            .all(plain)
            .then(|| format!("run: {command} {file}"))
    };
    match why {
        Untrusted::Writable { .. } => run("chmod go-w"),
        Untrusted::Readable { .. } => run("chmod 600"),
        Untrusted::Owner { .. } => {
            Some("read it, and if you trust it, replace it with your own copy".to_owned())
        }
        Untrusted::UnknownOwner { .. } => Some(
            "make a copy that you own, or a link to it that you own; hallpass follows your link if \
             neither the file nor any folder above it is writable by its group or by others"
                .to_owned(),
        ),
        Untrusted::NotUtf8 => Some(format!(
            "save {file} as UTF-8 without a byte order mark, then run the command again"
        )),
        Untrusted::NotAFile | Untrusted::TooLarge => Some(format!(
            "move {file} away, or replace it with the right file; then run the command again"
        )),
        Untrusted::WeakFile(weakness) => Some(protect_file(file, weakness)),
        Untrusted::WeakFolder(weakness) => Some(protect_folder(file, weakness)),
        Untrusted::DanglingLink => Some(format!(
            "restore the file that {file} leads to, or remove the link; then run the command again"
        )),
    }
}

/// How an administrator protects the system-wide file on Windows, if its folder is protected.
///
/// The words in quotation marks are the same for cmd.exe and PowerShell.
fn protect_file(file: &str, weakness: &Weakness) -> String {
    match weakness {
        Weakness::Link => {
            format!("as an administrator, replace the link {file} with the file itself")
        }
        Weakness::Owner(_) | Weakness::Writer(_) | Weakness::NoList | Weakness::Unknown => format!(
            "another user may have written {file}. As an administrator, delete it if it isn't \
             yours; otherwise run:\ntakeown /A /F \"{file}\"\nicacls \"{file}\" /reset"
        ),
        // The folder may not pass on its own access list.
        Weakness::Unreadable => format!(
            "as an administrator, delete {file} if it isn't yours; otherwise run:\ntakeown /A /F \
             \"{file}\"\nicacls \"{file}\" /reset\nicacls \"{file}\" /grant \"*S-1-5-32-545:R\""
        ),
    }
}

/// How an administrator protects its folder. The folder of another user is replaced, because it may
/// contain links to any place. The numbers are SYSTEM, Administrators and Users, whose names depend
/// on the language of Windows.
fn protect_folder(file: &str, weakness: &Weakness) -> String {
    let folder = file.rsplit_once('\\').map_or(file, |(folder, _)| folder);
    let protect = format!(
        "icacls \"{folder}\" /inheritance:r /grant:r \"*S-1-5-18:(OI)(CI)F\" \
         \"*S-1-5-32-544:(OI)(CI)F\" \"*S-1-5-32-545:(OI)(CI)RX\""
    );
    let create = format!("mkdir \"{folder}\"\ntakeown /A /F \"{folder}\"\n{protect}");
    match weakness {
        Weakness::Writer(_) => {
            format!("as an administrator, run:\nicacls \"{folder}\" /reset\n{protect}")
        }
        // This removes the link alone. Other ways of deleting it may delete what it leads to.
        Weakness::Link => format!(
            "another user may have created the link {folder}. As an administrator, run:\ncmd /c \
             rmdir \"{folder}\"\n{create}"
        ),
        Weakness::Owner(_) | Weakness::NoList | Weakness::Unknown | Weakness::Unreadable => {
            format!(
                "another user may have created {folder}. As an administrator, save a copy of \
                 {file} if it is yours, delete {folder}, then run:\n{create}"
            )
        }
    }
}

/// Why a text is not a JSON object, and where. Both numbers count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a JSON object: {what} at line {line}, column {column}")]
pub struct NotAnObject {
    what: String,
    line: usize,
    column: usize,
}

impl NotAnObject {
    /// `error` is the parser's; `None` if the text is another JSON value.
    pub(crate) fn of(text: &str, error: Option<&serde_json::Error>) -> Self {
        // The parser's messages about syntax never quote; those about types quote the value.
        if let Some(error) = error.filter(|error| !error.is_data()) {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or_default();
            return Self {
                what: what.to_owned(),
                line: error.line().max(1),
                column: error.column().max(1),
            };
        }
        let before = &text[..text.len() - text.trim_start().len()];
        Self {
            what: "expected `{`".to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        }
    }
}

/// A file, and a line that is counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong in a file. `within` is empty at the top, else ` in [providers.corp]`.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The parser's own message, which says what it expected and never quotes.
    #[error("{0}")]
    Syntax(String),
    #[error("{what} is defined twice")]
    Twice { what: String },
    #[error("unknown key `{key}`{within}{}", DidYouMean(similar))]
    UnknownKey {
        key: String,
        within: String,
        similar: Option<String>,
    },
    #[error("`{key}`{within} {what}")]
    Value {
        key: String,
        within: String,
        what: What,
    },
    #[error("`{key}`{within}: secrets do not belong in the configuration")]
    InlineSecret { key: String, within: String },
    #[error(
        "a provider's name consists of letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
    )]
    ProviderName,
    #[error("`{key}` is missing{within}")]
    Absent { key: &'static str, within: String },
}

impl Problem {
    fn hint(&self) -> Option<String> {
        match self {
            Self::InlineSecret { .. } => Some(
                "put it in a separate file that only you can read, and set \
                 client_secret_file = \"/path/to/that/file\""
                    .to_owned(),
            ),
            Self::Value { what, .. } => match what {
                What::Tenant => Some(
                    "the app registration page shows it as \"Directory (tenant) ID\"".to_owned(),
                ),
                What::UnknownPreset { known, .. } => Some(format!("presets: {known}")),
                What::Is(_)
                | What::OneOf(_)
                | What::SingleBrackets { .. }
                | What::RedirectUri(_)
                | What::Pattern(_)
                | What::Reserved { .. }
                | What::UnknownProvider { .. }
                | What::NoHome => None,
            },
            Self::Syntax(_)
            | Self::Twice { .. }
            | Self::UnknownKey { .. }
            | Self::ProviderName
            | Self::Absent { .. } => None,
        }
    }
}

/// What is wrong with a value: the text that follows its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    #[error("must be {0}")]
    Is(&'static str),
    #[error("must be one of {0}")]
    OneOf(String),
    #[error("is a list of tables: write [[{key}]], with two brackets on each side")]
    SingleBrackets { key: &'static str },
    #[error("is not a redirect URI: {0}")]
    RedirectUri(String),
    #[error("{0}")]
    Pattern(String),
    #[error("must not set `{parameter}`, which hallpass sets for each request")]
    Reserved { parameter: String },
    #[error("must be a directory ID (a GUID): a directory's other names have a different issuer")]
    Tenant,
    #[error("is not a known preset{}", DidYouMean(similar))]
    UnknownPreset {
        similar: Option<String>,
        known: String,
    },
    #[error("is not a known provider{}", DidYouMean(similar))]
    UnknownProvider { similar: Option<String> },
    #[error("begins with ~, but no home folder was found")]
    NoHome,
}

/// Why a client secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    #[error("does not exist")]
    Absent,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("{0}")]
    Untrusted(Untrusted),
    #[error("is empty")]
    Empty,
    #[error("has more than one line")]
    Lines,
}

/// A key without which a provider cannot be used.
#[derive(Debug)]
pub struct Missing {
    pub key: &'static str,
    pub example: &'static str,
    pub lines: Lines,
}

impl Missing {
    fn hint(&self) -> String {
        let Self {
            key,
            example,
            lines,
        } = self;
        lines.with(&[(key, example)])
    }
}

/// Where to register hallpass, and what to run afterwards.
#[derive(Debug)]
pub struct Unregistered {
    pub register_url: Option<String>,
    pub note: Option<String>,
    pub redirect_uri: String,
    pub secret_wanted: bool,
    /// What else the provider lacks, and an example of it.
    pub unfilled: Option<(&'static str, &'static str)>,
    pub lines: Lines,
}

impl fmt::Display for Unregistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider `{}` has no ", self.lines.provider)?;
        if let Some((key, _)) = self.unfilled {
            write!(f, "{key} and no ")?;
        }
        f.write_str("client_id: hallpass must first be registered there")
    }
}

impl Unregistered {
    fn hint(&self) -> String {
        let mut hint = self.where_to();
        hint.push_str("\nthen ");
        let mut wanted: Vec<_> = self.unfilled.into_iter().collect();
        wanted.push(("client_id", "the client ID you get"));
        if self.secret_wanted {
            wanted.push(("client_secret_file", "~/.config/hallpass/client-secret"));
        }
        hint.push_str(&self.lines.with(&wanted));
        hint
    }

    /// Where to register, and what to enter there.
    pub fn where_to(&self) -> String {
        let Self {
            register_url,
            note,
            redirect_uri,
            secret_wanted: _,
            unfilled: _,
            lines: _,
        } = self;
        let mut hint = match register_url {
            Some(url) => format!("register an application at {url}"),
            None => {
                "register an application (a public, native client) with the provider".to_owned()
            }
        };
        hint.push_str("\n  redirect URI: ");
        hint.push_str(redirect_uri);
        if let Some(note) = note {
            hint.push_str("\n  ");
            hint.push_str(note);
        }
        hint
    }
}

/// The lines of a configuration file that would help.
#[derive(Debug)]
pub struct Lines {
    pub provider: String,
    pub preset: Option<&'static str>,
    /// Whether the file already has the provider's section.
    pub configured: bool,
    pub file: String,
}

impl Lines {
    fn with(&self, entries: &[(&str, &str)]) -> String {
        let Self {
            provider,
            preset,
            configured,
            file,
        } = self;
        // An unquoted dot would start a nested table.
        let section = if provider.contains('.') {
            format!("[providers.\"{provider}\"]")
        } else {
            format!("[providers.{provider}]")
        };
        let mut text = if *configured {
            format!("add to {section} in {file}:\n")
        } else {
            format!("add to {file}:\n\n  {section}")
        };
        let preset = preset.filter(|_| !configured).map(|id| ("preset", id));
        for (key, value) in preset.iter().chain(entries) {
            text.extend(["\n  ", key, " = \"", value, "\""]);
        }
        text
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = r"C:\ProgramData\hallpass";
    const FILE: &str = r"C:\ProgramData\hallpass\config.toml";
    const CREATE: &str = r#"
mkdir "C:\ProgramData\hallpass"
takeown /A /F "C:\ProgramData\hallpass"
icacls "C:\ProgramData\hallpass" /inheritance:r /grant:r "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*S-1-5-32-545:(OI)(CI)RX""#;

    fn hint(why: Untrusted) -> String {
        let file = FILE.to_owned();
        ConfigError::Untrusted { file, why }.hint().unwrap()
    }

    #[test]
    fn a_link_in_place_of_the_systems_folder_is_removed_alone() {
        let hint = hint(Untrusted::WeakFolder(Weakness::Link));
        let remove = format!("\ncmd /c rmdir \"{FOLDER}\"");
        assert!(hint.ends_with(&(remove + CREATE)), "{hint}");
        assert!(!hint.contains("copy"), "{hint}");
    }

    #[test]
    fn a_systems_folder_that_users_cannot_read_is_replaced_by_an_administrator() {
        let why = Untrusted::WeakFolder(Weakness::Unreadable);
        let message = why.to_string();
        assert!(message.contains("can't be read by you"), "{message}");
        let hint = hint(why);
        assert!(hint.contains("As an administrator"), "{hint}");
        assert!(hint.contains(&format!("delete {FOLDER}, then")), "{hint}");
        assert!(hint.ends_with(CREATE), "{hint}");
    }

    #[test]
    fn a_systems_file_that_users_cannot_read_is_made_readable_by_an_administrator() {
        let hint = hint(Untrusted::WeakFile(Weakness::Unreadable));
        assert!(hint.starts_with("as an administrator"), "{hint}");
        let grant = format!("icacls \"{FILE}\" /grant \"*S-1-5-32-545:R\"");
        assert!(hint.ends_with(&grant), "{hint}");
    }
}
