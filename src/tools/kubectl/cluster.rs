//! Selects the provider and the account for a cluster.
//!
//! The kubeconfig may come from an untrusted source. It may freely use an issuer and a client of
//! its own, but not a configured provider: that provider's token goes only to servers that the
//! configuration assigns to it, or, if the configuration mentions no clusters, to the server that
//! the exec entry's command line was written for. In particular:
//!
//! - a request that describes no cluster is answered only if its exec entry is recorded, and counts
//!   as a request for the recorded server;
//! - a recorded entry answers for its own server, provider and account;
//! - a registration with recorded entries is bound to their servers, whatever configuration the
//!   environment selects;
//! - the cluster's extension can only choose from what is configured or signed in, and the server
//!   must still be assigned to a configured provider;
//! - an issuer and a client that match a configured provider count as that provider;
//! - a server's name proves nothing if TLS is not verified, or if the kubeconfig sets both the proxy
//!   to the server and what the server is verified by: an authority, or another TLS name.

use url::Url;

use super::arguments::{Arguments as KubectlArgs, NAME};
use super::entry::Entry;
use super::error::refusal;
use crate::arguments::{AdHocArgs, Target};
use crate::credential::{Cluster, ClusterNames, Refusal, TokenKind};
use crate::error::Error;
use crate::provider::Config;
use crate::provider::{Provider, Realm, web_url};
use crate::report::{Exit, Report, printable, printable_url};
use crate::serving::prepared::Prepared;
use crate::serving::serve::ServeError;
use crate::serving::target::{SelectedAccount, select_account};
use crate::session::{Account, DEFAULT_ACCOUNT};

/// The selected provider and account.
pub(crate) struct ClusterLogin {
    pub(crate) chosen: SelectedAccount,
    pub(crate) token: TokenKind,
    /// How to reach the provider.
    pub(crate) proxy: Option<Url>,
    /// The API server that the token is for.
    pub(crate) server: String,
}

/// Selects the provider and the account from the command line, then the cluster's extension, then
/// the server.
pub(crate) fn cluster_login(
    prepared: &Prepared<'_>,
    args: &KubectlArgs,
    cluster: Option<&Cluster>,
) -> Result<ClusterLogin, ServeError> {
    let config = &prepared.config;
    let entry = args.entry.as_deref();
    let entry = entry.map(|id| Entry::read(&prepared.store, id));
    let entry = entry.transpose()?.flatten();
    let recorded = entry.as_ref().map(|entry| Cluster {
        server: entry.server.clone(),
        ..Cluster::default()
    });
    let Some(cluster) = cluster.or(recorded.as_ref()) else {
        return Err(no_cluster(args));
    };
    let server = Server::of(cluster)?;
    let names = &cluster.names;
    let mut asked = RequestedLogin::of(args, names)?;
    if let Some(entry) = &entry {
        asked.bind_to(entry, &server)?;
    }

    let mut found = None;
    let provider = match &asked.provider {
        Some(name) => Some(name.clone()),
        None if asked.ad_hoc.issuer_url.is_some() => None,
        None => {
            let closest = config.resource_of(&server.url, NAME, asked.account.as_deref())?;
            let closest = closest.ok_or_else(|| server.unknown())?;
            let name = closest.provider.name.clone();
            found = Some(closest);
            Some(name)
        }
    };
    let by_match = found.is_some();
    let target = Target {
        target: provider,
        account: asked
            .account
            .clone()
            .or_else(|| found.as_ref().and_then(|found| found.account.clone())),
    };
    let chosen = select_account(config, &target, &asked.ad_hoc)?;

    let owners = owners(config, &chosen.provider, asked.is_by_extension)?;
    let mut recorded = Entry::all(&prepared.store)?;
    recorded.retain(|entry| is_same_registration(&entry.registration(), &chosen.provider));
    if by_match || !owners.is_empty() || !recorded.is_empty() {
        server.is_proven(&chosen.provider)?;
        let is_recorded = recorded
            .iter()
            .any(|entry| entry.is_for(&server.realm, &server.url));
        let is_opened = || {
            owners
                .iter()
                .any(|name| config.assigns(name, &server.url, NAME))
        };
        // The configuration decides, if it says anything.
        let may_have_it = by_match || is_opened() || (owners.is_empty() && is_recorded);
        if !may_have_it {
            let name = owners.first();
            let name = name.or(recorded.first().map(|entry| &entry.provider));
            return Err(server.not_opened_by(name.unwrap_or(&chosen.provider.name)));
        }
    }
    if let (Some(account), None) = (&names.account, &args.account) {
        is_known(prepared, &chosen, account, &server)?;
    }
    let token = asked.token.or(found.and_then(|found| found.token));
    let token = token.unwrap_or(TokenKind::Id);
    if token == TokenKind::Id && !chosen.provider.is_openid() {
        return Err(no_id_token(&chosen.provider));
    }
    let proxy = cluster.proxy_url.as_deref();
    let proxy = proxy.filter(|_| chosen.provider.use_cluster_proxy);
    Ok(ClusterLogin {
        token,
        proxy: proxy.map(proxy_of).transpose()?,
        chosen,
        server: server.shown,
    })
}

