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
use crate::config::Flow;
use crate::credential::TokenKind;

pub(crate) struct EarlierSetup {
    pub(crate) provider: String,
    account: Option<String>,
    token: Option<TokenKind>,
    flow: Option<Flow>,
    env: Vec<(&'static str, String)>,
}

impl EarlierSetup {
    /// The settings that this run doesn't change. `now` is the user's entry in the kubeconfig.
    pub(crate) fn of(
        args: &Arguments,
        target: &KubeconfigFile,
        now: Option<&Value>,
    ) -> Option<Self> {
        let ProviderArgs {
            provider,
            issuer_url,
            client_id,
            ..
        } = &args.provider_args;
        if args.from_kubelogin || issuer_url.is_some() || client_id.is_some() {
            return None;
        }
        // If no set-up wrote the entry, it may be from another person's kubeconfig.
        let words = kubeconfig::own_arguments(now.filter(|_| target.was_set_up())?)?;
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        let earlier = parsed::<plugin::Arguments>("kubectl", &words).ok()?;
        let variables = now?.pointer("/exec/env").and_then(Value::as_array);
        let value_of = |name: &str| {
            let mut variables = variables.into_iter().flatten();
            let variable = variables.find(|one| one.get("name").is_some_and(|n| n == name))?;
            variable.get("value")?.as_str().map(str::to_owned)
        };
        let env = kubelogin::VARIABLES.iter();
        Some(Self {
            provider: provider.clone().or(earlier.provider)?,
            account: args.provider_args.account.clone().or(earlier.account),
            token: earlier.token,
            flow: earlier.asking.flow,
            env: env
                .filter_map(|name| Some((*name, value_of(name)?)))
                .collect(),
        })
    }

    pub(crate) fn sign_in(self) -> SignIn {
        let Self {
            provider,
            account,
            token,
            flow,
            env,
        } = self;
        let provider_args = ProviderArgs {
            provider: Some(provider.clone()),
            account,
            ..ProviderArgs::default()
        };
        SignIn {
            token,
            flow,
            env,
            ..SignIn::of(provider, provider_args)
        }
    }
}
