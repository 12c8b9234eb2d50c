//! `hallpass setup git`: makes hallpass git's helper for some hosts or for all, and a provider
//! the one that opens a host.
//!
//! An empty `helper` stands before ours, for git hands every helper whatever worked, and nobody
//! else shall keep a token. git has one list for all its configuration, in the order of its files
//! and their lines, however closely a helper's section fits: so ours has to come last.

use clap::Args;

use crate::arguments::{Changing, Common, Opener};
use crate::tools::git::NAME;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use url::Url;

use super::git_config::{self, Entry};
use super::large_pushes;
use crate::config::{Config, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::serving::prepared::flags_of;
use crate::setup::host::Host;
use crate::setup::opener::{Opened, recipient, toml_text};
use crate::setup::program;
use crate::setup::shown::Shown;
use crate::setup::still_needed;
use crate::shell::{quoted, shell_word};
use crate::terminal::print;

/// Configure git to use hallpass as its credential helper
#[derive(Debug, Args)]
#[command(mut_group("opener", |group| group.requires("host")))]
pub struct Arguments {
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

/// The presets that are a git server themselves, and so need not be named beside its host.
const HOSTS_OF_THEIR_OWN: &[&str] = &["github", "gitlab", "codeberg", "gitea", "bitbucket"];

/// The presets that people run instances of.
const FORGES: &[&str] = &["gitlab", "gitea", "forgejo"];

/// The keys that git has a helper in: of all hosts, and of one.
const HELPER_KEYS: &str = r"^credential\.(.*\.)?helper$";

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    let flags = flags_of(&args.common, None);
    crate::setup::warn_if_nothing_is_saved(env, &args.common, args.changing);
    let turn = crate::setup::turn(env, args.changing)?;
    let config = Config::load(env, &flags)?;
    let host = args.host.as_deref();
    let host = host.map(|host| Host::parse("--host", host)).transpose()?;
    let mut file = UserFile::read(env)?;
    let helper = helper(env)?;
    let mut edited = Vec::new();
    let mut changes;
    let mut others = Others::default();
    let mut bearer_hosts = Vec::new();
    let mut recipients = Vec::new();
    if args.changing.undo {
        let titles = match &host {
            Some(host) => vec![title(host)],
            None if args.default => Vec::new(),
            None => file.titles(TITLE),
        };
        edited.extend(titles.iter().filter_map(|title| file.remove(title)));
        still_needed::check_file(env, &flags, &file)?;
        changes = taken_back(host.as_ref(), args.default, &helper)?;
    } else {
        let mut hosts = Vec::new();
        if let (Some(host), Some(given)) = (host, &args.host) {
            let added = opened(args, given, &host).add(env, &flags, &config, &mut file)?;
            edited.extend(added.map(|added| added.lines));
            hosts.push(host);
        } else {
            hosts = config
                .patterns(NAME)
                .map(Host::of)
                .collect::<Result<_, _>>()?;
            // Several accounts at one host are one host to git.
            let mut seen = BTreeSet::new();
            hosts.retain(|host| seen.insert(host.text.clone()));
        }
        if hosts.is_empty() && !args.default {
            return Err(Error::Usage(
                "no resource is configured: name a host with `hallpass setup git --host HOST`, \
                 or keep every host's password with `hallpass setup git --default`"
                    .to_owned(),
            ));
        }
        (changes, others) = made(&hosts, args.default, &helper)?;
        let edited = Config::load_edited(env, &flags, &file)?;
        for host in hosts {
            let found = edited.resource(&host.url, NAME)?;
            if let Some(found) = &found {
                recipients.push(recipient(&found.provider, &host));
            }
            if found.is_some_and(|found| found.provider.git_bearer) {
                bearer_hosts.push(host);
            }
        }
    }
    changes.retain(|change| !change.taken.is_empty() || !change.added.is_empty());

    if changes.is_empty() && edited.is_empty() {
        recipients.clear();
    }
    let mut advice = recipients;
    advice.extend(large_pushes::advice(&bearer_hosts));
    let shown = shown(&changes, &others, &advice, &file, &edited, args);
    if let Some(turn) = &turn {
        made_in_git(&changes, args.changing.undo, &helper)?;
        if !edited.is_empty()
            && let Err(error) = file.write(turn)
        {
            if !args.changing.undo {
                unmade_in_git(&changes, &helper);
            }
            return Err(error.into());
        }
    }
    print(&shown);
    Ok(Exit::Answered.into())
}

/// Whether git asks hallpass for a host, and no other helper after it.
pub(crate) fn is_in_place(host: &Host, env: &Env) -> Result<bool, Error> {
    let helper = helper(env)?;
    let (changes, _) = made(std::slice::from_ref(host), false, &helper)?;
    Ok(changes
        .iter()
        .all(|change| change.taken.is_empty() && change.added.is_empty()))
}

/// What git has to be told for these hosts, and who else is asked for them.
fn made(hosts: &[Host], default: bool, helper: &str) -> Result<(Vec<Change>, Others), Error> {
    let entries = git_config::everywhere(r"^credential\.")?;
    let own_file = git_config::own_file()?;
    let mut changes = Vec::new();
    let mut others = Others::default();
    let every = default.then_some(None);
    for host in hosts.iter().map(Some).chain(every) {
        let mut old = Vec::new();
        for section in sections(host) {
            let change = Change::ours(&format!("{section}.helper"), helper)?;
            if change.has_taken() {
                old.push((section, change));
            }
        }
        let mut place = place(&entries, own_file.as_deref(), host, helper);
        let pair = [String::new(), helper.to_owned()];
        let is_well = |change: &Change, section: &str| {
            change.taken == pair
                && (!place.is_last || is_last(&entries, &format!("{section}.helper"), host, helper))
        };
        if let [(section, change)] = &old[..]
            && is_well(change, section)
        {
            place.section.clone_from(section);
            changes.extend(named_path(host, section)?);
        } else {
            // One that goes elsewhere stays until the new one is there.
            let (same, elsewhere): (Vec<_>, Vec<_>) = old
                .into_iter()
                .partition(|(section, _)| *section == place.section);
            changes.extend(taken_from(same)?);
            changes.push(Change::adding(&format!("{}.helper", place.section), &pair));
            if host.is_some_and(|host| host.has_path) {
                changes.push(Change::adding(&path_key(&place.section), &[YES.to_owned()]));
            }
            changes.extend(taken_from(elsewhere)?);
        }
        others.add(&entries, &place, host, helper);
    }
    Ok((changes, others))
}

/// Our helpers in some sections, and our word about the path beside each.
fn taken_from(old: Vec<(String, Change)>) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for (section, change) in old {
        changes.push(change);
        changes.push(Change::not_to_name_the_path(&section)?);
    }
    Ok(changes)
}

