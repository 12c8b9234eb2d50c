//! The complete configuration: settings, providers and resources.
//!
//! Each layer is read once into a struct of options and merged over the weaker ones. A provider is
//! resolved only when it is needed, so a hit pays for one provider.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use url::Url;

use super::definition::{Origin, Provider, RegistryExchange, SignInScopes};
use super::entry::{FileLayer, Resource};
use super::layer::ProviderLayer;
use super::presets;
use super::realm::Realm;
use super::resource::Pattern;
use crate::config::section::Source;
use crate::config::settings::SettingsLayer;
use crate::config::{ConfigError, Flags, Settings, Sources, UserFile, shown_name, similar};
use crate::credential::TokenKind;
use crate::env::Env;

/// The complete configuration, before any provider is resolved.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    providers: BTreeMap<String, ProviderLayer>,
    /// The user's entries first: of two equally close matches, the first wins.
    resources: Vec<Resource>,
    pub(super) sources: Sources,
    /// Warnings about files that can still be used.
    pub warnings: Vec<String>,
}

/// How hallpass answers for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub provider: Provider,
    /// The account's label; `None` for the default account.
    pub account: Option<String>,
    /// The user name that git and docker send; `None` for the provider's.
    pub username: Option<String>,
    pub token: Option<TokenKind>,
    /// How the registry creates its own credential; `None` for the provider's setting.
    pub registry_exchange: Option<RegistryExchange>,
}

impl Config {
    /// Reads the system's and the user's file, the environment and the flags.
    pub fn load(env: &Env, flags: &Flags) -> Result<Self, ConfigError> {
        Self::of(Sources::read(env)?, env, flags)
    }

    /// The configuration that results if the edited user's file is written.
    pub(crate) fn load_edited(
        env: &Env,
        flags: &Flags,
        edited: &UserFile,
    ) -> Result<Self, ConfigError> {
        Self::of(Sources::edited(edited)?, env, flags)
    }

    fn of(sources: Sources, env: &Env, flags: &Flags) -> Result<Self, ConfigError> {
        let Sources { system, user, .. } = &sources;
        let system_layer = system.as_ref().map(FileLayer::of).transpose()?;
        let user_layer = user.as_ref().map(FileLayer::of).transpose()?;

        let FileLayer {
            settings,
            providers,
            resources,
        } = user_layer
            .unwrap_or_default()
            .over(system_layer.unwrap_or_default());
        let settings = SettingsLayer::of_env(env)?.over(settings);
        let needs_interactive_flag = settings.disables_prompts();
        let settings = Settings {
            needs_interactive_flag,
            ..SettingsLayer::of_flags(flags)
                .over(settings)
                .with_defaults()
        };
        let resources = resources
            .into_iter()
            .map(|entry| entry.checked(&providers))
            .collect::<Result<_, _>>()?;
        let warnings = system.as_ref().map(Source::warnings).unwrap_or_default();
        Ok(Self {
            settings,
            providers,
            resources,
            sources,
            warnings,
        })
    }

    /// The files that this configuration was read from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// A configured provider, or a preset by its bare name.
    pub fn provider(&self, name: &str) -> Result<Provider, ConfigError> {
        let configured = self.providers.get(name);
        let layer = match (configured, presets::known(name)) {
            (Some(layer), _) => layer.clone(),
            (None, Some(preset)) => ProviderLayer::of_preset(preset),
            (None, None) => return Err(self.unknown(name)),
        };
        let origin = Origin {
            configured: configured.is_some(),
            file: self.sources.file.shown(),
        };
        let mut provider = layer.resolve(name.to_owned(), origin, self.settings.ca_file.clone())?;
        provider.sign_in_scopes = self.sign_in_scopes(name, &provider.scopes);
        Ok(provider)
    }

    /// The provider's own scopes, and those that its entries need in addition.
    fn sign_in_scopes(&self, provider: &str, own: &[String]) -> Vec<SignInScopes> {
        let entries = self.resources.iter();
        let mut needed: Vec<SignInScopes> = entries
            .filter(|entry| entry.provider == provider && !entry.exact_scopes)
            .filter_map(|entry| {
                let scopes = entry.scopes.clone()?;
                Some(SignInScopes::of_account(entry.account.clone(), scopes))
            })
            .collect();
        needed.insert(0, SignInScopes::of_each_account(own.to_vec()));
        needed
    }

