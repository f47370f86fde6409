//! Routelet makes every Kubernetes node a router: it advertises the node's pod CIDRs over BGP and
//! installs what it learns in the kernel.
//!
//! This page is the map of the house.
//!
//! ```text
//!  objects ─► cluster ──Intent──┐                ┌──View──► api ─► cli;  metrics
//!                               ▼                │
//!            ┌───────────── speaker (pure) ──────┴─────────┐
//!  peers     │ session ─► Adj-RIB-In ─► import policy      │
//!  ══TCP══►  │   ─► decision ─► Loc-RIB ─► fib diff ───────┼─► kernel ═► routes
//!  ◄══TCP══  │        └─► export, reflection               │
//!  (daemon)  │              ─► Adj-RIB-Out ─► session      │◄─ link, route events
//!            └─────────────────────────────────────────────┘
//!    in: handle_*(now, input)     out: poll_action(), poll_timeout() → (instant, reason)
//! ```
//!
//! # Rooms
//!
//! The core is pure: no runtime, no socket, no clock, no file. Time comes in as a value, and equal
//! inputs give equal outputs, so a test can run a cluster for a virtual day and replay a failure from
//! its seed. The shell does what the core asks. `cargo check --lib --no-default-features` builds the
//! core alone, and `--features plugin` with it what the CNI plugin needs of the shell: [`cni`], [`ipam`] and
//! a part of [`kernel`], without a runtime, for a program that starts in a millisecond.
//! `tests/architecture.rs` reads the following table and holds every file to it.
//! [`prefix`] and [`time`] are nouns that every room may use.
//!
//! | room | what | may import |
//! |---|---|---|
//! | [`bgp`] | the wire, and one session's FSM | – |
//! | [`bfd`] | is the path to a peer alive? | – |
//! | [`rib`] | paths, the decision process, policy | `bgp` |
//! | [`fib`] | desired against installed routes | – |
//! | [`speaker`] | one whole node: sessions, tables, FIB | `bfd`, `bgp`, `rib`, `fib` |
//! | [`kernel`] | rtnetlink, nftables, policy rules, namespaces, sockets, settings | `fib`, `rib` |
//! | [`cluster`] | objects, and objects → Intent | `bfd`, `bgp`, `rib`, `speaker` |
//! | [`ipam`] | address allocation on disk | – |
//! | [`cni`] | the plugin, one verb a file | `ipam`, `kernel` |
//! | [`api`] | gRPC over a View | `bgp`, `fib`, `speaker` |
//! | [`daemon`] | wiring: driver, transport, metrics, start and stop | `api`, `bfd`, `bgp`, `cluster`, `cni`, `fib`, `ipam`, `kernel`, `rib`, `speaker` |
//! | [`cli`] | what people see | `api`, `cluster`, `cni`, `fib`, `ipam`, `kernel` |
//! | [`lab`] | a topology file → namespaces, links, processes | `api`, `fib`, `ipam`, `kernel` |
//!
//! # Where is …
//!
//! - the decision process: [`rib::decision`]
//! - the session FSM: [`bgp::session::fsm`]
//! - the place where a route enters the kernel: [`kernel::installer`]
//! - the place to add a command: [`cli`]
//! - what the daemon is told, as a schema: [`cluster::objects`]; distilled: [`speaker::intent`]
//! - the same for the API server: [`cluster::crds`]; what the daemon may do there: [`cluster::permissions`]
//! - where objects are watched: [`cluster::api_server`], or [`cluster::manifests`]; how they become one node's
//!   intent: [`cluster::intent`]
//! - what the cluster is told: [`cluster::report`]; our own Node: [`cluster::own_node`]
//! - where a pod is attached: [`cni::add`]; what stands in nftables for it: [`kernel::nftables`]
//! - the address store's format: [`ipam`]
//! - what the daemon can be told when it starts: [`daemon::options`]
//!
//! # Invariants
//!
//! 1. Only kernel routes that bear our protocol number, in the table we were given, are touched, and only
//!    policy rules that bear it.
//! 2. All state can be rebuilt from the objects, the peers and a dump of the kernel.
//! 3. A prefix is advertised only while it can be delivered: the kernel forwards, and the bridge and an
//!    unreachable aggregate stand first; an address of a Service has an endpoint.
//! 4. Peer input never panics and never blocks another peer.
//! 5. A change of configuration resets a session only where the protocol makes it unavoidable.
//! 6. Nothing is accepted from or told to an external peer that policy does not name (RFC 8212), and
//!    nobody may announce this node's own pod CIDRs, a node address or a Service CIDR to it. Nodes take
//!    from each other pod CIDRs, and addresses of Services that an advertisement claims.
//!
//! # RFCs
//!
//! | RFC | what | state |
//! |---|---|---|
//! | 4271 | BGP-4 | yes, without DelayOpen and without aggregation of routes: [`bgp`], [`rib`] |
//! | 6286 | AS-wide unique BGP identifier | yes: [`bgp::session`], [`speaker`] |
//! | 6608 | subcodes for FSM errors | yes: [`bgp::session::fsm`] |
//! | 7606 | revised error handling for UPDATE | yes: [`bgp::update`], [`bgp::attribute`] |
//! | 4760, 2545 | multiprotocol; IPv6 unicast | unicast of both families alone: [`bgp::update`] |
//! | 7911 | several paths for one prefix (Add-Path) | yes, received and sent: [`rib::loc_rib`], [`speaker`] |
//! | 8950 | IPv6 next hops for IPv4 prefixes | yes, on IPv6 sessions and learned on any: [`rib::next_hop`] |
//! | 5492, 9072 | capabilities; extended optional parameters | yes: [`bgp::capability`], [`bgp::open`] |
//! | 6793 | four-octet AS numbers | yes: [`bgp::as_path`], [`bgp::attribute`] |
//! | 2918, 7313 | route refresh; enhanced | yes: [`bgp::message`], [`speaker`] |
//! | 9234 | roles, and routes for customers only | yes: [`bgp::role`], [`rib::only_to_customer`] |
//! | 9003 | shutdown communication | yes: [`bgp::notification`] |
//! | 4486 | subcodes of Cease; too many prefixes | yes: [`bgp::reason`], [`speaker`] |
//! | 8654 | extended messages | yes: [`bgp::header`] |
//! | 8212 | default deny towards external peers | yes: [`rib::policy`] |
//! | 1997, 8092 | communities: plain, large | yes: passed on, matched, added, removed by [`rib::policy`] |
//! | 4360, 5668 | extended communities | yes, likewise; what is not transitive stays in the AS: [`bgp::extended_community`] |
//! | draft-ietf-idr-link-bandwidth | link bandwidth | weights of multipath where every path says one; not summed up for others: [`bgp::extended_community`]; said, transitive, of addresses of Services: [`speaker`] |
//! | 1997, 7999, 8326 | NO_EXPORT and NO_ADVERTISE; BLACKHOLE; GRACEFUL_SHUTDOWN | obeyed; a blackhole, where allowed, is an unreachable route: [`rib::well_known`]; a speaker that drains says GRACEFUL_SHUTDOWN, and one whose Node leaves of its service addresses: [`speaker`] |
//! | 3765, 7611 | NOPEER; ACCEPT_OWN | names alone: policy matches and sets them |
//! | 9494 | long-lived graceful restart | yes, with partial deployment (§4.6) where asked for: [`speaker`] |
//! | 4456 | route reflection | yes: [`rib::import`], [`rib::export`] |
//! | 7607, 9774 | AS 0; AS_SET | AS 0 refused; sets treated as withdrawn unless allowed, and never made here: [`rib::as_path_rules`] |
//! | 6996 | private AS numbers | left out of what external peers are told, where asked: [`rib::as_path_rules`] |
//! | 3022 | translation of addresses: masquerade, mapped ports | by the kernel, in tables of ours: [`kernel::nftables`] |
//! | 3927 | link-local addresses of IPv4 | the router of pods without a bridge has one, of nobody: [`cni::routed`] |
//! | 2385 | TCP MD5 | yes: [`kernel::socket`] |
//! | 4861 | router discovery | to find the peer of a link: [`kernel::router_discovery`] |
//! | 5952 | IPv6 addresses as text | names of the files of the address store: [`ipam`] |
//! | 4862, 4861, 5227 | duplicate detection, unsolicited advertisements, gratuitous ARP | for pods, without waiting: [`cni::duplicates`], [`kernel::announce`] |
//! | 5082 | GTSM | yes |
//! | 5880, 5881, 5883 | BFD: single hop and multihop, asynchronous | yes, without Echo; keys are Meticulous Keyed SHA1 |
//! | 5882, 9384 | what BFD means to a session; Cease with BFD Down | yes |
//! | 4724, 8538 | graceful restart, also after NOTIFICATIONs; Hard Reset | yes, on either side |
//! | 9687 | send hold timer | yes |
//! | 5482 | TCP user timeout | the local option: the send hold time unless configured: [`kernel::socket`] |

// The core: pure. No tokio, no socket, no clock, no file.
pub mod bfd;
pub mod bgp;
pub mod fib;
pub mod prefix;
pub mod rib;
pub mod speaker;
pub mod time;

// The shell: does what the core asks. What the plugin needs of it is a feature of its own.
#[cfg(feature = "shell")]
pub mod api;
#[cfg(feature = "shell")]
pub mod cli;
#[cfg(feature = "shell")]
pub mod cluster;
#[cfg(feature = "plugin")]
pub mod cni;
#[cfg(feature = "shell")]
pub mod daemon;
#[cfg(feature = "plugin")]
pub mod ipam;
#[cfg(feature = "plugin")]
pub mod kernel;
#[cfg(feature = "shell")]
pub mod lab;
