//! The kubeconfig file that has a user. Changes that user's entry and nothing else, and checks that
//! kubectl reads the result as intended.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::arguments::NAME;
use super::super::error::KubectlError;
use super::super::faults::inaccessible;
use super::super::kubeconfig::{self, Kubeconfig};
use super::labels::what;
use crate::config::{file, home, shown};
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::report::printable;
use crate::setup::document::Documents;
use crate::setup::edit::Edit;
use crate::setup::edit::yaml::Named;
use crate::setup::record::{Record, Records};
use crate::setup::yaml;

/// The list of a kubeconfig that is edited.
const LIST: &str = "users";

/// What the record of a set-up contains.
#[derive(Serialize, Deserialize)]
pub(crate) struct Data {
    /// The kubeconfig that has the user.
    pub(crate) file: PathBuf,
    pub(crate) user: String,
    /// The ID of the exec entry that was recorded in the store.
    pub(crate) entry: Option<String>,
}

impl Data {
    pub(crate) fn of(record: &Record) -> Option<Self> {
        Self::deserialize(record.data()).ok()
    }
}

pub(crate) struct KubeconfigFile {
    pub(crate) path: PathBuf,
    pub(crate) user: String,
    /// The user's entry before the first set-up, as kubectl reads it.
    pub(crate) before: Option<Value>,
    /// The data of an earlier run.
    earlier: Option<Data>,
}

impl KubeconfigFile {
    /// The file in which kubectl would change this user.
    pub(crate) fn of(
        env: &Env,
        kubeconfig: &Kubeconfig,
        user: &str,
        records: &Records,
    ) -> Result<Self, Error> {
        let files = kubeconfig::files(env)?;
        let path = kubeconfig::file_of(&files, user)?.unwrap_or_default();
        let record = records.find(NAME, &what(user, &path));
        let now = kubeconfig.user(user);
        let is_ours = now.is_some_and(|now| kubeconfig::own_arguments(now).is_some());
        let mut target = Self {
            path,
            user: user.to_owned(),
            before: now.cloned(),
            earlier: record.and_then(Data::of),
        };
        if let Some(record) = record.filter(|_| is_ours) {
            target.before = target.replaced(record);
        }
        Ok(target)
    }

    /// The value that the first set-up replaced.
    fn replaced(&self, record: &Record) -> Option<Value> {
        let place = self.named(Value::Null, None);
        let done: Vec<_> = record.edits().collect();
        let mut done = done.iter().rev();
        let done = done.find_map(|done| {
            let replaced = done.replaced.as_ref();
            let is_ours = replaced.is_some_and(|one| kubeconfig::own_arguments(one).is_some());
            (done.edit.is_same_place(&place) && !is_ours).then(|| replaced.cloned())
        });
        done.flatten()
    }

    /// Whether an earlier run has set this user up.
    pub(crate) fn was_set_up(&self) -> bool {
        self.earlier.is_some()
    }

