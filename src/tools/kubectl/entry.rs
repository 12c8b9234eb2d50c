//! The exec entries that `setup kubectl` has recorded: for which server each was written, and who
//! answers there.
//!
//! Many clients of a kubeconfig do not tell a plugin which cluster they talk to. The entry's ID
//! stands in for that: the plugin looks up the server that the ID was recorded for. A client sends
//! the token to whatever server its own kubeconfig names, so the ID is worth a token there. It is
//! random, it is only in the user's kubeconfig (and, until the set-up is undone, beside
//! config.toml), and no message shows it. A kubeconfig from elsewhere can't know it.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::provider::resource::Pattern;
use crate::provider::{Provider, Realm};
use crate::store::{AtHand, Plain, Store, StoreError, random_id};

/// What was recorded of an exec entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The only server that it gets a token for, as a pattern of `[[resources]]`.
    pub(crate) server: String,
    /// The provider's name in the configuration.
    pub(crate) provider: String,
    /// The account's label; `None`: the default one.
    pub(crate) account: Option<String>,
    /// The provider's registration when the entry was recorded.
    issuer: Option<String>,
    token_endpoint: Option<Url>,
    client_id: Option<String>,
}

impl Entry {
    pub(crate) fn new(server: &str, provider: &Provider, account: Option<&str>) -> Self {
        Self {
            server: server.to_owned(),
            provider: provider.name.clone(),
            account: account.map(str::to_owned),
            issuer: provider.issuer.clone(),
            token_endpoint: provider.token_endpoint.clone(),
            client_id: provider.client_id.clone(),
        }
    }

    /// Reads what was recorded under an ID; `None`: nothing.
    pub(crate) fn read(store: &Store, id: &str) -> Result<Option<Self>, StoreError> {
        store.read_plain(Plain::Entry, id)
    }

    /// Every entry that is recorded.
    pub(crate) fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        store.all_plain(Plain::Entry)
    }

    pub(crate) fn write(&self, store: &Store, id: &str) -> Result<(), StoreError> {
        store.write_plain(Plain::Entry, id, self)
    }

    pub(crate) fn remove(store: &Store, id: &str) -> Result<(), StoreError> {
        store.remove_plain(Plain::Entry, id).map(drop)
    }

    /// An ID that nothing is recorded under.
    pub(crate) fn new_id() -> Result<String, StoreError> {
        random_id()
    }

    /// Whether it was recorded for the server that this URL leads to.
    pub(crate) fn is_for(&self, realm: &Realm, url: &Url) -> bool {
        Pattern::parse(&self.server).is_ok_and(|own| own.fits(realm, url).is_some())
    }

    /// The provider as far as it says whose tokens it hands out.
    pub(crate) fn registration(&self) -> Provider {
        Provider {
            issuer: self.issuer.clone(),
            token_endpoint: self.token_endpoint.clone(),
            client_id: self.client_id.clone(),
            ..Provider::default()
        }
    }
}

/// The bytes of a recorded entry, for a hit: one that was removed or changed since must not be
/// answered from memory.
pub(crate) fn at_hand(data: &AtHand, id: &str) -> Option<Vec<u8>> {
    data.plain(Plain::Entry, id).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_for_its_own_server_and_no_other() {
        let entry = |server: &str| Entry::new(server, &Provider::default(), None);
        for (server, asked, expected) in [
            (
                "https://k8s.corp.example:6443",
                "https://k8s.corp.example:6443",
                true,
            ),
            (
                "https://k8s.corp.example:6443",
                "https://K8S.corp.example:6443/",
                true,
            ),
            (
                "https://k8s.corp.example",
                "https://k8s.corp.example:443",
                true,
            ),
            (
                "https://k8s.corp.example:6443",
                "https://k8s.corp.example",
                false,
            ),
            (
                "https://k8s.corp.example",
                "https://k8s.corp.example.evil.example",
                false,
            ),
            (
                "https://k8s.corp.example",
                "https://user@evil.example/k8s.corp.example",
                false,
            ),
            ("https://k8s.corp.example", "http://k8s.corp.example", false),
            (
                "https://h.example/k8s/c-1",
                "https://h.example/k8s/c-1/",
                true,
            ),
            (
                "https://h.example/k8s/c-1",
                "https://h.example/k8s/c-12",
                false,
            ),
            (
                "https://h.example/k8s/c-1",
                "https://h.example/k8s/c-1/../c-2",
                false,
            ),
            ("", "https://k8s.corp.example", false),
        ] {
            let url = Url::parse(asked).unwrap();
            let realm = Realm::of(&url).unwrap();
            assert_eq!(
                entry(server).is_for(&realm, &url),
                expected,
                "{server} {asked}"
            );
        }
    }
}
