//! Arguments that several commands share. No behaviour.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use clap::{Args, FromArgMatches};
use clap_complete::ArgValueCompleter;

use crate::complete;
use crate::config::{Flow, Interactive};
use crate::credential::TokenKind;
use crate::error::Error;
use crate::store::Setting;

/// Exit codes are part of the interface: (code, meaning).
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "success"),
    (1, "failed"),
    (2, "error in the command line or the configuration"),
    (
        3,
        "you need to sign in, but prompting is disabled or impossible",
    ),
    (4, "the sign-in was declined or timed out"),
];

/// The exit codes of `hallpass doctor`.
pub const DOCTOR_EXIT_CODES: &[(u8, &str)] = &[
    (0, "no problem found"),
    (1, "problem found"),
    (2, "error in the command line or the configuration"),
];

/// The end of a command's help, after the options.
pub(crate) fn epilogue(examples: &str) -> String {
    format!("Examples:\n{examples}\n\n{}", table(EXIT_CODES))
}

/// The end of a doctor's help.
pub(crate) fn doctor_epilogue(examples: &str) -> String {
    format!("Examples:\n{examples}\n\n{}", table(DOCTOR_EXIT_CODES))
}

pub(crate) fn table(exit_codes: &[(u8, &str)]) -> String {
    let mut text = "Exit codes:".to_owned();
    for (code, meaning) in exit_codes {
        text = format!("{text}\n  {code}  {meaning}");
    }
    text
}

// The provider for a set-up: a configured one, or the options that describe a new one.
#[derive(Debug, Default, Clone, Args)]
#[group(id = "provider_args", multiple = true)]
#[command(next_help_heading = "Provider")]
pub struct ProviderArgs {
    /// A provider of the configuration, or a preset
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::providers))]
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
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::accounts))]
    pub account: Option<String>,
}

// What every set-up takes.
#[derive(Debug, Args)]
pub struct SetupArgs {
    #[command(flatten)]
    pub provider_args: ProviderArgs,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

// Whether a command makes its changes, and whether it asks first.
#[derive(Debug, Default, Clone, Copy, Args)]
#[command(next_help_heading = "Changes")]
pub struct Caution {
    /// Show the changes without making them
    #[arg(long)]
    pub dry_run: bool,
    /// Make the changes without asking
    #[arg(long, short = 'y')]
    pub yes: bool,
}

// Whether a set-up makes its changes or reverts them.
#[derive(Debug, Default, Clone, Copy, Args)]
#[command(next_help_heading = "Changes")]
pub struct Changing {
    #[command(flatten)]
    pub caution: Caution,
    /// Revert the changes of this command
    #[arg(long)]
    pub undo: bool,
}

// The provider and the account.
#[derive(Debug, Args)]
#[command(next_help_heading = "Account")]
pub struct Target {
    /// A provider of the configuration, a preset, or the URL of a configured resource
    #[arg(value_name = "PROVIDER | URL", add = ArgValueCompleter::new(complete::targets))]
    pub target: Option<String>,
    /// The account at that provider
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::accounts))]
    pub account: Option<String>,
}

// A provider that is not configured, or options that override a configured one.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Provider")]
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
#[command(next_help_heading = "Sign-in")]
pub struct Asking {
    /// How to sign in
    #[arg(long, value_parser = flow, value_name = "auto|browser|device")]
    pub flow: Option<Flow>,
    /// Whether hallpass may prompt you
    #[arg(long, value_parser = interactive, value_name = "auto|never")]
    pub interactive: Option<Interactive>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "General")]
pub struct Common {
    /// Where to store the key that encrypts saved sessions
    #[arg(long, value_parser = setting, value_name = "auto|keyring|kernel|file|none")]
    pub store: Option<Setting>,
    /// Print more detail (-vv for even more)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How many `clap::Command`s this process has built. A remembered request builds none.
pub static BUILT: AtomicUsize = AtomicUsize::new(0);

/// Every command of the program is built here.
pub(crate) fn new_command(name: &'static str) -> clap::Command {
    BUILT.fetch_add(1, Relaxed);
    clap::Command::new(name)
}

/// The subcommand `name` with these arguments.
pub(crate) fn command<T: Args>(name: &'static str) -> clap::Command {
    T::augment_args(new_command(name))
}

/// Parses the words after a command; the usage line shows the command's full `name`. This costs less
/// than parsing with the whole tree.
///
/// # Errors
///
/// [`Error::CommandLine`], also for `--help` and `--version`.
pub(crate) fn parsed<T: Args + FromArgMatches>(name: &str, words: &[OsString]) -> Result<T, Error> {
    parsed_by(T::augment_args(new_command("hallpass")), name, words)
}

fn parsed_by<T: FromArgMatches>(
    command: clap::Command,
    name: &str,
    words: &[OsString],
) -> Result<T, Error> {
    let name = format!("hallpass {name}");
    let command = command
        .name("hallpass")
        .version(env!("CARGO_PKG_VERSION"))
        .bin_name(name.clone());
    let name = OsString::from(name);
    let matches = command.try_get_matches_from([&name].into_iter().chain(words))?;
    Ok(T::from_arg_matches(&matches)?)
}

/// The arguments of a command that a tool starts with an operation.
#[derive(Debug, Default, Args)]
pub(crate) struct OperationArgs {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// The operation that the tool requests; always the last argument
    pub operation: OsString,
}

/// The words that distinguish such a command from another one.
pub(crate) struct OperationHelp {
    pub name: &'static str,
    pub about: &'static str,
    pub more: &'static str,
    /// As in `get|store`.
    pub operations: &'static str,
    pub examples: &'static str,
}

impl OperationHelp {
    pub(crate) fn command(&self) -> clap::Command {
        command::<OperationArgs>(self.name)
            .about(self.about)
            .long_about(format!("{}\n\n{}", self.about, self.more))
            .mut_arg("operation", |arg| arg.value_name(self.operations))
            .after_help(epilogue(self.examples))
    }

    /// Parses the words after the command. A tool usually passes only an operation, and a single plain
    /// word needs no parser.
    ///
    /// # Errors
    ///
    /// [`Error::CommandLine`].
    pub(crate) fn parsed(&self, words: &[OsString]) -> Result<OperationArgs, Error> {
        if let [operation] = words
            && !operation.as_encoded_bytes().starts_with(b"-")
        {
            return Ok(OperationArgs {
                operation: operation.clone(),
                ..OperationArgs::default()
            });
        }
        parsed_by(self.command(), self.name, words)
    }
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

pub(crate) fn token_kind(text: &str) -> Result<TokenKind, String> {
    match text {
        "access" => Ok(TokenKind::Access),
        "id" => Ok(TokenKind::Id),
        _ => Err("access or id".to_owned()),
    }
}
