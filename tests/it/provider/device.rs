//! The device authorization endpoint (RFC 8628) and the page where the user enters the code.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::json;

use super::ledger::{Decision, Device};
use super::metadata::apply_patch;
use super::server::{Request, Response, first};
use super::{Provider, State, lock, page, random};

impl Provider {
    /// Waits for a pending device, and approves all of them.
    pub(crate) fn approve_devices(&self, person: &str) {
        self.decide_devices(|| Decision::Approved {
            person: person.to_owned(),
        });
    }

    pub(crate) fn decline_devices(&self) {
        self.decide_devices(|| Decision::Declined);
    }

    fn decide_devices(&self, decision: impl Fn() -> Decision) {
        let ledger = lock(&self.state.ledger);
        let (mut ledger, _) = self
            .state
            .changed
            .wait_timeout_while(ledger, Duration::from_secs(30), |ledger| {
                ledger.devices.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!ledger.devices.is_empty(), "no device asked for a code");
        for device in &mut ledger.devices {
            device.decision = decision();
        }
    }
}

impl State {
    pub(super) fn device_authorization(&self, request: &Request) -> Response {
        if let Err(response) = self.authenticate_client(request) {
            return response;
        }
        let device_code = format!("dc-{}", random());
        let number: u32 = rand::random();
        let user_code = format!("{:04}-{:04}", number % 10_000, number / 10_000 % 10_000);
        let mut body = json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": format!("{}/device", self.base),
            "verification_uri_complete": format!("{}/device?user_code={user_code}", self.base),
            "expires_in": 600,
            "interval": 1,
        });
        apply_patch(&mut body, &lock(&self.behaviour).device_response);
        let mut ledger = lock(&self.ledger);
        ledger.secrets.push(("device code", device_code.clone()));
        ledger.devices.push(Device {
            device_code,
            user_code,
            asked: request.form.clone(),
            decision: Decision::Pending,
        });
        drop(ledger);
        self.changed.notify_all();
        Response::json(200, &body)
    }

    pub(super) fn device_page(&self, request: &Request) -> Response {
        let person = lock(&self.behaviour).person.clone();
        let user_code = first(&request.query, "user_code").unwrap_or_default();
        Response::html(200, page::device(user_code, &person))
    }

    pub(super) fn device_decision(&self, request: &Request) -> Response {
        let form = |name| first(&request.form, name).unwrap_or_default();
        let mut ledger = lock(&self.ledger);
        let user_code = form("user_code");
        let Some(device) = ledger.devices.iter_mut().find(|d| d.user_code == user_code) else {
            return Response::html(400, page::message("That did not work", "No such code."));
        };
        device.decision = match form("decision") {
            "decline" => Decision::Declined,
            _ => Decision::Approved {
                person: form("user").to_owned(),
            },
        };
        Response::html(200, page::message("Thank you", "Go back to your terminal."))
    }
}
