//! `hallpass setup kubectl`: makes hallpass the credential plugin of a kubeconfig user, and adds a
//! `[[resources]]` entry for each of the user's clusters.
//!
//! kubectl reads the kubeconfig, and checks the edited file. hallpass itself writes the entry:
//! `kubectl config` would drop comments, restrict the names of users, and need the secret of a
//! restored entry on its command line.

mod allowlist;
mod arguments;
mod earlier;
mod exec;
mod kubeconfig_file;
mod kubelogin;
mod labels;
mod recorded;
mod sign_in;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Value, json};

use super::arguments::{NAME, entry_word};
use super::entry::Entry;
use super::error::KubectlError;
use super::kubeconfig::{self, Kubeconfig};
use crate::arguments::SetupArgs;
use crate::config::{Flags, UserFile, shown};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Config;
use crate::report::printable;
use crate::serving::prepared::Prepared;
use crate::setup::binding::{BindingRequest, recipient};
use crate::setup::edit::Edit;
use crate::setup::host::Host;
use crate::setup::plan::{Part, Plan, SetUp, Undo};
use crate::setup::program;
use crate::setup::provider_block::{edits_of, removals, take_out, title_of};
use crate::setup::record::{Record, Records};
use crate::shell::quoted;
use arguments::ADVICE;
pub(crate) use arguments::Arguments;
use kubeconfig_file::{Data, KubeconfigFile};
use labels::{TITLE, command, title, what};
use recorded::{Recorded, one_server};
use sign_in::{SignIn, sign_in};

impl SetUp for Arguments {
    fn shared(&self) -> &SetupArgs {
        &self.setup
    }

