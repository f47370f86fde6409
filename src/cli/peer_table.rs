//! `routelet peers NAME received` and its like: one peer's tables, row by row as they arrive.

use std::io::Write;

use super::{Error, Format, Table, ask, human};
use crate::api::proto::{Origin, Path, Route};
use crate::api::{Answers, PeerTable, Word};

pub async fn show(answers: &mut Answers<Route>, form: Format, out: &mut impl Write) -> Result<(), Error> {
    match form {
        Format::Json => ask::json_list(answers, out).await.map(drop),
        Format::Table => table(answers, out).await,
    }
}

/// The word of a table, as the command line has it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Which {
    /// All that the peer has announced, before import policy
    Received,
    /// What of it is not used, with the reason
    Rejected,
    /// What import policy has accepted, as it has changed it
    Accepted,
    /// What the peer has been told, after export policy
    Announced,
}

impl From<Which> for PeerTable {
    fn from(which: Which) -> PeerTable {
        match which {
            Which::Received => PeerTable::Received,
            Which::Rejected => PeerTable::Rejected,
            Which::Accepted => PeerTable::Accepted,
            Which::Announced => PeerTable::Announced,
        }
    }
}

async fn table(answers: &mut Answers<Route>, out: &mut impl Write) -> Result<(), Error> {
    let header =
        ["", "PREFIX", "NEXT HOP", "AS PATH", "LOCAL_PREF", "MED", "ORIGIN", "COMMUNITIES", "NOT USED"];
    let mut table = Table::new(out, &header);
    while let Some(route) = answers.next().await? {
        for path in &route.paths {
            table.row(row(&route.prefix, path))?;
        }
    }
    Ok(table.finish()?)
}

fn row(prefix: &str, path: &Path) -> [String; 9] {
    let communities = [&path.communities, &path.large_communities, &path.extended_communities];
    let communities: Vec<&str> = communities.into_iter().flatten().map(String::as_str).collect();
    [
        if path.best { "*" } else { " " }.to_owned(),
        prefix.to_owned(),
        path.next_hop.clone(),
        path.as_path.clone(),
        human::optional(path.local_pref),
        human::optional(path.med),
        Origin::word_of(path.origin).to_owned(),
        communities.join(" "),
        human::optional(path.ineligible.as_ref()),
    ]
}
