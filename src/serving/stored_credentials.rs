//! Credentials that tools store: for any realm and any user name, including empty ones.
//!
//! Each tool and realm has one encrypted record with a list, newest first. A tool never sees the
//! credentials of another. Tokens of providers are stored in sessions, not here.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::credential::StoredCredential;
use crate::secret::Secret;
use crate::session::record::exposed_if_any;
use crate::store::{LockKind, Place, RecordName, Store, StoreError, Versioned};

/// Longer than another process takes to write a small record.
const PATIENCE: Duration = Duration::from_secs(10);
/// Enough for most lists of passwords; a longer list gets more.
const ROOM: usize = 16 << 10;

/// The credentials that one tool stored for one realm.
#[derive(Debug)]
pub struct StoredCredentials<'a> {
    store: &'a Store,
    tool: &'static str,
    realm: String,
    name: RecordName,
}

/// A stored credential without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub realm: String,
    pub path: Option<String>,
    pub username: Option<String>,
    /// See [`StoredCredential::stored_as`].
    pub stored_as: Option<String>,
}

/// The result of storing a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    Stored,
    /// Nothing can be stored here.
    NowhereToStore,
}

impl<'a> StoredCredentials<'a> {
    /// `realm` must be in its canonical spelling.
    pub fn new(store: &'a Store, tool: &'static str, realm: &str) -> Self {
        Self {
            store,
            tool,
            realm: realm.to_owned(),
            name: RecordName::stored_credentials(tool, realm),
        }
    }

    /// The record that holds them.
    pub fn record(&self) -> &RecordName {
        &self.name
    }

    /// The newest credential that matches `wanted` and that the tool can use. Expired credentials come
    /// last: git still uses their user name and refresh token.
    pub fn find(
        &self,
        wanted: &StoredCredential,
        takes_authtype: bool,
        now: OffsetDateTime,
    ) -> Result<Option<StoredCredential>, StoreError> {
        let usable = |one: &StoredCredential| {
            one.password.is_some() || (takes_authtype && one.credential.is_some())
        };
        let is_expired = |one: &StoredCredential| {
            one.expires_at
                .is_some_and(|expires_at| expires_at <= now.unix_timestamp())
        };
        let list = self.list()?.map_or_else(Vec::new, |kept| kept.value.items);
        let (mut expired, mut valid): (Vec<_>, Vec<_>) = list
            .into_iter()
            .map(StoredCredential::from)
            .filter(|one| fits(wanted, one, Secrets::Ignored) && usable(one))
            .partition(is_expired);
        valid.append(&mut expired);
        Ok(valid.into_iter().next())
    }

    /// Stores a credential, in place of an older one with the same user name and path. An equal one
    /// isn't written again, because git stores its credential after each success.
    pub fn keep(&self, one: StoredCredential) -> Result<StoreOutcome, StoreError> {
        let kept = self.list()?;
        let held = |kept: &Versioned<List>| {
            kept.value
                .items
                .iter()
                .any(|item| *item == one.clone().into())
        };
        if kept.as_ref().is_some_and(held) {
            return Ok(StoreOutcome::Stored);
        }
        if self.store.ensure_key()? == Place::None {
            return Ok(StoreOutcome::NowhereToStore);
        }
        self.change(|list| {
            list.retain(|item| item.username != one.username || item.path != one.path);
            list.insert(0, one.into());
        })?;
        Ok(StoreOutcome::Stored)
    }

    /// Whether a credential with exactly this path is stored.
    pub fn has_password_at(&self, path: &str) -> Result<bool, StoreError> {
        let kept = self.list()?;
        Ok(kept.is_some_and(|kept| {
            let mut items = kept.value.items.iter();
            items.any(|item| item.path.as_deref() == Some(path))
        }))
    }

