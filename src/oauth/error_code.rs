//! The error code with which an authorization server refuses (RFC 6749 §4.1.2.1, §5.2).
//!
//! Its text is a foreign server's: only what the RFC allows in a code comes through, and the
//! description is made fit for a terminal. Neither belongs in an HTML page.

use std::fmt;

use super::sanitized;

/// The longest code that is believed to be one; the registered ones stay below 40.
const LONGEST_CODE: usize = 100;

/// An OAuth error code, and what the server says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    code: String,
    /// The server's `error_description`, sanitized. A careless server may quote there what it was
    /// sent; so `Display` leaves it out.
    pub description: Option<String>,
}

impl ErrorCode {
    /// Takes the code as it is, or `invalid` where it holds what RFC 6749 §4.1.2.1 forbids.
    pub fn new(code: &str, description: Option<&str>) -> Self {
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        let plausible = !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(allowed);
        Self {
            code: if plausible { code } else { "invalid" }.to_owned(),
            description: description.map(sanitized).filter(|text| !text.is_empty()),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

#[cfg(test)]
mod tests {
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
    fn a_description_is_sanitized_and_not_displayed() {
        let code = ErrorCode::new("access_denied", Some("no\u{1b}[2J"));
        assert_eq!(code.description.as_deref(), Some(r"no\u{1b}[2J"));
        assert_eq!(code.to_string(), "access_denied");
        assert_eq!(ErrorCode::new("x", Some("")).description, None);
    }
}
