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
        let mut tree = Tree::from(value);
        let (says, unknown) = match kind {
            Kind::Node => typed::<k8s::Node>(&mut tree, kind, &name),
            Kind::Secret => typed::<k8s::Secret>(&mut tree, kind, &name),
            Kind::BgpConfiguration => typed::<BgpConfiguration>(&mut tree, kind, &name),
            Kind::BgpPeer => typed::<BgpPeer>(&mut tree, kind, &name),
            Kind::BgpAdvertisement => typed::<BgpAdvertisement>(&mut tree, kind, &name),
            Kind::Service => typed::<k8s::Service>(&mut tree, kind, &name),
            Kind::EndpointSlice => typed::<discovery::EndpointSlice>(&mut tree, kind, &name),
        };
        let warnings = if kind.is_custom() { unknown } else { vec![] };
        Some(Seen { name, says, warnings })
    }
}

fn typed<K>(tree: &mut Tree, kind: Kind, name: &str) -> (Result<Object, Vec<Finding>>, Vec<Finding>)
where
    K: DeserializeOwned,
    Object: TryFrom<K, Error = Vec<Problem>>,
{
    let object = || format!("{} {name}", kind.name());
    let (decoded, unknown) = decode_known::<K>(tree, &["apiVersion", "kind"]);
    let warnings = unknown.into_iter().map(|fault| {
        Finding::about(object(), fault.field, "is not known to this version of Routelet, and passed over")
    });
    let warnings = warnings.collect();
    let says = match decoded {
        Ok(decoded) => Object::try_from(decoded).map_err(|problems| {
            problems.into_iter().map(|p| Finding::about(object(), p.field, p.text)).collect()
        }),
        Err(faults) => Err(faults.into_iter().map(|f| Finding::about(object(), f.field, f.text)).collect()),
    };
    (says, warnings)
}
