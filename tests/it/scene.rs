//! The starting point of most tests: a provider, and a sandbox configured to use it as `corp`.

use crate::provider::Provider;
use crate::sandbox::{Outcome, Running, Sandbox};

pub(crate) struct Scene {
    pub(crate) provider: Provider,
    pub(crate) sandbox: Sandbox,
}

impl Scene {
    /// `corp` has the scopes `openid` and `offline_access`.
    pub(crate) fn new() -> Self {
        Self::with(Provider::start())
    }

    pub(crate) fn with(provider: Provider) -> Self {
        let mut scene = Self {
            provider,
            sandbox: Sandbox::new(),
        };
        scene.configure("");
        scene
    }

    /// A scene in which the user has signed in, and the access token.
    #[track_caller]
    pub(crate) fn signed_in() -> (Self, String) {
        let scene = Self::new();
        let token = scene.get_token(&[]).token().to_owned();
        (scene, token)
    }

    /// Configures `corp` with the usual settings and these lines.
    pub(crate) fn configure(&mut self, lines: &str) {
        self.configure_with_head("", lines);
    }

    /// Like [`Self::configure`], with lines before the first table.
    pub(crate) fn configure_with_head(&mut self, head: &str, lines: &str) {
        let has = |key: &str| {
            lines
                .lines()
                .any(|line| line.split('=').next().is_some_and(|k| k.trim() == key))
        };
        let mut text = format!("{head}[providers.corp]\n");
        for (key, value) in [
            ("issuer", format!("{:?}", self.provider.issuer())),
            ("client_id", "\"hallpass\"".to_owned()),
            ("scopes", "[\"openid\", \"offline_access\"]".to_owned()),
        ] {
            if !has(key) {
                text.extend([key, " = ", &value, "\n"]);
            }
        }
        text.push_str(lines);
        text.push('\n');
        self.sandbox.config(&text);
    }

    /// `hallpass get-token corp …`
    #[track_caller]
    pub(crate) fn get_token(&self, more: &[&str]) -> Outcome {
        self.start(more).wait()
    }

    #[track_caller]
    pub(crate) fn start(&self, more: &[&str]) -> Running {
        self.sandbox.start(&[&["get-token", "corp"], more].concat())
    }

    /// Runs [`Self::get_token`] `count` times concurrently.
    #[track_caller]
    pub(crate) fn at_once(&self, count: usize, more: &[&str]) -> Vec<Outcome> {
        self.sandbox
            .run_at_once(count, &[&["get-token", "corp"], more].concat())
    }

    /// `hallpass login corp …`
    #[track_caller]
    pub(crate) fn login(&self, more: &[&str]) -> Outcome {
        self.sandbox.run(&[&["login", "corp"], more].concat())
    }

    /// Signs in to another account, and returns its token.
    #[track_caller]
    pub(crate) fn add_account(&self, account: &str) -> String {
        self.login(&["--account", account]).succeeds();
        let arguments = ["--account", account];
        self.get_token(&arguments).token().to_owned()
    }

    /// The sessions according to `hallpass status`.
    #[track_caller]
    pub(crate) fn sessions(&self) -> Vec<serde_json::Value> {
        let status = self.sandbox.run(&["status", "--json"]).json();
        status["sessions"].as_array().expect("the sessions").clone()
    }

    /// Ends the pause after a failed refresh without advancing the clock.
    pub(crate) fn end_pause(&self) {
        let folder = self.sandbox.data_dir().join("refreshes");
        if folder.exists() {
            std::fs::remove_dir_all(folder).expect("the folder of failed refreshes");
        }
    }

    /// Advances the clocks of hallpass and the provider.
    pub(crate) fn advance(&mut self, seconds: i64) {
        let clock = self.provider.behave(|b| {
            b.clock += seconds;
            b.clock
        });
        self.sandbox.set("HALLPASS_TEST_CLOCK", clock.to_string());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let violations = self.provider.violations();
            assert!(
                violations.is_empty(),
                "the client misbehaved: {violations:#?}"
            );
        }
    }
}
