//! An authorization server's error code and description (RFC 6749 §4.1.2.1, §5.2).
//!
//! hallpass doesn't trust the server's text. A code has only the characters that the RFC allows, and
//! the description is made safe to print. The server may quote the request in its description, so
//! hallpass shows it only without the request's secrets. Neither may appear in an HTML page.

use std::fmt;

use serde_json::Value;
use url::form_urlencoded;

use super::sanitize;
use crate::secret::Secret;

/// The longest code that hallpass accepts. The registered ones are shorter than 40 characters.
const LONGEST_CODE: usize = 100;

/// The shortest secret that hallpass replaces. A shorter one may be part of an ordinary word.
const SHORTEST_REPLACED: usize = 8;

/// An OAuth error code with the server's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    code: String,
    /// The server's original `error_description`. It is never shown.
    original: Option<Secret<String>>,
    /// The description without secrets, safe to print.
    description: Option<String>,
}

impl ErrorCode {
    /// An error with this code, or `invalid` if RFC 6749 §4.1.2.1 forbids one of its characters.
    /// The description is hidden until [`Self::redact`] is called.
    pub fn new(code: &str, description: Option<&str>) -> Self {
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        let plausible = !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(allowed);
        Self {
            code: if plausible { code } else { "invalid" }.to_owned(),
            original: description.map(Secret::from),
            description: None,
        }
    }

    /// An error that is an object instead of a code, which violates RFC 6749 §5.2. Some gateways send
    /// one. Its members are part of the description only.
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

    /// Removes these secrets from the description, so the rest can be shown.
    #[must_use]
    pub fn redact(mut self, secrets: &[Secret<String>]) -> Self {
        let mut text = self
            .original
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
        self.description = Some(sanitize(&text)).filter(|text| !text.is_empty());
        self
    }

    pub fn as_str(&self) -> &str {
        &self.code
    }

    /// The server's description, once [`Self::redact`] was called.
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
    fn a_code_with_forbidden_characters_is_invalid() {
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
    fn a_description_is_shown_without_secrets() {
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
            // Secrets are replaced before the text is truncated. Otherwise a part could remain.
            (&long, Some(cut.as_str())),
            // A short secret is not replaced, because the rest would reveal where it was.
            ("the secret is pw", None),
        ] {
            let secrets = ["hunter2-hunter2", "a+b/c+d/e", "pw"].map(Secret::from);
            let code = ErrorCode::new("invalid_grant", Some(description));
            assert_eq!(code.description(), None, "hidden until it is redacted");
            assert_eq!(code.to_string(), "invalid_grant");
            assert!(!format!("{code:?}").contains("hunter2"));
            let code = code.redact(&secrets);
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
            let code = ErrorCode::of_object(&error).redact(&[]);
            assert_eq!(code.as_str(), "invalid");
            assert_eq!(code.to_string(), expected);
        }
        let code = ErrorCode::new("hunter2-hunter2", None).redact(&["hunter2-hunter2".into()]);
        assert_eq!(code.as_str(), "invalid");
    }
}
