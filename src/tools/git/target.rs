//! The resource of a request, parsed strictly: what git means, and nothing that a URL parser repairs.

use url::Url;

use crate::credential::{Refusal, Resource};
use crate::provider::{Realm, web_url};
use crate::report::{Exit, Report};
use crate::session::refusal::ResourceName;
use crate::wire::url_at;

/// The parsed resource of a request.
pub(super) struct Target {
    /// Protocol, host and port in their canonical spelling.
    pub(super) realm: String,
    /// The URL that `[[resources]]` entries are matched against; `None` for other protocols.
    pub(super) url: Option<Url>,
    pub(super) host: String,
    pub(super) path: Option<String>,
}

impl Target {
    /// The resource that a refusal applies to. git sends no path by default.
    pub(super) fn resource_name(&self) -> ResourceName {
        ResourceName {
            text: self.shown(),
            is_exact: self.path.is_some(),
        }
    }

    /// Parses the parts that git sends. A host that needs repair is refused, because git may connect
    /// to a different one.
    pub(super) fn of(resource: &Resource) -> Result<Self, Refusal> {
        let Resource {
            protocol,
            host,
            path,
        } = resource;
        let path = path.clone().filter(|path| !path.is_empty());
        if protocol == "http" || protocol == "https" {
            let realm = Realm::from_parts(protocol, host).ok_or_else(no_host)?;
            // Anyone on the network path could read it.
            if !realm.is_confidential() {
                return Err(Refusal::NotMine);
            }
            let shown = realm.to_string();
            if !web_url::is_plain_path(path.as_deref().unwrap_or_default()) {
                return Err(no_plain_path());
            }
            let url = url_at(&shown, path.as_deref().unwrap_or_default()).ok_or_else(no_host)?;
            let host = shown.split_once("://").map_or(&*shown, |(_, host)| host);
            return Ok(Self {
                host: host.to_owned(),
                realm: shown,
                url: Some(url),
                path,
            });
        }
        // For example a mail server's password, stored for exactly this text.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:[]".contains(c);
        if !protocol.chars().all(plain) || !host.chars().all(plain) {
            return Err(no_host());
        }
        let host = host.to_ascii_lowercase();
        Ok(Self {
            realm: format!("{protocol}://{host}"),
            url: None,
            host,
            path,
        })
    }

    pub(super) fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("{}/{path}", self.realm),
            None => self.realm.clone(),
        }
    }
}

fn no_host() -> Refusal {
    refused("`host` is not a valid host")
}

fn no_plain_path() -> Refusal {
    refused("`path` contains `..` or a backslash, perhaps percent-encoded")
}

fn refused(why: &str) -> Refusal {
    Refusal::Failed(Report {
        error: format!("rejected git's request: {why}"),
        causes: Vec::new(),
        hint: None,
        exit: Exit::Failed,
    })
}