/// Finds the provider and the account for a check.
pub(crate) fn checked_login(
    prepared: &Prepared<'_>,
    args: &KubectlArgs,
    cluster: Option<&Cluster>,
) -> Result<ClusterLogin, Report> {
    cluster_login(prepared, args, cluster).map_err(|stop| match Refusal::from(stop) {
        Refusal::NotSignedIn(report) | Refusal::Declined(report) | Refusal::Failed(report) => {
            report
        }
        Refusal::NotMine => Report::failure("hallpass does not answer for this cluster"),
    })
}

// --- what is asked for ---

/// The settings of the command line, and those of the cluster's extension where it has none.
struct RequestedLogin {
    provider: Option<String>,
    ad_hoc: AdHocArgs,
    account: Option<String>,
    token: Option<TokenKind>,
    /// The extension selects the provider.
    is_by_extension: bool,
}

impl RequestedLogin {
    fn of(args: &KubectlArgs, names: &ClusterNames) -> Result<Self, ServeError> {
        let KubectlArgs {
            provider,
            ad_hoc,
            account,
            token,
            entry: _,
            api_version: _,
            asking: _,
            common: _,
        } = args;
        let ClusterNames {
            provider: by_extension,
            issuer_url,
            client_id,
            scopes,
            audience,
            account: named_account,
            token: named_token,
        } = names;
        let is_half = issuer_url.is_some() != client_id.is_some();
        if is_half || (issuer_url.is_some() && by_extension.is_some()) {
            return Err(refusal(
                "the cluster's extension names half a provider or two".to_owned(),
                "it has `provider`, or `issuerURL` and `clientID`".to_owned(),
                Exit::Usage,
            ));
        }
        let is_by_flags = provider.is_some() || ad_hoc.issuer_url.is_some();
        let is_by_extension = by_extension.is_some() || issuer_url.is_some();
        let is_same = (by_extension.is_none() || by_extension == provider)
            && (issuer_url.is_none() || *issuer_url == ad_hoc.issuer_url)
            && (client_id.is_none() || *client_id == ad_hoc.client_id);
        if is_by_flags && !is_same {
            return Err(refusal(
                "the exec entry's arguments name one provider and the cluster's extension another"
                    .to_owned(),
                "take one of them out of the kubeconfig".to_owned(),
                Exit::Usage,
            ));
        }
        let mut ad_hoc = ad_hoc.clone();
        if !is_by_flags {
            ad_hoc.issuer_url = ad_hoc.issuer_url.or_else(|| issuer_url.clone());
            ad_hoc.client_id = ad_hoc.client_id.or_else(|| client_id.clone());
        }
        if ad_hoc.scopes.is_empty() {
            ad_hoc.scopes.clone_from(scopes);
        }
        ad_hoc.audience = ad_hoc.audience.or_else(|| audience.clone());
        Ok(Self {
            provider: provider.clone().or_else(|| by_extension.clone()),
            ad_hoc,
            account: account.clone().or_else(|| named_account.clone()),
            token: token.or(*named_token),
            is_by_extension: is_by_extension && !is_by_flags,
        })
    }
}

