//! The sign-in pages: plain HTML without scripts.

use super::server::{Pairs, first};

pub(super) fn sign_in(id: &str, person: &str, asked: &Pairs) -> String {
    let client = escaped(first(asked, "client_id").unwrap_or_default());
    let scopes: Vec<String> = first(asked, "scope")
        .unwrap_or_default()
        .split_whitespace()
        .map(|scope| format!("<li>{}</li>", escaped(scope)))
        .collect();
    let scopes = scopes.concat();
    let person = escaped(first(asked, "login_hint").unwrap_or(person));
    document(
        "Sign in",
        &format!(
            r#"<p><strong>{client}</strong> asks to act on your behalf, with these scopes:</p>
<ul>{scopes}</ul>
<form method="post" action="/sign-in">
<input type="hidden" name="request" value="{id}">
<label>User name <input name="user" value="{person}" autocomplete="off" autofocus required></label>
<p class="buttons"><button name="decision" value="sign-in">Sign in</button>
<button name="decision" value="decline" formnovalidate>Decline</button></p>
</form>
<p class="note">This provider runs on your own machine, for tests. Enter any name; there is no password.</p>"#
        ),
    )
}

pub(super) fn device(user_code: &str, person: &str) -> String {
    let (user_code, person) = (escaped(user_code), escaped(person));
    document(
        "Connect a device",
        &format!(
            r#"<form method="post" action="/device">
<label>Code <input name="user_code" value="{user_code}" autocomplete="off" required></label>
<label>User name <input name="user" value="{person}" autocomplete="off" required></label>
<p class="buttons"><button name="decision" value="sign-in">Connect</button>
<button name="decision" value="decline" formnovalidate>Decline</button></p>
</form>"#
        ),
    )
}

pub(super) fn message(title: &str, text: &str) -> String {
    document(title, &format!("<p>{}</p>", escaped(text)))
}

fn document(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>{title} · Test provider</title>
<style>{STYLE}</style>
<main><h1>{title}</h1>
{content}
</main>
</html>
"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "
:root { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif }
body { display: grid; min-height: 90vh; place-items: center; margin: 1rem }
main { max-width: 26rem }
label { display: block; margin: 1rem 0 }
input, button { font: inherit; padding: .4rem .7rem }
input { display: block; width: 100%; box-sizing: border-box }
.buttons { display: flex; gap: .7rem }
.note { opacity: .7; font-size: .85rem }
";
