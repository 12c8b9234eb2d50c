//! What a tool is set up for: a host, perhaps with a port and a path, in its one spelling.

use url::Url;

use crate::error::Error;
use crate::provider::resource::Pattern;
use crate::report::printable;

pub(super) struct Host {
    pub(super) url: Url,
    /// As tools and the configuration write it: `https://git.corp.example`, in its A-label form.
    pub(super) text: String,
    pub(super) has_path: bool,
}

impl Host {
    /// Reads `HOST`, `HOST:PORT` or a URL, as the flag or the argument called `name` gave it.
    ///
    /// # Errors
    ///
    /// What the pattern of a resource must not be either, as an error of usage.
    pub(super) fn parse(name: &str, given: &str) -> Result<Self, Error> {
        let text = if given.contains("://") {
            given.to_owned()
        } else {
            format!("https://{given}")
        };
        let pattern = Pattern::parse(&text)
            .map_err(|why| Error::Usage(format!("{name} {}: it {why}", printable(given))))?;
        Self::of(&pattern)
    }

    /// What a configured resource stands for; its host may begin with `*.`.
    ///
    /// # Errors
    ///
    /// One that cannot be written as a URL, as an error of usage.
    pub(super) fn of(pattern: &Pattern) -> Result<Self, Error> {
        let text = pattern.to_string();
        let url = Url::parse(&text).map_err(|_| Error::Usage(format!("{text} is not a URL")))?;
        Ok(Self {
            url,
            text,
            has_path: pattern.has_path(),
        })
    }
}
