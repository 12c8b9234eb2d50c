//! Starts the user's own browser (RFC 8252 §8.12).
//!
//! The URL comes from a server that may be hostile, so it never meets a shell, is one argument, and
//! is http or https: an `authorization_endpoint` of another scheme has reached the system's opener
//! before (CVE-2025-6514). The child gets none of our streams: a tool that reads our output to its
//! end would wait until the browser is closed. It is never waited for either: `xdg-open` on a
//! machine without a desktop returns only when the browser ends.
//!
//! `$BROWSER`: <http://www.catb.org/~esr/BROWSER/>.

use std::io;
use std::process::{Command, Stdio};

use url::Url;

use crate::env::Env;

/// What opens a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Browser {
    /// Command lines, tried in turn until one starts.
    Commands(Vec<Vec<String>>),
    /// Whatever the platform has for it.
    Platform,
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("only http and https URLs are opened in a browser")]
    NotWeb,
    #[error("no browser could be started: {0}")]
    NotStarted(io::ErrorKind),
}

/// What to open a URL with: `$BROWSER`, then the configuration's `browser`, then the platform.
/// `None` where there is none to be had, or where one of the two says `none`.
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

/// Reads a setting by `$BROWSER`'s conventions: a list of commands (`:` between them, on Windows
/// `;`), split into words without a shell.
pub fn browser_from(setting: &str) -> Browser {
    Browser::Commands(parse(setting, SYNTAX))
}

/// Starts the browser, and does not wait for it.
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

/// The shell opens it itself there: no child process of ours that could inherit a handle.
#[cfg(windows)]
fn open_on_platform(url: &Url, _env: &Env) -> Result<(), LaunchError> {
    ::open::that_detached(url.as_str()).map_err(|error| LaunchError::NotStarted(error.kind()))
}

#[cfg(not(windows))]
fn open_on_platform(url: &Url, env: &Env) -> Result<(), LaunchError> {
    start_first(::open::commands(url.as_str()), env)
}

fn start_first(commands: impl IntoIterator<Item = Command>, env: &Env) -> Result<(), LaunchError> {
    let mut last = io::ErrorKind::NotFound;
    for mut command in commands {
        // A `PATH` among them is also where the program is looked for.
        for (name, value) in env.changes() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        match start(command) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.kind(),
        }
    }
    Err(LaunchError::NotStarted(last))
}

/// Leaves the child to itself: this process ends long before a browser does, and init reaps it.
fn start(mut command: Command) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // A group of its own: Ctrl-C in the terminal ends the sign-in, not the browser.
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

/// Puts the URL in place of each `%s`, or at the end where there is none. `%%` is a percent sign;
/// `%c`, which some old settings have, stands for nothing. The program's own name takes no URL.
fn command_line(words: &[String], url: &str) -> Vec<String> {
    let mut placed = false;
    let mut line: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(index, word)| {
            let (text, here) = expand(word, if index == 0 { None } else { Some(url) });
            placed |= here;
            text
        })
        .collect();
    if !placed {
        line.push(url.to_owned());
    }
    line
}

/// The word with its `%` sequences replaced, and whether the URL is in it.
fn expand(word: &str, url: Option<&str>) -> (String, bool) {
    let mut text = String::new();
    let mut placed = false;
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        rest = match (after.chars().next(), url) {
            (Some('s'), Some(url)) => {
                text.push_str(url);
                placed = true;
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
    (text, placed)
}

/// How a list of commands is written down.
#[derive(Debug, Clone, Copy)]
struct Syntax {
    separator: char,
    /// A backslash escapes and an apostrophe quotes. On Windows both occur in paths.
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

/// Splits into commands and their words; commands without a word are left out.
fn parse(setting: &str, syntax: Syntax) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = setting.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            // Within double quotes a backslash escapes only what would mean something there.
            Some('"') if syntax.posix && c == '\\' => {
                let escaped = chars.next_if(|next| matches!(next, '"' | '\\' | '$' | '`'));
                word.get_or_insert_default().push(escaped.unwrap_or(c));
            }
            None if c == '"' || (syntax.posix && c == '\'') => {
                quote = Some(c);
                word.get_or_insert_default(); // "" is a word too.
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
        // "firefox &" asked a shell for what we do anyway.
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

/// Whether the platform's opener has a screen to open something on.
fn has_desktop(system: System, env: &Env) -> bool {
    match system {
        System::Windows => true,
        // Over SSH it would open on a screen that the person does not sit at.
        System::MacOs => env.var_os("SSH_CONNECTION").is_none(),
        // Under WSL, Windows's own browser opens.
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
    fn the_url_is_one_argument_wherever_it_stands() {
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
    fn the_environment_comes_before_the_configuration_and_both_before_the_platform() {
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
                vec![("BROWSER", ":"), display],
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
    fn the_platform_opens_only_where_somebody_sits() {
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
            // With no command, a web URL gets as far as finding none to start.
            let expected = match result {
                Err(LaunchError::NotStarted(_)) => true,
                Err(LaunchError::NotWeb) => false,
                Ok(()) => panic!("{url} was opened"),
            };
            assert_eq!(expected, web, "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_next_command_is_tried_and_the_child_gets_none_of_our_streams() {
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
