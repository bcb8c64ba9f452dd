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

    /// The first column's CPU time in relation to each of the others'.
    fn ratios(&self) -> Vec<Vec<String>> {
        let others = 1..self.servers.len();
        let titles = others.clone().map(|other| format!("to {}", self.servers[other]));
        let header = std::iter::once(String::new()).chain(titles).collect();
        let rows = self.rows.iter().map(|(row, rounds)| {
            let cells = others.clone().map(|other| {
                let ratio = |round: &Vec<Option<Sample>>| Some(round[0]?.cpu / round[other]?.cpu);
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
        for (title, rows) in sections {
            write!(f, "\n{title}\n\n{}", cells(&rows))?;
        }
        Ok(())
    }
}

/// Rows under each other, in columns.
pub fn cells(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match (column, width(column)) {
            (0, width) => format!("  {cell:<width$}"),
            (_, width) => format!("  {cell:>width$}"),
        });
        cells.chain(std::iter::once("\n".to_owned())).collect::<String>()
    };
    rows.iter().map(line).collect()
}

/// A value as it stands in a cell.
pub fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// The middle one, or what is between the two middle ones.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
