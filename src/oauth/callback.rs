//! What the browser brings to the redirect URI (RFC 6749 §4.1.2, RFC 9207).
//!
//! Anybody can call the listener. So nothing is believed, an `error` least of all, before `state`
//! has matched; and a request that is refused leaves the login pending for the genuine one.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2>, <https://www.rfc-editor.org/rfc/rfc9207>

use url::form_urlencoded;

pub use super::error_code::ErrorCode;
use super::is_same_secret;
use crate::secret::Secret;

/// What the login that is pending waits for.
#[derive(Debug)]
pub struct Expected<'a> {
    pub state: &'a Secret<String>,
    /// The issuer, where it is known: `iss` must be the same string.
    pub issuer: Option<&'a str>,
    /// The metadata promises `iss` (`authorization_response_iss_parameter_supported`).
    pub issuer_required: bool,
}

/// The authorization server's answer.
#[derive(Debug)]
pub enum Callback {
    Code(Secret<String>),
    Denied(ErrorCode),
}

/// Why a request is not the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the request has no state")]
    NoState,
    #[error("the request's state is not that of this sign-in")]
    WrongState,
    #[error("the request holds {0} more than once")]
    Repeated(&'static str),
    #[error("the request holds both a code and an error")]
    CodeAndError,
    #[error("the request holds neither a code nor an error")]
    NoCode,
    #[error("the request's code holds characters that no code may hold")]
    UnusableCode,
    #[error("the answer comes from another authorization server than the one asked")]
    WrongIssuer,
    #[error("the answer does not name its authorization server, although that one always does")]
    NoIssuer,
}

impl Rejected {
    /// Whether the sign-in is over.
    ///
    /// Only where the state was right and the issuer is not: somebody mixes two providers up, and
    /// the genuine answer will not come any more (RFC 9207 §2.4).
    pub fn ends_login(&self) -> bool {
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

/// Reads the query of a request to the redirect URI.
pub fn parse(query: &str, expected: &Expected<'_>) -> Result<Callback, Rejected> {
    let answer = Answer::read(query)?;

    let state = answer.state.ok_or(Rejected::NoState)?;
    if !is_same_secret(expected.state.expose(), state.expose()) {
        return Err(Rejected::WrongState);
    }

    // Errors, too, name their issuer (RFC 9207 §2). Strings, not URLs: `https://a` is not
    // `https://a/` (§2.4).
    match (&answer.issuer, expected.issuer) {
        (Some(named), Some(asked)) if named.expose() != asked => return Err(Rejected::WrongIssuer),
        (None, _) if expected.issuer_required => return Err(Rejected::NoIssuer),
        (Some(_) | None, _) => (),
    }

    match (answer.code, answer.error) {
        (Some(_), Some(_)) => Err(Rejected::CodeAndError),
        (None, None) => Err(Rejected::NoCode),
        (Some(code), None) if is_vschar(code.expose()) => Ok(Callback::Code(code)),
        (Some(_), None) => Err(Rejected::UnusableCode),
        (None, Some(error)) => {
            let description = answer
                .description
                .as_ref()
                .map(|text| text.expose().as_str());
            let code = ErrorCode::new(error.expose(), description);
            Ok(Callback::Denied(
                code.without(std::slice::from_ref(expected.state)),
            ))
        }
    }
}

/// The parameters that matter, each at most once.
#[derive(Default)]
struct Answer {
    state: Option<Secret<String>>,
    code: Option<Secret<String>>,
    error: Option<Secret<String>>,
    description: Option<Secret<String>>,
    issuer: Option<Secret<String>>,
}

impl Answer {
    fn read(query: &str) -> Result<Self, Rejected> {
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Secret::new(value.into_owned());
            let (name, place) = match name.as_ref() {
                "state" => ("state", &mut answer.state),
                "code" => ("code", &mut answer.code),
                "error" => ("error", &mut answer.error),
                "error_description" => ("error_description", &mut answer.description),
                "iss" => ("iss", &mut answer.issuer),
                // Unknown ones are ignored (RFC 6749 §4.1.2).
                _ => continue,
            };
            // RFC 6749 §3.1.
            if place.replace(value).is_some() {
                return Err(Rejected::Repeated(name));
            }
        }

        // A parameter without a value counts as left out (RFC 6749 §3.1).
        let given = |value: &Secret<String>| !value.expose().is_empty();
        let Self {
            state,
            code,
            error,
            description,
            issuer,
        } = answer;
        Ok(Self {
            state: state.filter(given),
            code: code.filter(given),
            error: error.filter(given),
            description: description.filter(given),
            issuer: issuer.filter(given),
        })
    }
}

/// Codes and tokens are printable ASCII (RFC 6749 appendix A.11, A.12).
pub(super) fn is_vschar(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
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
    fn only_an_answer_with_the_right_state_counts() {
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
    fn an_error_from_another_issuer_is_not_believed() {
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
    fn only_a_wrong_issuer_ends_the_login() {
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
            assert_eq!(rejected.ends_login(), ends, "{rejected:?}");
        }
    }

    #[test]
    fn the_code_is_not_in_the_debug_output() {
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
