//! The error code with which an authorization server refuses (RFC 6749 §4.1.2.1, §5.2).
//!
//! Its text is a foreign server's: only what the RFC allows in a code comes through, and the
//! description is made fit for a terminal. A careless server may quote in it what it was sent, so it
//! is shown only once the secrets of the request have been taken out. Neither belongs in an HTML
//! page.

use std::fmt;

use serde_json::Value;
use url::form_urlencoded;

use super::sanitized;
use crate::secret::Secret;

/// The longest code that is believed to be one; the registered ones stay below 40.
const LONGEST_CODE: usize = 100;

/// A secret that is shorter than this may be part of an ordinary word.
const SHORTEST_REPLACED: usize = 8;

/// An OAuth error code, and what the server says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    code: String,
    /// The server's `error_description` as it came. It is never shown.
    unchecked: Option<Secret<String>>,
    /// The description without secrets, on one line, and not too long.
    description: Option<String>,
}

impl ErrorCode {
    /// Takes the code as it is, or `invalid` where it holds what RFC 6749 §4.1.2.1 forbids. The
    /// description is not shown before [`Self::without`] was called.
    pub fn new(code: &str, description: Option<&str>) -> Self {
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        let plausible = !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(allowed);
        Self {
            code: if plausible { code } else { "invalid" }.to_owned(),
            unchecked: description.map(Secret::from),
            description: None,
        }
    }

    /// An error of another form than RFC 6749 §5.2 has it, which some gateways send. Its texts are
    /// for a person; no code is taken out of it.
    pub fn of_object(error: &Value) -> Self {
        let texts = |member: &str| match error.get(member) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        let words: Vec<String> = ["code", "status", "type", "message"]
            .into_iter()
            .filter_map(texts)
            .collect();
        let description = format!("an error object instead of a code: {}", words.join(", "));
        Self::new("", Some(description.trim_end_matches([':', ' '])))
    }

    /// Takes these secrets out of what the server says, so that the rest can be shown.
    #[must_use]
    pub fn without(mut self, secrets: &[Secret<String>]) -> Self {
        let mut text = self
            .unchecked
            .take()
            .map(|text| text.expose().clone())
            .unwrap_or_default();
        for secret in secrets.iter().map(Secret::expose) {
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            for form in [secret, &encoded] {
                if form.is_empty() || !text.contains(form.as_str()) {
                    continue;
                }
                if form.len() < SHORTEST_REPLACED {
                    return self;
                }
                text = text.replace(form.as_str(), "[secret]");
            }
            if self.code.contains(secret.as_str()) && secret.len() >= SHORTEST_REPLACED {
                "invalid".clone_into(&mut self.code);
            }
        }
        self.description = Some(sanitized(&text)).filter(|text| !text.is_empty());
        self
    }

    pub fn as_str(&self) -> &str {
        &self.code
    }

    /// What the server says about the code, where it may be shown.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{} ({description})", self.code),
            None => f.write_str(&self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_code_holds_only_what_the_rfc_allows() {
        let long = "a".repeat(LONGEST_CODE + 1);
        for (code, expected) in [
            ("access_denied", "access_denied"),
            ("https://a.example/e", "https://a.example/e"),
            ("", "invalid"),
            ("a\"b", "invalid"),
            ("a\\b", "invalid"),
            ("a\u{1b}[2J", "invalid"),
            ("a\nb", "invalid"),
            ("über", "invalid"),
            (&long, "invalid"),
        ] {
            assert_eq!(ErrorCode::new(code, None).as_str(), expected);
        }
    }

    #[test]
    fn a_description_is_shown_once_the_secrets_are_out_of_it() {
        let long = format!("{}hunter2-hunter2", "x".repeat(190));
        let cut = format!("{}[secret]", "x".repeat(190));
        for (description, expected) in [
            (
                "AADSTS70000: no\u{1b}[2J",
                Some(r"AADSTS70000: no\u{1b}[2J"),
            ),
            ("one\r\n  Trace ID: 7\r\n", Some("one Trace ID: 7")),
            ("", None),
            (
                "the token hunter2-hunter2 is dead",
                Some("the token [secret] is dead"),
            ),
            (
                "code=a%2Bb%2Fc%2Bd%2Fe is used",
                Some("code=[secret] is used"),
            ),
            ("a+b/c+d/e is used", Some("[secret] is used")),
            // Before it is cut, or a part of the secret would be left.
            (&long, Some(cut.as_str())),
            // What is short is not replaced: the rest would tell where it was.
            ("the secret is pw", None),
        ] {
            let secrets = ["hunter2-hunter2", "a+b/c+d/e", "pw"].map(Secret::from);
            let code = ErrorCode::new("invalid_grant", Some(description));
            assert_eq!(code.description(), None, "not before it is checked");
            assert_eq!(code.to_string(), "invalid_grant");
            assert!(!format!("{code:?}").contains("hunter2"));
            let code = code.without(&secrets);
            assert_eq!(code.description(), expected, "{description}");
            let shown = expected.map_or("invalid_grant".to_owned(), |text| {
                format!("invalid_grant ({text})")
            });
            assert_eq!(code.to_string(), shown);
        }
        for (error, expected) in [
            (
                json!({"code": 401, "status": "UNAUTHENTICATED", "message": "no\u{1b}[2J"}),
                r"invalid (an error object instead of a code: 401, UNAUTHENTICATED, no\u{1b}[2J)",
            ),
            (json!({}), "invalid (an error object instead of a code)"),
            (json!(["x"]), "invalid (an error object instead of a code)"),
            (
                json!({"code": "invalid_grant"}),
                "invalid (an error object instead of a code: invalid_grant)",
            ),
        ] {
            let code = ErrorCode::of_object(&error).without(&[]);
            assert_eq!(code.as_str(), "invalid");
            assert_eq!(code.to_string(), expected);
        }
        let code = ErrorCode::new("hunter2-hunter2", None).without(&["hunter2-hunter2".into()]);
        assert_eq!(code.as_str(), "invalid");
    }
}
