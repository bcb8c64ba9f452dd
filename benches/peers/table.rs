//! The report: medians over rounds, in columns.

use std::fmt;

use serde_json::{Value, json};

use crate::Row;
use crate::args::Options;
use crate::load::Sample;

pub struct Report {
    servers: Vec<String>,
    rows: Vec<(Row, Vec<Vec<Option<Sample>>>)>,
    title: String,
}

/// What Stent is set against: the column, and the name of the ratio's column.
const AGAINST: [(&str, &str); 5] = [
    ("nginx", "to nginx"),
    ("nginx, open files", "to nginx, open files"),
    ("haproxy", "to haproxy"),
    ("hyper server", "to hyper server"),
    ("hyper proxy", "to hyper proxy"),
];

impl Report {
    pub fn new(options: &Options, servers: Vec<String>) -> Report {
        let title = format!("median of {} rounds of {} s", options.rounds, options.seconds);
        Report { servers, rows: Vec::new(), title }
    }

    /// The samples of a row: by round, then by server.
    pub fn add(&mut self, row: Row, rounds: Vec<Vec<Option<Sample>>>) {
        self.rows.push((row, rounds));
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, rounds)| {
            let servers = self.servers.iter().enumerate().map(|(server, name)| {
                let samples = rounds.iter().filter_map(|round| round[server]);
                let samples = samples.map(|sample| json!({"cpu_us": sample.cpu, "requests_per_second": sample.rate}));
                (name.clone(), Value::Array(samples.collect()))
            });
            json!({"row": row.name(), "rounds": Value::Object(servers.collect())})
        });
        Value::Array(rows.collect())
    }

    fn medians(&self, value: fn(&Sample) -> f64, decimals: usize) -> Vec<Vec<String>> {
        let header = std::iter::once(String::new()).chain(self.servers.iter().cloned()).collect();
        let rows = self.rows.iter().map(|(row, rounds)| {
            let of_server =
                |server: usize| rounds.iter().filter_map(|round| round[server].as_ref().map(value)).collect();
            let cells = (0..self.servers.len()).map(|server| shown(median(of_server(server)), decimals));
            std::iter::once(row.name()).chain(cells).collect()
        });
        std::iter::once(header).chain(rows).collect()
    }

    /// The first column's CPU time in relation to others', and to those of other builds of Stent.
    fn ratios(&self) -> Vec<Vec<String>> {
        let builds =
            self.servers.iter().filter(|name| name.starts_with("stent ")).map(|name| (name, format!("to {name}")));
        let peers = AGAINST.iter().filter_map(|(name, title)| {
            let name = self.servers.iter().find(|server| server == name)?;
            Some((name, (*title).to_owned()))
        });
        let columns: Vec<(&String, String)> = builds.chain(peers).collect();
        let header = std::iter::once(String::new()).chain(columns.iter().map(|(_, title)| title.clone())).collect();
        let rows = self.rows.iter().map(|(row, rounds)| {
            let cells = columns.iter().map(|(name, _)| {
                let other = self.servers.iter().position(|server| server == *name);
                let ratio = |round: &Vec<Option<Sample>>| Some(round[0]?.cpu / round[other?]?.cpu);
                shown(median(rounds.iter().filter_map(ratio).collect()), 2)
            });
            std::iter::once(row.name()).chain(cells).collect()
        });
        std::iter::once(header).chain(rows).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = [
            (format!("CPU time of the server per request in µs, {}", self.title), self.medians(|sample| sample.cpu, 1)),
            ("Requests per second".to_owned(), self.medians(|sample| sample.rate, 0)),
            ("CPU time of Stent, in relation; median of the rounds' ratios".to_owned(), self.ratios()),
        ];
        for (title, cells) in sections {
            writeln!(f, "\n{title}\n")?;
            write_cells(f, &cells)?;
        }
        Ok(())
    }
}

fn write_cells(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            match column {
                0 => write!(f, "  {cell:<width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
