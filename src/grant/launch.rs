//! Starts the user's own browser (RFC 8252 §8.12).
//!
//! The URL comes from a server that may be hostile. So it must be http or https, and it is passed as a
//! single argument without a shell. In CVE-2025-6514, an `authorization_endpoint` with another scheme
//! reached the system's URL opener.
//!
//! The browser inherits none of hallpass's streams. Otherwise a tool that reads hallpass's output to
//! its end would wait until the browser is closed. hallpass doesn't wait for the browser either,
//! because `xdg-open` on a machine without a desktop returns only when the browser ends.
//!
//! `$BROWSER`: <http://www.catb.org/~esr/BROWSER/>.

use std::io;
use std::process::{Command, Stdio};

use url::Url;

use crate::env::Env;
use crate::report::printable;

#[cfg(any(windows, test))]
mod windows;

/// How to open a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Browser {
    /// Command lines. The first one that starts is used.
    Commands(Vec<Vec<String>>),
    /// The platform's default browser.
    Platform,
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("hallpass opens only http and https URLs")]
    NotWeb,
    /// The program, and why it did not start.
    #[error("{0}")]
    NotStarted(String),
}

/// The browser to use: `$BROWSER`, else the configured `browser`, else the platform's. `None` if one
/// of the first two is `none`, or if there is no browser.
pub fn choose(env: &Env, configured: Option<&str>) -> Option<Browser> {
    let named = [env.var("BROWSER"), configured]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|setting| !parse(setting, SYNTAX).is_empty());
    match named {
        Some("none") => None,
        Some(setting) => Some(browser_from(setting)),
        None => has_desktop(SYSTEM, env).then_some(Browser::Platform),
    }
}

/// Parses a setting by the conventions of `$BROWSER`: commands separated by `:` (by `;` on Windows),
/// split into words without a shell.
pub fn browser_from(setting: &str) -> Browser {
    Browser::Commands(parse(setting, SYNTAX))
}

/// Starts the browser without waiting for it.
pub fn open(browser: &Browser, url: &Url, env: &Env) -> Result<(), LaunchError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(LaunchError::NotWeb);
    }
    match browser {
        Browser::Commands(lines) => {
            let commands = lines.iter().filter_map(|words| {
                let mut words = command_line(words, url.as_str()).into_iter();
                let mut command = Command::new(words.next()?);
                command.args(words);
                Some(command)
            });
            start_first(commands, env)
        }
        Browser::Platform => open_on_platform(url, env),
    }
}

/// The Windows shell opens the URL itself, so no child process inherits a handle.
#[cfg(windows)]
fn open_on_platform(url: &Url, _env: &Env) -> Result<(), LaunchError> {
    ::open::that_detached(url.as_str()).map_err(|error| LaunchError::NotStarted(error.to_string()))
}

#[cfg(not(windows))]
fn open_on_platform(url: &Url, env: &Env) -> Result<(), LaunchError> {
    start_first(::open::commands(url.as_str()), env)
}

fn start_first(commands: impl IntoIterator<Item = Command>, env: &Env) -> Result<(), LaunchError> {
    let mut reason = "no command is configured".to_owned();
    for mut command in commands {
        // If `PATH` is among these, it is also searched for the program.
        for (name, value) in env.changes() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let program = printable(&command.get_program().to_string_lossy());
        #[cfg(windows)]
        let started = windows::start(command, env, start);
        #[cfg(not(windows))]
        let started = start(command);
        match started {
            Ok(()) => return Ok(()),
            Err(error) => {
                let error = if error.kind() == io::ErrorKind::NotFound {
                    "file not found".to_owned()
                } else {
                    error.to_string()
                };
                reason = format!("`{program}`: {error}");
            }
        }
    }
    Err(LaunchError::NotStarted(reason))
}

/// Starts a detached child. This process ends long before the browser does, and init reaps it.
fn start(mut command: Command) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // A separate process group, so Ctrl-C in the terminal ends the sign-in but not the browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(
            &mut command,
            CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW,
        );
    }
    command.spawn().map(drop)
}

/// Replaces each `%s` with the URL, or else appends the URL. `%%` is a percent sign, and `%c`, which
/// some old settings contain, is removed. The program's name never contains the URL.
fn command_line(words: &[String], url: &str) -> Vec<String> {
    let mut has_url = false;
    let mut line: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(index, word)| {
            let (text, expanded) = expand(word, if index == 0 { None } else { Some(url) });
            has_url |= expanded;
            text
        })
        .collect();
    if !has_url {
        line.push(url.to_owned());
    }
    line
}

/// The word with its `%` sequences replaced, and whether it contains the URL.
fn expand(word: &str, url: Option<&str>) -> (String, bool) {
    let mut text = String::new();
    let mut has_url = false;
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        rest = match (after.chars().next(), url) {
            (Some('s'), Some(url)) => {
                text.push_str(url);
                has_url = true;
                &after[1..]
            }
            (Some('%'), _) => {
                text.push('%');
                &after[1..]
            }
            (Some('c'), _) => &after[1..],
            (_, _) => {
                text.push('%');
                after
            }
        };
    }
    text.push_str(rest);
    (text, has_url)
}

