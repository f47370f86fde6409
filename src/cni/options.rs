//! What a configuration says of the bridge and of a pod's port, in the fields of the reference plugin.
//!
//! | field | |
//! |---|---|
//! | `hairpinMode` | frames may leave by the port they came in by |
//! | `promiscMode` | the bridge hears every frame, which serves the same end; not together with `hairpinMode` |
//! | `vlan` | the pod's frames are of this VLAN, 1 to 4094; the gateway is then an interface named after bridge and VLAN, as `cni0.100` |
//! | `vlanTrunk` | VLANs whose frames the pod may send and gets with their tag: a list of `{"id": 5}` and `{"minID": 10, "maxID": 20}` |
//! | `preserveDefaultVlan` | with either of these, the port stays in the VLAN that every port is in from the start; by default it does not |
//! | `portIsolation` | no frames to and from other ports of this kind, by Linux 4.18 |
//! | `forceAddress` | an address that stands in the way of the gateway's is removed rather than an error |
//! | `enabledad` | IPv6 addresses are used when it is known that nobody else has them, which takes ADD a second or two |
//! | `disableContainerInterface` | the pod's interface stays down and has no address; not together with `ipam` |
//!
//! The kernel keeps VLANs apart on a bridge that filters by them. One that we make does if a configuration
//! names a VLAN; one that is there and does not is an error.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Error;
use super::field::Section;

/// The numbers that a VLAN may have (IEEE 802.1Q §9.6).
const VLANS: RangeInclusive<u16> = 1..=4094;

/// How the bridge and a port of it are to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Frames may leave by the port they came in by.
    pub hairpin: bool,
    /// The bridge hears every frame.
    pub promiscuous: bool,
    /// The VLANs of the port.
    pub vlans: Vlans,
    /// No frames to and from other isolated ports.
    pub isolated: bool,
    /// Addresses in the way of the gateway's are removed.
    pub force_address: bool,
    /// IPv6 addresses of the pod are looked for duplicates of by the kernel.
    pub detects_duplicates: bool,
    /// The pod's interface is made, and left alone.
    pub link_only: bool,
}

/// The VLANs of a port. The default is none in particular.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vlans {
    /// Of frames without a tag.
    pub native: Option<u16>,
    /// Of frames with one.
    pub tagged: BTreeSet<u16>,
    /// The VLAN of frames without a tag was named, and has a gateway of its own.
    pub has_gateway: bool,
    /// The port stays in the bridge's default VLAN, too.
    pub keeps_default: bool,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// A field is wrong, or contradicts another.
    pub fn read(root: &Section<'_>) -> Result<Options, Error> {
        let options = Options {
            hairpin: root.flag("hairpinMode")?,
            promiscuous: root.flag("promiscMode")?,
            vlans: Vlans::read(root)?,
            isolated: root.flag("portIsolation")?,
            force_address: root.flag("forceAddress")?,
            detects_duplicates: root.flag("enabledad")?,
            link_only: root.flag("disableContainerInterface")?,
        };
        if options.hairpin && options.promiscuous {
            return Err(Error::invalid("hairpinMode", "it cannot go together with promiscMode"));
        }
        let ipam = root.text_within("ipam", "type")?;
        if let Some(kind) = ipam.filter(|_| options.link_only) {
            let why =
                format!("{kind:?} cannot give an address to what disableContainerInterface leaves alone");
            return Err(Error::invalid("ipam.type", why));
        }
        Ok(options)
    }

    /// Refuses what keeps pods apart on a bridge, where there is none: they all reach each other.
    ///
    /// # Errors
    /// One of these fields is set.
    pub fn refuse_without_bridge(&self) -> Result<(), Error> {
        let fields = [
            ("vlan", self.vlans.has_gateway),
            ("vlanTrunk", !self.vlans.tagged.is_empty()),
            ("portIsolation", self.isolated),
            ("disableContainerInterface", self.link_only),
        ];
        match fields.into_iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((field, _)) => Err(Error::invalid(field, "there is no bridge in mode routed; leave it out")),
        }
    }
}

