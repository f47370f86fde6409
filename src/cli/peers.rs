//! `routelet peers`: sessions at a glance, and one in full.

use std::io::Write;

use super::{Ask, Error, Format, Table, ask, human};
use crate::api::proto::{Family, Peer, PeerFamily, PeerOrigin, SessionState};
use crate::api::{Client, Word};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this peer alone, with its capabilities, counters and last error
    name: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let mut client = args.ask.connect().await?;
    if let Some(name) = &args.name {
        let peer = one(&mut client, name).await?;
        return match args.ask.output {
            Format::Json => ask::json(&peer, out),
            Format::Table => detail(&peer, out),
        };
    }
    let mut peers = client.peers(None).await?;
    match args.ask.output {
        Format::Json => ask::json_list(&mut peers, out).await.map(drop),
        Format::Table => list(&peers.collect().await?, out),
    }
}

async fn one(client: &mut Client, name: &str) -> Result<Peer, Error> {
    if let Some(peer) = client.peers(Some(name)).await?.next().await? {
        return Ok(peer);
    }
    let names: Vec<String> =
        client.peers(None).await?.collect().await?.into_iter().map(|peer| peer.name).collect();
    let known = match names.as_slice() {
        [] => "there are no peers".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    Err(Error::NoSuchPeer { name: name.to_owned(), known })
}

fn list(peers: &[Peer], out: &mut impl Write) -> Result<(), Error> {
    let header = ["NAME", "ADDRESS", "AS", "STATE", "UPTIME", "RECEIVED", "ACCEPTED", "ADVERTISED", "FROM"];
    let mut table = Table::new(out, &header);
    for peer in peers {
        let sum = |count: fn(&PeerFamily) -> u64| peer.families.iter().map(count).sum::<u64>().to_string();
        table.row([
            peer.name.clone(),
            peer.address.clone(),
            human::optional(peer.asn),
            SessionState::word_of(peer.state).to_owned(),
            peer.established_seconds.map(human::duration).unwrap_or_default(),
            sum(|family| family.received),
            sum(|family| family.accepted),
            sum(|family| family.advertised),
            PeerOrigin::word_of(peer.origin).to_owned(),
        ])?;
    }
    Ok(table.finish()?)
}

fn detail(peer: &Peer, out: &mut impl Write) -> Result<(), Error> {
    let origin = match PeerOrigin::try_from(peer.origin) {
        Ok(PeerOrigin::Configured) => "BgpPeer object",
        Ok(PeerOrigin::Mesh) => "mesh",
        Ok(PeerOrigin::Dynamic) => "range of a BgpPeer object (dynamic)",
        _ => "unknown",
    };
    let state = match peer.established_seconds {
        Some(seconds) => format!("Established for {}", human::duration(seconds)),
        None => SessionState::word_of(peer.state).to_owned(),
    };
    let hold_time = match peer.hold_time_seconds {
        Some(0) => "none: no keepalives".to_owned(),
        Some(seconds) => format!("{seconds}s"),
        None => String::new(),
    };
    let counters = peer.counters.unwrap_or_default();

    let mut table = Table::headless(out);
    table.row(["Peer", &peer.name])?;
    table.row(["From", origin])?;
    table.row(["Address", &peer.address])?;
    table.row(["Local address", &human::optional(peer.local_address.as_ref())])?;
    table.row(["AS", &autonomous_system(peer)])?;
    table.row(["State", &state])?;
    table.row(["Router id", &human::optional(peer.router_id.as_ref())])?;
    table.row(["Hold time", &hold_time])?;
    for family in peer.families.iter().filter(|family| family.add_path_receive || family.add_path_send) {
        let directions = match (family.add_path_receive, family.add_path_send) {
            (true, true) => "received and sent",
            (true, false) => "received",
            _ => "sent",
        };
        let text = format!("{}, {directions} (RFC 7911)", Family::word_of(family.family));
        table.row(["Several paths", &text])?;
    }
    if peer.extended_next_hop {
        table.row(["IPv4 next hops", "may be IPv6 (RFC 8950)"])?;
    }
    table.row(["Graceful restart", &graceful_restart(peer)])?;
    table.row(["Capabilities", &peer.capabilities.join(", ")])?;
    table.row(["Messages", &format!("{} in, {} out", counters.messages_in, counters.messages_out)])?;
    table.row(["Updates", &format!("{} in, {} out", counters.updates_in, counters.updates_out)])?;
    table.row(["Faults", &format!("{} malformed attributes", counters.faults)])?;
    table.row(["Flaps", &peer.flaps.to_string()])?;
    table.row(["Last error", &human::optional(peer.last_error.as_ref())])?;
    table.finish()?;

    if peer.families.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    families(&peer.families, out)
}

fn autonomous_system(peer: &Peer) -> String {
    match peer.asn {
        None => format!("any external (ours is {})", peer.local_asn),
        Some(asn) if asn == peer.local_asn => format!("{asn} (internal)"),
        Some(asn) => format!("{asn} (external; ours is {})", peer.local_asn),
    }
}

/// What the peer offers, with the bits that RFC 4724 and RFC 8538 call R and N.
fn graceful_restart(peer: &Peer) -> String {
    let Some(restart) = &peer.graceful_restart else { return String::new() };
    let back = if restart.restarting { "it has restarted (R); " } else { "" };
    let notification = if restart.notification { ", also after a NOTIFICATION (N)" } else { "" };
    format!("{back}within {}{notification}", human::duration(restart.restart_time_seconds.into()))
}

fn stale(family: &PeerFamily) -> String {
    match (family.stale, family.stale_seconds) {
        (0, _) => String::new(),
        (stale, None) => stale.to_string(),
        (stale, Some(seconds)) => format!("{stale}; kept for {}", human::duration(seconds)),
    }
}

fn forwarding(family: &PeerFamily) -> &'static str {
    match family.forwarding {
        None => "",
        Some(true) => "kept (F)",
        Some(false) => "not kept",
    }
}

fn limit(family: &PeerFamily) -> String {
    match (family.limit, family.discarded) {
        (None, 0) => String::new(),
        (None, discarded) => format!("none now; {discarded} discarded"),
        (Some(limit), 0) => limit.to_string(),
        (Some(limit), discarded) => format!("{limit}; {discarded} discarded"),
    }
}

fn families(families: &[PeerFamily], out: &mut impl Write) -> Result<(), Error> {
    let header =
        ["FAMILY", "RECEIVED", "ACCEPTED", "ADVERTISED", "END-OF-RIB", "LIMIT", "FORWARDING", "STALE"];
    let mut table = Table::new(out, &header);
    for family in families {
        table.row([
            Family::word_of(family.family),
            &family.received.to_string(),
            &family.accepted.to_string(),
            &family.advertised.to_string(),
            if family.end_of_rib { "received" } else { "awaited" },
            &limit(family),
            forwarding(family),
            &stale(family),
        ])?;
    }
    Ok(table.finish()?)
}
