//! The arguments of `hallpass kubectl`.

use clap::Args;

use super::protocol::whole_version;
use crate::arguments::{AdHocArgs, Asking, Common, epilogue, token_kind};
use crate::credential::TokenKind;

/// `hallpass kubectl`.
pub(crate) const NAME: &str = "kubectl";

/// Answer kubectl, as its credential plugin
///
/// Started by the exec entry of a kubeconfig, with its request in `KUBERNETES_EXEC_INFO`.
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass kubectl --provider corp"))]
pub(crate) struct Arguments {
    /// A provider of the configuration, or a preset [default: the provider of the cluster]
    #[arg(long, value_name = "NAME", conflicts_with = "issuer_url")]
    pub provider: Option<String>,
    /// The account at that provider
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Which token to send: the ID token, or the access token
    #[arg(long, value_parser = token_kind, value_name = "access|id")]
    pub token: Option<TokenKind>,
    /// The ID under which `hallpass setup kubectl` recorded the server of this exec entry, for
    /// clients that don't say which cluster they talk to
    #[arg(long, value_name = "ID", conflicts_with = "issuer_url")]
    pub entry: Option<String>,
    /// The version of the reply for clients that don't set `KUBERNETES_EXEC_INFO`
    #[arg(long, value_parser = api_version, value_name = "v1|v1beta1")]
    pub api_version: Option<String>,
    #[command(flatten)]
    pub ad_hoc: AdHocArgs,
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
}

fn api_version(text: &str) -> Result<String, String> {
    whole_version(text).ok_or_else(|| "v1 or v1beta1".to_owned())
}

/// The ID of the exec entry, before the command line is parsed.
pub(super) fn entry_word<'w>(mut words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .find_map(|word| match word.strip_prefix("--entry") {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix('=').map(Some),
            None => None,
        })?
        .or_else(|| words.next())
}