    fn set_up<'a>(&'a self, env: &'a Env, flags: &Flags) -> Result<Plan<'a>, Error> {
        let kubeconfig = Kubeconfig::load(env)?;
        let user = user(env, &kubeconfig, self)?;
        let mut file = UserFile::read(env)?;
        let records = Records::read(env);
        let target = KubeconfigFile::of(env, &kubeconfig, &user, &records)?;

        let mut notes = Vec::new();
        let hosts = hosts(&kubeconfig, &user, &mut notes)?;

        // What an earlier run added is created again.
        let elsewhere = blocks_of(&records, |data| {
            data.user == user && data.file != target.path
        });
        let again = earlier::sign_in(self, &target, kubeconfig.user(&user));
        let wanted = again.as_ref().map(|again| &*again.name);
        let wanted = wanted.filter(|_| !hosts.is_empty());
        let mut earlier = file.titles(&title(&user, ""));
        earlier.retain(|title| !elsewhere.contains(title));
        let earlier = take_out(env, &mut file, earlier, wanted)?;
        let mut config = Config::load_edited(env, flags, &file)?;
        let mut sign_in = match again {
            Some(again) if self.setup.provider_args.provider.is_none() => again,
            Some(_) | None => sign_in(env, flags, self, &config, &file, &target, &hosts)?,
        };
        let titles = titles(&user, &hosts, &target.path, &elsewhere);
        let mut bound = Vec::new();
        for (host, title) in hosts.iter().zip(&titles) {
            let request = binding_request(&mut sign_in, &user, host, title);
            let binding = request.add(env, flags, &mut config, &mut file)?;
            bound.extend(binding.edits);
            sign_in.use_provider(binding.provider);
        }
        if hosts.is_empty() {
            check_without_hosts(env, &kubeconfig, &user, &config, &sign_in)?;
            bound = edits_of(&file, [&title_of(&sign_in.name)]);
        }

        let provider = config.provider(&sign_in.name)?;
        let program = program::name_or_path(env)?;
        let store = Rc::new(Prepared::new(env, &self.setup.common, None)?.store);
        let last_store = Rc::clone(&store);
        let recorded = match one_server(&kubeconfig, &user, &hosts, &mut notes) {
            Some(host) => {
                let account = sign_in.provider_args.account.as_deref();
                let entry = Entry::new(&host.text, &provider, account);
                Recorded::of(&store, entry, target.earlier_entry(), &mut notes)?
            }
            None => None,
        };
        let entry = exec::entry(
            &program,
            &sign_in,
            recorded.as_ref(),
            target.before.as_ref(),
            target.earlier_exec(&kubeconfig),
        );
        let id = recorded.as_ref().map(|recorded| recorded.id.clone());
        notes.append(&mut sign_in.notes);
        let mut edits = std::mem::take(&mut sign_in.files);
        edits.extend(removals(&file, &earlier));
        edits.extend(bound);
        let mut warnings = Vec::new();
        if self.kuberc {
            let (edit, told) = allowlist::allow(env, &program)?;
            edits.extend(edit);
            warnings = told;
        }
        // Last: from then on, kubectl starts hallpass.
        edits.push(target.edit(env, &entry, id.as_deref())?);

        let mut told: Vec<String> = hosts
            .iter()
            .map(|host| recipient(&provider, host))
            .collect();
        told.extend(notes.iter().map(|note| format!("note: {note}")));
        let earlier_entry = target.earlier_entry().map(str::to_owned);
        let data = Data {
            file: target.path.clone(),
            user: user.clone(),
            entry: id.clone(),
        };
        Ok(Plan {
            parts: vec![Part {
                what: what(&user, &target.path),
                command: command(&user),
                edits,
                data: serde_json::to_value(data).unwrap_or_default(),
            }],
            notes: told,
            warnings,
            command: command(&user),
            check: Some(Box::new(move |documents| {
                kubeconfig_file::check(env, documents, &target.path, &[&user], Some(&entry))
            })),
            first_is_change: false,
            first: Some(Box::new(move || match recorded {
                Some(recorded) => recorded.write(store),
                None => Ok(Box::new(|| ())),
            })),
            // Last: only now has the kubeconfig no longer the earlier ID.
            last: Some(Box::new(move || {
                match earlier_entry.filter(|own| Some(own) != id.as_ref()) {
                    Some(earlier) => Ok(Entry::remove(&last_store, &earlier)?),
                    None => Ok(()),
                }
            })),
        })
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        let file = UserFile::read(env)?;
        let records = Records::read(env);
        let all = self.user.is_none() && self.context.is_none();
        // Each user whose entry changes, and its file.
        let mut users: Vec<Data> = records.of(NAME).filter_map(Data::of).collect();
        let chosen = if all {
            None
        } else {
            let kubeconfig = Kubeconfig::load(env)?;
            let user = user(env, &kubeconfig, self)?;
            let files = kubeconfig::files(env)?;
            users.retain(|data| data.user == user && files.contains(&data.file));
            Some(user)
        };
        let mut parts: Vec<Part> = Vec::new();
        if chosen.is_some() {
            parts.extend(users.iter().map(|data| Part {
                what: what(&data.user, &data.file),
                ..Part::default()
            }));
        }
        if parts.is_empty() {
            let recorded = blocks_of(&records, |_| true);
            let unrecorded = |begin: &str| {
                let mut titles = file.titles(begin);
                titles.retain(|title| !recorded.contains(title));
                titles
            };
            let begin = chosen.as_deref().map(|user| title(user, ""));
            let titles = unrecorded(begin.as_deref().unwrap_or(TITLE));
            let blocks = titles.iter();
            let blocks = blocks.map(|title| Edit::block(file.path(), title, ""));
            let mut edits: Vec<Edit> = blocks.collect();
            // Without kubectl or a kubeconfig, there is no entry to remove.
            if let (false, Ok(kubeconfig)) = (titles.is_empty(), Kubeconfig::load(env)) {
                for user in kubeconfig.users() {
                    let is_chosen = chosen.as_deref().is_none_or(|chosen| chosen == user);
                    if is_chosen && !unrecorded(&title(user, "")).is_empty() {
                        edits.extend(lost_entry(env, &kubeconfig, user, &records, &mut users)?);
                    }
                }
            }
            if chosen.is_some() || !edits.is_empty() {
                parts.push(Part {
                    edits,
                    ..Part::default()
                });
            }
        }
        let store = Prepared::new(env, &self.setup.common, None)?.store;
        Ok(Undo {
            parts,
            all,
            warnings: Vec::new(),
            check: Some(Box::new(move |documents| {
                let mut files: Vec<&PathBuf> = users.iter().map(|data| &data.file).collect();
                files.sort();
                files.dedup();
                for file in files {
                    let here = users.iter().filter(|data| data.file == *file);
                    let here: Vec<&str> = here.map(|data| &*data.user).collect();
                    kubeconfig_file::check(env, documents, file, &here, None)?;
                }
                Ok(())
            })),
            forget: Some(Box::new(move |data| {
                match data.get("entry").and_then(Value::as_str) {
                    Some(id) => Ok(Entry::remove(&store, id)?),
                    None => Ok(()),
                }
            })),
            ..Undo::default()
        })
    }
}

