//! Every error a command can end with, in the words of its reader.
//!
//! `hint` is an exhaustive match: a new variant does not compile until somebody writes what to do
//! about it. A hint holds something that can be typed.

use std::error::Error as _;

use crate::config::{ConfigError, held_by};
use crate::grant::browser::BrowserError;
use crate::grant::device::DeviceError;
use crate::grant::listener::ListenerError;
use crate::http::{CertificateFault, HttpError};
use crate::report::{Exit, Report};
use crate::session::{
    self, DiscoveryError, ExchangeError, IdTokenError, TokenError, attempt::Outcome,
};
use crate::store::{KeyringError, Place, Setting, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    /// Also the text of `--help` and `--version`.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    #[error("no [[resources]] entry matches {0}")]
    NoResource(String),
    #[error("{provider} has no account {account}")]
    UnknownAccount {
        provider: String,
        account: String,
        known: Vec<String>,
        login: String,
    },
    #[error("{provider} has several accounts: {}", accounts.join(", "))]
    WhichAccount {
        provider: String,
        accounts: Vec<String>,
    },
    #[error("hallpass must first be registered at {at}")]
    NotRegistered {
        at: String,
        /// Where, and what to write there.
        where_to: String,
        /// What to type then.
        again: String,
    },
    #[error("`git config` failed to {action}")]
    GitConfig {
        action: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("kubectl failed to {action}")]
    Kubectl {
        action: &'static str,
        #[source]
        cause: std::io::Error,
    },
    #[error("{file} cannot be changed for the user {user} and nothing else: {why}")]
    KubeconfigUnfit {
        file: String,
        user: String,
        why: String,
    },
    #[error("another part of config.toml depends on the block that would be removed")]
    StillNeeded {
        #[source]
        cause: Box<ConfigError>,
        /// The commands that take back the set-ups that need it.
        undo: Vec<String>,
    },
    #[error("{file} {why}")]
    KubeconfigBusy {
        file: String,
        why: &'static str,
        hint: String,
    },
    #[error("the user {user} cannot be converted: {why}")]
    NotConverted {
        user: String,
        why: String,
        /// The set-up's own command.
        again: String,
    },
    #[error("the store is set to \"{is}\", so the key cannot be moved to the {wanted}")]
    StoreSetOtherwise { is: Setting, wanted: Setting },
    #[error("the path of this program cannot be found")]
    Program(#[source] std::io::Error),
    #[error("the link {} cannot be made or removed", path.display())]
    Link {
        path: std::path::PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the reply could not be written")]
    Reply(#[source] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Session(session::Error),
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Self {
        if let session::Error::Config(error) = error {
            Self::Config(error)
        } else if let session::Error::Store(error) = error {
            Self::Store(error)
        } else {
            Self::Session(error)
        }
    }
}

impl Error {
    pub fn report(&self) -> Report {
        if let Self::Session(session::Error::Elsewhere(report)) = self {
            return Report::clone(report);
        }
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if causes.last() != Some(&cause_text) {
                causes.push(cause_text);
            }
            next = cause.source();
        }
        let error = self.to_string();
        causes.retain(|cause| *cause != error);
        if let Self::Session(
            session::Error::LeaderFailed { message, .. }
            | session::Error::RefreshPaused { message, .. },
        ) = self
        {
            causes.push(message.clone());
        }
        if let Self::Session(session::Error::ProviderRefused { code, .. }) = self {
            causes.extend(code.description().map(str::to_owned));
        }
        if let Self::Session(session::Error::Declined {
            cause: Some(code), ..
        }) = self
        {
            causes.push(code.to_string());
        }
        Report {
            error,
            causes,
            hint: self.hint(),
            exit: self.exit(),
        }
    }

    fn exit(&self) -> Exit {
        use session::Error as S;
        match self {
            Self::Config(error) if error.is_the_machines() => Exit::Failed,
            Self::Usage(_)
            | Self::CommandLine(_)
            | Self::NoResource(_)
            | Self::UnknownAccount { .. }
            | Self::WhichAccount { .. }
            | Self::NotRegistered { .. }
            | Self::NotConverted { .. }
            | Self::StoreSetOtherwise { .. }
            | Self::StillNeeded { .. }
            | Self::Session(S::IdTokenNotAskedFor { .. })
            | Self::Config(_) => Exit::Usage,
            Self::Session(S::SignInNeeded { .. }) => Exit::SignInNeeded,
            Self::Session(
                S::Declined { .. }
                | S::TimedOut { .. }
                | S::CoolingDown { .. }
                | S::NotAnswered { .. },
            ) => Exit::NotSignedIn,
            Self::Session(S::Elsewhere(report)) => report.exit,
            Self::Store(_)
            | Self::Link { .. }
            | Self::Reply(_)
            | Self::Program(_)
            | Self::GitConfig { .. }
            | Self::Kubectl { .. }
            | Self::KubeconfigUnfit { .. }
            | Self::KubeconfigBusy { .. }
            | Self::Session(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(_) | Self::CommandLine(_) => {
                Some("run the same command with `--help`".to_owned())
            }
            Self::NoResource(url) => Some(format!(
                "add to config.toml:\n[[resources]]\nmatch = \"{url}\"\nprovider = \"…\""
            )),
            Self::UnknownAccount { known, login, .. } => Some(format!(
                "known accounts: {}; to add this one, run `{login}`",
                known.join(", ")
            )),
            Self::WhichAccount { provider, .. } => Some(format!(
                "run `hallpass logout {provider} --account NAME`, or with `--all`"
            )),
            Self::NotRegistered {
                where_to, again, ..
            } => Some(format!("{where_to}\nthen run `{again}`")),
            Self::GitConfig { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                Some("install git, or see that PATH leads to it".to_owned())
            }
            Self::GitConfig { .. } => Some(
                "see with `git config --global --list --show-origin` which file it is, that you \
                 can write it, and that no `.lock` of a git that was stopped is left beside it; \
                 then run the command again"
                    .to_owned(),
            ),
            Self::Kubectl { .. } => {
                Some("see that kubectl is installed, and run `kubectl config view`".to_owned())
            }
            Self::KubeconfigUnfit { .. } => Some(
                "reformat the file with `kubectl config set-context hallpass-layout` and \
                 `kubectl config delete-context hallpass-layout`, which drop its comments, and run \
                 it again; nothing was changed"
                    .to_owned(),
            ),
            Self::StillNeeded { undo, .. } if undo.is_empty() => {
                Some("nothing was changed; change that entry in config.toml first".to_owned())
            }
            Self::StillNeeded { undo, .. } => Some(format!(
                "nothing was changed. To remove what depends on it, run `{}`, then this command again",
                undo.join("` and `")
            )),
            Self::KubeconfigBusy { hint, .. } => Some(hint.clone()),
            Self::NotConverted { again, .. } => Some(format!(
                "nothing was changed; to set it up by hand, run `{again} --issuer-url URL \
                 --client-id ID --scope openid`"
            )),
            Self::StoreSetOtherwise { wanted, .. } => Some(format!(
                "set `store = \"{wanted}\"` in config.toml or HALLPASS_STORE={wanted}, then run \
                 `hallpass store move --to {wanted}` again"
            )),
            Self::Program(_) => Some("start hallpass by its absolute path".to_owned()),
            Self::Link { path, .. } => {
                Some(format!("check `ls -ld {}` and its folder", path.display()))
            }
            Self::Reply(_) => None,
            Self::Config(error) => error.hint(),
            Self::Store(error) => store_hint(error),
            Self::Session(error) => session_hint(error),
        }
    }
}

fn session_hint(error: &session::Error) -> Option<String> {
    use session::Error as S;
    match error {
        S::Config(error) => error.hint(),
        S::Store(error) => store_hint(error),
        S::Http(error)
        | S::Browser(BrowserError::NotSent(error))
        | S::Device(DeviceError::Http(error))
        | S::Exchange(ExchangeError::Http(error)) => http_hint(error),
        S::RefreshPaused { seconds, .. } => Some(format!("run the command again in {seconds} s")),
        S::LostResponse(cause) => Some(lost_response_hint(cause)),
        S::NoMetadata {
            status: 429 | 500..=599,
            ..
        } => Some(LATER.to_owned()),
        S::MetadataMoved { .. } => Some(format!(
            "hallpass does not follow it, because the issuer is compared to the letter: correct \
             `issuer` (its scheme, host, path and slash at the end) by the provider's documentation; \
             if it is right, {NETWORK_PAGE}"
        )),
        S::Discovery(DiscoveryError::NotJson) => Some(format!(
            "{NETWORK_PAGE}; else compare the issuer with the provider's documentation, to the letter"
        )),
        S::Discovery(_) | S::NoMetadata { .. } => Some(
            "compare the issuer with what the provider's documentation says, to the letter"
                .to_owned(),
        ),
        S::NoEndpoint("device_authorization_endpoint") => {
            Some("this provider has no device code: use `--flow browser`".to_owned())
        }
        S::NoEndpoint(name) => Some(format!("set `{name}` under the provider in config.toml")),
        S::Token(error)
        | S::Browser(BrowserError::NotTaken(error))
        | S::Device(DeviceError::NotBegun(error)) => Some(token_hint(error).to_owned()),
        S::Exchange(ExchangeError::Refused { registry, .. }) => Some(format!(
            "see that you may use that registry, open https://{registry} in a browser once, and \
             that `registry_exchange`, the scopes and the client are those that it wants"
        )),
        S::Exchange(ExchangeError::Unavailable { .. }) => {
            Some("the registry is in trouble: run it again later".to_owned())
        }
        S::Exchange(ExchangeError::Malformed { .. }) => {
            Some("see that `registry_exchange` is the right one for this registry".to_owned())
        }
        S::IdToken(error) => Some(id_token_hint(error)),
        S::Mixup(_) | S::Vanished => Some(VERBOSE.to_owned()),
        S::UntimelyIdToken { provider_ahead, .. } => Some(session::clock_hint(*provider_ahead)),
        S::NoIdToken => Some(
            "check at the provider that this client may get ID tokens; to get the access token, use \
             `--token access`"
                .to_owned(),
        ),
        S::IdTokenNotAskedFor { .. } => Some(
            "add `openid` to the `scopes` of the provider in config.toml, or use `--scope openid`; to \
             get the access token, use `--token access`"
                .to_owned(),
        ),
        S::Browser(BrowserError::Listener(ListenerError::PortTaken { port })) => Some(format!(
            "end the program that has port {port}, or set a `redirect_uri` with another port that is registered"
        )),
        S::Browser(BrowserError::Listener(_)) => Some("use `--flow device`".to_owned()),
        S::Browser(BrowserError::NowhereToPush) => Some(
            "tell the people who run the provider that its metadata lacks \
             `pushed_authorization_request_endpoint`; if you set `par = true`, remove it"
                .to_owned(),
        ),
        S::Browser(_) => {
            Some("set `browser` in config.toml or BROWSER, or use `--flow device`".to_owned())
        }
        S::Device(_) => Some("use `--flow browser`".to_owned()),
        S::SignInNeeded { login, .. }
        | S::Declined { login, .. }
        | S::TimedOut { login, sent: None }
        | S::ProviderRefused { login, .. }
        | S::LeaderDied { login, .. }
        | S::LeaderFailed { login, .. }
        | S::SignedOutMeanwhile { login } => Some(format!("run `{login}`")),
        S::TimedOut {
            login,
            sent: Some(sent),
        } => Some(timed_out_hint(login, sent)),
        S::CoolingDown {
            outcome: Outcome::Declined,
            login,
            ..
        } => Some(format!("if you do want to sign in, run `{login}`")),
        S::NotAnswered { login } => Some(format!("to sign in, run `{login}`")),
        S::Elsewhere(report) => report.hint.clone(),
        S::CoolingDown { login, .. } => Some(format!("to be asked now, run `{login}`")),
        S::NotAccepted(refused) => Some(refused.hint()),
        S::OtherPerson {
            account,
            pinned,
            person,
            login,
        } => Some(other_person_hint(account, pinned, person, login)),
        S::UnknownPerson { .. } => Some("run it again when the provider answers".to_owned()),
    }
}

fn other_person_hint(
    account: &str,
    pinned: &str,
    person: &str,
    login: &session::LoginLine,
) -> String {
    format!(
        "to sign in as {pinned}, run `{}` and choose that account in the browser; to use {person} \
         for the account {account} instead, run `{}` first; to use both, run `{}`",
        login.this,
        login.logout(),
        login.another
    )
}

fn timed_out_hint(login: &str, sent: &session::Sent) -> String {
    let session::Sent {
        client_id,
        redirect_uri,
        fixed_port,
    } = sent;
    let port = fixed_port.as_ref().map_or_else(String::new, |fixed| {
        format!(". Some providers compare the port too: {fixed}")
    });
    format!(
        "run `{login}`\nIf the browser showed an error page, the provider did not send it back to \
         hallpass. Check that\n- the provider knows the client {client_id} (`client_id`)\n- the \
         redirect URI is registered: {redirect_uri}{port}"
    )
}

fn id_token_hint(error: &IdTokenError) -> String {
    use IdTokenError as E;
    match error {
        E::ForeignAudience { others } => {
            let list: Vec<String> = others.iter().map(|one| format!("{one:?}")).collect();
            format!(
                "if those clients may see the ID token, set `trusted_audiences = [{}]` under the \
                 provider in config.toml; else correct the client's audiences at the provider",
                list.join(", ")
            )
        }
        E::UnacceptableAlgorithm { .. } => {
            "set the client's ID token signing algorithm to RS256 or ES256 at the provider"
                .to_owned()
        }
        E::Encrypted => "turn ID token encryption off for this client at the provider".to_owned(),
        E::WrongIssuer => {
            "compare `issuer` with the `iss` that the provider puts in its ID tokens, to the letter"
                .to_owned()
        }
        E::WrongAudience | E::WrongParty => {
            "check that `client_id` is the one that is registered at the provider".to_owned()
        }
        E::WrongNonce => {
            "sign in again; if that does not help, tell the people who run the provider".to_owned()
        }
        E::NotAJwt
        | E::CriticalExtension
        | E::NotAJwks
        | E::UnknownKey
        | E::UnfitKey
        | E::UnusableKey
        | E::BadSignature
        | E::Missing { .. }
        | E::WrongAccessToken => {
            "tell the people who run the provider: its ID token cannot be trusted".to_owned()
        }
    }
}

/// What helps against the loss, and what may have happened at the provider.
fn lost_response_hint(cause: &session::Error) -> String {
    format!(
        "{}. The provider may already have replaced the refresh token; if so, you will have to \
         sign in again",
        session_hint(cause).unwrap_or_else(|| "run the command again".to_owned())
    )
}

fn token_hint(error: &TokenError) -> &'static str {
    if error.is_about_dpop() {
        return "register a client for Bearer tokens, or turn DPoP off for this one at the provider \
                (`dpop_bound_access_tokens`)";
    }
    match error {
        TokenError::Refused { .. } if error.code() == Some("invalid_client") => {
            "check `client_id`, `client_secret_file` and `client_auth` against the registration"
        }
        TokenError::NotJson { status: 200..=299 } => NETWORK_PAGE,
        TokenError::Unavailable { .. }
        | TokenError::Http {
            status: 429 | 500..=599,
        }
        | TokenError::NotJson {
            status: 429 | 500..=599,
        } => LATER,
        TokenError::Refused { .. } => {
            "check the client's registration at the provider: its grant types, redirect URIs and \
             scopes, and that it needs no proof of possession (DPoP)"
        }
        TokenError::Http { .. }
        | TokenError::NotJson { .. }
        | TokenError::Malformed
        | TokenError::Missing { .. }
        | TokenError::LostScopes
        | TokenError::Unusable { .. }
        | TokenError::UnacceptableUrl { .. }
        | TokenError::WrongTokenType
        | TokenError::DpopOnly => {
            "check that the provider's addresses are right; if they are, tell the people who run it"
        }
    }
}

fn http_hint(error: &HttpError) -> Option<String> {
    match error {
        HttpError::PlainHttp { .. } => Some("use the https address".to_owned()),
        HttpError::TimedOut { .. }
        | HttpError::Unreachable { .. }
        | HttpError::Interrupted { .. } => Some(
            "check the network and HTTPS_PROXY, then run it again".to_owned(),
        ),
        HttpError::Proxy { host, .. } => Some(format!(
            "correct HTTPS_PROXY, or set NO_PROXY={} to go without it, then run it again",
            without_port(host)
        )),
        HttpError::ProxyLogin { proxy, .. } => Some(format!(
            "set HTTPS_PROXY=http://USER:PASSWORD@{proxy} and run it again"
        )),
        HttpError::Certificate {
            fault: CertificateFault::Time,
            ..
        } => Some(
            "check this machine's clock with `date`; if it is right, tell those who run the provider"
                .to_owned(),
        ),
        HttpError::Certificate {
            fault: CertificateFault::Trust,
            ..
        } => Some(
            "if your company has its own CA, set `ca_file = \"/path/to/ca.pem\"` in config.toml"
                .to_owned(),
        ),
        HttpError::NotTls { .. } => Some(NETWORK_PAGE.to_owned()),
        HttpError::NetworkSignIn { .. } => Some(
            "open any page in a browser, sign in to the network, and run it again"
                .to_owned(),
        ),
        HttpError::Redirect { .. }
        | HttpError::Certificate {
            fault: CertificateFault::Name,
            ..
        } => Some(format!(
            "{NETWORK_PAGE}; else correct the provider's addresses in config.toml"
        )),
        HttpError::TooLarge { .. } => {
            Some("check that the provider's addresses are right".to_owned())
        }
        HttpError::CaFile { .. } => Some("correct `ca_file` in config.toml".to_owned()),
        HttpError::Tls { .. } => None,
    }
}

/// What a captive portal leaves behind looks like many another fault.
const NETWORK_PAGE: &str = "this may be a network's sign-in page, or a proxy that meddles: open any page in a browser and run it again";

const LATER: &str = "the provider is in trouble: run it again later";

const VERBOSE: &str = "run it again with `-v`, which shows each request";

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => host,
    }
}

