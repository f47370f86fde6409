//! Messages of nf_tables as octets (`linux/netfilter/nf_tables.h` and `nfnetlink.h`): transactions, and
//! questions.
//!
//! Pure: sends nothing, and knows none of our tables. All numbers are big-endian here, unlike anywhere
//! else in netlink. No package does this that speaks of translation, of maps and of comments; what we need
//! is little.

use crate::kernel::frame::{
    Attributes, NESTED, NLM_F_CREATE, NLM_F_EXCL, Requests, attribute, attributes, text,
};

/// A family of packets, by its number (`enum nf_inet_proto`, `NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// IPv4 and IPv6.
    Inet = 1,
    /// Frames that pass a bridge.
    Bridge = 7,
}

/// Message types (`enum nf_tables_msg_types`), without the number of the subsystem.
pub mod kind {
    pub const NEW_TABLE: u8 = 0;
    pub const GET_TABLE: u8 = 1;
    pub const DEL_TABLE: u8 = 2;
    pub const NEW_CHAIN: u8 = 3;
    pub const GET_CHAIN: u8 = 4;
    pub const NEW_RULE: u8 = 6;
    pub const GET_RULE: u8 = 7;
    pub const DEL_RULE: u8 = 8;
    pub const NEW_SET: u8 = 9;
    pub const NEW_ELEMENT: u8 = 12;
    pub const GET_ELEMENT: u8 = 13;
    pub const DEL_ELEMENT: u8 = 14;
    pub const GET_GENERATION: u8 = 16;
}

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;

/// `NFNL_BATCH_GENID`.
const BATCH_GENERATION: u16 = 1;

/// Name of the table in messages about tables, and of the table that a chain, a rule, a set or an element
/// is in: it is number 1 in each of them.
pub const TABLE: u16 = 1;

/// Attributes of chains (`enum nft_chain_attributes`) and of their hooks.
pub mod chain {
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const TYPE: u16 = 7;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
}

/// Attributes of rules (`enum nft_rule_attributes`).
pub mod rule {
    pub const CHAIN: u16 = 2;
    pub const EXPRESSIONS: u16 = 4;
}

/// Attributes of sets (`enum nft_set_attributes`) and their flags (`enum nft_set_flags`).
pub mod set {
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const DATA_TYPE: u16 = 6;
    pub const DATA_LENGTH: u16 = 7;
    pub const ID: u16 = 10;
    pub const NOTES: u16 = 13;
    pub const INTERVAL: u32 = 0x4;
    pub const MAP: u32 = 0x8;
}

/// Attributes of elements (`enum nft_set_elem_attributes` and `nft_set_elem_list_attributes`).
pub mod element {
    pub const SET: u16 = 2;
    pub const LIST: u16 = 3;
    pub const ONE: u16 = 1;
    pub const KEY: u16 = 1;
    pub const DATA: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const NOTES: u16 = 6;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub const END: u32 = 1;
}

/// Kinds of data (`enum nft_data_attributes`).
pub mod data {
    pub const VALUE: u16 = 1;
    pub const VERDICT: u16 = 2;
}

/// Type of a message in the header.
pub fn message_type(kind: u8) -> u16 {
    SUBSYSTEM << 8 | u16::from(kind)
}

/// `struct nfgenmsg`.
pub fn header(scope: u8) -> [u8; 4] {
    [scope, 0, 0, 0]
}

/// Appends a number in the byte order of nf_tables.
pub fn put_number(attributes: &mut Attributes, kind: u16, value: u32) {
    attributes.put(kind, &value.to_be_bytes());
}

/// Appends octets as data, in an attribute of this kind.
pub fn put_value(attributes: &mut Attributes, kind: u16, value: &[u8]) {
    attributes.nest(kind | NESTED, |attributes| attributes.put(data::VALUE, value));
}

/// A base chain: one that the kernel calls.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Number of the hook (`enum nf_inet_hooks`).
    pub hook: u32,
    /// The lower, the sooner it is called.
    pub priority: i32,
}

