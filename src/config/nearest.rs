//! The name that somebody probably meant.

/// The nearest of `names` by edit distance (a swap of neighbours counts once), if it is near enough to be meant.
pub(super) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer ones are no typing mistakes, and the distance costs the product of both lengths.
    if written.chars().count() > 64 {
        return None;
    }
    let allowed = match written.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let near = names.into_iter().map(|name| (distance(written, name), name));
    near.filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count()).min().map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["policy", "policies", "path", "purges", "upstream", "ttl"];
        let check = |written: &str, wanted: Option<&str>| assert_eq!(nearest(written, names), wanted, "{written}");
        check("polices", Some("policies"));
        check("upsteram", Some("upstream"));
        check("tll", Some("ttl"));
        check("Policy", Some("policy"));
        check("pruge", Some("purges"));
        check("colour", None);
        check("x", None);
        check("", None);
        check(&"a".repeat(10_000), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
