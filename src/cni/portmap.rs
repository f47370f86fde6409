//! The plugin `portmap`: ports of the node that lead to a pod, behind any plugin that attaches one.
//!
//! Takes the configuration of the reference's plugin of that name. What the runtime wants mapped is in
//! `runtimeConfig.portMappings`; the pod's addresses are in `prevResult`, which is passed on as it came.
//! Our plugin that attaches pods maps ports itself if it is asked to, and then needs none behind it.
//!
//! | field | |
//! |---|---|
//! | `snat` | whether sources are masqueraded where an answer would otherwise go astray: in a pod that reaches itself or one beside it, and from 127.0.0.1; by default they are |
//! | `backend` | either of the reference's; it is ours in any case |
//! | `markMasqBit`, `externalSetMarkChain` | checked, and not needed: no packet is marked |
//! | `conditionsV4`, `conditionsV6`, `masqAll` | refused: conditions are in the words of iptables, and hiding every source is not done |
//!
//! A port that is mapped to a pod which is gone is given to the next; one whose pod is still attached is
//! refused. Of a port on one address and the same on all, the first is heeded where both apply. To `::1` of
//! the node no port is mapped: the kernel has no way from there into a pod.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use super::conf::{Network, capability};
use super::environment::Attachment;
use super::field::Section;
use super::{Code, Error, gc, masquerade};
use crate::kernel::nftables::{Attached, Mapping, Nftables, Transport, Way};
use crate::prefix::Family;

/// Fields that would mean something which is not done here.
const UNSUPPORTED: [&str; 3] = ["conditionsV4", "conditionsV6", "masqAll"];

/// A port that the runtime wants mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    transport: Transport,
    /// An address of the node; an unspecified one for any of its family, `None` for any at all.
    host: Option<IpAddr>,
    host_port: u16,
    port: u16,
}

/// Reads what the runtime wants mapped; nothing if it does not say.
///
/// # Errors
/// A field is wrong.
pub fn read(root: &Section<'_>) -> Result<Vec<PortRequest>, Error> {
    let Some(section) = capability(root, "portMappings")? else { return Ok(Vec::new()) };
    section.sections("portMappings")?.iter().map(read_one).collect()
}

fn read_one(section: &Section<'_>) -> Result<PortRequest, Error> {
    let port = |field: &str| match section.optional::<i64>(field)?.map(u16::try_from) {
        Some(Ok(port)) if port != 0 => Ok(port),
        Some(_) => Err(Error::invalid(section.path(field), "a port is from 1 to 65535")),
        None => Err(Error::invalid(section.path(field), "it is absent")),
    };
    let protocol = section.text("protocol")?.unwrap_or_else(|| "tcp".to_owned());
    let known = Transport::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&protocol));
    let why = || format!("{protocol:?} is none of tcp, udp, sctp");
    Ok(PortRequest {
        transport: known.ok_or_else(|| Error::invalid(section.path("protocol"), why()))?,
        host: section.parsed("hostIP")?,
        host_port: port("hostPort")?,
        port: port("containerPort")?,
    })
}

/// What that comes to for a pod of these addresses: of each family, its first is mapped to.
pub fn mappings(requests: &[PortRequest], addresses: &[IpAddr]) -> Vec<Mapping> {
    let first = |family| addresses.iter().copied().find(|address| Family::of(*address) == family);
    let pods: Vec<IpAddr> = Family::ALL.into_iter().filter_map(first).collect();
    let mut mappings = Vec::new();
    for request in requests {
        let meant = |pod: &&IpAddr| request.host.is_none_or(|host| Family::of(host) == Family::of(**pod));
        mappings.extend(pods.iter().filter(meant).map(|pod| Mapping {
            transport: request.transport,
            host: request.host.filter(|host| !host.is_unspecified()),
            host_port: request.host_port,
            pod: SocketAddr::new(*pod, request.port),
        }));
    }
    mappings
}

/// ADD: maps the ports, and passes on the result of the plugins before.
///
/// # Errors
/// There is no `prevResult`, a field is wrong, a port is taken by another pod, or the kernel refuses.
/// Nothing is mapped then.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let previous = previous(network)?;
    masquerade::put_in(&wanted(attachment, network)?)?;
    let mut document = previous.clone();
    document.insert("cniVersion".to_owned(), Value::from(network.version.as_str()));
    Ok(Value::Object(document))
}

/// DEL: unmaps whatever the attachment has, whether or not the runtime still says what that was.
///
/// # Errors
/// Something is there that could not be removed.
pub fn del(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    masquerade::take_out(network, &attachment.owner, &[])
}

