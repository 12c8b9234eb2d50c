//! What signs a kubeconfig's user in: a provider of the configuration, one that is described on the
//! command line, or the one that kubelogin was told about.

use std::path::{Path, PathBuf};

use super::super::arguments::NAME;
use super::super::error::KubectlError;
use super::super::kubeconfig;
use super::arguments::{ADVICE, Arguments};
use super::kubeconfig_file::KubeconfigFile;
use super::kubelogin::{self, Converted};
use super::labels::command;
use crate::arguments::ProviderArgs;
use crate::config::{ConfigError, Flags, Flow, UserFile, shown};
use crate::credential::TokenKind;
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::provider::Config;
use crate::provider::Provider;
use crate::report::printable;
use crate::secret::Secret;
use crate::setup::binding::{keys_of, name_of, provider_with_keys, toml_text};
use crate::setup::edit::Edit;
use crate::setup::host::Host;

/// What signs the user in, and what has to be written for it.
pub(super) struct SignIn {
    /// The provider's name.
    pub(super) name: String,
    pub(super) provider_args: ProviderArgs,
    /// More keys of a provider that is made here.
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) token: Option<TokenKind>,
    pub(super) flow: Option<Flow>,
    pub(super) env: Vec<(&'static str, String)>,
    pub(super) secret: Option<(PathBuf, Secret<String>)>,
    pub(super) authorities: Option<(PathBuf, Vec<u8>)>,
    pub(super) notes: Vec<String>,
}

impl SignIn {
    pub(super) fn of(name: String, provider_args: ProviderArgs) -> Self {
        Self {
            name,
            provider_args,
            keys: Vec::new(),
            token: None,
            flow: None,
            env: Vec::new(),
            secret: None,
            authorities: None,
            notes: Vec::new(),
        }
    }

    /// Uses this provider from now on, which is configured.
    pub(super) fn use_provider(&mut self, provider: String) {
        self.provider_args = ProviderArgs {
            provider: Some(provider.clone()),
            account: self.provider_args.account.take(),
            ..ProviderArgs::default()
        };
        self.name = provider;
    }

    /// The files that have to be written for the provider.
    pub(super) fn files(&self) -> Vec<Edit> {
        let secret = self.secret.iter().map(|(path, secret)| {
            let line = format!("{}\n", secret.expose()).into_bytes();
            Edit::whole_file(
                path,
                "the client secret, for you alone to read (0600)",
                line,
            )
        });
        let authorities = self.authorities.iter().map(|(path, certificates)| {
            Edit::whole_file(path, "the provider's authorities", certificates.clone())
        });
        secret.chain(authorities).collect()
    }
}

/// Decides who signs the user in.
pub(super) fn sign_in(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    config: &Config,
    file: &UserFile,
    target: &KubeconfigFile,
    hosts: &[Host],
) -> Result<SignIn, Error> {
    if args.from_kubelogin {
        return converted(env, flags, args, config, file, target);
    }
    let mut provider_args = args.provider_args.clone();
    if let Some(issuer) = &provider_args.issuer_url {
        let name = provider_args
            .provider
            .clone()
            .unwrap_or_else(|| name_of(issuer));
        return Ok(SignIn::of(name, provider_args));
    }
    if let Some(name) = provider_args.provider.clone() {
        return Ok(SignIn::of(name, provider_args));
    }
    // What the configuration says of these servers, or the one provider that it has.
    let mut names: Vec<String> = Vec::new();
    for host in hosts {
        if let Some(found) = config.resource(&host.url, NAME)?
            && !names.contains(&found.provider.name)
        {
            provider_args.account = provider_args.account.or(found.account);
            names.push(found.provider.name);
        }
    }
    let name = match names.as_slice() {
        [name] => name.clone(),
        [] => match config.only_provider() {
            Ok(provider) => provider.name,
            Err(ConfigError::NoProvider { .. } | ConfigError::SeveralProviders { .. }) => {
                return Err(Error::Usage(format!(
                    "which provider signs in {}? add {ADVICE}",
                    printable(&target.user)
                )));
            }
            Err(error) => return Err(error.into()),
        },
        [_, _, ..] => {
            return Err(Error::Usage(format!(
                "the clusters of {} have several providers ({}): add `--provider NAME`",
                printable(&target.user),
                names.join(", ")
            )));
        }
    };
    provider_args.provider = Some(name.clone());
    Ok(SignIn::of(name, provider_args))
}

/// A provider out of what kubelogin was told: one that is configured like that already, else a new
/// one.
fn converted(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    config: &Config,
    file: &UserFile,
    target: &KubeconfigFile,
) -> Result<SignIn, Error> {
    let refused = |why: kubelogin::Unconverted| KubectlError::NotConverted {
        user: printable(&target.user),
        why: why.to_string(),
        again: command(&target.user),
    };
    let run = target.before.as_ref().and_then(kubeconfig::exec);
    let (program, words) = run.ok_or_else(|| refused(kubelogin::Unconverted::NotKubelogin))?;
    let converted = kubelogin::converted(program, &words).map_err(refused)?;
    let wanted = args.provider_args.provider.as_deref();
    let first = wanted.map_or_else(|| name_of(&converted.issuer), str::to_owned);
    let mut number = 1;
    loop {
        let name = match number {
            1 => first.clone(),
            _ => format!("{first}-{number}"),
        };
        let made = made_of(env, &converted, &name, args, file)?;
        if !config.providers().any(|known| known == name) {
            return Ok(made);
        }
        if is_same(env, flags, config.provider(&name)?, file, &made)? {
            let provider_args = ProviderArgs {
                provider: Some(name),
                account: args.provider_args.account.clone(),
                ..ProviderArgs::default()
            };
            return Ok(SignIn {
                provider_args,
                keys: Vec::new(),
                secret: None,
                authorities: None,
                ..made
            });
        }
        if wanted.is_some() {
            return Err(Error::Usage(format!(
                "the provider {name} is configured otherwise than this kubelogin: name another \
                 one with `--provider NAME`"
            )));
        }
        number += 1;
    }
}

