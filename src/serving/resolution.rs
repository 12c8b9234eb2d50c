//! A question and what it came to, so that the same question need not be worked out twice.
//!
//! The question is everything that decides which token is answered: the words of the command line
//! and of the tool, each variable that was asked for, the bytes of the configuration, the edition
//! of this program. What it came to names a record and how it is replied; whether that record
//! still holds a token, and a fresh one, is not part of it. Nothing is decided here: a question
//! that differs in one byte is another question.
//!
//! ```text
//! edition  words …  count  (variable  value) …  system's file  user's file
//! ```
//!
//! Each part has its length before it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use zeroize::Zeroizing;

use crate::credential::TokenKind;
use crate::env::Env;
use crate::provider::presets;
use crate::store::RecordName;

/// The version of this format; increase it when the meaning of a part changes.
const FORM: u8 = 2;

/// What is asked, as far as it is known before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    words: Vec<u8>,
}

impl Question {
    /// `words` in their order; no two lists of words are one question.
    pub fn new<'w>(words: impl IntoIterator<Item = Option<&'w [u8]>>) -> Self {
        let mut parts = Parts::default();
        let edition = [&[FORM][..], &presets::EDITION.to_le_bytes(), VERSION].concat();
        parts.add(Some(&edition));
        for word in words {
            parts.add(word);
        }
        Self { words: parts.0 }
    }

    /// Where its resolution is kept. Few places are enough, for few questions are asked in a day:
    /// of two that meet, the later one stays.
    pub fn slot(&self, env: &Env) -> u8 {
        let mut hash = DefaultHasher::new();
        hash.write(&self.words);
        // Whoever goes from one configuration to another and back meets both again.
        env.var_unrecorded("HALLPASS_CONFIG").hash(&mut hash);
        let [slot, ..] = hash.finish().to_le_bytes();
        slot
    }

    /// The whole question, to be compared with a later one.
    pub fn written(&self, env: &Env, files: [Option<&str>; 2]) -> Vec<u8> {
        let mut parts = Parts(self.words.clone());
        let names = env.asked_for();
        parts.add(Some(&names.len().to_le_bytes()));
        for name in names {
            parts.add(Some(name.as_bytes()));
            let value = env.var_unrecorded(name);
            parts.add(value.map(|value| value.as_encoded_bytes()));
        }
        for file in files {
            parts.add(file.map(str::as_bytes));
        }
        parts.0
    }

    /// Whether it is the one that was written. The files are read last, and only then.
    pub fn is(
        &self,
        written: &[u8],
        env: &Env,
        files_are: impl FnOnce([Option<&[u8]>; 2]) -> bool,
    ) -> bool {
        let same = || -> Result<bool, Cut> {
            let Some(rest) = written.strip_prefix(self.words.as_slice()) else {
                return Ok(false);
            };
            let mut rest = Rest(rest);
            let count = rest.bytes()?.try_into().map_err(|_| Cut)?;
            for _ in 0..usize::from_le_bytes(count) {
                let value = env.var_unrecorded(rest.text()?);
                if rest.part()? != value.map(|value| value.as_encoded_bytes()) {
                    return Ok(false);
                }
            }
            let files = [rest.part()?, rest.part()?];
            Ok(rest.0.is_empty() && files_are(files))
        };
        same().unwrap_or(false)
    }
}

const VERSION: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub record: RecordName,
    pub token: TokenKind,
    /// The user name that goes with the token.
    pub username: String,
    /// See [`crate::credential::Credential::bearer`].
    pub bearer: bool,
    /// How the command replies, in its own words.
    pub reply_style: String,
    /// What a tool hands over for the same resource goes before: while this is there, all of it
    /// comes to something else.
    pub shadowed_by: Option<RecordName>,
}

impl Resolution {
    pub fn written(&self) -> Zeroizing<Vec<u8>> {
        let Self {
            record,
            token,
            username,
            bearer,
            reply_style,
            shadowed_by,
        } = self;
        let token: &[u8] = match token {
            TokenKind::Access => b"access",
            TokenKind::Id => b"id",
        };
        let mut parts = Parts::default();
        parts.add(Some(record.file().as_bytes()));
        parts.add(Some(token));
        parts.add(Some(username.as_bytes()));
        parts.add(Some(&[u8::from(*bearer)]));
        parts.add(Some(reply_style.as_bytes()));
        parts.add(shadowed_by.as_ref().map(|record| record.file().as_bytes()));
        Zeroizing::new(parts.0)
    }

    pub fn read(written: &[u8]) -> Option<Self> {
        let mut rest = Rest(written);
        let mut read = || -> Result<Self, Cut> {
            Ok(Self {
                record: RecordName::session_named(rest.text()?).ok_or(Cut)?,
                token: match rest.bytes()? {
                    b"access" => TokenKind::Access,
                    b"id" => TokenKind::Id,
                    _ => return Err(Cut),
                },
                username: rest.text()?.to_owned(),
                bearer: rest.bytes()? == [1],
                reply_style: rest.text()?.to_owned(),
                shadowed_by: match rest.part()? {
                    Some(name) => {
                        let name = std::str::from_utf8(name).map_err(|_| Cut)?;
                        Some(RecordName::stored_credentials_named(name).ok_or(Cut)?)
                    }
                    None => None,
                },
            })
        };
        let read = read().ok()?;
        rest.0.is_empty().then_some(read)
    }
}

