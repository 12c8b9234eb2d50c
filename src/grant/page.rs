//! The page that the browser shows after the sign-in.
//!
//! It has fixed sentences and no script. The only text from the network is the name of the user who
//! signed in, escaped. The page never repeats an error message of the provider or a part of the
//! request, because anyone could put text on the page that seems to come from hallpass.
//!
//! The style is inline and allowed by its hash: <https://www.w3.org/TR/CSP3/#framework-directive-source-list>.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The result of a sign-in, to be shown to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    pub provider: &'a str,
    pub account: &'a str,
    /// The command that signs in to this account.
    pub login: &'a str,
    /// The command that adds another account.
    pub login_elsewhere: &'a str,
    pub ending: Ending<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    SignedIn {
        /// The user's name at the provider, if known.
        who: Option<&'a str>,
        /// Whether the session is saved. If not, the next command signs in again.
        saved: bool,
    },
    /// The user declined.
    Declined,
    /// The provider did not respond in time.
    TimedOut,
    /// A different person signed in than before, and the account is pinned to the first one.
    OtherPerson {
        pinned: &'a str,
        who: &'a str,
    },
    Failed(Failure),
}

/// Why a sign-in failed. Each reason has a fixed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The provider sent an error instead of a code.
    Provider,
    /// The provider could not be reached to exchange the code.
    Unreachable,
    /// The provider did not issue a token for the code.
    Exchange,
    /// The ID token could not be verified.
    IdToken,
    /// The account is pinned to a person, and the provider did not report who signed in.
    UnknownPerson,
    /// The session could not be saved.
    Store,
}

/// A page as HTML. `csp` allows only its inline style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub status: u16,
    pub html: String,
    pub csp: String,
}

impl Page<'_> {
    pub fn render(&self) -> Rendered {
        let Text {
            tone,
            headline,
            sentence,
            next,
        } = self.text();
        let mut html = String::with_capacity(8 * 1024);
        let style = style();
        // Writing to a String cannot fail. The empty icon prevents a request for /favicon.ico.
        let _ = write!(
            html,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n\
             <title>{headline} – hallpass</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>{style}</style>\n</head>\n<body>\n\
             <main role=\"status\" class=\"{class}\">\n{icon}\n<h1>{headline}</h1>\n",
            class = tone.class(),
            icon = tone.icon(),
        );
        let _ = writeln!(html, "<p>{sentence}</p>");
        html.push_str(&self.details());
        match next {
            Next::Close => {
                html.push_str("<p>You can close this tab and return to your terminal.</p>\n");
            }
            Next::Retry { lead } => {
                let login = escaped(self.login);
                let _ = writeln!(html, "<p>{lead}</p>\n<code>{login}</code>");
            }
            Next::AddAccount { lead } => {
                let login = escaped(self.login_elsewhere);
                let _ = writeln!(html, "<p>{lead}</p>\n<code>{login}</code>");
            }
        }
        html.push_str("</main>\n<footer>This page is from hallpass on your computer</footer>\n</body>\n</html>\n");
        Rendered {
            status: match self.ending {
                Ending::SignedIn { .. } => 200,
                // Not 408, because browsers repeat the request after that.
                Ending::Declined
                | Ending::TimedOut
                | Ending::OtherPerson { .. }
                | Ending::Failed(_) => 400,
            },
            html,
            csp: content_security_policy(),
        }
    }

    fn text(&self) -> Text {
        let retry = Next::Retry {
            lead: "To try again, run:",
        };
        match self.ending {
            Ending::SignedIn { saved, .. } => Text {
                tone: Tone::Good,
                headline: "You are signed in",
                sentence: if saved {
                    "hallpass saved your session on this computer."
                } else {
                    "Your session is not saved on this computer, so the next command asks you to \
                     sign in again."
                },
                next: Next::Close,
            },
            Ending::Declined => Text {
                tone: Tone::Calm,
                headline: "The sign-in was declined",
                sentence: "Nothing was saved.",
                next: retry,
            },
            Ending::TimedOut => Text {
                tone: Tone::Calm,
                headline: "The provider took too long",
                sentence: "You signed in, but the provider did not issue a token in time. \
                           Nothing was saved.",
                next: retry,
            },
            Ending::OtherPerson { .. } => Text {
                tone: Tone::Bad,
                headline: "A different person signed in",
                sentence: "This account belongs to a different person, and its session is \
                           unchanged. To choose another account, sign in again.",
                next: Next::AddAccount {
                    lead: "To use both, add the new one as a separate account:",
                },
            },
            Ending::Failed(reason) => reason.text(retry),
        }
    }

    fn details(&self) -> String {
        let mut rows = vec![("Provider", self.provider), ("Account", self.account)];
        match self.ending {
            Ending::SignedIn { who, .. } => rows.extend(who.map(|who| ("Signed in as", who))),
            Ending::OtherPerson { pinned, who } => {
                rows.extend([("Belongs to", pinned), ("Signed in now", who)]);
            }
            Ending::Declined | Ending::TimedOut | Ending::Failed(_) => (),
        }
        let mut list = String::from("<dl>\n");
        for (name, value) in rows {
            // bdi: a name in a right-to-left script doesn't reorder the text around it.
            let _ = writeln!(list, "<dt>{name}</dt><dd><bdi>{}</bdi></dd>", shown(value));
        }
        list.push_str("</dl>\n");
        list
    }
}

