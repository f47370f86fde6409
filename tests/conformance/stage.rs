//! A daemon in a namespace of its own, a wire, and addresses for its peers at the other end.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use routelet::api::Client;
use routelet::kernel::links::VethPair;
use routelet::kernel::{NetNs, Netlink};
use socket2::{Domain, Socket, Type};

use crate::peer::{Peer, message};
use crate::side::Side;

const DEADLINE: Duration = Duration::from_secs(20);

/// Everything of it goes when it does.
pub struct Rig {
    directory: PathBuf,
    daemon_side: NetNs,
    peer_side: NetNs,
    daemon: Option<Child>,
    /// Where the daemon's own connections come in, by the address it connects to.
    listeners: BTreeMap<[u8; 4], TcpListener>,
}

impl Rig {
    /// The daemon's address and BGP identifier.
    pub const DAEMON: [u8; 4] = [172, 20, 0, 1];
    /// Sees what external peers are told.
    pub const OUTSIDE: [u8; 4] = [172, 20, 250, 1];
    /// Sees what internal peers are told, a client of the daemon's.
    pub const INSIDE: [u8; 4] = [172, 20, 250, 2];
    /// Sees what external peers without four-octet AS numbers are told.
    pub const NARROW: [u8; 4] = [172, 20, 250, 3];
    /// A healthy peer that announces something new after each row.
    pub const WITNESS: [u8; 4] = [172, 20, 250, 4];
    /// An address that the daemon has not been told of.
    pub const STRANGER: [u8; 4] = [172, 20, 250, 99];

    /// The address of a row's peer.
    pub fn peer(number: u16) -> [u8; 4] {
        let octet = |n: u16| u8::try_from(n).unwrap();
        [172, 20, octet(1 + number / 250), octet(1 + number % 250)]
    }

