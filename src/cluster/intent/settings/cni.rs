//! How the pods of one node are attached: `spec.cni`.

use super::Layers;
use crate::cluster::intent::PodNetwork;
use crate::cluster::objects::cni::CniSpec;

/// What holds for the node.
pub(super) fn pods(layers: &mut Layers<'_>) -> PodNetwork {
    let network = layers.value("spec.cni.network", |s| s.cni.as_ref()?.network.clone());
    let bridge = layers.value("spec.cni.bridge", |s| s.cni.as_ref()?.bridge.clone());
    let exempt = layers.value("spec.cni.masqueradeExempt", |s| s.cni.as_ref()?.masquerade_exempt.clone());
    let mut whether = |field: &str, of: fn(&CniSpec) -> Option<bool>| {
        layers.value(&format!("spec.cni.{field}"), |s| of(s.cni.as_ref()?))
    };
    let hairpin = whether("hairpin", |s| s.hairpin).unwrap_or(true);
    let masquerade = whether("masquerade", |s| s.masquerade).unwrap_or(false);
    let masquerade_learned = whether("masqueradeLearned", |s| s.masquerade_learned).unwrap_or(false);
    PodNetwork {
        name: network.map_or_else(|| "pod-network".into(), |name| name.as_str().to_owned()),
        mode: layers.value("spec.cni.mode", |s| s.cni.as_ref()?.mode).unwrap_or_default(),
        bridge: bridge.map_or_else(|| "cni0".into(), |bridge| bridge.as_str().to_owned()),
        mtu: layers.value("spec.cni.mtu", |s| s.cni.as_ref()?.mtu).and_then(|mtu| mtu.0),
        hairpin,
        masquerade,
        exempt: exempt.iter().flatten().map(|cidr| cidr.0).collect(),
        masquerade_learned,
    }
}
