//! One file a command. This one finds the command, and gathers what all of them need.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args as _, FromArgMatches as _, Parser as _};

use crate::cli::{self, AdHocArgs, Asking, Cli, Common, Doctor, GetToken, Setup, Target, Verb};
use crate::config::{Asked, Config, Flags, Interactive};
use crate::credential::Tool;
use crate::env::Env;
use crate::error::Error;
use crate::protocol;
use crate::provider::Provider;
use crate::report::{Exit, Report, printable, printable_url};
use crate::session::record::{Identity, Session};
use crate::session::{Context, DEFAULT_ACCOUNT, LoginLine, SIGN_IN_PROCESS};
use crate::store::{self, Listed, Options, Place, Store, StoreError, UNATTENDED};
use crate::terminal::Terminal;

mod answer;
mod docker;
mod doctor;
mod get_token;
mod git;
mod kubeconfig;
mod kubectl;
mod lock;
mod login;
mod logout;
mod recall;
mod setup;
#[cfg(unix)]
mod sign_in_process;
mod status;
mod store_move;
mod tool;

/// Runs what the command line says.
pub fn run(env: &Env) -> ExitCode {
    let terminal = Terminal::new(0);
    let ended = |result: Result<ExitCode, Error>| {
        result.unwrap_or_else(|error| {
            let report = error.report();
            terminal.report(&report);
            report.exit.into()
        })
    };
    let command = Command::of(env);
    let recall = match command {
        Command::GetToken(args) => Some(get_token::recall(env, args)),
        Command::Tool(..) | Command::SignInProcess | Command::Other => None,
    };
    if let Some(served) = recall
        .as_ref()
        .and_then(|recall| get_token::again(env, recall))
    {
        return ended(served);
    }
    if let Command::Tool("kubectl", words) = command
        && let Some(served) = kubectl::again(env, words)
    {
        return ended(served);
    }
    #[cfg(unix)]
    if let Command::SignInProcess = command {
        return ended(sign_in_process::run(env));
    }
    let verb = match command.parsed(env) {
        Ok(verb) => verb,
        // `--help` and `--version`, which go to stdout.
        Err(said) if !said.use_stderr() => {
            let _ = said.print();
            return Exit::Answered.into();
        }
        // `hallpass` alone: the help, as an error.
        Err(said) if said.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = said.print();
            return Exit::Usage.into();
        }
        Err(said) => {
            let report = usage_report(&said);
            terminal.report(&report);
            return report.exit.into();
        }
    };
    ended(match verb {
        Verb::GetToken(args) => get_token::run(env, &args, recall.as_ref()),
        Verb::Login(args) => login::run(env, &args),
        Verb::Logout(args) => logout::run(env, &args),
        Verb::Lock(args) => lock::run(env, &args),
        Verb::Status(args) => status::run(env, &args),
        Verb::Store(cli::Store::Move(args)) => store_move::run(env, &args),
        Verb::Git(args) => git::run(env, &args, command.words(env)),
        Verb::Docker(args) => docker::run(env, &args, command.words(env)),
        Verb::Kubectl(args) => kubectl::run(env, &args, command.words(env)),
        Verb::Doctor(Doctor::Kubectl(args)) => doctor::kubectl::run(env, &args),
        Verb::Doctor(Doctor::Docker(args)) => doctor::docker::run(env, &args),
        Verb::Setup(Setup::Git(args)) => setup::git::run(env, &args),
        Verb::Setup(Setup::Docker(args)) => setup::docker::run(env, &args),
        Verb::Setup(Setup::Kubectl(args)) => setup::kubectl::run(env, &args),
    })
}

/// What clap found wrong with the command line, in this program's form.
fn usage_report(said: &clap::Error) -> Report {
    let said = said.to_string();
    let words = said.strip_prefix("error: ").unwrap_or(&said);
    let words = words
        .split("\n\nFor more information")
        .next()
        .unwrap_or(words);
    let (error, usage) = words.split_once("\n\n").unwrap_or((words, ""));
    Report {
        error: error.trim().to_owned(),
        causes: Vec::new(),
        hint: Some(format!("{usage}\nrun it with `--help`").trim().to_owned()),
        exit: Exit::Usage,
    }
}

/// What the command line begins with, and the words after that.
#[derive(Clone, Copy)]
enum Command<'e> {
    GetToken(&'e [OsString]),
    Tool(&'static str, &'e [OsString]),
    SignInProcess,
    Other,
}

