//! A provider: an authorization server, and our registration with it.
//!
//! Every difference between providers is a named field here, set by a preset or the configuration.
//! No code anywhere depends on a provider's name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::presets;
use crate::config::error::{BadSecret, ConfigError, Lines, Missing, Unregistered};
use crate::config::file::{self, Kind};
use crate::config::shown;
use crate::oauth::RedirectUri;
use crate::oauth::redirect_uri::LoopbackHost;
use crate::oauth::token::ClientAuth;
use crate::secret::Secret;

/// The values of `prompt` that let the user choose an account: OpenID Connect's own, and the one
/// that asks for the password again at providers without an account picker.
pub(super) const ACCOUNT_PROMPTS: &[(&str, &str)] =
    &[("select_account", "select_account"), ("login", "login")];

/// An authorization server, and our registration with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "quirks, each with a name and independent of the others"
)]
pub struct Provider {
    pub name: String,
    #[serde(deserialize_with = "preset_named")]
    pub preset: Option<Word>,

    /// Where discovery starts, and the required `iss`, compared character by character.
    pub issuer: Option<String>,
    /// This and the following endpoints override those that discovery finds.
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub device_authorization_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    pub jwks_uri: Option<Url>,
    pub userinfo_endpoint: Option<Url>,
    /// How to find out who signed in if there is no ID token.
    pub identity: Option<Identity>,

    /// `None` if hallpass is not registered yet, which [`Provider::client_id`] reports.
    pub client_id: Option<String>,
    pub client_secret_file: Option<PathBuf>,
    /// `None` to derive it from the secret and the server's metadata.
    pub client_auth: Option<ClientAuth>,
    pub scopes: Vec<String>,
    /// The scopes are the defaults, so those missing from the server's metadata are left out.
    pub scopes_are_default: bool,
    /// What one sign-in requests if the `[[resources]]` entries together need more than `scopes`.
    pub sign_in_scopes: Vec<SignInScopes>,
    /// If the provider can't narrow a token, the broader one may be used, for the hosts of the
    /// user's own entries.
    pub takes_broader_token: bool,
    /// The sign-in requests more than its caller needs, and has to say so.
    pub shows_scopes: bool,
    pub redirect_uri: RedirectUri,
    /// RFC 8707
    pub resources: Vec<String>,
    pub audience: Option<String>,
    /// Sent unchanged with the authorization request. They can't be parameters that hallpass sets.
    pub extra_params: BTreeMap<String, String>,
    /// Certificates in PEM to trust in addition to the platform's: the provider's own setting, or
    /// else the global one.
    pub ca_file: Option<PathBuf>,

    /// Other clients that an ID token's audience may include if `azp` does not name this client.
    pub trusted_audiences: Vec<String>,
    /// Push each authorization request first (RFC 9126), even if the metadata doesn't require it.
    pub par: bool,
    /// Send an S256 challenge although the server's metadata lists methods without S256.
    pub pkce_unlisted_ok: bool,
    /// The parameter that names the account to sign in with, if the provider has one.
    pub login_hint_param: Option<String>,
    /// The `prompt` that makes the provider show its account picker; `None` to follow its metadata.
    #[serde(deserialize_with = "account_prompt_named")]
    pub account_prompt: Option<Word>,
    /// Without a client secret only the device flow works.
    pub device_only_without_secret: bool,
    /// No flow works without the client secret, even though the client is a native one.
    pub client_secret_required: bool,
    /// Where the user registers an application.
    pub register_url: Option<String>,
    /// What the user must tick there.
    pub register_note: Option<String>,
    /// The user name that git sends with a token.
    pub git_username: Option<String>,
    /// The user names in a git server's URLs that identify no person; `*` for every name that
    /// matches no account.
    pub git_neutral_usernames: Vec<String>,
    /// Other hosts of the same git server, which are set up together with its own.
    pub git_companion_hosts: Vec<String>,
    /// The user name that docker sends with a token.
    pub registry_username: Option<String>,
    /// How a registry turns a token into its own credential; `None` if it accepts the token.
    pub registry_exchange: Option<RegistryExchange>,
    /// The directory that issues the tokens, if the preset covers many.
    pub tenant: Option<String>,
    /// The git server accepts the token only as `Authorization: Bearer`, not as a password.
    pub git_bearer: bool,
    /// The proxy of the cluster's entry in the kubeconfig is needed for this server too.
    pub use_cluster_proxy: bool,

    /// Where its section is or would be written, for messages.
    pub origin: Origin,
}

/// User names that belong to the protocol rather than to a person, at every git server.
const NEUTRAL_USERNAMES: &[&str] = &["git", "oauth2", "x-access-token"];

/// A string constant of this program. As a plain `&'static str`, it would make serde borrow from
/// its input.
pub type Word = &'static str;

/// Scopes that a sign-in requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInScopes {
    whose: SignInOf,
    scopes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum SignInOf {
    EachAccount,
    DefaultAccount,
    Account(String),
}

