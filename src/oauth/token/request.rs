//! The requests' forms and the client's authentication (RFC 6749 §2.3.1).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::oauth::authorization::RESERVED;
use crate::secret::Secret;

/// How the client authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A public client, which sends only its ID.
    None,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// hallpass's registration at the authorization server. Without a secret it is a public client, and
/// `auth` has no effect.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    pub id: &'a str,
    pub secret: Option<&'a Secret<String>>,
    pub auth: ClientAuth,
}

/// A POST request with an `application/x-www-form-urlencoded` body. The caller must add
/// `Accept: application/json`.
#[derive(Debug)]
pub struct TokenRequest {
    body: Secret<String>,
    authorization: Option<Secret<String>>,
}

impl TokenRequest {
    /// The form, encoded.
    pub fn body(&self) -> Secret<String> {
        self.body.clone()
    }

    /// The secrets in this request, which must not be shown even if the server quotes them.
    pub fn secrets(&self) -> Vec<Secret<String>> {
        const SECRET: [&str; 6] = [
            "client_secret",
            "code",
            "code_verifier",
            "device_code",
            "refresh_token",
            "token",
        ];
        let form = form_urlencoded::parse(self.body.expose().as_bytes());
        let mut secrets: Vec<_> = form
            .filter(|(name, _)| SECRET.contains(&name.as_ref()))
            .map(|(_, value)| Secret::new(value.into_owned()))
            .collect();
        let basic = self.authorization.as_ref();
        if let Some(pair) = basic.and_then(|basic| basic.expose().strip_prefix("Basic ")) {
            let decoded = STANDARD.decode(pair).map(Zeroizing::new);
            let decoded = decoded.unwrap_or_default();
            if let Some(colon) = decoded.iter().position(|byte| *byte == b':') {
                // The secret is form-urlencoded, so it parses as the name of a pair.
                let secret = form_urlencoded::parse(&decoded[colon + 1..]).next();
                secrets.extend(secret.map(|(name, _)| Secret::new(name.into_owned())));
            }
            secrets.push(Secret::from(pair));
        }
        secrets
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> Option<Secret<String>> {
        self.authorization.clone()
    }

    fn new<'a>(client: &Client<'a>, mut parameters: Vec<(&'a str, &'a str)>) -> Self {
        let authorization = match (client.secret, client.auth) {
            (Some(secret), ClientAuth::Basic) => Some(basic(client.id, secret)),
            (Some(secret), ClientAuth::Post) => {
                parameters.push(("client_id", client.id));
                parameters.push(("client_secret", secret.expose()));
                None
            }
            (Some(_), ClientAuth::None) | (None, _) => {
                parameters.push(("client_id", client.id));
                None
            }
        };
        Self {
            body: form(&parameters),
            authorization,
        }
    }
}

/// The request that exchanges an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5).
pub fn code_request(
    client: &Client<'_>,
    code: &Secret<String>,
    redirect_uri: &str,
    verifier: &Secret<String>,
    resources: &[String],
    audience: Option<&str>,
) -> TokenRequest {
    let mut parameters = vec![
        ("grant_type", "authorization_code"),
        ("code", code.expose().as_str()),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier.expose().as_str()),
    ];
    push_targets(&mut parameters, resources, audience);
    TokenRequest::new(client, parameters)
}

/// A refresh (RFC 6749 §6). Without scopes, the new token has the grant's scopes.
pub fn refresh_request(
    client: &Client<'_>,
    refresh_token: &Secret<String>,
    scopes: &[String],
    resources: &[String],
    audience: Option<&str>,
) -> TokenRequest {
    let scope = scopes.join(" ");
    let mut parameters = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose().as_str()),
    ];
    if !scope.is_empty() {
        parameters.push(("scope", &scope));
    }
    push_targets(&mut parameters, resources, audience);
    TokenRequest::new(client, parameters)
}

/// The request for a device code (RFC 8628 §3.1). `extra` has the configured parameters, which never
/// override the others.
pub fn device_authorization_request(
    client: &Client<'_>,
    scopes: &[String],
    resources: &[String],
    audience: Option<&str>,
    extra: &BTreeMap<String, String>,
) -> TokenRequest {
    let scope = scopes.join(" ");
    let mut parameters = Vec::new();
    if !scope.is_empty() {
        parameters.push(("scope", scope.as_str()));
    }
    push_targets(&mut parameters, resources, audience);
    for (name, value) in extra {
        let name = name.as_str();
        if !RESERVED.contains(&name) && !parameters.iter().any(|(set, _)| *set == name) {
            parameters.push((name, value));
        }
    }
    TokenRequest::new(client, parameters)
}

