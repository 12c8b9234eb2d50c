//! The page that a person sees in the browser when the sign-in is over.
//!
//! It holds fixed sentences, no script, and nothing that came over the network but the name of
//! who signed in, escaped. Nothing that the provider or the request said is repeated: an error
//! text in this page would be a stranger's words under our name.
//!
//! The style is inline and named by its hash: <https://www.w3.org/TR/CSP3/#framework-directive-source-list>.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// How a sign-in ended, as the person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    pub provider: &'a str,
    pub account: &'a str,
    /// What a person types to sign in to this account.
    pub login: &'a str,
    /// The same for another account beside it.
    pub login_elsewhere: &'a str,
    pub ending: Ending<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    SignedIn {
        /// Who that is at the provider, where it said so.
        who: Option<&'a str>,
        /// Whether the session is saved: if not, the next command signs in again.
        saved: bool,
    },
    /// The person said no.
    Declined,
    /// The provider did not answer in time.
    TimedOut,
    /// Another person signed in than the one whom the account is pinned to.
    OtherPerson {
        pinned: &'a str,
        who: &'a str,
    },
    Failed(Failure),
}

/// Why a sign-in came to nothing; each has a fixed sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The provider sent an error in place of a code.
    Provider,
    /// The provider could not be reached for the exchange.
    Unreachable,
    /// The provider did not give a token for the code.
    Exchange,
    /// The ID token did not hold.
    IdToken,
    /// The account is pinned to a person, and the provider did not say who signed in.
    UnknownPerson,
    /// The token could not be kept.
    Store,
}

/// A page ready to be sent. `csp` admits its one inline style, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub status: u16,
    pub html: String,
    pub csp: String,
}

impl Page<'_> {
    pub fn render(&self) -> Rendered {
        let Words {
            mood,
            headline,
            sentence,
            then,
        } = self.words();
        let mut html = String::with_capacity(8 * 1024);
        let style = style();
        // Writing to a String cannot fail. The empty icon spares a request for /favicon.ico.
        let _ = write!(
            html,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n\
             <title>{headline} – hallpass</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>{style}</style>\n</head>\n<body>\n\
             <main role=\"status\" class=\"{class}\">\n{icon}\n<h1>{headline}</h1>\n",
            class = mood.class(),
            icon = mood.icon(),
        );
        let _ = writeln!(html, "<p>{sentence}</p>");
        html.push_str(&self.names());
        match then {
            Then::Close => {
                html.push_str("<p>You can close this tab and go back to your terminal.</p>\n");
            }
            Then::Again { lead } => {
                let login = escaped(self.login);
                let _ = writeln!(html, "<p>{lead}</p>\n<code>{login}</code>");
            }
            Then::Elsewhere { lead } => {
                let login = escaped(self.login_elsewhere);
                let _ = writeln!(html, "<p>{lead}</p>\n<code>{login}</code>");
            }
        }
        html.push_str("</main>\n<footer>hallpass, on this computer</footer>\n</body>\n</html>\n");
        Rendered {
            status: match self.ending {
                Ending::SignedIn { .. } => 200,
                // Not 408, which browsers take as a reason to send the request again.
                Ending::Declined
                | Ending::TimedOut
                | Ending::OtherPerson { .. }
                | Ending::Failed(_) => 400,
            },
            html,
            csp: content_security_policy(),
        }
    }

    fn words(&self) -> Words {
        let again = Then::Again {
            lead: "To try again, run",
        };
        match self.ending {
            Ending::SignedIn { saved, .. } => Words {
                mood: Mood::Good,
                headline: "You are signed in",
                sentence: if saved {
                    "hallpass can now answer your tools."
                } else {
                    "The command that asked has its answer. hallpass has no place to save the \
                     session here, so the next command signs in again."
                },
                then: Then::Close,
            },
            Ending::Declined => Words {
                mood: Mood::Calm,
                headline: "The sign-in was declined",
                sentence: "Nothing was stored.",
                then: again,
            },
            Ending::TimedOut => Words {
                mood: Mood::Calm,
                headline: "The provider took too long",
                sentence: "You signed in, but it did not hand out the token in time. \
                           Nothing was stored.",
                then: again,
            },
            Ending::OtherPerson { .. } => Words {
                mood: Mood::Bad,
                headline: "A different person signed in",
                sentence: "This account belongs to a different person. What was stored before is \
                           unchanged. To choose another account, sign in again.",
                then: Then::Elsewhere {
                    lead: "To use both, add the new one as a separate account",
                },
            },
            Ending::Failed(reason) => reason.words(again),
        }
    }

    fn names(&self) -> String {
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
            // bdi: a name in a right-to-left script leaves its neighbours where they are.
            let _ = writeln!(list, "<dt>{name}</dt><dd><bdi>{}</bdi></dd>", shown(value));
        }
        list.push_str("</dl>\n");
        list
    }
}