impl SignInScopes {
    /// For the account named in an entry.
    pub fn of_account(account: Option<String>, scopes: Vec<String>) -> Self {
        Self {
            whose: account.map_or(SignInOf::DefaultAccount, SignInOf::Account),
            scopes,
        }
    }

    pub fn of_each_account(scopes: Vec<String>) -> Self {
        Self {
            whose: SignInOf::EachAccount,
            scopes,
        }
    }

    /// The scopes, if they belong to this account.
    pub fn of(&self, account: &str, is_default: bool) -> &[String] {
        let belongs = match &self.whose {
            SignInOf::EachAccount => true,
            SignInOf::DefaultAccount => is_default,
            SignInOf::Account(own) => own == account,
        };
        if belongs { &self.scopes } else { &[] }
    }
}

/// The request that shows who a token belongs to, and the members of its JSON response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Requested with the access token as Bearer.
    pub url: Url,
    /// The member that identifies the user and never changes: a string or a number.
    pub subject: String,
    /// The member with the name that the user recognizes.
    pub name: Option<String>,
}

/// The registries that exchange a token for their own credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryExchange {
    /// Azure Container Registry.
    Acr,
    Harbor,
    /// A registry whose token server issues identity tokens.
    IdentityToken,
}

impl RegistryExchange {
    /// By their names in the configuration.
    pub const ALL: &[(&'static str, Self)] = &[
        ("acr", Self::Acr),
        ("harbor", Self::Harbor),
        ("identity-token", Self::IdentityToken),
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acr => "acr",
            Self::Harbor => "harbor",
            Self::IdentityToken => "identity-token",
        }
    }
}

/// Where a provider's section is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub configured: bool,
    /// The user's file, as its path is shown.
    pub file: String,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: None,
            issuer: None,
            authorization_endpoint: None,
            token_endpoint: None,
            device_authorization_endpoint: None,
            revocation_endpoint: None,
            jwks_uri: None,
            userinfo_endpoint: None,
            identity: None,
            client_id: None,
            client_secret_file: None,
            client_auth: None,
            scopes: Vec::new(),
            scopes_are_default: false,
            sign_in_scopes: Vec::new(),
            takes_broader_token: false,
            shows_scopes: false,
            redirect_uri: RedirectUri::default(),
            resources: Vec::new(),
            audience: None,
            extra_params: BTreeMap::new(),
            ca_file: None,
            trusted_audiences: Vec::new(),
            par: false,
            pkce_unlisted_ok: false,
            // OIDC Core §3.1.2.1
            login_hint_param: Some("login_hint".to_owned()),
            account_prompt: None,
            device_only_without_secret: false,
            client_secret_required: false,
            register_url: None,
            register_note: None,
            git_username: None,
            registry_username: None,
            registry_exchange: None,
            tenant: None,
            git_neutral_usernames: NEUTRAL_USERNAMES
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            git_companion_hosts: Vec::new(),
            git_bearer: false,
            use_cluster_proxy: false,
            origin: Origin::default(),
        }
    }
}

/// The scopes to request if only an issuer is given: the user's identity, and a token that can be
/// refreshed (OpenID Connect Core §11).
pub const OF_ANY_ISSUER: &[&str] = &["openid", "offline_access"];

impl Provider {
    /// Our client ID, or an error that says where to register and what to configure.
    pub fn client_id(&self) -> Result<&str, ConfigError> {
        self.client_id
            .as_deref()
            .ok_or_else(|| self.unregistered(None))
    }

    fn unregistered(&self, unfilled: Option<(&'static str, &'static str)>) -> ConfigError {
        ConfigError::Unregistered(Box::new(Unregistered {
            register_url: self.register_url.clone(),
            note: self.register_note.clone(),
            redirect_uri: to_register(&self.redirect_uri),
            secret_wanted: self.client_secret_required,
            unfilled,
            lines: self.lines(),
        }))
    }

    /// The error for an unfilled placeholder of the preset. It includes a missing client ID, so
    /// that one error names everything.
    pub(crate) fn unfilled(&self, key: &'static str, example: &'static str) -> ConfigError {
        if self.client_id.is_none() {
            self.unregistered(Some((key, example)))
        } else {
            self.missing(key, example)
        }
    }