impl Failure {
    fn text(self, retry: Next) -> Text {
        let (headline, sentence, next) = match self {
            Failure::Provider => (
                "The provider reported an error",
                "Nothing was saved. Your terminal shows the error.",
                retry,
            ),
            Failure::Unreachable => (
                "The provider could not be reached",
                "You signed in, but hallpass could not connect to the provider to get a token. \
                 Nothing was saved.",
                Next::Retry {
                    lead: "When the connection works again, run:",
                },
            ),
            Failure::Exchange => (
                "The provider did not issue a token",
                "You signed in, but the provider rejected the request for a token. \
                 Nothing was saved. Your terminal shows the reason.",
                retry,
            ),
            Failure::IdToken => (
                "The provider’s response could not be verified",
                "You signed in, but the provider did not prove who you are. \
                 Nothing was saved. Your terminal shows the reason.",
                retry,
            ),
            Failure::UnknownPerson => (
                "The provider did not report who signed in",
                "This account belongs to one person, so hallpass must know who signed in. \
                 Its session is unchanged.",
                retry,
            ),
            Failure::Store => (
                "The session could not be saved",
                "You signed in, but hallpass could not save the session on this computer. \
                 Your terminal shows the reason.",
                Next::Retry {
                    lead: "When this is fixed, run:",
                },
            ),
        };
        Text {
            tone: Tone::Bad,
            headline,
            sentence,
            next,
        }
    }
}

struct Text {
    tone: Tone,
    headline: &'static str,
    sentence: &'static str,
    next: Next,
}

/// What to do next.
enum Next {
    Close,
    Retry { lead: &'static str },
    AddAccount { lead: &'static str },
}

#[derive(Clone, Copy)]
enum Tone {
    Good,
    Calm,
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Calm => "calm",
            Tone::Bad => "bad",
        }
    }

    fn icon(self) -> &'static str {
        match self {
            Tone::Good => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4.5 12.5l5 5 10-11"/></svg>"#
            }
            Tone::Calm => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 12h14"/></svg>"#
            }
            Tone::Bad => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 5v8.5M12 18.5v.01"/></svg>"#
            }
        }
    }
}

/// The content security policy of every response.
pub(super) fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(style()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'"
    )
}

/// The style as a browser hashes it, without the carriage returns of a checkout on Windows.
fn style() -> String {
    include_str!("page.css").replace('\r', "")
}

/// The longest name that the page shows, in characters.
const NAME_LIMIT: usize = 200;

/// A name for HTML: truncated and escaped.
fn shown(name: &str) -> String {
    match name.char_indices().nth(NAME_LIMIT) {
        Some((end, _)) => escaped(&name[..end]) + "…",
        None => escaped(name),
    }
}

/// Text for HTML, without invisible characters.
fn escaped(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c if is_invisible(c) => text.push(char::REPLACEMENT_CHARACTER),
            c => text.push(c),
        }
    }
    text
}

