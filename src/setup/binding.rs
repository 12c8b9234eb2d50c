//! Binds a host to a provider: finds or describes the provider, and writes the blocks of the user's
//! file that say so. Existing configuration is used as it is; an earlier block of the same title is
//! replaced.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use url::Url;

use super::edit::Edit;
use super::host::Host;
use super::provider_block::{ANY, edits_of, removals, take_out, title_of};
use crate::arguments::ProviderArgs;
use crate::config::{ConfigError, Flags, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::provider::{Config, Match};
use crate::provider::{OF_ANY_ISSUER, Provider, Realm, web_url};
use crate::shell::quoted;

/// A key of a section, and its value in TOML.
pub(crate) type Key = (&'static str, String);

/// A host that a tool is set up for, and how to configure a provider for it.
pub(crate) struct BindingRequest<'a> {
    pub(crate) tool: &'static str,
    /// The tool's own configuration names the provider and the account, so each entry counts.
    pub(crate) tool_names_provider: bool,
    pub(crate) host: &'a Host,
    pub(crate) provider_args: &'a ProviderArgs,
    /// The block's title: the command that writes it, with what tells it from another one.
    pub(crate) title: String,
    /// The command as it was typed, for hints.
    pub(crate) command: String,
    /// If the command names no provider, the preset whose own host this is.
    pub(crate) homes: &'static [&'static str],
    /// The presets that can have instances elsewhere: if the command names one, this host is its `base`.
    pub(crate) instances: &'static [&'static str],
    /// What to add to the command if the provider is unknown.
    pub(crate) advice: &'static str,
    /// More keys for a provider's section that is made here, with their values in TOML.
    pub(crate) provider_keys: Vec<Key>,
    /// More keys for the entry in `[[resources]]`, with their values in TOML.
    pub(crate) resource_keys: Vec<Key>,
    /// The name of a new provider for an issuer; `None`: a name made from the host's.
    pub(crate) own_name: Option<String>,
    /// The other hosts that the entry is for.
    pub(crate) companions: fn(&Host, &Provider) -> Result<Vec<Host>, Error>,
}

/// What binds a host to a provider.
pub(crate) struct Binding {
    /// The name of the provider.
    pub(crate) provider: String,
    /// Says which tokens the host will get.
    pub(crate) note: String,
    /// The blocks that bind the host, whether or not they are in the user's file yet.
    pub(crate) edits: Vec<Edit>,
    /// The other hosts of a new entry.
    pub(crate) companions: Vec<Host>,
}

/// An entry that assigns a host to a provider, in TOML.
fn entry(host: &Host, provider: &str, account: Option<&str>, more: &[Key]) -> String {
    let mut lines = format!(
        "[[resources]]\nmatch = {}\nprovider = {}\n",
        toml_text(&host.text),
        toml_text(provider)
    );
    if let Some(account) = account {
        let _ = writeln!(lines, "account = {}", toml_text(account));
    }
    for (key, value) in more {
        let _ = writeln!(lines, "{key} = {value}");
    }
    lines
}

impl<'a> BindingRequest<'a> {
    /// A request of a tool with nothing special about it.
    pub(crate) fn new(
        tool: &'static str,
        host: &'a Host,
        provider_args: &'a ProviderArgs,
        title: String,
        command: String,
    ) -> Self {
        Self {
            tool,
            tool_names_provider: false,
            host,
            provider_args,
            title,
            command,
            homes: &[],
            instances: &[],
            advice: "`--provider NAME` with a configured provider or a preset, or `--issuer-url URL \
                     --client-id ID`",
            provider_keys: Vec::new(),
            resource_keys: Vec::new(),
            own_name: None,
            companions: |_, _| Ok(Vec::new()),
        }
    }
}

