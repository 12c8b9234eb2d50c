//! Harbor: exchanges an ID token for the user name and CLI secret.
//!
//! Specification: <https://goharbor.io/docs/main/administration/configure-authentication/oidc-auth/>
//! ("Using OIDC from the Docker or Helm CLI") and `GET /users/current` of Harbor's API 2.0. Harbor
//! accepts the ID token of a user that it knows, issued to the client that Harbor is registered as.

use serde::Deserialize;
use url::Url;

use super::{ExchangeError, Exchanged, at, name_of, succeeded};
use crate::http::Http;
use crate::secret::Secret;

/// # Errors
///
/// See [`ExchangeError`].
pub fn exchange(
    http: &Http,
    registry: &Url,
    id_token: &Secret<String>,
) -> Result<Exchanged, ExchangeError> {
    let response = http.get(&at(registry, "/api/v2.0/users/current"), Some(id_token))?;
    let body = succeeded(registry, response)?;
    read(&body).ok_or_else(|| ExchangeError::Malformed {
        registry: name_of(registry),
        member: "user name and CLI secret",
    })
}

/// The secret doesn't expire: hallpass requests it again when the session is renewed.
fn read(body: &Secret<Vec<u8>>) -> Option<Exchanged> {
    #[derive(Deserialize)]
    struct User {
        username: String,
        oidc_user_meta: Oidc,
    }
    #[derive(Deserialize)]
    struct Oidc {
        secret: Secret<String>,
    }
    let User {
        username,
        oidc_user_meta: Oidc { secret },
    } = serde_json::from_slice(body.expose()).ok()?;
    if username.is_empty() || secret.expose().is_empty() {
        return None;
    }
    Some(Exchanged {
        username,
        secret,
        expires_at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_users_who_sign_in_with_oidc_have_a_secret() {
        let read = |body: &str| read(&Secret::new(body.as_bytes().to_vec()));
        let found = read(
            r#"{"user_id":7,"username":"alice","email":"a@b.example","oidc_user_meta":
               {"id":1,"user_id":7,"subiss":"x","secret":"s3cret"}}"#,
        );
        let found = found.unwrap();
        assert_eq!(found.username, "alice");
        assert_eq!(found.secret.expose(), "s3cret");
        for body in [
            "",
            "{}",
            r#"{"username":"admin"}"#,
            r#"{"username":"admin","oidc_user_meta":null}"#,
            r#"{"username":"admin","oidc_user_meta":{"secret":""}}"#,
            r#"{"username":"","oidc_user_meta":{"secret":"s"}}"#,
        ] {
            assert_eq!(read(body), None, "{body}");
        }
    }
}
