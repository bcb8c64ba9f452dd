use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rules::picker::*;

fn path(dotted: &str) -> Vec<String> {
    if dotted.is_empty() { Vec::new() } else { dotted.split('.').map(str::to_owned).collect() }
}

fn found(text: &str, dotted: &str) -> Option<Result<Vec<String>, Unknown>> {
    let path = path(dotted);
    Some(pick(text.as_bytes(), [&path].into_iter())?.values(&path))
}

#[test]
fn paths_run_through_arrays() {
    let text =
        r#"{"results": [{"p": 1}, {"p": 2}], "p": null, "o": {"x": "y", "e": []}, "b": [true, [false, -0.5e1]]}"#;
    let check = |dotted: &str, want: Result<&[&str], Unknown>| {
        let want = want.map(|values| values.iter().map(|&value| value.to_owned()).collect());
        assert_eq!(found(text, dotted), Some(want), "{dotted}");
    };
    check("results.p", Ok(&["1", "2"]));
    check("o.x", Ok(&["y"]));
    check("o.e", Ok(&[]));
    check("o.e.further", Ok(&[]));
    check("p", Ok(&[]));
    check("b", Ok(&["true", "false", "-5.0"]));
    check("q", Err(Unknown));
    check("p.x", Err(Unknown));
    check("o.x.y", Err(Unknown));
    check("results", Err(Unknown));
    check("", Err(Unknown));
}

#[test]
fn what_is_written_in_escapes_is_found_and_what_stands_twice_is_not() {
    assert_eq!(found(r#"{"\u0069d": "M\u00fcller \ud83d\ude00\n"}"#, "id"), Some(Ok(vec!["Müller 😀\n".into()])));
    for twice in [r#"{"id": 1, "id": 2}"#, r#"{"id": 1, "\u0069d": 2}"#, r#"{"id": 1, "x": {"id": 3}, "id": [1]}"#] {
        assert_eq!(found(twice, "id"), Some(Err(Unknown)), "{twice}");
    }
    assert_eq!(found(r#"{"x": 1, "x": 2, "id": 3}"#, "id"), Some(Ok(vec!["3".into()])), "nobody asks for it");
}

#[test]
fn what_is_no_json_tells_nothing() {
    for no in [
        "",
        " ",
        "{",
        "[",
        "]",
        "}",
        "[1",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "tru",
        "truee",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "'a'",
        "NaN",
        "{}{}",
        "\u{feff}{}",
        "[1] x",
    ] {
        assert_eq!(found(no, "a"), None, "{no}");
        assert!(serde_json::from_str::<Value>(no).is_err(), "{no}");
    }
    assert_eq!(found(&"[".repeat(MAX_DEPTH + 1), "a"), None);
    let deepest = format!("{{\"a\": 7, \"b\": {}{}}}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert_eq!(found(&deepest, "a"), Some(Ok(vec!["7".into()])));
    let too_deep = format!("{{\"a\": 7, \"b\": {}{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(found(&too_deep, "a"), None);
}

#[test]
fn what_is_held_is_bounded_whatever_comes() {
    let a = path("a");
    let held = |piece: &str, times: usize, end: &str| {
        let mut picker = Picker::new([&a].into_iter());
        picker.read(b"{\"a\": [");
        let mut most = 0;
        for turn in 0..times {
            picker.read(piece.as_bytes());
            if turn > 1_000 && turn % 97 != 0 {
                continue;
            }
            let values: usize =
                picker.picked.0.iter().flat_map(|field| &field.found).flatten().map(String::capacity).sum();
            let frames = picker.open.capacity() * size_of::<Frame>();
            most = most.max(picker.token.capacity() + frames + values);
        }
        picker.read(end.as_bytes());
        (most, picker.finish().map(|picked| picked.values(&a)))
    };
    // A MiB of each.
    let check = |piece: &str, times: usize, end: &str, want: Option<Result<usize, Unknown>>| {
        let (most, found) = held(piece, times, end);
        assert_eq!(found.map(|found| found.map(|values| values.len())), want, "{}", &piece[..piece.len().min(20)]);
        let bound = 200 << 10;
        assert!(most <= bound, "{most} bytes are held of {}", &piece[..piece.len().min(20)]);
    };
    let times = |piece: &str| (1 << 20) / piece.len();
    check("[],", times("[],"), "1]}", Some(Ok(1)));
    for piece in ["{},", "1,", "{\"b\": [{}, [[]]]},", "\"long enough to take some room\","] {
        check(piece, times(piece), "1]}", Some(Err(Unknown)));
    }
    let (digits, letters) = ("7".repeat(1 << 16), "x".repeat(1 << 16));
    check(&digits, 16, "]}", Some(Err(Unknown)));
    check("[", 1 << 20, "]}", None);
    let (mut text, mut name) = (String::from("\""), String::from("{\""));
    text.push_str(&letters);
    name.push_str(&letters);
    check(&text, 1, "\"]}", Some(Err(Unknown)));
    check(&name, 1, "\": 1}]}", Some(Err(Unknown)));
    check("null,", times("null,"), "1]}", Some(Ok(1)));
    let widest = format!("\"{}\",", "w".repeat(MAX_TAG_BYTES));
    check(&widest, MAX_TAGS - 1, "1]}", Some(Ok(MAX_TAGS)));
    check(&widest, MAX_TAGS, "1]}", Some(Err(Unknown)));
}

/// What a tree of the whole would say.
fn of_tree(json: &Value, path: &[String]) -> Result<Vec<String>, Unknown> {
    match (json, path) {
        (Value::Array(items), _) => {
            let all: Vec<String> =
                items.iter().map(|item| of_tree(item, path)).collect::<Result<Vec<_>, _>>()?.concat();
            if all.len() > MAX_TAGS { Err(Unknown) } else { Ok(all) }
        }
        (Value::Null, []) => Ok(Vec::new()),
        (Value::String(text), []) => Ok(vec![text.clone()]),
        (Value::Number(number), []) => Ok(vec![number.to_string()]),
        (Value::Bool(truth), []) => Ok(vec![truth.to_string()]),
        (Value::Object(fields), [first, rest @ ..]) => {
            fields.get(first).map_or(Err(Unknown), |value| of_tree(value, rest))
        }
        _ => Err(Unknown),
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ab\"\\\\é\u{1}/]{0,4}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    /// However the text is cut, and where one byte of it is another, it tells what a tree of it would.
    #[test]
    fn it_finds_what_a_tree_has(
        json in any_json(),
        is_pretty: bool,
        paths in prop::collection::vec(prop::collection::vec("[abc]", 0..4), 1..5),
        piece in 1_usize..9,
        change in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(&b"{}[],:\"\\01-.eatn "[..]))),
    ) {
        let mut text = if is_pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        if let Some((at, byte)) = change {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let mut picker = Picker::new(paths.iter());
        text.chunks(piece).for_each(|piece| picker.read(piece));
        let picked = picker.finish();
        match serde_json::from_slice::<Value>(&text) {
            Ok(tree) => {
                let picked = picked.unwrap();
                for path in &paths {
                    let (found, want) = (picked.values(path), of_tree(&tree, path));
                    // A change may have made one name of two.
                    prop_assert!(found == want || change.is_some() && found == Err(Unknown), "{path:?} {found:?} {want:?}");
                }
            }
            // A number that is none of 64 bits, or a text that is not UTF-8, of which nobody asks.
            Err(_) => prop_assert!(picked.is_none() || change.is_some()),
        }
    }
}
