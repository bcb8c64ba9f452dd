use stent::config::parse;
#[test]
fn look() {
    for name in std::env::var("LOOK").unwrap().split(',') {
        let text = std::fs::read_to_string(name).unwrap();
        let file = name;
        match parse(file, &text, &|_| None) {
            Ok(loaded) => {
                println!("{name}: ok\n{}\n{:#?}", loaded.report(loaded.warnings.clone()), loaded.settings.routes.len())
            }
            Err(report) => println!("{report}\n== only_not_yet {}", report.only_not_yet()),
        }
    }
}
