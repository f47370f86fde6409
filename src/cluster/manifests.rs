//! A directory of manifests as a source of objects.
//!
//! Reads every `*.yaml`, `*.yml` and `*.json` file that is not hidden, in the order of their names,
//! and every document in them. All that is wrong is collected before giving up, so that one look at
//! the error mends the lot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::api::discovery::v1 as discovery;
use serde::de::DeserializeOwned;

use super::decode::{Fault, decode};
use super::document::{Document, Tree, Value, documents};
use super::objects::{BgpAdvertisement, BgpConfiguration, BgpPeer, GROUP, Object, ObjectSet, Problem};
use super::{Error, Finding, Place};

/// A directory of manifests.
#[derive(Debug, Clone)]
pub struct ManifestDirectory {
    path: PathBuf,
}

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The objects.
    pub objects: ObjectSet,
    /// Documents that were passed over because their kind is not ours to read; fields because they are not
    /// known.
    pub warnings: Vec<Finding>,
    /// What is wrong with single objects. Of each, the set has the last good version, or none if there was none.
    /// A directory has no such faults: there, one that is malformed keeps back the whole reading.
    pub faults: Vec<Finding>,
}

impl ManifestDirectory {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ManifestDirectory { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all manifests. Blocks on the file system.
    ///
    /// # Errors
    /// The directory cannot be read, or anything in it is malformed.
    pub fn read(&self) -> Result<Reading, Error> {
        let error = |source| Error::Directory { path: self.path.clone(), source };
        let mut files: Vec<PathBuf> = vec![];
        for entry in std::fs::read_dir(&self.path).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if is_manifest(&path) {
                files.push(path);
            }
        }
        files.sort();
        let mut reader = Reader::default();
        for path in files {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            match std::fs::read(&path).map(String::from_utf8) {
                Ok(Ok(text)) => reader.file(&file, &text),
                Ok(Err(_)) => reader.unreadable(&file, "is not UTF-8 text"),
                // Gone between listing and reading: the change that took it will be noticed by itself.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => {}
                Err(error) => reader.unreadable(&file, &error.to_string()),
            }
        }
        reader.finish()
    }
}

/// Reads manifests that are at hand as texts, each with the file name to use in errors.
///
/// # Errors
/// Anything in them is malformed.
pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Reading, Error> {
    let mut reader = Reader::default();
    for (file, text) in files {
        reader.file(file, text);
    }
    reader.finish()
}

fn is_manifest(path: &Path) -> bool {
    is_named_manifest(path) && !path.is_dir()
}

/// Whether a file of this name is read.
pub(super) fn is_named_manifest(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let extension = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
    !hidden && extension
}

/// Gathers objects and everything wrong with them.
#[derive(Default)]
struct Reader {
    reading: Reading,
    errors: Vec<Finding>,
    /// Where each object was first defined, by kind and name.
    defined: BTreeMap<String, Place>,
}

impl Reader {
    fn unreadable(&mut self, file: &str, text: &str) {
        let place = Place { file: file.to_owned(), document: None, line: None };
        self.errors.push(Finding {
            place: Some(place),
            object: None,
            field: String::new(),
            text: text.into(),
        });
    }

    fn file(&mut self, file: &str, text: &str) {
        for document in documents(text) {
            let mut context = Context { file, document: &document, object: None };
            match document.parse() {
                Ok(Tree { value: Value::Null, .. }) => {}
                Ok(tree) => self.object(&mut context, &tree),
                Err(error) => self.errors.push(context.finding("", error.line, error.text)),
            }
        }
    }

