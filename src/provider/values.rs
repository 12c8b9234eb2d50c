//! The values of a provider's keys: what each must look like.

use url::Url;

use super::realm::Realm;
use super::resource::Pattern;
use super::{presets, web_url};
use crate::config::error::What;
use crate::config::section::printable;
use crate::config::similar;
use crate::oauth::RedirectUri;
use crate::oauth::authorization::RESERVED;

/// Parses an address that tokens or secrets are sent to: https, or http on loopback.
pub(super) fn endpoint(text: &str) -> Result<Url, What> {
    let url = web_url::parse(text).ok_or(What::Is("a URL"))?;
    let confidential = Realm::of(&url).is_some_and(|realm| realm.is_confidential());
    if !confidential {
        return Err(What::Is(
            "an https:// URL (http:// is for loopback addresses only)",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(What::Is("a URL without user name, password or fragment"));
    }
    Ok(url)
}

/// Parses an issuer. It keeps its spelling, because it is compared character by character (RFC 9207
/// §2.4).
pub(super) fn issuer(text: &str) -> Result<String, What> {
    let url = endpoint(text)?;
    // RFC 8414 §2
    if url.query().is_some() {
        return Err(What::Is("a URL without a query"));
    }
    Ok(text.to_owned())
}

pub(super) fn preset(text: &str) -> Result<&'static str, What> {
    presets::known(text).ok_or_else(|| What::UnknownPreset {
        similar: similar::nearest(text, presets::names()),
        known: presets::names().collect::<Vec<_>>().join(", "),
    })
}

pub(super) fn base(text: &str) -> Result<String, What> {
    let url = endpoint(text)?;
    if url.query().is_some() {
        return Err(What::Is("a URL without a query"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Under any other name of a directory, Entra's metadata has an issuer that differs from its URL,
/// and OIDC Discovery §4.3 requires rejecting that.
pub(super) fn tenant(text: &str) -> Result<String, What> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let is_guid = text.split('-').map(str::len).eq(GROUPS)
        && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    is_guid
        .then(|| text.to_ascii_lowercase())
        .ok_or(What::Tenant)
}

pub(super) fn host(text: &str) -> Result<String, What> {
    let pattern = Pattern::parse(text).map_err(|why| What::Pattern(why.to_string()))?;
    Ok(pattern.to_string())
}

/// RFC 6749 §3.3
pub(super) fn scope(text: &str) -> Result<String, What> {
    let is_token = text
        .bytes()
        .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if is_token && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(What::Is("one scope per entry, without spaces"))
    }
}

pub(super) fn redirect_uri(text: &str) -> Result<RedirectUri, What> {
    redirect_uris(&[text])
}

/// Addresses that differ only in their ports.
pub(super) fn redirect_uris(texts: &[&str]) -> Result<RedirectUri, What> {
    let parsed = RedirectUri::parse_all(texts.iter().copied());
    parsed.map_err(|error| What::RedirectUri(error.to_string()))
}

/// RFC 8707 §2: an absolute URI without a fragment, sent as written.
pub(super) fn resource_indicator(text: &str) -> Result<String, What> {
    let url = Url::parse(text).map_err(|_| What::Is("an absolute URI"))?;
    if url.fragment().is_some() {
        return Err(What::Is("a URI without a fragment"));
    }
    Ok(text.to_owned())
}

pub(super) fn extra_param(name: &str) -> Result<&str, What> {
    let name = printable(name)?;
    if RESERVED.contains(&name) {
        return Err(What::Reserved {
            parameter: name.to_owned(),
        });
    }
    Ok(name)
}

/// A page for the user to open; hallpass sends nothing there.
pub(super) fn endpoint_with_fragment(text: &str) -> Result<Url, What> {
    let (page, _) = text.split_once('#').unwrap_or((text, ""));
    endpoint(page)?;
    Url::parse(text).map_err(|_| What::Is("a URL"))
}
