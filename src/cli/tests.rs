//! Every command that looks at a daemon, against a served fixture, as a person sees it. Tables and
//! JSON stand here in full: a change of either is a change that users see. `cleanup` has its test
//! where there is a kernel to clean, in `tests/cli`.

mod status;

use std::path::Path;

use clap::Parser;

use super::{Command, Error};
use crate::api::fixture::Fixture;
use crate::api::tests::{Directory, Served};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Runs a command line. Returns what it wrote, and its error's text.
pub(super) async fn run(line: &str, socket: &Path) -> (String, Option<String>) {
    let socket = socket.to_str().unwrap();
    let words = ["routelet"].into_iter().chain(line.split_whitespace()).chain(["--api-socket", socket]);
    let arguments = Arguments::try_parse_from(words).unwrap();
    let mut out = vec![];
    let error = arguments.command.run(&mut out).await.err();
    (String::from_utf8(out).unwrap(), error.map(|error| error.to_string()))
}

/// Asserts that a command line succeeds with this text, which starts with a newline for looks and
/// has VERSION where the package's version stands.
async fn golden(test: &str, line: &str, expected: &str) {
    let served = Served::new(test, Fixture::Node1);
    let (out, error) = run(line, &served.socket()).await;
    assert_eq!(error, None);
    let expected = expected.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(format!("\n{out}"), expected, "{line} wrote:\n{out}");
}

#[tokio::test]
async fn peers() {
    let expected = "
NAME   ADDRESS       AS     STATE        UPTIME  RECEIVED  ACCEPTED  ADVERTISED  FROM
node2  192.168.1.12  64512  Established  3d4h    3         2         1           mesh
node3  192.168.1.13  64512  Active       -       0         0         0           mesh
tor    fe80::1       65000  Established  12s     0         0         0           configured
";
    golden("peers", "peers", expected).await;
}

#[tokio::test]
async fn one_peer_in_full() {
    let expected = "
Peer                        node2
From                        mesh
Address                     192.168.1.12
Local address               192.168.1.11
AS                          64512 (internal)
State                       Established for 3d4h
Router id                   192.168.1.12
Hold time                   90s
Graceful restart            within 2m, also after a NOTIFICATION (N)
BFD                         Up; sends every 100ms, fails after 412.5ms
Capabilities                multiprotocol ipv4Unicast, route refresh
Messages                    310 in, 300 out
Updates                     4 in, 3 out
Faults                      2 malformed attributes
Flaps                       0
Last error                  -
Last NOTIFICATION sent      -
Last NOTIFICATION received  -

FAULT IN ATTRIBUTE  TREATMENT          AGO   WHY                                  OCTETS
8                   treat-as-withdraw  1m1s  3 octets are no list of communities  0xc00803000001

FAMILY       RECEIVED  ACCEPTED  ADVERTISED  END-OF-RIB  LIMIT                FORWARDING  STALE
ipv4Unicast  2         1         1           received    10000; 12 discarded  kept (F)    1; kept for 1m40s
ipv6Unicast  1         1         0           awaited     -                    -           -
";
    golden("peer", "peers node2", expected).await;
}

#[tokio::test]
async fn a_peer_that_is_down_shows_why_and_cannot_drive_the_terminal() {
    let served = Served::new("down", Fixture::Node1);
    let (out, _) = run("peers node3", &served.socket()).await;
    assert!(out.contains("\nState                       Active\n"), "{out}");
    let error = "\nLast error                  received 6/2: \\u{1b}[31mmaintenance\\n\n";
    assert!(out.contains(error), "{out}");
    let told = "\nLast NOTIFICATION received  Cease: Administrative Shutdown (6/2) \"back at 4\", 5m ago\n";
    assert!(out.ends_with(told), "{out}");
}

const NODE2_JSON: &str = r#"
{
  "name": "node2",
  "origin": "mesh",
  "address": "192.168.1.12",
  "localAddress": "192.168.1.11",
  "asn": 64512,
  "localAsn": 64512,
  "state": "Established",
  "establishedSeconds": 273659,
  "routerId": "192.168.1.12",
  "holdTimeSeconds": 90,
  "families": [
    {
      "family": "ipv4Unicast",
      "received": 2,
      "accepted": 1,
      "advertised": 1,
      "endOfRib": true,
      "addPathReceive": false,
      "addPathSend": false,
      "limit": 10000,
      "discarded": 12,
      "forwarding": true,
      "stale": 1,
      "staleSeconds": 100
    },
    {
      "family": "ipv6Unicast",
      "received": 1,
      "accepted": 1,
      "advertised": 0,
      "endOfRib": false,
      "addPathReceive": false,
      "addPathSend": false,
      "discarded": 0,
      "stale": 0
    }
  ],
  "capabilities": [
    "multiprotocol ipv4Unicast",
    "route refresh"
  ],
  "counters": {
    "messagesIn": 310,
    "messagesOut": 300,
    "updatesIn": 4,
    "updatesOut": 3,
    "faults": 2,
    "faultsWithdrawn": 2,
    "faultsDiscarded": 0
  },
  "flaps": 0,
  "extendedNextHop": false,
  "gracefulRestart": {
    "restarting": false,
    "notification": true,
    "restartTimeSeconds": 120
  },
  "lastFaults": [
    {
      "secondsAgo": 61,
      "attribute": 8,
      "treatment": "treat-as-withdraw",
      "what": "3 octets are no list of communities",
      "octets": "c00803000001"
    }
  ],
  "bfd": {
    "state": "Up",
    "diagnostic": "No Diagnostic",
    "txIntervalMicroseconds": 100000,
    "detectionTimeMicroseconds": 412500
  }
}
"#;