/// The device flow's polling request (RFC 8628 §3.4).
pub fn device_token_request(client: &Client<'_>, device_code: &Secret<String>) -> TokenRequest {
    let parameters = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device_code.expose().as_str()),
    ];
    TokenRequest::new(client, parameters)
}

/// A revocation (RFC 7009 §2.1). The hint is `refresh_token` or `access_token`.
pub fn revocation_request(
    client: &Client<'_>,
    token: &Secret<String>,
    hint: &'static str,
) -> TokenRequest {
    let parameters = vec![
        ("token", token.expose().as_str()),
        ("token_type_hint", hint),
    ];
    TokenRequest::new(client, parameters)
}

/// The introspection of an access token (RFC 7662 §2.1).
pub fn introspection_request(client: &Client<'_>, token: &Secret<String>) -> TokenRequest {
    let parameters = vec![
        ("token", token.expose().as_str()),
        ("token_type_hint", "access_token"),
    ];
    TokenRequest::new(client, parameters)
}

/// A pushed authorization request, sent before the browser opens (RFC 9126 §2.1).
pub fn pushed_authorization_request(
    client: &Client<'_>,
    parameters: &[(String, String)],
) -> TokenRequest {
    // Unless the header has the client ID, the client's authentication adds it to the form.
    let in_header = client.secret.is_some() && client.auth == ClientAuth::Basic;
    let parameters = parameters
        .iter()
        .filter(|(name, _)| in_header || name != "client_id")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    TokenRequest::new(client, parameters)
}

/// Adds the token's targets: `resource` (RFC 8707), and `audience` (Auth0).
fn push_targets<'a>(
    parameters: &mut Vec<(&'a str, &'a str)>,
    resources: &'a [String],
    audience: Option<&'a str>,
) {
    parameters.extend(
        resources
            .iter()
            .map(|resource| ("resource", resource.as_str())),
    );
    parameters.extend(audience.map(|audience| ("audience", audience)));
}

/// The value for Basic authentication (RFC 7617), form-urlencoded first as RFC 6749 §2.3.1 requires.
fn basic(id: &str, secret: &Secret<String>) -> Secret<String> {
    let pair = Secret::new({
        let mut pair = String::with_capacity(3 * (id.len() + secret.expose().len()) + 1);
        pair.extend(form_urlencoded::byte_serialize(id.as_bytes()));
        pair.push(':');
        pair.extend(form_urlencoded::byte_serialize(secret.expose().as_bytes()));
        pair
    });
    let mut value = String::with_capacity(6 + pair.expose().len().div_ceil(3) * 4);
    value.push_str("Basic ");
    STANDARD.encode_string(pair.expose(), &mut value);
    Secret::new(value)
}

