//! A provider's settings in one layer: a preset, the system's file or the user's file.
//!
//! Layers are merged key by key, with one exception: a layer that names a different server takes no
//! endpoints from the layers below it. Otherwise, a refresh token could be sent to a server that
//! did not issue it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::presets;
use super::{Identity, Origin, Provider, RegistryExchange};
use crate::config::error::{ConfigError, What};
use crate::config::section::{Section, Title, endpoint, issuer, printable};
use crate::config::settings::{OrOff, choice};
use crate::config::similar;
use crate::oauth::RedirectUri;
use crate::oauth::authorization::RESERVED;
use crate::oauth::token::ClientAuth;

#[derive(Debug, Clone, Default)]
pub(crate) struct ProviderLayer {
    pub(crate) preset: Option<&'static str>,
    /// The value of `{base}` in the preset, without a trailing slash.
    pub(crate) base: Option<String>,
    /// The value of `{tenant}` in the preset.
    pub(crate) tenant: Option<String>,
    pub(crate) server: Server,
    client_id: Option<String>,
    client_secret_file: Option<PathBuf>,
    client_auth: Option<ClientAuth>,
    scopes: Option<Vec<String>>,
    redirect_uri: Option<RedirectUri>,
    resources: Option<Vec<String>>,
    audience: Option<String>,
    extra_params: BTreeMap<String, String>,
    ca_file: Option<PathBuf>,
    trusted_audiences: Option<Vec<String>>,
    par: Option<bool>,
    pkce_unlisted_ok: Option<bool>,
    login_hint_param: Option<OrOff<String>>,
    account_prompt: Option<&'static str>,
    device_only_without_secret: Option<bool>,
    client_secret_required: Option<bool>,
    register_url: Option<Url>,
    register_note: Option<String>,
    git_username: Option<String>,
    registry_username: Option<String>,
    registry_exchange: Option<RegistryExchange>,
    git_bearer: Option<bool>,
    use_cluster_proxy: Option<bool>,
}

/// The settings that belong to one authorization server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    issuer: Option<String>,
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    device_authorization_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    userinfo_endpoint: Option<Url>,
    identity: Option<Identity>,
}

/// The keys of [`Server`].
pub(super) const SERVER_KEYS: &[&str] = &[
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "identity",
];

const CLIENT_AUTHS: &[(&str, ClientAuth)] = &[
    ("none", ClientAuth::None),
    ("basic", ClientAuth::Basic),
    ("post", ClientAuth::Post),
];

/// The values of `prompt` that let the user choose an account: OpenID Connect's own, and the one
/// that asks for the password again at providers without an account picker.
pub(super) const ACCOUNT_PROMPTS: &[(&str, &str)] =
    &[("select_account", "select_account"), ("login", "login")];

impl ProviderLayer {
    /// A layer that only names a preset.
    pub(crate) fn of_preset(id: &'static str) -> Self {
        Self {
            preset: Some(id),
            ..Self::default()
        }
    }

    pub(crate) fn read(mut section: Section<'_, '_>) -> Result<Self, ConfigError> {
        let layer = Self::read_keys(&mut section)?;
        section.end()?;
        Ok(layer)
    }

