//! `hallpass git`: a credential helper of git.
//!
//! Specification: <https://git-scm.com/docs/git-credential> ("INPUT/OUTPUT FORMAT") and
//! <https://git-scm.com/docs/gitcredentials>.
//!
//! This input decides who gets a token, and much of it comes from URLs in other people's
//! repositories. A request that git would never write is therefore rejected as a whole: nothing on
//! stdout, one line on stderr, no prompt. [`STATE`] explains how a refused token is replaced within
//! one fetch or push.

use std::borrow::Cow;
use std::io;
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::credential::{
    Action, Answer, Call, Credential, Generation, Refusal, Reply, Request, Resource,
    StoredCredential, TokenKind, Want,
};
use crate::env::Env;
use crate::report::{Exit, Report};
use crate::secret::Secret;
use crate::wire::{Protocol, read_request};

/// The prefix of hallpass's own `state[]` values, which git carries from one `get` to the next.
///
/// A reply with a token has `continue=1` and a state that names the token's generation. If the
/// server refuses the token, git doesn't erase it or give up. It asks again and sends the state,
/// and hallpass forces a refresh of that generation. That second reply never has `continue`,
/// because git repeats a POST as often as it is told to.
///
/// After a successful GET, git's `store` has used the state up, so the first `get` after a refused
/// POST has none. hallpass answers it like any other, and the next one has the state. By then git
/// has replaced the user name that chose the account with the one in our reply. git also sends
/// `oauth_refresh_token` back, and nothing else reads that, so it carries the account.
const STATE: &str = "hallpass:";

/// The protocol of a client certificate's passphrase, which has a path and no host.
pub(super) const CERTIFICATE: &str = "cert";

/// The longest line, with its newline (git-credential(1)).
const LONGEST_LINE: usize = 65_535;
/// More than git sends with a hundred `wwwauth[]` of maximum length.
const LONGEST_REQUEST: usize = 8 << 20;

#[derive(Debug)]
pub struct CredentialHelper;

impl Protocol for CredentialHelper {
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode> {
        // git appends its operation to the configured arguments.
        let operation = call.args.last().and_then(|last| last.to_str());
        let operation = match operation {
            Some("get") => Operation::Get,
            Some("store") => Operation::Store,
            Some("erase") => Operation::Erase,
            Some("capability") => {
                call.stdout.write_all(CAPABILITIES.as_bytes())?;
                call.stdout.flush()?;
                return Ok(Exit::Answered.into());
            }
            // An unknown operation must be ignored (gitcredentials(7)).
            Some(_) | None => return Ok(Exit::Answered.into()),
        };
        let bytes = read_request(call.stdin, LONGEST_REQUEST, has_ended)?;
        let Some(bytes) = bytes else {
            return Ok(refused(call, &Malformed::TooLong));
        };
        let input = match Input::parse(&bytes) {
            Ok(input) => input,
            Err(malformed) => return Ok(refused(call, &malformed)),
        };
        drop(bytes);
        let resource = match input.resource() {
            Ok(Some(resource)) => resource,
            Ok(None) => return Ok(Exit::Answered.into()),
            Err(malformed) => return Ok(refused(call, &malformed)),
        };
        let healing = Healing::of(&input);
        let names_user = input.username.is_some();
        let offered = input.capabilities;
        let request = input.request(operation, resource, &healing, call.env);
        let reply = match answer(&request) {
            Ok(Reply::Credential(credential)) => {
                provider_reply(&credential, offered, &healing, names_user)
            }
            Ok(Reply::Stored(credential)) => stored_reply(&credential, offered),
            Ok(Reply::List(_) | Reply::Done) => return Ok(Exit::Answered.into()),
            Err(refusal) => return refused_by_session(call, operation, &healing, &refusal),
        };
        match reply {
            Ok(lines) => {
                call.stdout.write_all(lines.as_bytes())?;
                call.stdout.flush()?;
                Ok(Exit::Answered.into())
            }
            Err(unprintable) => {
                let Unprintable { key } = unprintable;
                let error = format!(
                    "the {key} contains characters that git's protocol doesn't allow, so hallpass \
                     sent nothing"
                );
                Report::failure(error).write(call.stderr);
                Ok(Exit::Failed.into())
            }
        }
    }
}

const CAPABILITIES: &str = "version 0\ncapability authtype\ncapability state\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    Store,
    Erase,
}

