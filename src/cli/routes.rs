//! `routelet routes`: destinations and every path to each.

use std::io::Write;
use std::net::IpAddr;

use super::{Ask, Error, Format, Table, ask, human};
use crate::api::proto::{Origin, Path, Route};
use crate::api::{Answers, Destinations, RouteFilter, Word};
use crate::prefix::{Family, Prefix};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "In front of each path: * the best, = used beside it for forwarding, s stale (yet to be announced \
                        again). Behind a peer that gives several paths for one prefix: # and the path's identifier."
)]
pub struct Args {
    /// A prefix, for that destination alone; or an address, for the most specific one that covers it
    #[arg(value_name = "PREFIX|ADDRESS", value_parser = destinations)]
    destination: Option<Destinations>,
    /// Only destinations of this family
    #[arg(long, value_enum)]
    family: Option<FamilyName>,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FamilyName {
    #[value(alias = "ipv4Unicast")]
    Ipv4,
    #[value(alias = "ipv6Unicast")]
    Ipv6,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let filter = RouteFilter {
        family: args.family.map(|name| match name {
            FamilyName::Ipv4 => Family::Ipv4Unicast,
            FamilyName::Ipv6 => Family::Ipv6Unicast,
        }),
        destinations: args.destination.unwrap_or_default(),
    };
    let mut routes = args.ask.connect().await?.routes(filter).await?;
    let found = match args.ask.output {
        Format::Json => ask::json_list(&mut routes, out).await?,
        Format::Table => table(&mut routes, out).await?,
    };
    match filter.destinations {
        Destinations::Exactly(prefix) if found == 0 => Err(Error::NoRoute(format!("no path to {prefix}"))),
        Destinations::Covering(address) if found == 0 => {
            Err(Error::NoRoute(format!("no destination covers {address}")))
        }
        _ => Ok(()),
    }
}

/// What the argument asks for. A length tells a prefix from an address.
fn destinations(text: &str) -> Result<Destinations, String> {
    if text.contains('/') {
        let prefix: Prefix = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(Destinations::Exactly(prefix));
    }
    let address: IpAddr = text.parse().map_err(|_| "neither a prefix nor an address".to_owned())?;
    Ok(Destinations::Covering(address))
}

async fn table(routes: &mut Answers<Route>, out: &mut impl Write) -> Result<usize, Error> {
    let header = ["", "PREFIX", "NEXT HOP", "PEER", "AS PATH", "LOCAL_PREF", "MED", "ORIGIN", "DECIDED BY"];
    let mut table = Table::new(out, &header);
    let mut found = 0;
    while let Some(route) = routes.next().await? {
        found += 1;
        for path in &route.paths {
            table.row(row(&route, path))?;
        }
    }
    table.finish()?;
    Ok(found)
}

/// The peer, and which of its paths it is where it gives several.
fn source(path: &Path) -> String {
    match (&path.peer, path.path_id) {
        (None, _) => "(local)".to_owned(),
        (Some(peer), None) => peer.clone(),
        (Some(peer), Some(id)) => format!("{peer} #{id}"),
    }
}

fn row(route: &Route, path: &Path) -> [String; 9] {
    let mark = match (path.best, path.multipath) {
        (true, _) => "*",
        (false, true) => "=",
        (false, false) => " ",
    };
    let decided_by = match &path.ineligible {
        Some(reason) => format!("not eligible: {reason}"),
        None if path.best => human::optional(route.decided_by.as_ref()),
        None => String::new(),
    };
    [
        format!("{mark}{}", if path.stale { "s" } else { "" }),
        route.prefix.clone(),
        path.next_hop.clone(),
        source(path),
        path.as_path.clone(),
        human::optional(path.local_pref),
        human::optional(path.med),
        Origin::word_of(path.origin).to_owned(),
        decided_by,
    ]
}