/// The titles of the blocks that belong to some set-ups.
fn blocks_of(records: &Records, of: impl Fn(&Data) -> bool) -> Vec<String> {
    let records = records
        .of(NAME)
        .filter(|record| Data::of(record).is_some_and(|data| of(&data)));
    let edits = records.flat_map(Record::current);
    edits
        .filter_map(|edit| edit.title().map(str::to_owned))
        .collect()
}

/// A user without a context can only be set up for a configured provider.
fn check_without_hosts(
    env: &Env,
    kubeconfig: &Kubeconfig,
    user: &str,
    config: &Config,
    sign_in: &SignIn,
) -> Result<(), Error> {
    let is_there = config.providers().any(|name| name == sign_in.name);
    if is_there && kubeconfig.user(user).is_some() {
        config.provider(&sign_in.name)?.client_id()?;
        return Ok(());
    }
    let clusters = kubeconfig.clusters();
    if clusters.is_empty() {
        return Err(kubeconfig::absent(env));
    }
    let cluster = match clusters.as_slice() {
        [cluster] => quoted(cluster),
        [..] => "CLUSTER".to_owned(),
    };
    let known = match kubeconfig.users().as_slice() {
        users if users.contains(&user) => String::new(),
        users => format!(
            "; the kubeconfig has these users: {}",
            kubeconfig::or_none(users)
        ),
    };
    Err(KubectlError::Lacking {
        what: format!(
            "no context uses the user {}, so hallpass can't tell which server may receive the token",
            printable(user)
        ),
        fix: format!(
            "create a context for it with `kubectl config set-context NAME --cluster {cluster} \
             --user {}`, then run the command again{known}",
            quoted(user)
        ),
    }
    .into())
}

fn binding_request<'a>(
    sign_in: &'a mut SignIn,
    user: &str,
    host: &'a Host,
    title: &str,
) -> BindingRequest<'a> {
    BindingRequest {
        tool_names_provider: true,
        provider_keys: std::mem::take(&mut sign_in.keys),
        advice: ADVICE,
        resource_keys: vec![("tools", "[\"kubectl\"]".to_owned())],
        own_name: Some(sign_in.name.clone()),
        ..BindingRequest::new(
            NAME,
            host,
            &sign_in.provider_args,
            title.to_owned(),
            command(user),
        )
    }
}

/// The user to set up: the given one, or that of the given or current context.
fn user(env: &Env, kubeconfig: &Kubeconfig, args: &Arguments) -> Result<String, Error> {
    if let Some(user) = &args.user {
        return Ok(user.clone());
    }
    let or = " or `--user NAME`";
    let context = kubeconfig.selected(env, args.context.as_deref(), or)?;
    let found = kubeconfig.context(env, context)?;
    if found.user.is_empty() {
        return Err(KubectlError::Lacking {
            what: format!("the context {} has no user", printable(context)),
            fix: format!(
                "add one with `kubectl config set-context {} --user NAME`",
                quoted(context)
            ),
        }
        .into());
    }
    Ok(found.user.to_owned())
}

