//! A question and its resolution, encoded so that a repeated question needn't be resolved again.
//!
//! The question is everything that decides which token is the answer: the words of the command line
//! and of the tool's request, each environment variable that was read, the bytes of the
//! configuration, and the version of this program. The resolution names a record and the form of the
//! reply. It doesn't say whether that record still holds a valid token. Nothing is decided here: a
//! question that differs in one byte is another question.
//!
//! ```text
//! version  words …  count  (variable  value) …  system's file  user's file
//! ```
//!
//! Each part is preceded by its length.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use zeroize::Zeroizing;

use crate::credential::TokenKind;
use crate::env::Env;
use crate::provider::presets;
use crate::store::RecordName;

/// The version of this format; increase it when the meaning of a part changes.
const FORMAT: u8 = 2;

/// The part of a question that is known before any file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    words: Vec<u8>,
}

impl Question {
    /// Different lists of words are always different questions.
    pub fn new<'w>(words: impl IntoIterator<Item = Option<&'w [u8]>>) -> Self {
        let mut parts = Parts::default();
        let version = [&[FORMAT][..], &presets::EDITION.to_le_bytes(), VERSION].concat();
        parts.add(Some(&version));
        for word in words {
            parts.add(word);
        }
        Self { words: parts.0 }
    }

    /// The place of its resolution. A few places are enough for the questions of a day; the later of
    /// two questions with the same place replaces the earlier one.
    pub fn slot(&self, env: &Env) -> u8 {
        let mut hash = DefaultHasher::new();
        hash.write(&self.words);
        // Switching between two configurations must not replace each other's resolutions.
        env.var_unrecorded("HALLPASS_CONFIG").hash(&mut hash);
        let [slot, ..] = hash.finish().to_le_bytes();
        slot
    }

    /// The whole question, for a comparison with a later one.
    pub fn encode(&self, env: &Env, files: [Option<&str>; 2]) -> Vec<u8> {
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

    /// Whether it equals an encoded one. `files_are` reads the files, and is called only if everything
    /// else is equal.
    pub fn equals(
        &self,
        encoded: &[u8],
        env: &Env,
        files_are: impl FnOnce([Option<&[u8]>; 2]) -> bool,
    ) -> bool {
        let same = || -> Result<bool, Malformed> {
            let Some(rest) = encoded.strip_prefix(self.words.as_slice()) else {
                return Ok(false);
            };
            let mut rest = Rest(rest);
            let count = rest.bytes()?.try_into().map_err(|_| Malformed)?;
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

/// The result of resolving a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub record: RecordName,
    pub token: TokenKind,
    /// The user name that goes with the token.
    pub username: String,
    /// See [`crate::credential::Credential::bearer`].
    pub bearer: bool,
    /// How the command replies; only that command knows the values.
    pub reply_style: String,
    /// A record of credentials that the tool stored for the same resource, which take precedence.
    /// While this record exists, the resolution doesn't apply.
    pub shadowed_by: Option<RecordName>,
}

impl Resolution {
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
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

    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let mut rest = Rest(encoded);
        let mut read = || -> Result<Self, Malformed> {
            Ok(Self {
                record: RecordName::session_named(rest.text()?).ok_or(Malformed)?,
                token: match rest.bytes()? {
                    b"access" => TokenKind::Access,
                    b"id" => TokenKind::Id,
                    _ => return Err(Malformed),
                },
                username: rest.text()?.to_owned(),
                bearer: rest.bytes()? == [1],
                reply_style: rest.text()?.to_owned(),
                shadowed_by: match rest.part()? {
                    Some(name) => {
                        let name = std::str::from_utf8(name).map_err(|_| Malformed)?;
                        Some(RecordName::stored_credentials_named(name).ok_or(Malformed)?)
                    }
                    None => None,
                },
            })
        };
        let read = read().ok()?;
        rest.0.is_empty().then_some(read)
    }
}

/// Parts, each preceded by its length.
#[derive(Default)]
struct Parts(Vec<u8>);

/// The length of an absent part, which differs from an empty one.
const ABSENT: u32 = u32::MAX;

impl Parts {
    fn add(&mut self, part: Option<&[u8]>) {
        let len = part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT));
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(part.unwrap_or_default());
    }
}

struct Rest<'r>(&'r [u8]);

/// A part is missing or has the wrong type.
struct Malformed;

impl<'r> Rest<'r> {
    /// The next part; `None` if it is absent.
    fn part(&mut self) -> Result<Option<&'r [u8]>, Malformed> {
        let (len, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        let len = u32::from_le_bytes(*len);
        if len == ABSENT {
            self.0 = rest;
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (part, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Some(part))
    }

    fn bytes(&mut self) -> Result<&'r [u8], Malformed> {
        self.part()?.ok_or(Malformed)
    }

    fn text(&mut self) -> Result<&'r str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
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
    fn a_question_equals_only_itself() {
        let asked = question(&["get-token", "corp"]);
        let files = [None, Some("x = 1")];
        let encoded = asked.encode(&env(&[("A", "1")]), files);
        let is = |question: &Question, vars: &[(&str, &str)], files: [Option<&str>; 2]| {
            question.equals(&encoded, &env(vars), |contents| {
                contents == files.map(|file| file.map(str::as_bytes))
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
            !asked.equals(&[&encoded[..], b"x"].concat(), &env(&[("A", "1")]), |_| {
                true
            })
        );
        for len in 0..encoded.len() {
            assert!(
                !asked.equals(&encoded[..len], &env(&[("A", "1")]), |_| true),
                "{len}"
            );
        }
    }

    #[test]
    fn another_program_version_asks_another_question() {
        let encoded = question(&["a"]).encode(&env(&[]), [None, None]);
        // The format, the presets and the version follow the length.
        for at in 4..4 + 1 + 8 + VERSION.len() {
            let mut changed = encoded.clone();
            changed[at] ^= 1;
            assert!(
                !question(&["a"]).equals(&changed, &env(&[]), |_| true),
                "{at}"
            );
        }
    }

    #[test]
    fn a_resolution_decodes_to_itself_and_damage_is_detected() {
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
        let encoded = resolution.encode();
        assert_eq!(Resolution::decode(&encoded), Some(resolution));
        for len in 0..encoded.len() {
            assert_eq!(Resolution::decode(&encoded[..len]), None, "{len}");
        }
        assert_eq!(Resolution::decode(&[&encoded[..], b"x"].concat()), None);
    }
}