const REMOVE_ALL: &str = "hallpass logout --all";
const REMOVE_UNREADABLE: &str = "hallpass logout --unreadable";

fn store_hint(error: &StoreError) -> Option<String> {
    use StoreError as S;
    match error {
        S::NoHome | S::RelativeHome { .. } => Some(
            "set HOME to your home folder, or HALLPASS_DATA_DIR to a folder of yours".to_owned(),
        ),
        S::RelativeDataDir { .. } => Some("set HALLPASS_DATA_DIR to an absolute path".to_owned()),
        S::NoMachineId { .. } => {
            Some("set HALLPASS_DATA_DIR to a folder on a disk of this machine".to_owned())
        }
        S::IsALink { path }
        | S::NotOurs { path, .. }
        | S::NotAFolder { path }
        | S::NotAFile { path } => Some(format!(
            "look at it with `ls -ld {}`; move it away if it is not yours, or set HALLPASS_DATA_DIR",
            path.display()
        )),
        S::TooOpen { path, .. } => Some(format!("run `chmod go-rwx {}`", path.display())),
        S::Io { source, .. }
            if matches!(
                source.kind(),
                std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            Some("set HALLPASS_DATA_DIR to a folder that you can write".to_owned())
        }
        S::Io { path, .. } => Some(format!(
            "check `df {0}` and `ls -ld {0}`; nothing was lost",
            path.parent().unwrap_or(path).display()
        )),
        S::UnknownFormat { .. } => Some(format!(
            "a newer hallpass wrote it: use that version, or run `{REMOVE_UNREADABLE}`, which \
             removes only what this version cannot read"
        )),
        S::ForeignKey { .. } | S::Damaged { .. } => Some(format!(
            "run `{REMOVE_UNREADABLE}`, which removes only what cannot be decrypted, and sign in \
             again"
        )),
        S::KeyMissing {
            place: Place::Keyring,
        } => Some(format!(
            "if the key is in another keyring, open that one and run the command again; if the key \
             is gone, run `{REMOVE_ALL}`, which removes what it has encrypted, and sign in again"
        )),
        S::KeyMissing { .. }
        | S::KeyDamaged { .. }
        | S::KeyFileDamaged { .. }
        | S::RecordsWithoutKey { .. } => Some(format!(
            "run `{REMOVE_ALL}`, which removes what can no longer be decrypted, and sign in again"
        )),
        S::KeyFileNewer { .. } => Some(format!(
            "use that version of hallpass, or run `{REMOVE_ALL}`, which removes everything that it \
             has stored, and sign in again"
        )),
        S::KeyChanged => Some("run the same command again".to_owned()),
        S::LockTimedOut { holder, .. } => Some(held_by(holder.as_ref())),
        S::OtherPlace { remembered, asked } => Some(format!(
            "run `hallpass store move --to {}` to move the key there, or set `store = \"{}\"`",
            setting_of(*asked),
            setting_of(*remembered)
        )),
        S::OnlyPlace => Some(format!(
            "dropping the key would lose every session: to sign out of all of them, run \
             `{REMOVE_ALL}`"
        )),
        S::Keyring(KeyringError::NoService) => Some(format!(
            "start a Secret Service (gnome-keyring, KeePassXC), or set `store = \"file\"` in \
             config.toml or HALLPASS_STORE=file to store the key in a file that only you can read; \
             if the keyring that had the key is gone for good, run `{REMOVE_ALL} --unreadable` first"
        )),
        S::Keyring(_) => Some(format!(
            "unlock the OS keyring and run the command again; if it cannot be unlocked any more, \
             run `{REMOVE_ALL} --unreadable`, which removes everything without revoking it"
        )),
        S::Kernel(_) => Some(format!(
            "set `store = \"file\"` in config.toml or HALLPASS_STORE=file to store the key in a \
             file that only you can read; if sessions were stored before, run \
             `{REMOVE_ALL} --unreadable` first"
        )),
        S::NothingKept => Some(
            "to store sessions in a file that only you can read, set `store = \"file\"` in \
             config.toml or HALLPASS_STORE=file"
                .to_owned(),
        ),
        S::NoRandomness | S::NotJson => None,
    }
}

fn setting_of(place: Place) -> Setting {
    match place {
        Place::Keyring => Setting::Keyring,
        Place::Kernel => Setting::Kernel,
        Place::File => Setting::File,
        Place::None => Setting::None,
    }
}
