//! Parses the authorization response at the redirect URI (RFC 6749 §4.1.2, RFC 9207).
//!
//! Any program can send a request to the listener. So a request counts only if its `state` matches,
//! even if it reports an `error`. After a rejected request, the sign-in keeps waiting for the genuine
//! response.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2>, <https://www.rfc-editor.org/rfc/rfc9207>

use url::form_urlencoded;

pub use super::error_code::ErrorCode;
use super::{is_same_secret, is_vschar};
use crate::secret::Secret;

/// The response that the pending sign-in is waiting for.
#[derive(Debug)]
pub struct Expected<'a> {
    pub state: &'a Secret<String>,
    /// The issuer, if known. `iss` must be the same string.
    pub issuer: Option<&'a str>,
    /// The metadata says that every response has `iss`
    /// (`authorization_response_iss_parameter_supported`).
    pub issuer_required: bool,
}

/// The authorization server's response.
#[derive(Debug)]
pub enum Callback {
    Code(Secret<String>),
    Denied(ErrorCode),
}

/// Why a request is not a genuine response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the request has no state")]
    NoState,
    #[error("the request's state does not belong to this sign-in")]
    WrongState,
    #[error("the request has more than one {0}")]
    Repeated(&'static str),
    #[error("the request has both a code and an error")]
    CodeAndError,
    #[error("the request has neither a code nor an error")]
    NoCode,
    #[error("the request's code contains invalid characters")]
    UnusableCode,
    #[error("the response is from a different authorization server")]
    WrongIssuer,
    #[error(
        "the response does not name its authorization server (iss), although the provider's responses always do"
    )]
    NoIssuer,
}

impl Rejected {
    /// Whether the sign-in fails.
    ///
    /// It does if the state is correct but the issuer isn't. That is a mix-up attack, so no genuine
    /// response will follow (RFC 9207 §2.4).
    pub fn ends_sign_in(&self) -> bool {
        match self {
            Self::WrongIssuer | Self::NoIssuer => true,
            Self::NoState
            | Self::WrongState
            | Self::Repeated(_)
            | Self::CodeAndError
            | Self::NoCode
            | Self::UnusableCode => false,
        }
    }
}

/// Parses the query of a request to the redirect URI.
pub fn parse(query: &str, expected: &Expected<'_>) -> Result<Callback, Rejected> {
    let parameters = Parameters::parse(query)?;

    let state = parameters.state.ok_or(Rejected::NoState)?;
    if !is_same_secret(expected.state.expose(), state.expose()) {
        return Err(Rejected::WrongState);
    }

    // An error names its issuer too (RFC 9207 §2). Issuers are compared as strings: `https://a` is
    // not `https://a/` (§2.4).
    match (&parameters.issuer, expected.issuer) {
        (Some(iss), Some(issuer)) if iss.expose() != issuer => return Err(Rejected::WrongIssuer),
        (None, _) if expected.issuer_required => return Err(Rejected::NoIssuer),
        (Some(_) | None, _) => (),
    }

    match (parameters.code, parameters.error) {
        (Some(_), Some(_)) => Err(Rejected::CodeAndError),
        (None, None) => Err(Rejected::NoCode),
        (Some(code), None) if is_vschar(code.expose()) => Ok(Callback::Code(code)),
        (Some(_), None) => Err(Rejected::UnusableCode),
        (None, Some(error)) => {
            let description = parameters
                .description
                .as_ref()
                .map(|text| text.expose().as_str());
            let code = ErrorCode::new(error.expose(), description);
            Ok(Callback::Denied(
                code.redact(std::slice::from_ref(expected.state)),
            ))
        }
    }
}