impl RequestedLogin {
    /// Restricts the request to what was recorded for the exec entry.
    fn bind_to(&mut self, entry: &Entry, server: &Server<'_>) -> Result<(), ServeError> {
        let refused = |what: String| {
            refusal(
                format!("this exec entry was set up for {what}"),
                "run `hallpass setup kubectl` again with the context that you use, or take \
                 `--entry` and the ID after it out of the kubeconfig"
                    .to_owned(),
                Exit::Failed,
            )
        };
        if !entry.is_for(&server.realm, &server.url) {
            let what = format!("{}, not for {}", printable(&entry.server), server.shown);
            return Err(refused(what));
        }
        let is_other = |asked: &Option<String>, recorded: &str| {
            asked.as_deref().is_some_and(|asked| asked != recorded)
        };
        let account = entry.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        if self.ad_hoc.issuer_url.is_some()
            || is_other(&self.provider, &entry.provider)
            || is_other(&self.account, account)
        {
            let provider = printable(&entry.provider);
            return Err(refused(format!(
                "the account {} at {provider}, and the kubeconfig asks for another one",
                printable(account)
            )));
        }
        self.provider = Some(entry.provider.clone());
        self.account.clone_from(&entry.account);
        Ok(())
    }
}

// --- who may answer ---

/// The configured providers with the same registration at the same server, whose entries decide
/// where its tokens may go. Empty if there are none.
fn owners(
    config: &Config,
    provider: &Provider,
    is_by_extension: bool,
) -> Result<Vec<String>, Error> {
    // A preset used by its bare name is not configured, but doesn't belong to the kubeconfig
    // either.
    let is_ours = provider.preset.is_some() || provider.origin.configured;
    let mut owners: Vec<String> = Vec::new();
    if is_by_extension {
        owners.extend(is_ours.then(|| provider.name.clone()));
        for name in config.providers() {
            // An incomplete provider has no sessions.
            if config
                .provider(name)
                .is_ok_and(|one| is_same_registration(&one, provider))
            {
                owners.push(name.to_owned());
            }
        }
    }
    for name in config.providers_with_resources() {
        let is_own = is_ours && name == provider.name;
        if is_own || is_same_registration(&config.provider(name)?, provider) {
            owners.push(name.to_owned());
        }
    }
    Ok(owners)
}

/// The same client at the same host. One may name the issuer, and the other the endpoints from its
/// metadata.
fn is_same_registration(one: &Provider, other: &Provider) -> bool {
    let is_same_client = one.client_id.is_some() && one.client_id == other.client_id;
    let theirs = realms(other);
    is_same_client && realms(one).iter().any(|realm| theirs.contains(realm))
}

fn realms(provider: &Provider) -> Vec<Realm> {
    let issuer = provider.issuer.as_deref();
    let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
    let endpoints = [&provider.token_endpoint, &provider.authorization_endpoint];
    let endpoints = endpoints.into_iter().filter_map(Option::as_ref);
    issuer
        .iter()
        .chain(endpoints)
        .filter_map(Realm::of)
        .collect()
}

/// An account named by the kubeconfig must be configured or signed in.
fn is_known(
    prepared: &Prepared<'_>,
    chosen: &SelectedAccount,
    account: &str,
    server: &Server<'_>,
) -> Result<(), ServeError> {
    let labels = prepared.config.accounts(&server.url, NAME);
    let is_configured =
        labels.contains(&Some(account).filter(|account| *account != DEFAULT_ACCOUNT));
    if is_configured {
        return Ok(());
    }
    let login = chosen.login.clone();
    let signed_in = Account::new(prepared.context(), chosen.provider.clone(), account, login)
        .map_err(Error::from)?;
    if signed_in.served_session().map_err(Error::from)?.is_some() {
        return Ok(());
    }
    Err(refusal(
        format!(
            "the cluster's extension names the account {account} at {}, but that account is not signed in",
            chosen.provider.name
        ),
        format!("run `{}`", chosen.login.this),
        Exit::SignInNeeded,
    ))
}

fn no_id_token(provider: &Provider) -> ServeError {
    let name = &provider.name;
    refusal(
        format!("{name} issues no ID token, because `openid` is not among its scopes"),
        "add the scope: `--scope openid` in the exec entry, or `scopes` in config.toml; if the API \
         server takes access tokens, use `--token access`"
            .to_owned(),
        Exit::Usage,
    )
}

