//! The command line, as types. No behaviour.
//!
//! A verb that tools call often builds only its own command: the whole tree costs more than the
//! rest of a hit.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Flow, Interactive};
use crate::credential::TokenKind;
use crate::protocol::kubectl::whole_version;
use crate::protocol::plain::Format;
use crate::provider::RegistryExchange;
use crate::store::Setting;

/// One sign-in, every developer tool.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, about, propagate_version = true, after_help = EXITS)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

/// Exit codes are part of the interface.
pub const EXITS: &str = "Exit codes:
  0  success
  1  failed
  2  error in the command line or the configuration
  3  you need to sign in, but prompting is disabled or impossible
  4  the sign-in was declined or timed out";

#[derive(Debug, Subcommand)]
pub enum Verb {
    // What a tool calls is parsed alone, so what it is about stands at its own type. What is
    // flattened into another has no doc comment: clap would take it for what that one is about.
    GetToken(GetToken),
    /// Sign in again
    Login(Login),
    /// Sign out: revoke tokens and delete the saved session
    Logout(Logout),
    /// Remove the unlocked key, so that the next request asks the OS keyring
    Lock(Lock),
    /// Show sessions and where they are stored, but never a token
    Status(Status),
    #[command(subcommand)]
    Store(Store),
    /// Configure a tool to use hallpass
    #[command(subcommand)]
    Setup(Setup),
    /// Find out why a tool is denied access
    #[command(subcommand)]
    Doctor(Doctor),
    Git(Git),
    Docker(Docker),
    Kubectl(Kubectl),
}

/// Print a token, and refresh it or sign in if necessary
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct GetToken {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    pub format: Format,
    /// Which token: the access token or the ID token
    #[arg(long, value_parser = token_kind, value_name = "access|id")]
    pub token: Option<TokenKind>,
    /// Refresh the token first, for example after a server rejected it
    #[arg(long)]
    pub force_refresh: bool,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct Login {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct Logout {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    /// Sign out of every account of PROVIDER, or without PROVIDER of everything: all sessions, and
    /// the passwords that tools have stored, including records that can no longer be decrypted
    #[arg(long)]
    pub all: bool,
    /// Remove only records that hallpass cannot read, such as damaged ones or those of a newer version.
    /// With --all: remove everything, even if the keyring is locked or missing
    #[arg(long, conflicts_with_all = ["target", "account", "issuer_url"])]
    pub unreadable: bool,
    #[command(flatten)]
    pub common: Common,
}

/// Show or change where the key that encrypts saved sessions is stored
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Move the key to another place; sessions and passwords stay
    ///
    /// The key that encrypts saved sessions and passwords is moved, and nothing else changes. Set
    /// `store` in config.toml to the new place before, or leave it out.
    Move(StoreMove),
}

#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct StoreMove {
    /// Where to store the key
    #[arg(long, value_enum)]
    pub to: NewPlace,
    #[command(flatten)]
    pub common: Common,
}

/// Where the key can be moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewPlace {
    /// The operating system's keyring
    Keyring,
    /// The kernel's memory, until the machine restarts (Linux)
    Kernel,
    /// A file that only you can read
    File,
}