    /// Removes all credentials that match `refused`, including its password: a refused old password
    /// never removes a newer one.
    pub fn forget(&self, refused: &StoredCredential) -> Result<(), StoreError> {
        let matches = |item: &Item| {
            fits(
                refused,
                &StoredCredential::from(item.clone()),
                Secrets::Compared,
            )
        };
        let any = self
            .list()?
            .is_some_and(|kept| kept.value.items.iter().any(matches));
        if any {
            self.change(|list| list.retain(|item| !matches(item)))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Option<Versioned<List>>, StoreError> {
        self.store.read(&self.name)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Item>)) -> Result<(), StoreError> {
        let deadline = Instant::now() + PATIENCE;
        let lock = self.store.lock(&self.name, LockKind::Record, deadline)?;
        let (mut list, generation) = match self.list()? {
            Some(Versioned { value, generation }) => (value, generation + 1),
            None => (List::default(), 1),
        };
        change(&mut list.items);
        list.tool = Some(self.tool.to_owned());
        list.realm = Some(self.realm.clone());
        if list.items.is_empty() {
            self.store.remove(&self.name, &lock)?;
            return Ok(());
        }
        let room = list.items.iter().map(Item::room).sum::<usize>().max(ROOM);
        self.store
            .reserve(&self.name, room)?
            .commit(&list, generation)
    }
}

/// All readable credentials that one tool stored, and the store's first error. The names of records
/// are hashes, so each record is decrypted.
pub fn listed(store: &Store, tool: &str) -> (Vec<Listed>, Option<StoreError>) {
    let mut found = Vec::new();
    let records = match store.stored_credentials() {
        Ok(records) => records,
        Err(error) => return (found, Some(error)),
    };
    let mut first_error = None;
    for record in records {
        match store.read::<List>(&record.name) {
            Ok(Some(Versioned { value, .. })) if value.tool.as_deref() == Some(tool) => {
                let realm = value.realm.unwrap_or_default();
                found.extend(value.items.into_iter().map(|item| Listed {
                    realm: realm.clone(),
                    path: item.path,
                    username: item.username,
                    stored_as: item.stored_as,
                }));
            }
            Ok(_) => (),
            // It is about this record alone, and the next one may be sound.
            Err(
                error @ (StoreError::ForeignKey { .. }
                | StoreError::Damaged { .. }
                | StoreError::UnknownFormat { .. }),
            ) => {
                first_error.get_or_insert(error);
            }
            // A locked keyring is not asked again for each record.
            Err(error) => return (found, Some(error)),
        }
    }
    (found, first_error)
}

/// Whether a record of this kind can be read.
pub fn check(store: &Store, record: &RecordName) -> Result<(), StoreError> {
    store.read::<List>(record).map(drop)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Compared,
    Ignored,
}

/// Whether `one` has every value that `wanted` has. A missing value matches anything, but an empty
/// text matches only an empty text (git's `credential_match`).
fn fits(wanted: &StoredCredential, one: &StoredCredential, secrets: Secrets) -> bool {
    fn same<T: PartialEq>(wanted: Option<&T>, have: Option<&T>) -> bool {
        wanted.is_none() || wanted == have
    }
    same(wanted.path.as_ref(), one.path.as_ref())
        && same(wanted.username.as_ref(), one.username.as_ref())
        && (secrets == Secrets::Ignored
            || (same(wanted.password.as_ref(), one.password.as_ref())
                && same(wanted.credential.as_ref(), one.credential.as_ref())))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    /// The record's owner, because its name is a hash. Older records lack this.
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    realm: Option<String>,
    #[serde(rename = "list")]
    items: Vec<Item>,
}

/// A credential in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    path: Option<String>,
    username: Option<String>,
    #[serde(serialize_with = "exposed_if_any")]
    password: Option<Secret<String>>,
    authtype: Option<String>,
    #[serde(serialize_with = "exposed_if_any")]
    credential: Option<Secret<String>>,
    expires_at: Option<i64>,
    #[serde(serialize_with = "exposed_if_any")]
    oauth_refresh_token: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_as: Option<String>,
}

impl Item {
    /// An upper limit of its size in the record, where texts are escaped.
    fn room(&self) -> usize {
        let secret = |text: &Option<Secret<String>>| text.as_ref().map_or(0, |s| s.expose().len());
        let plain = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = secret(&self.password)
            + secret(&self.credential)
            + secret(&self.oauth_refresh_token)
            + plain(&self.path)
            + plain(&self.username)
            + plain(&self.authtype)
            + plain(&self.stored_as);
        256 + 6 * texts
    }
}

impl From<StoredCredential> for Item {
    fn from(one: StoredCredential) -> Self {
        let StoredCredential {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
            stored_as,
        } = one;
        Self {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
            stored_as,
        }
    }
}