/// The error for a client that doesn't name the server that it would send the token to.
fn no_cluster(args: &KubectlArgs) -> ServeError {
    let (error, hint) = match args.entry {
        Some(_) => (
            "the client does not say which cluster it talks to, and this exec entry is not \
             recorded on this machine",
            "run `hallpass setup kubectl` with the context that you use (`--context NAME`): it \
             records the server of the exec entry",
        ),
        None => (
            "the client does not say which cluster it talks to",
            "run `hallpass setup kubectl` with the context that you use (`--context NAME`): it \
             records the server of the exec entry. For clients that describe the cluster, set \
             `provideClusterInfo: true` in the exec entry",
        ),
    };
    refusal(error.to_owned(), hint.to_owned(), Exit::Failed)
}

fn proxy_of(text: &str) -> Result<Url, ServeError> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| {
        let scheme = url.scheme();
        matches!(scheme, "http" | "https" | "socks5" | "socks5h") && url.has_host()
    });
    url.ok_or_else(|| {
        refusal(
            "a provider can't be reached through the cluster's `proxy-url`".to_owned(),
            "it may begin with http://, https:// or socks5://; or take `use_cluster_proxy` out of \
             config.toml"
                .to_owned(),
            Exit::Failed,
        )
    })
}

// --- the server ---

struct Server<'c> {
    url: Url,
    realm: Realm,
    shown: String,
    cluster: &'c Cluster,
}

impl<'c> Server<'c> {
    fn of(cluster: &'c Cluster) -> Result<Self, ServeError> {
        let shown = printable_url(&cluster.server);
        let url = web_url::parse(&cluster.server);
        let parsed = url.and_then(|url| Some((Realm::of(&url)?, url)));
        let Some((realm, url)) = parsed else {
            return Err(refusal(
                "the cluster's server is not a plain http or https URL".to_owned(),
                "check it with `kubectl config view --minify`".to_owned(),
                Exit::Failed,
            ));
        };
        // The network could read the token. A kubeconfig's proxy could too, even for a server on
        // this machine.
        let leaves = url.scheme() == "http" && cluster.proxy_url.is_some();
        if leaves || !realm.is_confidential() {
            return Err(refusal(
                format!("{shown} uses plain http, which hallpass accepts only on this machine"),
                "give the cluster an https:// server".to_owned(),
                Exit::Failed,
            ));
        }
        Ok(Self {
            url,
            realm,
            shown,
            cluster,
        })
    }

    /// Checks that the kubeconfig proves the server's identity.
    fn is_proven(&self, provider: &Provider) -> Result<(), ServeError> {
        let Cluster {
            skips_tls_verification,
            has_own_authority,
            tls_server_name,
            proxy_url,
            ..
        } = self.cluster;
        let name = &provider.name;
        if *skips_tls_verification {
            return Err(refusal(
                format!(
                    "{} is not verified, so {name} does not answer for it",
                    self.shown
                ),
                "replace `insecure-skip-tls-verify` in the kubeconfig by the cluster's authority, \
                 `certificate-authority`"
                    .to_owned(),
                Exit::Failed,
            ));
        }
        let vouched = match (*has_own_authority, tls_server_name) {
            (true, _) => Some("the authority that vouches for it"),
            (false, Some(_)) => Some("another TLS name that it is known by"),
            (false, None) => None,
        };
        if let (Some(_), Some(vouched), false) = (proxy_url, vouched, provider.use_cluster_proxy) {
            return Err(refusal(
                format!(
                    "the kubeconfig names both a proxy that leads to {} and {vouched}, so {name} \
                     does not answer for it",
                    self.shown
                ),
                format!(
                    "if that proxy is to be trusted, set `use_cluster_proxy = true` in \
                     [providers.{name}] of config.toml"
                ),
                Exit::Failed,
            ));
        }
        Ok(())
    }

    fn unknown(&self) -> ServeError {
        refusal(
            format!(
                "no [[resources]] entry assigns the cluster at {} to a provider",
                self.shown
            ),
            Self::set_up(),
            Exit::Failed,
        )
    }

    fn not_opened_by(&self, name: &str) -> ServeError {
        refusal(
            format!("{name} does not open the cluster at {}", self.shown),
            Self::set_up(),
            Exit::Failed,
        )
    }

    /// The kubeconfig may come from a stranger, so the hint names no provider, and no command that
    /// would give this server a token.
    fn set_up() -> String {
        "if you trust this server with your token, run `hallpass setup kubectl --dry-run`: it \
         shows whose token would be sent to which server; without `--dry-run` it sets that up"
            .to_owned()
    }
}
