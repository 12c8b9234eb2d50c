//! The JSON files in which docker and podman look for credentials, and how they name a registry there.
//!
//! <https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties>
//! and <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::arguments::HELPER;
use super::error::DockerError;
use super::server::{HUB, HUB_HOSTS, Server};
use crate::config::{ConfigError, NotAnObject, read_text, shown_at_home};
use crate::credential::Resource;
use crate::env::Env;
use crate::error::Error;
use crate::setup::edit::json::{folded, is_same_member};
use crate::setup::host::Host;

/// A client's JSON file.
pub(crate) struct ClientFile {
    pub(crate) path: PathBuf,
    /// The path as shown to the user.
    pub(crate) shown: String,
    value: Value,
}

impl ClientFile {
    /// Reads the file; a missing one counts as empty.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotAnObject`], [`DockerError`], or if the file can't be trusted or read.
    pub(crate) fn read(path: &Path, home: Option<&Path>) -> Result<Self, Error> {
        let shown = shown_at_home(path, home);
        check_owner(path, home)?;
        if let Some(folder) = path.parent().filter(|folder| folder.is_file()) {
            let folder = shown_at_home(folder, home);
            return Err(DockerError::NotAFolder { folder }.into());
        }
        let text = read_text(path, home)?;
        let text = text.as_ref().map_or("", |text| text.as_str());
        Self::of(path.to_owned(), shown, text)
    }

    /// Stands for a file that is ignored.
    pub(crate) fn empty(path: &Path, home: &Path) -> Self {
        Self {
            path: path.to_owned(),
            shown: shown_at_home(path, Some(home)),
            value: Value::Object(Map::new()),
        }
    }

    /// The credentials in `DOCKER_AUTH_CONFIG`, which docker 28.3 and newer use before its helpers;
    /// `None` if the variable isn't set.
    ///
    /// # Errors
    ///
    /// As for [`Self::read`].
    pub(crate) fn of_variable(env: &Env) -> Result<Option<Self>, Error> {
        let text = env.var(AUTH_CONFIG).filter(|text| !text.is_empty());
        let file = text.map(|text| Self::of(PathBuf::new(), AUTH_CONFIG.to_owned(), text));
        file.transpose()
    }

    fn of(path: PathBuf, shown: String, text: &str) -> Result<Self, Error> {
        if text.starts_with('\u{feff}') {
            return Err(DockerError::ByteOrderMark { file: shown }.into());
        }
        let read = if text.trim().is_empty() {
            Ok(AsRead::default())
        } else {
            serde_json::from_str(text)
        };
        let AsRead(members) = match read {
            Ok(read) => read,
            Err(error) => {
                let why = NotAnObject::of(text, Some(&error));
                return Err(ConfigError::NotAnObject { file: shown, why }.into());
            }
        };
        let value = Value::Object(members);
        let file = Self { path, shown, value };
        file.check_types()?;
        Ok(file)
    }

    /// Checks the members that docker reads: it rejects the whole file if one has the wrong type.
    fn check_types(&self) -> Result<(), DockerError> {
        let wrong = |key: &str, expected| {
            Err(DockerError::WrongType {
                file: self.shown.clone(),
                key: key.to_owned(),
                expected,
            })
        };
        let is_none = |value: Option<&Value>| value.is_none_or(Value::is_null);
        let store = self.value.get("credsStore");
        if !is_none(store) && !store.is_some_and(Value::is_string) {
            return wrong("credsStore", "a string");
        }
        for (key, is_right, expected) in [
            (
                "credHelpers",
                Value::is_string as fn(&Value) -> bool,
                "an object of strings",
            ),
            ("auths", Value::is_object, "an object of objects"),
        ] {
            let members = self.value.get(key);
            if is_none(members) {
                continue;
            }
            let members = members.and_then(Value::as_object);
            if !members.is_some_and(|all| all.values().all(|one| is_right(one) || one.is_null())) {
                return wrong(key, expected);
            }
        }
        Ok(())
    }

