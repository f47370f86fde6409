//! The matrix: who reaches whom, how fast, and seen under which address.
//!
//! Every endpoint tries every other, all at once, until it gets through or the deadline has passed;
//! then round trips are measured one after the other, so that they do not disturb each other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::output::{Look, Output};
use super::probe::{Endpoint, Pinger, seen_as};
use crate::prefix::Family;

/// Pause between two echoes while waiting for the first answer.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a round trip may take once the way is known to be open.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// What came of one pair in one family.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Position of the asking endpoint.
    pub from: usize,
    /// Position of the answering endpoint.
    pub to: usize,
    /// The family.
    pub family: Family,
    /// The asking endpoint's address.
    pub source: IpAddr,
    /// The answering endpoint's address.
    pub target: IpAddr,
    /// Round-trip time; `None` if no echo was answered.
    pub round_trip: Option<Duration>,
    /// The address under which the other saw the sender; `None` if it saw nothing.
    pub seen_as: Option<IpAddr>,
}

impl Cell {
    /// Whether the pair is as it should be: reached, and under the sender's own address.
    pub fn is_good(&self) -> bool {
        self.round_trip.is_some() && self.seen_as == Some(self.source)
    }
}

/// Everybody to everybody else, in every family that both have.
///
/// # Errors
/// Sockets cannot be opened. That somebody is not reached is a result, not an error.
pub async fn measure(
    endpoints: &[Rc<Endpoint>],
    families: &BTreeSet<Family>,
    deadline: Instant,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut open = JoinSet::new();
    for family in families {
        for (from, asking) in endpoints.iter().enumerate() {
            for (to, answering) in endpoints.iter().enumerate() {
                let (Some(source), Some(target)) = (asking.address(*family), answering.address(*family))
                else {
                    continue;
                };
                if from == to {
                    continue;
                }
                let id = u16::try_from(cells.len()).context("too many pairs to ping")?;
                let pinger = Pinger::open(asking, target, id)?;
                let position = cells.len();
                open.spawn(async move {
                    let answered = timeout_at(deadline, pinger.first_answer(PAUSE)).await.is_ok();
                    (position, answered.then_some(pinger))
                });
                let family = *family;
                cells.push(Cell { from, to, family, source, target, round_trip: None, seen_as: None });
            }
        }
    }
    let mut pingers = Vec::new();
    while let Some(done) = open.join_next().await {
        let (position, pinger) = done.context("pinging")?;
        pingers.extend(pinger.map(|pinger| (position, pinger)));
    }
    for (position, pinger) in pingers {
        let cell = &mut cells[position];
        cell.round_trip = pinger.round_trip(Instant::now() + ROUND_TRIP).await;
        cell.seen_as = seen_as(&endpoints[cell.from], cell.target, Instant::now() + ROUND_TRIP).await?;
    }
    Ok(cells)
}

/// Shows one table for each family.
pub fn show(endpoints: &[Rc<Endpoint>], families: &BTreeSet<Family>, cells: &[Cell], out: &Output) {
    for family in families {
        let protocol = if *family == Family::Ipv4Unicast { "IPv4" } else { "IPv6" };
        out.heading(format_args!("Who reaches whom over {protocol} (from row to column, round trip in ms)"));
        let name = |endpoint: &Endpoint| endpoint.name.chars().count();
        let names = endpoints.iter().map(|endpoint| name(endpoint)).max().unwrap_or(0);
        let address = |endpoint: &Endpoint| endpoint.address(*family).map(|address| address.to_string());
        let addresses = endpoints.iter().filter_map(|e| address(e)).map(|text| text.len()).max().unwrap_or(0);

        let mut header = " ".repeat(4 + names + 2 + addresses);
        for column in 1..=endpoints.len() {
            let _ = write!(header, "{column:>8}");
        }
        out.line(out.look(Look::Dim, header));
        for (from, endpoint) in endpoints.iter().enumerate() {
            let shown = address(endpoint).unwrap_or_default();
            let mut row = format!("{:>3} {:<names$}  {shown:<addresses$}", from + 1, endpoint.name);
            for to in 0..endpoints.len() {
                let cell = cells.iter().find(|cell| (cell.from, cell.to, cell.family) == (from, to, *family));
                row.push_str(&shown_cell(cell, out));
            }
            out.line(row);
        }
    }
}

fn shown_cell(cell: Option<&Cell>, out: &Output) -> String {
    match cell {
        None => out.look(Look::Dim, format_args!("{:>8}", "·")),
        Some(cell) => match cell.round_trip {
            Some(taken) if cell.is_good() => {
                let taken = format!("✓ {:.3}", taken.as_secs_f64() * 1000.0);
                out.look(Look::Good, format_args!("{taken:>8}"))
            }
            Some(_) => out.look(Look::Bad, format_args!("{:>8}", "✗ NAT")),
            None => out.look(Look::Bad, format_args!("{:>8}", "✗")),
        },
    }
}

/// What is wrong with a cell, in words.
pub fn complaint(cell: &Cell, endpoints: &[Rc<Endpoint>]) -> String {
    let (from, to) = (&endpoints[cell.from].name, &endpoints[cell.to].name);
    let (source, target) = (cell.source, cell.target);
    match (cell.round_trip, cell.seen_as) {
        (None, _) => format!("{from} ({source}) gets no answer from {to} ({target})"),
        (Some(_), Some(seen)) => {
            format!("{to} ({target}) sees {from} ({source}) as {seen}: the address is translated on the way")
        }
        (Some(_), None) => {
            format!("{to} ({target}) answers pings of {from} ({source}) but not its datagrams")
        }
    }
}

/// The cells for programs.
pub fn to_json(cells: &[Cell], endpoints: &[Rc<Endpoint>]) -> Value {
    let cell = |cell: &Cell| {
        json!({
            "from": endpoints[cell.from].name,
            "to": endpoints[cell.to].name,
            "family": cell.family.to_string(),
            "source": cell.source,
            "target": cell.target,
            "roundTripMs": cell.round_trip.map(|taken| taken.as_secs_f64() * 1000.0),
            "seenAs": cell.seen_as,
            "ok": cell.is_good(),
        })
    };
    cells.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(round_trip: Option<u64>, seen_as: Option<&str>) -> Cell {
        Cell {
            from: 0,
            to: 1,
            family: Family::Ipv4Unicast,
            source: "10.244.1.2".parse().unwrap(),
            target: "172.16.0.10".parse().unwrap(),
            round_trip: round_trip.map(Duration::from_micros),
            seen_as: seen_as.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn only_the_own_address_is_good() {
        assert!(cell(Some(90), Some("10.244.1.2")).is_good());
        assert!(!cell(Some(90), Some("192.168.1.11")).is_good());
        assert!(!cell(Some(90), None).is_good());
        assert!(!cell(None, Some("10.244.1.2")).is_good());
    }

    #[test]
    fn cells_are_eight_wide_and_say_what_is_wrong() {
        let out = Output::new(true);
        let shown = |c: &Cell| shown_cell(Some(c), &out);
        let plain =
            [cell(Some(90), Some("10.244.1.2")), cell(Some(90), Some("192.168.1.11")), cell(None, None)];
        if shown(&plain[0]).contains('\x1b') {
            return; // On a terminal the widths count colours.
        }
        let shown: Vec<String> = plain.iter().map(shown).collect();
        assert_eq!(shown, [" ✓ 0.090", "   ✗ NAT", "       ✗"]);
    }
}