    /// A rig with a peer for each of `sides`.
    pub async fn new(sides: &[Side]) -> Rig {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
        let directory = std::env::temp_dir().join(format!("routelet-conformance-{}", std::process::id()));
        fs::create_dir_all(directory.join("manifests")).unwrap();
        let (daemon_side, peer_side) = (NetNs::create().unwrap(), NetNs::create().unwrap());
        let mut peers = vec![
            (Self::OUTSIDE, Side::Dual, true),
            (Self::INSIDE, Side::Client, true),
            (Self::NARROW, Side::TwoOctet, true),
            (Self::WITNESS, Side::External, false),
        ];
        peers.extend((1..).zip(sides).map(|(number, side)| (Self::peer(number), *side, false)));
        let mut theirs: Vec<[u8; 4]> = peers.iter().map(|(address, ..)| *address).collect();
        theirs.push(Self::STRANGER);
        connect_namespaces(&daemon_side, &peer_side, &theirs).await;
        fs::write(directory.join("manifests/all.yaml"), manifests(&peers)).unwrap();
        let active = peers.iter().filter(|(_, side, _)| *side == Side::Active);
        let listen = |address: [u8; 4]| TcpListener::bind(SocketAddr::from((address, 179))).unwrap();
        let listeners =
            peer_side.enter(|| active.map(|(address, ..)| (*address, listen(*address))).collect()).unwrap();
        Rig { directory, daemon_side, peer_side, daemon: None, listeners }
    }

    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.args(["run", "--node-name", "node1", "--manifests"]).arg(self.directory.join("manifests"));
        command.arg("--api-socket").arg(self.directory.join("api.sock"));
        command.arg("--state-dir").arg(self.directory.join("state")).stdin(Stdio::null());
        command.stderr(File::create(self.directory.join("log")).unwrap());
        self.daemon = Some(self.daemon_side.enter(|| command.spawn()).unwrap().unwrap());
    }

    /// A connection from an address; the daemon's OPEN may be on its way.
    pub fn connect(&self, from: [u8; 4]) -> Peer {
        self.persist(|| self.peer_side.enter(|| dial(from)).unwrap().map(|socket| Peer(socket.into())))
    }

    /// The connection that the daemon has made to an address. One that it has given up before it said
    /// anything, as it may where it has had a reason to begin anew, is passed over.
    pub fn accept(&self, address: [u8; 4]) -> Peer {
        loop {
            let (connection, _) = self.listeners[&address].accept().unwrap();
            if connection.peek(&mut [0]).is_ok_and(|octets| octets > 0) {
                return Peer(connection);
            }
        }
    }

    /// An Established session from an address, with an OPEN.
    pub fn establish(&self, from: [u8; 4], open: &[u8]) -> Result<Peer, String> {
        let mut peer = self.connect(from);
        peer.send(open);
        peer.await_kind(1)?;
        peer.send(&message(4, &[]));
        peer.await_kind(4)?;
        Ok(peer)
    }

    /// As [`Rig::establish`], from the moment the daemon has been started: it listens before it knows
    /// its peers.
    pub fn establish_first(&self, from: [u8; 4], open: &[u8]) -> Peer {
        self.persist(|| self.establish(from, open))
    }

    /// Tries until it works or the deadline has passed.
    #[allow(clippy::disallowed_methods, reason = "a real daemon in real time")]
    fn persist<T, E: Display>(&self, attempt: impl Fn() -> Result<T, E>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            match attempt() {
                Ok(found) => return found,
                Err(error) if Instant::now() > end => panic!("{error}; the log:\n{}", self.log()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Octets of memory that the daemon occupies.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.daemon.as_ref().unwrap().id());
        let pages: u64 = fs::read_to_string(path).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// The daemon lives, serves its API, and has logged no error.
    pub async fn check_healthy(&mut self) {
        assert!(self.daemon.as_mut().unwrap().try_wait().unwrap().is_none(), "it ended:\n{}", self.log());
        let mut client = Client::connect(&self.directory.join("api.sock")).await.unwrap();
        assert!(client.peers(None).await.unwrap().collect().await.unwrap().len() > 1);
        let log = self.log();
        let errors: Vec<&str> = log.lines().filter(|l| l.contains("ERROR")).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn dial(from: [u8; 4]) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&SocketAddr::from((Rig::DAEMON, 179)).into())?;
    Ok(socket)
}

/// A wire between the namespaces, and addresses of both families at either end.
async fn connect_namespaces(daemon_side: &NetNs, peer_side: &NetNs, theirs: &[[u8; 4]]) {
    let (ours, peers) = (Netlink::open_in(daemon_side).unwrap(), Netlink::open_in(peer_side).unwrap());
    let wire = VethPair {
        name: "eth0",
        peer_name: "eth0",
        peer_namespace: Some(peer_side),
        mtu: None,
        peer_mac: None,
    };
    ours.add_veth(&wire).await.unwrap();
    let networks = |addresses: &[[u8; 4]]| -> Vec<String> {
        addresses.iter().map(|address| format!("{}/16", Ipv4Addr::from(*address))).collect()
    };
    let mut daemon = networks(&[Rig::DAEMON]);
    daemon.push("fd00:0:0:20::1/64".to_owned());
    for (netlink, networks) in [(&ours, daemon), (&peers, networks(theirs))] {
        for name in ["lo", "eth0"] {
            let link = netlink.link(name).await.unwrap().unwrap();
            netlink.set_up(link.index, true).await.unwrap();
        }
        let link = netlink.link("eth0").await.unwrap().unwrap();
        for network in networks {
            netlink.add_address(link.index, network.parse().unwrap()).await.unwrap();
        }
    }
}

const EVERYTHING: &str = "accept: [{prefix: 0.0.0.0/0, le: 32}, {prefix: '::/0', le: 128}]";

/// Peers by address, with what they are and whether they are told of everything.
fn manifests(peers: &[([u8; 4], Side, bool)]) -> String {
    let mut text = "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\n\
         spec: {asn: 64512, mesh: none}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: node1}\n\
         spec: {podCIDRs: [10.244.1.0/24]}\nstatus: {addresses: [{type: InternalIP, address: 172.20.0.1}, \
         {type: InternalIP, address: 'fd00:0:0:20::1'}]}\n"
        .to_owned();
    for (i, (peer, side, told)) in peers.iter().enumerate() {
        let address = Ipv4Addr::from(*peer);
        let limit = if *side == Side::Limited { ", maxPrefixes: {limit: 2, action: reset}" } else { "" };
        let export = if *told { EVERYTHING } else { "" };
        write!(
            text,
            "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: peer{i}}}\n\
             spec: {{address: {address}, {}, families: [ipv4Unicast, ipv6Unicast], \
             import: {{{EVERYTHING}{limit}}}, export: {{{export}}}}}\n",
            side.spec()
        )
        .unwrap();
    }
    text
}