/// The syntax of a list of commands.
#[derive(Debug, Clone, Copy)]
struct Syntax {
    separator: char,
    /// A backslash escapes and an apostrophe quotes. On Windows, paths contain both.
    posix: bool,
}

const POSIX: Syntax = Syntax {
    separator: ':',
    posix: true,
};
const WINDOWS: Syntax = Syntax {
    separator: ';',
    posix: false,
};
const SYNTAX: Syntax = if cfg!(windows) { WINDOWS } else { POSIX };

/// Splits a setting into commands and their words. Empty commands are left out.
fn parse(setting: &str, syntax: Syntax) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = setting.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            // Within double quotes, a backslash escapes only special characters.
            Some('"') if syntax.posix && c == '\\' => {
                let escaped = chars.next_if(|next| matches!(next, '"' | '\\' | '$' | '`'));
                word.get_or_insert_default().push(escaped.unwrap_or(c));
            }
            None if c == '"' || (syntax.posix && c == '\'') => {
                quote = Some(c);
                word.get_or_insert_default(); // "" is an empty word.
            }
            None if syntax.posix && c == '\\' => {
                word.get_or_insert_default().extend(chars.next());
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None if c == syntax.separator => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            Some(_) | None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    for words in &mut commands {
        // "firefox &" starts a background process in a shell. hallpass always does that.
        words.pop_if(|last| last == "&");
    }
    commands.retain(|words| !words.is_empty());
    commands
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Windows,
    MacOs,
    /// Linux and the BSDs.
    Unix,
}

const SYSTEM: System = if cfg!(windows) {
    System::Windows
} else if cfg!(target_os = "macos") {
    System::MacOs
} else {
    System::Unix
};

