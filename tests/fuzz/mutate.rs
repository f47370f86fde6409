//! Mutation that knows what it changes: octets, lists of type-length-value items, whole messages, text.

use crate::random::Random;

const MARKER: [u8; 16] = [0xff; 16];
/// Octets and pairs of them at which comparisons turn.
const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 16, 32, 33, 64, 127, 128, 255];
const WIDE_EDGES: [u16; 9] = [0, 1, 18, 19, 255, 256, 4096, 4097, 65535];

/// Changes octets without regard to what they mean.
pub fn octets(random: &mut Random, all: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let range = random.range(all.len());
        let at = range.start;
        match random.below(9) {
            0 if at < all.len() => all[at] ^= 1 << random.below(8),
            1 if at < all.len() => all[at] = *random.pick(&EDGES).unwrap(),
            2 if at < all.len() => all[at] = all[at].wrapping_add(random.octet() % 9).wrapping_sub(4),
            3 if at + 1 < all.len() => {
                all[at..at + 2].copy_from_slice(&random.pick(&WIDE_EDGES).unwrap().to_be_bytes());
            }
            4 => drop(all.drain(range)),
            5 => {
                let copy = all[range].to_vec();
                all.splice(at..at, copy.repeat(1 + random.below(3)));
            }
            6 => drop(all.splice(at..at, (0..=random.below(6)).map(|_| random.octet()).collect::<Vec<_>>())),
            7 if random.once_in(4) => all.truncate(at),
            _ => all[range].iter_mut().for_each(|octet| *octet = random.octet()),
        }
    }
}

/// A path attribute (RFC 4271 §4.3) or, without flags, a capability (RFC 5492 §4).
#[derive(Debug, Clone, Default)]
pub struct Item {
    flags: u8,
    code: u8,
    value: Vec<u8>,
}

/// Takes a path attributes field apart; what is left over comes back beside the items.
fn attributes(mut field: &[u8]) -> (Vec<Item>, &[u8]) {
    let mut items = vec![];
    while let Some((item, rest)) = attribute(field) {
        items.push(item);
        field = rest;
    }
    (items, field)
}

fn attribute(field: &[u8]) -> Option<(Item, &[u8])> {
    let (&[flags, code, short], rest) = field.split_first_chunk()?;
    let (length, rest) = match flags & 0x10 {
        0 => (short.into(), rest),
        _ => (usize::from(short) << 8 | usize::from(*rest.first()?), &rest[1..]),
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Item { flags, code, value: value.to_vec() }, rest))
}

fn attributes_field(items: &[Item], rest: &[u8]) -> Vec<u8> {
    let mut field = vec![];
    for Item { flags, code, value } in items {
        if flags & 0x10 == 0 && value.len() < 256 {
            field.extend([*flags, *code, value.len() as u8]);
        } else {
            field.extend([flags | 0x10, *code]);
            field.extend((value.len() as u16).to_be_bytes());
        }
        field.extend(value);
    }
    [&field, rest].concat()
}

fn capabilities(mut value: &[u8]) -> (Vec<Item>, &[u8]) {
    let mut items = vec![];
    while let Some((&[code, length], rest)) = value.split_first_chunk()
        && let Some((data, rest)) = rest.split_at_checked(length.into())
    {
        items.push(Item { flags: 0, code, value: data.to_vec() });
        value = rest;
    }
    (items, value)
}

fn capabilities_value(items: &[Item], rest: &[u8]) -> Vec<u8> {
    let one = |item: &Item| [&[item.code, item.value.len() as u8], &item.value[..]].concat();
    [items.iter().flat_map(one).collect::<Vec<u8>>(), rest.to_vec()].concat()
}

fn items(random: &mut Random, list: &mut Vec<Item>, others: &[Item], codes: &[u8]) {
    let at = random.below(list.len());
    match (random.below(10), list.get_mut(at)) {
        (0, Some(item)) => item.flags ^= 0x10 << random.below(4),
        (1, Some(item)) => item.code = *random.pick(codes).unwrap(),
        (2, Some(_)) => drop(list.remove(at)),
        (3, Some(item)) => {
            let copy = item.clone();
            list.insert(at, copy);
        }
        (4, Some(_)) => {
            let other = random.below(list.len());
            list.swap(at, other);
        }
        (5, Some(item)) if item.value.len() < 5000 => item.value = item.value.repeat(1 + random.below(5)),
        (6, Some(item)) => item.value.clear(),
        (7 | 8, Some(item)) => octets(random, &mut item.value),
        _ => list.extend(random.pick(others).cloned()),
    }
}

/// Mutates a path attributes field.
pub fn attributes_input(random: &mut Random, input: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
    const CODES: [u8; 22] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 19, 25, 32, 35, 40, 255];
    let (mut list, rest) = attributes(input);
    let mut rest = rest.to_vec();
    let others = random.pick(corpus).map(|other| attributes(other).0).unwrap_or_default();
    if random.once_in(12) {
        octets(random, &mut rest);
    } else if random.once_in(12) {
        let mut all = input.to_vec();
        octets(random, &mut all);
        return all;
    } else {
        items(random, &mut list, &others, &CODES);
    }
    attributes_field(&list, &rest)
}

/// Mutates the value of a capabilities parameter.
pub fn capabilities_input(random: &mut Random, input: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
    const CODES: [u8; 14] = [0, 1, 2, 5, 6, 9, 64, 65, 69, 70, 71, 73, 75, 255];
    let (mut list, rest) = capabilities(input);
    let others = random.pick(corpus).map(|other| capabilities(other).0).unwrap_or_default();
    if random.once_in(8) {
        let mut all = input.to_vec();
        octets(random, &mut all);
        return all;
    }
    items(random, &mut list, &others, &CODES);
    capabilities_value(&list, rest)
}

