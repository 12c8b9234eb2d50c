//! The configuration: presets < the system's file < the user's file < the environment < flags.
//!
//! Each layer is read once into a struct of options and merged over the weaker ones. A provider is
//! resolved only when it is needed, so a hit pays for one provider. Nothing is read from the
//! working directory, and nothing in a file is expanded from the environment.
//!
//! The keys are documented in `docs/reference/configuration.md`.

pub mod error;
pub(crate) mod file;
mod folders;
pub(crate) mod section;
pub(crate) mod settings;
pub(crate) mod similar;
pub mod tools;
mod turn;
pub(crate) mod user_file;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use url::Url;
use zeroize::Zeroizing;

pub use error::ConfigError;
pub(crate) use error::held_by;
pub use settings::{Flags, Flow, Interactive, Settings};
pub(crate) use turn::Turn;
pub(crate) use user_file::UserFile;

use crate::credential::TokenKind;
use crate::env::Env;
use crate::provider::layer::{self, ProviderLayer};
use crate::provider::resource::Pattern;
use crate::provider::{
    OF_ANY_ISSUER, Origin, Provider, Realm, RegistryExchange, SignInScopes, presets,
};
use error::{Problem, What, shown_name};
use file::{Kind, Unusable};
use section::{Name, Section, Source, Title, UnknownKeys, issuer, printable};
use settings::{SettingsLayer, choice};

/// The complete configuration, before any provider is resolved.
#[derive(Debug)]
pub struct Config {
    pub settings: Settings,
    providers: BTreeMap<String, ProviderLayer>,
    /// The user's entries first: of two equally close matches, the first wins.
    resources: Vec<Resource>,
    sources: Sources,
    /// Warnings about files that can still be used.
    pub warnings: Vec<String>,
}

/// The configuration's files as they were read, each after a check of who could have written it.
pub struct Sources {
    system: Option<Source>,
    user: Option<Source>,
    /// The user's file, whether or not it exists.
    file: Name,
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
            let scopes = scopes.iter().map(|text| layer::scope(text)).collect();
            provider.scopes = given("--scope", scopes)?;
            provider.takes_broader_token = false;
        }
        if let Some(text) = redirect_uri {
            provider.redirect_uri = given("--redirect-uri", layer::redirect_uri(&text))?;
        }
        for (parameter, value) in extra_params {
            given("--extra-param", layer::extra_param(&parameter))?;
            provider.extra_params.insert(parameter, value);
        }
        if !resources.is_empty() {
            let resources = resources
                .iter()
                .map(|text| layer::resource_indicator(text))
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
        let system = folders::system_file()
            .map(|path| read(path, Kind::System, None))
            .transpose()?
            .flatten();
        let user = edited.source();
        let sources = Sources {
            system,
            file: user.name.clone(),
            user: Some(user),
        };
        Self::of(sources, env, flags)
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
        let settings = SettingsLayer::of_flags(flags)
            .over(SettingsLayer::of_env(env)?)
            .over(settings)
            .settle();
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

    /// The patterns of a tool's entries, as written.
    pub fn patterns<'c>(&'c self, tool: &str) -> impl Iterator<Item = &'c Pattern> {
        let all = self.resources.iter();
        all.filter(move |resource| resource.is_for(tool))
            .map(|resource| &resource.pattern)
    }

    /// Whether an entry assigns a tool and a URL to a provider.
    pub fn opens(&self, provider: &str, url: &Url, tool: &str) -> bool {
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

    /// A provider from the command line alone. Only the trusted certificates come from the
    /// configuration.
    pub fn ad_hoc(
        &self,
        issuer_url: &str,
        client_id: &str,
        asked: ProviderOverrides,
    ) -> Result<Provider, ConfigError> {
        let issuer = given("--issuer-url", issuer(issuer_url))?;
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

/// A path for messages.
pub(crate) fn shown_at_home(path: &Path, home: Option<&Path>) -> String {
    folders::shown(path, home)
}

/// The text of another program's file, if it exists and no other user can have written it.
pub(crate) fn read_text(
    path: &Path,
    shown: &str,
) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let file = || shown.to_owned();
    file::read(path, Kind::User).map_err(|unusable| match unusable {
        Unusable::Untrusted(why) => ConfigError::Untrusted { file: file(), why },
        Unusable::Unreadable(cause) => ConfigError::Unreadable {
            file: file(),
            cause,
        },
    })
}

impl Sources {
    /// Reads the system's and the user's file.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        Self::read_files(folders::system_file(), env)
    }

    fn read_files(system_file: Option<&Path>, env: &Env) -> Result<Self, ConfigError> {
        let (user_path, must_exist) = folders::user_file(env)?;
        let home = folders::home(env).ok();

        let system = system_file
            .map(|path| read(path, Kind::System, home.clone()))
            .transpose()?
            .flatten();
        let user = read(&user_path, Kind::User, home.clone())?;
        let file = Name::File {
            path: user_path,
            home,
        };
        if user.is_none() && must_exist {
            return Err(ConfigError::Absent { file: file.shown() });
        }
        Ok(Self { system, user, file })
    }

    /// The exact content of the system's and the user's file.
    pub fn texts(&self) -> [Option<&str>; 2] {
        [&self.system, &self.user].map(|source| source.as_ref().map(|source| source.text.as_str()))
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The user's home.
pub(crate) fn home(env: &Env) -> Result<PathBuf, ConfigError> {
    folders::home(env)
}

/// A path for messages, without abbreviating the home.
pub(crate) fn shown(path: &Path) -> String {
    folders::shown(path, None)
}

fn given<T>(name: &'static str, value: Result<T, What>) -> Result<T, ConfigError> {
    value.map_err(|what| ConfigError::Given { name, what })
}

/// Reads one file, if it exists and no other user can have written it.
fn read(path: &Path, kind: Kind, home: Option<PathBuf>) -> Result<Option<Source>, ConfigError> {
    let name = Name::File {
        path: path.to_owned(),
        home: home.clone(),
    };
    let text: Zeroizing<String> = match file::read(path, kind) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(Unusable::Untrusted(why)) => {
            let file = name.shown();
            return Err(ConfigError::Untrusted { file, why });
        }
        Err(Unusable::Unreadable(cause)) => {
            let file = name.shown();
            return Err(ConfigError::Unreadable { file, cause });
        }
    };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Some(Source {
        name,
        text,
        folder,
        home,
        unknown_keys: match kind {
            Kind::System => UnknownKeys::Ignored(RefCell::default()),
            Kind::User | Kind::Private => UnknownKeys::Refused,
        },
    }))
}