    /// The names of the configured providers, sorted.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The provider to use if none is named: the default, or else the only one.
    pub fn only_provider(&self) -> Result<Provider, ConfigError> {
        if let Some(name) = &self.settings.default_provider {
            return self.provider(name);
        }
        let mut names = self.providers();
        match (names.next(), names.next()) {
            (Some(name), None) => self.provider(name),
            (None, _) => Err(ConfigError::NoProvider {
                file: self.sources.file.shown(),
            }),
            (Some(_), Some(_)) => Err(ConfigError::SeveralProviders {
                known: self.providers().map(str::to_owned).collect(),
            }),
        }
    }

    /// The entry that matches a tool and a URL most closely, if any.
    pub fn resource(&self, url: &Url, tool: &str) -> Result<Option<Match>, ConfigError> {
        self.resource_of(url, tool, None)
    }

    /// Like [`Self::resource`], but among equally close matches prefers the one with this account.
    pub fn resource_of(
        &self,
        url: &Url,
        tool: &str,
        account: Option<&str>,
    ) -> Result<Option<Match>, ConfigError> {
        let closest = self.closest(url, tool);
        let named = account.and_then(|account| {
            let mut all = closest.iter();
            all.find(|resource| resource.account.as_deref() == Some(account))
        });
        let Some(resource) = named.or(closest.first()) else {
            return Ok(None);
        };
        let mut provider = self.provider(&resource.provider)?;
        provider.takes_broader_token = !resource.exact_scopes;
        if let Some(scopes) = &resource.scopes {
            provider.scopes.clone_from(scopes);
        }
        if resource.exact_scopes {
            provider.sign_in_scopes.clear();
        }
        provider.git_bearer = resource.git_bearer.unwrap_or(provider.git_bearer);
        Ok(Some(Match {
            provider,
            account: resource.account.clone(),
            username: resource.username.clone(),
            token: resource.token,
            registry_exchange: resource.registry_exchange,
        }))
    }

    /// The accounts of the entries that match a URL most closely, in their order; `None` is the
    /// default account. Empty if nothing matches.
    pub fn accounts(&self, url: &Url, tool: &str) -> Vec<Option<&str>> {
        let closest = self.closest(url, tool);
        closest.into_iter().map(|r| r.account.as_deref()).collect()
    }

    /// The accounts named in a provider's entries.
    pub fn accounts_of(&self, provider: &str) -> impl Iterator<Item = &str> {
        let entries = self.resources.iter();
        entries
            .filter(move |resource| resource.provider == provider)
            .filter_map(|resource| resource.account.as_deref())
    }

    /// The patterns of all entries, as written.
    pub fn all_patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.resources.iter().map(|resource| &resource.pattern)
    }

    /// The patterns of a tool's entries for web servers, as written.
    pub fn patterns<'c>(&'c self, tool: &str) -> impl Iterator<Item = &'c Pattern> {
        self.patterns_with_mail(tool)
            .filter(|pattern| !pattern.is_mail())
    }

    /// The patterns of a tool's entries, for mail servers too.
    pub fn patterns_with_mail<'c>(&'c self, tool: &str) -> impl Iterator<Item = &'c Pattern> {
        let all = self.resources.iter();
        all.filter(move |resource| resource.is_for(tool))
            .map(|resource| &resource.pattern)
    }

    /// Whether an entry assigns a tool and a URL to a provider.
    pub fn assigns(&self, provider: &str, url: &Url, tool: &str) -> bool {
        Realm::of(url).is_some_and(|realm| {
            self.resources.iter().any(|resource| {
                resource.provider == provider
                    && resource.is_for(tool)
                    && resource.pattern.fits(&realm, url).is_some()
            })
        })
    }

    /// The providers named in any entry, for whatever tool.
    pub fn providers_with_resources(&self) -> BTreeSet<&str> {
        let entries = self.resources.iter();
        entries.map(|resource| resource.provider.as_str()).collect()
    }

    /// The entries that match a URL most closely.
    fn closest(&self, url: &Url, tool: &str) -> Vec<&Resource> {
        let Some(realm) = Realm::of(url) else {
            return Vec::new();
        };
        let mut closest = Vec::new();
        let mut closeness = None;
        for resource in self.resources.iter().filter(|one| one.is_for(tool)) {
            let Some(fit) = resource.pattern.fits(&realm, url) else {
                continue;
            };
            if Some(fit) > closeness {
                closest.clear();
                closeness = Some(fit);
            }
            if Some(fit) == closeness {
                closest.push(resource);
            }
        }
        closest
    }

    fn unknown(&self, name: &str) -> ConfigError {
        let mut known: Vec<&str> = self.providers().chain(presets::names()).collect();
        known.sort_unstable();
        known.dedup();
        ConfigError::UnknownProvider {
            name: shown_name(name),
            similar: similar::nearest(name, known.iter().copied()),
            known: known.into_iter().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
