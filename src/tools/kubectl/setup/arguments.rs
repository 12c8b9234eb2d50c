//! The arguments of `hallpass setup kubectl`.

use clap::Args;

use crate::arguments::{SetupArgs, epilogue};

pub(super) const ADVICE: &str = "`--provider NAME` (one of the configuration, or a preset), \
                      `--issuer-url URL --client-id ID`, or `--from-kubelogin`";

/// Configure a kubeconfig user to use hallpass as its credential plugin
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass setup kubectl --context prod --provider corp
  hallpass setup kubectl --from-kubelogin
  hallpass setup kubectl --undo"))]
pub(crate) struct Arguments {
    /// The context whose user to set up [default: the current context]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "user",
        allow_hyphen_values = true
    )]
    pub context: Option<String>,
    /// The kubeconfig user to set up
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub user: Option<String>,
    /// Import the user's kubelogin (kubectl oidc-login) settings
    #[arg(long, conflicts_with_all = ["issuer_url", "client_id"])]
    pub from_kubelogin: bool,
    /// Add hallpass to the plugin allowlist in kuberc, if there is one
    #[arg(long)]
    pub kuberc: bool,
    #[command(flatten)]
    pub setup: SetupArgs,
}
