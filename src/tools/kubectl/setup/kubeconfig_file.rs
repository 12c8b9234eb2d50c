//! The one kubeconfig file that has a user, with that user's entry changed and nothing else; and
//! that kubectl reads it so.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::error::KubectlError;
use super::super::kubeconfig::{self, Kubeconfig};
use super::record::{self, Kuberc, Record};
use super::yaml::{self, Edit, Unfit};
use crate::config::{ConfigError, file, shown};
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::report::printable;
use crate::setup::shown::Shown;
use crate::shell::quoted;

const LIST: &str = "users";

pub(crate) struct KubeconfigFile {
    path: PathBuf,
    user: String,
    /// As it stands.
    text: String,
    /// Without what we wrote into it.
    base: String,
    /// The user's entry there, as kubectl reads it.
    before: Option<Value>,
    edit: Option<Edit>,
    edited: String,
    /// What becomes of the entry, for a person.
    after: Vec<String>,
    earlier_kuberc: Option<Kuberc>,
    earlier_entry: Option<String>,
    /// The secret's and the authorities' files that an earlier run made, if there was one.
    earlier_files: Option<[Option<PathBuf>; 2]>,
}

impl KubeconfigFile {
    /// The file in which kubectl would change this user.
    pub(crate) fn of(
        env: &Env,
        kubeconfig: &Kubeconfig,
        user: &str,
        config: &Path,
    ) -> Result<Self, Error> {
        let files = kubeconfig::files(env)?;
        let path = kubeconfig::file_of(&files, user)?.unwrap_or_default();
        let text = read(&path)?;
        let mut target = Self {
            before: kubeconfig.user(user).cloned(),
            base: text.clone(),
            edited: text.clone(),
            path,
            user: user.to_owned(),
            text,
            edit: None,
            after: Vec::new(),
            earlier_kuberc: None,
            earlier_entry: None,
            earlier_files: None,
        };
        if let Some(record) = Record::read(config, &target.path, user)? {
            if let Some(base) = base(&target.text, &record) {
                target.before = record.before;
                target.base = base;
                target.earlier_kuberc = record.kuberc;
            }
            target.earlier_entry = record.entry;
            target.earlier_files = Some([record.secret_file, record.ca_file]);
        }
        Ok(target)
    }

