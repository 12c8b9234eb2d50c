//! The authorization request: the URL that the user's browser opens (RFC 6749 §4.1.1).
//!
//! It is always `response_type=code` with PKCE S256. The URL contains `state` and `nonce`, so it is
//! shown to the user but never logged.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1>,
//! <https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest>

use std::borrow::Cow;
use std::collections::BTreeMap;

use url::Url;

use crate::secret::Secret;

/// The parameters that can't be configured. hallpass sets them itself, or they change the protocol in
/// a way that it doesn't support (`response_mode=form_post`, a request object).
pub const RESERVED: &[&str] = &[
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "device_code",
    "grant_type",
    "id_token_hint",
    "nonce",
    "password",
    "redirect_uri",
    "refresh_token",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "token",
];

/// One authorization request.
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    pub endpoint: &'a Url,
    pub client_id: &'a str,
    /// Byte for byte the same as in the token request (RFC 6749 §4.1.3).
    pub redirect_uri: &'a str,
    pub scopes: &'a [String],
    pub state: &'a Secret<String>,
    pub nonce: Option<&'a Secret<String>>,
    pub challenge: &'a str,
    /// Each is a separate `resource` parameter (RFC 8707).
    pub resources: &'a [String],
    /// Not in any RFC. Without it, Auth0 issues an opaque token.
    pub audience: Option<&'a str>,
    /// The name of the parameter, usually `login_hint`, and the account.
    pub login_hint: Option<(&'a str, &'a str)>,
    pub prompt: Option<&'a str>,
    /// Configured parameters. They never override the others.
    pub extra: &'a BTreeMap<String, String>,
}

impl AuthorizationRequest<'_> {
    /// The endpoint's URL with these parameters. RFC 6749 §3.1 requires keeping the endpoint's own
    /// query.
    pub fn url(&self) -> Url {
        let parameters = self.parameters();
        let is_set = |name: &str| parameters.iter().any(|(set, _)| set == name);

        let mut url = self.endpoint.clone();
        url.set_fragment(None);
        // §3.1 also forbids repeated parameters. Unless the query has one of them, it stays byte for
        // byte the same.
        if url.query_pairs().any(|(name, _)| is_set(&name)) {
            let own: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| !is_set(name))
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(own);
        }
        url.query_pairs_mut().extend_pairs(&parameters);
        url
    }

    /// The parameters alone.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let Self {
            endpoint: _,
            client_id,
            redirect_uri,
            scopes,
            state,
            nonce,
            challenge,
            resources,
            audience,
            login_hint,
            prompt,
            extra,
        } = self;

        let scope = scopes.join(" ");
        let mut set: Vec<(&str, Cow<'_, str>)> = vec![
            ("response_type", "code".into()),
            ("client_id", (*client_id).into()),
            ("redirect_uri", (*redirect_uri).into()),
        ];
        if !scope.is_empty() {
            set.push(("scope", scope.into()));
        }
        set.push(("state", state.expose().into()));
        if let Some(nonce) = nonce {
            set.push(("nonce", nonce.expose().into()));
        }
        set.push(("code_challenge", (*challenge).into()));
        set.push(("code_challenge_method", "S256".into()));
        for resource in *resources {
            set.push(("resource", resource.into()));
        }
        if let Some(audience) = audience {
            set.push(("audience", (*audience).into()));
        }
        if let Some((name, account)) = login_hint {
            set.push((name, (*account).into()));
        }
        if let Some(prompt) = prompt {
            set.push(("prompt", (*prompt).into()));
        }

        let added = extra.iter().filter(|(name, _)| {
            let name = name.as_str();
            !RESERVED.contains(&name) && !set.iter().any(|(set, _)| *set == name)
        });
        set.iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .chain(added.map(|(name, value)| (name.clone(), value.clone())))
            .collect()
    }
}

