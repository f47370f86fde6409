//! `routelet cleanup`: removes what a daemon that is gone has left on this machine: the policy rules that
//! bear our protocol number, the kernel routes that do, in one table, and the node file. Nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Error;
use crate::api::{self, Client};
use crate::fib::{Change, Route, Target};
use crate::ipam::node::FILE_NAME;
use crate::kernel::Netlink;
use crate::kernel::routes::Ownership;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Routing table: a number, or main, default or local
    #[arg(long, default_value = "main", value_parser = table)]
    table: u32,
    /// Protocol number that marks routes and rules as ours
    // 0 to 4 are the kernel's own routes, those of its redirects, and a person's.
    #[arg(long, value_name = "NUMBER", default_value_t = 114, value_parser = clap::value_parser!(u8).range(5..))]
    protocol: u8,
    /// Directory the daemon kept its state in
    #[arg(long, value_name = "DIR", env = "ROUTELET_STATE_DIR", default_value = "/run/routelet")]
    state_dir: PathBuf,
    /// Socket on which a daemon would answer; nothing is removed while one does
    #[arg(long, value_name = "PATH", env = "ROUTELET_API_SOCKET", default_value = api::DEFAULT_SOCKET)]
    api_socket: PathBuf,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    match Client::connect(&args.api_socket).await {
        Err(api::Error::Unreachable { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Error::DaemonAlive(args.api_socket)),
    }
    let ownership = Ownership { table: args.table, protocol: args.protocol };
    let node_file = args.state_dir.join(FILE_NAME);
    let mut outcome = Outcome::default();
    let netlink = Netlink::open()?;
    // First, for as long as they stand packets look for a way in a table that empties.
    remove_rules(&netlink, args.protocol, &mut outcome).await?;
    remove_routes(&netlink, ownership, &mut outcome).await?;
    remove_file(&node_file, &mut outcome);

    // Told afterwards, so that a reader who leaves early leaves nothing half done.
    for what in &outcome.removed {
        writeln!(out, "removed {what}")?;
    }
    if !outcome.left_behind.is_empty() {
        return Err(Error::LeftBehind(outcome.left_behind));
    }
    if outcome.removed.is_empty() {
        let Ownership { table, protocol } = ownership;
        writeln!(
            out,
            "nothing to remove: no rule of protocol {protocol}, no route of it in table {table}, no {}",
            node_file.display()
        )?;
    }
    Ok(())
}

/// What came of it. A refusal does not hold back the rest.
#[derive(Default)]
struct Outcome {
    removed: Vec<String>,
    left_behind: Vec<String>,
}

async fn remove_rules(netlink: &Netlink, protocol: u8, outcome: &mut Outcome) -> Result<(), Error> {
    let found = netlink.set_rules(protocol, &BTreeSet::new()).await?;
    outcome.removed.extend(found.removed.iter().map(|rule| format!("rule {rule}")));
    outcome.left_behind.extend(found.left_behind.iter().map(ToString::to_string));
    Ok(())
}

async fn remove_routes(netlink: &Netlink, ownership: Ownership, outcome: &mut Outcome) -> Result<(), Error> {
    let routes = netlink.our_routes(ownership).await?;
    let changes: Vec<Change> =
        routes.iter().map(|route| Change::Remove { prefix: route.prefix, metric: route.metric }).collect();
    let results = netlink.apply_routes(ownership, &changes).await;
    for (route, result) in routes.iter().zip(results) {
        match result {
            Ok(()) => outcome.removed.push(describe(route)),
            Err(error) => outcome.left_behind.push(format!("{}: {error}", describe(route))),
        }
    }
    Ok(())
}

fn remove_file(path: &Path, outcome: &mut Outcome) {
    match fs::remove_file(path) {
        Ok(()) => outcome.removed.push(path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => outcome.left_behind.push(format!("{}: {error}", path.display())),
    }
}

fn describe(route: &Route) -> String {
    let target = match &route.target {
        Target::Unreachable => "unreachable".to_owned(),
        Target::Via(next_hops) => {
            let vias: Vec<String> = next_hops.iter().map(|hop| hop.via.to_string()).collect();
            format!("via {}", vias.join(", "))
        }
    };
    format!("{} {target} metric {}", route.prefix, route.metric)
}

/// The kernel's reserved table names (rt_tables).
fn table(text: &str) -> Result<u32, String> {
    match text {
        "main" => Ok(254),
        "default" => Ok(253),
        "local" => Ok(255),
        _ => text
            .parse()
            .ok()
            .filter(|&table| table > 0)
            .ok_or_else(|| "neither a table number of 1 or more nor main, default or local".to_owned()),
    }
}
