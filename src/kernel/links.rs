//! Links: bridges, veth pairs, up and down, for a program with a runtime: the daemon and the lab. Their
//! addresses are in [`super::addresses`].
//!
//! The plugin, and the daemon where it makes the bridge, ask by `link_request`, without a runtime and many
//! things at once.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};

pub use super::link::Link;
use super::refusal::Refusal;
use super::{Error, NetNs, Netlink};

/// A veth pair to be made.
#[derive(Debug, Clone)]
pub struct VethPair<'a> {
    /// Name of the end that stays in this conversation's namespace.
    pub name: &'a str,
    /// Name of the other end.
    pub peer_name: &'a str,
    /// Namespace of the other end; this one if `None`.
    pub peer_namespace: Option<&'a NetNs>,
    /// MTU of both ends; the kernel's default if `None`.
    pub mtu: Option<u32>,
    /// Hardware address of the other end; the kernel's choice if `None`.
    pub peer_mac: Option<[u8; 6]>,
}

impl Netlink {
    /// The link of that name; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.find_link(message).await.map_err(|refusal| refusal.to(format_args!("look up link {name}")))
    }

    /// The link of that index; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn link_at(&self, index: u32) -> Result<Option<Link>, Error> {
        let message = at(index);
        self.find_link(message).await.map_err(|refusal| refusal.to(format_args!("look up link {index}")))
    }

    /// All links, by index.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(without_statistics());
        let found = self
            .dump(RouteNetlinkMessage::GetLink(message))
            .await
            .map_err(|refusal| refusal.to("list the links"))?;
        let mut links: Vec<Link> = found
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewLink(message) => Link::from_message(message),
                _ => None,
            })
            .collect();
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// Makes a bridge, without setting it up.
    ///
    /// # Errors
    /// The name is taken, or bridges are not to be had here.
    pub async fn add_bridge(&self, name: &str, mtu: Option<u32>) -> Result<Link, Error> {
        let mut message = named(name, mtu);
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.add_link(message, name, &format!("make bridge {name}")).await
    }

    /// Makes a veth pair in one request and returns this end.
    ///
    /// # Errors
    /// A name is taken in its namespace.
    pub async fn add_veth(&self, pair: &VethPair<'_>) -> Result<Link, Error> {
        let mut peer = named(pair.peer_name, pair.mtu);
        if let Some(mac) = pair.peer_mac {
            peer.attributes.push(LinkAttribute::Address(mac.to_vec()));
        }
        if let Some(namespace) = pair.peer_namespace {
            // The pair borrows the namespace, which therefore stays open until the kernel has read this.
            peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd()));
        }
        let mut message = named(pair.name, pair.mtu);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let what = format!("make veth pair {} and {}", pair.name, pair.peer_name);
        self.add_link(message, pair.name, &what).await
    }

    /// Sets a link administratively up or down.
    ///
    /// # Errors
    /// There is no such link.
    pub async fn set_up(&self, index: u32, up: bool) -> Result<(), Error> {
        let mut message = at(index);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags.set(LinkFlags::Up, up);
        self.set_link(message, if up { "set up" } else { "set down" }).await
    }

    /// Makes a link a port of a bridge, or of none.
    ///
    /// # Errors
    /// There is no such link or bridge.
    pub async fn set_master(&self, index: u32, bridge: Option<u32>) -> Result<(), Error> {
        const NONE: u32 = 0;
        let mut message = at(index);
        message.attributes.push(LinkAttribute::Controller(bridge.unwrap_or(NONE)));
        self.set_link(message, if bridge.is_some() { "make a bridge port of" } else { "take off its bridge" })
            .await
    }

    /// Sets a link's MTU in octets.
    ///
    /// # Errors
    /// There is no such link, or it cannot carry packets of that size.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), Error> {
        let mut message = at(index);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set_link(message, "set the MTU of").await
    }

    /// Deletes a link (both ends of a veth pair). That it is gone already is success.
    ///
    /// # Errors
    /// The kernel refuses to delete it.
    pub async fn delete_link(&self, index: u32) -> Result<(), Error> {
        match self.change(RouteNetlinkMessage::DelLink(at(index)), 0).await {
            Err(refusal) if refusal.is(nix::Error::ENODEV) => Ok(()),
            Err(refusal) => Err(self.link_error("delete", index, refusal).await),
            Ok(()) => Ok(()),
        }
    }

    async fn find_link(&self, mut message: LinkMessage) -> Result<Option<Link>, Refusal> {
        message.attributes.push(without_statistics());
        match self.query(RouteNetlinkMessage::GetLink(message)).await {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Link::from_message(&message)),
            Ok(_) => Ok(None),
            Err(refusal) if refusal.is(nix::Error::ENODEV) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    async fn add_link(&self, message: LinkMessage, name: &str, what: &str) -> Result<Link, Error> {
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .await
            .map_err(|refusal| refusal.to(what))?;
        self.link(name).await?.ok_or_else(|| Error::Netlink {
            what: what.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "it vanished at once"),
        })
    }

    async fn set_link(&self, message: LinkMessage, verb: &str) -> Result<(), Error> {
        let index = message.header.index;
        match self.change(RouteNetlinkMessage::SetLink(message), 0).await {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.link_error(verb, index, refusal).await),
        }
    }

    /// An error about a link that names it, which takes one more question to the kernel.
    pub(super) async fn link_error(
        &self,
        verb: impl std::fmt::Display,
        index: u32,
        refusal: Refusal,
    ) -> Error {
        match self.link_at(index).await {
            Ok(Some(link)) => refusal.to(format_args!("{verb} link {}", link.name)),
            _ => refusal.to(format_args!("{verb} link number {index}")),
        }
    }
}

impl Link {
    /// `None` for a message without a name, which the kernel does not send.
    fn from_message(message: &LinkMessage) -> Option<Link> {
        let flags = message.header.flags;
        let mut name = None;
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            running: flags.contains(LinkFlags::Running),
            kind: None,
            master: None,
            other: None,
            forwarding: false,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(value) => name = Some(value.clone()),
                LinkAttribute::Address(value) => link.mac = value.as_slice().try_into().ok(),
                LinkAttribute::Mtu(value) => link.mtu = *value,
                LinkAttribute::Link(value) => link.other = Some(*value),
                LinkAttribute::Controller(value) => link.master = Some(*value),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                _ => {}
            }
        }
        Some(Link { name: name?, ..link })
    }

    fn read_infos(&mut self, infos: &[LinkInfo]) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
                LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                    self.forwarding = port.contains(&InfoBridgePort::State(BridgePortState::Forwarding));
                }
                _ => {}
            }
        }
    }
}

/// A message about the link of that index.
fn at(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// A message about a new link.
fn named(name: &str, mtu: Option<u32>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

/// Statistics make up most of a link's description, and cost the kernel a walk over all processors.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}
