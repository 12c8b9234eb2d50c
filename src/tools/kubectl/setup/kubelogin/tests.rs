use super::options::comma_separated;
use super::*;

const NEEDED: [&str; 3] = [
    "--oidc-issuer-url=https://login.example",
    "--oidc-client-id",
    "kube",
];

fn convert(more: &[&str]) -> Result<Converted, Unconverted> {
    let words = ["get-token"].iter().chain(&NEEDED).chain(more);
    let words: Vec<String> = words.map(|&word| word.to_owned()).collect();
    converted("kubelogin", &words)
}

fn plain() -> Converted {
    Converted {
        issuer: "https://login.example".to_owned(),
        client_id: "kube".to_owned(),
        client_secret: None,
        scopes: vec!["openid".to_owned()],
        redirect_uris: texts(&["http://localhost:8000", "http://localhost:18000"]),
        extra_params: Vec::new(),
        audience: None,
        resources: Vec::new(),
        pkce: false,
        ca_files: Vec::new(),
        ca_certificates: Vec::new(),
        token: TokenKind::Id,
        flow: None,
        env: Vec::new(),
        notes: Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn kubelogin_is_recognised_however_it_is_started() {
    for (command, args, expected) in [
        ("kubectl", &["oidc-login", "get-token", "--x"][..], true),
        (
            "/usr/bin/kubectl",
            &["oidc-login", "get-token", "--x"],
            true,
        ),
        ("kubelogin", &["get-token", "--x"], true),
        ("/opt/k/kubelogin", &["get-token", "--x"], true),
        (r"C:\k\kubelogin.exe", &["get-token", "--x"], true),
        ("kubectl-oidc_login", &["get-token", "--x"], true),
        ("kubectl", &["get-token", "--x"], false),
        ("kubectl", &["oidc-login", "setup"], false),
        ("kubelogin", &[], false),
        ("hallpass", &["kubectl"], false),
        ("docker", &["run", "kubelogin", "get-token"], false),
    ] {
        let args = texts(args);
        let found = arguments(command, &args);
        let expected = expected.then(|| texts(&["--x"]));
        assert_eq!(found, expected.as_deref(), "{command} {args:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_option_is_converted() {
    type Changed = fn(&mut Converted);
    let table: &[(&[&str], Changed)] = &[
        (&[], |_| ()),
        (&["--oidc-client-secret", "hush"], |c| {
            c.client_secret = Some("hush".into());
        }),
        (&["--oidc-client-secret="], |_| ()),
        (
            &[
                "--oidc-extra-scope=email,groups",
                "--oidc-extra-scope",
                "openid",
            ],
            |c| c.scopes = texts(&["openid", "email", "groups"]),
        ),
        (&["--oidc-use-access-token"], |c| {
            c.token = TokenKind::Access;
        }),
        (&["--oidc-use-access-token=false"], |_| ()),
        (&["--oidc-redirect-url=http://127.0.0.1:9000/cb"], |c| {
            c.redirect_uris = texts(&["http://127.0.0.1:9000/cb"]);
        }),
        (&["--listen-address", "127.0.0.1:9000"], |c| {
            c.redirect_uris = texts(&["http://localhost:9000"]);
        }),
        (&["--listen-address=127.0.0.1:0"], |c| {
            c.redirect_uris = texts(&["http://localhost"]);
        }),
        (&["--listen-port=9001"], |c| {
            c.redirect_uris = texts(&["http://localhost:9001"]);
        }),
        (&["--listen-address=127.0.0.1:9000,127.0.0.1:9001"], |c| {
            c.redirect_uris = texts(&["http://localhost:9000", "http://localhost:9001"]);
        }),
        (&["--listen-address=0.0.0.0:8000"], |c| {
            c.redirect_uris = texts(&["http://localhost:8000"]);
            c.notes = texts(&[
                "--listen-address=0.0.0.0:8000: hallpass listens only on the loopback address",
            ]);
        }),
        (&["--oidc-redirect-url-hostname=127.0.0.1"], |c| {
            c.redirect_uris = texts(&["http://127.0.0.1:8000", "http://127.0.0.1:18000"]);
        }),
        (
            &[
                "--certificate-authority=~/ca.pem",
                "--certificate-authority",
                "/b.pem",
            ],
            |c| c.ca_files = texts(&["~/ca.pem", "/b.pem"]),
        ),
        (&["--certificate-authority-data=UEVN"], |c| {
            c.ca_certificates = b"PEM\n".to_vec();
        }),
        (&["--grant-type=auto"], |_| ()),
        (&["--grant-type=authcode"], |c| c.flow = Some(Flow::Browser)),
        (&["--grant-type", "device-code"], |c| {
            c.flow = Some(Flow::Device);
            c.redirect_uris = Vec::new();
        }),
        (
            &[
                "--oidc-auth-request-extra-params=prompt=login,ui=x",
                "--oidc-pkce-method=S256",
            ],
            |c| {
                let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
                c.extra_params = vec![pair("prompt", "login"), pair("ui", "x")];
                c.pkce = true;
            },
        ),
        (
            &["--oidc-auth-request-extra-params", "acr_values=a,b"],
            |c| {
                c.extra_params = vec![("acr_values".to_owned(), "a,b".to_owned())];
            },
        ),
        (
            &["--oidc-auth-request-extra-params=audience=api,resource=https://r"],
            |c| {
                c.audience = Some("api".to_owned());
                c.resources = texts(&["https://r"]);
            },
        ),
        (&["--oidc-use-pkce"], |c| c.pkce = true),
        (&["--oidc-pkce-method=no"], |c| {
            c.notes = texts(&["--oidc-pkce-method=no left out: hallpass always uses PKCE"]);
        }),
        (&["--skip-open-browser"], |c| {
            c.env = vec![("BROWSER", "none".to_owned())];
        }),
        (&["--browser-command=firefox"], |c| {
            c.notes = texts(&[NO_COMMAND]);
        }),
        (&["--authentication-timeout-sec=60"], |c| {
            c.env = vec![("HALLPASS_SIGN_IN_TIMEOUT", "60".to_owned())];
        }),
        (&["-v1", "--token-cache-dir", "/x", "--logtostderr"], |c| {
            c.notes = texts(&[
                "--token-cache-dir left out: hallpass encrypts its tokens and saves them where `store` says",
                "-v, --logtostderr left out: use `hallpass -v` to see what it does",
            ]);
        }),
        (&["--v=2"], |c| {
            c.notes = texts(&["-v left out: use `hallpass -v` to see what it does"]);
        }),
        (&["--insecure-skip-tls-verify=false"], |_| ()),
    ];
    for (more, changed) in table {
        let mut expected = plain();
        changed(&mut expected);
        assert_eq!(convert(more), Ok(expected), "{more:?}");
    }
}

#[test]
fn the_keyboard_grant_is_replaced_with_a_note() {
    let converted = convert(&["--grant-type=authcode-keyboard"]).unwrap();
    assert_eq!(
        (converted.flow, converted.redirect_uris),
        (None, Vec::new())
    );
    assert!(converted.notes[0].contains("http://127.0.0.1/callback"));
}

#[test]
fn errors_name_the_option_and_hide_its_value() {
    for (more, words) in [
        (&["--nope=hush", "-x"][..], &["--nope, -x"][..]),
        (&["hush"], &["an argument that is not an option"]),
        (&["--", "hush"], &["--"]),
        (&["--server-id=hush"], &["Azure"]),
        (
            &["--oidc-client-secret"],
            &["--oidc-client-secret has no value"],
        ),
        (&["--oidc-client-id="], &["lacks --oidc-client-id"]),
        (
            &["--grant-type=password"],
            &["--grant-type=password", "password grant"],
        ),
        (&["--username=hush"], &["--username", "password grant"]),
        (&["--password=hush"], &["--password"]),
        (
            &["--grant-type=client-credentials"],
            &["client-credentials"],
        ),
        (&["--grant-type=token-exchange"], &["token-exchange"]),
        (&["--grant-type=hush"], &["is unknown"]),
        (
            &["--insecure-skip-tls-verify"],
            &["--insecure-skip-tls-verify", "ca_file"],
        ),
        (&["--local-server-cert=x"], &["--local-server-cert"]),
        (
            &["--oidc-request-header=X=hush"],
            &["--oidc-request-header"],
        ),
        (
            &["--oidc-redirect-url=https://h/cb"],
            &["--oidc-redirect-url", "http://"],
        ),
        (&["--oidc-redirect-url=http://localhost/cb"], &["port 80"]),
        (
            &[
                "--oidc-redirect-url=http://localhost:1/",
                "--listen-address=localhost:2",
            ],
            &["different port"],
        ),
        (&["--oidc-redirect-url-hostname=h.example"], &["localhost"]),
        (&["--listen-address=x"], &["--listen-address"]),
        (&["--certificate-authority-data=%"], &["base64"]),
        (&["--authentication-timeout-sec=x"], &["seconds"]),
        (&["--oidc-auth-request-extra-params=x"], &["NAME=VALUE"]),
    ] {
        let said = convert(more).unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "{more:?}: {said}");
        }
        assert!(!said.contains("hush"), "{more:?}: {said}");
    }
    let said = converted("kubelogin", &texts(&["get-token"])).unwrap_err();
    assert_eq!(said, Unconverted::Missing("--oidc-issuer-url"));
}

#[test]
fn lists_are_split_as_in_go() {
    for (text, expected) in [
        ("a,b", &["a", "b"][..]),
        ("\"a,b\",c", &["a,b", "c"]),
        ("\"a\"\"b\"", &["a\"b"]),
        ("", &[]),
    ] {
        assert_eq!(comma_separated(text), expected, "{text}");
    }
}
