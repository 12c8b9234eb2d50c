//! The host of a set-up, perhaps with a port and a path, in its canonical spelling.

use url::Url;

use crate::error::Error;
use crate::provider::resource::Pattern;
use crate::report::printable_url;

pub(crate) struct Host {
    pub(crate) url: Url,
    /// As in the configuration: `https://git.corp.example`, with A-labels.
    pub(crate) text: String,
    pub(crate) has_path: bool,
    /// The scheme's default port, if the user typed it: some tools write it too.
    pub(crate) usual_port: Option<u16>,
}

impl Host {
    /// Parses `HOST`, `HOST:PORT` or a URL from the option or argument `name`.
    ///
    /// # Errors
    ///
    /// A usage error if it is not a valid pattern of a resource.
    pub(crate) fn parse(name: &str, given: &str) -> Result<Self, Error> {
        if given.is_empty() {
            let what = "is empty: it must be a host such as git.corp.example";
            return Err(Error::Usage(format!("{name} {what}")));
        }
        let text = if given.contains("://") {
            given.to_owned()
        } else {
            format!("https://{given}")
        };
        let pattern = Pattern::parse(&text)
            .map_err(|why| Error::Usage(format!("{name} {}: it {why}", printable_url(given))))?;
        let mut host = Self::of(&pattern)?;
        let (_, rest) = text.split_once("://").unwrap_or(("", &text));
        let authority = rest.split('/').next().unwrap_or_default();
        let port = authority.rsplit_once(':').and_then(|(_, p)| p.parse().ok());
        host.usual_port = port.filter(|_| host.url.port().is_none());
        Ok(host)
    }

    /// The host of a configured resource, which may begin with `*.`.
    ///
    /// # Errors
    ///
    /// A usage error if it cannot be written as a URL.
    pub(crate) fn of(pattern: &Pattern) -> Result<Self, Error> {
        let text = pattern.to_string();
        let url = Url::parse(&text).map_err(|_| Error::Usage(format!("{text} is not a URL")))?;
        Ok(Self {
            url,
            text,
            has_path: pattern.has_path(),
            usual_port: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_default_port_is_known() {
        for (given, text, port) in [
            ("a.example", "https://a.example", None),
            ("A.example:443", "https://a.example", Some(443)),
            ("https://a.example:443/", "https://a.example", Some(443)),
            ("a.example:5000", "https://a.example:5000", None),
            ("http://localhost:80", "http://localhost", Some(80)),
            ("[::443]", "https://[::443]", None),
            ("[::1]:443", "https://[::1]", Some(443)),
        ] {
            let host = Host::parse("HOST", given).unwrap();
            assert_eq!((&*host.text, host.usual_port), (text, port), "{given}");
        }
    }
}
