//! A browser that fills in forms. hallpass starts the test executable itself as the browser.
//!
//! It follows redirects, stores cookies, and signs in or declines on the provider's page. It writes
//! two kinds of notes for the test: `opened` has a line for each start, and
//! `page-<pid>.json` lists every page that was visited.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;

use crate::wire::{self, Reply};

/// The arguments that run the test executable as a browser, followed by the URL. They contain no
/// colon, because `$BROWSER` is a colon-separated list.
pub(crate) const ARGUMENTS: &[&str] = &["--ignored", "--exact", "form_browser"];

/// Where to write the notes.
pub(crate) const NOTES: &str = "FORM_BROWSER_NOTES";
/// `sign-in`, `decline`, `ignore` (notes the URL and exits) or `linger` (notes it and waits).
pub(crate) const ACTION: &str = "HALLPASS_TEST_BROWSER_ACTION";
/// Who signs in.
pub(crate) const PERSON: &str = "HALLPASS_TEST_BROWSER_PERSON";

const HOPS: usize = 12;

pub(crate) fn play() {
    let Some(notes) = std::env::var_os(NOTES).map(PathBuf::from) else {
        return; // Not started by hallpass.
    };
    let given: Vec<String> = std::env::args().skip(1 + ARGUMENTS.len()).collect();
    let action = std::env::var(ACTION).unwrap_or_else(|_| "sign-in".to_owned());
    note_start(&notes, &given);
    match action.as_str() {
        "ignore" => (),
        "linger" => linger(&notes),
        decision => {
            let person = std::env::var(PERSON).unwrap_or_else(|_| "alice".to_owned());
            let mut way = Way::default();
            let start = given.last().map_or("", String::as_str);
            let end = way.go(start, decision, &person);
            note_end(&notes, &way, end);
        }
    }
}

fn note_start(notes: &Path, given: &[String]) {
    let line = format!("{}\n", json!(given));
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(notes.join("opened"))
        .expect("the log of started browsers");
    // A single write, so that concurrent starts don't interleave.
    log.write_all(line.as_bytes()).expect("a line in the log");
}

fn note_end(notes: &Path, way: &Way, end: std::io::Result<Reply>) {
    let last = match end {
        Ok(reply) => reply_json(&reply),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let page = json!({ "hops": way.hops, "last": last });
    let name = format!("page-{}", std::process::id());
    let unfinished = notes.join(&name);
    fs::write(&unfinished, page.to_string()).expect("the notes");
    fs::rename(&unfinished, notes.join(format!("{name}.json"))).expect("the notes");
}

fn reply_json(reply: &Reply) -> Value {
    json!({ "status": reply.status, "headers": reply.headers, "body": reply.body })
}

fn linger(notes: &Path) {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until && !notes.join("leave").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Default)]
struct Way {
    /// Cookies don't depend on the port, but the fake provider's cookie names are unique.
    cookies: BTreeMap<String, String>,
    hops: Vec<Value>,
}

impl Way {
    fn go(&mut self, start: &str, decision: &str, person: &str) -> std::io::Result<Reply> {
        let mut url = start.to_owned();
        let mut form: Option<String> = None;
        loop {
            let method = if form.is_some() { "POST" } else { "GET" };
            let reply = self.load(method, &url, form.take().as_deref())?;
            if self.hops.len() > HOPS {
                return Err(std::io::Error::other("redirected without end"));
            }
            let here = Url::parse(&url).map_err(std::io::Error::other)?;
            let next = |target: &str| here.join(target).map_err(std::io::Error::other);
            if let (300..400, Some(location)) = (reply.status, reply.header("Location")) {
                url = next(location)?.into();
                continue;
            }
            let Some(filled) = Form::find(&reply.body).map(|f| f.fill(decision, person)) else {
                return Ok(reply);
            };
            url = next(&filled.action)?.into();
            form = Some(filled.body);
        }
    }

    fn load(&mut self, method: &str, url: &str, form: Option<&str>) -> std::io::Result<Reply> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![
            ("User-Agent", "form-browser"),
            ("Accept", "text/html"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        if !cookies.is_empty() {
            headers.push(("Cookie", &cookies));
        }
        let reply = wire::request(method, url, &headers, form)?;
        for (_, value) in reply
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"))
        {
            let pair = value.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let mut hop = reply_json(&reply);
        hop["url"] = json!(url);
        self.hops.push(hop);
        Ok(reply)
    }
}

/// The first form of a page.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    decisions: Vec<(String, String)>,
}

struct Filled {
    action: String,
    body: String,
}

impl Form {
    fn find(page: &str) -> Option<Self> {
        let start = page.find("<form")?;
        let page = &page[start..];
        let page = &page[..page.find("</form>")?];
        let mut form = Self {
            action: attribute(tags(page, "form").next()?, "action")?,
            fields: Vec::new(),
            decisions: Vec::new(),
        };
        let named = |tag: &str| {
            let value = attribute(tag, "value").unwrap_or_default();
            Some((attribute(tag, "name")?, value))
        };
        form.fields.extend(tags(page, "input").filter_map(named));
        form.decisions
            .extend(tags(page, "button").filter_map(named));
        Some(form)
    }

    fn fill(self, decision: &str, person: &str) -> Filled {
        let fields = self.fields.into_iter().map(|(name, value)| {
            let value = match name.as_str() {
                "user" => person.to_owned(),
                _ => value,
            };
            (name, value)
        });
        let button = self.decisions.into_iter().find(|(_, v)| v == decision);
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.chain(button))
            .finish();
        Filled {
            action: self.action,
            body,
        }
    }
}

fn tags<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("<{name} ");
    html.match_indices(&start)
        .map(|(at, _)| &html[at..])
        .filter_map(|tag| tag.split('>').next())
        .collect::<Vec<_>>()
        .into_iter()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!(" {name}=\"");
    let at = tag.find(&start)? + start.len();
    let value = tag[at..].split('"').next()?;
    Some(
        value
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&amp;", "&"),
    )
}

/// Signs in as a person would, and returns the result page.
pub(crate) fn sign_in(url: &str, person: &str) -> std::io::Result<Reply> {
    Way::default().go(url, "sign-in", person)
}
