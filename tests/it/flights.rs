//! Many ask for the same at once: one fetch, and whatever becomes of it, nobody hangs.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::scenario::{Counter, Gate, LIMIT, Origin, Seen, Stent, answer, eventually, no_answer, streaming};

const PUBLIC: &str = "cache: {memory: 64MiB, max_object: 1MiB}\npolicies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

type Pieces = Arc<Mutex<Vec<UnboundedSender<Result<Bytes, std::io::Error>>>>>;

/// An origin whose answers stream what the test gives them.
async fn streamed(headers: &'static [(&'static str, &'static str)]) -> (Origin, Pieces) {
    let pieces = Pieces::default();
    let given = pieces.clone();
    let origin = Origin::start(move |_| {
        let (response, sender) = streaming(200, headers);
        given.lock().unwrap().push(sender);
        async move { response }
    })
    .await;
    (origin, pieces)
}

/// An origin that is never silent for long sends until nobody takes it any more.
async fn ends(sender: &UnboundedSender<Result<Bytes, std::io::Error>>) {
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    let trickling = async {
        while sender.send(Ok(Bytes::from_static(b"piece"))).is_ok() {
            pace.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, trickling).await.expect("it ends");
}

#[tokio::test]
async fn a_thousand_first_requests_are_one_fetch_that_streams_to_all() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let clients: Vec<_> = (0..1000).map(|_| tokio::spawn(stent.client().get("/slow").open())).collect();
    eventually(|| !pieces.lock().unwrap().is_empty()).await;
    let sender = pieces.lock().unwrap()[0].clone();
    sender.send(Ok(Bytes::from_static(b"first "))).unwrap();
    let mut opened = Vec::new();
    for client in clients {
        let mut one = client.await.unwrap();
        assert_eq!(one.next().await.unwrap().unwrap(), "first ", "while the origin is still sending");
        opened.push(one);
    }
    assert_eq!(origin.count("/slow"), 1);
    sender.send(Ok(Bytes::from_static(b"last"))).unwrap();
    drop(sender);
    pieces.lock().unwrap().clear();
    for one in opened {
        let reply = one.rest().await;
        assert_eq!((reply.text().as_str(), reply.broken), ("last", false));
    }
    assert!(stent.client().get("/slow").send().await.is_hit());
    assert_eq!(origin.count("/slow"), 1);
}

#[tokio::test]
async fn a_leader_that_hangs_up_changes_nothing() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let leader = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"half "))).unwrap();
    let leader = leader.await.unwrap();
    let follower = stent.client().get("/a").open().await;
    leader.hang_up();
    sender.send(Ok(Bytes::from_static(b"whole"))).unwrap();
    drop(sender);
    assert_eq!(follower.rest().await.text(), "half whole");
    assert!(stent.client().get("/a").send().await.is_hit());
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn a_fill_that_nobody_reads_is_stored_all_the_same() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let only = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"half "))).unwrap();
    let only = only.await.unwrap();
    only.hang_up();
    eventually(|| stent.cache().flights.waiting() == 0).await;
    sender.send(Ok(Bytes::from_static(b"whole"))).unwrap();
    drop(sender);
    eventually(|| stent.cache().flights.is_empty()).await;
    let reply = stent.client().get("/a").send().await;
    assert_eq!((reply.text().as_str(), reply.is_hit()), ("half whole", true));
}

#[tokio::test]
async fn a_fill_that_nobody_reads_ends_with_its_deadline() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start_with(origin.address, ", timeout: 1s, deadline: 1s", PUBLIC);
    let only = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"piece"))).unwrap();
    only.await.unwrap().hang_up();
    ends(&sender).await;
    eventually(|| stent.cache().flights.is_empty() && stent.cache().budget.used() == 0).await;
}

