//! UPDATEs as an Internet feed has them, written octet by octet: what is measured must not make its own
//! input. The same numbers give the same octets.

/// How many attributes a set has.
#[derive(Debug, Clone, Copy)]
pub enum Dress {
    /// ORIGIN, AS_PATH of one, NEXT_HOP.
    Minimal,
    /// An AS_PATH of five, MED and three communities: what most paths of a full table are like.
    Plain,
    /// AGGREGATOR, large and extended communities as well.
    Full,
}

/// One UPDATE that announces `count` prefixes of 16 to 24 bits with the attributes of set `set`.
pub fn message(dress: Dress, set: u32, count: usize) -> Vec<u8> {
    message_of(dress, set, 0, count)
}

/// The same for prefixes from a certain one on.
pub fn message_of(dress: Dress, set: u32, first: u32, count: usize) -> Vec<u8> {
    let attributes = attributes(dress, set);
    let mut body = vec![0, 0];
    body.extend((attributes.len() as u16).to_be_bytes());
    body.extend(attributes);
    (0..count).for_each(|index| prefix(first + index as u32, &mut body));
    let mut message = vec![0xff; 16];
    message.extend((19 + body.len() as u16).to_be_bytes());
    message.push(2);
    message.extend(body);
    message
}

/// Three prefixes of four have 24 bits, as on the Internet.
fn prefix(index: u32, out: &mut Vec<u8>) {
    let length = if index.is_multiple_of(4) { 16 + (index / 4 % 8) as u8 } else { 24 };
    let address = (20 << 24 | index << 8) & (u32::MAX << (32 - u32::from(length)));
    out.push(length);
    out.extend(&address.to_be_bytes()[..usize::from(length).div_ceil(8)]);
}

fn attributes(dress: Dress, set: u32) -> Vec<u8> {
    let mut out = vec![];
    let mut put = |flags: u8, code: u8, value: &[u32]| {
        let value: Vec<u8> = value.iter().flat_map(|word| word.to_be_bytes()).collect();
        out.extend([flags, code, value.len() as u8]);
        out.extend(value);
    };
    let full = matches!(dress, Dress::Full);
    let path: &[u32] = match dress {
        Dress::Minimal => &[65001],
        _ => &[65001, 3356, 1299, 200_000 + set % 7, 500_000 + set],
    };
    put(0x40, 3, &[10 << 24 | 2]);
    if !matches!(dress, Dress::Minimal) {
        put(0x80, 4, &[set % 1000]);
        if full {
            put(0xc0, 7, &[3356, 10 << 24 | 7]);
        }
        put(0xc0, 8, &[1299 << 16 | (20_000 + set % 64), 3356 << 16 | 3, 3356 << 16 | 2001]);
        if full {
            put(0xc0, 16, &[0x0002_fc00, set]);
            put(0xc0, 32, &[200_000, 7, set, 200_000, 9, set]);
        }
    }
    // ORIGIN and AS_PATH are no whole words.
    let mut front = vec![0x40, 1, 1, 0, 0x40, 2, 2 + 4 * path.len() as u8, 2, path.len() as u8];
    front.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
    front.extend(out);
    front
}
