//! A provider's settings in one layer: a preset, the system's file or the user's file.
//!
//! Layers are merged key by key, with one exception: a layer that names a different server takes no
//! endpoints from the layers below it. Otherwise, a refresh token could be sent to a server that
//! did not issue it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::definition::{ACCOUNT_PROMPTS, Identity, Origin, Provider, RegistryExchange};
use super::values::{
    base, endpoint, endpoint_with_fragment, extra_param, host, issuer, preset, redirect_uris,
    resource_indicator, scope, tenant,
};
use crate::config::error::{ConfigError, What};
use crate::config::section::{Section, Title};
use crate::config::settings::{OrOff, choice};
use crate::oauth::RedirectUri;
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
    git_neutral_usernames: Option<Vec<String>>,
    git_companion_hosts: Option<Vec<String>>,
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
            redirect_uri: section.one_or_more("redirect_uri", redirect_uris)?,
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
            git_neutral_usernames: section
                .list("git_neutral_usernames", |text| Ok(text.to_owned()))?,
            git_companion_hosts: section.list("git_companion_hosts", host)?,
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
            git_neutral_usernames,
            git_companion_hosts,
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
            git_neutral_usernames: git_neutral_usernames.or(lower.git_neutral_usernames),
            git_companion_hosts: git_companion_hosts.or(lower.git_companion_hosts),
            registry_username: registry_username.or(lower.registry_username),
            registry_exchange: registry_exchange.or(lower.registry_exchange),
            git_bearer: git_bearer.or(lower.git_bearer),
            use_cluster_proxy: use_cluster_proxy.or(lower.use_cluster_proxy),
        }
    }

    /// Merges this layer over that of its preset `id`.
    pub(super) fn over_preset(self, id: &'static str, preset: Self) -> Self {
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
            ..own.over(preset)
        }
    }

    pub(super) fn into_provider(
        self,
        name: String,
        origin: Origin,
        ca_file: Option<PathBuf>,
    ) -> Provider {
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
            git_neutral_usernames,
            git_companion_hosts,
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
            git_neutral_usernames: git_neutral_usernames.unwrap_or(unset.git_neutral_usernames),
            git_companion_hosts: git_companion_hosts.unwrap_or(unset.git_companion_hosts),
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
