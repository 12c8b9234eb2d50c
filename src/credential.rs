//! The types that tools and sessions share: requests and replies.
//!
//! Nothing here knows about OAuth, files or HTTP.

use std::ffi::OsString;
use std::io;

use time::{Duration, OffsetDateTime};

use crate::env::Env;
use crate::report::Report;
use crate::secret::Secret;

/// One run of a tool's protocol: what the tool passed, and where the reply goes.
pub struct Call<'a> {
    /// What follows the verb on the command line.
    pub args: &'a [OsString],
    pub env: &'a Env,
    pub stdin: &'a mut dyn io::Read,
    pub stdout: &'a mut dyn io::Write,
    pub stderr: &'a mut dyn io::Write,
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

/// A tool's parsed request.
#[derive(Debug, Clone)]
pub struct Request {
    pub action: Action,
    /// What the tool wants to reach; `None` if the protocol runs for one account.
    pub resource: Option<Resource>,
    pub account: Option<String>,
    /// The user name in the tool's URL or configuration.
    pub username: Option<String>,
    /// The tool can send an `Authorization` header of any scheme, not only a password.
    pub takes_authtype: bool,
    /// The schemes that the server accepts: one entry for each `WWW-Authenticate` header.
    pub challenges: Vec<String>,
    pub want: Want,
    /// The tool allows prompting the user.
    pub interactive: bool,
    /// The Kubernetes cluster that the tool talks to, if it says so.
    pub cluster: Option<Cluster>,
}

impl Request {
    /// A request for a credential by a tool that only says which token it needs.
    pub fn get(want: Want) -> Self {
        Self {
            action: Action::Get,
            resource: None,
            account: None,
            username: None,
            takes_authtype: false,
            challenges: Vec::new(),
            want,
            interactive: true,
            cluster: None,
        }
    }

    /// A request about a resource; `None` concerns all of them.
    pub fn about(action: Action, resource: Option<Resource>, want: Want) -> Self {
        Self {
            action,
            resource,
            ..Self::get(want)
        }
    }
}

/// A cluster as a kubeconfig describes it. The kubeconfig may come from an untrusted source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The API server's URL.
    pub server: String,
    /// The server's certificate is not verified.
    pub skips_tls_verification: bool,
    /// The kubeconfig sets the authority that verifies the server.
    pub has_own_authority: bool,
    /// The name in the server's certificate, if the kubeconfig sets one.
    pub tls_server_name: Option<String>,
    pub proxy_url: Option<String>,
    pub names: ClusterNames,
}

/// The provider and account in the cluster's entry of the kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterNames {
    pub provider: Option<String>,
    pub issuer_url: Option<String>,
    pub client_id: Option<String>,
    pub scopes: Vec<String>,
    pub audience: Option<String>,
    pub account: Option<String>,
    pub token: Option<TokenKind>,
}

/// What a tool wants to reach, as the tool wrote it. It must be parsed before it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Empty if the tool didn't say.
    pub protocol: String,
    /// With its port, if the tool named one.
    pub host: String,
    pub path: Option<String>,
}

impl Resource {
    /// The parts that identify the resource of a remembered request.
    pub fn parts(&self) -> [Option<&[u8]>; 3] {
        [Some(&self.protocol), Some(&self.host), self.path.as_ref()]
            .map(|part| part.map(String::as_bytes))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Get a credential.
    Get,
    /// The tool used this credential successfully.
    Store(StoredCredential),
    /// This credential was refused. Fields that are `None` match everything.
    Erase(StoredCredential),
    /// List the resources that have a credential.
    List,
}

/// A tool's credential, from any source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredCredential {
    pub path: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    /// The scheme of `credential` in an `Authorization` header.
    pub authtype: Option<String>,
    pub credential: Option<Secret<String>>,
    /// Seconds since 1970; `None` if it doesn't expire.
    pub expires_at: Option<i64>,
    pub oauth_refresh_token: Option<Secret<String>>,
    /// The resource as the tool wrote it, if it lists what it stored.
    pub stored_as: Option<String>,
}

/// Which of a session's tokens is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Access,
    Id,
}

/// Counts the versions of a record. A refused token is identified by its generation.
pub type Generation = u64;

/// What a caller needs from a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub token: TokenKind,
    /// How long the token must remain valid, but at most half its lifetime.
    pub fresh_for: Duration,
    /// The generation that the caller refused; it is never served to this caller again.
    pub refused: Option<Generation>,
}

impl Want {
    /// Any token of this kind that is valid now.
    pub fn valid(token: TokenKind) -> Self {
        Self {
            token,
            fresh_for: Duration::ZERO,
            refused: None,
        }
    }
}

/// A credential for a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub token: Secret<String>,
    /// As in an `Authorization` header: `Bearer`.
    pub token_type: String,
    pub expires_at: Option<OffsetDateTime>,
    pub scopes: Vec<String>,
    /// The user name to send with the token, for tools that need one.
    pub username: String,
    pub provider: String,
    pub account: String,
    pub generation: Generation,
    /// The resource accepts it only as `Authorization: Bearer`, not as a password.
    pub bearer: bool,
    /// It can be renewed without prompting the user.
    pub renewable: bool,
}

#[cfg(test)]
impl Credential {
    /// The token `tok`, which expires at `expires_at` (seconds since 1970).
    pub(crate) fn example(expires_at: i64) -> Self {
        Self {
            token: Secret::from("tok"),
            token_type: "Bearer".into(),
            expires_at: OffsetDateTime::from_unix_timestamp(expires_at).ok(),
            scopes: Vec::new(),
            username: "oauth2".into(),
            provider: "corp".into(),
            account: "default".into(),
            generation: 1,
            bearer: false,
            renewable: true,
        }
    }
}

#[derive(Debug)]
pub enum Reply {
    Credential(Credential),
    /// A credential that a tool stored earlier.
    Stored(StoredCredential),
    List(Vec<ListedCredential>),
    Done,
}

/// A resource, as the tool wrote it, whose credential is available without prompting the user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedCredential {
    pub resource: String,
    pub username: String,
}

/// Why there is no credential. Tools expect different replies, so the reasons are kept apart.
#[derive(Debug)]
pub enum Refusal {
    /// hallpass does not handle this resource, so the tool may ask elsewhere.
    NotMine,
    /// A sign-in is needed, but prompting is not possible.
    NotSignedIn(Report),
    /// The user declined, or did not complete the sign-in in time.
    Declined(Report),
    Failed(Report),
}

/// The callback through which a protocol gets a credential.
pub type Answer<'a> = &'a mut dyn FnMut(&Request) -> Result<Reply, Refusal>;