    /// The file as it is without what a record says was written; `None` where the user runs
    /// something else by now.
    pub(crate) fn without(record: &Record) -> Result<Option<Self>, Error> {
        let text = read(&record.file)?;
        let Some(edited) = base(&text, record) else {
            return Ok(None);
        };
        let now = Kubeconfig::of_file(&record.file)?;
        let target = Self {
            path: record.file.clone(),
            user: record.user.clone(),
            text,
            base: edited.clone(),
            before: record.before.clone(),
            edit: None,
            edited,
            after: now.user(&record.user).map(lines).unwrap_or_default(),
            earlier_kuberc: None,
            earlier_entry: None,
            earlier_files: None,
        };
        target.check(target.before.as_ref())?;
        Ok(Some(target))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// What the user's entry was before we came.
    pub(crate) fn before(&self) -> Option<&Value> {
        self.before.as_ref()
    }

    pub(crate) fn earlier_kuberc(&mut self) -> Option<Kuberc> {
        self.earlier_kuberc.take()
    }

    /// Whether an earlier run has set this user up.
    pub(crate) fn was_set_up(&self) -> bool {
        self.earlier_files.is_some()
    }

    /// Notes the files of an earlier run, where this one uses its provider and makes none.
    pub(crate) fn keep_files(&mut self, record: &mut Record) {
        let [secret, authorities] = self.earlier_files.take().unwrap_or_default();
        record.secret_file = record.secret_file.take().or(secret);
        record.ca_file = record.ca_file.take().or(authorities);
    }

    /// The ID under which the user's entry was recorded by an earlier run.
    pub(crate) fn earlier_entry(&self) -> Option<&str> {
        self.earlier_entry.as_deref()
    }

    /// Gives the user this entry.
    pub(crate) fn set(&mut self, entry: &Value) -> Result<(), Error> {
        let edit = self
            .edit_to(entry)
            .map_err(|why| self.unfit(&why.to_string()))?;
        self.edited = edit.applied(&self.base);
        self.after = lines(entry);
        self.edit = Some(edit);
        self.check(Some(entry))
    }

    fn edit_to(&self, entry: &Value) -> Result<Edit, Unfit> {
        let root = yaml::parse(&self.base)?;
        if let Some(item) = root.as_ref().and_then(|root| item(root, &self.user)) {
            return yaml::replaced(&self.base, item, "user", entry);
        }
        let item = yaml::object([("name", self.user.as_str().into()), ("user", entry.clone())]);
        let mut edit = yaml::appended(&self.base, LIST, &item)?;
        if root.is_none() {
            edit.new = format!("apiVersion: v1\nkind: Config\n{}", edit.new.trim_start());
        }
        Ok(edit)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.text != self.edited
    }

    pub(crate) fn show(&self, text: &mut Shown) {
        if !self.is_changed() {
            return;
        }
        text.heading(&format!("{}, as the user {}", shown(&self.path), self.user));
        self.after.iter().for_each(|line| text.changed(line));
        // Names only: the rest may be secret.
        let before = match &self.before {
            Some(Value::Object(members)) => members.iter().map(|(key, value)| {
                let command = value.get("command").and_then(Value::as_str);
                command.map_or_else(|| key.clone(), |command| format!("{key} of {command}"))
            }),
            Some(_) | None => return,
        };
        let before: Vec<String> = before.collect();
        if !before.is_empty() {
            text.instead(&before.join(", "));
        }
    }

    pub(crate) fn record(&self) -> Record {
        let edit = self.edit.clone().unwrap_or_else(Edit::nothing);
        Record::new(self.path.clone(), &self.user, edit, self.before.clone())
    }

    /// Puts the file in its place, under the lock that kubectl takes for that.
    pub(crate) fn write(&self) -> Result<(), Error> {
        if !self.is_changed() {
            return Ok(());
        }
        let _lock = Lock::take(&self.path)?;
        if read(&self.path)? != self.text {
            return Err(KubectlError::KubeconfigBusy {
                file: shown(&self.path),
                why: "was changed meanwhile",
                hint: "run it again".to_owned(),
            }
            .into());
        }
        if self.edited.is_empty() {
            return record::remove(&self.path);
        }
        let written = file::replace(&self.path, self.edited.as_bytes());
        written.map_err(|cause| record::unwritable(&self.path, cause))
    }

    /// Has kubectl read the file as it would be: this user's entry is what it should be, and
    /// everything else what it was.
    fn check(&self, expected: Option<&Value>) -> Result<(), Error> {
        let was = if self.path.exists() {
            Some(Kubeconfig::of_file(&self.path)?)
        } else {
            None
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let trial = Trial::write(folder, &self.edited)
            .map_err(|cause| record::unwritable(&self.path, cause))?;
        let is = Kubeconfig::of_file(&trial.0).map_err(|error| {
            let causes = error.report().causes;
            self.unfit(&format!("kubectl would refuse it: {}", causes.join(", ")))
        })?;
        let rest_is_the_same =
            was.is_none_or(|was| was.without_user(&self.user) == is.without_user(&self.user));
        let entry_is_right = match (expected, is.user(&self.user)) {
            (None, None) => true,
            (Some(expected), Some(found)) => says(found, expected),
            _ => false,
        };
        if rest_is_the_same && entry_is_right {
            Ok(())
        } else {
            Err(self.unfit("kubectl would read something else than was meant"))
        }
    }

    fn unfit(&self, why: &str) -> Error {
        KubectlError::KubeconfigUnfit {
            file: shown(&self.path),
            user: printable(&self.user),
            why: why.to_owned(),
        }
        .into()
    }
}

/// An entry as lines for a person, without the ID that must stay in the kubeconfig.
fn lines(entry: &Value) -> Vec<String> {
    let mut shown = entry.clone();
    let args = shown
        .pointer_mut("/exec/args")
        .and_then(Value::as_array_mut);
    let mut is_id = false;
    for arg in args.into_iter().flatten() {
        let is_next = arg == "--entry";
        if is_id {
            *arg = "(a random ID)".into();
        }
        is_id = is_next;
    }
    yaml::lines(&shown)
}

/// Whether kubectl read all that was meant. It adds what it takes for granted, and an old one
/// leaves out what it does not know of `exec`.
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

/// The text as it was before what a record says was written into it: to the byte where that still
/// stands there as it was written, else the entry alone.
fn base(text: &str, record: &Record) -> Option<String> {
    let root = yaml::parse(text).ok()??;
    let users = root.value(LIST)?;
    let item = item(&root, &record.user)?;
    let Some(before) = &record.before else {
        if let Some(undone) = record.edit.undone(text) {
            return Some(undone);
        }
        let index = users.items().iter().position(|one| one == item)?;
        return is_ours(text, record)
            .then(|| yaml::removed(text, users, index))?
            .map(|edit| edit.applied(text));
    };
    if let Some(undone) = yaml::put_back(text, item, "user", &record.edit) {
        return Some(undone);
    }
    if !is_ours(text, record) {
        return None;
    }
    let edit = yaml::replaced(text, item, "user", before).ok()?;
    Some(edit.applied(text))
}

fn is_ours(text: &str, record: &Record) -> bool {
    let root = yaml::parse(text).ok().flatten();
    let command = root.as_ref().and_then(|root| {
        let exec = item(root, &record.user)?.value("user")?.value("exec")?;
        let args = exec
            .value("args")
            .map(yaml::Node::items)
            .unwrap_or_default();
        let args: Vec<_> = args.iter().filter_map(yaml::Node::text).collect();
        let user = serde_json::json!({"exec": {
            "command": exec.value("command")?.text()?, "args": args,
        }});
        kubeconfig::own_arguments(&user)
    });
    command.is_some()
}

/// The item of the list of users that has this name: the last one, as kubectl has it.
fn item<'n>(root: &'n yaml::Node, user: &str) -> Option<&'n yaml::Node> {
    let items = root.value(LIST)?.items().iter();
    items
        .rev()
        .find(|item| item.value("name").and_then(yaml::Node::text) == Some(user))
}

fn read(path: &Path) -> Result<String, Error> {
    match files::read_text(path, files::LARGEST) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(cause) => Err(ConfigError::Unreadable {
            file: shown(path),
            cause,
        }
        .into()),
    }
}

/// A file that kubectl reads once, beside the real one so that relative paths mean the same.
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
        // Nobody looks at it again.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The lock of `kubectl config`: a file of this name, while somebody writes.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        match File::options().write(true).create_new(true).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                Err(KubectlError::KubeconfigBusy {
                    file: shown(path),
                    why: "is being written by another program",
                    hint: format!(
                        "run it again; if none is writing it, run `rm {}` first",
                        quoted(&lock.to_string_lossy())
                    ),
                }
                .into())
            }
            // The folder is made with the file.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Self(lock)),
            Err(cause) => Err(record::unwritable(&lock, cause)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