    /// The keys of a provider's section, and of a preset's file.
    pub(crate) fn read_keys(section: &mut Section<'_, '_>) -> Result<Self, ConfigError> {
        Ok(Self {
            preset: section.parsed("preset", preset)?,
            base: section.parsed("base", base)?,
            tenant: section.parsed("tenant", tenant)?,
            server: Server::read(section)?,
            client_id: section.text("client_id")?,
            client_secret_file: section.path("client_secret_file")?,
            client_auth: section.parsed("client_auth", |text| choice(text, CLIENT_AUTHS))?,
            scopes: section.list("scopes", scope)?,
            redirect_uri: section.parsed("redirect_uri", redirect_uri)?,
            resources: section.list("resources", resource_indicator)?,
            audience: section.text("audience")?,
            extra_params: section
                .map("extra_params", |name| extra_param(name).map(drop))?
                .unwrap_or_default(),
            ca_file: section.path("ca_file")?,
            trusted_audiences: section.list("trusted_audiences", |text| Ok(text.to_owned()))?,
            par: section.flag("par")?,
            pkce_unlisted_ok: section.parsed("pkce", |text| choice(text, &[("S256", true)]))?,
            login_hint_param: section.value("login_hint_param", |value| {
                if value.as_bool() == Some(false) {
                    return Ok(OrOff::Off);
                }
                let name = value.as_str().ok_or(What::Is("a string, or false"))?;
                extra_param(name).map(|name| OrOff::On(name.to_owned()))
            })?,
            account_prompt: section
                .parsed("account_prompt", |text| choice(text, ACCOUNT_PROMPTS))?,
            device_only_without_secret: section.flag("device_only_without_secret")?,
            client_secret_required: section.flag("client_secret_required")?,
            register_url: section.parsed("register_url", endpoint_with_fragment)?,
            register_note: section.text("register_note")?,
            git_username: section.text("git_username")?,
            registry_username: section.text("registry_username")?,
            registry_exchange: section.parsed("registry_exchange", |text| {
                choice(text, RegistryExchange::ALL)
            })?,
            git_bearer: section.flag("git_bearer")?,
            use_cluster_proxy: section.flag("use_cluster_proxy")?,
        })
    }

    /// Merges this layer over a weaker one.
    pub(crate) fn over(self, lower: Self) -> Self {
        let names_a_server = self.names_a_server();
        let Self {
            preset,
            base,
            tenant,
            server,
            client_id,
            client_secret_file,
            client_auth,
            scopes,
            redirect_uri,
            resources,
            audience,
            extra_params,
            ca_file,
            trusted_audiences,
            par,
            pkce_unlisted_ok,
            login_hint_param,
            account_prompt,
            device_only_without_secret,
            client_secret_required,
            register_url,
            register_note,
            git_username,
            registry_username,
            registry_exchange,
            git_bearer,
            use_cluster_proxy,
        } = self;
        let mut all_params = lower.extra_params;
        all_params.extend(extra_params);
        Self {
            preset: preset.or(lower.preset),
            base: base.or(lower.base),
            tenant: tenant.or(lower.tenant),
            server: if names_a_server {
                server
            } else {
                server.over(lower.server)
            },
            client_id: client_id.or(lower.client_id),
            client_secret_file: client_secret_file.or(lower.client_secret_file),
            client_auth: client_auth.or(lower.client_auth),
            scopes: scopes.or(lower.scopes),
            redirect_uri: redirect_uri.or(lower.redirect_uri),
            resources: resources.or(lower.resources),
            audience: audience.or(lower.audience),
            extra_params: all_params,
            ca_file: ca_file.or(lower.ca_file),
            trusted_audiences: trusted_audiences.or(lower.trusted_audiences),
            par: par.or(lower.par),
            pkce_unlisted_ok: pkce_unlisted_ok.or(lower.pkce_unlisted_ok),
            login_hint_param: login_hint_param.or(lower.login_hint_param),
            account_prompt: account_prompt.or(lower.account_prompt),
            device_only_without_secret: device_only_without_secret
                .or(lower.device_only_without_secret),
            client_secret_required: client_secret_required.or(lower.client_secret_required),
            register_url: register_url.or(lower.register_url),
            register_note: register_note.or(lower.register_note),
            git_username: git_username.or(lower.git_username),
            registry_username: registry_username.or(lower.registry_username),
            registry_exchange: registry_exchange.or(lower.registry_exchange),
            git_bearer: git_bearer.or(lower.git_bearer),
            use_cluster_proxy: use_cluster_proxy.or(lower.use_cluster_proxy),
        }
    }

    /// The provider that all layers together describe. Only the preset that they name is parsed.
    pub(crate) fn resolve(
        self,
        name: String,
        origin: Origin,
        ca_file: Option<PathBuf>,
    ) -> Result<Provider, ConfigError> {
        let mut unfilled = None;
        let layer = match self.preset {
            None => self,
            Some(id) => {
                let preset = presets::read(id, &self)?;
                unfilled = preset.unfilled;
                // A preset, base and tenant don't name a different server than the preset did.
                let tenant = self.tenant.clone();
                let own = Self {
                    preset: None,
                    base: None,
                    tenant: None,
                    ..self
                };
                Self {
                    preset: Some(id),
                    tenant,
                    ..own.over(preset.layer)
                }
            }
        };
        let provider = layer.into_provider(name, origin, ca_file);
        match unfilled {
            Some("base") => return Err(provider.unfilled("base", "https://git.corp.example")),
            Some("tenant") => {
                let example = "00000000-0000-0000-0000-000000000000";
                return Err(provider.unfilled("tenant", example));
            }
            Some(_) | None => {}
        }
        check(provider)
    }