#[tokio::test]
async fn one_peer_in_json_is_one_object() {
    golden("peer-json", "peers node2 -o json", NODE2_JSON).await;
}

#[tokio::test]
async fn peers_in_json_are_one_array_without_what_is_absent() {
    let served = Served::new("peers-json", Fixture::Node1);
    let (out, _) = run("peers -o json", &served.socket()).await;
    let peers: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(peers.as_array().unwrap().len(), 3);
    let down = peers[1].as_object().unwrap();
    assert_eq!(down["lastError"], "received 6/2: \u{1b}[31mmaintenance\n");
    assert!(!down.contains_key("routerId") && !down.contains_key("establishedSeconds"), "{down:?}");
    assert_eq!(peers[2]["origin"], "configured");
}

#[tokio::test]
async fn routes() {
    let expected = "
    PREFIX              NEXT HOP      PEER     AS PATH      LOCAL_PREF  MED  ORIGIN      DECIDED BY
*   0.0.0.0/0           192.168.1.1   tor      65000        200         0    egp         only path
*   10.244.1.0/24       192.168.1.11  (local)  -            -           -    igp         locally originated
    10.244.2.0/24       192.168.1.12  node2    -            100         -    igp         not eligible: next hop is unreachable
*   172.16.0.0/24       192.168.1.1   tor      65000 65001  -           50   incomplete  lowest router id
=   172.16.0.0/24       192.168.1.1   tor-b    65000 65001  -           50   incomplete  -
    172.16.0.0/24       192.168.1.12  node2    -            100         -    igp         -
*s  fd00:10:244:2::/64  fd00::12      node2    -            100         -    igp         only path
";
    golden("routes", "routes", expected).await;
}

#[tokio::test]
async fn routes_by_family_prefix_and_address() {
    let served = Served::new("routes-some", Fixture::Node1);
    for (line, prefix) in [
        ("routes --family ipv6", "fd00:10:244:2::/64"),
        ("routes 10.244.2.0/24", "10.244.2.0/24"),
        ("routes 10.244.1.7", "10.244.1.0/24"),
        ("routes --family ipv4 9.9.9.9", "0.0.0.0/0"),
    ] {
        let (out, error) = run(line, &served.socket()).await;
        assert_eq!((error, out.lines().count()), (None, 2), "{line}: {out}");
        assert_eq!(out.lines().nth(1).unwrap().split_whitespace().find(|w| w.contains('/')), Some(prefix));
    }
}

#[tokio::test]
async fn a_route_with_every_attribute_in_json() {
    let expected = r#"
[
  {
    "prefix": "0.0.0.0/0",
    "decidedBy": "only path",
    "paths": [
      {
        "peer": "tor",
        "best": true,
        "multipath": true,
        "stale": false,
        "nextHop": "192.168.1.1",
        "linkLocalNextHop": "fe80::1",
        "origin": "egp",
        "asPath": "65000",
        "localPref": 200,
        "med": 0,
        "atomicAggregate": true,
        "aggregator": {
          "asn": 65000,
          "routerId": "192.168.1.1"
        },
        "communities": [
          "65000:100",
          "65535:65281"
        ],
        "extendedCommunities": [
          "rt:65000:100"
        ],
        "largeCommunities": [
          "65000:1:2"
        ],
        "originatorId": "192.168.1.12",
        "clusterList": [
          "192.168.1.11",
          "192.168.1.12"
        ],
        "onlyToCustomer": 65000,
        "unknownAttributes": [
          {
            "flags": 224,
            "code": 99,
            "value": "dead"
          }
        ]
      }
    ]
  }
]
"#;
    golden("route-json", "routes 0.0.0.0/0 -o json", expected).await;
}

#[tokio::test]
async fn a_route_with_no_optional_attribute_in_json() {
    let expected = r#"
[
  {
    "prefix": "10.244.1.0/24",
    "decidedBy": "locally originated",
    "paths": [
      {
        "best": true,
        "multipath": true,
        "stale": false,
        "nextHop": "192.168.1.11",
        "origin": "igp",
        "asPath": "",
        "atomicAggregate": false,
        "communities": [],
        "extendedCommunities": [],
        "largeCommunities": [],
        "clusterList": [],
        "unknownAttributes": []
      }
    ]
  }
]
"#;
    golden("local-json", "routes 10.244.1.0/24 -o json", expected).await;
}