    /// Whether an ID token comes with the access token (OIDC Core §3.1.2.1).
    pub fn is_openid(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "openid")
    }

    /// The scopes to request, given those that the server's metadata may list.
    pub fn asked_scopes(&self, supported: Option<&[String]>) -> Vec<String> {
        let is_supported = |scope: &&String| {
            !self.scopes_are_default || supported.is_none_or(|list| list.contains(scope))
        };
        self.scopes.iter().filter(is_supported).cloned().collect()
    }

    /// Whether the metadata must be fetched: an endpoint that every sign-in needs is not
    /// configured, and there is an issuer.
    pub fn needs_discovery(&self) -> bool {
        let complete = self.authorization_endpoint.is_some()
            && self.token_endpoint.is_some()
            && (self.jwks_uri.is_some() || !self.is_openid())
            && !self.par;
        self.issuer.is_some() && !complete
    }

    /// Reads the client secret. It is read each time and never stored.
    pub fn client_secret(&self) -> Result<Option<Secret<String>>, ConfigError> {
        let Some(path) = &self.client_secret_file else {
            return if self.client_secret_required {
                Err(self.missing("client_secret_file", "~/.config/hallpass/client-secret"))
            } else {
                Ok(None)
            };
        };
        let bad = |why| ConfigError::Secret {
            provider: self.name.clone(),
            file: shown(path),
            why,
        };
        let text = match file::read(path, Kind::Private) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(bad(BadSecret::Absent)),
            Err(file::Unusable::Untrusted(why)) => return Err(bad(BadSecret::Untrusted(why))),
            Err(file::Unusable::Unreadable(cause)) => {
                return Err(bad(BadSecret::Unreadable(cause)));
            }
        };
        secret_line(text).map(Some).map_err(bad)
    }

    pub(crate) fn missing(&self, key: &'static str, example: &'static str) -> ConfigError {
        ConfigError::Missing(Box::new(Missing {
            key,
            example,
            lines: self.lines(),
        }))
    }

    fn lines(&self) -> Lines {
        Lines {
            provider: self.name.clone(),
            preset: self.preset,
            configured: self.origin.configured,
            file: self.origin.file.clone(),
        }
    }
}

/// The preset with this name, or `None` if this version doesn't have it.
fn preset_named<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static str>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.as_deref().and_then(presets::known))
}

/// The prompt with this name, or `None` if this version doesn't have it.
fn account_prompt_named<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static str>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let mut known = ACCOUNT_PROMPTS.iter().map(|(_, prompt)| *prompt);
    Ok(known.find(|prompt| name.as_deref() == Some(prompt)))
}

/// The single line of a secret's file, without the newline that editors and `echo` add.
fn secret_line(mut text: Zeroizing<String>) -> Result<Secret<String>, BadSecret> {
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    if text.is_empty() {
        Err(BadSecret::Empty)
    } else if text.contains(char::is_control) {
        Err(BadSecret::Lines)
    } else {
        Ok(Secret::new(std::mem::take(&mut *text)))
    }
}

/// A redirect URI as entered at registration: without a port if any port is allowed.
fn to_register(uri: &RedirectUri) -> String {
    let host = match uri.host {
        LoopbackHost::V4 => "127.0.0.1",
        LoopbackHost::V6 => "[::1]",
        LoopbackHost::Localhost => "localhost",
    };
    match uri.port {
        Some(port) => uri.with_port(port),
        None => format!("http://{host}{}", uri.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_scopes_are_those_that_the_server_supports() {
        let list = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        for (are_default, supported, expected) in [
            (true, None, OF_ANY_ISSUER),
            (
                true,
                Some(list(&["email", "offline_access", "openid"])),
                OF_ANY_ISSUER,
            ),
            (true, Some(list(&["openid", "email"])), &["openid"]),
            (true, Some(list(&["repo"])), &[]),
            (false, Some(list(&["repo"])), OF_ANY_ISSUER),
        ] {
            let provider = Provider {
                scopes: list(OF_ANY_ISSUER),
                scopes_are_default: are_default,
                ..Provider::default()
            };
            let asked = provider.asked_scopes(supported.as_deref());
            assert_eq!(asked, expected, "{are_default} {supported:?}");
        }
    }

    #[test]
    fn a_secret_file_has_a_single_line() {
        for (text, expected) in [
            ("abc", Ok("abc")),
            ("abc\n", Ok("abc")),
            ("abc\r\n", Ok("abc")),
            ("abc\n\n", Ok("abc")),
            (" a:%+b ", Ok(" a:%+b ")),
            ("", Err("is empty")),
            ("\n", Err("is empty")),
            ("abc\ndef\n", Err("has more than one line")),
            ("abc\0", Err("has more than one line")),
        ] {
            let found = secret_line(Zeroizing::new(text.to_owned()));
            let found = found.as_ref().map(|secret| secret.expose().as_str());
            let found = found.map_err(ToString::to_string);
            assert_eq!(found, expected.map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn discovery_runs_only_for_endpoints_that_are_not_configured() {
        let url = || Some(Url::parse("https://login.example/x").unwrap());
        let by_hand = Provider {
            issuer: Some("https://login.example".to_owned()),
            authorization_endpoint: url(),
            token_endpoint: url(),
            ..Provider::default()
        };
        let openid = Provider {
            scopes: vec!["openid".to_owned()],
            ..by_hand.clone()
        };
        let keyed = Provider {
            jwks_uri: url(),
            ..openid.clone()
        };
        let no_token = Provider {
            token_endpoint: None,
            ..by_hand.clone()
        };
        let no_issuer = Provider {
            issuer: None,
            ..no_token.clone()
        };
        let found = [by_hand, openid, keyed, no_token, no_issuer].map(|p| p.needs_discovery());
        assert_eq!(found, [false, true, false, true, false]);
    }
}