/// CHECK: whether the ports are mapped.
///
/// # Errors
/// One is not, or leads elsewhere.
pub fn check(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    masquerade::check(&wanted(attachment, network)?)
}

/// STATUS: whether ports could be mapped.
///
/// # Errors
/// The configuration is wrong, or the kernel has no nftables.
pub fn status(network: &Network) -> Result<(), Error> {
    settings(&network.root())?;
    Ok(Nftables::open()?.is_served()?)
}

/// GC: unmaps what belongs to attachments that the runtime no longer knows.
///
/// # Errors
/// There is no list of those it knows, or something could not be removed.
pub fn gc(network: &Network) -> Result<(), Error> {
    let valid = gc::valid_attachments(network)?;
    masquerade::retain(network, |owner| gc::is_valid(&valid, owner))
}

fn previous(network: &Network) -> Result<&Map<String, Value>, Error> {
    let why = "it is absent; portmap comes after a plugin that attaches pods";
    network.previous()?.ok_or_else(|| Error::invalid("prevResult", why))
}

/// Reads the plugin's own settings: whether sources may be masqueraded.
fn settings(root: &Section<'_>) -> Result<bool, Error> {
    refuse(root, &UNSUPPORTED)?;
    masquerade::refuse_backend(root, "backend")?;
    let bit: Option<i64> = root.optional("markMasqBit")?;
    if bit.is_some_and(|bit| !(0..32).contains(&bit)) {
        return Err(Error::invalid("markMasqBit", "a bit is from 0 to 31"));
    }
    if bit.is_some() && root.text("externalSetMarkChain")?.is_some() {
        return Err(Error::invalid("externalSetMarkChain", "it cannot go together with markMasqBit"));
    }
    Ok(root.optional("snat")?.unwrap_or(true))
}

/// Refuses fields that are there and ask for something; the message has path and value of the first.
fn refuse(section: &Section<'_>, fields: &[&str]) -> Result<(), Error> {
    let empty = |value: &Value| match value {
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Object(_) => false,
    };
    match fields.iter().find_map(|field| Some((*field, section.value(field).filter(|v| !empty(v))?))) {
        None => Ok(()),
        Some((field, value)) => {
            let message = format!("unsupported field {}={value}", section.path(field));
            Err(Error::new(Code::UnsupportedField, message, "leave it out"))
        }
    }
}

/// What the attachment should have.
fn wanted(attachment: &Attachment, network: &Network) -> Result<Attached, Error> {
    let root = network.root();
    let may_masquerade = settings(&root)?;
    let requests = read(&root)?;
    let previous = Section::root(previous(network)?);
    let owner = &attachment.owner;
    let mut attached = Attached::of(masquerade::name(&network.name, owner));
    if requests.is_empty() {
        return Ok(attached);
    }
    let interfaces = previous.sections("interfaces")?;
    let mut outside = Vec::new();
    let mut inside = None;
    for (place, interface) in interfaces.iter().enumerate() {
        match (interface.text("name")?, interface.text("sandbox")?) {
            (Some(name), None) => outside.push(name),
            (Some(name), Some(_)) if name == owner.interface => inside = Some(place),
            _ => {}
        }
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in previous.sections("ips")? {
        let of: Option<usize> = ip.optional("interface")?;
        if of.is_none() || inside.is_none() || of == inside {
            addresses.extend(ip.parsed::<IpNetwork>("address")?.map(|address| address.ip()));
        }
    }
    attached.mappings = mappings(&requests, &addresses);
    // A bridge comes first, then its port, then the gateway where that is not the bridge; where there is but
    // one, it leads to this pod alone.
    if let Some(link) = outside.get(1).or(outside.first()) {
        attached.owner.link.clone_from(link);
    }
    if may_masquerade {
        let is_own = outside.len() == 1;
        let gateway = outside.get(2).or(outside.first());
        attached.way = gateway.map(|interface| Way { interface: interface.clone(), is_own });
    }
    Ok(attached)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_done_is_refused_with_key_and_value() {
        let refuse = |value: Value| {
            let fields = json!({"masqAll": value});
            refuse(&Section::root(fields.as_object().unwrap()), &UNSUPPORTED)
        };
        let error = refuse(json!(["x"])).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedField);
        assert_eq!(error.to_string(), "unsupported field masqAll=[\"x\"]: leave it out");
        for empty in [json!(false), json!(0), json!(""), json!([]), json!(null)] {
            assert!(refuse(empty).is_ok());
        }
    }
}
