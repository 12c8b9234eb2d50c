//! Which account answers for a URL, and why.

use url::Url;

use super::names::is_neutral;
use super::resolver::Resolver;
use super::target::Target;
use crate::credential::{Refusal, Resource};
use crate::serving::serve::{MatchedAccount, ServeError};
use crate::session::record::Session;
use crate::store::Versioned;

/// The account that answers for a URL.
pub(crate) struct Explained {
    pub(crate) opened: MatchedAccount,
    pub(crate) why: &'static str,
    pub(crate) session: Option<Versioned<Session>>,
}

/// Which account answers for a URL, for the doctor; `None` if no provider does.
pub(super) fn explained(
    resolver: &Resolver<'_, '_>,
    url: &Url,
    username: Option<&str>,
) -> Result<Option<Explained>, Refusal> {
    let authority = url.as_str().split("://").nth(1).unwrap_or_default();
    let target = Target::of(&Resource {
        protocol: url.scheme().to_owned(),
        host: authority.split('/').next().unwrap_or_default().to_owned(),
        path: Some(url.path().trim_start_matches('/').to_owned()),
    })?;
    let Some((first, _)) = resolver.first(&target)? else {
        return Ok(None);
    };
    let why = match username.filter(|name| !is_neutral(&first, name)) {
        Some(_) => "because of the user name in the URL",
        None if resolver.repository.config().account.is_some() => "because of hallpass.account",
        None => "the first matching entry in the configuration",
    };
    let opened = resolver.account_of(first, &target, username)?.opened;
    let account = resolver.tool.account(&opened, resolver.tool.unattended, "");
    let session = account.map_err(ServeError::from)?.served_session();
    Ok(Some(Explained {
        opened,
        why,
        session: session.map_err(ServeError::from)?,
    }))
}
