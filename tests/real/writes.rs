//! A write through Stent is seen by whoever reads afterwards, a write that failed costs nobody a hit, and what did not pass
//! through Stent can be purged from outside.

use std::process::Command;

use crate::client::{Answer, Request};
use crate::process::{Example, Origin, Stent};

/// What is asked, as one reader.
struct Reader<'a> {
    stent: &'a Stent,
    authorization: &'static str,
}

impl Reader<'_> {
    fn get(&self, target: &str) -> Answer {
        self.stent.ask(&Request::get(target).with("Authorization", self.authorization))
    }

    /// Reads until it is a hit, which is the second time.
    fn keep(&self, targets: &[&str]) {
        for target in targets {
            self.get(target);
            assert!(self.get(target).is_hit(), "{target} is not kept: {}", self.get(target).header("cache-status"));
        }
    }

    fn write(&self, method: &str, target: &str, json: &str) -> Answer {
        let request = Request::new(method, target).with("Authorization", self.authorization);
        self.stent.ask(&if json.is_empty() { request } else { request.json(json) })
    }

    fn hits(&self, target: &str) -> bool {
        self.get(target).is_hit()
    }
}

const ITEM: &str = "/api/patients/7/";
const LIST: &str = "/api/patients/?page_size=100";
const OF_PATIENT: &str = "/api/patients/7/encounters/";
const OTHER: &str = "/api/patients/8/";