#[derive(Debug, Args)]
pub struct Lock {
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Setup {
    /// Configure git to use hallpass as its credential helper
    Git(SetupGit),
    /// Configure docker, podman and other registry clients to use hallpass
    Docker(SetupDocker),
    /// Configure a kubeconfig user to use hallpass as its credential plugin
    Kubectl(SetupKubectl),
}

#[derive(Debug, Args)]
#[command(mut_group("opener", |group| group.requires("host")))]
pub struct SetupGit {
    /// The git server, as HOST, HOST:PORT, or a URL with an optional path [default: every resource
    /// in the configuration]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// The user name that the server expects with the token
    #[arg(long, value_name = "NAME", requires = "host")]
    pub username: Option<String>,
    /// The server accepts the token only as `Authorization: Bearer`, not as a password
    #[arg(long, requires = "client_id")]
    pub bearer: bool,
    /// Use hallpass for every host: it stores the passwords of hosts without a provider
    #[arg(long)]
    pub default: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(mut_group("opener", |group| group.requires("hosts")))]
pub struct SetupDocker {
    /// The registries, each as HOST or HOST:PORT [default: every registry in the configuration]
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// The user name that the registry expects with the token
    #[arg(long, value_name = "NAME", requires = "hosts")]
    pub username: Option<String>,
    /// The registry exchanges the token for its own credential
    #[arg(long, value_parser = registry_exchange, value_name = "acr|harbor", requires = "hosts")]
    pub exchange: Option<RegistryExchange>,
    /// Use hallpass for every registry: it stores the passwords of registries without a provider
    #[arg(long)]
    pub default: bool,
    /// Change podman's auth.json too
    #[arg(long)]
    pub podman: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct SetupKubectl {
    /// The context whose user to set up [default: the current context]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "user",
        allow_hyphen_values = true
    )]
    pub context: Option<String>,
    /// The kubeconfig user to set up
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub user: Option<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// Import the user's kubelogin (kubectl oidc-login) settings
    #[arg(long, conflicts_with_all = ["issuer_url", "client_id"])]
    pub from_kubelogin: bool,
    /// Add hallpass to the plugin allowlist in kuberc, if there is one
    #[arg(long)]
    pub kuberc: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Doctor {
    /// Find out why a cluster answers kubectl with 401
    Kubectl(DoctorKubectl),
    /// Find out why a registry denies access to docker, podman or another client
    Docker(DoctorDocker),
}

/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXITS)]
pub struct DoctorDocker {
    /// The registries to check [default: every registry that is set up]
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXITS)]
pub struct DoctorKubectl {
    /// The context to check [default: the current context]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Also send the token to the API server, as kubectl does
    #[arg(long)]
    pub ask_server: bool,
    #[command(flatten)]
    pub common: Common,
}

/// A doctor's own.
pub const DOCTOR_EXITS: &str = "Exit codes:
  0  no problem found
  1  problem found
  2  error in the command line or the configuration";

// The provider that opens what a tool is set up for: one that is there, or what makes one.
#[derive(Debug, Default, Clone, Args)]
#[group(id = "opener", multiple = true)]
pub struct Opener {
    /// A provider of the configuration, or a preset
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The issuer of a provider that is not configured
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer_url: Option<String>,
    /// The ID of the application that was registered for hallpass
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// A file that contains the client secret
    #[arg(long, value_name = "FILE", requires = "client_id")]
    pub client_secret_file: Option<PathBuf>,
    /// A scope to request; may be repeated [default with --issuer-url: `openid offline_access`]
    #[arg(long = "scope", value_name = "SCOPE", requires = "client_id")]
    pub scopes: Vec<String>,
    /// The account at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
}

// What a set-up does with what it would write.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct Changing {
    /// Show the changes without making them
    #[arg(long)]
    pub dry_run: bool,
    /// Revert the changes of this command
    #[arg(long)]
    pub undo: bool,
}

/// Answer git, as its credential helper
///
/// git starts it with an operation: get, store, erase, capability.
#[derive(Debug, Args)]
pub struct Git {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// The operation that git requests; always the last argument
    #[arg(value_name = "get|store|erase|capability")]
    pub operation: OsString,
}

impl From<OsString> for Git {
    fn from(operation: OsString) -> Self {
        Self {
            asking: Asking::default(),
            common: Common::default(),
            operation,
        }
    }
}

/// Answer docker, podman and other registry clients, as their credential helper
///
/// A registry client starts it with an operation as the only argument.
#[derive(Debug, Args)]
pub struct Docker {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// The operation that the client requests; always the last argument
    #[arg(value_name = "get|store|erase|list|version")]
    pub operation: OsString,
}

impl From<OsString> for Docker {
    fn from(operation: OsString) -> Self {
        Self {
            asking: Asking::default(),
            common: Common::default(),
            operation,
        }
    }
}