#[tokio::test]
async fn what_cannot_be_stored_ends_with_its_last_reader() {
    let (pieces, gate) = (Pieces::default(), Gate::default());
    let (given, gated) = (pieces.clone(), gate.clone());
    let origin = Origin::start(move |_| {
        let (response, sender) = streaming(503, &[]);
        given.lock().unwrap().push(sender);
        let gate = gated.clone();
        async move {
            gate.pass().await;
            response
        }
    })
    .await;
    let stent = Stent::start_with(origin.address, ", timeout: 60s, deadline: 60s", PUBLIC);
    let ask = || tokio::spawn(stent.client().get("/a").open());
    let alone = ask();
    gate.arrived(1).await;
    let others = [ask(), ask()];
    eventually(|| stent.cache().flights.waiting() == 3).await;
    gate.open(1);
    alone.await.unwrap().hang_up();
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(1);
    let [first, second] = others;
    let (first, mut second) = (first.await.unwrap(), second.await.unwrap());
    let later = ask();
    gate.arrived(3).await;
    assert_eq!(origin.count("/a"), 3, "those who waited twice share it, and nobody else");
    first.hang_up();
    let sender = pieces.lock().unwrap()[1].clone();
    sender.send(Ok(Bytes::from_static(b"never mind"))).unwrap();
    assert_eq!(second.next().await.unwrap().unwrap(), "never mind");
    second.hang_up();
    // That a client has gone is seen when it is written to.
    ends(&sender).await;
    gate.open(1);
    later.await.unwrap().hang_up();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_and_never_stored() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let reading = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"half"))).unwrap();
    let mut reading = reading.await.unwrap();
    assert_eq!(reading.next().await.unwrap().unwrap(), "half");
    sender.send(Err(std::io::Error::other("broken"))).unwrap();
    assert!(reading.rest().await.broken, "the client sees that it broke off");
    let again = tokio::spawn(stent.client().get("/a").send());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"whole"))).unwrap();
    drop(sender);
    assert_eq!(again.await.unwrap().text(), "whole");
}

#[tokio::test]
async fn an_uncacheable_answer_releases_its_followers_at_once() {
    let counter = Counter::default();
    let (first, others) = (Gate::default(), Gate::default());
    let gates = (first.clone(), others.clone());
    let origin = Origin::start(move |seen| {
        let (number, (first, others)) = (counter.next(seen.path()), gates.clone());
        async move {
            if number == 1 {
                first.pass().await
            } else {
                others.pass().await
            }
            answer(200, &[("cache-control", "no-store")], number.to_string())
        }
    })
    .await;
    // The system may let some of so many connections wait for a second.
    let stent = Stent::start_with(origin.address, ", connect_timeout: 5s, pool: {max: 500}", PUBLIC);
    let all: Vec<_> = (0..501).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
    first.arrived(1).await;
    eventually(|| stent.cache().flights.waiting() == 501).await;
    first.open(1);
    others.arrived(500).await;
    // All five hundred are at the origin at the same time: none waits for another.
    others.open(500);
    let mut bodies = Vec::new();
    for one in all {
        bodies.push(one.await.unwrap().text());
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 501, "everybody has an answer of their own");
    others.open(1);
    assert_eq!(
        stent.client().get("/a").send().await.cache(),
        "stent; fwd=bypass; detail=remembered-uncacheable; fwd-status=200"
    );
}

