//! Azure Container Registry: exchanges an Entra ID access token for the registry's refresh token.
//!
//! Specification: <https://azure.github.io/acr/AAD-OAuth.html> ("Calling POST /oauth2/exchange").
//! This refresh token is the registry's own and valid for about three hours. It isn't the provider's.

use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{ExchangeError, Exchanged, at, expiry_of_jwt, name_of, succeeded};
use crate::http::Http;
use crate::secret::Secret;

/// The user name that marks the password as a refresh token.
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";

/// `tenant` is the directory that issued the token, if it is known.
///
/// # Errors
///
/// See [`ExchangeError`].
pub fn exchange(
    http: &Http,
    registry: &Url,
    tenant: Option<&str>,
    access_token: &Secret<String>,
) -> Result<Exchanged, ExchangeError> {
    let form = form(&name_of(registry), tenant, access_token);
    let response = http.post(&at(registry, "/oauth2/exchange"), &form, None)?;
    let body = succeeded(registry, response)?;
    read(&body).ok_or_else(|| ExchangeError::Malformed {
        registry: name_of(registry),
        member: "refresh_token",
    })
}

fn form(service: &str, tenant: Option<&str>, access_token: &Secret<String>) -> Secret<String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "access_token")
        .append_pair("service", service);
    if let Some(tenant) = tenant {
        form.append_pair("tenant", tenant);
    }
    form.append_pair("access_token", access_token.expose());
    Secret::new(form.finish())
}

fn read(body: &Secret<Vec<u8>>) -> Option<Exchanged> {
    #[derive(Deserialize)]
    struct Reply {
        refresh_token: Secret<String>,
    }
    let Reply { refresh_token } = serde_json::from_slice(body.expose()).ok()?;
    if refresh_token.expose().is_empty() {
        return None;
    }
    Some(Exchanged {
        username: USERNAME.to_owned(),
        expires_at: expiry_of_jwt(&refresh_token),
        secret: refresh_token,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use time::OffsetDateTime;

    use super::*;

    fn jwt(payload: &str) -> String {
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_form_follows_the_specification() {
        let form = |tenant| form("a.azurecr.io:8443", tenant, &"t+/=".into());
        assert_eq!(
            form(Some("409520d4-8100-4d1d-ad47-72432ddcc120")).expose(),
            "grant_type=access_token&service=a.azurecr.io%3A8443&\
             tenant=409520d4-8100-4d1d-ad47-72432ddcc120&access_token=t%2B%2F%3D"
        );
        assert!(!form(None).expose().contains("tenant"));
    }

    #[test]
    fn the_expiry_comes_from_the_token() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        for (token, expected) in [
            (jwt(r#"{"exp":1497990801,"sub":"u"}"#), at(1_497_990_801)),
            (jwt(r#"{"sub":"u"}"#), None),
            (jwt("{"), None),
            ("opaque".to_owned(), None),
        ] {
            let body = format!(r#"{{"refresh_token":"{token}"}}"#).into_bytes();
            let found = read(&Secret::new(body)).unwrap();
            assert_eq!(found.expires_at, expected, "{token}");
            assert_eq!(found.secret.expose(), &token);
            assert_eq!(found.username, USERNAME);
        }
    }

    #[test]
    fn a_response_without_a_token_is_malformed() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"refresh_token":""}"#,
            r#"{"refresh_token":7}"#,
        ] {
            assert_eq!(read(&Secret::new(body.as_bytes().to_vec())), None, "{body}");
        }
    }
}
