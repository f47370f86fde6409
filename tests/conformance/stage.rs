//! A daemon in a namespace of its own, a wire, and addresses for its peers at the other end.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use routelet::api::Client;
use routelet::kernel::links::VethPair;
use routelet::kernel::{NetNs, Netlink};
use socket2::{Domain, Socket, Type};

use crate::peer::{Peer, message};

const DEADLINE: Duration = Duration::from_secs(20);

/// Everything of it goes when it does.
pub struct Rig {
    directory: PathBuf,
    daemon_side: NetNs,
    peer_side: NetNs,
    daemon: Option<Child>,
}

impl Rig {
    pub const OBSERVER: [u8; 4] = [172, 20, 2, 1];

    /// The address of a row's peer.
    pub fn peer(number: u8) -> [u8; 4] {
        [172, 20, 1, number]
    }

    pub async fn new(peers: usize) -> Rig {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
        let directory = std::env::temp_dir().join(format!("routelet-conformance-{}", std::process::id()));
        fs::create_dir_all(directory.join("manifests")).unwrap();
        let (daemon_side, peer_side) = (NetNs::create().unwrap(), NetNs::create().unwrap());
        let (ours, theirs) = (Netlink::open_in(&daemon_side).unwrap(), Netlink::open_in(&peer_side).unwrap());
        let wire = VethPair {
            name: "eth0",
            peer_name: "eth0",
            peer_namespace: Some(&peer_side),
            mtu: None,
            peer_mac: None,
        };
        ours.add_veth(&wire).await.unwrap();
        let mut all = vec![Self::OBSERVER];
        all.extend((1..=peers).map(|n| Self::peer(u8::try_from(n).unwrap())));
        for (netlink, addresses) in [(&ours, &vec![[172, 20, 0, 1]]), (&theirs, &all)] {
            for name in ["lo", "eth0"] {
                let link = netlink.link(name).await.unwrap().unwrap();
                netlink.set_up(link.index, true).await.unwrap();
            }
            let link = netlink.link("eth0").await.unwrap().unwrap();
            for address in addresses {
                let network = format!("{}/16", Ipv4Addr::from(*address)).parse().unwrap();
                netlink.add_address(link.index, network).await.unwrap();
            }
        }
        fs::write(directory.join("manifests/all.yaml"), manifests(&all)).unwrap();
        Rig { directory, daemon_side, peer_side, daemon: None }
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
        let end = Instant::now() + DEADLINE;
        loop {
            match self.peer_side.enter(|| dial(from)).unwrap() {
                Ok(socket) => return Peer(socket.into()),
                Err(error) if Instant::now() > end => panic!("{error}; the log:\n{}", self.log()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// An Established session from an address.
    pub fn establish(&self, from: [u8; 4]) -> Peer {
        let end = Instant::now() + DEADLINE;
        loop {
            let mut peer = self.connect(from);
            peer.send(&Peer::open(from));
            // The daemon listens before it knows its peers.
            if let Ok((1, _)) = peer.receive() {
                peer.send(&message(4, &[]));
                if let Ok((4, _)) = peer.receive() {
                    return peer;
                }
            }
            assert!(Instant::now() < end, "no session from {from:?}; the log:\n{}", self.log());
        }
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
    socket.connect(&SocketAddr::from(([172, 20, 0, 1], 179)).into())?;
    Ok(socket)
}

fn manifests(peers: &[[u8; 4]]) -> String {
    let mut text = "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\n\
         spec: {asn: 64512, mesh: none}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: node1}\n\
         spec: {podCIDRs: [10.244.1.0/24]}\nstatus: {addresses: [{type: InternalIP, address: 172.20.0.1}]}\n"
        .to_owned();
    for (i, peer) in peers.iter().enumerate() {
        let (address, all) = (Ipv4Addr::from(*peer), "{accept: [{prefix: 10.0.0.0/8, le: 32}]}");
        let export = if i == 0 { all } else { "{}" };
        write!(
            text,
            "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: peer{i}}}\nspec: {{address: {address}, \
             asn: 65000, passive: true, import: {all}, export: {export}}}\n"
        )
        .unwrap();
    }
    text
}
