//! Credentials that a tool handed over to be kept: any realm, any user name, also empty ones.
//!
//! One sealed record a tool and realm holds its list, newest first. What one tool handed over is
//! never seen by another. It knows nothing of sessions: a provider's token is not kept here.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::credential::StoredCredential;
use crate::secret::Secret;
use crate::store::{LockKind, Place, RecordName, Store, StoreError, Versioned};

/// What is waited for: another process that writes one small record.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than a list of passwords takes; it is made greater where a list is.
const ROOM: usize = 16 << 10;

/// What one tool has handed over for one realm.
#[derive(Debug)]
pub struct StoredCredentials<'a> {
    store: &'a Store,
    tool: &'static str,
    realm: String,
    name: RecordName,
}

/// One credential that a tool handed over, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub realm: String,
    pub path: Option<String>,
    pub username: Option<String>,
}

/// What became of something that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    Stored,
    /// Nothing can be stored here.
    NowhereToStore,
}

impl<'a> StoredCredentials<'a> {
    /// `realm` is written so that one realm has one spelling.
    pub fn new(store: &'a Store, tool: &'static str, realm: &str) -> Self {
        Self {
            store,
            tool,
            realm: realm.to_owned(),
            name: RecordName::stored_credentials(tool, realm),
        }
    }

    /// The record that they are in.
    pub fn record(&self) -> &RecordName {
        &self.name
    }

    /// The newest one that has all that `wanted` has, and that the tool can use. One whose time is
    /// over comes last: git still takes its user name and its refresh token.
    pub fn find(
        &self,
        wanted: &StoredCredential,
        takes_authtype: bool,
        now: OffsetDateTime,
    ) -> Result<Option<StoredCredential>, StoreError> {
        let usable = |one: &StoredCredential| {
            one.password.is_some() || (takes_authtype && one.credential.is_some())
        };
        let is_over = |one: &StoredCredential| {
            one.expires_at
                .is_some_and(|expires_at| expires_at <= now.unix_timestamp())
        };
        let list = self.list()?.map_or_else(Vec::new, |kept| kept.value.items);
        let (mut over, mut good): (Vec<_>, Vec<_>) = list
            .into_iter()
            .map(StoredCredential::from)
            .filter(|one| fits(wanted, one, Secrets::Ignored) && usable(one))
            .partition(is_over);
        good.append(&mut over);
        Ok(good.into_iter().next())
    }

    /// Keeps one, in the place of an older one of the same user and path. What is kept already is
    /// not written again: git hands over on each success.
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

    /// Forgets all that have what `refused` has, its password too: an old password never removes
    /// a newer one.
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

/// All that one tool has handed over and that can be read now. The names of records tell nothing,
/// so each is opened; one that cannot be is left out, and the first error of the store is told.
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
            // A keyring that is locked is not asked again for each of them.
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

/// Whether `one` has all that `wanted` has; what that leaves open fits everything. An empty text
/// is not open: it fits an empty text (git's `credential_match`).
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
    /// Whose it is, for what the record is named by tells nothing. Older records do not say it.
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    realm: Option<String>,
    #[serde(rename = "list")]
    items: Vec<Item>,
}

/// The form in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    path: Option<String>,
    username: Option<String>,
    #[serde(serialize_with = "exposed")]
    password: Option<Secret<String>>,
    authtype: Option<String>,
    #[serde(serialize_with = "exposed")]
    credential: Option<Secret<String>>,
    expires_at: Option<i64>,
    #[serde(serialize_with = "exposed")]
    oauth_refresh_token: Option<Secret<String>>,
}

impl Item {
    /// At least as many bytes as it takes in the record, whose texts are escaped.
    fn room(&self) -> usize {
        let secret = |text: &Option<Secret<String>>| text.as_ref().map_or(0, |s| s.expose().len());
        let plain = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = secret(&self.password)
            + secret(&self.credential)
            + secret(&self.oauth_refresh_token)
            + plain(&self.path)
            + plain(&self.username)
            + plain(&self.authtype);
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
        } = one;
        Self {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
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
        } = item;
        Self {
            path,
            username,
            password,
            authtype,
            credential,
            expires_at,
            oauth_refresh_token,
        }
    }
}

/// A record is sealed as a whole: only there are secrets serialized.
#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn exposed<S: serde::Serializer>(
    secret: &Option<Secret<String>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => out.serialize_some(secret.expose()),
        None => out.serialize_none(),
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
    fn an_old_password_never_removes_a_newer_one_and_a_host_alone_removes_all() {
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
    fn empty_is_a_name_and_a_path_is_the_whole_path() {
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
    fn one_whose_time_is_over_comes_after_one_that_is_good() {
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
    fn what_the_tool_cannot_send_is_not_found() {
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
    fn what_is_kept_already_is_not_written_again() {
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