impl<'e> Command<'e> {
    fn of(env: &'e Env) -> Self {
        let Some((program, words)) = env.args.split_first() else {
            return Self::Other;
        };
        if let Some(tool) = tool_named(program) {
            return Self::Tool(tool, words);
        }
        match words.split_first() {
            Some((verb, rest)) if verb == "get-token" => Self::GetToken(rest),
            Some((verb, [])) if verb == SIGN_IN_PROCESS => Self::SignInProcess,
            Some((verb, rest)) => {
                let mut tools = protocol::ALL.iter().map(|tool| tool.name());
                match tools.find(|tool| verb == tool) {
                    Some(tool) => Self::Tool(tool, rest),
                    None => Self::Other,
                }
            }
            None => Self::Other,
        }
    }

    fn words(self, env: &'e Env) -> &'e [OsString] {
        match self {
            Self::GetToken(words) | Self::Tool(_, words) => words,
            Self::SignInProcess | Self::Other => &env.args,
        }
    }

    /// Only the command's own part of the command line's grammar is built, where tools call it.
    fn parsed(self, env: &Env) -> Result<Verb, clap::Error> {
        match self {
            Self::GetToken(rest) => {
                let command = GetToken::augment_args(clap::Command::new("hallpass get-token"));
                let name = OsString::from("hallpass get-token");
                let matches = command.try_get_matches_from([&name].into_iter().chain(rest))?;
                GetToken::from_arg_matches(&matches).map(Verb::GetToken)
            }
            Self::Tool("git", rest) => git::parsed(rest).map(Verb::Git),
            Self::Tool("docker", rest) => docker::parsed(rest).map(Verb::Docker),
            Self::Tool("kubectl", rest) => kubectl::parsed(rest).map(Verb::Kubectl),
            Self::Tool(..) | Self::SignInProcess | Self::Other => {
                Cli::try_parse_from(&env.args).map(|cli| cli.verb)
            }
        }
    }
}

/// The tool that starts this program under a name of its own. The file name counts and the rest
/// of the path does not.
fn tool_named(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name
        .strip_suffix(std::env::consts::EXE_SUFFIX)
        .unwrap_or(name);
    let mut tools = protocol::ALL.iter();
    let tool = tools.find(|tool| tool.program_name() == Some(name))?;
    Some(tool.name())
}

/// What follows a tool's verb. The tool's usual call has its operation alone, and a command line of
/// one plain word is read without building a parser for it.
fn one_word_or_parsed<T: clap::Args + From<OsString>>(
    name: &'static str,
    args: &[OsString],
) -> Result<T, clap::Error> {
    if let [operation] = args
        && !operation.as_encoded_bytes().starts_with(b"-")
    {
        return Ok(T::from(operation.clone()));
    }
    let command = T::augment_args(clap::Command::new(name));
    let name = OsString::from(name);
    let matches = command.try_get_matches_from([&name].into_iter().chain(args))?;
    T::from_arg_matches(&matches)
}

/// What a command works with: the configuration, and the store that it names.
pub(crate) struct Prepared<'a> {
    env: &'a Env,
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) terminal: Terminal,
}

impl<'a> Prepared<'a> {
    fn new(env: &'a Env, common: &Common, asking: Option<&Asking>) -> Result<Self, Error> {
        let flags = flags_of(common, asking);
        let config = Config::load(env, &flags)?;
        let settings = &config.settings;
        let terminal = Terminal::new(settings.verbose);
        for warning in &config.warnings {
            terminal.warn(warning);
        }
        let store = Store::new(Options {
            setting: settings.store,
            data_dir: store::data_dir(env)?,
            kernel_cache: settings.kernel_cache,
            keyring_wait: keyring_wait(settings.interactive, env, terminal),
            announce: keyring_announcement,
            container: store::in_container(env),
        });
        Ok(Self {
            env,
            config,
            store,
            terminal,
        })
    }

    /// Looks for the key where it is stored, whatever the configuration says by now.
    fn wherever_the_key_is(mut self) -> Self {
        self.store = self.store.wherever_the_key_is();
        self
    }

    fn context(&self) -> Context<'_> {
        Context {
            env: self.env,
            settings: &self.config.settings,
            store: &self.store,
            terminal: self.terminal,
        }
    }
}