/// What a set or a map looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Which table of that name it is in.
    pub scope: Scope,
    /// Its name.
    pub name: &'static str,
    /// Types of the parts of a key.
    pub key: &'static [Field],
    /// Types of the parts of what a key leads to; empty for a set.
    pub data: &'static [Field],
    /// Whether it holds intervals.
    pub interval: bool,
}

/// The type of a part of a key, by the number that `nft` shows it by, with its length in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    number: u32,
    /// Length in octets.
    pub length: usize,
    /// Whether the first octet is the most significant; texts have no order.
    ordered: bool,
}

impl Field {
    /// An IPv4 address.
    pub const IPV4: Field = Field { number: 7, length: 4, ordered: true };
    /// An IPv6 address.
    pub const IPV6: Field = Field { number: 8, length: 16, ordered: true };
    /// A hardware address.
    pub const STATION: Field = Field { number: 9, length: 6, ordered: true };
    /// Number of a transport protocol.
    pub const PROTOCOL: Field = Field { number: 12, length: 1, ordered: true };
    /// A port.
    pub const PORT: Field = Field { number: 13, length: 2, ordered: true };
    /// Name of an interface.
    pub const INTERFACE: Field = Field { number: 41, length: 16, ordered: false };
}

/// The number of a concatenation's type: six bits a part.
fn type_number(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |number, field| number << 6 | field.number)
}

/// Octets of a concatenation: each part fills whole registers of four octets, a lone one needs not.
pub fn total_length(fields: &[Field]) -> usize {
    match fields {
        [one] => one.length,
        many => many.iter().map(|field| field.length.next_multiple_of(4)).sum(),
    }
}

/// Parts, each filled up to whole registers unless it is alone.
pub fn concatenate(parts: &[&[u8]]) -> Vec<u8> {
    if let [one] = parts {
        return one.to_vec();
    }
    let mut octets = Vec::new();
    for part in parts {
        octets.extend_from_slice(part);
        octets.resize(octets.len().next_multiple_of(4), 0);
    }
    octets
}

/// The name of an interface as the kernel compares it: sixteen octets.
pub fn interface(name: &str) -> Vec<u8> {
    let mut octets = name.as_bytes().to_vec();
    octets.resize(Field::INTERFACE.length, 0);
    octets
}

/// An element of a set or map, or one end of an interval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key.
    pub key: Vec<u8>,
    /// What it leads to; empty in a set.
    pub data: Vec<u8>,
    /// Whether an interval ends before the key.
    pub is_end: bool,
    /// What is noted about it, for people and for us.
    pub comment: Option<String>,
}

impl Element {
    /// An element that is nothing but its key.
    pub fn of(key: Vec<u8>) -> Element {
        Element { key, data: Vec::new(), is_end: false, comment: None }
    }

    fn write(&self, attributes: &mut Attributes) {
        attributes.nest(element::ONE | NESTED, |attributes| {
            if self.is_end {
                put_number(attributes, element::FLAGS, element::END);
            }
            put_value(attributes, element::KEY, &self.key);
            if !self.data.is_empty() {
                put_value(attributes, element::DATA, &self.data);
            }
            if let Some(comment) = &self.comment {
                attributes.put(element::NOTES, &note(comment));
            }
        });
    }
}

/// Longest comment in octets: with its head and a zero it is within `NFT_USERDATA_MAXLEN`.
pub const COMMENT_MOST: usize = 250;

/// A comment as `nft` writes it: type 0, length, text, zero.
fn note(comment: &str) -> Vec<u8> {
    let mut octets = vec![0, comment.len() as u8 + 1];
    octets.extend_from_slice(comment.as_bytes());
    octets.push(0);
    octets
}

/// The comment in an element's notes.
pub fn comment_of(notes: &[u8]) -> Option<String> {
    let length = usize::from(*notes.get(1)?);
    notes.get(2..2 + length).filter(|_| notes.first() == Some(&0)).map(text)
}

/// Changes that are made together or not at all.
#[derive(Debug)]
pub struct Transaction {
    requests: Requests,
    sets: u32,
}

/// Elements in one message: a list of more than 64 kB could not say its length. An element with a comment
/// takes 400 octets at most.
const ELEMENTS_PER_MESSAGE: usize = 128;