/// Answer kubectl, as its credential plugin
///
/// Started by the exec entry of a kubeconfig, with its request in `KUBERNETES_EXEC_INFO`.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct Kubectl {
    /// A provider of the configuration, or a preset [default: the provider of the cluster]
    #[arg(long, value_name = "NAME", conflicts_with = "issuer_url")]
    pub provider: Option<String>,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    /// The account at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Which token to send: the ID token, or the access token
    #[arg(long, value_parser = token_kind, value_name = "access|id")]
    pub token: Option<TokenKind>,
    /// The ID under which `hallpass setup kubectl` recorded the server of this exec entry, for
    /// clients that don't say which cluster they talk to
    #[arg(long, value_name = "ID", conflicts_with = "issuer_url")]
    pub entry: Option<String>,
    /// The version of the reply for clients that don't set `KUBERNETES_EXEC_INFO`
    #[arg(long, value_parser = api_version, value_name = "v1|v1beta1")]
    pub api_version: Option<String>,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
}

// Which account, of which provider.
#[derive(Debug, Args)]
pub struct Target {
    /// A provider of the configuration, a preset, or the URL of a configured resource
    #[arg(value_name = "PROVIDER | URL")]
    pub target: Option<String>,
    /// The account at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
}

// A provider that is not configured, or options that override those of a configured one.
#[derive(Debug, Default, Clone, Args)]
pub struct AdHocArgs {
    /// The issuer of a provider that is not configured
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer_url: Option<String>,
    /// The client ID that is registered at that provider
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// A file that contains the client secret
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// A scope to request; may be repeated [default with --issuer-url: those of `openid
    /// offline_access` that the provider supports]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// A loopback redirect URI, if the registration requires a certain port or path
    #[arg(long, value_name = "URL")]
    pub redirect_uri: Option<String>,
    /// A parameter to add to the authorization request; may be repeated
    #[arg(long = "extra-param", value_name = "KEY=VALUE")]
    pub extra_params: Vec<String>,
    /// A resource indicator (RFC 8707); may be repeated
    #[arg(long = "resource", value_name = "URL")]
    pub resources: Vec<String>,
    /// The audience to request, if the provider requires one
    #[arg(long)]
    pub audience: Option<String>,
}

#[derive(Debug, Default, Args)]
pub struct Asking {
    /// How to sign in
    #[arg(long, value_parser = flow, value_name = "auto|browser|device")]
    pub flow: Option<Flow>,
    /// Whether hallpass may prompt you
    #[arg(long, value_parser = interactive, value_name = "auto|never")]
    pub interactive: Option<Interactive>,
}

#[derive(Debug, Default, Args)]
pub struct Common {
    /// Where to store the key that encrypts saved sessions
    #[arg(long, value_parser = setting, value_name = "auto|keyring|kernel|file|none")]
    pub store: Option<Setting>,
    /// Print more detail (-vv for even more)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

fn api_version(text: &str) -> Result<String, String> {
    whole_version(text).ok_or_else(|| "v1 or v1beta1".to_owned())
}

fn registry_exchange(text: &str) -> Result<RegistryExchange, String> {
    let mut all = RegistryExchange::ALL.iter();
    let found = all.find(|(name, _)| *name == text);
    found
        .map(|(_, exchange)| *exchange)
        .ok_or_else(|| "acr or harbor".to_owned())
}

fn setting(text: &str) -> Result<Setting, String> {
    text.parse()
        .map_err(|_| "auto, keyring, kernel, file or none".to_owned())
}

fn flow(text: &str) -> Result<Flow, String> {
    match text {
        "auto" => Ok(Flow::Auto),
        "browser" => Ok(Flow::Browser),
        "device" => Ok(Flow::Device),
        _ => Err("auto, browser or device".to_owned()),
    }
}

fn interactive(text: &str) -> Result<Interactive, String> {
    match text {
        "auto" => Ok(Interactive::Auto),
        "never" => Ok(Interactive::Never),
        _ => Err("auto or never".to_owned()),
    }
}

fn token_kind(text: &str) -> Result<TokenKind, String> {
    match text {
        "access" => Ok(TokenKind::Access),
        "id" => Ok(TokenKind::Id),
        _ => Err("access or id".to_owned()),
    }
}