impl Vlans {
    fn read(root: &Section<'_>) -> Result<Vlans, Error> {
        let mut tagged = BTreeSet::new();
        for entry in root.sections("vlanTrunk")? {
            let (first, last) = (read_vlan(&entry, "minID")?, read_vlan(&entry, "maxID")?);
            match (first, last) {
                (Some(first), Some(last)) if first > last => {
                    return Err(Error::invalid(
                        entry.path("minID"),
                        format!("{first} is above maxID {last}"),
                    ));
                }
                (Some(first), Some(last)) => tagged.extend(first..=last),
                (Some(_), None) => return Err(Error::invalid(entry.path("maxID"), "it is absent")),
                (None, Some(_)) => return Err(Error::invalid(entry.path("minID"), "it is absent")),
                (None, None) => {}
            }
            tagged.extend(read_vlan(&entry, "id")?);
        }
        let native = match root.optional::<i64>("vlan")? {
            Some(0) => None,
            _ => read_vlan(root, "vlan")?,
        };
        let has_gateway = native.is_some();
        // As the reference has it, frames without a tag are of the first VLAN then.
        let native = native.or(Some(*VLANS.start()).filter(|_| !tagged.is_empty()));
        tagged.retain(|vlan| Some(*vlan) != native);
        Ok(Vlans { native, tagged, has_gateway, keeps_default: root.flag("preserveDefaultVlan")? })
    }

    /// The VLAN whose gateway is an interface of its own.
    pub fn gateway(&self) -> Option<u16> {
        self.native.filter(|_| self.has_gateway)
    }

    /// The VLANs with a tag, as ranges without a gap.
    pub fn tagged_ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for vlan in &self.tagged {
            match ranges.last_mut() {
                Some(range) if range.end() + 1 == *vlan => *range = *range.start()..=*vlan,
                _ => ranges.push(*vlan..=*vlan),
            }
        }
        ranges
    }
}

fn read_vlan(section: &Section<'_>, field: &str) -> Result<Option<u16>, Error> {
    let Some(number) = section.optional::<i64>(field)? else { return Ok(None) };
    match u16::try_from(number).ok().filter(|number| VLANS.contains(number)) {
        Some(vlan) => Ok(Some(vlan)),
        None => Err(Error::invalid(section.path(field), format!("{number}: a VLAN is from 1 to 4094"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(fields: Value) -> Result<Options, String> {
        Options::read(&Section::root(fields.as_object().unwrap())).map_err(|error| error.to_string())
    }

    #[test]
    fn vlans_are_sorted_out() {
        let vlans = |fields| read(fields).unwrap().vlans;
        assert_eq!(vlans(json!({"vlan": 0, "vlanTrunk": []})), Vlans::default());
        assert_eq!(vlans(json!({"vlan": 4094})).native, Some(4094));
        let trunk = json!({"vlan": 12, "vlanTrunk": [{"minID": 10, "maxID": 13}, {"id": 5}, {"id": 14}, {}]});
        let trunk = vlans(trunk);
        assert_eq!((trunk.native, trunk.tagged_ranges()), (Some(12), vec![5..=5, 10..=11, 13..=14]));
        // Without a VLAN of its own, the port's is the first.
        let trunk = vlans(json!({"vlanTrunk": [{"minID": 1, "maxID": 4094}]}));
        assert_eq!((trunk.native, trunk.tagged_ranges()), (Some(1), vec![2..=4094]));
    }

    #[test]
    fn contradictions_name_their_field() {
        for (fields, told) in [
            (json!({"vlan": 4095}), "vlan is wrong: 4095: a VLAN is from 1 to 4094"),
            (json!({"vlan": -1}), "vlan is wrong: -1: a VLAN is from 1 to 4094"),
            (json!({"vlan": "5"}), "vlan is wrong: invalid type: string \"5\", expected i64"),
            (json!({"vlanTrunk": [{"id": 0}]}), "vlanTrunk[0].id is wrong: 0: a VLAN is from 1 to 4094"),
            (json!({"vlanTrunk": [{}, {"minID": 5}]}), "vlanTrunk[1].maxID is wrong: it is absent"),
            (json!({"vlanTrunk": [{"maxID": 5}]}), "vlanTrunk[0].minID is wrong: it is absent"),
            (
                json!({"vlanTrunk": [{"minID": 6, "maxID": 5}]}),
                "vlanTrunk[0].minID is wrong: 6 is above maxID 5",
            ),
            (
                json!({"hairpinMode": true, "promiscMode": true}),
                "hairpinMode is wrong: it cannot go together with promiscMode",
            ),
            (
                json!({"disableContainerInterface": true, "ipam": {"type": "host-local"}}),
                "ipam.type is wrong: \"host-local\" cannot give an address to what disableContainerInterface leaves \
                 alone",
            ),
        ] {
            assert_eq!(read(fields).unwrap_err(), format!("network configuration: {told}"));
        }
        let alone = read(json!({"disableContainerInterface": true, "ipam": {}})).unwrap();
        assert!(alone.link_only && alone.refuse_without_bridge().is_err());
        assert!(read(json!({"hairpinMode": true})).unwrap().refuse_without_bridge().is_ok());
    }
}
