//! A provider on loopback over TLS: discovery, keys, and a token endpoint that accepts everything.
//!
//! A code is the nonce of its request, so the provider stores no state. It counts requests and the
//! processor time that its responses took.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// The client whose tokens are valid for a day.
pub(crate) const CLIENT: &str = "hits";
/// The access token in each response, as long as a JWT with typical claims and groups.
pub(crate) fn token() -> String {
    "t".repeat(1200)
}

/// The client whose tokens are stale when they are issued, so that every call is a miss.
pub(crate) const STALE_CLIENT: &str = "hits-stale";

/// The client whose refreshes are never answered. Its tokens are valid for [`HANGING_LIFETIME`].
pub(crate) const HANGING_CLIENT: &str = "hits-hanging";
/// hallpass refreshes such a token when a tenth of this lifetime is left.
pub(crate) const HANGING_LIFETIME: Duration = Duration::from_secs(40);

pub(crate) struct Provider {
    issuer: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    busy_ns: AtomicU64,
    held: AtomicU64,
}

struct Server {
    issuer: String,
    tls: Arc<rustls::ServerConfig>,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let server = Server {
            issuer: format!("https://localhost:{port}"),
            tls: tls(),
            key: EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                pkcs8.as_ref(),
                &random,
            )
            .expect("a key"),
            random,
        };
        let provider = Self {
            issuer: server.issuer.clone(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&provider.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let before = processor_time();
                // A client may disconnect at any time.
                if server.converse(stream, &seen.held).is_ok() {
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                }
                let took = processor_time().saturating_sub(before);
                seen.busy_ns.fetch_add(took, Ordering::SeqCst);
            }
        });
        provider
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The number of refreshes left unanswered.
    pub(crate) fn held(&self) -> u64 {
        self.seen.held.load(Ordering::SeqCst)
    }

    /// The number of requests since the last call, and the server's processor time for them.
    pub(crate) fn seen(&self) -> (u64, Duration) {
        (
            self.seen.requests.swap(0, Ordering::SeqCst),
            Duration::from_nanos(self.seen.busy_ns.swap(0, Ordering::SeqCst)),
        )
    }
}

impl Server {
    fn converse(&self, stream: TcpStream, held: &AtomicU64) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        let connection =
            rustls::ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut reader = BufReader::new(rustls::StreamOwned::new(connection, stream));
        let mut target = String::new();
        reader.read_line(&mut target)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut form = vec![0; length];
        reader.read_exact(&mut form)?;
        if is_held(&form) {
            held.fetch_add(1, Ordering::SeqCst);
            reader.get_ref().sock.set_read_timeout(None)?;
            // Returns when the client disconnects.
            io::copy(&mut reader, &mut io::sink())?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let body = self
            .answer(target.split(' ').nth(1).unwrap_or_default(), &form)
            .to_string();
        let mut stream = reader.into_inner();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn answer(&self, path: &str, form: &[u8]) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        match path {
            "/.well-known/openid-configuration" => json!({
                "issuer": self.issuer,
                "authorization_endpoint": at("/authorize"),
                "token_endpoint": at("/token"),
                "device_authorization_endpoint": at("/device"),
                "revocation_endpoint": at("/revoke"),
                "jwks_uri": at("/keys"),
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "scopes_supported": ["openid", "offline_access"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
            }),
            "/keys" => {
                // An uncompressed point: 4, x, y.
                let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
                json!({ "keys": [{
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "hits",
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                }] })
            }
            _ => self.tokens(form),
        }
    }

    fn tokens(&self, form: &[u8]) -> Value {
        let client = field(form, "client_id").unwrap_or_default();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let mut claims = json!({
            "iss": self.issuer, "aud": client, "sub": "alice", "iat": now, "exp": now + 86400,
        });
        if let Some(code) = field(form, "code") {
            claims["nonce"] = code.into();
        }
        json!({
            "access_token": token(),
            "token_type": "Bearer",
            "expires_in": match client.as_str() {
                STALE_CLIENT => 0,
                HANGING_CLIENT => HANGING_LIFETIME.as_secs(),
                _ => 86400,
            },
            "refresh_token": "r".repeat(43),
            "scope": "openid offline_access",
            "id_token": self.signed(&claims),
        })
    }

    fn signed(&self, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!(
            "{}.{}",
            part(&json!({ "alg": "ES256", "kid": "hits" })),
            part(claims)
        );
        let signature = self
            .key
            .sign(&self.random, input.as_bytes())
            .expect("a signature");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn field(form: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(form)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Whether the provider leaves this request unanswered.
fn is_held(form: &[u8]) -> bool {
    field(form, "client_id").as_deref() == Some(HANGING_CLIENT)
        && field(form, "grant_type").as_deref() == Some("refresh_token")
}

/// This thread's processor time in nanoseconds (schedstat in proc(5)).
fn processor_time() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The certificate of the tests' fake provider.
fn tls() -> Arc<rustls::ServerConfig> {
    let certificate = include_bytes!("../../tests/it/provider/keys/tls-server.der");
    let key = include_bytes!("../../tests/it/provider/keys/tls-server.pk8");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.as_slice())], key)
        .expect("a certificate");
    Arc::new(config)
}