    /// The string at a path of keys.
    pub(crate) fn text_at(&self, keys: &[&str]) -> Option<&str> {
        let mut value = &self.value;
        for key in keys {
            value = value.get(key)?;
        }
        value.as_str()
    }

    /// The name of a helper. An empty one is no helper.
    pub(crate) fn helper_at(&self, keys: &[&str]) -> Option<&str> {
        self.text_at(keys).filter(|name| !name.is_empty())
    }

    /// The names of an object's members.
    pub(crate) fn names_in(&self, key: &str) -> Vec<String> {
        let members = self.value.get(key).and_then(Value::as_object);
        members.map_or_else(Vec::new, |members| members.keys().cloned().collect())
    }
}

/// The members that matter, as the clients read them: Go's `encoding/json` accepts a name in any case,
/// ignores null for a string, takes the last one of several strings and merges several objects.
#[derive(Default)]
struct AsRead(Map<String, Value>);

impl<'de> Deserialize<'de> for AsRead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AsReadVisitor)
    }
}

struct AsReadVisitor;

impl<'de> Visitor<'de> for AsReadVisitor {
    type Value = AsRead;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<AsRead, M::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let known = ["credsStore", "credHelpers", "auths"];
            let Some(key) = known.into_iter().find(|key| is_same_member(key, &name)) else {
                // It may be a number that Rust has no type for.
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            match (read.get_mut(key), members.next_value()?) {
                (_, Value::Null) if key == "credsStore" => (),
                (Some(Value::Object(earlier)), Value::Object(later)) => earlier.extend(later),
                (_, value) => {
                    read.insert(key.to_owned(), value);
                }
            }
        }
        if let Some(Value::Object(auths)) = read.get_mut("auths") {
            for entry in auths.values_mut().filter_map(Value::as_object_mut) {
                let members = std::mem::take(entry).into_iter();
                *entry = members
                    .map(|(name, value)| (folded(&name), value))
                    .collect();
            }
        }
        Ok(AsRead(read))
    }
}

/// Whether an invalid file may have an entry of a set-up.
pub(super) fn may_name_helper(path: &Path) -> bool {
    if !path.is_file() {
        return true;
    }
    let helper = HELPER.as_bytes();
    std::fs::read(path).map_or(true, |bytes| {
        let mut places = bytes.windows(helper.len());
        places.any(|place| place == helper)
    })
}

/// The variable with which CI jobs pass credentials to docker.
pub(crate) const AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

