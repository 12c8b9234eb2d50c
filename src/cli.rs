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
  0  answered
  1  failed
  2  the command line or the configuration is at fault
  3  a sign-in is needed, and nobody may be asked
  4  signing in was declined, or nobody did it in time";

#[derive(Debug, Subcommand)]
pub enum Verb {
    // What a tool calls is parsed alone, so what it is about stands at its own type. What is
    // flattened into another has no doc comment: clap would take it for what that one is about.
    GetToken(GetToken),
    /// Sign in anew
    Login(Login),
    /// Revoke and remove what is kept
    Logout(Logout),
    /// Drop the unlocked key, so that the OS keyring is asked again
    Lock(Lock),
    /// Show what is kept: never a token
    Status(Status),
    #[command(subcommand)]
    Store(Store),
    /// Tell a tool to ask hallpass
    #[command(subcommand)]
    Setup(Setup),
    /// Say what is off where a tool is refused, and what to type
    #[command(subcommand)]
    Doctor(Doctor),
    Git(Git),
    Docker(Docker),
    Kubectl(Kubectl),
}

/// Print a token: kept, refreshed, or signed in for
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub struct GetToken {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    /// How the token is printed
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    pub format: Format,
    /// Which token: the access token or the ID token
    #[arg(long, value_parser = token_kind, value_name = "access|id")]
    pub token: Option<TokenKind>,
    /// Refresh first, as after a token that was refused
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
    /// the passwords that tools have stored. What can no longer be decrypted is removed too
    #[arg(long)]
    pub all: bool,
    /// Remove only what hallpass cannot read, such as a damaged record or one of a newer version.
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
    /// For programs
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Setup {
    /// Make hallpass git's credential helper
    Git(SetupGit),
    /// Make hallpass the credential helper of docker, podman and other clients of registries
    Docker(SetupDocker),
    /// Make hallpass kubectl's credential plugin for a user of the kubeconfig
    Kubectl(SetupKubectl),
}

#[derive(Debug, Args)]
#[command(mut_group("opener", |group| group.requires("host")))]
pub struct SetupGit {
    /// The git server, as HOST, HOST:PORT, or a URL that may have a path; without it each
    /// resource of the configuration
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// The user name that the server wants beside the token
    #[arg(long, value_name = "NAME", requires = "host")]
    pub username: Option<String>,
    /// The server accepts the token only as `Authorization: Bearer`, not as a password
    #[arg(long, requires = "client_id")]
    pub bearer: bool,
    /// For every host: those that no provider opens are kept and answered as well
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
    /// The registries, each as HOST or HOST:PORT; without any each registry of the configuration
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// The user name that the registry wants beside the token
    #[arg(long, value_name = "NAME", requires = "hosts")]
    pub username: Option<String>,
    /// The registry makes a credential of its own of the token
    #[arg(long, value_parser = registry_exchange, value_name = "acr|harbor", requires = "hosts")]
    pub exchange: Option<RegistryExchange>,
    /// For every registry: those that no provider opens are kept and answered as well
    #[arg(long)]
    pub default: bool,
    /// In podman's auth.json too
    #[arg(long)]
    pub podman: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct SetupKubectl {
    /// The context whose user is set up; without it the current one
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "user",
        allow_hyphen_values = true
    )]
    pub context: Option<String>,
    /// The user of the kubeconfig that is set up
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub user: Option<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// Take over what the user's kubelogin (kubectl oidc-login) was told
    #[arg(long, conflicts_with_all = ["issuer_url", "client_id"])]
    pub from_kubelogin: bool,
    /// Let kubectl run hallpass: add it to the allow-list in kuberc, where there is one
    #[arg(long)]
    pub kuberc: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Doctor {
    /// Look at what stands between kubectl and a cluster that answers 401
    Kubectl(DoctorKubectl),
    /// Look at what stands between docker, podman or another client and a registry
    Docker(DoctorDocker),
}

/// It refreshes nothing, and asks nobody to sign in.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXITS)]
pub struct DoctorDocker {
    /// The registries that are looked at; without any each one that is set up
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

/// It refreshes nothing, and asks nobody to sign in.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXITS)]
pub struct DoctorKubectl {
    /// The context that is looked at; without it the current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Ask the API server, too: it is sent the token, as kubectl sends it
    #[arg(long)]
    pub ask_server: bool,
    #[command(flatten)]
    pub common: Common,
}

/// A doctor's own.
pub const DOCTOR_EXITS: &str = "Exit codes:
  0  all is well
  1  something is off
  2  the command line or the configuration is at fault";

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
    /// A file that holds the client secret
    #[arg(long, value_name = "FILE", requires = "client_id")]
    pub client_secret_file: Option<PathBuf>,
    /// A scope to ask for; may be repeated [default with --issuer-url: `openid offline_access`]
    #[arg(long = "scope", value_name = "SCOPE", requires = "client_id")]
    pub scopes: Vec<String>,
    /// Which of several accounts at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
}

// What a set-up does with what it would write.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct Changing {
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take back what this command has written
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
    /// What git asks for; it is always last
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

/// Answer docker, podman and other clients of registries, as their credential helper
///
/// A client of registries starts it with an operation and no more.
#[derive(Debug, Args)]
pub struct Docker {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// What the client asks for; it is always last
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
    /// A provider of the configuration, or a preset; without it the one that opens the cluster
    #[arg(long, value_name = "NAME", conflicts_with = "issuer_url")]
    pub provider: Option<String>,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    /// Which of several accounts at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Which token: the ID token, or the access token
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
    /// Which of several accounts at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
}

// A provider that stands in no configuration, or what to ask for other than it says.
#[derive(Debug, Default, Clone, Args)]
pub struct AdHocArgs {
    /// The issuer of a provider that is not configured
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer_url: Option<String>,
    /// Its client id
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// A file that holds the client secret
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// A scope to ask for; may be repeated [default with --issuer-url: those of `openid
    /// offline_access` that the provider supports]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// A loopback redirect URI, where the registration fixes its port or path
    #[arg(long, value_name = "URL")]
    pub redirect_uri: Option<String>,
    /// A parameter to add to the authorization request; may be repeated
    #[arg(long = "extra-param", value_name = "KEY=VALUE")]
    pub extra_params: Vec<String>,
    /// A resource indicator (RFC 8707); may be repeated
    #[arg(long = "resource", value_name = "URL")]
    pub resources: Vec<String>,
    /// The audience to ask for, where the provider wants one
    #[arg(long)]
    pub audience: Option<String>,
}

#[derive(Debug, Default, Args)]
pub struct Asking {
    /// How to sign in
    #[arg(long, value_parser = flow, value_name = "auto|browser|device")]
    pub flow: Option<Flow>,
    /// Whether a person may be asked
    #[arg(long, value_parser = interactive, value_name = "auto|never")]
    pub interactive: Option<Interactive>,
}

#[derive(Debug, Default, Args)]
pub struct Common {
    /// Where the data key is kept
    #[arg(long, value_parser = setting, value_name = "auto|keyring|kernel|file|none")]
    pub store: Option<Setting>,
    /// Say what is done; repeat it to say more
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
