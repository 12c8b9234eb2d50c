//! Hosts and proxies whose passwords hallpass stores although plain http sends them unencrypted: only
//! those that the user names.

use crate::config::{Flags, Settings, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::provider::{Config, Realm, web_url};
use crate::report::printable_url;
use crate::setup::binding::toml_list;
use crate::setup::edit::Edit;

/// The title of the block that names them in the user's file.
pub(super) const TITLE: &str = "hallpass setup git --default";

/// Whether the user lets hallpass store passwords that git sends over plain http to this host.
pub(super) fn is_stored(settings: &Settings, realm: &str) -> bool {
    let mut hosts = settings.plain_http_hosts.iter();
    hosts.any(|host| canonical(host).is_some_and(|host| host == realm))
}

/// The canonical spelling of a host that is reached over plain http.
fn canonical(given: &str) -> Option<String> {
    let text = if given.contains("://") {
        given.to_owned()
    } else {
        format!("http://{given}")
    };
    let url = web_url::parse(&text).filter(|url| url.scheme() == "http" && url.path() == "/")?;
    Some(Realm::of(&url)?.to_string())
}

/// The block that lets hallpass store passwords for plain http hosts; `None` if there is nothing to
/// change. An earlier set-up's hosts stay.
pub(super) fn block(
    env: &Env,
    flags: &Flags,
    config: &Config,
    file: &mut UserFile,
    given: &[String],
) -> Result<Option<Edit>, Error> {
    let mut hosts = config.settings.plain_http_hosts.clone();
    for given in given {
        let Some(host) = canonical(given) else {
            return Err(Error::Usage(format!(
                "--plain-http {}: it must be a host, such as http://proxy.corp.example:3128",
                printable_url(given)
            )));
        };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts == config.settings.plain_http_hosts {
        // A part that is set up again keeps its block.
        let block = file.clone().remove(TITLE);
        return Ok(block.map(|lines| Edit::block(file.path(), TITLE, &lines)));
    }
    let hosts = toml_list(&hosts);
    let lines = format!("[git]\nplain_http_hosts = {hosts}");
    file.add(TITLE, &lines);
    Config::load_edited(env, flags, file).map_err(|_| {
        Error::Usage(format!(
            "config.toml has a `git` table already: set `plain_http_hosts = {hosts}` there yourself"
        ))
    })?;
    Ok(Some(Edit::block(file.path(), TITLE, &lines)))
}