/// Explains why a client's file can't be read or written if root owns it or its folder.
#[cfg(unix)]
fn check_owner(path: &Path, home: Option<&Path>) -> Result<(), DockerError> {
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Access, access};

    const ROOT: u32 = 0;
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let is_roots = |path: &Path| path.metadata().is_ok_and(|of| of.uid() == ROOT);
    let folder = path.parent().unwrap_or(path);
    let is_folder_closed =
        is_roots(folder) && access(folder, Access::EXEC_OK | Access::WRITE_OK).is_err();
    let is_file_closed = is_roots(path) && access(path, Access::READ_OK).is_err();
    let closed = match (is_folder_closed, is_file_closed) {
        (true, _) => folder,
        (false, true) => path,
        (false, false) => return Ok(()),
    };
    if home.is_some_and(|home| folder.starts_with(home)) {
        return Err(DockerError::OfRoot {
            path: closed.display().to_string(),
            folder: folder.display().to_string(),
        });
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on unix")]
fn check_owner(_path: &Path, _home: Option<&Path>) -> Result<(), DockerError> {
    Ok(())
}

/// Docker's configuration file.
pub(crate) fn docker_file(env: &Env, home: &Path) -> PathBuf {
    let folder = env.var_os("DOCKER_CONFIG").filter(|path| !path.is_empty());
    let folder = folder.map_or_else(|| home.join(".docker"), PathBuf::from);
    absolute(folder.join("config.json"))
}

pub(super) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Parses a registry that the user names, in docker's own spelling too. All names of Docker Hub are
/// the same registry.
///
/// # Errors
///
/// A usage error if it isn't a whole registry.
pub(crate) fn registry(name: &str, given: &str) -> Result<Host, Error> {
    if bare(given).trim().is_empty() {
        return Err(Error::Usage(format!(
            "{name}: the registry's host is empty; name a registry such as registry.corp.example"
        )));
    }
    whole(Host::parse(name, given)?)
}

/// Checks that a parsed host is a whole registry, as [`registry`] does.
pub(crate) fn whole(host: Host) -> Result<Host, Error> {
    if server_of(&host).is_some_and(|server| server.is_hub()) {
        return Host::parse("", HUB_TEXT);
    }
    if host.text.contains('*') || host.has_path {
        return Err(Error::Usage(format!(
            "docker needs exact hosts, and {} is not one: name each registry separately",
            host.text
        )));
    }
    Ok(host)
}

/// Docker Hub as its users name it.
const HUB_TEXT: &str = "https://docker.io";

/// The server URL that a client asks for, parsed.
pub(crate) fn server_of(host: &Host) -> Option<Server> {
    let (authority, path) = bare(&host.text)
        .split_once('/')
        .unwrap_or((bare(&host.text), ""));
    let resource = Resource {
        protocol: String::new(),
        host: authority.to_owned(),
        path: Some(path.trim_end_matches('/').to_owned()).filter(|path| !path.is_empty()),
    };
    Server::of(&resource).ok()
}

/// The names that clients use for a registry: docker has its own name for the Hub, and clients ask
/// for `host:443` if the image name has the port.
pub(crate) fn keys_of(host: &Host) -> Vec<String> {
    let bare = bare(&host.text);
    if host.text == HUB_TEXT {
        let hosts = HUB_HOSTS.iter().map(|&name| name.to_owned());
        return [HUB.to_owned()].into_iter().chain(hosts).collect();
    }
    let with_port = host.usual_port.map(|port| format!("{bare}:{port}"));
    [Some(bare.to_owned()), with_port]
        .into_iter()
        .flatten()
        .collect()
}

/// A registry without its scheme, as docker writes it.
pub(crate) fn bare(text: &str) -> &str {
    text.split_once("://").map_or(text, |(_, host)| host)
}

/// The keys of a file's passwords for all registries, or for these and repositories in them.
pub(crate) fn logged_in(file: &ClientFile, all: bool, keys: &[String]) -> Vec<String> {
    let is_ours = |entry: &String| {
        let of = |key: &String| {
            let rest = bare(entry).strip_prefix(bare(key));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        all || keys.iter().any(of)
    };
    // `docker login` leaves an empty entry if a helper stores the password.
    let has_secret = |entry: &String| {
        SECRETS.iter().any(|name| {
            let secret = file.text_at(&["auths", entry, name]);
            secret.is_some_and(|secret| !secret.is_empty())
        })
    };
    let mut entries = file.names_in("auths");
    entries.retain(|entry| is_ours(entry) && has_secret(entry));
    entries
}

/// The members of an `auths` entry that hold a secret.
const SECRETS: [&str; 4] = ["auth", "identitytoken", "registrytoken", "password"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_docker_cannot_read_is_refused_with_the_reason() {
        let of = |text: &str| {
            let file = ClientFile::of(PathBuf::new(), "config.json".to_owned(), text);
            file.map(|_| ()).map_err(|error| error.to_string())
        };
        for text in [
            "",
            " \n",
            "{}",
            r#"{"credsStore": "x", "credHelpers": {"a": "b"}, "auths": {"a": {}}}"#,
            r#"{"credsStore": null, "credHelpers": null, "auths": {"a": null}, "x": 7}"#,
        ] {
            assert_eq!(of(text), Ok(()), "{text}");
        }
        for (text, words) in [
            ("\u{feff}{}", "byte order mark"),
            ("[]", "not a JSON object"),
            (r#"{"credsStore": 7}"#, "`credsStore` must be a string"),
            (r#"{"credHelpers": []}"#, "`credHelpers` must be an object"),
            (r#"{"credHelpers": {"a": 7}}"#, "`credHelpers` must be"),
            (r#"{"auths": "x"}"#, "`auths` must be an object"),
            (r#"{"CREDSSTORE": 7}"#, "`credsStore` must be a string"),
            (r#"{"CredHelpers": {"a": 7}}"#, "`credHelpers` must be"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn members_are_read_as_go_reads_them() {
        let at = |text: &str, keys: &[&str]| {
            let file = ClientFile::of(PathBuf::new(), "config.json".to_owned(), text).unwrap();
            file.text_at(keys).map(str::to_owned)
        };
        for (text, keys, expected) in [
            (r#"{"CREDSSTORE": "x"}"#, &["credsStore"][..], Some("x")),
            (r#"{"cred\u017fStore": "x"}"#, &["credsStore"], Some("x")),
            (
                r#"{"credsStore": "x", "CredsStore": "y"}"#,
                &["credsStore"],
                Some("y"),
            ),
            (
                r#"{"CredsStore": "y", "credsStore": "x"}"#,
                &["credsStore"],
                Some("x"),
            ),
            (
                r#"{"credsStore": "x", "CredsStore": null}"#,
                &["credsStore"],
                Some("x"),
            ),
            (
                r#"{"CredHelpers": {"a": "x"}, "credhelpers": {"b": "y"}}"#,
                &["credHelpers", "a"],
                Some("x"),
            ),
            (
                r#"{"CredHelpers": {"a": "x"}, "credhelpers": {"a": "y"}}"#,
                &["credHelpers", "a"],
                Some("y"),
            ),
            (
                r#"{"credHelpers": {"a": "x"}, "credHelpers": null}"#,
                &["credHelpers", "a"],
                None,
            ),
            (
                r#"{"credHelpers": {"A": "x"}}"#,
                &["credHelpers", "a"],
                None,
            ),
            (
                r#"{"AUTHS": {"a": {"Auth": "x"}}}"#,
                &["auths", "a", "auth"],
                Some("x"),
            ),
            (
                r#"{"auths": {"a": {"IdentityToken": "x"}}}"#,
                &["auths", "a", "identitytoken"],
                Some("x"),
            ),
        ] {
            assert_eq!(at(text, keys).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn every_spelling_of_a_registry_gives_the_keys_that_clients_use() {
        const OF_HUB: &[&str] = &[
            "https://index.docker.io/v1/",
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
        ];
        for (given, text, keys) in [
            ("ghcr.io", "https://ghcr.io", &["ghcr.io"][..]),
            (
                "GHCR.io:443",
                "https://ghcr.io",
                &["ghcr.io", "ghcr.io:443"],
            ),
            (
                "https://a.example:5000/",
                "https://a.example:5000",
                &["a.example:5000"],
            ),
            (
                "http://localhost:5000",
                "http://localhost:5000",
                &["localhost:5000"],
            ),
            ("docker.io", HUB_TEXT, OF_HUB),
            ("index.docker.io", HUB_TEXT, OF_HUB),
            ("https://registry-1.docker.io/v2/", HUB_TEXT, OF_HUB),
            ("https://index.docker.io/v1/", HUB_TEXT, OF_HUB),
            ("docker.io:443", HUB_TEXT, OF_HUB),
            ("evildocker.io", "https://evildocker.io", &["evildocker.io"]),
        ] {
            let host = registry("HOST", given).unwrap();
            assert_eq!(host.text, text, "{given}");
            assert_eq!(keys_of(&host), keys, "{given}");
        }
        for given in [
            "*.pkg.dev",
            "ghcr.io/team",
            "https://index.docker.io/v1/access-token",
            "docker.io/library",
            "NOT A HOST",
            "http://a.example",
            "",
        ] {
            assert!(registry("HOST", given).is_err(), "{given}");
        }
    }
}
