//! Origins that know one path by several names: what is written by one is not left by the others.

use crate::scenario::{Counter, Origin, Seen, Stent, answer};

const ROUTES: &str = "
identity: {principal: [authorization]}
policies: {own: {share: principal, ttl: 60s}, page: {share: public, ttl: 60s}}
routes:
  - {name: thing, path: /things/<id>, policy: page, tags: ['thing:<id>'], purges: [list]}
  - {name: list, path: /things, policy: page, tags: [list]}
  - {name: chart, path: /boxes/<id>, policy: page, tags: ['thing:<id>']}
  - {name: upper, path: /Doctors/<id>, policy: page, tags: ['doctor:<id>'], purges: [list]}
  - {name: seen, path: /seen/<id>, policy: page, tags: ['doctor:<id>']}
  - {name: own, path: /own/<id>, policy: own}
  - {name: origin, path: /origin/**, policy: origin}
  - {name: rest, path: /**}
";

/// Numbers its answers.
async fn numbering() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen: Seen| {
        let number = counter.next("");
        let fields = [("cache-control", "public, max-age=60")];
        let response = match seen.method.as_str() {
            "POST" => answer(201, &[("location", "/Things/7.json")], ""),
            _ => answer(200, &fields, number.to_string()),
        };
        async move { response }
    })
    .await
}

const ALL: &str = ", paths: {parameters: ignored, case: ignored, suffixes: [.json, .]}";

#[tokio::test]
async fn a_write_by_another_name_of_a_path_purges_the_copy() {
    let origin = numbering().await;
    let stent = Stent::start_with(origin.address, ALL, ROUTES);
    let hit = async |path: &str| stent.client().get(path).bearer("a").send().await.is_hit();
    let all = ["/things/7", "/things/7/", "/things/7;v=1", "/things/7.json", "/boxes/7", "/things", "/own/7"];
    for write in [
        "/things/7",
        "/things/7/",
        "/things/7;a=b",
        "/things;x/7",
        "/Things/7",
        "/THINGS/7",
        "/things/7.json",
        "/things/7.JSON",
        "/things/7.",
        "/Things/7.json;a=b",
        "/things/7.json/",
        "/things/07",
        "/things/%37",
        "/%54hings/7",
    ] {
        for path in all {
            hit(path).await;
            assert!(hit(path).await, "{path}");
        }
        hit("/things/8").await;
        let question = serde_json::json!({"method": "PUT", "url": format!("http://clinic.example{write}")});
        let told = stent.admin("POST", "/api/v1/explain").body(question.to_string()).send().await.text();
        assert!(
            (told.contains("\"thing:7\"") || told.contains("\"thing:07\"")) && told.contains("\"list\""),
            "{write}: {told}"
        );
        assert_eq!(stent.client().ask("PUT", write).bearer("b").send().await.status, 200);
        for path in all {
            assert_eq!(hit(path).await, path == "/own/7", "{write}: {path}");
        }
        assert!(hit("/things/8").await, "{write}: another's");
    }
    // Templates need not be in lower case.
    for write in ["/doctors/7", "/DOCTORS/7.json"] {
        for path in ["/Doctors/7", "/seen/7", "/things"] {
            hit(path).await;
            assert!(hit(path).await, "{path}");
        }
        stent.client().ask("PUT", write).send().await;
        for path in ["/Doctors/7", "/seen/7", "/things"] {
            assert!(!hit(path).await, "{write}: {path}");
        }
    }
    // What an answer points to is known by other names, too.
    hit("/things/7").await;
    stent.client().ask("POST", "/new").body("x").send().await;
    assert!(!hit("/things/7").await, "Location");
    for (path, write) in [("/own/7", "/OWN/7;a"), ("/origin/a/b", "/origin/A/b.json")] {
        hit(path).await;
        assert!(hit(path).await, "{path}");
        stent.client().ask("DELETE", write).send().await;
        assert!(!hit(path).await, "{write}: {path}");
    }
}

/// While nothing is said, other names are other things.
#[tokio::test]
async fn names_that_are_told_apart_stay_apart() {
    let origin = numbering().await;
    for (paths, alike, apart) in [
        ("", None, &["/things/7;a=b", "/Things/7", "/things/7.json"][..]),
        (", paths: {parameters: ignored}", Some("/things/7;a=b"), &["/Things/7", "/things/7.json"]),
        (", paths: {case: ignored}", Some("/Things/7"), &["/things/7;a=b", "/things/7.json"]),
        (", paths: {suffixes: [.json]}", Some("/things/7.json"), &["/things/7;a=b", "/Things/7", "/things/7.xml"]),
    ] {
        let stent = Stent::start_with(origin.address, paths, ROUTES);
        let hit = async || stent.client().get("/things/7").send().await.is_hit();
        hit().await;
        for write in apart {
            stent.client().ask("PUT", write).send().await;
            assert!(hit().await, "{paths} {write}");
        }
        if let Some(write) = alike {
            stent.client().ask("PUT", write).send().await;
            assert!(!hit().await, "{paths} {write}");
        }
    }
}
