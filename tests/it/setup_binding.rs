//! How a set-up assigns a host to a provider. Tested with docker's set-up; git's uses the same code.

use crate::setup_docker::Desk;

const CORP: &str = "[providers.corp]\nissuer = \"https://login.corp.example\"\n\
    client_id = \"hallpass\"\n";

#[test]
fn a_forges_name_means_the_instance_at_the_host_not_the_configured_one() {
    for configured in [
        "[providers.gitea]\npreset = \"gitea\"\nbase = \"https://gitea.com\"\nclient_id = \"1\"\n",
        "[providers.gitea]\npreset = \"gitea\"\nbase = \"https://other.example\"\nclient_id = \"1\"\n",
    ] {
        let desk = Desk::with(configured);
        let host = ["git.corp.example", "--provider", "gitea"];
        desk.setup(&[&host[..], &["--client-id", "2"]].concat())
            .succeeds();
        let config = desk.config();
        let own = config.strip_prefix(configured).unwrap();
        assert!(
            own.contains("base = \"https://git.corp.example\"\n"),
            "{own}"
        );
        assert!(own.contains("provider = \"git.corp.example\"\n"), "{own}");
        assert!(!own.contains("provider = \"gitea\"\n"), "{own}");
    }
    // The configured provider is the one at that host.
    let here = "[providers.gitea]\npreset = \"gitea\"\nbase = \"https://git.corp.example\"\n\
        client_id = \"1\"\n";
    let desk = Desk::with(here);
    desk.setup(&["git.corp.example", "--provider", "gitea"])
        .succeeds();
    assert!(desk.config().contains("provider = \"gitea\"\n"));
}

#[test]
fn settings_of_a_host_are_written_even_if_its_provider_is_known() {
    let desk = Desk::with(CORP);
    desk.setup(&["a.example", "--provider", "corp"]).succeeds();
    desk.setup(&["a.example", "--provider", "corp", "--username", "bot"])
        .succeeds();
    assert!(desk.config().contains("username = \"bot\"\n"));
    assert_eq!(desk.config().matches("[[resources]]").count(), 1);
    // Without a provider, the entry keeps its own.
    desk.setup(&["a.example", "--username", "robot"]).succeeds();
    assert!(
        desk.config()
            .contains("provider = \"corp\"\nusername = \"robot\"\n")
    );
    assert_eq!(desk.config().matches("[[resources]]").count(), 1);
    desk.setup(&["a.example", "--undo"]).succeeds();
    assert_eq!(desk.config(), CORP);
    // That also holds for a provider that a set-up made.
    let desk = Desk::with("");
    let issuer = [
        "--issuer-url",
        "https://login.corp.example",
        "--client-id",
        "x",
    ];
    desk.setup(&[&["a.example"], &issuer[..]].concat())
        .succeeds();
    desk.setup(&["a.example", "--exchange", "identity-token"])
        .succeeds();
    assert!(
        desk.config()
            .contains("issuer = \"https://login.corp.example\"\n")
    );
    assert!(
        desk.config()
            .contains("registry_exchange = \"identity-token\"\n")
    );
    desk.setup(&["a.example", "--undo"]).succeeds();
    assert_eq!(desk.config(), "");
}

#[test]
fn an_entry_that_would_have_no_effect_is_an_error() {
    let own = format!("{CORP}[[resources]]\nmatch = \"https://c.example\"\nprovider = \"corp\"\n");
    let desk = Desk::with(&own);
    for more in [
        &["--username", "bot"][..],
        &["--provider", "corp", "--username", "bot"],
    ] {
        let outcome = desk.setup(&[&["c.example"], more].concat());
        outcome.fails_saying(
            2,
            &[
                "[[resources]]",
                "https://c.example",
                "first matching entry counts",
            ],
        );
        assert_eq!(desk.config(), own);
    }
    // The user's entry is enough.
    desk.setup(&["c.example"]).succeeds();
    assert_eq!(desk.config().matches("[[resources]]").count(), 1);
}

#[test]
fn two_registries_of_one_issuer_can_be_set_up_again() {
    let desk = Desk::with("");
    let two = [
        "a.example",
        "b.example",
        "--issuer-url",
        "https://login.corp.example",
        "--client-id",
        "x",
    ];
    desk.setup(&two).succeeds();
    let first = desk.config();
    desk.setup(&two).succeeds();
    assert_eq!(desk.config(), first);
}

#[test]
fn a_configured_registration_is_reused() {
    let desk = Desk::with(CORP);
    let issuer = ["--issuer-url", "https://login.corp.example", "--client-id"];
    desk.setup(&[&["a.example"], &issuer[..], &["hallpass"]].concat())
        .succeeds();
    let config = desk.config();
    assert_eq!(config.matches("[providers.").count(), 1, "{config}");
    assert!(config.contains("match = \"https://a.example\"\nprovider = \"corp\"\n"));
    // Another client is another provider, even if a provider has the host's name already.
    let taken = format!(
        "{CORP}[providers.\"b.example\"]\nissuer = \"https://other.example\"\nclient_id = \"1\"\n"
    );
    let desk = Desk::with(&taken);
    let other = [&["b.example"], &issuer[..], &["2"]].concat();
    desk.setup(&other).succeeds();
    let config = desk.config();
    assert!(config.contains("[providers.\"b.example-2\"]\n"), "{config}");
    assert!(config.contains("provider = \"b.example-2\"\n"), "{config}");
    desk.setup(&other).succeeds();
    assert_eq!(desk.config(), config);
}
