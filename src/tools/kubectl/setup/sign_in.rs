//! The provider that signs in a kubeconfig user: a configured one, one that the command line
//! describes, or the one from kubelogin's options.

use std::path::{Path, PathBuf};

use super::super::arguments::NAME;
use super::super::error::KubectlError;
use super::super::kubeconfig;
use super::arguments::{ADVICE, Arguments};
use super::kubeconfig_file::KubeconfigFile;
use super::kubelogin::{self, Converted};
use super::labels::command;
use crate::arguments::ProviderArgs;
use crate::config::{ConfigError, Flags, Flow, UserFile};
use crate::credential::TokenKind;
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::provider::Config;
use crate::provider::Provider;
use crate::report::printable;
use crate::secret::Secret;
use crate::setup::binding::{
    has_same_scopes, has_same_settings, keys_of, name_of, numbered, provider_with_keys, toml_list,
    toml_text,
};
use crate::setup::edit::Edit;
use crate::setup::host::Host;

/// How the user signs in, and what has to be written for that.
#[derive(Default)]
pub(super) struct SignIn {
    /// The provider's name.
    pub(super) name: String,
    pub(super) provider_args: ProviderArgs,
    /// Other keys of the new provider.
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) token: Option<TokenKind>,
    pub(super) flow: Option<Flow>,
    pub(super) env: Vec<(&'static str, String)>,
    /// The files that have to be written for the provider.
    pub(super) files: Vec<Edit>,
    pub(super) notes: Vec<String>,
}

impl SignIn {
    pub(super) fn of(name: String, provider_args: ProviderArgs) -> Self {
        Self {
            name,
            provider_args,
            ..Self::default()
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
}

/// Selects the provider.
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
    let mut provider_args = args.setup.provider_args.clone();
    let issuer = provider_args.issuer_url.as_deref();
    let name = provider_args.provider.clone();
    if let Some(name) = name.or_else(|| issuer.map(name_of)) {
        return Ok(SignIn::of(name, provider_args));
    }
    // The provider that the configuration has for these servers, or its only one.
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
                return Err(KubectlError::Lacking {
                    what: format!(
                        "no provider is selected for the user {}",
                        printable(&target.user)
                    ),
                    fix: format!("add {ADVICE}"),
                }
                .into());
            }
            Err(error) => return Err(error.into()),
        },
        [_, _, ..] => {
            return Err(KubectlError::Lacking {
                what: format!(
                    "the clusters of {} have several providers: {}",
                    printable(&target.user),
                    names.join(", ")
                ),
                fix: "add `--provider NAME`".to_owned(),
            }
            .into());
        }
    };
    provider_args.provider = Some(name.clone());
    Ok(SignIn::of(name, provider_args))
}

/// The provider from kubelogin's options: a configured one with the same settings, or a new one.
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
    let wanted = args.setup.provider_args.provider.as_deref();
    let first = wanted.map_or_else(|| name_of(&converted.issuer), str::to_owned);
    let mut names = numbered(first);
    loop {
        let name = names.next().unwrap_or_default();
        let mut made = made_of(env, &converted, &name, args, file)?;
        if !config.providers().any(|known| known == name) {
            return Ok(made);
        }
        let secret = converted.client_secret.as_ref();
        if is_same(env, flags, &config.provider(&name)?, file, &made, secret)? {
            made.use_provider(name);
            made.keys.clear();
            made.files.clear();
            return Ok(made);
        }
        if wanted.is_some() {
            return Err(KubectlError::Lacking {
                what: format!("the provider {name} is configured differently from this kubelogin"),
                fix: "choose another name with `--provider NAME`".to_owned(),
            }
            .into());
        }
    }
}

