//! Hints for errors of sessions and sign-ins.

use super::http_hints::{LATER, NETWORK_PAGE, http_hint};
use super::store_hints::store_hint;
use super::token_hints::{id_token_hint, token_hint};
use crate::grant::browser::BrowserError;
use crate::grant::device::DeviceError;
use crate::grant::listener::ListenerError;
use crate::session::{self, DiscoveryError, ExchangeError, attempt::Outcome};

pub(super) fn session_hint(error: &session::Error) -> Option<String> {
    use session::Error as S;
    match error {
        S::Config(error) => error.hint(),
        S::Store(error) => store_hint(error),
        S::Http(error)
        | S::Browser(BrowserError::PushFailed(error))
        | S::Device(DeviceError::Http(error))
        | S::Exchange(ExchangeError::Http(error)) => http_hint(error),
        S::RefreshPaused { seconds, .. } => Some(format!("run the command again in {seconds} s")),
        S::LostResponse(cause) => Some(lost_response_hint(cause)),
        S::NoMetadata {
            status: 429 | 500..=599,
            ..
        } => Some(LATER.to_owned()),
        S::MetadataMoved { .. } => Some(format!(
            "hallpass does not follow it, because the issuer must match exactly: compare `issuer` \
             (scheme, host, path and trailing slash) with the provider's documentation; if it is \
             right, {NETWORK_PAGE}"
        )),
        S::Discovery(DiscoveryError::NotJson) => Some(format!(
            "{NETWORK_PAGE}; otherwise check that the issuer is exactly what the provider's documentation says"
        )),
        S::Discovery(_) | S::NoMetadata { .. } => Some(
            "check that the issuer is exactly what the provider's documentation says"
                .to_owned(),
        ),
        S::NoEndpoint("device_authorization_endpoint") => {
            Some("this provider does not support device codes: use `--flow browser`".to_owned())
        }
        S::NoEndpoint(name) => Some(format!("set `{name}` under the provider in config.toml")),
        S::Token(error)
        | S::Browser(BrowserError::PushRejected(error))
        | S::Device(DeviceError::NotStarted(error)) => Some(token_hint(error).to_owned()),
        S::Exchange(ExchangeError::Refused { registry, .. }) => Some(format!(
            "check that you have access to that registry, open https://{registry} in a browser once, \
             and check that `registry_exchange`, the scopes and the client are what it expects"
        )),
        S::Exchange(ExchangeError::Unavailable { .. }) => {
            Some("the registry is having problems: try again later".to_owned())
        }
        S::Exchange(ExchangeError::Malformed { .. } | ExchangeError::NoTls { .. }) => {
            Some("check that `registry_exchange` is right for this registry".to_owned())
        }
        S::IdToken(error) => Some(id_token_hint(error)),
        S::Mixup(_) => Some(MIXED_UP.to_owned()),
        S::Vanished => Some("run the command again; it will sign in".to_owned()),
        S::UntimelyIdToken { provider_ahead, .. } => Some(session::clock_hint(*provider_ahead)),
        S::NoIdToken => Some(
            "check at the provider that this client may get ID tokens; to get the access token, use \
             `--token access`"
                .to_owned(),
        ),
        S::NoOpenIdScope { .. } => Some(
            "add `openid` to the `scopes` of the provider in config.toml, or use `--scope openid`; to \
             get the access token, use `--token access`"
                .to_owned(),
        ),
        S::Browser(BrowserError::Listener(ListenerError::PortTaken { port })) => Some(format!(
            "end the program that uses port {port}, or set `redirect_uri` to a registered address with another port"
        )),
        S::Browser(BrowserError::Listener(_)) => Some("use `--flow device`".to_owned()),
        S::Browser(BrowserError::NoPushEndpoint) => Some(
            "tell the provider's administrators that its metadata lacks \
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
        | S::SignInCrashed { login, .. }
        | S::OtherSignInFailed { login, .. }
        | S::SignedOutMeanwhile { login } => Some(format!("run `{login}`")),
        S::TimedOut {
            login,
            sent: Some(sent),
        } => Some(timed_out_hint(login, sent)),
        S::CoolingDown {
            outcome: Outcome::Declined,
            login,
            ..
        } => Some(format!("to sign in after all, run `{login}`")),
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
        S::UnknownPerson { .. } => Some("run the command again when the provider is reachable".to_owned()),
    }
}

const MIXED_UP: &str = "close every sign-in tab and run the command again; if it fails again, \
    check that `issuer` is exactly what the provider's documentation says";

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

/// The hint for a lost response, with what may have happened at the provider.
fn lost_response_hint(cause: &session::Error) -> String {
    format!(
        "{}. The provider may already have replaced the refresh token; if so, you will have to \
         sign in again",
        session_hint(cause).unwrap_or_else(|| "run the command again".to_owned())
    )
}
