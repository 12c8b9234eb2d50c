//! The provider and the account that a command line selects, and the command that signs in to them.

use crate::arguments::{AdHocArgs, Target};
use crate::error::Error;
use crate::provider::Provider;
use crate::provider::{Config, ProviderOverrides};
use crate::report::printable_url;
use crate::session::{DEFAULT_ACCOUNT, LoginLine};
use crate::shell::quoted;

/// The name by which the configuration knows `hallpass get-token`.
pub(crate) const GET_TOKEN: &str = "get-token";

/// The provider and the account that the command line selects.
pub(crate) struct SelectedAccount {
    pub(crate) provider: Provider,
    pub(crate) account: String,
    pub(crate) username: Option<String>,
    pub(crate) token: Option<crate::credential::TokenKind>,
    pub(crate) login: LoginLine,
}

/// Finds the provider and the account that the command line selects.
pub(crate) fn select_account(
    config: &Config,
    Target { target, account }: &Target,
    ad_hoc: &AdHocArgs,
) -> Result<SelectedAccount, Error> {
    let AdHocArgs {
        issuer_url,
        client_id,
        client_secret_file,
        scopes,
        redirect_uri,
        extra_params,
        resources,
        audience,
    } = ad_hoc;
    let overrides = ProviderOverrides {
        client_secret_file: client_secret_file.clone(),
        scopes: scopes.clone(),
        redirect_uri: redirect_uri.clone(),
        extra_params: pairs(extra_params)?,
        resources: resources.clone(),
        audience: audience.clone(),
    };
    let mut username = None;
    let mut token = None;
    let mut of_resource = None;
    let provider = match (issuer_url, client_id, target) {
        (Some(_), _, Some(_)) => {
            return Err(Error::Usage(
                "--issuer-url already describes a provider: omit PROVIDER".to_owned(),
            ));
        }
        (Some(issuer), Some(client_id), None) => config.ad_hoc(issuer, client_id, overrides)?,
        (None, Some(_), _) | (Some(_), None, _) => {
            return Err(Error::Usage(
                "--issuer-url and --client-id must be used together".to_owned(),
            ));
        }
        (None, None, None) => {
            let mut provider = config.only_provider()?;
            provider.takes_broader_token = true;
            overrides.of(provider)?
        }
        (None, None, Some(target)) if target.contains("://") => {
            let url = crate::provider::web_url::parse(target)
                .ok_or_else(|| Error::Usage(format!("{} is not a URL", printable_url(target))))?;
            let found = config
                .resource(&url, GET_TOKEN)?
                .ok_or_else(|| Error::NoResource(printable_url(target)))?;
            username = found.username;
            token = found.token;
            of_resource = found.account;
            overrides.of(found.provider)?
        }
        (None, None, Some(name)) => {
            let mut provider = config.provider(name)?;
            // The token goes to the user, who asked for no other scopes.
            provider.takes_broader_token = true;
            overrides.of(provider)?
        }
    };
    let account = account
        .clone()
        .or(of_resource)
        .unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    let login = LoginLine {
        this: login_line(&provider, &account, ad_hoc),
        another: login_line(&provider, "OTHER", ad_hoc),
    };
    Ok(SelectedAccount {
        provider,
        account,
        username,
        token,
        login,
    })
}

pub(crate) fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    texts
        .iter()
        .map(|text| {
            text.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| Error::Usage("--extra-param takes KEY=VALUE".to_owned()))
        })
        .collect()
}

/// The command that signs in to an account of a configured provider.
pub(crate) fn login_of(provider: &Provider, account: &str) -> LoginLine {
    let line = |account| login_line(provider, account, &AdHocArgs::default());
    LoginLine {
        this: line(account),
        another: line("OTHER"),
    }
}

/// The command that signs in to an account, for hints.
pub(crate) fn login_line(provider: &Provider, account: &str, ad_hoc: &AdHocArgs) -> String {
    let mut words = vec!["hallpass".to_owned(), "login".to_owned()];
    let mut add = |flag: &str, value: &str| {
        words.push(flag.to_owned());
        words.push(quoted(value));
    };
    match (&ad_hoc.issuer_url, &ad_hoc.client_id) {
        (Some(issuer), Some(client_id)) => {
            add("--issuer-url", issuer);
            add("--client-id", client_id);
        }
        _ => words.push(quoted(&provider.name)),
    }
    let mut add = |flag: &str, value: &str| {
        words.push(flag.to_owned());
        words.push(quoted(value));
    };
    if let Some(file) = &ad_hoc.client_secret_file {
        add("--client-secret-file", &file.to_string_lossy());
    }
    for scope in &ad_hoc.scopes {
        add("--scope", scope);
    }
    if let Some(uri) = &ad_hoc.redirect_uri {
        add("--redirect-uri", uri);
    }
    for pair in &ad_hoc.extra_params {
        add("--extra-param", pair);
    }
    for resource in &ad_hoc.resources {
        add("--resource", resource);
    }
    if let Some(audience) = &ad_hoc.audience {
        add("--audience", audience);
    }
    if account != DEFAULT_ACCOUNT {
        add("--account", account);
    }
    words.join(" ")
}