/// Mutates octets that have no inner form, at times with a part of another input.
pub fn plain_input(random: &mut Random, input: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut all = input.to_vec();
    if random.once_in(4)
        && let Some(other) = random.pick(corpus)
    {
        let (to, from) = (random.range(all.len()), random.range(other.len()));
        all.splice(to, other[from].iter().copied());
    } else {
        octets(random, &mut all);
    }
    all
}

/// A message of that type with a right length, as far as two octets can say it.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(65_535 - 19)];
    [&MARKER, &((19 + body.len()) as u16).to_be_bytes()[..], &[kind], body].concat()
}

/// The body of an UPDATE whose lengths are right.
pub fn update_body(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |field: &[u8]| (field.len() as u16).to_be_bytes();
    [&length(withdrawn), withdrawn, &length(attributes), attributes, nlri].concat()
}

/// The three fields of an UPDATE.
pub fn fields(body: &[u8]) -> Option<[&[u8]; 3]> {
    let (length, rest) = body.split_first_chunk()?;
    let (withdrawn, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let (length, rest) = rest.split_first_chunk()?;
    let (attributes, nlri) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some([withdrawn, attributes, nlri])
}

/// The capabilities of an OPEN in the form that everybody sends.
pub fn capabilities_of(body: &[u8]) -> Vec<u8> {
    let mut parameters = body.get(10..).unwrap_or_default();
    let mut all = vec![];
    while let Some((&[_, length], rest)) = parameters.split_first_chunk()
        && let Some((value, rest)) = rest.split_at_checked(length.into())
    {
        all.extend(value);
        parameters = rest;
    }
    all
}

/// The body of an OPEN with these capabilities in one parameter, extended (RFC 9072) where need be.
pub fn open_body(fixed: &[u8], capabilities: &[u8]) -> Vec<u8> {
    let length = capabilities.len();
    let framing = match length {
        0..=253 => vec![length as u8 + 2, 2, length as u8],
        _ => {
            let [outer, inner] = [(length + 3) as u16, length as u16].map(u16::to_be_bytes);
            [&[255, 255], &outer[..], &[2], &inner[..]].concat()
        }
    };
    [fixed, &framing, capabilities].concat()
}

/// Mutates a message: mostly what its fields hold, at times their lengths and the header.
pub fn message_input(random: &mut Random, input: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
    let Some((header, body)) = input.split_at_checked(19).filter(|_| !random.once_in(32)) else {
        return plain_input(random, input, corpus);
    };
    let mut kind = header[18];
    let body_of = |other: &Vec<u8>| other.get(19..).unwrap_or_default().to_vec();
    let other = random.pick(corpus).map(body_of).unwrap_or_default();
    let body = match (kind, fields(body)) {
        (2, Some(fields)) if !random.once_in(10) => {
            let [mut withdrawn, mut attributes, mut nlri] = fields.map(<[u8]>::to_vec);
            let theirs = self::fields(&other).map(|fields| fields.map(<[u8]>::to_vec)).unwrap_or_default();
            match random.below(12) {
                0 => octets(random, &mut withdrawn),
                1 => octets(random, &mut nlri),
                2 => std::mem::swap(&mut withdrawn, &mut nlri),
                3 => nlri.extend(&theirs[2]),
                4 => withdrawn.extend(&theirs[0]),
                _ => attributes = attributes_input(random, &attributes, &theirs[1..2]),
            }
            update_body(&withdrawn, &attributes, &nlri)
        }
        (1, _) if body.len() > 9 && !random.once_in(6) => {
            let (mut fixed, mine) = (body[..9].to_vec(), capabilities_of(body));
            if random.once_in(6) {
                octets(random, &mut fixed);
            }
            open_body(&fixed, &capabilities_input(random, &mine, &[capabilities_of(&other)]))
        }
        _ => plain_input(random, body, &[other]),
    };
    if random.once_in(64) {
        kind = random.octet() % 7;
    }
    frame(kind, &body)
}

/// Mutates text by its lines and words, and now and then by its octets.
pub fn text_input(random: &mut Random, input: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.once_in(8) {
        return plain_input(random, input, corpus);
    }
    let other = random.pick(corpus).cloned().unwrap_or_default();
    let separator = *random.pick(b"\n\n\n ,{:").unwrap();
    let cut = |text: &[u8]| text.split_inclusive(|c| *c == separator).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut parts, theirs) = (cut(input), cut(&other));
    let at = random.below(parts.len());
    match random.below(6) {
        0 if at < parts.len() => drop(parts.remove(at)),
        1 if at < parts.len() => {
            let copy = parts[at].clone();
            parts.splice(at..at, vec![copy; 1 + random.below(3)]);
        }
        2 if at < parts.len() => {
            let other = random.below(parts.len());
            parts.swap(at, other);
        }
        3 if at < parts.len() => octets(random, &mut parts[at]),
        4 => {
            let range = random.range(theirs.len());
            parts.splice(at..at, theirs[range].iter().cloned());
        }
        _ => {
            const WORDS: [&str; 16] = [
                "-1",
                "0",
                "4294967296",
                "65536",
                "null",
                "true",
                "\"\"",
                "[]",
                "{}",
                "&a [*a]",
                "*a",
                "::/0",
                "999999999999s",
                "1e999",
                "!!binary aa",
                "\u{1F980}",
            ];
            let word = random.pick(&WORDS).unwrap().as_bytes().to_vec();
            parts.insert(at, [word, vec![separator]].concat());
        }
    }
    parts.concat()
}