impl Failure {
    fn words(self, again: Then) -> Words {
        let (headline, sentence, then) = match self {
            Failure::Provider => (
                "The provider reported an error",
                "Nothing was stored. Your terminal says what the error was.",
                again,
            ),
            Failure::Unreachable => (
                "The provider could not be reached",
                "You signed in, but fetching the token failed on the way. Nothing was stored.",
                Then::Again {
                    lead: "Once it can be reached again, run",
                },
            ),
            Failure::Exchange => (
                "The provider gave no token",
                "You signed in, but the provider refused to exchange that for a token. \
                 Nothing was stored. Your terminal says more.",
                again,
            ),
            Failure::IdToken => (
                "The provider’s answer could not be verified",
                "It did not prove who signed in, so nothing of it was stored. \
                 Your terminal says what was wrong.",
                again,
            ),
            Failure::UnknownPerson => (
                "It is not clear who signed in",
                "This account belongs to one person, and the provider did not say who has just \
                 signed in. What was stored before is unchanged.",
                again,
            ),
            Failure::Store => (
                "The token could not be stored",
                "You signed in, but this computer could not keep the token. \
                 Your terminal says why.",
                Then::Again {
                    lead: "When that is mended, run",
                },
            ),
        };
        Words {
            mood: Mood::Bad,
            headline,
            sentence,
            then,
        }
    }
}

struct Words {
    mood: Mood,
    headline: &'static str,
    sentence: &'static str,
    then: Then,
}

/// What to do next.
enum Then {
    Close,
    Again { lead: &'static str },
    Elsewhere { lead: &'static str },
}

#[derive(Clone, Copy)]
enum Mood {
    Good,
    Calm,
    Bad,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Mood::Good => "good",
            Mood::Calm => "calm",
            Mood::Bad => "bad",
        }
    }

    fn icon(self) -> &'static str {
        match self {
            Mood::Good => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4.5 12.5l5 5 10-11"/></svg>"#
            }
            Mood::Calm => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 12h14"/></svg>"#
            }
            Mood::Bad => {
                r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 5v8.5M12 18.5v.01"/></svg>"#
            }
        }
    }
}

/// The policy under which every response of the listener is shown.
pub(super) fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(style()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'"
    )
}

/// The style as a browser hashes it: its parser turns each CRLF into LF before, and a checkout on
/// Windows may have put them there.
fn style() -> String {
    include_str!("page.css").replace('\r', "")
}

/// Longest name shown, in characters. A person recognizes one by less.
const NAME_LIMIT: usize = 200;

/// A name for HTML: cut and escaped.
fn shown(name: &str) -> String {
    match name.char_indices().nth(NAME_LIMIT) {
        Some((end, _)) => escaped(&name[..end]) + "…",
        None => escaped(name),
    }
}

/// Text for HTML, with nothing in it that draws over its neighbours.
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

/// Controls, line separators, and the characters that turn the direction of what follows
/// (Unicode's `Bidi_Control`, <https://www.unicode.org/reports/tr9/>).
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
    fn each_page_names_provider_and_account_and_says_what_to_do_next() {
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
    fn who_signed_in_is_named_where_it_is_known() {
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
    fn a_command_is_shown_whole_and_cannot_write_markup() {
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
    fn only_success_says_so() {
        for page in every_page("p", "a", "w") {
            let Rendered { status, html, .. } = page.render();
            let success = matches!(page.ending, Ending::SignedIn { .. });
            assert_eq!(status == 200, success, "{page:?}");
            assert_eq!(html.contains("You are signed in"), success, "{page:?}");
        }
    }

    #[test]
    fn names_cannot_write_markup_or_turn_the_text_around() {
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
    fn a_long_name_is_cut() {
        assert_eq!(shown(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(shown(&"é".repeat(201)), "é".repeat(200) + "…");
        // Cut before it is escaped: no half of an entity.
        assert!(shown(&"&".repeat(300)).ends_with("&amp;…"));
    }

    #[test]
    fn the_policy_names_the_one_style_and_there_is_nothing_else_it_would_have_to_allow() {
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