#[test]
fn the_clinic_shows_what_was_written() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let alice = Reader { stent: &stent, authorization: "Token token-alice" };
    let bob = Reader { stent: &stent, authorization: "Token token-bob" };
    let kept = [ITEM, LIST, OF_PATIENT, OTHER];
    let keep = || [&alice, &bob].iter().for_each(|reader| reader.keep(&kept));
    let ward = |answer: &Answer| answer.json()["ward"].as_str().unwrap_or("").to_owned();
    let in_list = |answer: &Answer| {
        let json = answer.json();
        let patient = json["results"].as_array().expect("a page").iter().find(|patient| patient["id"] == 7);
        patient.map(|patient| patient["ward"].as_str().unwrap_or("").to_owned())
    };

    keep();
    let whole = r#"{"name":"Awa Cisse","birth_date":"1990-05-01","ward":"radiology","allergies":""}"#;
    for (method, json, now) in [("PATCH", r#"{"ward":"oncology"}"#, "oncology"), ("PUT", whole, "radiology")] {
        assert_eq!(bob.write(method, ITEM, json).status, 200);
        for reader in [&alice, &bob] {
            let [item, list] = [ITEM, LIST].map(|target| reader.get(target));
            assert!(!item.is_hit() && ward(&item) == now, "{method}: {}", item.text());
            assert!(!list.is_hit() && in_list(&list).as_deref() == Some(now), "{method}: {}", list.text());
            assert!(!reader.hits(OF_PATIENT), "{method}: the patient's encounters carry the patient's tag");
            assert!(reader.hits(OTHER), "{method}: another patient is not touched");
        }
        keep();
    }

    for (status, method, json) in [(400, "PUT", r#"{"ward":"x"}"#), (400, "PATCH", "{"), (405, "POST", "{}")] {
        assert_eq!(bob.write(method, ITEM, json).status, status);
    }
    let mallory = Reader { stent: &stent, authorization: "Token token-mallory" };
    assert_eq!(mallory.write("DELETE", ITEM, "").status, 401);
    for reader in [&alice, &bob] {
        kept.iter().for_each(|target| assert!(reader.hits(target), "{target} after writes that failed"));
    }

    let made = bob.write("POST", "/api/patients/", whole);
    assert_eq!(made.status, 201);
    let list = alice.get(LIST);
    assert!(!list.is_hit() && list.json()["count"] == 21, "{}", list.text());
    assert!(alice.hits(ITEM), "a new patient does not touch the others");

    keep();
    assert_eq!(bob.write("DELETE", ITEM, "").status, 204);
    for reader in [&alice, &bob] {
        assert_eq!(reader.get(ITEM).status, 404);
        assert_eq!(reader.get(OF_PATIENT).status, 404);
        assert_eq!(in_list(&reader.get(LIST)), None);
        assert!(reader.hits(OTHER));
    }
}

#[test]
fn an_encounter_shows_where_it_belongs() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let alice = Reader { stent: &stent, authorization: "Token token-alice" };
    let bob = Reader { stent: &stent, authorization: "Token token-bob" };
    let [third, fourth, fifth] = [3, 4, 5].map(|id| format!("/api/patients/{id}/encounters/"));
    let all = [&third, &fourth, &fifth].map(String::as_str);
    let ids = |target: &str| {
        let json = alice.get(target).json();
        json.as_array().expect("a list").iter().map(|each| each["id"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    alice.keep(&all);
    alice.keep(&["/api/encounters/?page_size=100"]);
    let visit = r#"{"patient_id":3,"date":"2026-01-02","reason":"fever","note":"n"}"#;
    assert_eq!(bob.write("POST", "/api/encounters/", visit).json()["id"], 41);
    assert_eq!(alice.get("/api/encounters/?page_size=100").json()["count"], 41);
    assert_eq!((ids(&third), alice.hits(&fourth)), (vec![3, 23, 41], true));

    // It moves: both lists change, though the request names neither the old patient nor its list.
    alice.keep(&all);
    assert_eq!(bob.write("PATCH", "/api/encounters/41/", r#"{"patient_id":4}"#).status, 200);
    assert_eq!((ids(&third), ids(&fourth), alice.hits(&fifth)), (vec![3, 23], vec![4, 24, 41], true));

    alice.keep(&all);
    assert_eq!(bob.write("DELETE", "/api/encounters/41/", "").status, 204);
    // Neither the request nor the empty answer says whose it was, so all patients' lists are asked for again.
    assert_eq!(ids(&fourth), [4, 24]);
}

#[test]
fn the_service_shows_what_was_written() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let doctor = Reader { stent: &stent, authorization: "Bearer a.doctor1" };
    let nurse = Reader { stent: &stent, authorization: "Bearer a.nurse1" };
    let (item, list, stats, other) = ("/patients/7", "/patients", "/dashboard/stats", "/patients/8");
    let kept = [item, list, stats, other];
    let keep = || [&doctor, &nurse].iter().for_each(|reader| reader.keep(&kept));
    keep();
    let whole = r#"{"name":"Two","email":"two@a.example"}"#;
    let writes = [("PATCH", r#"{"name":"One"}"#, "One"), ("PUT", whole, "Two")];
    for (changes, (method, json, name)) in writes.into_iter().enumerate() {
        assert_eq!(nurse.write(method, item, json).status, 200);
        for reader in [&doctor, &nurse] {
            assert_eq!(reader.get(item).json()["name"], name, "{method}");
            assert_eq!(reader.get(list).json()["items"][6]["name"], name, "{method}");
            assert_eq!(reader.get(stats).json()["changes"], changes + 1, "{method}");
            assert!(reader.hits(other), "{method}");
        }
        keep();
    }
    assert_eq!(nurse.write("PUT", item, "{}").status, 422);
    assert_eq!(nurse.write("DELETE", "/patients/77", "").status, 404);
    assert_eq!(Reader { stent: &stent, authorization: "none" }.write("DELETE", item, "").status, 401);
    // The one for a patient who is not there may have touched the lists for all that is known: it failed, so it did not.
    kept.iter().for_each(|target| assert!(doctor.hits(target), "{target} after writes that failed"));

    assert_eq!(nurse.write("POST", "/patients", whole).header("location"), "/patients/21");
    assert_eq!(doctor.get(list).json()["total"], 21);
    assert_eq!(doctor.get(stats).json()["patients"], 21);
    assert!(doctor.hits(item));
    keep();
    assert_eq!(nurse.write("DELETE", item, "").status, 204);
    assert_eq!(doctor.get(item).status, 404);
    assert_eq!(doctor.get(list).json()["total"], 20);
    assert_eq!(nurse.write("POST", "/documents", "{}").status, 201);
    assert_eq!(doctor.get(stats).json()["documents"], 1);
}

/// The origin names each patient by tenant and number (`Surrogate-Key`); the route by number alone.
#[test]
fn purges_from_outside() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let a = Reader { stent: &stent, authorization: "Bearer a.doctor1" };
    let b = Reader { stent: &stent, authorization: "Bearer b.doctor1" };
    let item = "/patients/7";
    let keep = || [&a, &b].iter().for_each(|reader| reader.keep(&[item]));
    let state = || (a.hits(item), b.hits(item));

    keep();
    stent.purge(&["patient:a:7"]);
    assert_eq!(state(), (false, true), "the origin's own name");
    keep();
    stent.purge(&["patient:7"]);
    assert_eq!(state(), (false, false), "the route's name");
    keep();
    stent.purge(&["patient:b:*"]);
    assert_eq!(state(), (true, false), "all of a tenant");
    keep();
    stent.purge(&["patient:a:8", "patient:8"]);
    assert_eq!(state(), (true, true), "somebody else");

    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
        command.arg("purge").args(arguments).env("STENT_ADMIN", stent.admin.to_string());
        command.arg("--config").arg(Example::FastApi.config());
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (arguments, after) in [
        (&["patient:a:7"][..], (false, true)),
        (&["patient:7"], (false, false)),
        (&["--url", "http://localhost/patients/7"], (false, false)),
        (&["--url", "/patients/7"], (false, false)),
        (&["--prefix", "/patients"], (false, false)),
        (&["--all"], (false, false)),
        (&["patient:8"], (true, true)),
    ] {
        keep();
        let (code, said) = command(arguments);
        assert!(code == Some(0) && said.starts_with("purged at epoch "), "{arguments:?}: {said}");
        assert_eq!(state(), after, "{arguments:?}");
    }
    assert_eq!(command(&[]).0, Some(1), "nothing is named");
}