    fn into_provider(self, name: String, origin: Origin, ca_file: Option<PathBuf>) -> Provider {
        let Self {
            preset,
            base: _,
            tenant,
            server,
            client_id,
            client_secret_file,
            client_auth,
            scopes,
            redirect_uri,
            resources,
            audience,
            extra_params,
            ca_file: own_ca_file,
            trusted_audiences,
            par,
            pkce_unlisted_ok,
            login_hint_param,
            account_prompt,
            device_only_without_secret,
            client_secret_required,
            register_url,
            register_note,
            git_username,
            registry_username,
            registry_exchange,
            git_bearer,
            use_cluster_proxy,
        } = self;
        let Server {
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            jwks_uri,
            userinfo_endpoint,
            identity,
        } = server;
        let unset = Provider::default();
        Provider {
            name,
            preset,
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            jwks_uri,
            userinfo_endpoint,
            identity,
            client_id,
            client_secret_file,
            client_auth,
            scopes: scopes.unwrap_or(unset.scopes),
            scopes_are_default: false,
            sign_in_scopes: Vec::new(),
            takes_broader_token: false,
            shows_scopes: false,
            redirect_uri: redirect_uri.unwrap_or(unset.redirect_uri),
            resources: resources.unwrap_or(unset.resources),
            audience,
            extra_params,
            ca_file: own_ca_file.or(ca_file),
            trusted_audiences: trusted_audiences.unwrap_or(unset.trusted_audiences),
            par: par.unwrap_or(unset.par),
            pkce_unlisted_ok: pkce_unlisted_ok.unwrap_or(unset.pkce_unlisted_ok),
            login_hint_param: login_hint_param.map_or(unset.login_hint_param, OrOff::on),
            account_prompt,
            device_only_without_secret: device_only_without_secret
                .unwrap_or(unset.device_only_without_secret),
            client_secret_required: client_secret_required.unwrap_or(unset.client_secret_required),
            register_url: register_url.map(String::from),
            register_note,
            git_username,
            registry_username,
            registry_exchange,
            tenant,
            git_bearer: git_bearer.unwrap_or(unset.git_bearer),
            use_cluster_proxy: use_cluster_proxy.unwrap_or(unset.use_cluster_proxy),
            origin,
        }
    }

    fn names_a_server(&self) -> bool {
        self.preset.is_some()
            || self.base.is_some()
            || self.tenant.is_some()
            || self.server.is_named()
    }
}

impl Server {
    fn read(section: &mut Section<'_, '_>) -> Result<Self, ConfigError> {
        Ok(Self {
            issuer: section.parsed("issuer", issuer)?,
            authorization_endpoint: section.parsed("authorization_endpoint", endpoint)?,
            token_endpoint: section.parsed("token_endpoint", endpoint)?,
            device_authorization_endpoint: section
                .parsed("device_authorization_endpoint", endpoint)?,
            revocation_endpoint: section.parsed("revocation_endpoint", endpoint)?,
            jwks_uri: section.parsed("jwks_uri", endpoint)?,
            userinfo_endpoint: section.parsed("userinfo_endpoint", endpoint)?,
            identity: Self::read_identity(section)?,
        })
    }

    fn read_identity(section: &mut Section<'_, '_>) -> Result<Option<Identity>, ConfigError> {
        let at = section.place_of("identity");
        let Some(mut identity) = section.table("identity", Title::Identity)? else {
            return Ok(None);
        };
        let at = at.map_or(0, |span| span.start);
        let url = identity.parsed("url", endpoint)?;
        let subject = identity.text("subject")?;
        let name = identity.text("name")?;
        if identity.unfilled().is_some() {
            section.adopt_unfilled(&identity);
            return Ok(None);
        }
        let url = url.ok_or_else(|| identity.absent(at, "url"))?;
        let subject = subject.ok_or_else(|| identity.absent(at, "subject"))?;
        identity.end()?;
        Ok(Some(Identity { url, subject, name }))
    }

