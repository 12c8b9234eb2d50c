use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::config::file::Kind;
use crate::config::section::{Name, UnknownKeys};
use crate::config::{Flow, Interactive, shown};
use crate::oauth::token::ClientAuth;
use crate::provider::ProviderOverrides;
use crate::store;

/// The user's file of a [`Machine`], as messages show it.
const FILE: &str = if cfg!(windows) {
    "~\\user.toml"
} else {
    "~/user.toml"
};

/// On Windows, the system's file would have to belong to administrators.
const SYSTEM: Kind = if cfg!(windows) {
    Kind::User
} else {
    Kind::System
};

/// A temporary home and system folder.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root }
    }

    fn with(user: &str) -> Self {
        let machine = Self::new();
        machine.write("user.toml", user);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    fn env(&self, vars: &[(&str, &str)]) -> Env {
        let mut all = vec![
            ("HOME", self.root.path().to_str().unwrap().to_owned()),
            ("USERPROFILE", self.root.path().to_str().unwrap().to_owned()),
            (
                "HALLPASS_CONFIG",
                self.path("user.toml").to_str().unwrap().to_owned(),
            ),
        ];
        all.extend(
            vars.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        Env::new(
            Vec::<String>::new(),
            all.into_iter().map(|(k, v)| (k.to_owned(), v)),
        )
    }

    fn load_with(&self, vars: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
        let env = self.env(vars);
        let sources = Sources::read_files(Some(&self.path("system.toml")), SYSTEM, &env)?;
        Config::of(sources, &env, flags)
    }

    fn load(&self) -> Result<Config, ConfigError> {
        self.load_with(&[], &Flags::default())
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) {}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

const CORP: &str = r#"
[providers.corp]
preset = "keycloak"
issuer = "https://login.corp.example/realms/corp"
client_id = "hallpass"

[[resources]]
match = "https://git.corp.example"
provider = "corp"
account = "work"
username = "oauth2"
token = "id"
"#;

#[test]
fn without_configuration_the_defaults_apply() {
    let machine = Machine::with("");
    let config = machine.load().unwrap();
    let Settings {
        store,
        browser,
        interactive,
        needs_interactive_flag: _,
        flow,
        kernel_cache,
        sign_in_timeout,
        http_timeout,
        plain_http_hosts,
        ca_file,
        default_provider,
        docker_ask,
        verbose,
    } = &config.settings;
    assert!(plain_http_hosts.is_empty());
    assert_eq!(*store, store::Setting::Auto);
    assert_eq!((browser, ca_file, default_provider), (&None, &None, &None));
    assert_eq!((*interactive, *flow), (Interactive::Auto, Flow::Auto));
    assert_eq!(*docker_ask, crate::config::DockerAsk::Always);
    assert_eq!(*kernel_cache, Some(Duration::from_secs(12 * 60 * 60)));
    assert_eq!(*sign_in_timeout, Duration::from_secs(300));
    assert_eq!((*http_timeout, *verbose), (Duration::from_secs(30), 0));
    assert_eq!(config.providers().count(), 0);
}

#[test]
fn stronger_layers_override_single_settings() {
    let machine =
        Machine::with("store = \"file\"\nflow = \"device\"\nverbose = 2\nhttp_timeout = \"5s\"");
    machine.write(
        "system.toml",
        "store = \"kernel\"\nflow = \"browser\"\nbrowser = \"lynx\"\nsign_in_timeout = 60",
    );
    let vars = [("HALLPASS_STORE", "keyring"), ("HALLPASS_FLOW", "auto")];
    let flags = Flags {
        store: Some(store::Setting::None),
        ..Flags::default()
    };
    let settings = machine.load_with(&vars, &flags).unwrap().settings;
    assert_eq!(settings.store, store::Setting::None);
    assert_eq!(settings.flow, Flow::Auto);
    assert_eq!(settings.verbose, 2);
    assert_eq!(settings.http_timeout, Duration::from_secs(5));
    assert_eq!(settings.browser.as_deref(), Some("lynx"));
    assert_eq!(settings.sign_in_timeout, Duration::from_secs(60));
}

#[test]
fn a_provider_and_its_resources() {
    let machine = Machine::with(CORP);
    let config = machine.load().unwrap();
    assert_eq!(config.providers().collect::<Vec<_>>(), ["corp"]);
    let found = config
        .resource(&url("https://git.corp.example/team/x.git"), "git")
        .unwrap();
    let Match {
        provider,
        account,
        username,
        token,
        registry_exchange,
    } = found.unwrap();
    assert_eq!(registry_exchange, None);
    assert_eq!(account.as_deref(), Some("work"));
    assert_eq!(username.as_deref(), Some("oauth2"));
    assert_eq!(token, Some(TokenKind::Id));
    // The entry's host may get a token with more scopes.
    assert!(provider.takes_broader_token);
    let provider = Provider {
        takes_broader_token: false,
        ..provider
    };
    assert_eq!(provider, config.provider("corp").unwrap());
    assert_eq!(provider, config.only_provider().unwrap());
    assert_eq!(provider.preset, Some("keycloak"));
    assert_eq!(provider.scopes, ["openid", "offline_access"]);
    assert_eq!(provider.client_id().unwrap(), "hallpass");
    assert!(provider.needs_discovery());
    for text in [
        "https://corp.example",
        "http://git.corp.example",
        "https://git.corp.example.evil.tld",
        "https://git.corp.example@evil.tld",
        "mailto:git.corp.example",
    ] {
        assert_eq!(config.resource(&url(text), "git").unwrap(), None, "{text}");
    }
}

#[test]
fn the_closest_entry_wins_then_the_users_then_the_first() {
    let machine = Machine::with(
        r#"
        [[resources]]
        match = "https://*.corp.example"
        provider = "codeberg"
        account = "user-star"
        [[resources]]
        match = "https://git.corp.example"
        provider = "codeberg"
        account = "user-host"
        [[resources]]
        match = "https://git.corp.example/"
        provider = "codeberg"
        account = "user-host-again"
        "#,
    );
    machine.write(
        "system.toml",
        r#"
        [[resources]]
        match = "https://git.corp.example"
        provider = "codeberg"
        account = "system-host"
        [[resources]]
        match = "https://git.corp.example/team"
        provider = "codeberg"
        account = "system-path"
        "#,
    );
    let config = machine.load().unwrap();
    for (text, expected) in [
        ("https://git.corp.example/team/x", Some("system-path")),
        ("https://git.corp.example/teams/x", Some("user-host")),
        ("https://git.corp.example", Some("user-host")),
        ("https://www.corp.example", Some("user-star")),
        ("https://corp.example", None),
    ] {
        let found = config.resource(&url(text), "git").unwrap();
        let account = found.and_then(|found| found.account);
        assert_eq!(account.as_deref(), expected, "{text}");
    }
}

#[test]
fn an_entry_with_tools_applies_only_to_those_tools() {
    let machine = Machine::with(
        r#"
        [[resources]]
        match = "https://k8s.corp.example"
        provider = "codeberg"
        account = "cluster"
        tools = ["kubectl"]
        [[resources]]
        match = "https://*.corp.example"
        provider = "codeberg"
        account = "all"
        [[resources]]
        match = "https://docs.example"
        provider = "gitea"
        tools = ["git", "docker", "get-token"]
        "#,
    );
    let config = machine.load().unwrap();
    for (text, tool, expected) in [
        ("https://k8s.corp.example", "kubectl", Some("cluster")),
        ("https://k8s.corp.example", "git", Some("all")),
        ("https://k8s.corp.example", "get-token", Some("all")),
        ("https://git.corp.example", "kubectl", Some("all")),
        ("https://docs.example", "kubectl", None),
    ] {
        let found = config.resource(&url(text), tool).unwrap();
        let account = found.and_then(|found| found.account);
        assert_eq!(account.as_deref(), expected, "{text} {tool:?}");
    }
    let docs = url("https://docs.example");
    assert!(config.resource(&docs, "docker").unwrap().is_some());
    assert!(config.assigns("gitea", &docs, "git"));
    assert!(!config.assigns("gitea", &docs, "kubectl"));
    assert!(!config.assigns("codeberg", &docs, "git"));
    assert_eq!(config.patterns("kubectl").count(), 2);
    let named: Vec<_> = config.providers_with_resources().into_iter().collect();
    assert_eq!(named, ["codeberg", "gitea"]);
}

#[test]
fn providers_merge_key_by_key() {
    let machine = Machine::with(
        "[providers.corp]\nclient_id = \"mine\"\nextra_params = { a = \"2\", b = \"3\" }",
    );
    machine.write(
        "system.toml",
        "[providers.corp]\nissuer = \"https://login.example\"\nclient_id = \"theirs\"\n\
         scopes = [\"openid\"]\nextra_params = { a = \"1\", c = \"4\" }",
    );
    let provider = machine.load().unwrap().provider("corp").unwrap();
    assert_eq!(provider.client_id().unwrap(), "mine");
    assert_eq!(provider.issuer.as_deref(), Some("https://login.example"));
    assert_eq!(provider.scopes, ["openid"]);
    let params: Vec<_> = provider.extra_params.values().collect();
    assert_eq!(params, ["2", "3", "4"]);
}

#[test]
fn unknown_keys_are_warnings_in_the_systems_file_and_errors_in_the_users() {
    let newer = "from_the_future = 1\n[providers.corp]\nissuer = \"https://login.example\"\n\
                 client_id = \"abc\"\nfrom_the_future = { a = 1 }\n[[resources]]\n\
                 match = \"https://api.example\"\nprovider = \"corp\"\nfrom_the_future = true\n\
                 [future.table]\nx = 1";
    let machine = Machine::with("");
    machine.write("system.toml", newer);
    let config = machine.load().unwrap();
    let file = machine.path("system.toml");
    let [first, of_provider, of_resource, table] = &config.warnings[..] else {
        panic!("{:?}", config.warnings);
    };
    for (warning, words) in [
        (
            of_provider,
            "5: unknown key `from_the_future` in [providers.corp]",
        ),
        (
            of_resource,
            "9: unknown key `from_the_future` in [[resources]]",
        ),
        (first, "1: unknown key `from_the_future`"),
        (table, "10: unknown key `future`"),
    ] {
        assert!(
            config.warnings.iter().any(|one| one.contains(words)),
            "{words} {warning}"
        );
    }
    assert!(
        first.contains(file.file_name().unwrap().to_str().unwrap()),
        "{first}"
    );
    // Known keys still apply.
    assert_eq!(config.provider("corp").unwrap().client_id().unwrap(), "abc");

    let machine = Machine::with(newer);
    assert!(machine.load().is_err(), "the user's own file");
    // Secrets and invalid values are never ignored.
    for broken in [
        "[providers.corp]\nissuer = \"https://login.example\"\nclient_secret = \"x\"",
        "[providers.corp]\nissuer = 7",
    ] {
        let machine = Machine::with("");
        machine.write("system.toml", broken);
        assert!(machine.load().is_err(), "{broken}");
    }
}

#[test]
fn a_different_server_inherits_no_endpoints() {
    let system =
        "[providers.corp]\npreset = \"gitlab\"\nrevocation_endpoint = \"https://a.example/r\"";
    for user in [
        "issuer = \"https://b.example\"",
        "token_endpoint = \"https://b.example/t\"\nauthorization_endpoint = \"https://b.example/a\"",
        "base = \"https://b.example\"",
        "preset = \"codeberg\"",
    ] {
        let machine = Machine::with(&format!("[providers.corp]\n{user}"));
        machine.write("system.toml", system);
        let provider = machine.load().unwrap().provider("corp").unwrap();
        let Provider {
            issuer,
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            jwks_uri,
            userinfo_endpoint,
            identity,
            ..
        } = &provider;
        let addresses = [
            authorization_endpoint,
            token_endpoint,
            device_authorization_endpoint,
            revocation_endpoint,
            jwks_uri,
            userinfo_endpoint,
        ];
        let hosts = addresses
            .into_iter()
            .flatten()
            .chain(identity.as_ref().map(|i| &i.url));
        for address in hosts {
            let host = address.host_str();
            assert!(
                matches!(host, Some("b.example" | "codeberg.org")),
                "{user}: {host:?}"
            );
        }
        assert!(
            issuer.iter().all(|issuer| issuer == "https://b.example"),
            "{user}"
        );
    }
}

#[test]
fn a_self_hosted_instance_fills_in_the_preset() {
    for base in [
        "https://corp.example/gitlab",
        "https://corp.example/gitlab/",
    ] {
        let machine = Machine::with(&format!(
            "[providers.work]\npreset = \"gitlab\"\nbase = \"{base}\"\nclient_id = \"x\""
        ));
        let provider = machine.load().unwrap().provider("work").unwrap();
        assert_eq!(
            provider.issuer.as_deref(),
            Some("https://corp.example/gitlab")
        );
        let token = provider.token_endpoint.as_ref().map(Url::as_str);
        assert_eq!(token, Some("https://corp.example/gitlab/oauth/token"));
        let identity = provider
            .identity
            .as_ref()
            .map(|identity| identity.url.as_str());
        assert_eq!(
            identity,
            Some("https://corp.example/gitlab/oauth/token/info")
        );
        assert_eq!(provider.git_username.as_deref(), Some("oauth2"));
        assert!(!provider.needs_discovery());
    }
}

#[test]
fn every_preset_is_complete() {
    let base = "base = \"https://git.example\"";
    let issuer = "issuer = \"https://login.example\"";
    let tenant = "tenant = \"72F988BF-86f1-41af-91ab-2d7cd011db47\"";
    for (preset, key, has_client_id) in [
        ("acr", tenant, false),
        ("artifact-registry", "", false),
        ("auth0", issuer, false),
        ("azure-devops", tenant, false),
        ("bitbucket", "", false),
        ("codeberg", "", true),
        ("forgejo", base, true),
        ("gitea", "", true),
        ("github", "", false),
        ("gitlab", "", false),
        ("google", "", false),
        ("keycloak", issuer, false),
        ("microsoft", tenant, false),
        ("okta", issuer, false),
    ] {
        let machine = Machine::with(&format!("[providers.x]\npreset = \"{preset}\"\n{key}"));
        let provider = machine.load().unwrap().provider("x").unwrap();
        assert_eq!(provider.preset, Some(preset));
        assert_eq!(provider.client_id().is_ok(), has_client_id, "{preset}");
        assert!(
            provider.issuer.is_some() || provider.identity.is_some(),
            "{preset}"
        );
        let all = format!("{provider:?}");
        assert!(
            !all.contains("{base}") && !all.contains("{tenant}"),
            "{all}"
        );
    }
    assert_eq!(presets::names().count(), 14);
    assert!(presets::names().is_sorted());
}

#[test]
fn each_registry_has_its_kind_of_credential() {
    let tenant = "tenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"";
    for (preset, key, username, exchange, scope) in [
        ("github", "", None, None, "read:packages"),
        ("gitlab", "", Some("oauth2"), None, "read_registry"),
        (
            "artifact-registry",
            "",
            Some("oauth2accesstoken"),
            None,
            "https://www.googleapis.com/auth/cloud-platform",
        ),
        (
            "acr",
            tenant,
            None,
            Some(RegistryExchange::Acr),
            "https://containerregistry.azure.net/.default",
        ),
        ("gitea", "", Some("oauth2"), None, "write:package"),
    ] {
        let machine = Machine::with(&format!("[providers.x]\npreset = \"{preset}\"\n{key}"));
        let provider = machine.load().unwrap().provider("x").unwrap();
        assert_eq!(provider.registry_username.as_deref(), username, "{preset}");
        assert_eq!(provider.registry_exchange, exchange, "{preset}");
        assert!(provider.scopes.iter().any(|s| s == scope), "{preset}");
        assert_eq!(provider.tenant.is_some(), preset == "acr", "{preset}");
    }
    let machine = Machine::with(
        "[providers.x]\nissuer = \"https://login.example\"\nregistry_exchange = \"acr\"\n\
         [[resources]]\nmatch = \"https://harbor.example\"\nprovider = \"x\"\n\
         registry_exchange = \"harbor\"\n",
    );
    let config = machine.load().unwrap();
    let found = config
        .resource(&url("https://harbor.example"), "docker")
        .unwrap();
    let found = found.unwrap();
    assert_eq!(found.registry_exchange, Some(RegistryExchange::Harbor));
    assert_eq!(
        found.provider.registry_exchange,
        Some(RegistryExchange::Acr)
    );
}

#[test]
fn presets_set_each_providers_differences() {
    let machine = Machine::with(
        "[providers.entra]\npreset = \"microsoft\"\ntenant = \"72F988BF-86f1-41af-91ab-2d7cd011db47\"",
    );
    let config = machine.load().unwrap();
    let of = |name| config.provider(name).unwrap();

    let github = of("github");
    assert!(github.device_only_without_secret && !github.needs_discovery());
    assert_eq!(github.login_hint_param.as_deref(), Some("login"));

    let google = of("google");
    assert!(google.client_secret().is_err() && google.needs_discovery());
    assert_eq!(
        google.extra_params.get("access_type").map(String::as_str),
        Some("offline")
    );

    let codeberg = of("codeberg");
    assert!(!codeberg.git_bearer && !codeberg.is_openid());
    assert_eq!(codeberg.redirect_uri.path, "/");
    assert_eq!(codeberg.client_auth, Some(ClientAuth::None));

    let entra = of("entra");
    assert_eq!(
        entra.issuer.as_deref(),
        Some("https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0")
    );
    assert_eq!(
        entra.redirect_uri,
        crate::oauth::RedirectUri::parse("http://localhost/callback").unwrap()
    );
}

#[test]
fn presets_know_how_git_hosts_expect_credentials() {
    let machine = Machine::with(
        "[providers.instance]\npreset = \"gitlab\"\nbase = \"https://corp.example/gitlab\"\n\
         [providers.forgejo]\npreset = \"forgejo\"\nbase = \"https://git.corp.example\"\n\
         [providers.ado]\npreset = \"azure-devops\"\ntenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"",
    );
    let config = machine.load().unwrap();
    for (name, base, authorize, token, device, scopes, username) in [
        (
            "github",
            "https://github.com",
            "/login/oauth/authorize",
            "/login/oauth/access_token",
            Some("/login/device/code"),
            "repo gist workflow read:packages write:packages",
            "x-access-token",
        ),
        (
            "gitlab",
            "https://gitlab.com",
            "/oauth/authorize",
            "/oauth/token",
            Some("/oauth/authorize_device"),
            "read_repository write_repository read_registry write_registry",
            "oauth2",
        ),
        (
            "instance",
            "https://corp.example/gitlab",
            "/oauth/authorize",
            "/oauth/token",
            Some("/oauth/authorize_device"),
            "read_repository write_repository read_registry write_registry",
            "oauth2",
        ),
        (
            "gitea",
            "https://gitea.com",
            "/login/oauth/authorize",
            "/login/oauth/access_token",
            None,
            "write:repository write:package",
            "oauth2",
        ),
        (
            "codeberg",
            "https://codeberg.org",
            "/login/oauth/authorize",
            "/login/oauth/access_token",
            None,
            "",
            "oauth2",
        ),
        (
            "forgejo",
            "https://git.corp.example",
            "/login/oauth/authorize",
            "/login/oauth/access_token",
            None,
            "",
            "oauth2",
        ),
        (
            "bitbucket",
            "https://bitbucket.org",
            "/site/oauth2/authorize",
            "/site/oauth2/access_token",
            None,
            "account repository repository:write",
            "x-token-auth",
        ),
    ] {
        let provider = config.provider(name).unwrap();
        let is = |url: &Option<Url>, path: &str| {
            let url = url.as_ref().map(Url::as_str);
            assert_eq!(url, Some(&*format!("{base}{path}")), "{name}");
        };
        is(&provider.authorization_endpoint, authorize);
        is(&provider.token_endpoint, token);
        match device {
            Some(path) => is(&provider.device_authorization_endpoint, path),
            None => assert_eq!(provider.device_authorization_endpoint, None, "{name}"),
        }
        assert_eq!(provider.scopes.join(" "), scopes, "{name}");
        assert_eq!(provider.git_username.as_deref(), Some(username), "{name}");
        assert!(!provider.git_bearer, "{name}");
    }
    // The client that every instance has by default, with any port on loopback.
    for name in ["gitea", "codeberg", "forgejo"] {
        let provider = config.provider(name).unwrap();
        let client_id = provider.client_id.as_deref();
        assert_eq!(client_id, Some("a4792ccc-144e-407e-86c9-5e7d8d9c3269"));
        let expected = crate::oauth::RedirectUri::parse("http://127.0.0.1/").unwrap();
        assert_eq!(provider.redirect_uri, expected);
    }
    // Their servers accept a token as a password, which git also sends with a large push.
    for name in ["google", "ado"] {
        assert!(!config.provider(name).unwrap().git_bearer, "{name}");
    }
}

#[test]
fn presets_set_further_differences_between_providers() {
    let machine = Machine::with(
        "[providers.ado]\npreset = \"azure-devops\"\ntenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"\n\
         [providers.okta]\npreset = \"okta\"\nissuer = \"https://corp.okta.example/oauth2/default\"\n\
         [providers.auth0]\npreset = \"auth0\"\nissuer = \"https://corp.auth0.example/\"\n\
         audience = \"https://api.corp.example\"",
    );
    let config = machine.load().unwrap();
    let ado = "499b84ac-1321-427f-aa17-267ca6975798/.default";
    for (name, scope, redirect_uri, git_username, asks, wants_secret) in [
        ("ado", ado, "http://localhost/", Some("oauth2"), true, false),
        (
            "bitbucket",
            "repository:write",
            "http://127.0.0.1:8484/callback",
            Some("x-token-auth"),
            false,
            true,
        ),
        (
            "okta",
            "offline_access",
            "http://127.0.0.1:8484/callback",
            None,
            true,
            false,
        ),
        (
            "auth0",
            "offline_access",
            "http://127.0.0.1:8484/callback",
            None,
            true,
            false,
        ),
    ] {
        let provider = config.provider(name).unwrap();
        assert!(provider.scopes.iter().any(|s| s == scope), "{name}");
        let expected = crate::oauth::RedirectUri::parse(redirect_uri).unwrap();
        assert_eq!(provider.redirect_uri, expected, "{name}");
        assert_eq!(provider.git_username.as_deref(), git_username, "{name}");
        assert_eq!(provider.needs_discovery(), asks, "{name}");
        assert_eq!(provider.client_secret().is_err(), wants_secret, "{name}");
        // An ID token or an identity request pins who signed in.
        assert!(
            provider.is_openid() || provider.identity.is_some(),
            "{name}"
        );
    }
    // Compared character by character: Auth0's own ends with a slash.
    let auth0 = config.provider("auth0").unwrap();
    assert_eq!(auth0.issuer.as_deref(), Some("https://corp.auth0.example/"));
    assert_eq!(auth0.audience.as_deref(), Some("https://api.corp.example"));
    let bitbucket = config.provider("bitbucket").unwrap();
    assert_eq!(bitbucket.client_auth, Some(ClientAuth::Basic));
    assert_eq!(bitbucket.device_authorization_endpoint, None);
    assert_eq!(bitbucket.login_hint_param, None);
}

#[test]
fn a_presets_unfilled_placeholder_is_an_error() {
    for (name, lacks) in [
        ("forgejo", &["base"][..]),
        ("keycloak", &["issuer", "client_id"]),
        ("microsoft", &["tenant", "client_id"]),
        ("azure-devops", &["tenant", "client_id"]),
        ("okta", &["issuer", "client_id"]),
        ("auth0", &["issuer", "client_id"]),
    ] {
        let machine = Machine::with("");
        let error = machine.load().unwrap().provider(name).unwrap_err();
        let hint = error.hint().unwrap();
        // The error and the lines to add name everything at once.
        for key in lacks {
            assert!(error.to_string().contains(&format!("no {key}")), "{error}");
            assert!(hint.contains(&format!("\n  {key} = \"")), "{hint}");
        }
        assert!(
            hint.contains(&format!("[providers.{name}]\n  preset = \"{name}\"\n  ")),
            "{hint}"
        );
    }
}

#[test]
fn a_preset_without_a_client_says_where_to_register_and_what_to_configure() {
    let machine = Machine::with("");
    let error = machine.load().unwrap().provider("gitlab").unwrap();
    let error = error.client_id().unwrap_err();
    assert_eq!(
        error.to_string(),
        "provider `gitlab` has no client_id: hallpass must first be registered there"
    );
    assert_eq!(
        error.hint().unwrap(),
        "register an application at https://gitlab.com/-/user_settings/applications\n  \
           redirect URI: http://127.0.0.1/callback\n  \
           untick \"Confidential\"; tick the scopes read_repository, write_repository, read_registry and \
           write_registry\n\
         then add to FILE:\n\n  \
           [providers.gitlab]\n  \
           preset = \"gitlab\"\n  \
           client_id = \"the client ID you get\""
            .replace("FILE", FILE)
    );

    let machine = Machine::with("[providers.work]\npreset = \"google\"");
    let provider = machine.load().unwrap().provider("work").unwrap();
    let hint = provider.client_id().unwrap_err().hint().unwrap();
    assert!(
        hint.ends_with(
            &"then add to [providers.work] in FILE:\n\n  \
             client_id = \"the client ID you get\"\n  \
             client_secret_file = \"~/.config/hallpass/client-secret\""
                .replace("FILE", FILE)
        ),
        "{hint}"
    );
}

#[test]
fn an_unknown_provider_is_reported_with_the_known_ones() {
    let machine = Machine::with(CORP);
    let config = machine.load().unwrap();
    for (name, expected) in [
        ("crop", "unknown provider `crop`; did you mean `corp`?"),
        ("githb", "unknown provider `githb`; did you mean `github`?"),
        ("elsewhere", "unknown provider `elsewhere`"),
        ("\u{1b}[2J", "unknown provider `\\u{1b}[2J`"),
    ] {
        let error = config.provider(name).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let hint = error.hint().unwrap();
        assert!(
            hint.starts_with("known providers: acr, artifact-registry, auth0, azure-devops, bitbucket, codeberg, corp, forgejo, "),
            "{hint}"
        );
    }
}

#[test]
fn without_a_name_the_default_or_only_provider_is_used() {
    for (text, expected) in [
        ("", Err("no provider is configured")),
        (
            "[providers.codeberg]\npreset = \"codeberg\"",
            Ok("codeberg"),
        ),
        (
            "[providers.codeberg]\n[providers.a]",
            Err("several providers are configured and none is the default"),
        ),
        (
            "default_provider = \"codeberg\"\n[providers.a]\n[providers.b]",
            Ok("codeberg"),
        ),
        (
            "default_provider = \"codebreg\"",
            Err("unknown provider `codebreg`; did you mean `codeberg`?"),
        ),
    ] {
        let machine = Machine::with(text);
        let found = machine.load().unwrap().only_provider();
        let found = found.map(|p| p.name).map_err(|error| error.to_string());
        let found = found.as_deref().map_err(String::as_str);
        assert_eq!(found, expected, "{text}");
    }
}

/// Each value here is or starts with this, and no message may contain it.
const CANARY: &str = "s3cr3t-c4n4ry";

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn errors_name_the_key_and_line_but_never_the_value() {
    for (text, expected) in [
        (
            "\nstroe = \"CANARY\"",
            "2: unknown key `stroe`; did you mean `store`?",
        ),
        (
            "[providers.corp]\nisuer = \"CANARY\"",
            "2: unknown key `isuer` in [providers.corp]; did you mean `issuer`?",
        ),
        (
            "[provider.corp]",
            "1: unknown key `provider`; did you mean `providers`?",
        ),
        (
            "[providers.corp]\ncolour = \"CANARY\"",
            "2: unknown key `colour` in [providers.corp]",
        ),
        (
            "[[resources]]\nmatch = \"https://a.example\"\nprovider = \"codeberg\"\nusr = 1",
            "4: unknown key `usr` in [[resources]]",
        ),
        ("store = 1", "1: `store` must be a string"),
        (
            "store = \"CANARY\"",
            "1: `store` must be one of auto, keyring, kernel, file, none",
        ),
        (
            "verbose = \"CANARY\"",
            "1: `verbose` must be a number from 0 to 255",
        ),
        (
            "verbose = 256",
            "1: `verbose` must be a number from 0 to 255",
        ),
        (
            "[docker]\nask = \"CANARY\"",
            "2: `ask` in [docker] must be one of always, login",
        ),
        (
            "docker.asks = \"login\"",
            "1: unknown key `asks` in [docker]; did you mean `ask`?",
        ),
        (
            "providers = \"CANARY\"",
            "1: `providers` must be a table of tables",
        ),
        (
            "providers.corp = \"CANARY\"",
            "1: `providers` must be a table of tables",
        ),
        (
            "resources = [\"CANARY\"]",
            "1: `resources` must be an array of tables",
        ),
        (
            "[resources]\nmatch = \"CANARY\"",
            "1: `resources` is a list of tables: write [[resources]], with two brackets on each side",
        ),
        (
            "[providers.corp]\nissuer = \"CANARY\"\n\n[providers.corp]\n",
            "4: [providers.corp] is defined twice",
        ),
        (
            "store = \"file\"\nstore = \"CANARY\"",
            "2: `store` is defined twice",
        ),
        (
            "[resources]\nmatch = \"CANARY\"\n[resources]\nmatch = \"CANARY\"",
            "3: `resources` is a list of tables: write [[resources]], with two brackets on each side",
        ),
        (
            "[[resources]]\nmatch = \"CANARY\"\n[resources]\nmatch = \"CANARY\"",
            "3: `resources` is a list of tables: write [[resources]], with two brackets on each side",
        ),
        (
            "[providers.\"a b\"]",
            "1: a provider's name consists of letters, digits, `-`, `_` and `.`, and begins with a letter or digit",
        ),
        (
            "[providers.corp]\nscopes = \"CANARY\"",
            "2: `scopes` in [providers.corp] must be a list of strings",
        ),
        (
            "[providers.corp]\nscopes = [\n  \"openid\",\n  1]",
            "4: `scopes` in [providers.corp] must be a list of strings",
        ),
        (
            "[providers.corp]\nscopes = [\"CANARY email\"]",
            "2: `scopes` in [providers.corp] must be one scope per entry, without spaces",
        ),
        (
            "[providers.corp]\nissuer = \"CANARY\"",
            "2: `issuer` in [providers.corp] must be a URL",
        ),
        (
            "[providers.corp]\nissuer = \"http://CANARY.example\"",
            "2: `issuer` in [providers.corp] must be an https:// URL (http:// is for loopback addresses only)",
        ),
        (
            "[providers.corp]\nissuer = \"https://me:CANARY@a.example\"",
            "2: `issuer` in [providers.corp] must be a URL without user name, password or fragment",
        ),
        (
            "[providers.corp]\nissuer = \"https://a.example/?CANARY\"",
            "2: `issuer` in [providers.corp] must be a URL without a query",
        ),
        (
            "[providers.corp]\ntoken_endpoint = \"http://CANARY.example\"",
            "2: `token_endpoint` in [providers.corp] must be an https:// URL (http:// is for loopback addresses only)",
        ),
        (
            "[providers.corp]\nclient_id = \"\"",
            "2: `client_id` in [providers.corp] must be a non-empty string",
        ),
        (
            "[providers.corp]\nclient_id = \"CANARY\\n\"",
            "2: `client_id` in [providers.corp] must be free of control characters",
        ),
        (
            "[providers.corp]\nclient_secret = \"CANARY\"",
            "2: `client_secret` in [providers.corp]: secrets do not belong in the configuration",
        ),
        (
            "client_secret = \"CANARY\"",
            "1: `client_secret`: secrets do not belong in the configuration",
        ),
        (
            "[providers.corp]\nclient_auth = \"CANARY\"",
            "2: `client_auth` in [providers.corp] must be one of none, basic, post",
        ),
        (
            "[providers.corp]\npkce = \"plain\"",
            "2: `pkce` in [providers.corp] must be one of S256",
        ),
        (
            "[providers.corp]\npreset = \"gihtub\"",
            "2: `preset` in [providers.corp] is not a known preset; did you mean `github`?",
        ),
        (
            "[providers.corp]\ntenant = \"common\"",
            "2: `tenant` in [providers.corp] must be a directory ID (a GUID): a directory's other names have a different issuer",
        ),
        (
            "[providers.corp]\nredirect_uri = \"https://CANARY\"",
            "2: `redirect_uri` in [providers.corp] is not a redirect URI: it must begin with http://, because only loopback addresses are supported",
        ),
        (
            "[providers.corp]\nresources = [\"CANARY\"]",
            "2: `resources` in [providers.corp] must be an absolute URI",
        ),
        (
            "[providers.corp]\nextra_params = { state = \"CANARY\" }",
            "2: `extra_params` in [providers.corp] must not set `state`, which hallpass sets for each request",
        ),
        (
            "[providers.corp]\nextra_params = { a = 1 }",
            "2: `extra_params` in [providers.corp] must be a table of strings",
        ),
        (
            "[providers.corp]\nidentity = { url = \"https://a.example\" }",
            "2: `subject` is missing in `identity`",
        ),
        (
            "[[resources]]\nprovider = \"codeberg\"",
            "1: `match` is missing in [[resources]]",
        ),
        (
            "[[resources]]\nmatch = \"https://CANARY.example\"",
            "1: `provider` is missing in [[resources]]",
        ),
        (
            "[[resources]]\nmatch = \"https://a.example\"\nprovider = \"CANARY\"",
            "3: `provider` in [[resources]] is not a known provider",
        ),
        (
            "[[resources]]\nmatch = \"https://a.example\"\nprovider = \"codebreg\"",
            "3: `provider` in [[resources]] is not a known provider; did you mean `codeberg`?",
        ),
        (
            "[[resources]]\nprovider = \"codeberg\"\nmatch = \"https://CANARY@a.example\"",
            "3: `match` in [[resources]] must have no user name or password: an entry has `username` for that",
        ),
        (
            "[[resources]]\nprovider = \"codeberg\"\nmatch = \"http://CANARY.example\"",
            "3: `match` in [[resources]] must begin with https:// (http:// is for loopback addresses only), or be a mail server's URL (smtp://, smtps://, imap://, imaps://)",
        ),
        (
            "kernel_keyring_timeout = true",
            "1: `kernel_keyring_timeout` must be a time of at most a year (seconds, or \"30m\", \"12h\", \"2d\"), or false",
        ),
        (
            "sign_in_timeout = \"0s\"",
            "1: `sign_in_timeout` must be a time of at most a year: seconds, or \"90s\", \"5m\", \"12h\", \"2d\"",
        ),
        (
            "browser = 'CANARY",
            "1: invalid literal string, expected `'`",
        ),
        (
            "browser = CANARY",
            "1: string values must be quoted, expected literal string",
        ),
        (
            "a = 1\nstore = \"file\"\nstore = \"CANARY\"",
            "3: `store` is defined twice",
        ),
        ("\n\nCANARY CANARY", "3: key with no value, expected `=`"),
        ("[CANARY", "1: unclosed table, expected `]`"),
    ] {
        let machine = Machine::with(&text.replace("CANARY", CANARY));
        let error = machine.load().unwrap_err();
        let shown = error.to_string();
        assert_eq!(shown, format!("{FILE}:{expected}"), "{text}");
        let all = format!("{shown} {:?} {:?}", error.hint(), error);
        assert!(!all.contains(CANARY), "{all}");
    }
}

#[test]
fn no_typing_mistake_puts_a_value_into_a_message() {
    let text = CORP
        .replace("hallpass", CANARY)
        .replace("\"work\"", &format!("'{CANARY}'"));
    let mut refused = 0;
    for at in 0..text.len() {
        for slip in [
            "", "\n", "\"", "'", "=", "[", "]", "{", ",", "#", "\\", "\0", "x",
        ] {
            let mut slipped = text.clone();
            slipped.replace_range(at..=at, slip);
            let source = source(&slipped);
            if let Err(error) = FileLayer::of(&source) {
                refused += 1;
                let message = format!("{error} {error:?} {:?}", error.hint());
                assert!(!message.contains("s3cr3t"), "{slipped}\n{message}");
            }
        }
    }
    assert!(refused > 1000);
}

#[test]
fn a_key_with_control_characters_is_escaped() {
    let machine = Machine::with("\"a\\u001b[2J\" = 1");
    let error = machine.load().unwrap_err();
    let expected = format!("{FILE}:1: unknown key `a\\u{{1b}}[2J`");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_first_unknown_key_of_a_table_is_reported() {
    let machine = Machine::with("zebra = 1\nant = 2");
    let error = machine.load().unwrap_err();
    assert_eq!(error.to_string(), format!("{FILE}:1: unknown key `zebra`"));
}

#[cfg(unix)]
#[test]
fn relative_paths_start_at_the_file_and_a_tilde_is_the_home() {
    let machine = Machine::with(
        "ca_file = \"ca.pem\"\n[providers.a]\nissuer = \"https://a.example\"\n\
         client_secret_file = \"~/secrets/a\"\nca_file = \"/etc/a.pem\"\n\
         [providers.b]\nissuer = \"https://b.example\"\nclient_secret_file = \"$HOME/b\"",
    );
    let config = machine.load().unwrap();
    assert_eq!(config.settings.ca_file, Some(machine.path("ca.pem")));
    let a = config.provider("a").unwrap();
    assert_eq!(a.client_secret_file, Some(machine.path("secrets/a")));
    assert_eq!(a.ca_file, Some(PathBuf::from("/etc/a.pem")));
    // Nothing is expanded from the environment.
    let b = config.provider("b").unwrap();
    assert_eq!(b.client_secret_file, Some(machine.path("$HOME/b")));
    assert_eq!(b.ca_file, config.settings.ca_file);
}

#[test]
fn an_openid_provider_needs_an_issuer() {
    let machine = Machine::with(
        "[providers.a]\nauthorization_endpoint = \"https://a.example/a\"\n\
         token_endpoint = \"https://a.example/t\"\nscopes = [\"openid\"]\n\
         [providers.b]\nscopes = [\"x\"]\n\
         [providers.gitlab]\nclient_id = \"x\"\n\
         [providers.c]\npreset = \"github\"\nbase = \"https://ghe.example\"",
    );
    let config = machine.load().unwrap();
    for (name, expected) in [
        (
            "a",
            "provider `a` requests an ID token (scope `openid`) but has no issuer to verify it against",
        ),
        (
            "b",
            "provider `b` has no issuer and no client_id: hallpass must first be registered there",
        ),
        // A name alone does not choose a preset.
        ("gitlab", "provider `gitlab` has no preset"),
        (
            "c",
            "preset `github` is for a single server and has no `base`",
        ),
    ] {
        let error = config.provider(name).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    }
}

const ISSUER: &str = "http://127.0.0.1:4567";

#[test]
fn a_provider_from_the_command_line_is_checked_like_a_configured_one() {
    let machine = Machine::with("ca_file = \"ca.pem\"");
    let config = machine.load().unwrap();
    let good = || ProviderOverrides {
        scopes: vec!["openid".to_owned()],
        ..ProviderOverrides::default()
    };
    let provider = config.ad_hoc(ISSUER, "hallpass", good()).unwrap();
    assert_eq!(provider.name, ISSUER);
    assert_eq!(provider.issuer.as_deref(), Some(ISSUER));
    assert_eq!(provider.ca_file, Some(machine.path("ca.pem")));
    assert!(provider.needs_discovery() && provider.is_openid());

    let params = |name: &str| vec![(name.to_owned(), "x".to_owned())];
    for (issuer, client_id, asked, expected) in [
        (
            "http://login.example",
            "hallpass",
            good(),
            "--issuer-url must be an https:// URL (http:// is for loopback addresses only)",
        ),
        (ISSUER, "", good(), "--client-id must be a non-empty string"),
        (
            ISSUER,
            "hallpass",
            ProviderOverrides {
                scopes: vec!["a b".to_owned()],
                ..good()
            },
            "--scope must be one scope per entry, without spaces",
        ),
        (
            ISSUER,
            "hallpass",
            ProviderOverrides {
                redirect_uri: Some("https://x".to_owned()),
                ..good()
            },
            "--redirect-uri is not a redirect URI: it must begin with http://, because only loopback addresses are supported",
        ),
        (
            ISSUER,
            "hallpass",
            ProviderOverrides {
                extra_params: params("state"),
                ..good()
            },
            "--extra-param must not set `state`, which hallpass sets for each request",
        ),
        (
            ISSUER,
            "hallpass",
            ProviderOverrides {
                resources: vec!["x".to_owned()],
                ..good()
            },
            "--resource must be an absolute URI",
        ),
    ] {
        let error = config.ad_hoc(issuer, client_id, asked).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn overrides_take_precedence_over_the_configuration() {
    let provider = Provider {
        scopes: vec!["openid".to_owned()],
        audience: Some("a".to_owned()),
        ..Provider::default()
    };
    let asked = ProviderOverrides {
        scopes: vec!["read".to_owned(), "write".to_owned()],
        resources: vec!["https://api.example".to_owned()],
        ..ProviderOverrides::default()
    };
    let provider = asked.of(provider).unwrap();
    assert_eq!(provider.scopes, ["read", "write"]);
    assert_eq!(provider.resources, ["https://api.example"]);
    assert_eq!(provider.audience.as_deref(), Some("a"));
}

#[test]
fn a_missing_file_is_fine_unless_it_was_named() {
    let machine = Machine::new();
    let error = machine.load().unwrap_err();
    let expected = format!("{FILE}, which HALLPASS_CONFIG names, does not exist");
    assert_eq!(error.to_string(), expected);
    let home = machine.root.path().to_str().unwrap();
    let env = Env::new(
        Vec::<&str>::new(),
        [("HOME", home), ("USERPROFILE", home), ("APPDATA", home)],
    );
    let sources = Sources::read_files(None, SYSTEM, &env).unwrap();
    let config = Config::of(sources, &env, &Flags::default()).unwrap();
    assert_eq!(config.settings, Settings::default());
}

const DOCUMENTATION: &str = include_str!("../../../docs/reference/configuration.md");

fn source(text: &str) -> Source {
    Source {
        name: Name::Preset("test"),
        text: Zeroizing::new(text.to_owned()),
        folder: PathBuf::new(),
        home: None,
        unknown_keys: UnknownKeys::Refused,
    }
}

#[test]
fn every_key_is_documented() {
    let empty = source("");
    let mut top = empty.parse().unwrap();
    SettingsLayer::of_file(&mut top).unwrap();
    let mut provider = empty.parse().unwrap();
    ProviderLayer::read_keys(&mut provider).unwrap();
    for key in top.asked().iter().chain(provider.asked()) {
        assert!(DOCUMENTATION.contains(&format!("`{key}`")), "{key}");
    }
    for preset in presets::names() {
        assert!(
            DOCUMENTATION.contains(&format!("| `{preset}` |")),
            "{preset}"
        );
    }
}

#[test]
fn every_example_of_the_documentation_is_valid() {
    let mut count = 0;
    for block in DOCUMENTATION.split("```toml\n").skip(1) {
        let (example, _) = block.split_once("```").unwrap();
        let machine = Machine::with(example);
        let config = machine.load().unwrap();
        for name in config.providers() {
            config.provider(name).unwrap();
        }
        count += 1;
    }
    assert!(count >= 2);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_could_have_written_is_refused() {
    use std::os::unix::fs::symlink;

    let machine = Machine::with("");
    let user = machine.path("user.toml");
    for (mode, expected) in [
        (0o644, None),
        (0o400, None),
        (
            0o620,
            Some("~/user.toml can be written by others (mode 0620)"),
        ),
        (
            0o602,
            Some("~/user.toml can be written by others (mode 0602)"),
        ),
    ] {
        set_mode(&user, mode);
        let error = machine.load().err();
        assert_eq!(error.as_ref().map(ToString::to_string).as_deref(), expected);
        if let Some(error) = error {
            assert_eq!(error.hint().as_deref(), Some("run: chmod go-w ~/user.toml"));
        }
    }

    // A link is followed, and its target is checked.
    let elsewhere = machine.write("elsewhere.toml", "verbose = 3");
    std::fs::remove_file(&user).unwrap();
    symlink(&elsewhere, &user).unwrap();
    assert_eq!(machine.load().unwrap().settings.verbose, 3);
    set_mode(&elsewhere, 0o666);
    assert!(machine.load().is_err());
    std::fs::remove_file(&elsewhere).unwrap();
    let error = machine.load().unwrap_err();
    assert_eq!(error.to_string(), "~/user.toml is a broken link");

    std::fs::remove_file(&user).unwrap();
    std::fs::create_dir(&user).unwrap();
    let error = machine.load().unwrap_err();
    assert_eq!(error.to_string(), "~/user.toml is not a regular file");
}

#[cfg(unix)]
#[test]
fn a_pipe_instead_of_a_file_does_not_hang() {
    let machine = Machine::new();
    let made = std::process::Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(machine.path("user.toml"))
        .status();
    assert!(made.unwrap().success());
    let error = machine.load().unwrap_err();
    assert_eq!(error.to_string(), "~/user.toml is not a regular file");
}

#[test]
fn a_secret_comes_from_a_separate_file() {
    let machine = Machine::with(
        "[providers.a]\nissuer = \"https://a.example\"\nclient_secret_file = \"secret\"",
    );
    let provider = machine.load().unwrap().provider("a").unwrap();
    let file = shown(&machine.path("secret"));
    let error = provider.client_secret().unwrap_err();
    let expected = format!("the client secret file {file} of provider `a` does not exist");
    assert_eq!(error.to_string(), expected);

    machine.write("secret", &format!("{CANARY}\n"));
    let secret = provider.client_secret().unwrap().unwrap();
    assert_eq!(secret.expose(), CANARY);

    machine.write("secret", &format!("{CANARY}\n{CANARY}\n"));
    let error = provider.client_secret().unwrap_err();
    let expected = format!("the client secret file {file} of provider `a` has more than one line");
    assert_eq!(error.to_string(), expected);
    assert!(!format!("{error:?}").contains(CANARY));
}

/// The hint is for administrators, so this only shows which commands it names.
#[cfg(windows)]
#[test]
fn a_system_file_of_a_user_is_refused_with_the_commands_that_protect_it() {
    let machine = Machine::with("");
    let path = machine.write("system.toml", "CANARY");
    let error = Sources::read_files(Some(&path), Kind::System, &machine.env(&[])).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("system.toml is in a folder that belongs to S-1-"),
        "{text}"
    );
    let hint = error.hint().unwrap();
    for command in [
        "delete ",
        "mkdir \"",
        "takeown /A /F \"",
        "icacls \"",
        "*S-1-5-32-544:(OI)(CI)F",
    ] {
        assert!(hint.contains(command), "{hint}");
    }
    assert!(!hint.contains("system.toml\""), "{hint}");
}
