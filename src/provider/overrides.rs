//! What the command line says about a provider.

use std::path::PathBuf;

use url::Url;

use super::configuration::Config;
use super::definition::{OF_ANY_ISSUER, Origin, Provider};
use super::realm::Realm;
use super::values;
use crate::config::ConfigError;
use crate::config::error::What;
use crate::config::section::printable;

/// What the command line overrides in a provider's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderOverrides {
    /// As typed: relative to the working directory.
    pub client_secret_file: Option<PathBuf>,
    pub scopes: Vec<String>,
    pub redirect_uri: Option<String>,
    pub extra_params: Vec<(String, String)>,
    pub resources: Vec<String>,
    pub audience: Option<String>,
}

impl ProviderOverrides {
    /// The provider with these overrides.
    pub fn of(self, mut provider: Provider) -> Result<Provider, ConfigError> {
        let Self {
            client_secret_file,
            scopes,
            redirect_uri,
            extra_params,
            resources,
            audience,
        } = self;
        if client_secret_file.is_some() {
            provider.client_secret_file = client_secret_file;
        }
        if !scopes.is_empty() {
            let scopes = scopes.iter().map(|text| values::scope(text)).collect();
            provider.scopes = given("--scope", scopes)?;
            provider.takes_broader_token = false;
        }
        if let Some(text) = redirect_uri {
            provider.redirect_uri = given("--redirect-uri", values::redirect_uri(&text))?;
        }
        for (parameter, value) in extra_params {
            given("--extra-param", values::extra_param(&parameter))?;
            provider.extra_params.insert(parameter, value);
        }
        if !resources.is_empty() {
            let resources = resources
                .iter()
                .map(|text| values::resource_indicator(text))
                .collect();
            provider.resources = given("--resource", resources)?;
        }
        if audience.is_some() {
            provider.audience = audience;
        }
        Ok(provider)
    }
}

impl Config {
    /// A provider from the command line alone. Only the trusted certificates come from the
    /// configuration.
    pub fn ad_hoc(
        &self,
        issuer_url: &str,
        client_id: &str,
        asked: ProviderOverrides,
    ) -> Result<Provider, ConfigError> {
        let issuer = given("--issuer-url", values::issuer(issuer_url))?;
        let name = Url::parse(&issuer).ok().as_ref().and_then(Realm::of);
        let provider = Provider {
            name: name.map_or(String::new(), |realm| realm.to_string()),
            issuer: Some(issuer),
            client_id: Some(given("--client-id", printable(client_id))?.to_owned()),
            ca_file: self.settings.ca_file.clone(),
            scopes: OF_ANY_ISSUER
                .iter()
                .map(|&scope| scope.to_owned())
                .collect(),
            scopes_are_default: asked.scopes.is_empty(),
            origin: Origin {
                configured: false,
                file: self.sources.file.shown(),
            },
            ..Provider::default()
        };
        asked.of(provider)
    }
}

fn given<T>(name: &'static str, value: Result<T, What>) -> Result<T, ConfigError> {
    value.map_err(|what| ConfigError::Given { name, what })
}