/// The response's parameters, each at most once.
#[derive(Default)]
struct Parameters {
    state: Option<Secret<String>>,
    code: Option<Secret<String>>,
    error: Option<Secret<String>>,
    description: Option<Secret<String>>,
    issuer: Option<Secret<String>>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Rejected> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Secret::new(value.into_owned());
            let (name, slot) = match name.as_ref() {
                "state" => ("state", &mut parameters.state),
                "code" => ("code", &mut parameters.code),
                "error" => ("error", &mut parameters.error),
                "error_description" => ("error_description", &mut parameters.description),
                "iss" => ("iss", &mut parameters.issuer),
                // RFC 6749 §4.1.2: ignore unknown parameters.
                _ => continue,
            };
            // RFC 6749 §3.1: no parameter may be repeated.
            if slot.replace(value).is_some() {
                return Err(Rejected::Repeated(name));
            }
        }

        // RFC 6749 §3.1: a parameter without a value counts as absent.
        let has_value = |value: &Secret<String>| !value.expose().is_empty();
        let Self {
            state,
            code,
            error,
            description,
            issuer,
        } = parameters;
        Ok(Self {
            state: state.filter(has_value),
            code: code.filter(has_value),
            error: error.filter(has_value),
            description: description.filter(has_value),
            issuer: issuer.filter(has_value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str, issuer: Option<&str>, issuer_required: bool) -> Result<String, Rejected> {
        let state = Secret::from("st at/e");
        let expected = Expected {
            state: &state,
            issuer,
            issuer_required,
        };
        parse(query, &expected).map(|callback| match callback {
            Callback::Code(code) => format!("code {}", code.expose()),
            Callback::Denied(error) => {
                format!(
                    "denied {} {}",
                    error.as_str(),
                    error.description().unwrap_or_default()
                )
            }
        })
    }

    #[test]
    fn only_a_response_with_the_right_state_counts() {
        for (query, expected) in [
            ("state=st+at%2Fe&code=c%2Bd", Ok("code c+d")),
            ("code=c&state=st%20at/e&session_state=x&y", Ok("code c")),
            (
                "state=st+at%2Fe&error=access_denied&error_description=no%0Asir",
                Ok("denied access_denied no sir"),
            ),
            ("state=st+at%2Fe&error=%1b%5b2J", Ok("denied invalid ")),
            ("", Err(Rejected::NoState)),
            ("code=c", Err(Rejected::NoState)),
            ("state=&code=c", Err(Rejected::NoState)),
            ("error=x", Err(Rejected::NoState)),
            ("error=x&state=other", Err(Rejected::WrongState)),
            ("state=other&code=c", Err(Rejected::WrongState)),
            ("state=st+at%2F&code=c", Err(Rejected::WrongState)),
            ("state=st+at%2Fe", Err(Rejected::NoCode)),
            ("state=st+at%2Fe&code=", Err(Rejected::NoCode)),
            (
                "state=st+at%2Fe&code=c%0d%0aX:y",
                Err(Rejected::UnusableCode),
            ),
            ("state=st+at%2Fe&code=%ff", Err(Rejected::UnusableCode)),
            (
                "state=st+at%2Fe&code=c&error=x",
                Err(Rejected::CodeAndError),
            ),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(shown(query, None, false), expected, "{query}");
        }
    }

    #[test]
    fn no_parameter_may_be_repeated() {
        for (query, name) in [
            ("state=st+at%2Fe&code=a&code=b", "code"),
            ("state=st+at%2Fe&code=a&%63ode=a", "code"),
            ("state=st+at%2Fe&state=st+at%2Fe&code=a", "state"),
            ("state=st+at%2Fe&error=a&error=b", "error"),
            ("state=st+at%2Fe&code=a&iss=x&iss=x", "iss"),
        ] {
            assert_eq!(shown(query, None, false), Err(Rejected::Repeated(name)));
        }
    }

    #[test]
    fn the_issuer_is_compared_as_a_string() {
        const WITHOUT: &str = "state=st+at%2Fe&code=c";
        for (iss, issuer, required, expected) in [
            ("", Some("https://a"), false, Ok("code c")),
            ("", Some("https://a"), true, Err(Rejected::NoIssuer)),
            ("&iss=", Some("https://a"), true, Err(Rejected::NoIssuer)),
            (
                "&iss=https%3A%2F%2Fa",
                Some("https://a"),
                true,
                Ok("code c"),
            ),
            (
                "&iss=https://a/",
                Some("https://a"),
                true,
                Err(Rejected::WrongIssuer),
            ),
            (
                "&iss=https://b",
                Some("https://a"),
                false,
                Err(Rejected::WrongIssuer),
            ),
            ("&iss=https://b", None, false, Ok("code c")),
        ] {
            assert_eq!(
                shown(&format!("{WITHOUT}{iss}"), issuer, required),
                expected.map(str::to_owned),
                "{iss} {issuer:?} {required}"
            );
        }
    }

    #[test]
    fn an_error_from_another_issuer_is_rejected() {
        assert_eq!(
            shown(
                "state=st+at%2Fe&error=x&iss=https://b",
                Some("https://a"),
                true
            ),
            Err(Rejected::WrongIssuer)
        );
    }

    #[test]
    fn only_a_wrong_issuer_ends_the_sign_in() {
        for (rejected, ends) in [
            (Rejected::NoState, false),
            (Rejected::WrongState, false),
            (Rejected::Repeated("code"), false),
            (Rejected::CodeAndError, false),
            (Rejected::NoCode, false),
            (Rejected::UnusableCode, false),
            (Rejected::WrongIssuer, true),
            (Rejected::NoIssuer, true),
        ] {
            assert_eq!(rejected.ends_sign_in(), ends, "{rejected:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_code() {
        let state = Secret::from("s");
        let expected = Expected {
            state: &state,
            issuer: None,
            issuer_required: false,
        };
        let callback = parse("state=s&code=hunter2", &expected).unwrap();
        assert!(!format!("{callback:?}{expected:?}").contains("hunter2"));
    }
}