impl Prepared<'_> {
    /// The accounts of a provider that are signed in. A session that can't be opened is skipped.
    fn signed_in(&self, provider: &Provider) -> Result<Vec<String>, StoreError> {
        let mut accounts = Vec::new();
        for Listed { name } in self.store.sessions()? {
            if let Ok(Some(kept)) = self.store.read::<Session>(&name) {
                let Identity { account, .. } = &kept.value.identity;
                if kept.value.identity.is_at(provider) && !accounts.contains(account) {
                    accounts.push(account.clone());
                }
            }
        }
        Ok(accounts)
    }

    /// Checks an account that the command line names. Only `hallpass login` adds an account, so
    /// that a typo opens no browser.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownAccount`]; that of the store where a session that can't be opened now may
    /// be that account's.
    fn require_known_account(&self, chosen: &Chosen) -> Result<(), Error> {
        let Chosen {
            provider,
            account,
            login,
            ..
        } = chosen;
        let mut known = vec![DEFAULT_ACCOUNT.to_owned()];
        known.extend(self.config.accounts_of(&provider.name).map(str::to_owned));
        // Where no session is saved, no account can be added.
        if known.contains(account) || self.store.place()? == Place::None {
            return Ok(());
        }
        known.extend(self.signed_in(provider)?);
        if known.contains(account) {
            return Ok(());
        }
        let client_id = provider.client_id()?;
        let own = Identity::new(provider, client_id, account).record_name();
        for Listed { name } in self.store.sessions()? {
            match self.store.read::<Session>(&name) {
                Ok(_) => (),
                // Another account's record that can't be read says nothing about this one.
                Err(
                    StoreError::Damaged { .. }
                    | StoreError::UnknownFormat { .. }
                    | StoreError::ForeignKey { .. },
                ) if name != own => (),
                Err(error) => return Err(error.into()),
            }
        }
        known.sort();
        known.dedup();
        Err(Error::UnknownAccount {
            provider: provider.name.clone(),
            account: account.clone(),
            known,
            login: login.this.clone(),
        })
    }
}

fn keyring_announcement() {
    Terminal::new(0).say("waiting for the OS keyring to be unlocked…");
}

/// The strongest layer of the configuration.
fn flags_of(common: &Common, asking: Option<&Asking>) -> Flags {
    Flags {
        store: common.store,
        interactive: asking.and_then(|asking| asking.interactive),
        flow: asking.and_then(|asking| asking.flow),
        verbose: (common.verbose > 0).then_some(common.verbose),
    }
}

/// How long the OS keyring may take: long enough for a person to unlock it, where there is one.
fn keyring_wait(interactive: Interactive, env: &Env, terminal: Terminal) -> Duration {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| env.var_in_passing(name).is_some())
        || cfg!(any(target_os = "macos", windows));
    if interactive == Interactive::Never || !(has_screen || terminal.has_person()) {
        UNATTENDED
    } else {
        FOR_AN_UNLOCK
    }
}

const FOR_AN_UNLOCK: Duration = Duration::from_secs(60);

/// What the command line's target comes to.
pub(crate) struct Chosen {
    pub(crate) provider: Provider,
    pub(crate) account: String,
    pub(crate) username: Option<String>,
    pub(crate) token: Option<crate::credential::TokenKind>,
    pub(crate) login: LoginLine,
}