fn form(parameters: &[(&str, &str)]) -> Secret<String> {
    // A string that grows leaves copies of secrets in memory.
    let capacity = parameters
        .iter()
        .map(|(name, value)| 3 * (name.len() + value.len()) + 2)
        .sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(capacity));
    form.extend_pairs(parameters);
    Secret::new(form.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Client<'_> = Client {
        id: "hallpass",
        secret: None,
        auth: ClientAuth::None,
    };

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_request_has_the_parameters_of_its_rfc() {
        let secret = Secret::from("s+/ä");
        let resources = strings(&["https://a.example/", "https://b.example/"]);
        let scopes = strings(&["a", "b"]);
        let extra = BTreeMap::from([
            ("acr_values".to_owned(), "2".to_owned()),
            ("audience".to_owned(), "theirs".to_owned()),
            ("client_id".to_owned(), "evil".to_owned()),
        ]);
        for (request, expected) in [
            (
                code_request(&PUBLIC, &secret, "http://127.0.0.1:1/c", &secret, &[], None),
                "grant_type=authorization_code&code=s%2B%2F%C3%A4\
                 &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fc&code_verifier=s%2B%2F%C3%A4\
                 &client_id=hallpass",
            ),
            (
                refresh_request(&PUBLIC, &secret, &[], &[], None),
                "grant_type=refresh_token&refresh_token=s%2B%2F%C3%A4&client_id=hallpass",
            ),
            (
                refresh_request(&PUBLIC, &secret, &scopes, &resources, Some("api")),
                "grant_type=refresh_token&refresh_token=s%2B%2F%C3%A4&scope=a+b\
                 &resource=https%3A%2F%2Fa.example%2F&resource=https%3A%2F%2Fb.example%2F\
                 &audience=api&client_id=hallpass",
            ),
            (
                device_authorization_request(&PUBLIC, &scopes, &[], Some("api"), &extra),
                "scope=a+b&audience=api&acr_values=2&client_id=hallpass",
            ),
            (
                device_authorization_request(&PUBLIC, &[], &[], None, &BTreeMap::new()),
                "client_id=hallpass",
            ),
            (
                device_token_request(&PUBLIC, &secret),
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code\
                 &device_code=s%2B%2F%C3%A4&client_id=hallpass",
            ),
            (
                revocation_request(&PUBLIC, &secret, "refresh_token"),
                "token=s%2B%2F%C3%A4&token_type_hint=refresh_token&client_id=hallpass",
            ),
        ] {
            assert_eq!(request.body().expose(), expected);
            assert!(request.authorization().is_none());
        }
    }

    #[test]
    fn a_client_secret_is_form_urlencoded_before_basic() {
        let secret = Secret::from("p:a%s+s ü");
        let client = Client {
            id: "my:client",
            secret: Some(&secret),
            auth: ClientAuth::Basic,
        };
        let request = device_token_request(&client, &Secret::from("d"));
        let header = request.authorization().unwrap();
        let encoded = header.expose().strip_prefix("Basic ").unwrap();
        assert_eq!(
            STANDARD.decode(encoded).unwrap(),
            b"my%3Aclient:p%3Aa%25s%2Bs+%C3%BC"
        );
        // RFC 6749 §2.3: only one authentication method per request.
        assert!(!request.body().expose().contains("client_"));
    }

    #[test]
    fn a_client_secret_is_posted_if_configured() {
        let secret = Secret::from("p:a%s+s");
        let client = Client {
            id: "my:client",
            secret: Some(&secret),
            auth: ClientAuth::Post,
        };
        let request = device_token_request(&client, &Secret::from("d"));
        assert!(request.authorization().is_none());
        assert!(
            request
                .body()
                .expose()
                .ends_with("&client_id=my%3Aclient&client_secret=p%3Aa%25s%2Bs")
        );
    }

    #[test]
    fn a_public_client_sends_only_its_id() {
        let secret = Secret::from("hunter2");
        for (secret, auth) in [
            (None, ClientAuth::Basic),
            (None, ClientAuth::Post),
            (Some(&secret), ClientAuth::None),
        ] {
            let client = Client {
                id: "hallpass",
                secret,
                auth,
            };
            let request = device_token_request(&client, &Secret::from("d"));
            assert!(request.authorization().is_none());
            assert!(request.body().expose().ends_with("&client_id=hallpass"));
        }
    }

    #[test]
    fn secrets_returns_every_secret_of_a_request() {
        let (code, verifier) = (Secret::from("the+code"), Secret::from("the verifier"));
        let secret = Secret::from("s:e%c+r&e=t");
        for (auth, expected) in [
            (
                ClientAuth::Post,
                &["the+code", "the verifier", "s:e%c+r&e=t"][..],
            ),
            (
                ClientAuth::Basic,
                &[
                    "the+code",
                    "the verifier",
                    "s:e%c+r&e=t",
                    "aWQ6cyUzQWUlMjVjJTJCciUyNmUlM0R0",
                ],
            ),
        ] {
            let client = Client {
                id: "id",
                secret: Some(&secret),
                auth,
            };
            let request = code_request(&client, &code, "http://[::1]/", &verifier, &[], None);
            let secrets = request.secrets();
            let secrets: Vec<&str> = secrets.iter().map(|one| one.expose().as_str()).collect();
            assert_eq!(secrets, expected);
        }
    }

    #[test]
    fn debug_output_hides_the_request() {
        let secret = Secret::from("hunter2");
        let client = Client {
            id: "hallpass",
            secret: Some(&secret),
            auth: ClientAuth::Post,
        };
        let request = revocation_request(&client, &secret, "access_token");
        assert!(!format!("{client:?}{request:?}").contains("hunter2"));
    }

    #[test]
    fn client_auth_is_serialized_in_lower_case() {
        for (auth, text) in [
            (ClientAuth::None, "\"none\""),
            (ClientAuth::Basic, "\"basic\""),
            (ClientAuth::Post, "\"post\""),
        ] {
            assert_eq!(serde_json::to_string(&auth).unwrap(), text);
            assert_eq!(serde_json::from_str::<ClientAuth>(text).unwrap(), auth);
        }
    }
}