/// Parts one after the other, each behind its length.
#[derive(Default)]
struct Parts(Vec<u8>);

/// In the place of a length: there is none, which is not the same as an empty one.
const ABSENT: u32 = u32::MAX;

impl Parts {
    fn add(&mut self, part: Option<&[u8]>) {
        let len = part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT));
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(part.unwrap_or_default());
    }
}

struct Rest<'r>(&'r [u8]);

/// There is no such part, or it is none of its kind.
struct Cut;

impl<'r> Rest<'r> {
    /// The next part, which may be an absent one.
    fn part(&mut self) -> Result<Option<&'r [u8]>, Cut> {
        let (len, rest) = self.0.split_first_chunk().ok_or(Cut)?;
        let len = u32::from_le_bytes(*len);
        if len == ABSENT {
            self.0 = rest;
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| Cut)?;
        let (part, rest) = rest.split_at_checked(len).ok_or(Cut)?;
        self.0 = rest;
        Ok(Some(part))
    }

    fn bytes(&mut self) -> Result<&'r [u8], Cut> {
        self.part()?.ok_or(Cut)
    }

    fn text(&mut self) -> Result<&'r str, Cut> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(words: &[&str]) -> Question {
        Question::new(words.iter().map(|word| Some(word.as_bytes())))
    }

    fn env(vars: &[(&str, &str)]) -> Env {
        let env = Env::new(Vec::<&str>::new(), vars.iter().copied());
        env.var("A");
        env.var("B");
        env
    }

    #[test]
    fn a_question_is_itself_and_no_other() {
        let asked = question(&["get-token", "corp"]);
        let files = [None, Some("x = 1")];
        let written = asked.written(&env(&[("A", "1")]), files);
        let is = |question: &Question, vars: &[(&str, &str)], files: [Option<&str>; 2]| {
            question.is(&written, &env(vars), |were| {
                were == files.map(|file| file.map(str::as_bytes))
            })
        };
        assert!(is(&asked, &[("A", "1")], files));
        assert!(is(&asked, &[("A", "1"), ("C", "9")], files));
        for (words, vars, files, why) in [
            (
                &["get-token", "corp2"][..],
                &[("A", "1")][..],
                files,
                "another word",
            ),
            (&["get-token"], &[("A", "1")], files, "a word less"),
            (
                &["get-token", "corp", ""],
                &[("A", "1")],
                files,
                "a word more",
            ),
            (
                &["get-tokenc", "orp"],
                &[("A", "1")],
                files,
                "words cut elsewhere",
            ),
            (
                &["get-token", "corp"],
                &[("A", "2")],
                files,
                "another value",
            ),
            (&["get-token", "corp"], &[], files, "no value"),
            (
                &["get-token", "corp"],
                &[("A", "1"), ("B", "1")],
                files,
                "a value more",
            ),
            (
                &["get-token", "corp"],
                &[("A", "1")],
                [None, Some("x = 2")],
                "another file",
            ),
            (
                &["get-token", "corp"],
                &[("A", "1")],
                [None, None],
                "no file",
            ),
            (
                &["get-token", "corp"],
                &[("A", "1")],
                [Some(""), Some("x = 1")],
                "a file more",
            ),
        ] {
            assert!(!is(&question(words), vars, files), "{why}");
        }
        assert!(
            !asked.is(&[&written[..], b"x"].concat(), &env(&[("A", "1")]), |_| {
                true
            })
        );
        for len in 0..written.len() {
            assert!(
                !asked.is(&written[..len], &env(&[("A", "1")]), |_| true),
                "{len}"
            );
        }
    }

    #[test]
    fn another_edition_asks_another_question() {
        let written = question(&["a"]).written(&env(&[]), [None, None]);
        // Its reply_style, the presets, the version: the first bytes behind the length.
        for at in 4..4 + 1 + 8 + VERSION.len() {
            let mut changed = written.clone();
            changed[at] ^= 1;
            assert!(!question(&["a"]).is(&changed, &env(&[]), |_| true), "{at}");
        }
    }

    #[test]
    fn a_resolution_is_read_as_it_was_written_or_not_at_all() {
        let resolution = Resolution {
            record: RecordName::session(b"x"),
            token: TokenKind::Id,
            username: "oauth2".to_owned(),
            bearer: true,
            reply_style: "raw".to_owned(),
            shadowed_by: Some(RecordName::stored_credentials(
                "docker",
                "https://registry.example",
            )),
        };
        let written = resolution.written();
        assert_eq!(Resolution::read(&written), Some(resolution));
        for len in 0..written.len() {
            assert_eq!(Resolution::read(&written[..len]), None, "{len}");
        }
        assert_eq!(Resolution::read(&[&written[..], b"x"].concat()), None);
    }
}