/// Finds the provider and the account that the command line means.
pub(crate) fn chosen(
    config: &Config,
    Target { target, account }: &Target,
    ad_hoc: &AdHocArgs,
) -> Result<Chosen, Error> {
    let AdHocArgs {
        issuer_url,
        client_id,
        client_secret_file,
        scopes,
        redirect_uri,
        extra_params,
        resources,
        audience,
    } = ad_hoc;
    let asked = Asked {
        client_secret_file: client_secret_file.clone(),
        scopes: scopes.clone(),
        redirect_uri: redirect_uri.clone(),
        extra_params: pairs(extra_params)?,
        resources: resources.clone(),
        audience: audience.clone(),
    };
    let mut username = None;
    let mut token = None;
    let mut of_resource = None;
    let provider = match (issuer_url, client_id, target) {
        (Some(_), _, Some(_)) => {
            return Err(Error::Usage(
                "--issuer-url describes a provider by itself: leave PROVIDER out".to_owned(),
            ));
        }
        (Some(issuer), Some(client_id), None) => config.ad_hoc(issuer, client_id, asked)?,
        (None, Some(_), _) | (Some(_), None, _) => {
            return Err(Error::Usage(
                "--issuer-url and --client-id go together".to_owned(),
            ));
        }
        (None, None, None) => {
            let mut provider = config.only_provider()?;
            provider.takes_broader_token = true;
            asked.of(provider)?
        }
        (None, None, Some(target)) if target.contains("://") => {
            let url = crate::provider::web_url::parse(target)
                .ok_or_else(|| Error::Usage(format!("{} is not a URL", printable_url(target))))?;
            let found = config
                .resource(&url, Tool::GetToken)?
                .ok_or_else(|| Error::NoResource(printable_url(target)))?;
            username = found.username;
            token = found.token;
            of_resource = found.account;
            asked.of(found.provider)?
        }
        (None, None, Some(name)) => {
            let mut provider = config.provider(name)?;
            // The token goes to the user, who asked for no other scopes.
            provider.takes_broader_token = true;
            asked.of(provider)?
        }
    };
    let account = account
        .clone()
        .or(of_resource)
        .unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    let login = LoginLine {
        this: login_line(&provider, &account, ad_hoc),
        another: login_line(&provider, "OTHER", ad_hoc),
    };
    Ok(Chosen {
        provider,
        account,
        username,
        token,
        login,
    })
}

fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    texts
        .iter()
        .map(|text| {
            text.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| Error::Usage("--extra-param takes KEY=VALUE".to_owned()))
        })
        .collect()
}

/// What a person types to sign in to an account of a configured provider.
fn login_of(provider: &Provider, account: &str) -> LoginLine {
    let line = |account| login_line(provider, account, &AdHocArgs::default());
    LoginLine {
        this: line(account),
        another: line("OTHER"),
    }
}

/// The command that signs in to the same account, for hints: it can be copied as it stands.
fn login_line(provider: &Provider, account: &str, ad_hoc: &AdHocArgs) -> String {
    let mut words = vec!["hallpass".to_owned(), "login".to_owned()];
    let mut add = |flag: &str, value: &str| {
        words.push(flag.to_owned());
        words.push(quoted(value));
    };
    match (&ad_hoc.issuer_url, &ad_hoc.client_id) {
        (Some(issuer), Some(client_id)) => {
            add("--issuer-url", issuer);
            add("--client-id", client_id);
        }
        _ => words.push(quoted(&provider.name)),
    }
    let mut add = |flag: &str, value: &str| {
        words.push(flag.to_owned());
        words.push(quoted(value));
    };
    if let Some(file) = &ad_hoc.client_secret_file {
        add("--client-secret-file", &file.to_string_lossy());
    }
    for scope in &ad_hoc.scopes {
        add("--scope", scope);
    }
    if let Some(uri) = &ad_hoc.redirect_uri {
        add("--redirect-uri", uri);
    }
    for pair in &ad_hoc.extra_params {
        add("--extra-param", pair);
    }
    for resource in &ad_hoc.resources {
        add("--resource", resource);
    }
    if let Some(audience) = &ad_hoc.audience {
        add("--audience", audience);
    }
    if account != DEFAULT_ACCOUNT {
        add("--account", account);
    }
    words.join(" ")
}

/// A word as the shell of a person reads it back, on one line whatever is in it: with what could
/// steer a terminal or end the line as an escape (`$'…'`: POSIX.1-2024, and bash and zsh before).
fn quoted(word: &str) -> String {
    if printable(word) == word {
        return shell_word(word);
    }
    let mut text = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(text, "\\{:03o}", u32::from(c));
            }
            c if printable(c.encode_utf8(&mut [0; 4])).starts_with('\\') => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// A word as any shell reads it back.
fn shell_word(word: &str) -> String {
    let is_plain = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c));
    if is_plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Writes a command's own output; a reader that has gone away is no error of ours.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_can_be_pasted_into_a_shell() {
        for (word, expected) in [
            ("corp", "corp"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
            (r"a\b", r"'a\b'"),
            ("a\nhint: x'\\\u{1b}[2J", r"$'a\012hint: x\'\\\033[2J'"),
            ("\u{202e}\u{9b}\u{e9}", "$'\\u202e\\u009b\u{e9}'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