    fn object(&mut self, context: &mut Context<'_>, tree: &Tree) {
        let text = |field| tree.field(field).and_then(Tree::text);
        let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            let text = "is no Kubernetes object: it needs an apiVersion and a kind";
            return self.errors.push(context.finding("", Some(tree.line), text));
        };
        let name = tree.field("metadata").and_then(|metadata| metadata.field("name")).and_then(Tree::text);
        context.object = Some(name.map_or(kind.to_owned(), |name| format!("{kind} {}", name.escape_debug())));
        let ours = version.split_once('/').filter(|(group, _)| *group == GROUP);
        match (ours, version, kind) {
            (None, "v1", "Node") => self.typed::<k8s::Node>(context, tree),
            (None, "v1", "Secret") => self.typed::<k8s::Secret>(context, tree),
            (None, "v1", "Service") => self.typed::<k8s::Service>(context, tree),
            (None, "discovery.k8s.io/v1", "EndpointSlice") => {
                self.typed::<discovery::EndpointSlice>(context, tree);
            }
            (None, "v1", "List") => self.list(context, tree),
            (Some((_, "v1alpha1")), _, "BgpConfiguration") => self.typed::<BgpConfiguration>(context, tree),
            (Some((_, "v1alpha1")), _, "BgpPeer") => self.typed::<BgpPeer>(context, tree),
            (Some((_, "v1alpha1")), _, "BgpAdvertisement") => self.typed::<BgpAdvertisement>(context, tree),
            (Some((_, "v1alpha1")), ..) => {
                let text =
                    format!("{kind:?} is not a kind of {GROUP}: BgpAdvertisement, BgpConfiguration, BgpPeer");
                self.errors.push(context.at_field(tree, "kind", text));
            }
            (Some(_), ..) => {
                let text = format!("{version:?} is not a version of {GROUP}: {GROUP}/v1alpha1");
                self.errors.push(context.at_field(tree, "apiVersion", text));
            }
            (None, ..) => {
                let text = format!("{version} {kind} is passed over: it means nothing to Routelet");
                self.reading.warnings.push(context.finding("", Some(tree.line), text));
            }
        }
    }

    /// What `kubectl get -o yaml` prints for several objects.
    fn list(&mut self, context: &mut Context<'_>, tree: &Tree) {
        match tree.field("items").map(|items| &items.value) {
            Some(Value::Sequence(items)) => {
                for item in items {
                    context.object = None;
                    self.object(context, item);
                }
            }
            _ => self.errors.push(context.at_field(tree, "items", "must be a list of objects")),
        }
    }

    fn typed<K>(&mut self, context: &Context<'_>, tree: &Tree)
    where
        K: DeserializeOwned,
        Object: TryFrom<K, Error = Vec<Problem>>,
    {
        // Both are looked at already, and kube's derived types do not know them as fields.
        let object = match decode::<K>(tree, &["apiVersion", "kind"]) {
            Ok(object) => object,
            Err(faults) => {
                let finding = |Fault { field, line, mut text, .. }| {
                    // Only a Secret has `data`, and its decoder does not say what it was decoding.
                    if field.starts_with("data.") && text.starts_with("Invalid") {
                        text = format!("not base64 (plain text goes under stringData): {text}");
                    }
                    context.finding(&field, line.or(Some(tree.line)), text)
                };
                return self.errors.extend(faults.into_iter().map(finding));
            }
        };
        match Object::try_from(object) {
            Ok(object) => self.keep(context, tree, object),
            Err(problems) => {
                let finding = |problem: Problem| context.at_field(tree, &problem.field, problem.text);
                self.errors.extend(problems.into_iter().map(finding));
            }
        }
    }

    fn keep(&mut self, context: &Context<'_>, tree: &Tree, object: Object) {
        let here = context.place(Some(tree.line_of("metadata.name")));
        if let Some(first) = self.defined.get(&object.to_string()) {
            let number = first.document.map_or(String::new(), |number| format!(", document {number}"));
            let line = first.line.map_or(String::new(), |line| format!(", line {line}"));
            let text = format!("already defined in {}{number}{line}", first.file);
            return self.errors.push(context.at_field(tree, "metadata.name", text));
        }
        self.defined.insert(object.to_string(), here);
        self.reading.objects.apply(object);
    }

    fn finish(self) -> Result<Reading, Error> {
        if self.errors.is_empty() { Ok(self.reading) } else { Err(Error::Objects(self.errors)) }
    }
}

/// Where the reader stands.
struct Context<'a> {
    file: &'a str,
    document: &'a Document<'a>,
    object: Option<String>,
}

impl Context<'_> {
    fn place(&self, line: Option<u32>) -> Place {
        Place {
            file: self.file.to_owned(),
            document: Some(self.document.number),
            line: line.map(|line| line + self.document.lines_before),
        }
    }

    fn finding(&self, field: &str, line: Option<u32>, text: impl Into<String>) -> Finding {
        Finding {
            place: Some(self.place(line)),
            object: self.object.clone(),
            field: field.to_owned(),
            text: text.into(),
        }
    }

    fn at_field(&self, tree: &Tree, field: &str, text: impl Into<String>) -> Finding {
        self.finding(field, Some(tree.line_of(field)), text)
    }
}
