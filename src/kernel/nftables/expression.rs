//! What a rule consists of: expressions that load, compare, look up and decide
//! (`linux/netfilter/nf_tables.h`, "expressions").
//!
//! A rule ends at the first expression that does not match. Registers are of four octets and numbered
//! from 0 here; a value of more takes those that follow.

use super::message::{data, put_number, put_value};
use crate::kernel::frame::{Attributes, NESTED};
use crate::prefix::Family;

/// Number of the first register of four octets (`NFT_REG32_00`).
const FIRST_REGISTER: u32 = 8;

/// What the kernel knows of a packet beside its octets (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy)]
pub enum Meta {
    /// Name of the interface it came by.
    InputName = 6,
    /// Name of the interface it leaves by.
    OutputName = 7,
    /// Its family.
    Family = 15,
    /// Its transport protocol.
    Protocol = 16,
}

/// Where an offset counts from (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy)]
pub enum Base {
    /// The Ethernet header.
    Link = 0,
    /// The IP header, or what an Ethernet frame carries.
    Network = 1,
    /// The header after that.
    Transport = 2,
}

/// How a register is compared (`enum nft_cmp_ops`).
#[derive(Debug, Clone, Copy)]
pub enum Compare {
    /// It is equal.
    Equal = 0,
    /// It is not.
    NotEqual = 1,
}

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => 2,
        Family::Ipv6Unicast => 10,
    }
}

/// The expressions of a rule while they are written.
pub struct Expressions<'a, 'b>(pub &'a mut Attributes<'b>);

impl Expressions<'_, '_> {
    fn push(&mut self, name: &str, fill: impl FnOnce(&mut Attributes)) -> &mut Self {
        /// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
        const ONE: u16 = 1;
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        self.0.nest(ONE | NESTED, |attributes| {
            attributes.put_name(NAME, name);
            attributes.nest(DATA | NESTED, fill);
        });
        self
    }

