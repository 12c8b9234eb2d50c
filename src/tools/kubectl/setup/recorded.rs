//! The exec entry that a set-up records in the store, for clients that don't say which cluster they
//! talk to.

use std::rc::Rc;

use super::super::entry::Entry;
use super::super::kubeconfig::Kubeconfig;
use crate::error::Error;
use crate::report::printable;
use crate::setup::host::Host;
use crate::setup::plan::Revert;
use crate::store::Store;

/// Returns the server that clients need not describe: the only one that the user's contexts lead
/// to, if hallpass answers for its cluster as the kubeconfig has it.
pub(crate) fn one_server<'h>(
    kubeconfig: &Kubeconfig,
    user: &str,
    hosts: &'h [Host],
    notes: &mut Vec<String>,
) -> Option<&'h Host> {
    let clusters = kubeconfig.contexts().filter(|one| one.user == user);
    let mut clusters = clusters.filter_map(|context| kubeconfig.cluster(context.cluster));
    let is_plain = clusters.all(|cluster| !cluster.insecure && cluster.text("proxy-url").is_none());
    let why = match hosts {
        [host] if is_plain => return Some(host),
        [] => return None,
        [_] => "these clients don't pass on the settings of its cluster",
        [_, ..] => "it has several clusters. Use a separate user for each cluster",
    };
    notes.push(format!(
        "clients that don't say which cluster they connect to get no token for the user {}: {why}",
        printable(user)
    ));
    None
}

/// What is recorded of the exec entry in the store, and under which ID.
pub(crate) struct Recorded {
    pub(crate) id: String,
    entry: Entry,
    pub(crate) is_new: bool,
}

impl Recorded {
    /// The recorded entry: an earlier run's, if it says the same, or a new one. `None` if nothing is
    /// stored.
    pub(crate) fn of(
        store: &Store,
        entry: Entry,
        earlier: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Self>, Error> {
        if !store.saves()? {
            notes.push(
                "sessions are not saved on this machine (store: none), so clients that don't say \
                 which cluster they connect to get no token"
                    .to_owned(),
            );
            return Ok(None);
        }
        let (id, is_new) = match earlier {
            Some(id) if Entry::read(store, id)?.as_ref() == Some(&entry) => (id.to_owned(), false),
            Some(_) | None => (Entry::new_id()?, true),
        };
        Ok(Some(Self { id, entry, is_new }))
    }

    /// Records a new one. Returns what removes it, if the set-up fails later.
    pub(crate) fn write(self, store: Rc<Store>) -> Result<Revert<'static>, Error> {
        let Self { id, entry, is_new } = self;
        if !is_new {
            return Ok(Box::new(|| ()));
        }
        let written = entry.write(&store, &id);
        // The error that leads to this is the one to report.
        let revert = move || drop(Entry::remove(&store, &id));
        if let Err(error) = written {
            // Only its folder may have failed to sync.
            revert();
            return Err(error.into());
        }
        Ok(Box::new(revert))
    }
}
