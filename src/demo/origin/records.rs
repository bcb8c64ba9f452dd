//! The clinic's JSON: patients, encounters, statistics. Only for those who show who they are.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::answer;
use super::visitor::Visitor;

/// Patients are numbered from 1.
const NAMES: [&str; 12] = [
    "Solveig Lund",
    "Ivar Berg",
    "Nora Dahl",
    "Emil Strand",
    "Ingrid Moen",
    "Jonas Vik",
    "Astrid Holm",
    "Oskar Lie",
    "Maja Foss",
    "Henrik Ruud",
    "Liv Aas",
    "Sander Eide",
];
const WARDS: [&str; 3] = ["cardiology", "orthopaedics", "maternity"];
const LONGEST_PHONE: usize = 32;

/// What is written down.
#[derive(Default)]
pub(super) struct Records {
    /// Phone numbers that were changed, by patient.
    phones: Mutex<BTreeMap<usize, String>>,
}

impl Records {
    /// Answers by the path's segments.
    pub(super) fn answer(
        &self,
        method: &Method,
        segments: &[&str],
        visitor: &Visitor,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let Some(user) = &visitor.user else {
            return said(
                StatusCode::UNAUTHORIZED,
                &json!({"detail": "say who you are: Authorization: Bearer north.ada"}),
            );
        };
        let found = match (method, segments) {
            (&Method::GET, ["api", "patients"]) => Some(self.list()),
            (&Method::GET, ["api", "patients", id]) => self.patient(id, user),
            (&Method::PUT, ["api", "patients", id]) => self.change(id, user, body),
            (&Method::GET, ["api", "encounters", id]) => self.encounter(id, user),
            (&Method::GET, ["dashboard", "stats"]) => Some(stats(&visitor.tenant)),
            _ => None,
        };
        match found {
            Some(found) => said(StatusCode::OK, &found),
            None => said(StatusCode::NOT_FOUND, &json!({"detail": "there is nothing here"})),
        }
    }

    fn list(&self) -> Value {
        let patients = NAMES.iter().zip(1..).map(|(name, id): (_, usize)| json!({"id": id, "name": name}));
        json!({"count": NAMES.len(), "patients": patients.collect::<Vec<_>>()})
    }

    fn patient(&self, id: &str, user: &str) -> Option<Value> {
        let (id, name) = known(id)?;
        let ward = WARDS[id % WARDS.len()];
        Some(json!({"id": id, "name": name, "ward": ward, "phone": self.phone(id), "seen_by": user}))
    }

    /// Changes the phone number, if the body names one.
    fn change(&self, id: &str, user: &str, body: &[u8]) -> Option<Value> {
        let (number, _) = known(id)?;
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(phone) = sent["phone"].as_str().filter(|phone| phone.len() <= LONGEST_PHONE) {
            let mut phones = self.phones.lock().unwrap_or_else(PoisonError::into_inner);
            phones.insert(number, phone.to_owned());
        }
        self.patient(id, user)
    }

    /// Encounter 31 is patient 7's. It repeats how to reach the patient, as such answers do.
    fn encounter(&self, id: &str, user: &str) -> Option<Value> {
        let id: usize = id.parse().ok().filter(|id| (1..=99).contains(id))?;
        let patient = id % 12;
        let patient = if patient == 0 { NAMES.len() } else { patient };
        let note = "Follow-up; blood pressure 128/82; next visit in six weeks.";
        Some(json!({
            "id": id, "patient_id": patient, "phone": self.phone(patient), "note": note, "seen_by": user,
        }))
    }

    fn phone(&self, id: usize) -> String {
        let phones = self.phones.lock().unwrap_or_else(PoisonError::into_inner);
        phones.get(&id).cloned().unwrap_or_else(|| format!("+47 22 85 00 {id:02}"))
    }
}

fn known(id: &str) -> Option<(usize, &'static str)> {
    let id: usize = id.parse().ok()?;
    Some((id, *NAMES.get(id.checked_sub(1)?)?))
}

/// Each hospital has numbers of its own.
fn stats(tenant: &str) -> Value {
    let beds = 40 + tenant.len() * 7;
    json!({"tenant": tenant, "beds": beds, "occupied": beds * 4 / 5, "admitted_today": tenant.len() * 2})
}

fn said(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    answer(status, "application/json", format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encounter_follows_its_patient() {
        let records = Records::default();
        let phone = |records: &Records| records.encounter("31", "ada").expect("it is known")["phone"].clone();
        assert_eq!(phone(&records), "+47 22 85 00 07");
        records.change("7", "ada", br#"{"phone":"1"}"#);
        assert_eq!(phone(&records), "1");
    }

    #[test]
    fn only_known_numbers() {
        let records = Records::default();
        for id in ["0", "13", "x", "-1", "99999999999999999999"] {
            assert_eq!(records.patient(id, "ada"), None, "{id}");
        }
    }
}
