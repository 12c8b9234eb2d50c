//! What one file says about providers and resources.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::definition::RegistryExchange;
use super::layer::ProviderLayer;
use super::resource::Pattern;
use super::{presets, values};
use crate::config::error::{ConfigError, Problem, What};
use crate::config::section::{Section, Source, Title};
use crate::config::settings::{SettingsLayer, choice};
use crate::config::{similar, tools};
use crate::credential::TokenKind;

/// The content of one file.
#[derive(Default)]
pub(super) struct FileLayer<'s> {
    pub(super) settings: SettingsLayer,
    pub(super) providers: BTreeMap<String, ProviderLayer>,
    pub(super) resources: Vec<ResourceEntry<'s>>,
}

impl<'s> FileLayer<'s> {
    pub(super) fn of(source: &'s Source) -> Result<Self, ConfigError> {
        let mut top = source.parse()?;
        let settings = SettingsLayer::of_file(&mut top)?;
        let mut providers = BTreeMap::new();
        for (name, at, table) in top.tables("providers")? {
            if !is_provider_name(&name) {
                return Err(source.problem(at.start, Problem::ProviderName));
            }
            let section = Section::new(source, Title::Provider(&name), table);
            let layer = ProviderLayer::read(section)?;
            providers.insert(name, layer);
        }
        let mut resources = Vec::new();
        for (at, table) in top.array("resources")? {
            resources.push(ResourceEntry::read(source, &at, table)?);
        }
        top.end()?;
        Ok(Self {
            settings,
            providers,
            resources,
        })
    }

    /// Merges this file over the system's: providers merge, resources append.
    pub(super) fn over(self, system: Self) -> Self {
        let Self {
            settings,
            providers,
            mut resources,
        } = self;
        resources.extend(system.resources);
        let mut merged = system.providers;
        for (name, layer) in providers {
            let layer = match merged.remove(&name) {
                Some(lower) => layer.over(lower),
                None => layer,
            };
            merged.insert(name, layer);
        }
        Self {
            settings: settings.over(system.settings),
            providers: merged,
            resources,
        }
    }
}

fn is_provider_name(name: &str) -> bool {
    const LONGEST: usize = 64;
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    begins_well && name.len() <= LONGEST && name.bytes().all(plain)
}

/// A `[[resources]]` entry.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) pattern: Pattern,
    pub(super) provider: String,
    pub(super) account: Option<String>,
    pub(super) username: Option<String>,
    pub(super) token: Option<TokenKind>,
    pub(super) registry_exchange: Option<RegistryExchange>,
    /// `None` for the provider's.
    pub(super) git_bearer: Option<bool>,
    /// `None` for all tools.
    pub(super) tools: Option<Vec<String>>,
    /// The scopes it needs; `None` for the provider's.
    pub(super) scopes: Option<Vec<String>>,
    /// It has its own sign-in, for exactly its scopes.
    pub(super) exact_scopes: bool,
}

impl Resource {
    pub(super) fn is_for(&self, tool: &str) -> bool {
        let tools = self.tools.as_deref();
        tools.is_none_or(|tools| tools.iter().any(|name| name == tool))
    }
}

/// An entry whose provider has not been looked up yet.
pub(super) struct ResourceEntry<'s> {
    resource: Resource,
    source: &'s Source,
    /// The position of its `provider` key.
    at: usize,
}

const TOKENS: &[(&str, TokenKind)] = &[("access", TokenKind::Access), ("id", TokenKind::Id)];

impl<'s> ResourceEntry<'s> {
    fn read(
        source: &'s Source,
        header: &Range<usize>,
        table: DeTable<'_>,
    ) -> Result<Self, ConfigError> {
        let mut section = Section::new(source, Title::Resource, table);
        let at = section.place_of("provider");
        let pattern = section.parsed("match", |text| {
            Pattern::parse(text).map_err(|error| What::Pattern(error.to_string()))
        })?;
        let provider = section.text("provider")?;
        let account = section.text("account")?;
        let username = section.text("username")?;
        let token = section.parsed("token", |text| choice(text, TOKENS))?;
        let git_bearer = section.flag("git_bearer")?;
        let registry_exchange = section.parsed("registry_exchange", |text| {
            choice(text, RegistryExchange::ALL)
        })?;
        let tools = section.list("tools", tools::checked)?;
        let scopes = section.list("scopes", values::scope)?;
        let exact_scopes = section.flag("exact_scopes")?.unwrap_or(false);
        // Before the check for missing keys, because a missing key may be a misspelled one.
        section.end()?;
        let resource = Resource {
            pattern: pattern.ok_or_else(|| section.absent(header.start, "match"))?,
            provider: provider.ok_or_else(|| section.absent(header.start, "provider"))?,
            account,
            username,
            token,
            registry_exchange,
            git_bearer,
            tools,
            scopes,
            exact_scopes,
        };
        let at = at.map_or(header.start, |at| at.start);
        Ok(Self {
            resource,
            source,
            at,
        })
    }

    /// Refuses an entry that would fail only when it is used.
    pub(super) fn checked(
        self,
        providers: &BTreeMap<String, ProviderLayer>,
    ) -> Result<Resource, ConfigError> {
        let Self {
            resource,
            source,
            at,
        } = self;
        let name = resource.provider.as_str();
        if providers.contains_key(name) || presets::known(name).is_some() {
            return Ok(resource);
        }
        let configured = providers.keys().map(String::as_str);
        let similar = similar::nearest(name, configured.chain(presets::names()));
        let problem = Problem::Value {
            key: "provider".to_owned(),
            within: Title::Resource.to_string(),
            what: What::UnknownProvider { similar },
        };
        Err(source.problem(at, problem))
    }
}