#[tokio::test]
async fn an_answer_that_outgrows_the_store_is_served_all_the_same() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let mut reader = tokio::spawn(stent.client().get("/big").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    let piece = Bytes::from(vec![7u8; 64 << 10]);
    for _ in 0..80 {
        sender.send(Ok(piece.clone())).unwrap();
    }
    drop(sender);
    let reply = (&mut reader).await.unwrap().rest().await;
    assert_eq!((reply.body.len(), reply.broken), (80 * (64 << 10), false));
    let again = tokio::spawn(stent.client().get("/big").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    pieces.lock().unwrap().clear();
    let cache = again.await.unwrap().rest().await.cache().to_owned();
    assert_eq!(cache, "stent; fwd=bypass; detail=remembered-uncacheable; fwd-status=200");
}

/// RFC 9111 §5.2.2.7: whoever waits is another user, whether or not such an answer would be kept.
#[tokio::test]
async fn an_error_that_is_private_is_for_nobody_who_waits() {
    const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";
    const LETTER: &str = "routes: [{name: all, path: /**, policy: rfc9111}]";
    for (field, control, yaml) in [
        ("cache-control", "private", ORIGIN),
        ("cache-control", "private", LETTER),
        ("cache-control", "private", PUBLIC),
        ("cdn-cache-control", "private", ORIGIN),
        ("cdn-cache-control", "private", PUBLIC),
    ] {
        let (gate, counter) = (Gate::default(), Counter::default());
        let held = gate.clone();
        let origin = Origin::start(move |seen| {
            let (gate, number) = (held.clone(), counter.next(seen.path()));
            async move {
                gate.pass().await;
                let said: &[(&str, &str)] = if seen.path() == "/own" { &[(field, control)] } else { &[] };
                answer(503, said, format!("#{number}"))
            }
        })
        .await;
        let stent = Stent::start(origin.address, yaml);
        // The first is its asker's alone. One of the others asks again, and what that one is told they are all told, if it is
        // not said to be somebody's.
        for (path, fetches) in [("/own", 3), ("/all", 2)] {
            let asking: Vec<_> = (0..3).map(|_| tokio::spawn(stent.client().get(path).send())).collect();
            eventually(|| stent.cache().flights.waiting() == 3).await;
            gate.open(3);
            for one in asking {
                assert_eq!(one.await.unwrap().status, 503);
            }
            assert_eq!(origin.count(path), fetches, "{path} {yaml}");
            gate.close();
        }
    }
}

/// RFC 9111 §4: who comes while a fetch is under way is given what might be reused for it, kept or not.
#[tokio::test]
async fn what_must_be_asked_about_is_for_nobody_who_waits_even_if_it_is_not_kept() {
    // More than are kept by.
    const MANY: &str = "a, b, c, d, e, f, g, h, i";
    for (control, fetches) in [("no-cache", 2), ("max-age=0", 2), ("max-age=60", 1)] {
        let gate = Gate::default();
        let origin = Origin::gated(&gate, move || {
            answer(200, &[("cache-control", control), ("vary", MANY), ("etag", "\"a\"")], "whole")
        })
        .await;
        let stent = Stent::start(origin.address, "routes: [{name: all, path: /**, policy: origin}]");
        let asking: Vec<_> = (0..2).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
        eventually(|| stent.cache().flights.waiting() == 2).await;
        gate.open(2);
        for one in asking {
            assert_eq!(one.await.unwrap().text(), "whole");
        }
        assert_eq!(origin.count("/a"), fetches, "{control}");
    }
}

/// What nothing allows to be reused brings nobody another's cookie, whatever would be kept with a lifetime.
#[tokio::test]
async fn the_cookies_of_an_error_are_for_nobody_who_waits() {
    const LETTER: &str = "routes: [{name: all, path: /**, policy: rfc9111}]";
    let gate = Gate::default();
    let (held, counter) = (gate.clone(), Counter::default());
    let origin = Origin::start(move |seen| {
        let (gate, number) = (held.clone(), counter.next(seen.path()));
        async move {
            gate.pass().await;
            answer(500, &[("set-cookie", &format!("session={number}"))], "ill")
        }
    })
    .await;
    let stent = Stent::start(origin.address, LETTER);
    let asking: Vec<_> = (0..2).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(2);
    let mut cookies = Vec::new();
    for one in asking {
        cookies.push(one.await.unwrap().header("set-cookie").to_owned());
    }
    cookies.sort();
    assert_eq!(cookies, ["session=1", "session=2"]);
}

/// Browsers that reload say so; anybody may, and the origin is to be spared a crowd of them.
#[tokio::test]
async fn who_reload_at_once_share_a_fetch_that_left_after_they_asked() {
    let (gate, counter) = (Gate::default(), Counter::default());
    let (gated, counted) = (gate.clone(), counter.clone());
    let origin = Origin::start(move |seen| {
        let (gate, number) = (gated.clone(), counted.next(seen.path()));
        async move {
            gate.pass().await;
            answer(200, &[("cache-control", "max-age=60")], number.to_string())
        }
    })
    .await;
    let yaml = "policies: {p: {share: public, ttl: 60s}, deaf: {share: public, ttl: 60s, client_no_cache: ignore}}\n\
                routes: [{name: deaf, path: /deaf/**, policy: deaf}, {name: o, path: /o/**, policy: origin}, {name: all, path: /**, policy: p}]";
    let stent = Stent::start_with(origin.address, ", timeout: 60s, deadline: 60s", yaml);
    for (path, name, value) in [
        ("/a", "cache-control", "no-cache"),
        ("/b", "cache-control", "max-age=0"),
        ("/c", "pragma", "no-cache"),
        ("/o/d", "cache-control", "no-cache"),
        ("/new", "cache-control", "no-cache"),
    ] {
        let had = if path == "/new" { 0 } else { 1 };
        gate.open(had);
        if had == 1 {
            stent.client().get(path).send().await;
        }
        let reload = || tokio::spawn(stent.client().get(path).header(name, value).send());
        let first = reload();
        eventually(|| origin.count(path) == had + 1).await;
        let others: Vec<_> = (0..29).map(|_| reload()).collect();
        eventually(|| stent.cache().flights.waiting() == 30).await;
        assert_eq!(origin.count(path), had + 1, "{path}: they wait");
        gate.open(1);
        let earliest: usize = first.await.unwrap().text().parse().unwrap();
        eventually(|| origin.count(path) == had + 2 && stent.cache().flights.waiting() == 29).await;
        gate.open(1);
        for one in others {
            assert_eq!(
                one.await.unwrap().text().parse::<usize>().unwrap(),
                earliest + 1,
                "{path}: of the second fetch"
            );
        }
        assert_eq!(origin.count(path), had + 2, "{path}: two for thirty");
        assert!(stent.cache().flights.is_empty());
    }
    gate.open(1);
    stent.client().get("/deaf/1").send().await;
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "max-age=1, min-fresh=100"),
        ("pragma", "no-cache"),
    ] {
        assert!(stent.client().get("/deaf/1").header(name, value).send().await.is_hit(), "{name}: {value}");
    }
    gate.open(1);
    let reply = stent.client().get("/deaf/1").header("cache-control", "no-store").send().await;
    assert_eq!(reply.cache(), "stent; fwd=request; detail=request-no-store; fwd-status=200");
}

