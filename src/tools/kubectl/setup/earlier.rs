//! The settings of an earlier run, which a later run without them repeats.

use std::ffi::OsString;

use serde_json::Value;

use super::super::arguments as plugin;
use super::super::kubeconfig;
use super::arguments::Arguments;
use super::kubeconfig_file::KubeconfigFile;
use super::kubelogin;
use super::sign_in::SignIn;
use crate::arguments::{ProviderArgs, parsed};

/// The settings of an earlier run that this run doesn't change. `now` is the user's entry in the
/// kubeconfig.
pub(super) fn sign_in(
    args: &Arguments,
    target: &KubeconfigFile,
    now: Option<&Value>,
) -> Option<SignIn> {
    let ProviderArgs {
        provider,
        issuer_url,
        client_id,
        account,
        ..
    } = &args.setup.provider_args;
    if args.from_kubelogin || issuer_url.is_some() || client_id.is_some() {
        return None;
    }
    // If no set-up wrote the entry, it may be from another person's kubeconfig.
    let now = now.filter(|_| target.was_set_up())?;
    let words = kubeconfig::own_arguments(now)?.into_iter();
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let earlier = parsed::<plugin::Arguments>("kubectl", &words).ok()?;
    let provider = provider.clone().or(earlier.provider)?;
    let provider_args = ProviderArgs {
        provider: Some(provider.clone()),
        account: account.clone().or(earlier.account),
        ..ProviderArgs::default()
    };
    let env = kubeconfig::variables(now).filter_map(|(name, value)| {
        let known = kubelogin::VARIABLES.iter().find(|known| **known == name)?;
        Some((*known, value.to_owned()))
    });
    Some(SignIn {
        token: earlier.token,
        flow: earlier.asking.flow,
        env: env.collect(),
        ..SignIn::of(provider, provider_args)
    })
}
