//! Taking the path attributes field apart (RFC 4271 §4.3, RFC 7606 §4).
//!
//! The walk looks at nothing but flags, code and length, so that an attribute with a bad value never
//! displaces the ones behind it.

use super::rules::flag;
use crate::bgp::cursor::Cursor;
use crate::bgp::update::{AttributeFault, Treatment};

/// How much of an offending attribute is kept for the log.
const KEPT: usize = 64;

/// One attribute, its value not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bgp) struct RawAttribute<'a> {
    pub flags: u8,
    pub code: u8,
    pub value: &'a [u8],
    /// Flags, code, length and value: what RFC 4271 §6.3 wants in the data of a NOTIFICATION.
    pub octets: &'a [u8],
}

impl RawAttribute<'_> {
    /// Records what was wrong with this attribute.
    pub fn fault(&self, treatment: Treatment, what: impl Into<String>) -> AttributeFault {
        fault(self.code, treatment, what, self.octets)
    }
}

/// Records what was wrong with the attribute that `octets` begin with.
pub(in crate::bgp) fn fault(
    code: u8,
    treatment: Treatment,
    what: impl Into<String>,
    octets: &[u8],
) -> AttributeFault {
    AttributeFault { code, treatment, what: what.into(), bytes: octets[..octets.len().min(KEPT)].to_vec() }
}

/// The rest of the field, when it does not hold a whole attribute (RFC 7606 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun<'a> {
    /// The type code, when there is that much of it.
    pub code: Option<u8>,
    pub octets: &'a [u8],
}

/// Iterates over the attributes of a path attributes field. After an overrun it ends.
pub(super) struct Walk<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Walk<'a> {
    pub fn new(field: &'a [u8]) -> Walk<'a> {
        Walk { cursor: Cursor::new(field) }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<RawAttribute<'a>, Overrun<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let octets = self.cursor.rest();
        Some(read(&mut self.cursor).ok_or_else(|| {
            self.cursor = Cursor::new(&[]);
            Overrun { code: octets.get(1).copied(), octets }
        }))
    }
}

fn read<'a>(cursor: &mut Cursor<'a>) -> Option<RawAttribute<'a>> {
    let octets = cursor.rest();
    let flags = cursor.u8()?;
    let code = cursor.u8()?;
    let length =
        if flags & flag::EXTENDED_LENGTH == 0 { cursor.u8()?.into() } else { usize::from(cursor.u16()?) };
    let value = cursor.take(length)?;
    Some(RawAttribute { flags, code, value, octets: &octets[..octets.len() - cursor.rest().len()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_length_forms_and_an_empty_value() {
        let field = [0x40, 1, 1, 0, 0x50, 2, 0, 2, 7, 8, 0x40, 6, 0];
        let found: Vec<_> = Walk::new(&field).map(Result::unwrap).collect();
        assert_eq!(found.iter().map(|raw| raw.code).collect::<Vec<_>>(), [1, 2, 6]);
        assert_eq!(found.iter().map(|raw| raw.value).collect::<Vec<_>>(), [&[0][..], &[7, 8], &[]]);
        assert_eq!(found.iter().map(|raw| raw.octets).collect::<Vec<_>>().concat(), field);
    }

    #[test]
    fn what_is_not_a_whole_attribute_ends_the_walk() {
        for (tail, code) in [
            (&[0x40][..], None),
            (&[0x40, 1], Some(1)),
            (&[0x50, 1, 0], Some(1)),
            (&[0x40, 3, 4, 10, 0, 0], Some(3)),
        ] {
            let field = [&[0x40, 1, 1, 0], tail].concat();
            let mut walk = Walk::new(&field);
            assert_eq!(walk.next().unwrap().unwrap().code, 1);
            assert_eq!(walk.next(), Some(Err(Overrun { code, octets: tail })));
            assert_eq!(walk.next(), None);
        }
    }

    #[test]
    fn a_fault_keeps_the_front_of_the_attribute() {
        let field = [&[0xc0, 8, 101][..], &[7; 101]].concat();
        let raw = Walk::new(&field).next().unwrap().unwrap();
        let fault = raw.fault(Treatment::TreatAsWithdraw, "101 octets");
        assert_eq!((fault.code, &fault.bytes[..]), (8, &field[..64]));
    }
}