impl Transaction {
    /// Begins one. With a generation, it fails if anything has changed since.
    pub fn begin(generation: Option<u32>) -> Transaction {
        let mut requests = Requests::default();
        let header = [0, 0, 0, SUBSYSTEM as u8];
        requests.push(BEGIN, 0, &header, |attributes| {
            if let Some(generation) = generation {
                put_number(attributes, BATCH_GENERATION, generation);
            }
        });
        Transaction { requests, sets: 0 }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.requests.len() == 1
    }

    /// Ends it: what to send.
    pub fn end(mut self) -> Requests {
        self.requests.push(END, 0, &[0, 0, 0, SUBSYSTEM as u8], |_| {});
        self.requests
    }

    fn push(&mut self, kind: u8, flags: u16, scope: Scope, fill: impl FnOnce(&mut Attributes)) {
        self.requests.push(message_type(kind), flags, &header(scope as u8), fill);
    }

    /// Makes a table; refused if there is one.
    pub fn add_table(&mut self, scope: Scope, name: &str) {
        self.push(kind::NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, scope, |attributes| {
            attributes.put_name(TABLE, name);
        });
    }

    /// Removes a table with all that is in it.
    pub fn remove_table(&mut self, scope: Scope, name: &str) {
        self.push(kind::DEL_TABLE, 0, scope, |attributes| attributes.put_name(TABLE, name));
    }

    /// Makes a chain, or leaves the one that is there.
    pub fn add_chain(&mut self, scope: Scope, table: &str, chain: Chain) {
        self.push(kind::NEW_CHAIN, NLM_F_CREATE, scope, |attributes| {
            attributes.put_name(TABLE, table);
            attributes.put_name(chain::NAME, chain.name);
            attributes.put_name(chain::TYPE, chain.kind);
            attributes.nest(chain::HOOK | NESTED, |attributes| {
                put_number(attributes, chain::HOOK_NUMBER, chain.hook);
                put_number(attributes, chain::HOOK_PRIORITY, chain.priority.cast_unsigned());
            });
        });
    }

    /// Makes a set or map, or leaves the one that is there.
    pub fn add_set(&mut self, table: &str, shape: &Shape) {
        self.sets += 1;
        let id = self.sets;
        self.push(kind::NEW_SET, NLM_F_CREATE, shape.scope, |attributes| {
            let is_map = !shape.data.is_empty();
            let interval = if shape.interval { set::INTERVAL } else { 0 };
            attributes.put_name(TABLE, table);
            attributes.put_name(set::NAME, shape.name);
            put_number(attributes, set::FLAGS, interval | if is_map { set::MAP } else { 0 });
            put_number(attributes, set::KEY_TYPE, type_number(shape.key));
            put_number(attributes, set::KEY_LENGTH, total_length(shape.key) as u32);
            if is_map {
                put_number(attributes, set::DATA_TYPE, type_number(shape.data));
                put_number(attributes, set::DATA_LENGTH, total_length(shape.data) as u32);
            }
            put_number(attributes, set::ID, id);
            attributes.put(set::NOTES, &byte_orders(shape));
        });
    }

    /// Removes all rules of a chain.
    pub fn remove_rules(&mut self, scope: Scope, table: &str, chain: &str) {
        self.push(kind::DEL_RULE, 0, scope, |attributes| {
            attributes.put_name(TABLE, table);
            attributes.put_name(rule::CHAIN, chain);
        });
    }

    /// Appends a rule, whose expressions `fill` writes.
    pub fn add_rule(&mut self, scope: Scope, table: &str, chain: &str, fill: impl FnOnce(&mut Attributes)) {
        /// `NLM_F_APPEND`.
        const APPEND: u16 = 0x800;
        self.push(kind::NEW_RULE, NLM_F_CREATE | APPEND, scope, |attributes| {
            attributes.put_name(TABLE, table);
            attributes.put_name(rule::CHAIN, chain);
            attributes.nest(rule::EXPRESSIONS | NESTED, fill);
        });
    }

