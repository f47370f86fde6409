//! The count itself, against the kernel's: every seventh packet is dropped on purpose.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::network::join;
use crate::stream::{End, Stream};

/// Counts losses that are known.
///
/// # Panics
/// The count is not that of the kernel.
pub fn the_count_is_exact() {
    let directory = std::env::temp_dir().join(format!("routelet-losses-{}-check", std::process::id()));
    let hosts = [1, 2].map(|n| Host::new(directory.join(n.to_string())));
    let [one, other] = &hosts;
    join((&one.namespace, "eth0"), (&other.namespace, "eth0"));
    for (host, address) in [(one, "192.0.2.1/24"), (other, "192.0.2.2/24")] {
        host.do_run("ip link set eth0 up");
        host.do_run(&format!("ip address add {address} dev eth0"));
    }
    other.do_run("nft add table ip check");
    other.do_run("nft add chain ip check input { type filter hook input priority 0; }");
    other.do_run("nft add rule ip check input udp dport 4000 numgen inc mod 7 0 counter drop");
    let end = |host, address: &str| End { namespace: host, address: address.parse().unwrap() };
    let to = [end(&other.namespace, "192.0.2.2")];
    // Until the link is up, and each knows the other's hardware address, more is lost.
    let before = Stream::start("before", &end(&one.namespace, "192.0.2.1"), &to, 4001);
    other.eventually("a packet", || before.arrived() > 0);
    before.end();
    let stream = Stream::start("check", &end(&one.namespace, "192.0.2.1"), &to, 4000);
    let began = Instant::now();
    other.eventually("a thousand packets", || stream.sent() > 1000);
    let took = began.elapsed();
    let count = stream.end();
    let rules = other.run("nft list ruleset");
    let dropped = rules.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next());
    assert_eq!(dropped, Some(count.lost.to_string().as_str()), "{count:?}: {rules}");
    assert!(count.lost >= 140, "{count:?}");
    assert!(took > Duration::from_millis(900), "that is more than 1,000 packets a second: {took:?}");
    // Losses so near to each other are one outage.
    assert!(count.outage > Duration::from_millis(900), "{count:?}");
    let _ = std::fs::remove_dir_all(directory);
}
