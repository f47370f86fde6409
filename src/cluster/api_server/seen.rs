//! Objects as the API server tells of them, made ours one at a time: a Node of ten kilobytes is reduced to its few
//! hundred octets before the next one is read.
//!
//! A field that is not known is no error here. The server may have a newer CustomResourceDefinition than this
//! daemon, in the middle of an upgrade; the field is passed over, with a warning. Fields of Kubernetes' own kinds are
//! many, and change with its version: they are passed over in silence.

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::api::discovery::v1 as discovery;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::Kind;
use crate::cluster::Finding;
use crate::cluster::decode::decode_known;
use crate::cluster::document::Tree;
use crate::cluster::objects::{BgpAdvertisement, BgpConfiguration, BgpPeer, Object, Problem};

/// One version of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Its name, with the namespace before it where there are several: `shop/web`.
    pub(super) name: String,
    /// What it says, or everything that is wrong with it.
    pub(super) says: Result<Object, Vec<Finding>>,
    /// Fields that were passed over.
    pub(super) warnings: Vec<Finding>,
}

impl Seen {
    /// Reads an object; `None` if it has no name.
    pub(super) fn read(kind: Kind, mut value: Value) -> Option<Seen> {
        let metadata = value.get_mut("metadata")?.as_object_mut()?;
        metadata.remove("managedFields");
        let mut name = metadata.get("name")?.as_str()?.to_owned();
        if matches!(kind, Kind::Service | Kind::EndpointSlice) {
            name = format!("{}/{name}", metadata.get("namespace")?.as_str()?);
        }
        let (says, warnings) = match kind {
            Kind::Node => typed::<k8s::Node>(value, kind, &name),
            Kind::Secret => typed::<k8s::Secret>(value, kind, &name),
            Kind::BgpConfiguration => typed::<BgpConfiguration>(value, kind, &name),
            Kind::BgpPeer => typed::<BgpPeer>(value, kind, &name),
            Kind::BgpAdvertisement => typed::<BgpAdvertisement>(value, kind, &name),
            Kind::Service => typed::<k8s::Service>(value, kind, &name),
            Kind::EndpointSlice => typed::<discovery::EndpointSlice>(value, kind, &name),
        };
        Some(Seen { name, says, warnings })
    }
}

fn typed<K>(value: Value, kind: Kind, name: &str) -> (Result<Object, Vec<Finding>>, Vec<Finding>)
where
    K: DeserializeOwned,
    Object: TryFrom<K, Error = Vec<Problem>>,
{
    let object = || format!("{} {name}", kind.name());
    let read = |decoded: K| {
        Object::try_from(decoded).map_err(|problems| {
            problems.into_iter().map(|p| Finding::about(object(), p.field, p.text)).collect()
        })
    };
    // Kubernetes' own types pass fields over by themselves, all at once. Cutting them one endpoint after the other
    // would take the square of their number.
    if !kind.is_custom()
        && let Ok(decoded) = K::deserialize(&value)
    {
        return (read(decoded), vec![]);
    }
    let (decoded, unknown) = decode_known::<K>(&mut Tree::from(value), &["apiVersion", "kind"]);
    let says = match decoded {
        Ok(decoded) => read(decoded),
        Err(faults) => Err(faults.into_iter().map(|f| Finding::about(object(), f.field, f.text)).collect()),
    };
    if !kind.is_custom() {
        return (says, vec![]);
    }
    let warnings = unknown.into_iter().map(|fault| {
        Finding::about(object(), fault.field, "is not known to this version of Routelet, and passed over")
    });
    (says, warnings.collect())
}
