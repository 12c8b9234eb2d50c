//! Project rules that the compiler doesn't check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sandbox::files_below;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files_below(&root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}

/// The shipped code, without comments and unit tests.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines: Vec<_> = shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join(
        "
",
    )
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
}

/// The top module that a file belongs to: `session` for `session/plan.rs`.
fn top(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a file refers to with `crate::`.
fn imported(code: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` don't count.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let list = &list[..list.find('}').unwrap_or(list.len())];
            found.extend(list.split(',').map(|item| name(item.trim())));
        } else {
            found.insert(name(rest));
        }
    }
    found.retain(|module| module.starts_with(char::is_lowercase));
    found
}

/// Basic modules that every module may import.
const SHARED: &[&str] = &["credential", "env", "report", "secret"];

/// The other modules that each module may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &[]),
    ("lib", &["commands", "hardening"]),
    (
        "commands",
        &[
            "arguments",
            "clock",
            "config",
            "error",
            "provider",
            "serving",
            "session",
            "setup",
            "shell",
            "store",
            "terminal",
            "tools",
            "wire",
        ],
    ),
    (
        "tools",
        &[
            "complete",
            "arguments",
            "child",
            "clock",
            "config",
            "error",
            "exchange",
            "files",
            "http",
            "oauth",
            "provider",
            "serving",
            "session",
            "setup",
            "shell",
            "store",
            "terminal",
            "wire",
        ],
    ),
    (
        "serving",
        &[
            "arguments",
            "clock",
            "config",
            "error",
            "provider",
            "session",
            "shell",
            "store",
            "terminal",
            "wire",
        ],
    ),
    (
        "setup",
        &[
            "child",
            "arguments",
            "config",
            "error",
            "files",
            "provider",
            "serving",
            "session",
            "shell",
            "store",
            "terminal",
        ],
    ),
    ("arguments", &["complete", "config", "error", "store"]),
    ("complete", &["config", "provider"]),
    ("child", &["files", "signals"]),
    ("shell", &[]),
    ("wire", &[]),
    (
        "error",
        &[
            "config", "grant", "http", "oauth", "session", "setup", "shell", "store",
        ],
    ),
    (
        "session",
        &[
            "clock", "config", "exchange", "grant", "http", "oauth", "provider", "signals",
            "store", "terminal",
        ],
    ),
    ("grant", &["http", "identity", "oauth", "terminal"]),
    ("exchange", &["http", "oauth"]),
    ("oauth", &[]),
    ("provider", &["config", "oauth"]),
    (
        "config",
        &["files", "held_open", "identity", "shell", "store"],
    ),
    ("store", &["held_open", "identity", "signals"]),
    ("files", &["held_open"]),
    ("identity", &[]),
    ("http", &["files", "oauth", "signals", "terminal"]),
    ("terminal", &[]),
    ("clock", &[]),
    ("credential", &[]),
    ("env", &[]),
    ("report", &[]),
    ("secret", &[]),
    ("signals", &[]),
    ("hardening", &[]),
    ("held_open", &[]),
];

/// A thread without blocked signals could receive one that the main thread blocks.
#[test]
fn threads_start_only_with_signals_blocked() {
    let starts = ["thread::spawn(", "thread::Builder"];
    for (path, text) in sources() {
        let code = code(text.split("mod tests {").next().unwrap_or_default());
        if !is_test_file(&path) && starts.iter().any(|start| code.contains(start)) {
            assert!(
                code.contains("in_threads_without("),
                "{} starts a thread",
                path.display()
            );
        }
    }
}

#[test]
fn modules_import_only_permitted_modules() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if is_test_file(&path) {
            continue;
        }
        let module = top(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{module}: a new module has no row in the table"));
            continue;
        };
        for import in imported(&code(&text)) {
            let may = import == module
                || SHARED.contains(&import.as_str())
                || allowed.contains(&import.as_str());
            if !may {
                wrong.push(format!("{}: {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a protocol and a tool may import besides: see `wire.rs` and `tools/tool.rs`.
#[test]
fn a_tool_imports_no_other_tool_and_its_protocol_nothing_but_the_shared_types() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("tools") else {
            continue;
        };
        let tool = top(inside);
        let code = code(&text);
        for (at, prefix) in code.match_indices("crate::tools::") {
            let rest = &code[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let other = &rest[..end.unwrap_or(rest.len())];
            if ![&tool, "tool", "findings"].contains(&other) {
                wrong.push(format!("{}: tools::{other}", path.display()));
            }
        }
        if path.ends_with("protocol.rs") {
            let mut imports = imported(&code);
            imports.retain(|import| import != "wire" && !SHARED.contains(&import.as_str()));
            wrong.extend(imports.iter().map(|i| format!("{}: {i}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn oauth_does_not_read_the_clock_or_open_connections() {
    for (path, text) in sources() {
        if top(&path) != "oauth" {
            continue;
        }
        for forbidden in [
            "now_utc",
            "SystemTime",
            "Instant::now",
            "TcpStream",
            "std::fs",
            "std::io",
            "std::env",
        ] {
            assert!(
                !code(&text).contains(forbidden),
                "{}: {forbidden}",
                path.display()
            );
        }
    }
}

#[test]
fn the_clock_and_the_environment_are_each_read_in_one_place() {
    for (path, text) in sources() {
        // A file's age depends on the file system's clock.
        if is_test_file(&path)
            || path == Path::new("store/sweep.rs")
            || path == Path::new("store/keyring.rs")
        {
            continue;
        }
        let code = code(&text);
        for (reads, allowed) in [
            ("now_utc()", "clock"),
            ("SystemTime::now", "clock"),
            ("env::var", "env"),
            ("env::vars", "env"),
            ("env::args", "env"),
        ] {
            assert!(
                top(&path) == allowed || !code.contains(reads),
                "{}: {reads}",
                path.display()
            );
        }
    }
}

#[test]
fn only_permitted_modules_print() {
    for (path, text) in sources() {
        if is_test_file(&path) {
            continue;
        }
        for macro_name in ["println!", "eprintln!", "print!", "eprint!", "dbg!"] {
            assert!(
                !code(&text).contains(macro_name),
                "{}: {macro_name}",
                path.display()
            );
        }
    }
}

/// The reviewed places where a secret is exposed. A new place must be reviewed and added.
#[test]
fn secrets_are_exposed_only_where_listed() {
    const MAY_EXPOSE: &[&str] = &[
        "exchange", "grant", "http", "oauth", "provider", "config", "secret", "serving", "session",
        "setup", "store", "tools", "wire",
    ];
    for (path, text) in sources() {
        let exposes = code(&text).contains(".expose()");
        assert!(
            !exposes || MAY_EXPOSE.contains(&top(&path).as_str()),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_file_has_module_docs() {
    for (path, text) in sources() {
        let is_said = text.starts_with("//! ") || is_test_file(&path);
        assert!(is_said, "{} has no header", path.display());
        assert!(
            !text.contains("get_token(&self)"),
            "{}: no get_ prefixes",
            path.display()
        );
    }
}

#[test]
fn no_file_is_longer_than_600_lines_without_its_tests() {
    let too_long = sources().into_iter().filter(|(path, text)| {
        let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        !is_test_file(path) && shipped.lines().count() > 600
    });
    let too_long: Vec<_> = too_long.map(|(path, _)| path).collect();
    assert!(too_long.is_empty(), "{too_long:?}");
}

/// The reviewed files with unsafe code. Each may use it only where a platform offers nothing safe.
const MAY_BE_UNSAFE: &[&str] = &["config/security_descriptor.rs", "store/shared_memory.rs"];

#[test]
fn there_is_no_unsafe_or_unfinished_code() {
    for (path, text) in sources() {
        let mut code = code(&text);
        if MAY_BE_UNSAFE
            .iter()
            .any(|allowed| path == Path::new(allowed))
        {
            code = code.replace("unsafe {", "");
        }
        for forbidden in [
            "unsafe {",
            "unsafe fn",
            "todo!(",
            "unimplemented!(",
            "FIXME",
            "XXX",
            "#[allow(",
        ] {
            assert!(!code.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

/// The tables in this folder's README name tests for each rule. Rename a test there as well.
#[test]
fn the_tables_of_rules_name_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/it/README.md")).unwrap();
    let mut names = 0;
    for name in table.split('`').skip(1).step_by(2) {
        let Some((place, test)) = name.split_once("::") else {
            continue;
        };
        let is_name = |text: &str| {
            text.chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        };
        let (file, definition) = match place.split_once('/') {
            Some(("real", cases)) => (
                format!("tests/real/cases/{cases}.py"),
                format!("def {test}(rig)"),
            ),
            Some(("src", _)) => (place.to_owned(), format!("fn {test}()")),
            None if is_name(place) => (format!("tests/it/{place}.rs"), format!("fn {test}()")),
            Some(_) | None => continue, // Other code.
        };
        if !is_name(test) {
            continue;
        }
        let source =
            fs::read_to_string(root.join(&file)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(source.contains(&definition), "{name}");
        names += 1;
    }
    assert!(names > 130, "{names}");
}