/// The servers of the user's clusters, each once.
fn hosts(kubeconfig: &Kubeconfig, user: &str, notes: &mut Vec<String>) -> Result<Vec<Host>, Error> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut refused = None;
    for context in kubeconfig.contexts().filter(|context| context.user == user) {
        let name = printable(context.cluster);
        let cluster = kubeconfig.cluster(context.cluster);
        let cluster = cluster.ok_or_else(|| {
            format!(
                "the context {} names the cluster {name}, which the kubeconfig does not contain",
                printable(context.name)
            )
        });
        let parsed = cluster.and_then(|cluster| Ok((host_of(&name, cluster.server)?, cluster)));
        let cluster = match parsed {
            Ok((host, _)) if hosts.iter().any(|known| known.text == host.text) => continue,
            Ok((host, cluster)) => {
                hosts.push(host);
                cluster
            }
            Err(what) => {
                notes.push(format!("{what}; hallpass sends no token to this cluster"));
                let cluster = quoted(context.cluster);
                refused = Some(KubectlError::Lacking {
                    what,
                    fix: format!(
                        "set its server with `kubectl config set-cluster {cluster} --server \
                         https://HOST:PORT`, then run the command again"
                    ),
                });
                continue;
            }
        };
        if cluster.insecure {
            notes.push(format!(
                "cluster {name} has insecure-skip-tls-verify, so hallpass gives it no token: \
                 configure its certificate-authority instead"
            ));
        }
        if cluster.text("proxy-url").is_some() {
            notes.push(format!(
                "cluster {name} has a proxy-url: hallpass connects to the provider through it only \
                 if the provider has `use_cluster_proxy = true` in config.toml"
            ));
        }
    }
    match (hosts.is_empty(), refused) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => {
            notes.push(format!(
                "no context uses the user {}, so the provider isn't bound to a server",
                printable(user)
            ));
            Ok(hosts)
        }
        (false, _) => Ok(hosts),
    }
}

/// The server of a cluster, or why it gets no token.
fn host_of(cluster: &str, server: &str) -> Result<Host, String> {
    if server.is_empty() {
        return Err(format!("cluster {cluster} has no server"));
    }
    // kubectl takes a server without a scheme for one that speaks http.
    let what = format!("the server of cluster {cluster}:");
    match Host::parse(&what, server) {
        Ok(host) if server.contains("://") => Ok(host),
        Err(error) if server.starts_with("https://") => Err(error.to_string()),
        Ok(_) | Err(_) => Err(format!(
            "the server of cluster {cluster} does not begin with https://"
        )),
    }
}

/// The title of each server's block. A user of the same name in another kubeconfig may be set up
/// for the same server, and keeps its block.
fn titles(user: &str, hosts: &[Host], kubeconfig: &Path, elsewhere: &[String]) -> Vec<String> {
    let titles = hosts.iter().map(|host| {
        let title = title(user, &host.text);
        if elsewhere.contains(&title) {
            format!("{title} in {}", shown(kubeconfig))
        } else {
            title
        }
    });
    titles.collect()
}

/// The removal of an entry that runs hallpass but has no record.
fn lost_entry(
    env: &Env,
    kubeconfig: &Kubeconfig,
    user: &str,
    records: &Records,
    users: &mut Vec<Data>,
) -> Result<Option<Edit>, Error> {
    let own = kubeconfig.user(user);
    let own = own.and_then(|entry| Some((entry, kubeconfig::own_arguments(entry)?)));
    let Some((entry, words)) = own else {
        return Ok(None);
    };
    let target = KubeconfigFile::of(env, kubeconfig, user, records)?;
    let id = entry_word(words.iter().map(String::as_str));
    // Whatever else the entry has is the user's.
    let exec = json!({ "exec": entry.get("exec") });
    let edit = target.edit(env, &exec, id)?;
    users.push(Data {
        file: target.path,
        user: user.to_owned(),
        entry: None,
    });
    Ok(Some(edit))
}
