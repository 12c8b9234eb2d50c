//! The words that tools and sessions share: what a tool asks for, and what it is given.
//!
//! Nothing here knows of OAuth, of files or of HTTP.

use std::ffi::OsString;
use std::io;

use time::{Duration, OffsetDateTime};

use crate::env::Env;
use crate::report::Report;
use crate::secret::Secret;

/// One run of a tool's protocol: what the tool passed, and where it listens.
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

/// What a protocol made of what its tool said.
#[derive(Debug, Clone)]
pub struct Request {
    pub action: Action,
    /// What the tool wants to reach; `None`: the protocol was started for one account.
    pub resource: Option<Resource>,
    pub account: Option<String>,
    /// Who the tool wants to be there: a user name in its URL or its configuration.
    pub username: Option<String>,
    /// The tool can send an `Authorization` header of any scheme, not only a password.
    pub takes_authtype: bool,
    /// What the server said it would take: `WWW-Authenticate`, one entry a header.
    pub challenges: Vec<String>,
    pub want: Want,
    /// A person may be asked, as far as the tool knows.
    pub interactive: bool,
    /// The Kubernetes cluster that the tool talks to, where it said so.
    pub cluster: Option<Cluster>,
}

impl Request {
    /// A request for a credential, by a tool that says nothing but which token it needs.
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

/// A cluster as a kubeconfig describes it. The kubeconfig may be anybody's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The API server's URL.
    pub server: String,
    /// Whoever answers there is taken for the server.
    pub skips_tls_verification: bool,
    /// The kubeconfig says by which authority the server is known.
    pub has_own_authority: bool,
    /// Under which name the server's certificate is, where the kubeconfig says so.
    pub tls_server_name: Option<String>,
    pub proxy_url: Option<String>,
    pub names: ClusterNames,
}

/// Who answers for a cluster, as its entry in the kubeconfig says.
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

/// What a tool wants to reach, in the tool's words. Who compares it parses it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Empty where the tool's words leave it open.
    pub protocol: String,
    /// With its port, where the tool named one.
    pub host: String,
    pub path: Option<String>,
}

impl Resource {
    /// The parts that tell one resource from another, for a question that is remembered.
    pub fn parts(&self) -> [Option<&[u8]>; 3] {
        [Some(&self.protocol), Some(&self.host), self.path.as_ref()]
            .map(|part| part.map(String::as_bytes))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A credential, please.
    Get,
    /// The tool has used this with success.
    Store(StoredCredential),
    /// This was refused; what is `None` says nothing, and so fits everything.
    Erase(StoredCredential),
    /// For which resources is there a credential at hand?
    List,
}

/// A credential that a tool has, wherever it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredCredential {
    pub path: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    /// The scheme of `credential` in an `Authorization` header.
    pub authtype: Option<String>,
    pub credential: Option<Secret<String>>,
    /// Seconds since 1970; `None`: never.
    pub expires_at: Option<i64>,
    pub oauth_refresh_token: Option<Secret<String>>,
    /// The resource as the tool wrote it, if it lists what it stored.
    pub stored_as: Option<String>,
}

/// Which of a session's tokens is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Access,
    Id,
}

/// Counts the versions of one record: a refused token is named by the generation it came from.
pub type Generation = u64;

/// What a caller needs of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    pub token: TokenKind,
    /// How long the token must still be good; never more than half its life is asked of it.
    pub fresh_for: Duration,
    /// The generation that somebody refused; it is never served again.
    pub refused: Option<Generation>,
}

impl Want {
    /// A token of this kind that is valid now.
    pub fn valid(token: TokenKind) -> Self {
        Self {
            token,
            fresh_for: Duration::ZERO,
            refused: None,
        }
    }
}

/// What a tool is handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub token: Secret<String>,
    /// As it stands in an `Authorization` header: `Bearer`.
    pub token_type: String,
    pub expires_at: Option<OffsetDateTime>,
    pub scopes: Vec<String>,
    /// The user name that goes with the token where a tool wants one.
    pub username: String,
    pub provider: String,
    pub account: String,
    pub generation: Generation,
    /// The resource accepts it only as `Authorization: Bearer`, not as a password.
    pub bearer: bool,
    /// Another one can be had without asking a person.
    pub renewable: bool,
}

#[derive(Debug)]
pub enum Reply {
    Credential(Credential),
    /// What a tool handed over earlier.
    Stored(StoredCredential),
    List(Vec<ListedCredential>),
    Done,
}

/// A resource, in the words of the tool that asks, whose credential nobody has to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedCredential {
    pub resource: String,
    pub username: String,
}

/// Why there is no credential. Each tool hears "no" differently, so the reasons stay apart.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody here knows the resource: the tool may ask elsewhere.
    NotMine,
    /// A sign-in is needed and nobody may be asked.
    NotSignedIn(Report),
    /// The person said no, or said nothing in time.
    Declined(Report),
    Failed(Report),
}

/// How a protocol asks for a credential.
pub type Answer<'a> = &'a mut dyn FnMut(&Request) -> Result<Reply, Refusal>;