/// Who waited behind a fetch that the origin did not answer asks for itself, once.
#[tokio::test]
async fn who_wait_to_reload_ask_an_origin_that_is_ill_for_themselves() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "late")).await;
    let stent = Stent::start_with(origin.address, ", timeout: 300ms, deadline: 600ms", PUBLIC);
    let reload = || tokio::spawn(stent.client().get("/a").header("cache-control", "no-cache").send());
    let first = reload();
    eventually(|| origin.count("/a") == 1).await;
    let second = reload();
    eventually(|| stent.cache().flights.waiting() == 2).await;
    for one in [first, second] {
        assert_eq!(one.await.unwrap().cache(), "stent; fwd=uri-miss; detail=timeout");
    }
    assert_eq!(origin.count("/a"), 2);
}

/// An origin that hangs for one need not hang for the next: a reload waits a moment behind what left before it, and takes nothing of it.
#[tokio::test]
async fn a_reload_behind_a_fetch_that_hangs_is_answered_all_the_same() {
    let (gate, next, counter) = (Gate::default(), Gate::default(), Counter::default());
    let gates = [gate.clone(), next.clone()];
    let origin = Origin::start(move |seen: Seen| {
        let (gates, number) = (gates.clone(), counter.next(seen.path()));
        async move {
            gates[number.min(2) - 1].pass().await;
            answer(200, &[("cache-control", "max-age=60")], format!("#{number}"))
        }
    })
    .await;
    let stent = Stent::start(origin.address, "routes: [{name: all, path: /**, policy: origin}]");
    let first = tokio::spawn(stent.client().get("/a").send());
    gate.arrived(1).await;
    let reloads: Vec<_> =
        (0..5).map(|_| tokio::spawn(stent.client().get("/a").header("cache-control", "no-cache").send())).collect();
    next.arrived(1).await;
    eventually(|| stent.cache().flights.waiting() == 5).await;
    next.open(1);
    for reload in reloads {
        let reply = reload.await.unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (200, "#2"), "{}", reply.cache());
    }
    assert_eq!(origin.count("/a"), 2, "they shared the next");
    gate.open(1);
    assert_eq!(first.await.unwrap().text(), "#1");
}

