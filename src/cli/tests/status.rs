//! `routelet status`, as a person and as a program see it.

use super::golden;

#[tokio::test]
async fn status() {
    let expected = "
Node           node1
Version        VERSION
AS             64512
Router id      192.168.1.11
Objects        from the API server at https://192.168.1.10:6443/
Peers          2 of 3 established
Destinations   4 ipv4Unicast, 1 ipv6Unicast
Kernel routes  3 installed, 1 pending, 7 refusals
Range rack     1 of 100 peers from 10.0.0.0/8, 3 refused
Rule           999: from all to 10.244.1.0/24 lookup main suppress_prefixlength 23, ipv4Unicast
Rule           1000: from all lookup 100, ipv4Unicast; the kernel has it not: No buffer space available (os error 105)
CNI config     /etc/cni/net.d/10-routelet.conflist, in place: container runtimes take 05-other.conf instead: remove it
Addresses      7 of 253 taken in 10.244.1.0/24
Addresses      1 of 253 taken in 10.244.9.0/24, no longer given out
Masquerade     but to 3 prefixes; too many are learned to be among them
Wrong          Node node3: spec.podCIDRs[0]: 10.244.3.0 is not a prefix
Wrong          BgpPeer: the API server does not know this kind: the CustomResourceDefinition bgppeers.routelet.dev is not installed
Wrong          eth0 is strict
Wrong          eth1 is strict
Advice         it is 0 and should be 1
Advice         nftables chain ip filter FORWARD drops what is forwarded unless it has a rule for it: have it accept pods
";
    golden("status", "status", expected).await;
}

const STATUS_JSON: &str = r#"
{
  "version": "VERSION",
  "nodeName": "node1",
  "asn": 64512,
  "routerId": "192.168.1.11",
  "peers": 3,
  "established": 2,
  "routes": [
    {
      "family": "ipv4Unicast",
      "count": 4
    },
    {
      "family": "ipv6Unicast",
      "count": 1
    }
  ],
  "fibInstalled": 3,
  "fibPending": 1,
  "fibFailures": 7,
  "fibConflicts": 1,
  "fibRepairs": 4,
  "ranges": [
    {
      "name": "rack",
      "range": "10.0.0.0/8",
      "limit": 100,
      "peers": 1,
      "refused": 3
    }
  ],
  "settings": [
    {
      "name": "net.ipv4.ip_forward",
      "needed": true,
      "set": true,
      "faults": []
    },
    {
      "name": "net.ipv4.fib_multipath_hash_policy",
      "needed": false,
      "set": false,
      "faults": [
        "it is 0 and should be 1"
      ]
    },
    {
      "name": "net.ipv4.conf.*.rp_filter",
      "needed": true,
      "set": false,
      "faults": [
        "eth0 is strict",
        "eth1 is strict"
      ]
    }
  ],
  "rules": [
    {
      "family": "ipv4Unicast",
      "rule": "999: from all to 10.244.1.0/24 lookup main suppress_prefixlength 23"
    },
    {
      "family": "ipv4Unicast",
      "rule": "1000: from all lookup 100",
      "error": "No buffer space available (os error 105)"
    }
  ],
  "cniConfig": {
    "path": "/etc/cni/net.d/10-routelet.conflist",
    "inPlace": true,
    "fault": "container runtimes take 05-other.conf instead: remove it"
  },
  "pools": [
    {
      "prefix": "10.244.1.0/24",
      "taken": 7,
      "size": 253,
      "former": false
    },
    {
      "prefix": "10.244.9.0/24",
      "taken": 1,
      "size": 253,
      "former": true
    }
  ],
  "sweptAddresses": 2,
  "firewall": {
    "exempt": 3,
    "tooManyLearned": true,
    "dropping": [
      "ip filter FORWARD"
    ]
  },
  "objects": {
    "source": "the API server at https://192.168.1.10:6443/",
    "faults": [
      "Node node3: spec.podCIDRs[0]: 10.244.3.0 is not a prefix"
    ],
    "kinds": [
      {
        "kind": "BgpPeer",
        "connected": false,
        "objects": 0,
        "malformed": 0,
        "lists": 1,
        "failures": 4,
        "trouble": "BgpPeer: the API server does not know this kind: the CustomResourceDefinition bgppeers.routelet.dev is not installed"
      },
      {
        "kind": "Node",
        "connected": true,
        "objects": 3,
        "malformed": 1,
        "lists": 1,
        "failures": 0,
        "lastList": 1790000000,
        "lastEvent": 1790000060
      }
    ]
  }
}
"#;

#[tokio::test]
async fn status_json() {
    golden("status-json", "status -o json", STATUS_JSON).await;
}
