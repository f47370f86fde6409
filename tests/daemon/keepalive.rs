//! A daemon that is busy with a large table keeps up its sessions with everybody, those with a hold time
//! of 3 s included: it speaks in time, and takes nobody for silent whom it had no time to hear.

use std::time::Duration;

use routelet::bgp::{Codec, Message};
use routelet::kernel::NetNs;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::played::Played;
use crate::rig::{Addressing, Cluster};

/// Many for a build without optimizations: seconds of work, and again to let them go.
const PREFIXES: u32 = 100_000;
const HOLD: Duration = Duration::from_secs(3);
const TELLER: &str = "192.168.1.100";
const WATCHER: &str = "192.168.1.101";

#[tokio::test]
async fn a_table_that_comes_and_goes_costs_no_session_with_a_short_hold_time() {
    let mut cluster = Cluster::new("keepalive", Addressing::Ipv4).await;
    cluster.add_address(1, &format!("{TELLER}/24")).await;
    cluster.add_address(1, &format!("{WATCHER}/24")).await;
    cluster.configure(&(peer("teller", TELLER, 65_001) + &peer("watcher", WATCHER, 65_002)));
    cluster.start(0);
    let mut teller = come(&cluster, TELLER, 65_001).await;
    let watcher = come(&cluster, WATCHER, 65_002).await;
    let (done, ended) = oneshot::channel();
    let watched = tokio::spawn(converse(watcher, ended));

    let table = updates();
    teller.say(&table).await;
    let (told, to_fall) = oneshot::channel();
    let telling = tokio::spawn(converse(teller, to_fall));
    installed(&cluster, "the whole table", |size| size >= PREFIXES).await;
    drop(told);
    let heard = telling.await.unwrap();
    assert_on_time("teller", &heard);

    // Its connection is gone now, and with it all of the table.
    // The node has some routes of its own.
    installed(&cluster, "none of the table", |size| size < 100).await;
    drop(done);
    assert_on_time("watcher", &watched.await.unwrap());
}

/// Waits until the kernel's table is as is wanted. Asks nothing of the daemon.
async fn installed(cluster: &Cluster, what: &str, wanted: impl Fn(u32) -> bool) {
    let deadline = Duration::from_secs(120);
    cluster.within(deadline, 0, what, async || wanted(table_size(cluster.namespace(0)))).await;
}

/// How many prefixes the kernel holds in the IPv4 tables of a namespace.
fn table_size(namespace: &NetNs) -> u32 {
    let statistics = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/fib_triestat"));
    let statistics = statistics.unwrap().unwrap();
    let sizes = statistics.lines().filter_map(|line| line.trim().strip_prefix("Prefixes:"));
    sizes.map(|size| size.trim().parse::<u32>().unwrap()).sum()
}

fn peer(name: &str, address: &str, asn: u32) -> String {
    format!(
        "apiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: {name}}}\n\
         spec:\n  address: {address}\n  asn: {asn}\n  passive: true\n  timers: {{hold: 3s}}\n  \
         gracefulRestart: {{enabled: false}}\n  import: {{accept: [{{prefix: 0.0.0.0/0, le: 32}}]}}\n---\n"
    )
}

async fn come(cluster: &Cluster, host: &str, asn: u32) -> Played {
    let daemon = "192.168.1.11".parse().unwrap();
    let mut peer = Played::connect(cluster.namespace(1), host.parse().unwrap(), daemon, None).await;
    peer.establish(asn, HOLD.as_secs() as u16).await;
    peer
}

/// Says KEEPALIVE every second and notes when one is heard, until told to end.
async fn converse(mut peer: Played, mut end: oneshot::Receiver<()>) -> Vec<Instant> {
    let mut heard = vec![Instant::now()];
    let mut second = tokio::time::interval(HOLD / 3);
    loop {
        tokio::select! {
            _ = &mut end => {
                heard.push(Instant::now());
                return heard;
            }
            _ = second.tick() => peer.say(&Codec::initial().encode_keepalive()).await,
            message = peer.hear() => match message {
                Some(Message::Keepalive) => heard.push(Instant::now()),
                other => panic!("instead of a KEEPALIVE: {other:?}"),
            }
        }
    }
}

fn assert_on_time(who: &str, heard: &[Instant]) {
    let longest = heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < HOLD, "{who} heard nothing for {longest:?}");
}

/// The table, as UPDATEs of a thousand prefixes each: 16.0.0.0/24 and those that follow.
fn updates() -> Vec<u8> {
    let next_hop: std::net::Ipv4Addr = TELLER.parse().unwrap();
    let attributes = [
        &[0x40, 1, 1, 0][..],
        &[0x40, 2, 6, 2, 1],
        &65_001u32.to_be_bytes(),
        &[0x40, 3, 4],
        &next_hop.octets(),
    ]
    .concat();
    let mut table = vec![];
    for first in (0..PREFIXES).step_by(1000) {
        let prefixes: Vec<u8> = (first..first + 1000)
            .flat_map(|i| {
                let [a, b, c, _] = ((16 << 24) + (i << 8)).to_be_bytes();
                [24, a, b, c]
            })
            .collect();
        let length = 19 + 2 + 2 + attributes.len() + prefixes.len();
        table.extend([0xff; 16]);
        table.extend((length as u16).to_be_bytes());
        table.extend([2, 0, 0]);
        table.extend((attributes.len() as u16).to_be_bytes());
        table.extend_from_slice(&attributes);
        table.extend(prefixes);
    }
    table
}