#[tokio::test]
async fn fib() {
    let expected = "
PREFIX         NEXT HOPS               METRIC  STATE
10.244.1.0/24  unreachable             20      installed
10.244.2.0/24  192.168.1.12            20      installed
10.244.3.0/24  (being removed)         20      pending
172.16.0.0/24  192.168.1.1, fe80::1%3  20      failed: Network is unreachable (os error 101)
";
    golden("fib", "fib", expected).await;
}

#[tokio::test]
async fn fib_json() {
    let served = Served::new("fib-json", Fixture::Node1);
    let (out, _) = run("fib -o json", &served.socket()).await;
    let routes: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!([
        {"prefix": "10.244.1.0/24", "target": "unreachable", "nextHops": [], "metric": 20, "state": "installed"},
        {"prefix": "10.244.2.0/24", "target": "via", "metric": 20,
         "nextHops": [{"via": "192.168.1.12", "weight": 1}],
         "state": "installed"},
        {"prefix": "10.244.3.0/24", "target": "none", "nextHops": [], "metric": 20, "state": "pending"},
        {"prefix": "172.16.0.0/24", "target": "via",
         "nextHops": [{"via": "192.168.1.1", "weight": 1}, {"via": "fe80::1", "interface": 3, "weight": 1}],
         "metric": 20,
         "state": "failed", "error": "Network is unreachable (os error 101)"},
    ]);
    assert_eq!(routes, expected);
}

#[tokio::test]
async fn what_is_not_there_is_said_and_fails() {
    let served = Served::new("absent", Fixture::Node1);
    for (line, text) in [
        ("peers nobody", "no peer is called \"nobody\"; there are node2, node3, tor"),
        ("routes 10.9.0.0/16", "no path to 10.9.0.0/16"),
        ("routes --family ipv6 fd01::1", "no destination covers fd01::1"),
    ] {
        assert_eq!(run(line, &served.socket()).await.1.as_deref(), Some(text));
    }
    let (out, error) = run("routes 10.9.0.0/16 -o json", &served.socket()).await;
    assert_eq!((out.as_str(), error.is_some()), ("[]\n", true));
}

#[tokio::test]
async fn every_command_says_when_no_daemon_answers() {
    let directory = Directory::new("no-daemon");
    let socket = directory.path().join("routelet.sock");
    for line in ["status", "peers", "routes", "fib", "fib --audit", "drain", "undrain"] {
        let expected = format!(
            "no routelet daemon answers on {}: No such file or directory (os error 2); is it running? \
             (--api-socket, ROUTELET_API_SOCKET)",
            socket.display()
        );
        assert_eq!(run(line, &socket).await, (String::new(), Some(expected)), "{line}");
    }
}

#[tokio::test]
async fn a_daemon_without_an_answer_passes_its_reason_on() {
    let served = Served::new("starting", Fixture::Silent("the speaker is starting"));
    let (_, error) = run("peers", &served.socket()).await;
    assert_eq!(error.as_deref(), Some("the daemon answers: the speaker is starting"));
}

#[test]
fn arguments_that_make_no_sense_say_why() {
    for (line, reason) in [
        ("routes 10.0.0.1/8", "\"10.0.0.1/8\" has host bits set; the prefix is 10.0.0.0/8"),
        ("routes tor", "neither a prefix nor an address"),
        ("cleanup --table mine", "neither a table number of 1 or more nor main, default or local"),
        ("cleanup --table 0", "neither a table number"),
        ("cleanup --protocol 2", "2 is not in 5..=255"),
        ("drain --timeout 30", "\"30\" is not a duration such as \"90s\""),
        ("peers -o yaml", "[possible values: table, json]"),
    ] {
        let words = ["routelet"].into_iter().chain(line.split_whitespace());
        let error = Arguments::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(reason), "{line}: {error}");
    }
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let gone = Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert!(gone.is_closed_pipe());
    assert!(!Error::from(std::io::Error::from(std::io::ErrorKind::StorageFull)).is_closed_pipe());
}

#[tokio::test]
async fn a_table_of_a_peer() {
    let served = Served::new("peer-table", Fixture::Node1);
    let (out, error) = run("peers node2 received --within 10.244.0.0/16", &served.socket()).await;
    assert_eq!(error, None);
    assert!(out.starts_with("   PREFIX"), "{out}");
    assert!(out.contains("10.244.2.0/24") && !out.contains("fd00"), "{out}");
    let (json, _) = run("peers node2 rejected -o json", &served.socket()).await;
    assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap().is_array());
    let (_, error) = run("peers nobody announced", &served.socket()).await;
    assert_eq!(error.as_deref(), Some("no peer is called \"nobody\"; there are node2, node3, tor"));
}