    /// Whether this layer names a server, rather than only adding to a known one.
    pub(super) fn is_named(&self) -> bool {
        self.issuer.is_some()
            || self.authorization_endpoint.is_some()
            || self.token_endpoint.is_some()
    }

    fn over(self, lower: Self) -> Self {
        let Self {
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            jwks_uri,
            userinfo_endpoint,
            identity,
        } = self;
        Self {
            issuer: issuer.or(lower.issuer),
            authorization_endpoint: authorization_endpoint.or(lower.authorization_endpoint),
            token_endpoint: token_endpoint.or(lower.token_endpoint),
            device_authorization_endpoint: device_authorization_endpoint
                .or(lower.device_authorization_endpoint),
            revocation_endpoint: revocation_endpoint.or(lower.revocation_endpoint),
            jwks_uri: jwks_uri.or(lower.jwks_uri),
            userinfo_endpoint: userinfo_endpoint.or(lower.userinfo_endpoint),
            identity: identity.or(lower.identity),
        }
    }
}

/// Checks what every flow needs. The client ID is checked when it is used.
fn check(provider: Provider) -> Result<Provider, ConfigError> {
    let by_hand = provider.token_endpoint.is_some()
        && (provider.authorization_endpoint.is_some()
            || provider.device_authorization_endpoint.is_some());
    if provider.issuer.is_none() && !by_hand {
        if provider.preset.is_none()
            && let Some(preset) = presets::known(&provider.name)
        {
            return Err(provider.missing("preset", preset));
        }
        return Err(provider.unfilled("issuer", "https://login.corp.example"));
    }
    if provider.issuer.is_none() && provider.is_openid() {
        return Err(ConfigError::OpenIdWithoutIssuer {
            provider: provider.name,
        });
    }
    Ok(provider)
}

fn preset(text: &str) -> Result<&'static str, What> {
    presets::known(text).ok_or_else(|| What::UnknownPreset {
        similar: similar::nearest(text, presets::names()),
        known: presets::names().collect::<Vec<_>>().join(", "),
    })
}

fn base(text: &str) -> Result<String, What> {
    let url = endpoint(text)?;
    if url.query().is_some() {
        return Err(What::Is("a URL without a query"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Under any other name of a directory, Entra's metadata has an issuer that differs from its URL,
/// and OIDC Discovery §4.3 requires rejecting that.
fn tenant(text: &str) -> Result<String, What> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let is_guid = text.split('-').map(str::len).eq(GROUPS)
        && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    is_guid
        .then(|| text.to_ascii_lowercase())
        .ok_or(What::Tenant)
}

/// RFC 6749 §3.3
pub(crate) fn scope(text: &str) -> Result<String, What> {
    let is_token = text
        .bytes()
        .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if is_token && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(What::Is("one scope per entry, without spaces"))
    }
}

pub(crate) fn redirect_uri(text: &str) -> Result<RedirectUri, What> {
    RedirectUri::parse(text).map_err(What::RedirectUri)
}

/// RFC 8707 §2: an absolute URI without a fragment, sent as written.
pub(crate) fn resource_indicator(text: &str) -> Result<String, What> {
    let url = Url::parse(text).map_err(|_| What::Is("an absolute URI"))?;
    if url.fragment().is_some() {
        return Err(What::Is("a URI without a fragment"));
    }
    Ok(text.to_owned())
}

pub(crate) fn extra_param(name: &str) -> Result<&str, What> {
    let name = printable(name)?;
    if RESERVED.contains(&name) {
        return Err(What::Reserved {
            parameter: name.to_owned(),
        });
    }
    Ok(name)
}

/// A page for the user to open; hallpass sends nothing there.
fn endpoint_with_fragment(text: &str) -> Result<Url, What> {
    let (page, _) = text.split_once('#').unwrap_or((text, ""));
    endpoint(page)?;
    Url::parse(text).map_err(|_| What::Is("a URL"))
}