/// The content of one file.
#[derive(Default)]
struct FileLayer<'s> {
    settings: SettingsLayer,
    providers: BTreeMap<String, ProviderLayer>,
    resources: Vec<ResourceEntry<'s>>,
}

impl<'s> FileLayer<'s> {
    fn of(source: &'s Source) -> Result<Self, ConfigError> {
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
    fn over(self, system: Self) -> Self {
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
struct Resource {
    pattern: Pattern,
    provider: String,
    account: Option<String>,
    username: Option<String>,
    token: Option<TokenKind>,
    registry_exchange: Option<RegistryExchange>,
    /// `None` for all tools.
    tools: Option<Vec<String>>,
    /// The scopes it needs; `None` for the provider's.
    scopes: Option<Vec<String>>,
    /// It has its own sign-in, for exactly its scopes.
    exact_scopes: bool,
}

impl Resource {
    fn is_for(&self, tool: &str) -> bool {
        let tools = self.tools.as_deref();
        tools.is_none_or(|tools| tools.iter().any(|name| name == tool))
    }
}

/// An entry whose provider has not been looked up yet.
struct ResourceEntry<'s> {
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
        let pattern =
            section.parsed("match", |text| Pattern::parse(text).map_err(What::Pattern))?;
        let provider = section.text("provider")?;
        let account = section.text("account")?;
        let username = section.text("username")?;
        let token = section.parsed("token", |text| choice(text, TOKENS))?;
        let registry_exchange = section.parsed("registry_exchange", |text| {
            choice(text, RegistryExchange::ALL)
        })?;
        let tools = section.list("tools", tools::checked)?;
        let scopes = section.list("scopes", layer::scope)?;
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
    fn checked(self, providers: &BTreeMap<String, ProviderLayer>) -> Result<Resource, ConfigError> {
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

#[cfg(test)]
mod tests;
