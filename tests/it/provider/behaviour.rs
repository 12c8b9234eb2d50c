//! The fake provider's behaviour, which a test can change at any time.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::gate::Gate;
use super::keys::KeyName;

/// A JSON object merged into the provider's response. `null` removes a member.
pub(crate) type Patch = Map<String, Value>;

/// Makes a [`Patch`] of `json!({…})`.
pub(crate) fn patch(value: Value) -> Patch {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            panic!("a patch is an object")
        }
    }
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Behaviour {
    /// The only registered client.
    pub(crate) client_id: String,
    pub(crate) client_auth: ClientAuth,
    /// The client is registered to push its requests (RFC 9126 §6), although the metadata doesn't
    /// require it of all clients.
    pub(crate) client_must_push: bool,
    /// Who signs in without the sign-in page: on automatic approval and in the device flow.
    pub(crate) person: String,
    /// `/authorize` redirects immediately instead of showing its page.
    pub(crate) approve_at_once: bool,
    /// `offline_access` is granted only with `prompt=consent` (Core §11).
    pub(crate) offline_needs_consent: bool,
    /// A refresh token is issued even if `offline_access` wasn't requested.
    pub(crate) always_refresh_token: bool,
    pub(crate) rotation: Rotation,
    pub(crate) narrowing: Narrowing,
    /// The lifetime of access tokens and ID tokens, in seconds.
    pub(crate) lifetime: i64,
    /// How far the provider's clock is ahead of the host's, in seconds.
    pub(crate) clock: i64,
    /// Responses have a `Date` header.
    pub(crate) tells_the_time: bool,

    /// Patches the metadata.
    pub(crate) metadata: Patch,
    /// Patches every successful token response.
    pub(crate) token_response: Patch,
    /// Patches the device authorization response.
    pub(crate) device_response: Patch,
    /// Patches the parameters of the authorization response.
    pub(crate) callback: Patch,
    pub(crate) id_token: IdToken,

    /// The keys that `/jwks` publishes.
    pub(crate) published_keys: Vec<KeyName>,
    /// The published keys have no `kid`.
    pub(crate) keys_without_kid: bool,
    /// Every key has this `kid`, so that a key can be replaced under the same ID.
    pub(crate) one_kid: Option<&'static str>,

    /// The errors for the next polls of the device grant, before the real response.
    pub(crate) device_polls: Vec<&'static str>,
    pub(crate) faults: BTreeMap<Endpoint, Fault>,
    /// The revocation endpoint's response to an access token, instead of revoking it.
    pub(crate) access_token_revocation: Option<Fault>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            client_id: "hallpass".to_owned(),
            client_auth: ClientAuth::None,
            client_must_push: false,
            person: "alice".to_owned(),
            approve_at_once: false,
            offline_needs_consent: true,
            always_refresh_token: false,
            rotation: Rotation::On,
            narrowing: Narrowing::Honored,
            lifetime: 3600,
            clock: 0,
            tells_the_time: true,
            metadata: Patch::new(),
            token_response: Patch::new(),
            device_response: Patch::new(),
            callback: Patch::new(),
            id_token: IdToken::default(),
            published_keys: vec![
                KeyName::RsaFirst,
                KeyName::EcFirst,
                KeyName::Pss,
                KeyName::Ed25519,
                KeyName::Rs384,
                KeyName::Rs512,
                KeyName::Ps384,
                KeyName::Ps512,
                KeyName::Ec384,
                KeyName::Certified,
            ],
            keys_without_kid: false,
            one_kid: None,
            device_polls: Vec::new(),
            faults: BTreeMap::new(),
            access_token_revocation: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    None,
    Basic { secret: String },
    Post { secret: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Each refresh issues a new refresh token, and using an old one revokes the family.
    On,
    /// Like `On`, but an old refresh token gets the response to its first use again, like in the grace
    /// period of a real provider.
    Replay,
    /// The refresh token stays valid, and the response doesn't repeat it.
    Off,
}

/// The result of a refresh with a `scope` (RFC 6749 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrowing {
    /// A token with these scopes.
    Honored,
    /// A token with all granted scopes.
    Ignored,
    /// `invalid_scope`
    Refused,
    /// A token with these scopes, and the grant is narrowed to them.
    ForGood,
}

/// How ID tokens are created.
#[derive(Debug, Clone)]
pub(crate) struct IdToken {
    pub(crate) signed_by: KeyName,
    /// Patches the header.
    pub(crate) header: Patch,
    /// Patches the claims.
    pub(crate) claims: Patch,
    pub(crate) signature: Signature,
    /// A refresh also issues an ID token.
    pub(crate) on_refresh: bool,
    /// An ID token issued by a refresh has the `nonce` of the sign-in.
    pub(crate) nonce_on_refresh: bool,
}

impl Default for IdToken {
    fn default() -> Self {
        Self {
            signed_by: KeyName::RsaFirst,
            header: Patch::new(),
            claims: Patch::new(),
            signature: Signature::Good,
            on_refresh: true,
            nonce_on_refresh: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Good,
    /// One bit is wrong.
    Broken,
    /// `alg: none`, and nothing after the last dot.
    None,
    /// `alg: HS256` with the client's secret, or with the published key if there is none.
    Hs256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// `/.well-known/openid-configuration`
    OpenidConfiguration,
    /// `/.well-known/oauth-authorization-server`
    OauthMetadata,
    Jwks,
    Authorize,
    /// `/token` with `grant_type=authorization_code`
    Code,
    /// `/token` with `grant_type=refresh_token`
    Refresh,
    /// `/token` with the device grant
    DevicePoll,
    DeviceAuthorization,
    Revocation,
    UserInfo,
    /// Not in the metadata unless a test adds it.
    Introspection,
    PushedAuthorization,
}

#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This response instead of the real one.
    Answer {
        status: u16,
        content_type: &'static str,
        body: String,
    },
    /// This status, with a `Retry-After` of this many seconds.
    RetryAfter { status: u16, seconds: u64 },
    /// An error whose description echoes the entire request, like a careless server's.
    Quoting { status: u16 },
    /// A 302 or 307 to somewhere else.
    Redirect { status: u16, to: String },
    /// The connection is closed without a response.
    NoAnswer,
    /// The request is handled, but the connection is cut in the middle of the response.
    LostAnswer,
    /// The request waits at the gate and is then handled normally.
    Held(Gate),
    /// This fault once, and none afterwards.
    Once(Box<Fault>),
}

impl Fault {
    pub(crate) fn once(self) -> Self {
        Self::Once(Box::new(self))
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            content_type: "text/plain",
            body: "out of order".to_owned(),
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Answer {
            status,
            content_type: "application/json",
            body: body.to_string(),
        }
    }

    pub(crate) fn html(status: u16) -> Self {
        Self::Answer {
            status,
            content_type: "text/html",
            body: "<!doctype html><title>Welcome to our network</title>".to_owned(),
        }
    }
}
