//! Ports as a table for people.

use std::fmt::Write as _;

use super::{OpenPort, PICKED, Peer, Ports};
use crate::ground::HostName;
use crate::inventory::{Part, ranges};

/// Ports as a table, a line each.
pub fn table(open_ports: &[OpenPort]) -> String {
    let mut rows: Vec<[String; 6]> = vec![
        ["ON", "COMPONENT", "PORT", "BINDS", "WHO MUST REACH IT", "CREDENTIAL"].map(str::to_owned),
    ];
    for one in open_ports {
        let group = one.on.map_or("hosts", Part::group);
        let from: Vec<String> = one.from.iter().map(Peer::to_string).collect();
        rows.push([
            format!("{group}: {}", folded(&one.hosts)),
            one.component.to_owned(),
            match one.ports {
                Ports::Known(..) => one.ports.to_string(),
                Ports::Picked => "picked".to_owned(),
            },
            one.binds.to_string(),
            if from.is_empty() { "nobody else".to_owned() } else { from.join(", ") },
            one.credential.clone().unwrap_or_else(|| "none".to_owned()),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let (first, last) = PICKED;
    let _ = writeln!(
        text,
        "\npicked: the kernel picks one, of {first} to {last} unless told otherwise; spark.driver.port, \
         spark.driver.blockManager.port,\n\
         spark.blockManager.port and LIBPROCESS_PORT of spark-env.sh fix it. Whoever runs on the same host \
         reaches all of it."
    );
    text
}

/// Names that fit a column.
fn folded(hosts: &[HostName]) -> String {
    let text = ranges::fold(hosts.iter().map(HostName::as_str)).join(", ");
    if text.chars().count() <= 30 { text } else { format!("{} hosts", hosts.len()) }
}