    /// Loads what the kernel knows.
    pub fn meta(&mut self, what: Meta, register: u32) -> &mut Self {
        self.push("meta", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER + register);
            put_number(attributes, 2, what as u32);
        })
    }

    /// Loads octets of the packet.
    pub fn payload(&mut self, base: Base, offset: u32, length: u32, register: u32) -> &mut Self {
        self.push("payload", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER + register);
            put_number(attributes, 2, base as u32);
            put_number(attributes, 3, offset);
            put_number(attributes, 4, length);
        })
    }

    /// Goes on if a register compares so with a value.
    pub fn compare(&mut self, register: u32, how: Compare, value: &[u8]) -> &mut Self {
        self.push("cmp", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER + register);
            put_number(attributes, 2, how as u32);
            put_value(attributes, 3, value);
        })
    }

    /// Goes on if what a set is asked for is in it, or is not.
    pub fn is_in(&mut self, set: &str, register: u32, yes: bool) -> &mut Self {
        /// `NFT_LOOKUP_F_INV`.
        const INVERTED: u32 = 1;
        self.push("lookup", |attributes| {
            attributes.put_name(1, set);
            put_number(attributes, 2, FIRST_REGISTER + register);
            if !yes {
                put_number(attributes, 5, INVERTED);
            }
        })
    }

    /// Loads what a map leads to, in place of the key; ends the rule if it is not in it.
    pub fn look_up(&mut self, map: &str, register: u32) -> &mut Self {
        self.push("lookup", |attributes| {
            attributes.put_name(1, map);
            put_number(attributes, 2, FIRST_REGISTER + register);
            put_number(attributes, 3, FIRST_REGISTER + register);
        })
    }

    /// Goes on with packets of a family.
    pub fn of_family(&mut self, family: Family) -> &mut Self {
        self.meta(Meta::Family, 0).compare(0, Compare::Equal, &[family_number(family)])
    }

    /// Loads the source address.
    pub fn source(&mut self, family: Family, register: u32) -> &mut Self {
        match family {
            Family::Ipv4Unicast => self.payload(Base::Network, 12, 4, register),
            Family::Ipv6Unicast => self.payload(Base::Network, 8, 16, register),
        }
    }

    /// Loads the destination address.
    pub fn destination(&mut self, family: Family, register: u32) -> &mut Self {
        match family {
            Family::Ipv4Unicast => self.payload(Base::Network, 16, 4, register),
            Family::Ipv6Unicast => self.payload(Base::Network, 24, 16, register),
        }
    }

    /// Loads the transport protocol and the destination port, each into a register of its own.
    pub fn service(&mut self, register: u32) -> &mut Self {
        self.meta(Meta::Protocol, register).payload(Base::Transport, 2, 2, register + 1)
    }

    /// Goes on if the destination is an address of this node.
    pub fn for_this_node(&mut self) -> &mut Self {
        /// `NFT_FIB_RESULT_ADDRTYPE`, `NFTA_FIB_F_DADDR`, `RTN_LOCAL`.
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        const LOCAL: u32 = 2;
        self.push("fib", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER);
            put_number(attributes, 2, ADDRESS_TYPE);
            put_number(attributes, 3, DESTINATION);
        });
        self.compare(0, Compare::Equal, &LOCAL.to_ne_bytes())
    }

    /// Goes on with packets of connections whose destination has been translated.
    pub fn is_translated(&mut self) -> &mut Self {
        /// `NFT_CT_STATUS`, `IPS_DST_NAT`.
        const STATUS: u32 = 2;
        const DESTINATION: u32 = 1 << 5;
        self.push("ct", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER);
            put_number(attributes, 2, STATUS);
        });
        self.mask(0, &DESTINATION.to_ne_bytes()).compare(0, Compare::NotEqual, &[0; 4])
    }

    /// Clears the bits of a register that a mask has not set.
    pub fn mask(&mut self, register: u32, mask: &[u8]) -> &mut Self {
        self.push("bitwise", |attributes| {
            put_number(attributes, 1, FIRST_REGISTER + register);
            put_number(attributes, 2, FIRST_REGISTER + register);
            put_number(attributes, 3, mask.len() as u32);
            put_value(attributes, 4, mask);
            put_value(attributes, 5, &vec![0; mask.len()]);
        })
    }

    /// Translates the destination to the address and the port in these registers.
    pub fn translate_destination(&mut self, family: Family, address: u32, port: u32) -> &mut Self {
        /// `NFT_NAT_DNAT`.
        const DESTINATION: u32 = 1;
        self.push("nat", |attributes| {
            put_number(attributes, 1, DESTINATION);
            put_number(attributes, 2, family_number(family).into());
            put_number(attributes, 3, FIRST_REGISTER + address);
            put_number(attributes, 5, FIRST_REGISTER + port);
        })
    }

    /// Translates the source to the address of the interface that the packet leaves by.
    pub fn masquerade(&mut self) -> &mut Self {
        // Ports at random (`NF_NAT_RANGE_PROTO_RANDOM_FULLY`): two connections that begin at the same time
        // would otherwise try the same one, and one of them lose its first packet.
        const RANDOM: u32 = 1 << 4;
        self.push("masq", |attributes| put_number(attributes, 1, RANDOM))
    }

    /// Drops the packet.
    pub fn drop_it(&mut self) -> &mut Self {
        /// `NFT_REG_VERDICT`, `NFTA_VERDICT_CODE`, `NF_DROP`.
        const VERDICT: u32 = 0;
        const CODE: u16 = 1;
        const DROP: u32 = 0;
        self.push("immediate", |attributes| {
            put_number(attributes, 1, VERDICT);
            attributes.nest(2 | NESTED, |attributes| {
                attributes.nest(data::VERDICT | NESTED, |attributes| put_number(attributes, CODE, DROP));
            });
        })
    }
}