/// A new provider of this name.
fn made_of(
    env: &Env,
    converted: &Converted,
    name: &str,
    args: &Arguments,
    file: &UserFile,
) -> Result<SignIn, Error> {
    let mut files = Vec::new();
    let mut client_secret_file = None;
    if let Some(secret) = &converted.client_secret {
        let path = file.folder().join(format!("{name}.client-secret"));
        let what = "the client secret (mode 0600)";
        let line = format!("{}\n", secret.expose()).into_bytes();
        files.push(Edit::whole_file(&path, what, line));
        client_secret_file = Some(path);
    }
    let home = crate::config::home(env).ok();
    let paths = converted.ca_files.iter();
    let paths = paths.map(|path| expanded(path, home.as_deref()));
    let paths = paths.map(|path| std::path::absolute(&path).unwrap_or(path));
    let paths: Vec<PathBuf> = paths.collect();
    let ca_file = match (paths.as_slice(), converted.ca_certificates.as_slice()) {
        ([], []) => None,
        ([path], []) => Some(path.clone()),
        (paths, data) => {
            let path = file.folder().join(format!("{name}.ca.pem"));
            let all = bundle(paths, data)?;
            files.push(Edit::whole_file(
                &path,
                "the CA certificates of the provider",
                all,
            ));
            Some(path)
        }
    };
    let keys = [
        (
            "redirect_uri",
            match converted.redirect_uris.as_slice() {
                [] => None,
                [uri] => Some(toml_text(uri)),
                uris => Some(toml_list(uris)),
            },
        ),
        ("pkce", converted.pkce.then(|| toml_text("S256"))),
        (
            "ca_file",
            ca_file.map(|path| toml_text(&path.to_string_lossy())),
        ),
        ("audience", converted.audience.as_deref().map(toml_text)),
        (
            "resources",
            Some(toml_list(&converted.resources)).filter(|_| !converted.resources.is_empty()),
        ),
        ("extra_params", toml_table(&converted.extra_params)),
    ];
    let provider_args = ProviderArgs {
        provider: Some(name.to_owned()),
        issuer_url: Some(converted.issuer.clone()),
        client_id: Some(converted.client_id.clone()),
        client_secret_file,
        scopes: converted.scopes.clone(),
        account: args.setup.provider_args.account.clone(),
    };
    let mut notes = converted.notes.clone();
    if !converted.scopes.contains(&"offline_access".to_owned()) {
        notes.push(
            "this kubelogin doesn't request `offline_access`. If the provider requires that scope for \
             refresh tokens, add it to `scopes` in config.toml; otherwise you sign in again when \
             the token expires"
                .to_owned(),
        );
    }
    let keys = keys.into_iter();
    Ok(SignIn {
        keys: keys
            .filter_map(|(key, value)| Some((key, value?)))
            .collect(),
        token: (converted.token == TokenKind::Access).then_some(TokenKind::Access),
        flow: converted.flow,
        env: converted.env.clone(),
        files,
        notes,
        ..SignIn::of(name.to_owned(), provider_args)
    })
}

/// `None` if there is nothing in it.
fn toml_table(pairs: &[(String, String)]) -> Option<String> {
    let pair =
        |(key, value): &(String, String)| format!("{} = {}", toml_text(key), toml_text(value));
    let all: Vec<_> = pairs.iter().map(pair).collect();
    (!all.is_empty()).then(|| format!("{{ {} }}", all.join(", ")))
}

fn bundle(paths: &[PathBuf], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    for path in paths {
        let pem = files::read(path, files::LARGEST)
            .map_err(|cause| Error::from(ConfigError::unreadable(path, None, cause)))?;
        all.extend_from_slice(&pem);
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    all.extend_from_slice(data);
    Ok(all)
}

/// Whether the configured provider has the same settings as the new one.
fn is_same(
    env: &Env,
    flags: &Flags,
    there: &Provider,
    file: &UserFile,
    made: &SignIn,
    secret: Option<&Secret<String>>,
) -> Result<bool, Error> {
    let mut keys = keys_of(&made.provider_args);
    keys.extend(made.keys.iter().cloned());
    let tried = provider_with_keys(env, flags, file, &keys)?;
    let has_same_secret = match secret {
        Some(secret) => there.client_secret().ok().flatten().as_ref() == Some(secret),
        None => there.client_secret_file.is_none(),
    };
    Ok(has_same_secret && has_same_scopes(there, &tried) && has_same_settings(there, &tried))
}

/// Expands `~`, as kubelogin does.
fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches(['/', '\\'])),
        _ => path.into(),
    }
}
