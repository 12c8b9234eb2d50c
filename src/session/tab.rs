//! What a waiting browser tab is told once the tool has its reply.

use super::account::Account;
use super::tab_message::TabMessage;
use crate::grant::page::{Ending, Page};
use crate::store::Place;

impl Account<'_> {
    /// Tells a waiting tab how the sign-in ended. Called once the tool has its reply.
    pub fn tell_tab(&self) {
        if let Some(whole) = &self.whole {
            whole.tell_tab();
        }
        let Some((tab, told)) = self.waiting_tab.borrow_mut().take() else {
            return;
        };
        tab.show(&Page {
            provider: &self.provider.name,
            account: &self.identity.account,
            login: &self.login.this,
            login_elsewhere: &self.login.another,
            ending: match &told {
                TabMessage::SignedIn { who } => Ending::SignedIn {
                    who: who.as_deref(),
                    saved: !matches!(self.context.store.place(), Ok(Place::None)),
                },
                TabMessage::Declined => Ending::Declined,
                TabMessage::TimedOut => Ending::TimedOut,
                TabMessage::OtherPerson { pinned, who } => Ending::OtherPerson { pinned, who },
                TabMessage::Failed(reason) => Ending::Failed(*reason),
            },
        });
    }
}