/// What a fetch failed by is nothing to whoever waited behind it.
#[tokio::test]
async fn a_reload_behind_a_fetch_that_fails_asks_for_itself() {
    let (gate, counter) = (Gate::default(), Counter::default());
    let held = gate.clone();
    let origin = Origin::start(move |seen: Seen| {
        let (held, number) = (held.clone(), counter.next(seen.path()));
        async move {
            if number > 1 {
                return answer(200, &[("cache-control", "max-age=60")], format!("#{number}"));
            }
            held.pass().await;
            no_answer()
        }
    })
    .await;
    let stent = Stent::start(origin.address, "routes: [{name: all, path: /**, policy: origin}]");
    let first = tokio::spawn(stent.client().get("/a").send());
    gate.arrived(1).await;
    let reload = tokio::spawn(stent.client().get("/a").header("cache-control", "no-cache").send());
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(1);
    first.await.unwrap();
    let reply = reload.await.unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "#2"), "{}", reply.cache());
}

/// Once the head says by what the answer differs, whoever comes wants a variant: the one that is on its way, if that is theirs.
#[tokio::test]
async fn a_first_answer_that_varies_is_one_fetch_for_all_who_come_while_it_does() {
    for yaml in ["routes: [{name: all, path: /**, policy: origin}]", PUBLIC] {
        let senders = Arc::<Mutex<Vec<UnboundedSender<_>>>>::default();
        let kept = senders.clone();
        let origin = Origin::start(move |_| {
            let vary = [("vary", "Accept-Language, X-Kind"), ("cache-control", "max-age=60")];
            let (head, body) = streaming(200, &vary);
            kept.lock().unwrap().push(body);
            async move { head }
        })
        .await;
        let stent = Stent::start(origin.address, yaml);
        let ask = |kind: &str| stent.client().get("/a").header("accept-language", "fr").header("accept", kind);
        let first = ask("*/*").open().await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(ask("*/*").open().await);
        }
        assert_eq!(origin.count("/a"), 1, "{yaml}: it is on its way");
        let german = stent.client().get("/a").header("accept-language", "de").header("accept", "*/*").open().await;
        assert_eq!(origin.count("/a"), 2, "{yaml}: another variant");
        for body in senders.lock().unwrap().drain(..) {
            body.send(Ok(Bytes::from_static(b"page"))).unwrap();
        }
        for reply in others.into_iter().chain([first, german]) {
            assert_eq!(reply.rest().await.text(), "page");
        }
        eventually(|| stent.cache().flights.is_empty()).await;
        assert!(ask("*/*").send().await.is_hit(), "{yaml}");
        assert_eq!(origin.count("/a"), 2, "{yaml}");
    }
}