/// Control characters, line separators, and characters that change the text direction (Unicode's
/// `Bidi_Control`, <https://www.unicode.org/reports/tr9/>).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: [Failure; 6] = [
        Failure::Provider,
        Failure::Unreachable,
        Failure::Exchange,
        Failure::IdToken,
        Failure::UnknownPerson,
        Failure::Store,
    ];

    fn every_page<'a>(provider: &'a str, account: &'a str, who: &'a str) -> Vec<Page<'a>> {
        let mut endings = vec![
            Ending::SignedIn {
                who: Some(who),
                saved: true,
            },
            Ending::SignedIn {
                who: None,
                saved: false,
            },
            Ending::Declined,
            Ending::TimedOut,
            Ending::OtherPerson { pinned: "bob", who },
        ];
        endings.extend(FAILURES.map(Ending::Failed));
        let page = |ending| Page {
            provider,
            account,
            login: "hallpass login gitlab --account work",
            login_elsewhere: "hallpass login gitlab --account OTHER",
            ending,
        };
        endings.into_iter().map(page).collect()
    }

    #[test]
    fn every_page_names_provider_account_and_next_step() {
        for page in every_page("gitlab", "work", "ada@example.org") {
            let html = page.render().html;
            assert!(html.contains("<bdi>gitlab</bdi>"), "{page:?}");
            assert!(html.contains("<bdi>work</bdi>"), "{page:?}");
            let next = match page.ending {
                Ending::SignedIn { .. } => "close this tab",
                Ending::OtherPerson { .. } => "<code>hallpass login gitlab --account OTHER</code>",
                Ending::Declined | Ending::TimedOut | Ending::Failed(_) => {
                    "<code>hallpass login gitlab --account work</code>"
                }
            };
            assert!(html.contains(next), "{page:?}");
        }
    }

    #[test]
    fn the_signed_in_user_is_named_if_known() {
        for page in every_page("gitlab", "work", "ada@example.org") {
            let html = page.render().html;
            let named = match page.ending {
                Ending::SignedIn { who, .. } => who.is_some(),
                Ending::OtherPerson { .. } => true,
                Ending::Declined | Ending::TimedOut | Ending::Failed(_) => false,
            };
            assert_eq!(
                html.contains("<bdi>ada@example.org</bdi>"),
                named,
                "{page:?}"
            );
        }
    }

    #[test]
    fn a_command_is_never_truncated_and_is_escaped() {
        let login = format!(
            "hallpass login --issuer-url 'https://{}<b>'",
            "a".repeat(300)
        );
        let page = Page {
            login: &login,
            ..every_page("p", "a", "w")[2]
        };
        let html = page.render().html;
        assert!(html.contains(&format!("{}&lt;b&gt;&#39;</code>", "a".repeat(300))));
    }

    #[test]
    fn only_a_success_says_signed_in() {
        for page in every_page("p", "a", "w") {
            let Rendered { status, html, .. } = page.render();
            let success = matches!(page.ending, Ending::SignedIn { .. });
            assert_eq!(status == 200, success, "{page:?}");
            assert_eq!(html.contains("You are signed in"), success, "{page:?}");
        }
    }

    #[test]
    fn names_are_escaped_without_bidi_characters() {
        for (name, expected) in [
            ("<script>", "&lt;script&gt;"),
            ("\"'&", "&quot;&#39;&amp;"),
            ("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c"),
            (
                "a\r\n\u{0}\u{7f}\u{85}b",
                "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}b",
            ),
            ("Zoë 渡辺", "Zoë 渡辺"),
        ] {
            assert_eq!(shown(name), expected);
            for page in every_page(name, name, name) {
                let html = page.render().html;
                assert!(html.contains(expected), "{name:?}");
                assert_eq!(html.matches("<script").count(), 0, "{name:?}");
            }
        }
    }

    #[test]
    fn a_long_name_is_truncated() {
        assert_eq!(shown(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(shown(&"é".repeat(201)), "é".repeat(200) + "…");
        // The name is truncated before it is escaped, so no entity is split.
        assert!(shown(&"&".repeat(300)).ends_with("&amp;…"));
    }

    #[test]
    fn the_policy_allows_only_the_inline_style() {
        for page in every_page("p", "a", "w") {
            let Rendered { html, csp, .. } = page.render();
            let (_, rest) = html.split_once("<style>").unwrap();
            let (style, rest) = rest.split_once("</style>").unwrap();
            assert!(!style.contains('\r'));
            assert!(csp.contains(&STANDARD.encode(Sha256::digest(style))));
            for forbidden in [
                "<style", "<script", "style=", "url(", "src=", "http:", "https:", " on",
            ] {
                assert!(
                    !rest.split("</h1>").next().unwrap().contains(forbidden),
                    "{forbidden}"
                );
            }
        }
    }
}
