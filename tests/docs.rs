//! What the documents say is what the program does: every example on every page loads and passes its own tests, and every metric,
//! reason, error, command and admin call is in the tables of the reference, and none besides. Links lead somewhere, and every page
//! is found from README.
//!
//! Reasons are read from the source text, so that one which is added is missed here at once.

#[path = "it/authority.rs"]
mod authority;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use self::authority::Authority;
use stent::config::parse;
use stent::policy::readings::{DIFFERENCES, Difference};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// README and all pages under `docs`, by their paths.
fn pages() -> Vec<(String, String)> {
    let found =
        sources(&root().join("docs")).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let names = found.map(|path| path.strip_prefix(root()).expect("below it").to_str().expect("text").to_owned());
    ["README.md".to_owned()].into_iter().chain(names).map(|name| (name.clone(), read(&name))).collect()
}

/// A page of the reference.
fn reference(name: &str) -> String {
    read(&format!("docs/reference/{name}.md"))
}

fn stent(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    for name in ["STENT_LISTEN", "STENT_ADMIN", "STENT_MODE", "STENT_UPSTREAM", "STENT_LOG"] {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("it runs")
}

/// Whether a file passes `stent check` without so much as a warning.
fn check(file: &Path) -> Result<(), String> {
    let output = stent(&["check", "--config", file.to_str().expect("text")]);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

/// A fenced block of a document.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// What stands behind the opening fence.
    info: String,
    text: String,
    /// Of the opening fence, 1-based.
    line: usize,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                open = Some(Block { info: info.trim().to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block is never closed");
    blocks
}

/// A fragment as a whole configuration.
fn completed(fragment: &str) -> String {
    let mut text = fragment.to_owned();
    for (section, rest) in
        [("upstreams:", " {app: {servers: [http://127.0.0.1:8000]}}\n"), ("routes:", " [{name: rest, path: /**}]\n")]
    {
        if !fragment.lines().any(|line| line.starts_with(section)) {
            text = text + section + rest;
        }
    }
    text
}

/// A folder with the secrets that examples name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("secrets")).expect("it can be made");
    authority::write_secret(&folder.path().join("secrets/purge"), "0123456789abcdef0123\n");
    let keys = std::fs::read_to_string(root().join("tests/it/jwks.json")).expect("it can be read");
    authority::write_secret(&folder.path().join("secrets/jwks.json"), &keys);
    let (tls, authority) = (folder.path().join("tls"), Authority::new("clients"));
    std::fs::create_dir(&tls).expect("it can be made");
    authority.server(&["localhost"]).write(&tls, "clinic");
    std::fs::write(tls.join("clients.pem"), authority.pem()).expect("it can be written");
    folder
}

#[test]
fn every_configuration_on_every_page_loads_and_passes_its_tests() {
    let folder = folder();
    let file = folder.path().join("proxy.yaml");
    let name = file.to_str().expect("text");
    let vars = |name: &str| (name == "METRICS_TOKEN").then(|| "abcdef0123456789abcd".to_owned());
    let (mut whole, mut tests) = (0, 0);
    let all = pages().into_iter().flat_map(|(page, text)| {
        let yaml = blocks(&text).into_iter().filter(|block| block.info.starts_with("yaml"));
        yaml.map(move |block| (format!("{page}:{}", block.line), block)).collect::<Vec<_>>()
    });
    for (at, block) in all {
        let text = match block.info.as_str() {
            "yaml" => block.text.clone(),
            "yaml fragment" => completed(&block.text),
            other => panic!("{at}: `{other}` is neither `yaml` nor `yaml fragment`"),
        };
        let loaded = parse(name, &text, &vars).unwrap_or_else(|report| panic!("{at}: {report}"));
        assert!(loaded.warnings.is_empty(), "{at}: {:?}", loaded.warnings);
        if block.info == "yaml" {
            whole += 1;
            tests += loaded.tests.len();
            std::fs::write(&file, &text).expect("it can be written");
            check(&file).unwrap_or_else(|complaints| panic!("{at}: {complaints}"));
        }
    }
    assert!(whole >= 6 && tests >= 4, "{whole} configurations with {tests} tests: where are the others?");
}

#[test]
fn what_is_wrong_would_be_seen() {
    assert!(parse("x", &completed("admin: {listen: 127.0.0.1:9090}\n"), &|_| None).is_ok());
    assert!(parse("x", &completed("admin: {lisen: 127.0.0.1:9090}\n"), &|_| None).is_err());
    let folder = folder();
    let file = folder.path().join("proxy.yaml");
    let with_test = |route: &str| completed(&format!("tests: [{{ask: GET /, expect: {{outcome: {route}}}}}]\n"));
    std::fs::write(&file, with_test("pass")).expect("it can be written");
    assert_eq!(check(&file), Ok(()));
    std::fs::write(&file, with_test("lookup")).expect("it can be written");
    assert!(check(&file).is_err());
}

#[test]
fn what_the_two_readings_differ_in_is_told() {
    let page = read("docs/guides/sharing.md");
    let rows: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != "| about | `origin` | `rfc9111` |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let told = |one: &Difference| format!("| {} | {} | {} |", one.about, one.origin, one.rfc9111);
    assert_eq!(rows, DIFFERENCES.iter().map(told).collect::<Vec<_>>());
}

#[test]
fn the_configuration_at_the_top_passes_its_check_without_an_environment() {
    check(&root().join("proxy.yaml")).unwrap_or_else(|complaints| panic!("{complaints}"));
}

/// The words in backquotes in the first cells of the tables between this heading and the next of its level or above.
fn first_cells(document: &str, heading: &str) -> BTreeSet<String> {
    let level = heading.chars().take_while(|&c| c == '#').count();
    let is_heading = |line: &str| {
        let depth = line.chars().take_while(|&c| c == '#').count();
        (1..=level).contains(&depth) && line[depth..].starts_with(' ')
    };
    let section = document.lines().skip_while(|line| *line != heading).skip(1);
    let rows = section.take_while(|line| !is_heading(line)).filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let words: BTreeSet<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(!words.is_empty(), "there is no table under `{heading}`");
    words
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// What stands between the first pair of `"`.
fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

#[test]
fn every_metric_is_told() {
    let page = reference("metrics");
    assert_eq!(first_cells(&page, "# Metrics"), set(stent::telemetry::catalogue::METRICS.map(|(name, _)| name)));
    for label in stent::policy::outcome::LABELS {
        assert!(page.contains(&format!("`{label}`")), "the outcome `{label}`");
    }
}

#[test]
fn every_field_of_the_log_is_told() {
    let told: BTreeSet<String> = first_cells(&reference("log"), "# The access log");
    assert_eq!(told, set(stent::telemetry::line::FIELDS));
}

/// The texts that the `as_str` functions of a source file answer.
fn spellings(file: &str) -> BTreeSet<String> {
    let source = read(file);
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in source.lines() {
        if line.contains("fn as_str(") {
            inside = true;
        } else if line == "    }" {
            inside = false;
        } else if inside && let Some((_, text)) = line.split_once("=> ") {
            found.extend(quoted(text).map(str::to_owned));
        }
    }
    assert!(!found.is_empty(), "{file} spells nothing");
    found
}

#[test]
fn every_reason_is_told() {
    let files = [
        "src/policy/pass.rs",
        "src/policy/reuse.rs",
        "src/policy/not_stored.rs",
        "src/ground/failure.rs",
        "src/rules/path.rs",
    ];
    let spelled: BTreeSet<String> = files.into_iter().flat_map(spellings).collect();
    assert!(spelled.contains(stent::policy::pass::PassReason::Cookie.as_str()));
    assert!(spelled.contains(stent::policy::not_stored::NotStored::Trailers.as_str()));
    assert_eq!(first_cells(&reference("reasons"), "# Reasons"), spelled);
}

/// The rows of the tables in a section: the words in backquotes of the first cell, each with the text of the last.
fn rows(document: &str, heading: &str) -> BTreeSet<(String, String)> {
    let section = document.lines().skip_while(|line| *line != heading).skip(1);
    let lines = section.take_while(|line| !line.starts_with("###")).filter_map(|line| line.strip_prefix("| "));
    let pairs = lines.flat_map(|line| {
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
        let when = cells.last().copied().unwrap_or_default().to_owned();
        let words: Vec<String> = cells[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        words.into_iter().map(move |word| (word, when.clone())).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[test]
fn every_reason_means_what_is_told() {
    use stent::policy::outcome::meaning::{FAILED, Meaning, NOT_KEPT, NOT_USED, PASSED, PATHS, REFUSED};
    let pairs = |tables: &[&[Meaning]]| -> BTreeSet<(String, String)> {
        let all = tables.iter().copied().flatten();
        all.map(|meaning| (meaning.reason.to_owned(), meaning.when.to_owned())).collect()
    };
    let check = |page: &str, heading: &str, tables: &[&[Meaning]]| {
        let (written, known) = (rows(&reference(page), heading), pairs(tables));
        assert!(written.len() > 10, "{heading} has no table");
        assert_eq!(written.symmetric_difference(&known).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    };
    check("reasons", "# Reasons", &[&PASSED, &NOT_USED, &NOT_KEPT, &FAILED, &PATHS]);
    check("errors", "# Errors of its own", &[&REFUSED]);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn every_error_is_told() {
    let refusals = read("src/edge/error.rs");
    let refused = refusals.lines().filter(|line| line.trim().starts_with("Refusal::")).filter_map(quoted);
    let mut codes = set(refused);
    assert!(codes.contains("framing"), "{codes:?}");
    for file in sources(&root().join("src")) {
        let source = std::fs::read_to_string(&file).expect("text");
        codes.extend(source.lines().filter_map(|line| quoted(line.trim().strip_prefix("code: ")?)).map(str::to_owned));
    }
    assert!(codes.contains("no-route"), "{codes:?}");
    assert_eq!(first_cells(&reference("errors"), "# Errors of its own"), codes);
}

#[test]
fn every_command_is_told() {
    let help = String::from_utf8(stent(&["--help"]).stdout).expect("text");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let commands: BTreeSet<String> = commands.map(|name| format!("stent {name}")).collect();
    assert_eq!(first_cells(&reference("commands"), "# Commands"), commands);
}

#[test]
fn every_admin_call_is_told() {
    let source = read("src/control/admin/mod.rs");
    let arms = source.lines().map(str::trim).filter(|line| line.starts_with("\"/") && line.contains("\" if "));
    let paths: BTreeSet<String> = arms.filter_map(quoted).map(str::to_owned).collect();
    let calls = first_cells(&reference("admin"), "# Admin calls");
    let described = calls.iter().filter_map(|call| call.split_once(' ')).map(|(_, path)| path);
    assert_eq!(set(described), paths);
}

/// What the page on explaining shows behind a prompt with this command.
fn shown(command: &str) -> String {
    let all = blocks(&read("docs/guides/explain.md"));
    let text =
        all.iter().find_map(|block| block.text.strip_prefix(&format!("$ stent {command}"))).expect("it is shown");
    text.split_once('\n').map(|(_, output)| output.to_owned()).expect("with what it prints")
}

#[test]
fn what_is_shown_to_be_explained_is_explained_so() {
    let folder = folder();
    std::fs::copy(root().join("proxy.yaml"), folder.path().join("proxy.yaml")).expect("it can be copied");
    let url = "http://clinic.example/api/patients/?page_size=9999&utm_source=mail&page=2";
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    command.current_dir(folder.path()).args(["explain", "GET", url]);
    command.args(["-H", "Cookie: sessionid=a; csrftoken=b", "-H", "User-Agent: c"]);
    let output = command.output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown("explain GET"));
}

/// Commands of ours in shell blocks: the subcommand, and its options.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let shell = blocks(text).into_iter().filter(|block| ["sh", "console"].contains(&block.info.as_str()));
    let lines: Vec<String> =
        shell.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let calls = lines.iter().flat_map(|line| line.split('#').next().unwrap_or_default().split(['|', '&', ';']));
    let calls = calls.filter_map(|call| call.trim().trim_start_matches("$ ").strip_prefix("stent "));
    let of = |call: &str| {
        let mut words = call.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let options =
            words.filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap().to_owned());
        (name, options.collect())
    };
    calls.map(of).collect()
}

#[test]
fn every_command_on_every_page_exists_with_its_options() {
    let mut seen = 0;
    for (page, text) in pages() {
        for (name, options) in commands(&text) {
            seen += 1;
            let help = String::from_utf8(stent(&[&name, "--help"]).stdout).expect("text");
            assert!(help.contains("Usage: stent"), "{page}: stent {name}");
            for option in options {
                assert!(help.contains(&option), "{page}: stent {name} {option}");
            }
        }
    }
    assert!(seen > 10, "{seen} commands");
}

/// A link as it stands on a page: to a file, and to a heading of it.
fn links(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.starts_with("http")).map(|link| match link.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (link, None),
    })
}

/// The name under which a heading is linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let words = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    words
        .map(|text| {
            text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// Where a link on a page leads, from the root.
fn target(page: &str, file: &str) -> PathBuf {
    if file.is_empty() {
        return PathBuf::from(page);
    }
    let mut path = Path::new(page).parent().expect("a folder").to_owned();
    for part in file.split('/') {
        match part {
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    let others = ["CONTRIBUTING.md", "CHANGELOG.md"].map(|name| (name.to_owned(), read(name)));
    for (page, text) in pages().into_iter().chain(others) {
        for (file, heading) in links(&text) {
            seen += 1;
            let path = target(&page, file);
            assert!(root().join(&path).exists(), "{page}: {file} is not there");
            if let Some(heading) = heading {
                let there = anchors(&read(path.to_str().expect("text")));
                assert!(there.contains(heading), "{page}: {file} has no heading {heading}: {there:?}");
            }
        }
    }
    assert!(seen > 50, "{seen} links");
}

#[test]
fn readme_is_short_and_every_page_is_one_click_away() {
    let readme = read("README.md");
    assert!(readme.len() <= 8_000, "README has {} bytes", readme.len());
    let linked: BTreeSet<PathBuf> = links(&readme).map(|(file, _)| target("README.md", file)).collect();
    for (page, _) in pages().into_iter().skip(1) {
        assert!(linked.contains(Path::new(&page)), "README does not link to {page}");
    }
}

/// The picture in README, of the words in its source.
fn picture(text: &str) -> String {
    let boxes: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    let (wide, high) = (150, 76);
    let mut drawn = String::new();
    for (number, (name, says)) in boxes.iter().enumerate() {
        let left = 10 + number * (wide + 26);
        let middle = left + wide / 2;
        drawn += &format!("<rect x=\"{left}\" y=\"10\" width=\"{wide}\" height=\"{high}\" rx=\"8\"/>\n");
        drawn += &format!("<text x=\"{middle}\" y=\"42\" class=\"name\">{name}</text>\n");
        drawn += &format!("<text x=\"{middle}\" y=\"64\">{says}</text>\n");
        if number > 0 {
            let (from, to) = (left - 26 + 3, left - 3);
            drawn += &format!("<path d=\"M{from} 48H{to}m-6 -5l6 5l-6 5\"/>\n");
        }
    }
    let width = 10 + boxes.len() * (wide + 26) - 16;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} 96\" role=\"img\">\n<style>\n\
         text {{ font: 10px sans-serif; text-anchor: middle; fill: #1f2937 }}\n.name {{ font-size: 15px; font-weight: bold }}\n\
         rect {{ fill: #eef2ff; stroke: #4f46e5 }}\npath {{ fill: none; stroke: #4f46e5; stroke-width: 1.5 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e5e7eb }} rect {{ fill: #1e1b4b; stroke: #a5b4fc }} path {{ stroke: #a5b4fc }} }}\n\
         </style>\n{drawn}</svg>\n"
    )
}

/// `STENT_DRAW=1` draws it anew.
#[test]
fn the_picture_is_drawn_from_its_words() {
    let drawn = picture(&read("docs/picture/flow.txt"));
    if std::env::var_os("STENT_DRAW").is_some() {
        std::fs::write(root().join("docs/picture/flow.svg"), &drawn).expect("it can be written");
    }
    assert_eq!(read("docs/picture/flow.svg"), drawn, "draw it anew: STENT_DRAW=1 cargo test --test docs picture");
}

#[test]
fn blocks_are_found() {
    let found = blocks("a\n```yaml\nx: 1\n```\nb\n```sh\n```\n");
    let block = |info: &str, text: &str, line| Block { info: info.into(), text: text.into(), line };
    assert_eq!(found, [block("yaml", "x: 1\n", 2), block("sh", "", 6)]);
}