    /// The user's entry, if an earlier run set it up and it still runs hallpass.
    pub(crate) fn earlier_exec<'k>(&self, kubeconfig: &'k Kubeconfig) -> Option<&'k Value> {
        let entry = kubeconfig.user(&self.user).filter(|_| self.was_set_up())?;
        kubeconfig::own_arguments(entry).map(|_| entry)
    }

    /// The ID under which the user's entry was recorded by an earlier run.
    pub(crate) fn earlier_entry(&self) -> Option<&str> {
        self.earlier.as_ref()?.entry.as_deref()
    }

    fn named(&self, value: Value, id: Option<&str>) -> Edit {
        let named = Named {
            list: LIST.to_owned(),
            name: self.user.clone(),
            key: "user".to_owned(),
            value,
            marks: vec!["/exec/command".to_owned(), "/exec/args/0".to_owned()],
            hidden: id.map(str::to_owned),
            top: "apiVersion: v1\nkind: Config\n".to_owned(),
        };
        Edit::named(&self.path, named)
    }

    /// Gives the user this entry. `id` is written to the kubeconfig but never shown.
    ///
    /// # Errors
    ///
    /// [`KubectlError::KubeconfigUnfit`] if the layout of the file doesn't allow it.
    pub(crate) fn edit(&self, env: &Env, entry: &Value, id: Option<&str>) -> Result<Edit, Error> {
        let text = match files::read_text(&self.path, files::LARGEST) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
            Err(cause) => {
                let home = home(env).ok();
                let error = inaccessible("edit", &self.path, home.as_deref(), "KUBECONFIG", cause);
                return Err(error.into());
            }
        };
        let file = || shown(&self.path);
        match yaml::parse(&text) {
            Err(yaml::Unfit::SeveralDocuments) => {
                return Err(KubectlError::SeveralDocuments { file: file() }.into());
            }
            Ok(Some(root)) if root.has_duplicate(LIST) => {
                let (file, key) = (file(), LIST);
                return Err(KubectlError::DuplicateKey { file, key }.into());
            }
            Ok(_) | Err(_) => (),
        }
        let edit = self.named(entry.clone(), id);
        let Some(why) = edit.unfit()? else {
            return Ok(edit);
        };
        let why = why.to_string();
        let why = why.strip_prefix("cannot be edited: ").unwrap_or(&why);
        Err(unfit(&self.path, &self.user, why))
    }
}

/// Lets kubectl read the edited file: these users' entries must be as expected, and everything else
/// must be unchanged.
pub(crate) fn check(
    env: &Env,
    documents: &Documents,
    path: &Path,
    users: &[&str],
    expected: Option<&Value>,
) -> Result<(), Error> {
    let after = documents.after(path).map(std::str::from_utf8);
    let Some(Ok(after)) = after.filter(|after| *after != Ok("")) else {
        return Ok(());
    };
    let user = users.first().copied().unwrap_or_default();
    let home = home(env).ok();
    let was = if path.exists() {
        Some(Kubeconfig::of_file(path)?)
    } else {
        None
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let trial = Trial::write(folder, after)
        .map_err(|cause| inaccessible("write", path, home.as_deref(), "KUBECONFIG", cause))?;
    let is = Kubeconfig::of_file(&trial.0).map_err(|error| {
        let causes = error.report().causes;
        unfit(
            path,
            user,
            &format!("kubectl would reject it: {}", causes.join(", ")),
        )
    })?;
    let rest_is_the_same =
        was.is_none_or(|was| was.without_users(users) == is.without_users(users));
    let entry_is_right = match (expected, is.user(user)) {
        (None, _) => true,
        (Some(expected), Some(found)) => says(found, expected),
        (Some(_), None) => false,
    };
    if rest_is_the_same && entry_is_right {
        Ok(())
    } else {
        Err(unfit(
            path,
            user,
            "kubectl would read the result differently",
        ))
    }
}

fn unfit(path: &Path, user: &str, why: &str) -> Error {
    KubectlError::KubeconfigUnfit {
        file: shown(path),
        user: printable(user),
        why: why.to_owned(),
    }
    .into()
}

/// Whether kubectl read the whole entry. It adds defaults, and an old kubectl omits the members of
/// `exec` that it doesn't know.
fn says(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, expected)| match found.get(key) {
                Some(found) => says(found, expected),
                None => {
                    expected.is_null()
                        || ["installHint", "interactiveMode", "provideClusterInfo"]
                            .contains(&key.as_str())
                }
            })
        }
        _ => found == expected,
    }
}

/// A temporary file for kubectl, beside the real one so that relative paths have the same meaning.
struct Trial(PathBuf);

impl Trial {
    fn write(folder: &Path, text: &str) -> io::Result<Self> {
        let trial = Self(folder.join(format!(".hallpass-{:016x}.tmp", rand::random::<u64>())));
        file::replace(&trial.0, text.as_bytes())?;
        Ok(trial)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It is not read again.
        let _ = std::fs::remove_file(&self.0);
    }
}
