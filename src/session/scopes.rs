//! The scopes of one sign-in, and of tokens that have fewer of them.

use super::login_line::DEFAULT_ACCOUNT;
use super::record::Session;
use crate::provider::Provider;
use crate::store::RecordName;

/// The provider with all the scopes of one sign-in of this account. `None` if the provider's scopes
/// are exactly these, or are not among them.
pub(super) fn whole_of(provider: &Provider, account: &str) -> Option<Provider> {
    let is_default = account == DEFAULT_ACCOUNT;
    let mut all: Vec<String> = Vec::new();
    for scopes in &provider.sign_in_scopes {
        for scope in scopes.of(account, is_default) {
            if !all.contains(scope) {
                all.push(scope.clone());
            }
        }
    }
    let is_within = provider.scopes.iter().all(|scope| all.contains(scope));
    let is_narrower = all.iter().any(|scope| !provider.scopes.contains(scope));
    (is_within && is_narrower).then(|| Provider {
        scopes: all,
        sign_in_scopes: Vec::new(),
        shows_scopes: true,
        ..provider.clone()
    })
}

/// Whether a session's token was obtained with another record's refresh token.
pub(super) fn is_narrowed_from(session: &Session, name: &RecordName) -> bool {
    session.narrowed_from.as_deref() == Some(name.as_str())
}