/// The `prompt` parameter: the configured one, or else the one that the scopes require. If
/// `account_prompt` is set, it also makes the provider ask for the account.
///
/// An OpenID provider ignores `offline_access` unless `prompt` contains `consent` (OIDC Core §11).
pub fn prompt_for(
    scopes: &[String],
    extra: &BTreeMap<String, String>,
    account_prompt: Option<&str>,
) -> Option<String> {
    let has_scope = |wanted: &str| scopes.iter().any(|scope| scope == wanted);
    let mut prompt = match extra.get("prompt") {
        Some(configured) => configured.clone(),
        None if has_scope("openid") && has_scope("offline_access") => "consent".to_owned(),
        None => String::new(),
    };
    if let Some(account_prompt) = account_prompt {
        // OIDC Core §3.1.2.1: `none` excludes every other value.
        let has_it = prompt
            .split(' ')
            .any(|value| value == account_prompt || value == "none");
        if !has_it {
            let separator = if prompt.is_empty() { "" } else { " " };
            prompt = format!("{account_prompt}{separator}{prompt}");
        }
    }
    (!prompt.is_empty()).then_some(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    struct Parts {
        endpoint: Url,
        scopes: Vec<String>,
        state: Secret<String>,
        nonce: Secret<String>,
        resources: Vec<String>,
        extra: BTreeMap<String, String>,
    }

    impl Parts {
        fn new(endpoint: &str) -> Self {
            Self {
                endpoint: Url::parse(endpoint).unwrap(),
                scopes: strings(&["openid", "email"]),
                state: Secret::from("st"),
                nonce: Secret::from("no"),
                resources: Vec::new(),
                extra: BTreeMap::new(),
            }
        }

        fn request(&self) -> AuthorizationRequest<'_> {
            AuthorizationRequest {
                endpoint: &self.endpoint,
                client_id: "hallpass",
                redirect_uri: "http://127.0.0.1:8400/callback",
                scopes: &self.scopes,
                state: &self.state,
                nonce: Some(&self.nonce),
                challenge: "ch",
                resources: &self.resources,
                audience: None,
                login_hint: None,
                prompt: None,
                extra: &self.extra,
            }
        }
    }

    #[test]
    fn the_url_requests_a_code_with_s256() {
        let parts = Parts::new("https://as.example/authorize");
        assert_eq!(
            parts.request().url().as_str(),
            "https://as.example/authorize?response_type=code&client_id=hallpass\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A8400%2Fcallback&scope=openid+email\
             &state=st&nonce=no&code_challenge=ch&code_challenge_method=S256"
        );
    }

    #[test]
    fn an_empty_scope_is_omitted() {
        let mut parts = Parts::new("https://as.example/authorize");
        parts.scopes.clear();
        let mut request = parts.request();
        request.nonce = None;
        let names: Vec<String> = request.parameters().into_iter().map(|(n, _)| n).collect();
        assert!(!names.contains(&"scope".to_owned()));
        assert!(!names.contains(&"nonce".to_owned()));
    }

    #[test]
    fn the_endpoints_query_is_preserved_without_repeated_parameters() {
        for (endpoint, start) in [
            (
                "https://as.example/a?p=b2c%20x",
                "https://as.example/a?p=b2c%20x&response_type=code&",
            ),
            (
                "https://as.example/a?p=1&state=evil&response_type=token#x",
                "https://as.example/a?p=1&response_type=code&",
            ),
            (
                "https://as.example/a?state=evil",
                "https://as.example/a?response_type=code&",
            ),
        ] {
            let url = Parts::new(endpoint).request().url();
            assert!(url.as_str().starts_with(start), "{url}");
            assert_eq!(url.fragment(), None);
            let states: Vec<_> = url.query_pairs().filter(|(n, _)| n == "state").collect();
            assert_eq!(states, [("state".into(), "st".into())]);
        }
    }

    #[test]
    fn resources_audience_and_login_hint_are_sent() {
        let mut parts = Parts::new("https://as.example/a");
        parts.resources = strings(&["https://a.example/", "https://b.example/"]);
        let mut request = parts.request();
        request.audience = Some("api");
        request.login_hint = Some(("login", "ann"));
        let parameters = request.parameters();
        for expected in [
            ("resource", "https://a.example/"),
            ("resource", "https://b.example/"),
            ("audience", "api"),
            ("login", "ann"),
        ] {
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert!(parameters.contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn configured_parameters_never_override_others() {
        let mut parts = Parts::new("https://as.example/a");
        parts.extra = map(&[
            ("access_type", "offline"),
            ("audience", "theirs"),
            ("client_id", "evil"),
            ("code_challenge_method", "plain"),
            ("prompt", "login"),
            ("response_mode", "form_post"),
            ("response_type", "token"),
        ]);
        let mut request = parts.request();
        request.prompt = Some("consent login");
        request.audience = Some("ours");
        let parameters = request.parameters();
        let values = |wanted: &str| -> Vec<&str> {
            parameters
                .iter()
                .filter(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
                .collect()
        };
        assert_eq!(values("access_type"), ["offline"]);
        assert_eq!(values("audience"), ["ours"]);
        assert_eq!(values("client_id"), ["hallpass"]);
        assert_eq!(values("code_challenge_method"), ["S256"]);
        assert_eq!(values("prompt"), ["consent login"]);
        assert_eq!(values("response_mode"), [""; 0]);
        assert_eq!(values("response_type"), ["code"]);
    }

    #[test]
    fn every_standard_parameter_is_reserved() {
        let parts = Parts::new("https://as.example/a");
        for (name, _) in parts.request().parameters() {
            assert!(RESERVED.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn the_prompt_combines_configuration_scopes_and_account_choice() {
        let offline = &["openid", "offline_access"][..];
        let picker = Some("select_account");
        for (scopes, prompt, account_prompt, expected) in [
            (offline, None, None, Some("consent")),
            (offline, Some("login"), None, Some("login")),
            (&["openid"], None, None, None),
            (&["offline_access"], None, None, None),
            (&[], None, None, None),
            (offline, None, picker, Some("select_account consent")),
            (&["openid"], None, picker, Some("select_account")),
            (&[], None, Some("login"), Some("login")),
            (&[], Some("consent"), picker, Some("select_account consent")),
            (&[], Some("login"), Some("login"), Some("login")),
            (
                &[],
                Some("consent login"),
                Some("login"),
                Some("consent login"),
            ),
            (&[], Some("none"), picker, Some("none")),
        ] {
            let extra: Vec<_> = prompt
                .map(|prompt| ("prompt", prompt))
                .into_iter()
                .collect();
            let found = prompt_for(&strings(scopes), &map(&extra), account_prompt);
            assert_eq!(
                found.as_deref(),
                expected,
                "{scopes:?} {prompt:?} {account_prompt:?}"
            );
        }
    }
}