/// Whether the platform can show a browser to the user.
fn has_desktop(system: System, env: &Env) -> bool {
    match system {
        System::Windows => true,
        // In an SSH session, the browser would open on the remote machine's screen.
        System::MacOs => env.var_os("SSH_CONNECTION").is_none(),
        // In WSL, the browser of Windows opens.
        System::Unix => ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"]
            .iter()
            .any(|name| env.var_os(name).is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_split_into_commands_and_words_without_a_shell() {
        for (syntax, setting, expected) in [
            (POSIX, "firefox", vec![vec!["firefox"]]),
            (
                POSIX,
                "  firefox  -P work\t%s ",
                vec![vec!["firefox", "-P", "work", "%s"]],
            ),
            (POSIX, "firefox:lynx", vec![vec!["firefox"], vec!["lynx"]]),
            (POSIX, "::firefox::", vec![vec!["firefox"]]),
            (POSIX, "firefox &", vec![vec!["firefox"]]),
            (
                POSIX,
                r#"netscape -remote "openURL(%s,new-window)":lynx"#,
                vec![
                    vec!["netscape", "-remote", "openURL(%s,new-window)"],
                    vec!["lynx"],
                ],
            ),
            (
                POSIX,
                r#"'/opt/my browser'/run 'a:b' "c'd" e\ f \: "\"\\\x""#,
                vec![vec![
                    "/opt/my browser/run",
                    "a:b",
                    "c'd",
                    "e f",
                    ":",
                    r#""\\x"#,
                ]],
            ),
            (POSIX, "a '' \"\"", vec![vec!["a", "", ""]]),
            (POSIX, "a 'b c", vec![vec!["a", "b c"]]),
            (
                POSIX,
                "a $HOME `id` ; b|c",
                vec![vec!["a", "$HOME", "`id`", ";", "b|c"]],
            ),
            (POSIX, " : & ", vec![]),
            (POSIX, "", vec![]),
            (
                WINDOWS,
                r#""C:\Program Files\Firefox\firefox.exe" -new-tab;C:\O'Neill\b.exe"#,
                vec![
                    vec![r"C:\Program Files\Firefox\firefox.exe", "-new-tab"],
                    vec![r"C:\O'Neill\b.exe"],
                ],
            ),
        ] {
            assert_eq!(parse(setting, syntax), expected, "{setting}");
        }
    }

    #[test]
    fn the_url_is_one_argument_in_any_position() {
        const URL: &str = "https://id.example/?a=%20&b=%s;$(id)'x";
        for (words, expected) in [
            (vec!["b"], vec!["b", URL]),
            (vec!["b", "-x"], vec!["b", "-x", URL]),
            (vec!["b", "%s", "-x"], vec!["b", URL, "-x"]),
            (vec!["b", "--url=%s"], vec!["b", &format!("--url={URL}")]),
            (vec!["b", "%s", "%s"], vec!["b", URL, URL]),
            (vec!["b", "%%s"], vec!["b", "%s", URL]),
            (
                vec!["b", "100%%", "%c", "%u", "%"],
                vec!["b", "100%", "", "%u", "%", URL],
            ),
            (vec!["%s"], vec!["%s", URL]),
            (vec!["b%%", "é%sü"], vec!["b%", &format!("é{URL}ü")]),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert_eq!(command_line(&words, URL), expected, "{words:?}");
        }
    }

    #[test]
    fn the_environment_overrides_configuration_and_platform() {
        let commands = |name: &str| Some(Browser::Commands(vec![vec![name.to_owned()]]));
        let display = ("DISPLAY", ":0");
        for (vars, configured, expected) in [
            (vec![("BROWSER", "env")], Some("config"), commands("env")),
            (vec![display], Some("config"), commands("config")),
            (
                vec![("BROWSER", ""), display],
                Some("config"),
                commands("config"),
            ),
            (
                vec![("BROWSER", if cfg!(windows) { ";" } else { ":" }), display],
                Some("config"),
                commands("config"),
            ),
            (vec![display], Some("none"), None),
            (vec![("BROWSER", "none"), display], Some("config"), None),
            (
                vec![("BROWSER", "env"), display],
                Some("none"),
                commands("env"),
            ),
        ] {
            let env = Env::new(Vec::<&str>::new(), vars.clone());
            assert_eq!(
                choose(&env, configured),
                expected,
                "{vars:?} {configured:?}"
            );
        }
    }

    #[test]
    fn the_platforms_browser_requires_a_desktop() {
        for (system, vars, expected) in [
            (System::Unix, vec![], false),
            (System::Unix, vec![("DISPLAY", ":0")], true),
            (System::Unix, vec![("DISPLAY", "")], false),
            (System::Unix, vec![("WAYLAND_DISPLAY", "wayland-0")], true),
            (System::Unix, vec![("WSL_DISTRO_NAME", "Debian")], true),
            (System::MacOs, vec![], true),
            (System::MacOs, vec![("SSH_CONNECTION", "1 2 3 4")], false),
            (System::Windows, vec![], true),
        ] {
            let env = Env::new(Vec::<&str>::new(), vars.clone());
            assert_eq!(has_desktop(system, &env), expected, "{system:?} {vars:?}");
        }
    }

    #[test]
    fn only_web_urls_are_opened() {
        let nothing = browser_from("");
        for (url, web) in [
            ("https://id.example/", true),
            ("http://127.0.0.1:1/", true),
            ("HTTPS://id.example/", true),
            ("file:///etc/passwd", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("ms-settings:", false),
            ("a:$(calc.exe)", false),
        ] {
            let result = open(&nothing, &Url::parse(url).unwrap(), &Env::default());
            // Without a command, a web URL fails only when the browser is started.
            let expected = match result {
                Err(LaunchError::NotStarted(_)) => true,
                Err(LaunchError::NotWeb) => false,
                Ok(()) => panic!("{url} was opened"),
            };
            assert_eq!(expected, web, "{url}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_browser_that_does_not_exist_is_an_error_and_the_next_one_is_tried() {
        for setting in [
            r"C:\no\such.exe",
            "no-such-browser",
            r"C:\no\such.exe;no-such-browser",
        ] {
            let url = Url::parse("https://id.example/").unwrap();
            let Err(LaunchError::NotStarted(reason)) =
                open(&browser_from(setting), &url, &Env::default())
            else {
                panic!("{setting} was started");
            };
            assert!(reason.ends_with("file not found"), "{reason}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn the_next_command_is_tried_and_gets_the_whole_url() {
        use std::time::{Duration, Instant};

        let folder = tempfile::tempdir().unwrap();
        let (script, report) = (
            folder.path().join("browser.cmd"),
            folder.path().join("report"),
        );
        let lines = "@echo off\r\n\
                     >\"%~dp0new\" echo %1\r\n\
                     move \"%~dp0new\" \"%~dp0report\" >nul\r\n";
        std::fs::write(&script, lines).unwrap();
        let browser = Browser::Commands(vec![
            vec![r"C:\no\such.exe".to_owned()],
            vec![script.to_str().unwrap().to_owned(), "%s".to_owned()],
        ]);
        let url = "https://id.example/?a=b&d=$(id)";
        open(&browser, &Url::parse(url).unwrap(), &Env::default()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !report.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = std::fs::read_to_string(report).unwrap();
        assert_eq!(report.trim_end(), format!("\"{url}\""));
    }

    #[cfg(unix)]
    #[test]
    fn the_next_command_is_tried_without_inherited_streams() {
        use std::time::{Duration, Instant};

        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report");
        // -ef: the same file.
        let script = r#"
            streams=
            for stream in 0 1 2; do
                [ /dev/fd/$stream -ef /dev/null ] || streams="$streams $stream"
            done
            echo "$#$streams $2" > "$1.new"
            mv "$1.new" "$1""#;
        let words = ["sh", "-c", script, "sh", report.to_str().unwrap(), "%s"];
        let browser = Browser::Commands(vec![
            vec!["/nonexistent/browser".to_owned()],
            words.map(str::to_owned).to_vec(),
        ]);
        let url = "https://id.example/?a=b%20c&d=$(id)";
        open(&browser, &Url::parse(url).unwrap(), &Env::default()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !report.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let report = std::fs::read_to_string(report).unwrap();
        assert_eq!(report, format!("2 {url}\n"));
    }
}