/// Reports why there is no credential. A definite "no" includes a refused token that can't be
/// replaced. Then `quit` stops git, which would ask for a user name next.
fn refused_by_session(
    call: &mut Call<'_>,
    operation: Operation,
    healing: &Healing,
    refusal: &Refusal,
) -> io::Result<ExitCode> {
    let (report, is_definite) = match refusal {
        // With no output, git asks its next helper.
        Refusal::NotMine => return Ok(Exit::Answered.into()),
        Refusal::Declined(report) => (report, true),
        Refusal::NotSignedIn(report) => (report, healing.refused.is_some()),
        Refusal::Failed(report) => (report, false),
    };
    report.write(call.stderr);
    if is_definite && operation == Operation::Get {
        call.stdout.write_all(b"quit=1\n")?;
        call.stdout.flush()?;
    }
    Ok(report.exit.into())
}

fn refused(call: &mut Call<'_>, malformed: &Malformed) -> ExitCode {
    let report = Report::failure(format!("rejected git's request: {malformed}"));
    report.write(call.stderr);
    report.exit.into()
}

// --- requests ---

/// Why a request is rejected. Its text never quotes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a line contains a carriage return")]
    CarriageReturn,
    #[error("it contains a NUL byte")]
    Nul,
    #[error("a line is longer than {LONGEST_LINE} bytes")]
    LongLine,
    #[error("it is longer than {LONGEST_REQUEST} bytes")]
    TooLong,
    #[error("a line is not KEY=VALUE")]
    NotAPair,
    #[error("`{0}` appears twice")]
    Twice(&'static str),
    #[error("`{0}` is not valid UTF-8")]
    NotText(&'static str),
    #[error("it has no `protocol`")]
    NoProtocol,
    #[error("it has no `host`")]
    NoHost,
}

/// The keys that git may send. Others are ignored (git-credential(1)).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Input {
    capabilities: Capabilities,
    protocol: Option<String>,
    host: Option<String>,
    path: Option<String>,
    username: Option<String>,
    password: Option<Secret<String>>,
    authtype: Option<String>,
    credential: Option<Secret<String>>,
    ephemeral: Option<String>,
    continued: Option<String>,
    oauth_refresh_token: Option<Secret<String>>,
    password_expiry_utc: Option<String>,
    wwwauth: Vec<String>,
    state: Vec<String>,
}

/// The capabilities that git offered. A reply may use no others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Capabilities {
    authtype: bool,
    state: bool,
}

/// Whether a request is complete, if the bytes up to `seen` were checked before.
fn has_ended(bytes: &[u8], seen: usize) -> bool {
    // An empty line may begin in the part that was checked.
    let seam = seen.saturating_sub(2);
    has_empty_line(bytes.get(seam..).unwrap_or_default(), seam == 0)
}

fn has_empty_line(bytes: &[u8], from_the_start: bool) -> bool {
    (from_the_start && (bytes.starts_with(b"\n") || bytes.starts_with(b"\r\n")))
        || bytes.windows(2).any(|pair| pair == b"\n\n")
        || bytes.windows(3).any(|three| three == b"\n\r\n")
}

