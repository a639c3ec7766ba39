//! What to generate, from what, and where to.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use prost_build::{Config, Module};
use prost_types::FileDescriptorSet;
use protox::Compiler;

use crate::assemble::{self, Packages};
use crate::collisions::{self, Collision, Origin};
use crate::comments;
use crate::error::{Error, Place};
use crate::service::Services;

/// Changes what prost-build does.
type Change = Box<dyn FnOnce(&mut Config)>;

/// What to generate, from which files; [`compile`](crate::compile) is this for a single one.
///
/// ```no_run
/// fn main() -> Result<(), udp_rpc_build::Error> {
///     udp_rpc_build::Builder::new()
///         .include("proto")
///         .file("proto/acme/shop/v1/shop.proto")
///         .file("proto/acme/billing/v1/billing.proto")
///         .compile()
/// }
/// ```
#[must_use = "nothing is generated before compile() or generate()"]
pub struct Builder {
    files: Vec<PathBuf>,
    includes: Vec<PathBuf>,
    extern_paths: Vec<(String, String)>,
    library: String,
    name: String,
    out_dir: Option<PathBuf>,
    servers: bool,
    clients: bool,
    changes: Vec<Change>,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Rust code, for [`include!`]; it includes the descriptors from a file beside its own.
    pub code: String,
    /// A serialised `google.protobuf.FileDescriptorSet`: the files, what they import, and their
    /// comments.
    pub descriptors: Vec<u8>,
    /// The files that were read, imported ones included; a change of one of them changes the rest.
    pub read: Vec<PathBuf>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            includes: Vec::new(),
            extern_paths: Vec::new(),
            library: "::udp_rpc".into(),
            name: "udp_rpc".into(),
            out_dir: None,
            servers: true,
            clients: true,
            changes: Vec::new(),
        }
    }
}

