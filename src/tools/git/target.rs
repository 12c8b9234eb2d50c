//! The resource of a request, parsed strictly: what git means, and nothing that a URL parser repairs.

use url::{Position, Url};

use super::mail;
use super::protocol::CERTIFICATE;
use crate::credential::{Refusal, Resource};
use crate::provider::{Realm, web_url};
use crate::report::Report;
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
    /// It is reached over plain http, and not on this machine.
    pub(super) is_plain: bool,
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
            let is_plain = !realm.is_confidential();
            let shown = realm.to_string();
            if !web_url::is_plain_path(path.as_deref().unwrap_or_default()) {
                return Err(no_plain_path());
            }
            let url = url_at(&shown, path.as_deref().unwrap_or_default()).ok_or_else(no_host)?;
            let host = shown.split_once("://").map_or(&*shown, |(_, host)| host);
            return Ok(Self {
                host: host.to_owned(),
                realm: shown,
                // Anyone on the network path could read a token.
                url: Some(url).filter(|_| !is_plain),
                path,
                is_plain,
            });
        }
        if protocol == CERTIFICATE && host.is_empty() {
            return Ok(Self {
                realm: format!("{CERTIFICATE}://"),
                url: None,
                host: String::new(),
                path: Some(path.ok_or(Refusal::NotMine)?),
                is_plain: false,
            });
        }
        // For example a mail server's password, stored for exactly this text.
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:[]".contains(c);
        if !protocol.chars().all(plain) || !host.chars().all(plain) {
            return Err(no_host());
        }
        let host = host.to_ascii_lowercase();
        let mail = Realm::from_parts(protocol, &host).filter(Realm::is_mail);
        Ok(Self {
            realm: format!("{protocol}://{host}"),
            url: mail.and_then(|mail| Url::parse(&mail.to_string()).ok()),
            host,
            path,
            is_plain: false,
        })
    }

    /// The same for a URL, as git would split it.
    pub(super) fn of_url(url: &Url) -> Result<Self, Refusal> {
        Self::of(&Resource {
            protocol: url.scheme().to_owned(),
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            path: Some(url.path().trim_start_matches('/').to_owned()),
        })
    }

    /// Whether it is a mail server, where the user name is a mailbox.
    pub(super) fn is_mail(&self) -> bool {
        self.mail().is_some()
    }

    fn mail(&self) -> Option<Realm> {
        Realm::of(self.url.as_ref()?).filter(Realm::is_mail)
    }

    /// Whether a token may be sent there: a web server passed that check when it was parsed.
    pub(super) fn is_protected(&self) -> bool {
        self.mail().is_none_or(|mail| {
            mail.implies_tls()
                || mail.is_loopback()
                || (self.realm.starts_with("smtp:") && mail::requires_tls(&self.host))
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
    Refusal::Failed(Report::failure(format!("rejected git's request: {why}")))
}