impl Input {
    /// Parses a whole request.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Self::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.len() > LONGEST_LINE {
                return Err(Malformed::LongLine);
            }
            let line = match line.strip_suffix(b"\n") {
                Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
                None => line,
            };
            if line.is_empty() {
                break;
            }
            // git ends a line at LF only. A reader that also ends it at CR would see another key
            // after it (CVE-2024-50338, CVE-2024-52006).
            if line.contains(&b'\r') {
                return Err(Malformed::CarriageReturn);
            }
            if line.contains(&0) {
                return Err(Malformed::Nul);
            }
            let equals = line.iter().position(|byte| *byte == b'=');
            let (key, value) = match equals.and_then(|at| line.split_at_checked(at)) {
                Some((key, value)) if !key.is_empty() => (key, value.get(1..).unwrap_or_default()),
                Some(_) | None => return Err(Malformed::NotAPair),
            };
            input.take(key, value)?;
        }
        Ok(input)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match key {
            b"protocol" => once(&mut self.protocol, "protocol", value),
            b"host" => once(&mut self.host, "host", value),
            b"path" => once(&mut self.path, "path", &percent_encoded_unless_utf8(value)),
            b"username" => once(&mut self.username, "username", value),
            b"password" => once_secret(&mut self.password, "password", value),
            b"authtype" => once(&mut self.authtype, "authtype", value),
            b"credential" => once_secret(&mut self.credential, "credential", value),
            b"oauth_refresh_token" => {
                once_secret(&mut self.oauth_refresh_token, "oauth_refresh_token", value)
            }
            b"password_expiry_utc" => {
                once(&mut self.password_expiry_utc, "password_expiry_utc", value)
            }
            b"ephemeral" => once(&mut self.ephemeral, "ephemeral", value),
            // Whether our last reply had `continue`. The `state[]` says so too.
            b"continue" => once(&mut self.continued, "continue", value),
            b"capability[]" => {
                match value {
                    b"" => self.capabilities = Capabilities::default(),
                    b"authtype" => self.capabilities.authtype = true,
                    b"state" => self.capabilities.state = true,
                    _ => (),
                }
                Ok(())
            }
            b"wwwauth[]" => {
                append(&mut self.wwwauth, value);
                Ok(())
            }
            b"state[]" => {
                append(&mut self.state, value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The requested resource; `None` if it has no host and needs none, like a certificate file.
    fn resource(&self) -> Result<Option<Resource>, Malformed> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        if protocol.is_empty() {
            return Err(Malformed::NoProtocol);
        }
        let protocol = protocol.to_ascii_lowercase();
        match self.host.as_deref() {
            None => Err(Malformed::NoHost),
            // An empty host is never a wildcard.
            Some("") if protocol == "http" || protocol == "https" => Err(Malformed::NoHost),
            // git asks for the passphrase of a client certificate with the file's path alone.
            Some("") if protocol != CERTIFICATE || self.path.is_none() => Ok(None),
            Some(host) => Ok(Some(Resource {
                protocol,
                host: host.to_owned(),
                path: self.path.clone(),
            })),
        }
    }

    fn request(
        self,
        operation: Operation,
        resource: Resource,
        healing: &Healing,
        env: &Env,
    ) -> Request {
        let Self {
            capabilities,
            protocol: _,
            host: _,
            path,
            username,
            password,
            authtype,
            credential,
            ephemeral,
            continued: _,
            oauth_refresh_token,
            password_expiry_utc,
            wwwauth,
            state: _,
        } = self;
        let handed = StoredCredential {
            path,
            username: username.clone(),
            password,
            authtype,
            credential,
            expires_at: password_expiry_utc.as_deref().and_then(expiry),
            oauth_refresh_token,
            stored_as: None,
        };
        let action = match operation {
            Operation::Get => Action::Get,
            // Its source asks helpers not to store it.
            Operation::Store if ephemeral.as_deref().is_some_and(is_true) => {
                Action::Store(StoredCredential::default())
            }
            Operation::Store => Action::Store(handed),
            Operation::Erase => Action::Erase(handed),
        };
        let want = Want {
            refused: healing.refused,
            ..Want::valid(TokenKind::Access)
        };
        Request {
            account: healing.account.clone(),
            username,
            takes_authtype: capabilities.authtype,
            challenges: wwwauth,
            interactive: is_interactive(env),
            ..Request::about(action, Some(resource), want)
        }
    }
}

fn once(place: &mut Option<String>, key: &'static str, value: &[u8]) -> Result<(), Malformed> {
    if place.is_some() {
        return Err(Malformed::Twice(key));
    }
    let text = std::str::from_utf8(value).map_err(|_| Malformed::NotText(key))?;
    *place = Some(text.to_owned());
    Ok(())
}

/// A path in another encoding, such as Latin-1, as a URL has it. git has decoded it.
fn percent_encoded_unless_utf8(path: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(path).is_ok() {
        return Cow::Borrowed(path);
    }
    let mut encoded = Vec::with_capacity(path.len() * 3);
    for byte in path {
        if byte.is_ascii() {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    Cow::Owned(encoded)
}

fn once_secret(
    place: &mut Option<Secret<String>>,
    key: &'static str,
    value: &[u8],
) -> Result<(), Malformed> {
    if place.is_some() {
        return Err(Malformed::Twice(key));
    }
    let text = std::str::from_utf8(value).map_err(|_| Malformed::NotText(key))?;
    *place = Some(Secret::from(text));
    Ok(())
}

/// A header may be in any encoding. It is only shown, so invalid UTF-8 is replaced.
fn append(list: &mut Vec<String>, value: &[u8]) {
    if value.is_empty() {
        list.clear();
    } else {
        list.push(String::from_utf8_lossy(value).into_owned());
    }
}

/// A true value in git's configuration.
fn is_true(value: &str) -> bool {
    ["1", "true", "yes", "on"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// Seconds since 1970. 0, an empty value and anything that isn't a number mean never.
fn expiry(value: &str) -> Option<i64> {
    value.parse().ok().filter(|seconds| *seconds > 0)
}

/// Whether the environment allows prompts.
fn is_interactive(env: &Env) -> bool {
    let says_no = |name, words: &[&str]| {
        env.var_unrecorded(name)
            .is_some_and(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
    };
    !says_no("GIT_TERMINAL_PROMPT", &["0", "false", "no", "off"])
        && !says_no("GCM_INTERACTIVE", &["0", "false", "never"])
        // VS Code's background fetch.
        && env.var_unrecorded("VSCODE_GIT_FETCH_SILENT").is_none_or(|value| value.is_empty())
}

/// What an earlier reply of the same git command was; see [`STATE`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Healing {
    refused: Option<Generation>,
    /// Whose token it was. git has replaced the user name that chose the account with ours.
    account: Option<String>,
}

impl Healing {
    fn of(input: &Input) -> Self {
        let ours = |state: &str| {
            let (generation, account) = state.strip_prefix(STATE)?.split_once(':')?;
            Some(Self {
                refused: Some(generation.parse().ok()?),
                account: Some(account.to_owned()),
            })
        };
        let mut states = input.state.iter().rev();
        let state = states.find_map(|state| ours(state));
        // This is no state: it names the account, but no token was refused.
        let token = input.oauth_refresh_token.as_ref();
        let account = token.and_then(|token| ours(token.expose()));
        state
            .or(account.map(|account| Self {
                refused: None,
                ..account
            }))
            .unwrap_or_default()
    }
}

// --- replies ---

/// A value that git would read as more than one line.
#[derive(Debug, PartialEq, Eq)]
struct Unprintable {
    key: &'static str,
}

/// Room for all the keys of a reply and hallpass's own values.
const KEYS: usize = 512;

/// A reply under construction.
struct Lines(Zeroizing<String>);

impl Lines {
    /// `values`: those whose length others decide.
    fn new<'v>(offered: Capabilities, values: impl IntoIterator<Item = &'v str>) -> Self {
        // Growing the buffer would leave copies of the token in memory.
        let room = values.into_iter().map(str::len).sum::<usize>() + KEYS;
        let mut text = Zeroizing::new(String::with_capacity(room));
        if offered.authtype {
            text.push_str("capability[]=authtype\n");
        }
        if offered.state {
            text.push_str("capability[]=state\n");
        }
        Self(text)
    }

    fn add(&mut self, key: &'static str, value: &str) -> Result<(), Unprintable> {
        let length = key.len() + "=".len() + value.len() + "\n".len();
        if value.contains(['\r', '\n', '\0']) || length > LONGEST_LINE {
            return Err(Unprintable { key });
        }
        let text = &mut self.0;
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
        Ok(())
    }
}

fn provider_reply(
    credential: &Credential,
    offered: Capabilities,
    healing: &Healing,
    names_user: bool,
) -> Result<Zeroizing<String>, Unprintable> {
    let Credential {
        token,
        token_type: _,
        expires_at,
        scopes: _,
        username,
        provider: _,
        account,
        generation,
        bearer,
        renewable,
    } = credential;
    let token = token.expose();
    let mut lines = Lines::new(offered, [token.as_str(), username, account]);
    // git 2.46 to 2.53 leaves the header form out of the probe before a POST larger than
    // `http.postBuffer`, so a large push ends in 401 (fixed in 2.54.0, commit ed0f7a62f7). It
    // always sends a user name and password.
    if offered.authtype && *bearer {
        lines.add("authtype", "Bearer")?;
        lines.add("credential", token)?;
        lines.add("ephemeral", "1")?;
    } else {
        lines.add("username", username)?;
        lines.add("password", token)?;
        if offered.state && names_user {
            let account = format!("{STATE}{generation}:{account}");
            lines.add("oauth_refresh_token", &account)?;
        }
    }
    if let Some(expires_at) = expires_at {
        let seconds = expires_at.unix_timestamp().to_string();
        lines.add("password_expiry_utc", &seconds)?;
    }
    if offered.state && *renewable && healing.refused.is_none() {
        lines.add("state[]", &format!("{STATE}{generation}:{account}"))?;
        lines.add("continue", "1")?;
    }
    Ok(lines.0)
}

fn stored_reply(
    stored: &StoredCredential,
    offered: Capabilities,
) -> Result<Zeroizing<String>, Unprintable> {
    let StoredCredential {
        path: _,
        username,
        password,
        authtype,
        credential,
        expires_at,
        oauth_refresh_token,
        stored_as: _,
    } = stored;
    let secrets = [password, credential, oauth_refresh_token];
    let secrets = secrets.into_iter().flatten().map(|s| s.expose().as_str());
    let others = [username, authtype].into_iter().flatten();
    let mut lines = Lines::new(offered, secrets.chain(others.map(String::as_str)));
    if let (true, Some(authtype), Some(credential)) = (offered.authtype, authtype, credential) {
        lines.add("authtype", authtype)?;
        lines.add("credential", credential.expose())?;
    }
    if let Some(username) = username {
        lines.add("username", username)?;
    }
    if let Some(password) = password {
        lines.add("password", password.expose())?;
    }
    if let Some(seconds) = expires_at {
        lines.add("password_expiry_utc", &seconds.to_string())?;
    }
    if let Some(token) = oauth_refresh_token {
        lines.add("oauth_refresh_token", token.expose())?;
    }
    Ok(lines.0)
}

#[cfg(test)]
mod tests;