/// What would be written for a provider of this name.
fn made_of(
    env: &Env,
    converted: &Converted,
    name: &str,
    args: &Arguments,
    file: &UserFile,
) -> Result<SignIn, Error> {
    let folder = file.folder();
    let secret = converted.client_secret.clone();
    let secret = secret.map(|secret| (folder.join(format!("{name}.client-secret")), secret));
    let home = crate::config::home(env).ok();
    let paths = converted.ca_files.iter();
    let paths: Vec<PathBuf> = paths
        .map(|path| expanded(path, home.as_deref()))
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .collect();
    let mut authorities = None;
    let ca_file = match (paths.as_slice(), converted.ca_certificates.as_slice()) {
        ([], []) => None,
        ([path], []) => Some(path.clone()),
        (paths, data) => {
            let path = folder.join(format!("{name}.ca.pem"));
            authorities = Some((path.clone(), bundle(paths, data)?));
            Some(path)
        }
    };
    let mut keys = Vec::new();
    match converted.redirect_uris.as_slice() {
        [] => (),
        [uri] => keys.push(("redirect_uri", toml_text(uri))),
        uris => keys.push(("redirect_uri", toml_list(uris))),
    }
    if converted.pkce {
        keys.push(("pkce", toml_text("S256")));
    }
    if let Some(path) = &ca_file {
        keys.push(("ca_file", toml_text(&path.to_string_lossy())));
    }
    if let Some(audience) = &converted.audience {
        keys.push(("audience", toml_text(audience)));
    }
    if !converted.resources.is_empty() {
        keys.push(("resources", toml_list(&converted.resources)));
    }
    if !converted.extra_params.is_empty() {
        let pairs = converted.extra_params.iter();
        let pairs: Vec<_> = pairs
            .map(|(key, value)| format!("{} = {}", toml_text(key), toml_text(value)))
            .collect();
        keys.push(("extra_params", format!("{{ {} }}", pairs.join(", "))));
    }
    let provider_args = ProviderArgs {
        provider: Some(name.to_owned()),
        issuer_url: Some(converted.issuer.clone()),
        client_id: Some(converted.client_id.clone()),
        client_secret_file: secret.as_ref().map(|(path, _)| path.clone()),
        scopes: converted.scopes.clone(),
        account: args.provider_args.account.clone(),
    };
    let mut notes = converted.notes.clone();
    if !converted
        .scopes
        .iter()
        .any(|scope| scope == "offline_access")
    {
        notes.push(
            "this kubelogin does not ask for `offline_access`: where the provider wants it, add it \
             to `scopes` in config.toml, and the session is refreshed without you"
                .to_owned(),
        );
    }
    Ok(SignIn {
        keys,
        token: (converted.token == TokenKind::Access).then_some(TokenKind::Access),
        flow: converted.flow,
        env: converted.env.clone(),
        secret,
        authorities,
        notes,
        ..SignIn::of(name.to_owned(), provider_args)
    })
}

fn toml_list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| toml_text(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn bundle(paths: &[PathBuf], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    for path in paths {
        let pem = files::read(path, files::LARGEST).map_err(|cause| {
            Error::from(ConfigError::Unreadable {
                file: shown(path),
                cause,
            })
        })?;
        all.extend_from_slice(&pem);
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    all.extend_from_slice(data);
    Ok(all)
}

/// Whether the configuration has this provider, to the last setting.
fn is_same(
    env: &Env,
    flags: &Flags,
    there: Provider,
    file: &UserFile,
    made: &SignIn,
) -> Result<bool, Error> {
    let mut keys = keys_of(&made.provider_args);
    keys.extend(made.keys.iter().cloned());
    let tried = provider_with_keys(env, flags, file, &keys)?;
    let has_same_secret = match &made.secret {
        Some((_, secret)) => there.client_secret().ok().flatten().as_ref() == Some(secret),
        None => there.client_secret_file.is_none(),
    };
    let mut scopes = there.scopes.clone();
    scopes.sort();
    let mut wanted = tried.scopes.clone();
    wanted.sort();
    let comparable = Provider {
        name: tried.name.clone(),
        preset: tried.preset,
        client_secret_file: tried.client_secret_file.clone(),
        scopes: tried.scopes.clone(),
        origin: tried.origin.clone(),
        ..there
    };
    Ok(has_same_secret && scopes == wanted && comparable == tried)
}

/// What a path of kubelogin's means: `~` is the home.
fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches(['/', '\\'])),
        _ => path.into(),
    }
}
