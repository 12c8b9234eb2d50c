//! The output formats of `hallpass get-token`.
//!
//! The formats are this project's own; `header` is a field line of RFC 9110 §5, `bearer` and
//! `basic` are credentials of RFC 6750 §2.1 and RFC 7617 §2.

use std::io;
use std::process::ExitCode;

use clap::ValueEnum as _;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use crate::credential::{Answer, Call, Credential, Request, Want};
use crate::wire::{Protocol, basic, reply_with_credential};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The token, followed by a newline
    Raw,
    /// An object with token, `token_type`, `expires_at`, scopes, provider and account
    Json,
    /// `Bearer TOKEN`
    Bearer,
    /// `Authorization: Bearer TOKEN`
    Header,
    /// `Basic BASE64`, of the provider's user name and the token
    Basic,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Bearer => "bearer",
            Self::Header => "header",
            Self::Basic => "basic",
        }
    }

    pub fn named(text: &str) -> Option<Self> {
        let mut all = Self::value_variants().iter().copied();
        all.find(|format| format.as_str() == text)
    }
}

/// The protocol of `get-token`: no input, and the token in one of the formats.
#[derive(Debug)]
pub struct Plain {
    pub format: Format,
    pub account: Option<String>,
    pub want: Want,
}

impl Protocol for Plain {
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode> {
        let request = Request {
            account: self.account.clone(),
            takes_authtype: true,
            ..Request::get(self.want)
        };
        reply_with_credential(call, answer(&request), |credential, stdout| {
            stdout.write_all(formatted(credential, self.format).as_bytes())
        })
    }
}

fn formatted(credential: &Credential, format: Format) -> Zeroizing<String> {
    let Credential {
        token,
        token_type,
        expires_at,
        scopes,
        username,
        provider,
        account,
        generation: _,
        bearer: _,
        renewable: _,
    } = credential;
    let token = token.expose();
    Zeroizing::new(match format {
        Format::Raw => format!("{token}\n"),
        Format::Bearer => format!("{token_type} {token}\n"),
        Format::Header => format!("Authorization: {token_type} {token}\n"),
        Format::Basic => {
            format!("Basic {}\n", basic(username, token).as_str())
        }
        Format::Json => {
            let expires_at = expires_at.and_then(|at| at.format(&Rfc3339).ok());
            let json = serde_json::json!({
                "token": token, "token_type": token_type, "expires_at": expires_at,
                "scopes": scopes, "provider": provider, "account": account,
            });
            format!("{json}\n")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_the_name_of_its_argument() {
        for format in Format::value_variants() {
            let value = format.to_possible_value().unwrap();
            assert_eq!(value.get_name(), format.as_str());
            assert_eq!(Format::named(format.as_str()), Some(*format));
        }
        assert_eq!(Format::named("RAW"), None);
    }

    #[test]
    fn each_format_prints_exactly_this_line() {
        let credential = Credential {
            scopes: vec!["openid".into()],
            ..Credential::example(0)
        };
        for (format, expected) in [
            (Format::Raw, "tok\n"),
            (Format::Bearer, "Bearer tok\n"),
            (Format::Header, "Authorization: Bearer tok\n"),
            (Format::Basic, "Basic b2F1dGgyOnRvaw==\n"),
            (
                Format::Json,
                "{\"account\":\"default\",\"expires_at\":\"1970-01-01T00:00:00Z\",\
                 \"provider\":\"corp\",\"scopes\":[\"openid\"],\"token\":\"tok\",\
                 \"token_type\":\"Bearer\"}\n",
            ),
        ] {
            assert_eq!(formatted(&credential, format).as_str(), expected);
        }
    }
}
