//! `routelet fib`: the routes meant for the kernel, and how they stand with it.

use std::io::Write;

use super::{Ask, Error, Format, Table, ask};
use crate::api::proto::{FibRoute, FibState, FibTarget, NextHop};
use crate::api::{Answers, Word};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ask: Ask,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let mut routes = args.ask.connect().await?.fib().await?;
    match args.ask.output {
        Format::Json => ask::json_list(&mut routes, out).await.map(drop),
        Format::Table => table(&mut routes, out).await,
    }
}

async fn table(routes: &mut Answers<FibRoute>, out: &mut impl Write) -> Result<(), Error> {
    let mut table = Table::new(out, &["PREFIX", "NEXT HOPS", "METRIC", "STATE"]);
    while let Some(route) = routes.next().await? {
        table.row([route.prefix.clone(), target(&route), route.metric.to_string(), state(&route)])?;
    }
    Ok(table.finish()?)
}

fn target(route: &FibRoute) -> String {
    match FibTarget::try_from(route.target) {
        Ok(FibTarget::Via) => route.next_hops.iter().map(next_hop).collect::<Vec<_>>().join(", "),
        Ok(FibTarget::None) => "(being removed)".to_owned(),
        _ => FibTarget::word_of(route.target).to_owned(),
    }
}

/// `fe80::1%3`: an address with its interface, as RFC 4007 §11 writes it; and its weight where it is to
/// have more than the smallest share.
fn next_hop(next_hop: &NextHop) -> String {
    let weight = if next_hop.weight > 1 { format!(" weight {}", next_hop.weight) } else { String::new() };
    match next_hop.interface {
        Some(interface) => format!("{}%{interface}{weight}", next_hop.via),
        None => format!("{}{weight}", next_hop.via),
    }
}

fn state(route: &FibRoute) -> String {
    let word = FibState::word_of(route.state);
    match &route.error {
        Some(error) => format!("{word}: {error}"),
        None => word.to_owned(),
    }
}
