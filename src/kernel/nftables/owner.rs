//! Whose an element is: written into its comment, where people and a later DEL find it.
//!
//! `pod-network/5f1c…/eth0 veth1de2219b182`: network, container, interface in the container, and after a
//! space the interface on the node by which the pod is reached. The last says whether the pod still is: the
//! kernel removes it with the pod's namespace.

use nix::net::if_::if_nametoindex;

use super::message::COMMENT_MOST;
use crate::kernel::digest::fnv1a;

/// An attachment of a container to a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Name of the network.
    pub network: String,
    /// The runtime's name of the container.
    pub container: String,
    /// The interface in the container.
    pub interface: String,
    /// The interface on the node that leads to the container; empty where it is not known.
    pub link: String,
}

impl Owner {
    /// The comment on what is this owner's. No part may hold a slash or a space, and CNI's parts do not.
    /// A network of so long a name that a comment has no room for it goes by a digest. There is always room
    /// for a container's name of 200 octets, which is the longest that the plugin takes.
    pub fn comment(&self) -> String {
        let comment = format!("{} {}", self.key(&self.network), self.link);
        if comment.len() <= COMMENT_MOST {
            return comment;
        }
        format!("{} {}", self.key(&digest(&self.network)), self.link)
    }

    fn key(&self, network: &str) -> String {
        format!("{network}/{}/{}", self.container, self.interface)
    }

    /// Reads a comment; `None` if it is none of ours.
    pub fn parse(comment: &str) -> Option<Owner> {
        let (key, link) = comment.split_once(' ')?;
        let mut parts = key.splitn(3, '/').map(str::to_owned);
        Some(Owner {
            network: parts.next()?,
            container: parts.next()?,
            interface: parts.next()?,
            link: link.to_owned(),
        })
    }

    /// Whether a comment names this owner, by whatever link.
    pub fn is_named_by(&self, comment: Option<&str>) -> bool {
        comment.and_then(Owner::parse).is_some_and(|named| {
            self.is_of(&named.network)
                && (&named.container, &named.interface) == (&self.container, &self.interface)
        })
    }

    /// Whether that is the network, by its name or its digest.
    pub fn is_of(&self, network: &str) -> bool {
        self.network == network || digest(&self.network) == network
    }

    /// Whether the pod may still be attached, as far as the interfaces of the calling thread's namespace
    /// tell. Of a pod without one on the node, such as a macvlan's, they tell nothing.
    pub fn is_attached(&self) -> bool {
        self.link.is_empty() || if_nametoindex(self.link.as_str()).is_ok()
    }
}

/// What stands for a long text. No network's name begins with a tilde.
fn digest(text: &str) -> String {
    format!("~{:016x}", fnv1a(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(network: &str) -> Owner {
        Owner {
            network: network.to_owned(),
            container: "c".repeat(200),
            interface: "i".repeat(15),
            link: "veth1de2219b182".to_owned(),
        }
    }

    #[test]
    fn comments_are_read_back() {
        let short = owner("pods");
        assert_eq!(Owner::parse(&short.comment()), Some(short.clone()));
        assert!(short.is_named_by(Some(&short.comment())));
        assert!(!owner("pod").is_named_by(Some(&short.comment())));
        let moved = Owner { link: String::new(), ..short.clone() };
        assert!(moved.is_named_by(Some(&short.comment())), "whatever the link");
        for foreign in ["", "a comment by hand", "a/b c"] {
            assert_eq!(Owner::parse(foreign), None);
        }
    }

    #[test]
    fn only_an_interface_that_has_gone_tells_of_an_end() {
        let behind = |link: &str| Owner { link: link.to_owned(), ..owner("pods") };
        assert!(behind("lo").is_attached() && behind("").is_attached());
        assert!(!behind("veth-gone").is_attached());
    }

    #[test]
    fn a_network_of_a_long_name_goes_by_a_digest() {
        let long = owner(&"n".repeat(300));
        assert!(long.comment().len() <= COMMENT_MOST, "{}", long.comment().len());
        assert!(long.is_named_by(Some(&long.comment())));
        assert!(!owner(&"n".repeat(301)).is_named_by(Some(&long.comment())));
    }
}