/// Without it git does not say which path it wants.
fn named_path(host: Option<&Host>, section: &str) -> Result<Option<Change>, Error> {
    let key = path_key(section);
    if host.is_some_and(|host| host.has_path)
        && git_config::values(&key)?
            .last()
            .is_none_or(|last| last != YES)
    {
        return Ok(Some(Change::adding(&key, &[YES.to_owned()])));
    }
    Ok(None)
}

/// What git has to forget: one host, every host's helper, or wherever it asks us.
fn taken_back(host: Option<&Host>, default: bool, helper: &str) -> Result<Vec<Change>, Error> {
    let mut keys = Vec::new();
    if host.is_some() || default {
        if host.is_some() {
            keys.extend(sections(host).map(|section| format!("{section}.helper")));
        }
        keys.extend(default.then(|| DEFAULT.to_owned()));
    } else {
        keys.extend(
            git_config::matching(HELPER_KEYS)?
                .into_iter()
                .map(|(key, _)| key),
        );
        let mut seen = BTreeSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
    let mut changes = Vec::new();
    for key in keys {
        let change = Change::ours(&key, helper)?;
        if change.has_taken() {
            let section = key.strip_suffix(".helper").unwrap_or(&key);
            let path = Change::not_to_name_the_path(section)?;
            changes.extend([change, path]);
        }
    }
    Ok(changes)
}

/// All of it or, as far as git lets us, nothing.
fn made_in_git(changes: &[Change], undo: bool, helper: &str) -> Result<(), Error> {
    for (number, change) in changes.iter().enumerate() {
        if let Err(error) = change.make(undo) {
            if !undo {
                unmade_in_git(changes.get(..=number).unwrap_or(changes), helper);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn unmade_in_git(changes: &[Change], helper: &str) {
    for change in changes.iter().rev() {
        // What led here is what is reported.
        let _ = change.unmake(helper);
    }
}

/// Every host's key.
const DEFAULT: &str = "credential.helper";

/// The sections that say the same to git: every host's, or one host's in both its spellings.
fn sections(host: Option<&Host>) -> impl Iterator<Item = String> + use<> {
    let spelled = match host {
        Some(Host { text, .. }) => vec![
            format!("credential.{text}"),
            format!("credential.{}/", text.trim_end_matches('/')),
        ],
        None => vec!["credential".to_owned()],
    };
    spelled.into_iter()
}

fn path_key(section: &str) -> String {
    format!("{section}.useHttpPath")
}

/// Our spelling of a true value (git-config(1)): seldom anybody else's, so git can take ours out
/// from beside theirs.
const YES: &str = "yes";

/// How the title of each block in the user's file begins.
pub(crate) const TITLE: &str = "hallpass setup git --host ";

fn title(host: &Host) -> String {
    format!("{TITLE}{}", host.text)
}

fn opened<'a>(args: &'a Arguments, given: &str, host: &'a Host) -> Opened<'a> {
    let bearer = args.bearer.then(|| ("git_bearer", "true".to_owned()));
    let username = args.username.as_deref();
    let username = username.map(|name| ("username", toml_text(name)));
    Opened {
        tool: NAME,
        tool_names_provider: false,
        host,
        opener: &args.opener,
        title: title(host),
        command: format!("{TITLE}{}", quoted(given)),
        homes: HOSTS_OF_THEIR_OWN,
        instances: FORGES,
        advice: "`--provider gitlab` (or gitea, forgejo, or one of the configuration), or \
                 `--issuer-url URL --client-id ID`",
        provider_keys: bearer.into_iter().collect(),
        resource_keys: username.into_iter().collect(),
        own_name: None,
        earlier: None,
    }
}

// --- git's configuration ---

/// What becomes of one key: of its values some go, the rest stays, and others come behind it.
struct Change {
    key: String,
    taken: Vec<String>,
    rest: Vec<String>,
    added: Vec<String>,
}

impl Change {
    fn adding(key: &str, added: &[String]) -> Self {
        Self {
            added: added.to_owned(),
            ..Self::none(key)
        }
    }

    /// Takes our helper out, with the empty one that stands before it.
    fn ours(key: &str, helper: &str) -> Result<Self, Error> {
        let (taken, rest) = parted(git_config::values(key)?, helper);
        Ok(Self {
            taken,
            rest,
            ..Self::none(key)
        })
    }

    /// Ours is added also where somebody's says the same, so that taking it back leaves that.
    fn not_to_name_the_path(section: &str) -> Result<Self, Error> {
        let key = path_key(section);
        let mut change = Self::none(&key);
        change.rest = git_config::values(&key)?;
        if change.rest.last().is_some_and(|last| last == YES) {
            change.taken.extend(change.rest.pop());
        }
        Ok(change)
    }

    fn none(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            taken: Vec::new(),
            rest: Vec::new(),
            added: Vec::new(),
        }
    }

    fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// `undo`: as if it had never been there, down to a file that was made for it.
    fn make(&self, undo: bool) -> Result<(), Error> {
        if self.has_taken() {
            let file = git_config::file_of(&self.key)?;
            git_config::take(&self.key, &self.taken, &self.rest)?;
            if let Some(file) = file {
                git_config::remove_section_if_empty(&file, &self.key)?;
                if undo {
                    git_config::remove_if_empty(&file);
                }
            }
        }
        match &self.added[..] {
            [empty, helper] if empty.is_empty() => {
                git_config::add_behind_an_empty_one(&self.key, helper, &unfinished(helper))
            }
            added => added
                .iter()
                .try_for_each(|value| git_config::add(&self.key, value)),
        }
    }

    /// Undoes [`Self::make`], also where it has come half the way.
    fn unmake(&self, helper: &str) -> Result<(), Error> {
        if !self.added.is_empty() {
            match self.key.strip_suffix(".useHttpPath") {
                Some(section) => Self::not_to_name_the_path(section)?.make(true)?,
                None => Self::ours(&self.key, helper)?.make(true)?,
            }
        }
        let there = git_config::values(&self.key)?;
        if self.taken.iter().any(|value| there.contains(value)) {
            return Ok(());
        }
        let mut taken = self.taken.iter();
        taken.try_for_each(|value| git_config::add(&self.key, value))
    }
}

/// Our helpers, each with the empty one that stands before it, and all others.
fn parted(values: Vec<String>, helper: &str) -> (Vec<String>, Vec<String>) {
    let mut ours = Vec::new();
    let mut others: Vec<String> = Vec::new();
    let mut is_behind_ours = false;
    for value in values {
        let is_one = is_ours(&value, helper);
        if is_one {
            if !is_behind_ours && !value.ends_with("  git") {
                ours.extend(others.pop_if(|last| last.is_empty()));
            }
            ours.push(value);
        } else {
            others.push(value);
        }
        is_behind_ours = is_one;
    }
    (ours, others)
}

/// Whether it is a hallpass, or this program by whatever name; `helper` is how git starts this.
fn is_ours(value: &str, helper: &str) -> bool {
    let Some(program) = program_of(value) else {
        return false;
    };
    let name = Path::new(program.trim_start_matches('!').trim_matches('\'')).file_stem();
    name.is_some_and(|name| name == "hallpass") || program_of(helper) == Some(program)
}

fn program_of(helper: &str) -> Option<&str> {
    helper.strip_suffix(" git").map(str::trim_end)
}

/// Ours while the empty one before it is not there yet: whoever is stopped in between leaves what
/// the next set-up, or undo, knows for ours. To git it is the same program.
fn unfinished(helper: &str) -> String {
    let program = program_of(helper).unwrap_or(helper);
    format!("{program}  git")
}

// --- in what order git asks ---

/// Where ours is to stand.
struct Place {
    section: String,
    /// Whether none of the user's own other helpers is behind it then.
    is_last: bool,
    /// Behind which entry it stands where it is not.
    behind: usize,
}

/// The first spelling of the section that git writes behind all others' helpers: a section that
/// is not there yet comes at the end of the file.
fn place(entries: &[Entry], own_file: Option<&str>, host: Option<&Host>, helper: &str) -> Place {
    let of = |section: &str, entry: &Entry| {
        let (at, _) = entry.key.rsplit_once('.').unwrap_or_default();
        at == section && Some(entry.origin.as_str()) == own_file
    };
    let mut behind = entries.len();
    for section in sections(host) {
        let last = entries.iter().rposition(|entry| of(&section, entry));
        let is_last = last.is_none_or(|last| {
            behind = last + 1;
            others_behind(entries, behind, host, helper).is_empty()
        });
        if is_last {
            return Place {
                section,
                is_last,
                behind: entries.len(),
            };
        }
    }
    // One that holds nothing else goes, and comes again at the end.
    let holds_ours_alone = |section: &String| {
        let held = entries.iter().filter(|entry| of(section, entry));
        let (helpers, more): (Vec<_>, Vec<_>) =
            held.partition(|entry| entry.key.ends_with(".helper"));
        let values = helpers.iter().map(|entry| entry.value.clone()).collect();
        parted(values, helper).1.is_empty()
            && more
                .iter()
                .all(|entry| entry.key.ends_with(".usehttppath") && entry.value == YES)
    };
    if let Some(section) = sections(host).find(holds_ours_alone) {
        return Place {
            section,
            is_last: true,
            behind: entries.len(),
        };
    }
    Place {
        section: sections(host).last().unwrap_or_default(),
        is_last: false,
        behind,
    }
}

/// Whether git asks nobody else of the user's own behind the helper at this key.
fn is_last(entries: &[Entry], key: &str, host: Option<&Host>, helper: &str) -> bool {
    let ours = entries
        .iter()
        .rposition(|entry| entry.key == key && entry.value == helper);
    ours.is_some_and(|at| others_behind(entries, at + 1, host, helper).is_empty())
}

/// The helpers of others, empty ones too, that the user's own configuration has behind an entry.
fn others_behind(
    entries: &[Entry],
    behind: usize,
    host: Option<&Host>,
    helper: &str,
) -> Vec<String> {
    let fitting = entries.iter().skip(behind);
    let fitting = fitting.filter(|entry| entry.is_global() && fits(&entry.key, host));
    parted(fitting.map(|entry| entry.value.clone()).collect(), helper).1
}

/// Whether git looks at a key for a host, or for a part of it; without one: at every host's.
fn fits(key: &str, host: Option<&Host>) -> bool {
    let of = key.strip_prefix("credential.");
    match (of.and_then(|of| of.strip_suffix(".helper")), host) {
        (None, _) => key == DEFAULT,
        (Some(_), None) => false,
        (Some(of), Some(host)) => overlap(of, &host.url),
    }
}

/// Whether a URL, which may be a part of one (gitcredentials(7)), and a host have anything in
/// common. In doubt they have.
fn overlap(of: &str, host: &Url) -> bool {
    let (scheme, rest) = match of.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => (host.scheme(), of),
    };
    if !scheme.eq_ignore_ascii_case(host.scheme()) {
        return false;
    }
    if rest.is_empty() || rest.starts_with('/') {
        return true;
    }
    let Ok(of) = Url::parse(&format!("{}://{rest}", host.scheme())) else {
        return true;
    };
    let labels = |url: &Url| -> Vec<String> {
        let name = url.host_str().unwrap_or_default();
        name.split('.').map(str::to_owned).collect()
    };
    let (a, b) = (labels(&of), labels(host));
    let same_host = a.len() == b.len()
        && a.iter()
            .zip(&b)
            .all(|(a, b)| a == b || a == "*" || b == "*");
    let path = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
    let (a, b) = (path(&of), path(host));
    same_host
        && of.port_or_known_default() == host.port_or_known_default()
        && (a.starts_with(&b) || b.starts_with(&a))
}

/// The helpers of others, each with where it stands.
#[derive(Default)]
struct Others {
    no_longer_asked: Vec<String>,
    /// Behind ours: git hands them what worked.
    still_asked: Vec<String>,
    /// Where an empty helper behind ours takes ours off the list.
    instead_of_ours: Vec<String>,
}

impl Others {
    fn add(&mut self, entries: &[Entry], place: &Place, host: Option<&Host>, helper: &str) {
        let mut before: Vec<String> = Vec::new();
        let mut behind: Vec<String> = Vec::new();
        let mut instead = None;
        let fitting = entries.iter().enumerate();
        let fitting: Vec<_> = fitting
            .filter(|(_, entry)| fits(&entry.key, host))
            .collect();
        for (number, (at, entry)) in fitting.iter().enumerate() {
            let next = fitting.get(number + 1);
            if is_ours(&entry.value, helper)
                || (entry.value.is_empty()
                    && next.is_some_and(|(_, next)| is_ours(&next.value, helper)))
            {
                continue;
            }
            let is_before = !entry.is_behind_global() && (place.is_last || *at < place.behind);
            let list = if is_before { &mut before } else { &mut behind };
            if entry.value.is_empty() {
                list.clear();
                if !is_before {
                    instead = Some(entry.origin.clone());
                }
            } else {
                list.push(format!("{} ({})", named(&entry.value), entry.origin));
            }
        }
        for (list, new) in [
            (&mut self.no_longer_asked, before),
            (&mut self.still_asked, behind),
            (&mut self.instead_of_ours, instead.into_iter().collect()),
        ] {
            for one in new {
                if !list.contains(&one) {
                    list.push(one);
                }
            }
        }
    }
}

/// A helper as a person is told of it: one that is a line for the shell may hold a password.
fn named(helper: &str) -> String {
    match helper
        .strip_prefix('!')
        .and_then(|line| line.split_once(' '))
    {
        Some((word, _)) => format!("!{word} …"),
        None => helper.to_owned(),
    }
}

/// How git starts this program.
fn helper(env: &Env) -> Result<String, Error> {
    let path = program::path(env)?.to_string_lossy().into_owned();
    // git hands it to a shell, also on Windows.
    let path = if cfg!(windows) {
        path.trim_start_matches(r"\\?\").replace('\\', "/")
    } else {
        path
    };
    Ok(as_git_reads_it(&path))
}

/// An absolute path is a program to git only where it begins as one; what has to be quoted is
/// marked as a line for the shell (gitcredentials(7)).
fn as_git_reads_it(path: &str) -> String {
    let word = shell_word(path);
    let mark = if word == path { "" } else { "!" };
    format!("{mark}{word} git")
}

// --- what a person sees ---

fn shown(
    changes: &[Change],
    others: &Others,
    advice: &[String],
    file: &UserFile,
    edited: &[String],
    args: &Arguments,
) -> String {
    let mut shown = Shown::new(args.changing);
    let undo = args.changing.undo;
    let is_changed = !changes.is_empty() || !edited.is_empty();
    if !is_changed {
        shown.line("nothing to change");
    }
    if !edited.is_empty() {
        shown.heading(&file.shown);
    }
    for line in edited.iter().flat_map(|lines| lines.lines()) {
        shown.changed(line);
    }
    if !changes.is_empty() {
        shown.heading("your git configuration");
    }
    for change in changes {
        let values = if undo { &change.taken } else { &change.added };
        for value in values {
            shown.changed(&format!("{} = {value:?}", change.key));
        }
    }
    let Others {
        no_longer_asked,
        still_asked,
        instead_of_ours,
    } = others;
    for (list, about) in [
        (
            no_longer_asked.as_slice(),
            "git no longer asks for these hosts:",
        ),
        (
            still_asked,
            "git also asks these helpers, and gives them every credential that worked, so they can \
             save the token (remove them for these hosts to prevent that):",
        ),
        (
            instead_of_ours,
            "hallpass is not asked where an empty helper stands behind it, in:",
        ),
    ] {
        // What was so before is news only where something is amiss.
        let is_news = !changes.is_empty() || !std::ptr::eq(list, no_longer_asked.as_slice());
        if !list.is_empty() && is_news {
            shown.line(about);
            for one in list {
                shown.line(&format!("  {one}"));
            }
        }
    }
    for line in advice {
        shown.line(line);
    }
    if is_changed {
        let host = args.host.as_deref();
        let host = host.map_or_else(String::new, |host| format!(" --host {}", quoted(host)));
        let default = if args.default { " --default" } else { "" };
        shown.way_back(&format!("hallpass setup git{host}{default}"));
    }
    shown.text().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_taken_out_with_its_empty_one_and_no_other() {
        let ours = "/usr/local/bin/hallpass git";
        let quoted = "!'/opt/a b/hallpass' git";
        for (before, taken, rest) in [
            (vec!["", ours], vec!["", ours], vec![]),
            (vec!["store", "", ours], vec!["", ours], vec!["store"]),
            (
                vec!["", "store", "", quoted],
                vec!["", quoted],
                vec!["", "store"],
            ),
            (vec!["", "store"], vec![], vec!["", "store"]),
            (vec![ours, "cache"], vec![ours], vec!["cache"]),
            (
                vec!["/x/nothallpass git"],
                vec![],
                vec!["/x/nothallpass git"],
            ),
        ] {
            let values = before.iter().map(|value| (*value).to_owned()).collect();
            let (ours, others) = parted(values, "/opt/hallpass-linux-amd64 git");
            assert_eq!(ours, taken, "{before:?}");
            assert_eq!(others, rest, "{before:?}");
        }
    }

    #[test]
    fn this_program_knows_itself_by_whatever_name() {
        let helper = "/opt/hallpass-linux-amd64 git";
        for (value, is_one) in [
            ("/usr/local/bin/hallpass git", true),
            ("!'/opt/a b/hallpass' git", true),
            (helper, true),
            ("/opt/hallpass-linux-amd64  git", true),
            ("/opt/hallpass-linux-arm64 git", false),
            ("/x/nothallpass git", false),
            ("/opt/hallpass-linux-amd64 docker", false),
            ("", false),
        ] {
            assert_eq!(is_ours(value, helper), is_one, "{value}");
        }
        assert_eq!(unfinished(helper), "/opt/hallpass-linux-amd64  git");
    }

    #[test]
    fn a_helper_is_named_without_what_a_line_for_the_shell_may_hold() {
        for (helper, shown) in [
            ("store --file ~/.passwords", "store --file ~/.passwords"),
            ("!gh auth git-credential", "!gh …"),
            ("!f() { echo password=hunter2; }; f", "!f() …"),
            ("!hunter", "!hunter"),
        ] {
            assert_eq!(named(helper), shown);
        }
    }

    #[test]
    fn a_key_fits_where_git_would_look_at_it() {
        for (key, host, expected) in [
            ("credential.helper", "https://a.example", true),
            (
                "credential.https://a.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.HTTPS://A.example/.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example:443.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://me@a.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://*.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example.helper",
                "https://*.example",
                true,
            ),
            ("credential.a.example.helper", "https://a.example", true),
            ("credential.https://.helper", "https://a.example", true),
            (
                "credential.https://a.example/team.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example.helper",
                "https://a.example/team",
                true,
            ),
            (
                "credential.https://a.example/tea.helper",
                "https://a.example/team",
                false,
            ),
            ("credential.https://*.helper", "https://a.example", false),
            (
                "credential.https://b.a.example.helper",
                "https://*.example",
                false,
            ),
            (
                "credential.http://a.example.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://a.example:8443.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://b.example.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://a.example.username",
                "https://a.example",
                false,
            ),
        ] {
            let host = Host::parse("--host", host).unwrap();
            assert_eq!(fits(key, Some(&host)), expected, "{key} {}", host.text);
        }
        assert!(fits("credential.helper", None));
        assert!(!fits("credential.https://a.example.helper", None));
    }
}