    /// Adds elements; refused if there is one of the same key.
    pub fn add_elements(&mut self, table: &str, set: &Shape, elements: &[Element]) {
        self.elements(kind::NEW_ELEMENT, NLM_F_CREATE | NLM_F_EXCL, table, set, elements);
    }

    /// Adds elements where they are not there yet.
    pub fn keep_elements(&mut self, table: &str, set: &Shape, elements: &[Element]) {
        self.elements(kind::NEW_ELEMENT, NLM_F_CREATE, table, set, elements);
    }

    /// Removes elements; refused if one of them is not there.
    pub fn remove_elements(&mut self, table: &str, set: &Shape, elements: &[Element]) {
        self.elements(kind::DEL_ELEMENT, 0, table, set, elements);
    }

    fn elements(&mut self, kind: u8, flags: u16, table: &str, set: &Shape, elements: &[Element]) {
        for some in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push(kind, flags, set.scope, |attributes| {
                write_elements(attributes, [table, set.name], some)
            });
        }
    }
}

fn write_elements(attributes: &mut Attributes, [table, set]: [&str; 2], elements: &[Element]) {
    attributes.put_name(TABLE, table);
    attributes.put_name(element::SET, set);
    attributes.nest(element::LIST | NESTED, |attributes| {
        elements.iter().for_each(|element| element.write(attributes));
    });
}

/// The byte orders of keys and data, which the kernel does not care for and `nft` needs to show them.
fn byte_orders(shape: &Shape) -> Vec<u8> {
    const HOST: u32 = 1;
    const BIG_ENDIAN: u32 = 2;
    let mut octets = Vec::new();
    for (place, fields) in [(0, shape.key), (1, shape.data)] {
        if !fields.is_empty() {
            let order = match fields {
                fields if fields.iter().all(|field| field.ordered) => BIG_ENDIAN,
                [_] => HOST,
                _ => 0,
            };
            octets.extend_from_slice(&[place, 4]);
            octets.extend_from_slice(&order.to_ne_bytes());
        }
    }
    octets
}

/// A question about everything of a kind that is in a table, or about all tables.
pub fn ask(kind: u8, scope: u8, table: Option<&str>) -> Requests {
    let mut requests = Requests::default();
    requests.push(message_type(kind), 0, &header(scope), |attributes| {
        if let Some(table) = table {
            attributes.put_name(TABLE, table);
        }
    });
    requests
}

/// A question about all elements of a set.
pub fn ask_elements(table: &str, set: &Shape) -> Requests {
    let mut requests = Requests::default();
    requests.push(message_type(kind::GET_ELEMENT), 0, &header(set.scope as u8), |attributes| {
        attributes.put_name(TABLE, table);
        attributes.put_name(element::SET, set.name);
    });
    requests
}

/// Adds a question about the element of this key.
pub fn ask_element(requests: &mut Requests, table: &str, set: &Shape, key: &[u8]) {
    let wanted = [Element::of(key.to_vec())];
    requests.push(message_type(kind::GET_ELEMENT), 0, &header(set.scope as u8), |attributes| {
        write_elements(attributes, [table, set.name], &wanted);
    });
}

/// The elements that an answer tells of.
pub fn read_elements(body: &[u8]) -> Vec<Element> {
    let Some(rest) = body.get(header(0).len()..) else { return Vec::new() };
    let lists = attributes(rest).filter(|(kind, _)| *kind == element::LIST);
    lists.flat_map(|(_, list)| attributes(list)).map(|(_, one)| read_element(one)).collect()
}

fn read_element(octets: &[u8]) -> Element {
    let value = |nested: &[u8]| attribute(nested, data::VALUE).map(<[u8]>::to_vec);
    let mut read = Element::of(Vec::new());
    for (kind, octets) in attributes(octets) {
        match kind {
            element::KEY => read.key = value(octets).unwrap_or_default(),
            element::DATA => read.data = value(octets).unwrap_or_default(),
            element::FLAGS => {
                read.is_end = octets.last().is_some_and(|last| u32::from(*last) & element::END != 0)
            }
            element::NOTES => read.comment = comment_of(octets),
            _ => {}
        }
    }
    read
}
