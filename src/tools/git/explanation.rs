//! Which account answers for a URL, and why.

use url::Url;

use super::resolver::{Reason, Resolver};
use super::target::Target;
use crate::credential::Refusal;
use crate::serving::serve::{MatchedAccount, ServeError};
use crate::session::record::Session;
use crate::store::Versioned;

/// The account that answers for a URL.
pub(crate) struct Explained {
    pub(crate) opened: MatchedAccount,
    pub(crate) why: String,
    pub(crate) session: Option<Versioned<Session>>,
}

/// Which account answers for a URL, for the doctor; `None` if no provider does. `username` is the
/// one that git sends, and where it comes from.
pub(super) fn explained(
    resolver: &Resolver<'_, '_>,
    url: &Url,
    username: Option<(&str, &'static str)>,
) -> Result<Option<Explained>, Refusal> {
    let target = Target::of_url(url)?;
    let Some((first, _)) = resolver.first(&target)? else {
        return Ok(None);
    };
    let chosen = resolver.account_of(first, &target, username.map(|(name, _)| name))?;
    let why = match chosen.reason {
        Reason::Username => username.map_or_else(String::new, |(_, source)| source.to_owned()),
        Reason::Repository => "chosen by hallpass.account".to_owned(),
        Reason::First => "from the first matching entry in the configuration".to_owned(),
    };
    let opened = chosen.opened;
    let account = resolver.tool.account(&opened, resolver.tool.unattended, "");
    let session = account.map_err(ServeError::from)?.served_session();
    Ok(Some(Explained {
        opened,
        why,
        session: session.map_err(ServeError::from)?,
    }))
}
