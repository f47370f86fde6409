//! `routelet status`: the whole node in a few lines.

use std::io::Write;

use super::{Ask, Error, Format, Table, ask, drain};
use crate::api::Word;
use crate::api::proto::{Family, Summary};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ask: Ask,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let summary = args.ask.connect().await?.summary().await?;
    match args.ask.output {
        Format::Json => ask::json(&summary, out),
        Format::Table => table(&summary, out),
    }
}

fn table(summary: &Summary, out: &mut impl Write) -> Result<(), Error> {
    let routes: Vec<String> =
        summary.routes.iter().map(|r| format!("{} {}", r.count, Family::word_of(r.family))).collect();
    let mut table = Table::headless(out);
    table.row(["Node", &summary.node_name])?;
    table.row(["Version", &summary.version])?;
    table.row(["AS", &summary.asn.to_string()])?;
    table.row(["Router id", &summary.router_id])?;
    if let Some(objects) = &summary.objects {
        let kept =
            if objects.kept.is_some() { ", which is away: those kept from before are in force" } else { "" };
        table.row(["Objects", &format!("from {}{kept}", objects.source)])?;
    }
    if let Some(drain) = &summary.drain {
        table.row(["Drain", &drain::summary(drain)])?;
    }
    if let Some(leaving) = &summary.leaving {
        table.row(["Leaving", &drain::services(leaving)])?;
    }
    table.row(["Peers", &format!("{} of {} established", summary.established, summary.peers)])?;
    table.row(["Destinations", &routes.join(", ")])?;
    table.row([
        "Kernel routes",
        &format!(
            "{} installed, {} pending, {} refusals",
            summary.fib_installed, summary.fib_pending, summary.fib_failures
        ),
    ])?;
    for range in &summary.ranges {
        let of = format!("{} of {} peers from {}", range.peers, range.limit, range.range);
        table.row([&format!("Range {}", range.name), &format!("{of}, {} refused", range.refused)])?;
    }
    kernel_and_pods(summary, &mut table)?;
    wrong(summary, &mut table)?;
    Ok(table.finish()?)
}

/// What was made in the kernel, and for pods.
fn kernel_and_pods(summary: &Summary, table: &mut Table<'_, impl Write>) -> Result<(), Error> {
    for rule in &summary.rules {
        let family = Family::word_of(rule.family);
        let standing = rule.error.as_ref().map(|error| format!("; the kernel has it not: {error}"));
        table.row(["Rule", &format!("{}, {family}{}", rule.rule, standing.unwrap_or_default())])?;
    }
    if let Some(config) = &summary.cni_config {
        let standing = if config.in_place { "in place" } else { "not in place" };
        let fault = config.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
        table.row(["CNI config", &format!("{}, {standing}{fault}", config.path)])?;
    }
    for pool in &summary.pools {
        let former = if pool.former { ", no longer given out" } else { "" };
        table.row([
            "Addresses",
            &format!("{} of {} taken in {}{former}", pool.taken, pool.size, pool.prefix),
        ])?;
    }
    if let Some(firewall) = &summary.firewall {
        if let Some(exempt) = firewall.exempt {
            let many = if firewall.too_many_learned { "; too many are learned to be among them" } else { "" };
            table.row(["Masquerade", &format!("but to {exempt} prefixes{many}")])?;
        }
        if let Some(fault) = &firewall.fault {
            table.row(["Wrong", fault])?;
        }
    }
    Ok(())
}

/// What is wrong, and what is advised.
fn wrong(summary: &Summary, table: &mut Table<'_, impl Write>) -> Result<(), Error> {
    for fault in summary.objects.iter().flat_map(|objects| &objects.faults) {
        table.row(["Wrong", fault])?;
    }
    let kinds = summary.objects.iter().flat_map(|objects| &objects.kinds);
    for trouble in kinds.filter_map(|kind| kind.trouble.as_ref()) {
        table.row(["Wrong", trouble])?;
    }
    // What is needed before what is advised.
    for (needed, name) in [(true, "Wrong"), (false, "Advice")] {
        for fault in summary.settings.iter().filter(|s| s.needed == needed).flat_map(|s| &s.faults) {
            table.row([name, fault])?;
        }
    }
    for chain in summary.firewall.iter().flat_map(|firewall| &firewall.dropping) {
        let advice = "drops what is forwarded unless it has a rule for it: have it accept pods";
        table.row(["Advice", &format!("nftables chain {chain} {advice}")])?;
    }
    Ok(())
}