impl Builder {
    /// Nothing to generate yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Generates code for this file, and for all that it imports. The path is relative to the
    /// package's folder, which is where build scripts run.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Generates code for these files; see [`file`](Self::file).
    pub fn files<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        paths.into_iter().fold(self, Self::file)
    }

    /// Looks for files, and for what they import, in this folder: `import "a/b.proto"` is `a/b.proto`
    /// in the first of these folders that has it. Without any, in the folders of the files
    /// themselves. `google/protobuf/*.proto` are always there.
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.includes.push(folder.into());
        self
    }

    /// Generates nothing for a package or type, and uses what another crate has for it:
    /// `.extern_path(".acme.common", "::acme_common::proto")`.
    pub fn extern_path(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        self.extern_paths.push((proto.into(), rust.into()));
        self
    }

    /// The path of the library in the generated code, for whoever has given it another name;
    /// `::udp_rpc` unless set.
    pub fn library(mut self, path: impl Into<String>) -> Self {
        self.library = path.into();
        self
    }

    /// The name of the generated files, `udp_rpc.rs` and `udp_rpc.binpb` unless set; for a second
    /// set of files in one package: `include_protos!("name")`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Where the generated files go; cargo's `OUT_DIR` unless set.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Whether there are traits for servers; there are unless set.
    pub fn servers(mut self, yes: bool) -> Self {
        self.servers = yes;
        self
    }

    /// Whether there are typed clients; there are unless set.
    pub fn clients(mut self, yes: bool) -> Self {
        self.clients = yes;
        self
    }

    /// Changes how prost-build makes the messages: attributes on types, `bytes::Bytes` for fields,
    /// and so on. What this crate sets itself comes before: absolute paths into the library, and
    /// `prost::Name` for all messages.
    ///
    /// Maps in `BTreeMap`, so that a message has one encoding, need `prost` among the dependencies
    /// of whoever asks for them (`config.btree_map(["."])`): prost's own code looks for it there.
    ///
    /// ```no_run
    /// # use udp_rpc_build::Builder;
    /// let builder = Builder::new().file("proto/shop.proto").messages(|config| {
    ///     config.bytes([".shop.Picture.pixels"]);
    /// });
    /// ```
    pub fn messages(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Generates the code, writes it where [`include_protos!`] finds it, and tells cargo when to do
    /// so again. For build scripts.
    ///
    /// [`include_protos!`]: https://docs.rs/udp-rpc/latest/udp_rpc/macro.include_protos.html
    ///
    /// # Errors
    ///
    /// What is wrong with a file, and where; or what cannot be read or written.
    pub fn compile(mut self) -> Result<(), Error> {
        let folder = match self.out_dir.take().or_else(|| env::var_os("OUT_DIR").map(Into::into)) {
            Some(folder) => folder,
            None => {
                return Err(Error::new(
                    "OUT_DIR is not set: call this from a build script, or set out_dir",
                ));
            }
        };
        let name = self.name.clone();
        let output = self.generate()?;
        for path in &output.read {
            println!("cargo:rerun-if-changed={}", path.display());
        }
        write(&folder.join(format!("{name}.binpb")), &output.descriptors)?;
        write(&folder.join(format!("{name}.rs")), output.code.as_bytes())
    }

    /// Generates the code and gives it back.
    ///
    /// # Errors
    ///
    /// As [`compile`](Self::compile), but for writing.
    pub fn generate(self) -> Result<Output, Error> {
        let includes = self.search_path();
        let locate = |name: &str| {
            includes.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
        };
        let compiler = self.read(&includes, locate)?;
        let mut set = compiler.file_descriptor_set();

        let externs = self.extern_paths.iter().map(|(proto, _)| proto.as_str());
        let externs: Vec<&str> = externs.chain([".google.protobuf"]).collect();
        let is_extern = |name: &str| externs.iter().any(|path| is_inside(name, path));
        let modules =
            collisions::check(&set, &is_extern).map_err(|collision| tell(&collision, &locate))?;
        let deprecated = assemble::deprecated(&set);
        comments::prepare(&mut set);

        let descriptors = format!("{}.binpb", self.name);
        let services = Services {
            library: self.library.clone(),
            modules,
            servers: self.servers,
            clients: self.clients,
        };
        let packages = self.prost(services, set)?;
        let code = assemble::assemble(&packages, &deprecated, &descriptors)?;
        Ok(Output {
            code: comments::reveal(&code),
            descriptors: compiler.encode_file_descriptor_set(),
            read: compiler.files().filter_map(|file| file.path().map(Path::to_owned)).collect(),
        })
    }

    /// Where imports are looked for.
    fn search_path(&self) -> Vec<PathBuf> {
        if !self.includes.is_empty() {
            return self.includes.clone();
        }
        let mut folders: Vec<PathBuf> = Vec::new();
        for file in &self.files {
            let folder = match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            };
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    /// Reads and checks all files.
    fn read(
        &self,
        includes: &[PathBuf],
        locate: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Compiler, Error> {
        if self.files.is_empty() {
            return Err(Error::new("there is no file to compile"));
        }
        for path in self.files.iter().chain(&self.includes) {
            let there = fs::metadata(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::new(format!(
                    "{}: there is no such file or folder (in {})",
                    path.display(),
                    env::current_dir().unwrap_or_default().display()
                )),
                _ => Error::io(path, &error),
            });
            there?;
        }
        let explain = |error: protox::Error| Error::of_compiler(&error, &locate);
        let mut compiler = Compiler::new(includes).map_err(explain)?;
        compiler.include_imports(true).include_source_info(true);
        for file in &self.files {
            compiler.open_file(file).map_err(explain)?;
        }
        Ok(compiler)
    }

    /// Has prost-build make the code of each package.
    fn prost(self, services: Services, set: FileDescriptorSet) -> Result<Packages, Error> {
        let mut config = Config::new();
        config
            .format(false)
            .prost_path(format!("{}::prost", self.library))
            .prost_types_path(format!("{}::prost_types", self.library))
            .enable_type_names()
            .type_name_domain(["."], "type.googleapis.com");
        for (proto, rust) in self.extern_paths {
            config.extern_path(proto, rust);
        }
        for change in self.changes {
            change(&mut config);
        }
        config.service_generator(Box::new(services));
        let requests = set
            .file
            .into_iter()
            .map(|file| (Module::from_protobuf_package_name(file.package()), file))
            .collect();
        let modules = config.generate(requests).map_err(|error| Error::new(error.to_string()))?;
        let modules = modules.into_iter();
        Ok(modules.map(|(module, code)| (parts(&module), code)).collect::<BTreeMap<_, _>>())
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("files", &self.files)
            .field("includes", &self.includes)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn parts(module: &Module) -> Vec<String> {
    module.parts().map(str::to_owned).collect()
}

/// Whether a full name is that of `path`, which begins with a dot, or of something inside it.
fn is_inside(name: &str, path: &str) -> bool {
    let path = path.strip_prefix('.').unwrap_or(path);
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn tell(collision: &Collision, locate: &impl Fn(&str) -> Option<PathBuf>) -> Error {
    let place = |origin: &Origin| Place {
        file: locate(&origin.file).unwrap_or_else(|| PathBuf::from(&origin.file)),
        position: origin.position,
    };
    let first = place(&collision.other);
    Error::at(place(&collision.at), format!("{}; the other is at {first}", collision.what))
}

/// Writes a file unless it is as it should be, so that nothing is compiled again for nothing.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| Error::io(path, &error))
}