impl From<Item> for StoredCredential {
    fn from(item: Item) -> Self {
        let Item {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
            stored_as,
        } = item;
        Self {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
            stored_as,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    use crate::store::{Options, Setting};

    fn store(folder: &std::path::Path) -> Store {
        Store::new(Options {
            setting: Setting::File,
            data_dir: folder.join("data"),
            kernel_cache: None,
            keyring_wait: Duration::ZERO,
            announce: || (),
            container: false,
        })
    }

    fn user(name: &str, password: &str) -> StoredCredential {
        StoredCredential {
            username: Some(name.to_owned()),
            password: Some(password.into()),
            ..StoredCredential::default()
        }
    }

    fn named(name: &str) -> StoredCredential {
        StoredCredential {
            username: Some(name.to_owned()),
            ..StoredCredential::default()
        }
    }

    #[test]
    fn an_old_password_never_removes_a_newer_one_but_a_host_alone_removes_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let kept = StoredCredentials::new(&store, "git", "https://git.example");
        for one in [user("a", "1"), user("b", "2"), user("a", "3")] {
            assert_eq!(kept.keep(one).unwrap(), StoreOutcome::Stored);
        }
        assert_eq!(
            kept.find(&named("a"), false, NOW).unwrap(),
            Some(user("a", "3"))
        );
        assert_eq!(
            kept.find(&named("b"), false, NOW).unwrap(),
            Some(user("b", "2"))
        );
        assert_eq!(kept.find(&named("c"), false, NOW).unwrap(), None);

        kept.forget(&user("a", "1")).unwrap();
        assert_eq!(
            kept.find(&named("a"), false, NOW).unwrap(),
            Some(user("a", "3"))
        );
        kept.forget(&user("a", "3")).unwrap();
        assert_eq!(kept.find(&named("a"), false, NOW).unwrap(), None);
        kept.keep(user("a", "4")).unwrap();
        kept.forget(&StoredCredential::default()).unwrap();
        assert_eq!(
            kept.find(&StoredCredential::default(), false, NOW).unwrap(),
            None
        );
        assert!(kept.list().unwrap().is_none());
    }

    #[test]
    fn an_empty_user_name_counts_and_a_path_matches_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let kept = StoredCredentials::new(&store, "git", "https://git.example");
        kept.keep(user("", "")).unwrap();
        let with_path = StoredCredential {
            path: Some("foo.git".to_owned()),
            ..user("u", "p")
        };
        kept.keep(with_path.clone()).unwrap();
        assert_eq!(
            kept.find(&named(""), false, NOW).unwrap(),
            Some(user("", ""))
        );
        for (path, expected) in [
            ("foo.git", Some(with_path)),
            ("foo.git/x", None),
            ("foo", None),
        ] {
            let wanted = StoredCredential {
                path: Some(path.to_owned()),
                ..StoredCredential::default()
            };
            assert_eq!(kept.find(&wanted, false, NOW).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn an_expired_credential_comes_after_a_valid_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let kept = StoredCredentials::new(&store, "git", "https://git.example");
        kept.keep(user("good", "1")).unwrap();
        let short = StoredCredential {
            expires_at: Some(1000),
            ..user("short", "2")
        };
        kept.keep(short.clone()).unwrap();
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let any = StoredCredential::default();
        for (wanted, now, expected) in [
            (&any, 999, &short),
            (&any, 1000, &user("good", "1")),
            (&named("short"), 1000, &short),
        ] {
            let found = kept.find(wanted, false, at(now)).unwrap();
            assert_eq!(found.as_ref(), Some(expected), "{now}");
        }
    }

    #[test]
    fn a_credential_that_the_tool_cannot_send_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let kept = StoredCredentials::new(&store, "git", "https://git.example");
        let bearer = StoredCredential {
            authtype: Some("Bearer".to_owned()),
            credential: Some("t".into()),
            ..StoredCredential::default()
        };
        kept.keep(bearer.clone()).unwrap();
        let any = StoredCredential::default();
        assert_eq!(kept.find(&any, false, NOW).unwrap(), None);
        assert_eq!(kept.find(&any, true, NOW).unwrap(), Some(bearer));
    }

    #[test]
    fn an_equal_credential_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let kept = StoredCredentials::new(&store, "git", "https://git.example");
        let generation = || kept.list().unwrap().unwrap().generation;
        kept.keep(user("a", "1")).unwrap();
        let before = generation();
        kept.keep(user("a", "1")).unwrap();
        assert_eq!(generation(), before);
        kept.keep(user("a", "2")).unwrap();
        assert_eq!(generation(), before + 1);
    }
}