impl BindingRequest<'_> {
    /// Binds the host to a provider in `file` and `config`, unless it is bound already.
    ///
    /// # Errors
    ///
    /// [`Error::NotRegistered`] if the provider has no client ID, an error of usage if the provider is
    /// unknown, or an error in the edited configuration.
    pub(crate) fn add(
        &self,
        env: &Env,
        flags: &Flags,
        config: &mut Config,
        file: &mut UserFile,
    ) -> Result<Binding, Error> {
        let ProviderArgs {
            provider,
            client_id,
            account,
            ..
        } = self.provider_args;
        let names_provider = provider.is_some() || client_id.is_some();
        if !names_provider
            && account.is_none()
            && self.host_keys().next().is_none()
            && let Some(found) = config.resource(&self.host.url, self.tool)?
        {
            return Ok(Binding {
                edits: blocks_of(env, flags, file, self.host, self.tool, &found),
                note: recipient(&found.provider, self.host),
                provider: found.provider.name,
                companions: Vec::new(),
            });
        }
        // The block of an earlier run is written again, for the same provider unless the command names
        // another one.
        let mut gone = Vec::new();
        let mut earlier = None;
        if file.block(&self.title).is_some() {
            if !names_provider {
                let found = config.resource_of(&self.host.url, self.tool, account.as_deref())?;
                earlier = found.map(|found| found.provider.name);
            }
            gone = take_out(env, file, vec![self.title.clone()], earlier.as_deref())?;
            *config = Config::load_edited(env, flags, file)?;
        }
        let found = config.resource(&self.host.url, self.tool)?;
        let (name, section) = match found {
            // Another account of the same provider.
            Some(found) if !names_provider => (found.provider.name, None),
            Some(_) | None => match earlier {
                Some(earlier) => (earlier, None),
                None => self.provider(env, flags, config, file)?,
            },
        };
        let of_provider = title_of(&name);
        if let Some(section) = section {
            file.add(&of_provider, &section);
            *config = Config::load_edited(env, flags, file)?;
        }
        let companions = (self.companions)(self.host, &config.provider(&name)?)?;
        let hosts = std::iter::once(self.host).chain(&companions);
        let entry = |host| entry(host, &name, account.as_deref(), &self.resource_keys);
        let entries: Vec<String> = hosts.map(entry).collect();
        file.add(&self.title, &entries.join("\n"));
        *config = Config::load_edited(env, flags, file)?;
        self.check_precedence(config, &name)?;
        let provider = config.provider(&name)?;
        match provider.client_id() {
            Ok(_) => Ok(Binding {
                note: recipient(&provider, self.host),
                edits: removals(file, &gone)
                    .chain(edits_of(file, [&of_provider, &self.title]))
                    .collect(),
                provider: name,
                companions,
            }),
            Err(ConfigError::Unregistered(unregistered)) => Err(Error::NotRegistered {
                at: name.clone(),
                where_to: unregistered.where_to(),
                retry: self.retry_command(&name, unregistered.secret_wanted),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The keys of the entry that say more about the host than its provider and its tools.
    fn host_keys(&self) -> impl Iterator<Item = &Key> {
        self.resource_keys.iter().filter(|(key, _)| *key != "tools")
    }

    /// Checks that hallpass would choose this entry: of several for a host it takes the first. An exec
    /// entry of a kubeconfig names its provider and account, so there each entry is used.
    fn check_precedence(&self, edited: &Config, name: &str) -> Result<(), Error> {
        if self.tool_names_provider {
            return Ok(());
        }
        let account = self.provider_args.account.as_deref();
        let chosen = edited.resource_of(&self.host.url, self.tool, account)?;
        let says = |found: &Match, key: &str, value: &str| match key {
            "username" => found.username.as_deref().map(toml_text).as_deref() == Some(value),
            "registry_exchange" => {
                let exchange = found.registry_exchange;
                exchange.is_some_and(|exchange| toml_text(exchange.as_str()) == value)
            }
            "git_bearer" => found.provider.git_bearer.to_string() == value,
            _ => true,
        };
        let is_chosen = chosen.is_some_and(|found| {
            found.provider.name == name && self.host_keys().all(|(k, v)| says(&found, k, v))
        });
        if is_chosen {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "an entry in [[resources]] already assigns {} to a provider, and the first matching entry \
             counts: change that entry in config.toml",
            self.host.text
        )))
    }

    /// Whether the configured provider with a forge's name is an instance at another host. This host
    /// must never get its tokens. A provider with an unknown host counts as elsewhere.
    fn is_elsewhere(&self, config: &Config, name: &str) -> bool {
        self.instances.contains(&name) && !self.is_home(config, name)
    }

    /// Whether the host is the provider's own.
    fn is_home(&self, config: &Config, name: &str) -> bool {
        let provider = config.provider(name);
        provider.is_ok_and(|provider| is_home_of(&provider, &self.host.url))
    }

    /// The name of the provider, and its section if it has none yet.
    fn provider(
        &self,
        env: &Env,
        flags: &Flags,
        config: &Config,
        file: &UserFile,
    ) -> Result<(String, Option<String>), Error> {
        let ProviderArgs {
            provider,
            issuer_url,
            client_id,
            ..
        } = self.provider_args;
        let describes_one = issuer_url.is_some() || client_id.is_some();
        let is_known = |name: &str| config.providers().any(|known| known == name);
        // The command may choose the name itself.
        let (mut name, mut keys, is_chosen) = match (provider, issuer_url) {
            (Some(name), _) if is_known(name) && !self.is_elsewhere(config, name) => {
                if !describes_one {
                    return Ok((name.clone(), None));
                }
                let preset = config.provider(name)?.preset;
                let preset = preset.filter(|_| issuer_url.is_none());
                let of_preset = preset.map(|preset| self.keys_of_preset(config, preset));
                let keys = of_preset.transpose()?.map(|(_, keys)| keys);
                (name.clone(), keys.unwrap_or_default(), true)
            }
            (Some(name), Some(_)) => (name.clone(), Vec::new(), true),
            (None, Some(_)) => {
                let name = self.own_name.clone();
                let name = name.unwrap_or_else(|| name_of(&self.host.text));
                (name, Vec::new(), false)
            }
            (preset, None) => {
                let mut homes = self.homes.iter().copied();
                let home = homes.find(|preset| self.is_home(config, preset));
                let Some(preset) = preset.as_deref().or(home) else {
                    return Err(Error::Usage(format!(
                        "no provider is known for {}: add {}",
                        self.host.text, self.advice
                    )));
                };
                if provider.is_none() && is_known(preset) && !describes_one {
                    return Ok((preset.to_owned(), None));
                }
                let (name, keys) = self.keys_of_preset(config, preset)?;
                (name, keys, false)
            }
        };
        keys.extend(keys_of(self.provider_args));
        keys.extend(self.provider_keys.iter().cloned());
        if describes_one {
            let asked = provider_with_keys(env, flags, file, &keys)?;
            // The named provider, or any other one.
            let mut all: Vec<&str> = config.providers().collect();
            all.retain(|known| *known == name || !is_chosen);
            all.sort_by_key(|known| *known != name);
            let has_it = |known: &&str| {
                let known = config.provider(known);
                known.is_ok_and(|known| self.is_registration(&known, &asked))
            };
            if let Some(known) = all.into_iter().find(has_it) {
                return Ok((known.to_owned(), None));
            }
            if is_chosen && is_known(&name) {
                return Err(Error::Usage(format!(
                    "the provider {name} is configured with other settings: change it in \
                     config.toml, or choose another name with `--provider NAME`"
                )));
            }
            let mut names = numbered(name);
            name = names.find(|name| !is_known(name)).unwrap_or_default();
        }
        let section = section(&name, &keys);
        Ok((name, Some(section)))
    }

    /// The name and the keys of a provider with this preset.
    fn keys_of_preset(&self, config: &Config, preset: &str) -> Result<(String, Vec<Key>), Error> {
        let key = ("preset", toml_text(preset));
        if self.is_elsewhere(config, preset) {
            let base = ("base", toml_text(&self.host.text));
            return Ok((name_of(&self.host.text), vec![key, base]));
        }
        config.provider(preset)?;
        Ok((preset.to_owned(), vec![key]))
    }

    /// Whether a configured provider has the requested registration, so that one sign-in serves both.
    fn is_registration(&self, known: &Provider, asked: &Provider) -> bool {
        let has_same_secret = asked.client_secret_file.is_none()
            || known.client_secret_file == asked.client_secret_file
            || matches!(
                (known.client_secret(), asked.client_secret()),
                (Ok(Some(known)), Ok(Some(asked))) if known == asked
            );
        // Keys that the command doesn't mention may have any value.
        let says_all = !self.provider_keys.is_empty();
        let is_same = if says_all {
            has_same_settings(known, asked)
        } else {
            known.client_id == asked.client_id
                && known.issuer == asked.issuer
                && known.authorization_endpoint == asked.authorization_endpoint
                && known.token_endpoint == asked.token_endpoint
        };
        let is_any_scope = self.provider_args.scopes.is_empty();
        is_same && has_same_secret && (is_any_scope || has_same_scopes(known, asked))
    }

    fn retry_command(&self, name: &str, secret_wanted: bool) -> String {
        let provider = self.provider_args.provider.as_deref().unwrap_or(name);
        let mut line = format!(
            "{} --provider {} --client-id ID",
            self.command,
            quoted(provider)
        );
        if secret_wanted {
            line.push_str(" --client-secret-file FILE");
        }
        line
    }
}

/// The blocks that bind a host like this, by whatever set-up they were written.
pub(crate) fn blocks_of(
    env: &Env,
    flags: &Flags,
    file: &UserFile,
    host: &Host,
    tool: &str,
    bound: &Match,
) -> Vec<Edit> {
    let mut titles = file.titles(ANY);
    titles.retain(|title| {
        let mut without = file.clone();
        without.remove(title);
        let config = Config::load_edited(env, flags, &without);
        match config.and_then(|config| config.resource(&host.url, tool)) {
            Ok(found) => found.as_ref() != Some(bound),
            // An entry names a provider that is missing now: this host's or another one.
            Err(_) => *title == title_of(&bound.provider.name),
        }
    });
    edits_of(file, &titles)
}

/// The keys of a provider's section from the command's options, with their values in TOML.
pub(crate) fn keys_of(provider_args: &ProviderArgs) -> Vec<Key> {
    let ProviderArgs {
        provider: _,
        issuer_url,
        client_id,
        client_secret_file,
        scopes,
        account: _,
    } = provider_args;
    let mut keys = Vec::new();
    if let Some(issuer) = issuer_url {
        keys.push(("issuer", toml_text(issuer)));
    }
    if let Some(client_id) = client_id {
        keys.push(("client_id", toml_text(client_id)));
    }
    if let Some(path) = client_secret_file {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        keys.push(("client_secret_file", toml_text(&path.to_string_lossy())));
    }
    if !scopes.is_empty() {
        keys.push(("scopes", toml_list(scopes)));
    } else if issuer_url.is_some() {
        keys.push(("scopes", toml_list(OF_ANY_ISSUER)));
    }
    keys
}

fn section(name: &str, keys: &[Key]) -> String {
    let mut section = format!("[providers.{}]\n", toml_text(name));
    for (key, value) in keys {
        let _ = writeln!(section, "{key} = {value}");
    }
    section
}

/// The provider that a section with these keys defines.
pub(crate) fn provider_with_keys(
    env: &Env,
    flags: &Flags,
    file: &UserFile,
    keys: &[Key],
) -> Result<Provider, Error> {
    const TRIED: &str = "hallpass.tried";
    // If the file names a provider that it lacks, the section is loaded without the file.
    let in_file = |mut file: UserFile| {
        file.add(TRIED, &section(TRIED, keys));
        Config::load_edited(env, flags, &file)
    };
    let config = in_file(file.clone()).or_else(|_| in_file(file.with_text("")))?;
    Ok(config.provider(TRIED)?)
}

/// Whether two providers differ at most in their names, client secrets and scopes.
pub(crate) fn has_same_settings(known: &Provider, asked: &Provider) -> bool {
    let comparable = Provider {
        name: asked.name.clone(),
        origin: asked.origin.clone(),
        preset: asked.preset,
        client_secret_file: asked.client_secret_file.clone(),
        scopes: asked.scopes.clone(),
        scopes_are_default: asked.scopes_are_default,
        sign_in_scopes: asked.sign_in_scopes.clone(),
        takes_broader_token: asked.takes_broader_token,
        ..known.clone()
    };
    comparable == *asked
}

pub(crate) fn has_same_scopes(known: &Provider, asked: &Provider) -> bool {
    let sorted = |provider: &Provider| provider.scopes.iter().cloned().collect::<BTreeSet<_>>();
    sorted(known) == sorted(asked)
}

/// The name itself, then with numbers behind it.
pub(crate) fn numbered(name: String) -> impl Iterator<Item = String> {
    let first = std::iter::once(name.clone());
    first.chain((2..).map(move |number| format!("{name}-{number}")))
}

/// A provider's name, made from a URL's host and path.
pub(crate) fn name_of(url: &str) -> String {
    let name = url.split_once("://").map_or(url, |(_, rest)| rest);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().take(LONGEST_NAME).map(plain).collect();
    name.trim_matches(['-', '.', '_']).to_owned()
}

/// Shorter than the limit of a name (64), so that a number can be appended.
const LONGEST_NAME: usize = 60;

/// Says which provider's tokens will be sent to the host.
pub(crate) fn recipient(provider: &Provider, host: &Host) -> String {
    let issued_by = home_of(provider).map(|home| format!(" ({home})"));
    format!(
        "tokens of {}{} will be sent to {}",
        provider.name,
        issued_by.unwrap_or_default(),
        host.text
    )
}

fn home_of(provider: &Provider) -> Option<Realm> {
    let endpoint = provider.authorization_endpoint.as_ref();
    endpoint.and_then(Realm::of).or_else(|| {
        let issuer = provider.issuer.as_deref()?;
        Realm::of(&web_url::parse(issuer)?)
    })
}

pub(crate) fn is_home_of(provider: &Provider, url: &Url) -> bool {
    let home = home_of(provider);
    home.is_some() && home == Realm::of(url)
}

pub(crate) fn toml_list(texts: &[impl AsRef<str>]) -> String {
    let texts = texts.iter().map(|text| toml_text(text.as_ref()));
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// A TOML basic string. JSON's escapes are valid in TOML, which also requires one for DEL.
pub(crate) fn toml_text(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}
