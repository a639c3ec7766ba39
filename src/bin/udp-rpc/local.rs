//! `--proto`: what a server's `.proto` files say, for servers that have no reflection.
//!
//! They are compiled in this process. Nothing here talks to a server, and whatever is wrong with
//! the files is a usage error that says where.

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, GoogleFileResolver, IncludeFileResolver};
use udp_rpc::service::generated::v1::MethodSummary;
use udp_rpc::service::{Miss, resolve};
use udp_rpc::wire::Code;

use crate::args::Protos;
use crate::failure::Failure;
use crate::guard;
use crate::schema::{self, Method};

/// The methods and types of `.proto` files.
pub(crate) struct Local {
    pool: DescriptorPool,
    /// Of the files that were named, not of those that they import; in the order of their names.
    methods: Vec<MethodSummary>,
}

/// What a name stands for in the files.
pub(crate) struct Found {
    /// What is said of a method; `None` if it is none.
    pub(crate) summary: Option<MethodSummary>,
    /// The full name, if it is a service, a message or an enum.
    pub(crate) symbol: String,
}

impl Local {
    /// Compiles the files that the command line names; `None` if it names none.
    ///
    /// # Errors
    ///
    /// A usage error with file, line and column.
    pub(crate) fn open(protos: &Protos) -> Result<Option<Local>, Failure> {
        if protos.files.is_empty() {
            return Ok(None);
        }
        let compiled = guard::quietly(|| compile(protos));
        compiled
            .unwrap_or_else(|| Err("the compiler gave up on these files".to_owned()))
            .map(Some)
            .map_err(Failure::usage)
    }

    /// All methods, in the order of their names.
    pub(crate) fn methods(&self) -> &[MethodSummary] {
        &self.methods
    }

    /// All types.
    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The method that a name means, by the rules of reflection.
    ///
    /// # Errors
    ///
    /// None is meant, or more than one could be.
    pub(crate) fn method(&self, name: &str) -> Result<Method, Failure> {
        let summary = self.resolve(name).map_err(|miss| refusal(name, &miss))?;
        Method::new(summary.clone(), Some(&self.pool)).map_err(Failure::usage)
    }

    /// The method, service, message or enum that a name means.
    ///
    /// # Errors
    ///
    /// As [`method`](Self::method).
    pub(crate) fn find(&self, name: &str) -> Result<Found, Failure> {
        let miss = match self.resolve(name) {
            Ok(summary) => {
                return Ok(Found { summary: Some(summary.clone()), symbol: String::new() });
            }
            Err(miss) => miss,
        };
        if matches!(miss, Miss::Unknown(_)) {
            let symbols = self.symbols();
            match resolve(name, symbols.iter().map(|symbol| (symbol.as_str(), true))) {
                Ok(symbol) => return Ok(Found { summary: None, symbol: symbol.to_owned() }),
                Err(miss @ Miss::Ambiguous(_)) => return Err(refusal(name, &miss)),
                Err(Miss::Unknown(_)) => {}
            }
        }
        Err(refusal(name, &miss))
    }

    fn resolve(&self, name: &str) -> Result<&MethodSummary, Miss<'_>> {
        let names = self.methods.iter().map(|method| (method.name.as_str(), true));
        let full = resolve(name, names)?;
        self.methods
            .iter()
            .find(|method| method.name == full)
            .ok_or_else(|| Miss::Unknown(Vec::new()))
    }

    /// The full names of all services, messages and enums.
    fn symbols(&self) -> Vec<String> {
        let services = self.pool.services().map(|service| service.full_name().to_owned());
        let messages = self.pool.all_messages().map(|message| message.full_name().to_owned());
        let enums = self.pool.all_enums().map(|values| values.full_name().to_owned());
        services.chain(messages).chain(enums).collect()
    }
}

fn compile(protos: &Protos) -> Result<Local, String> {
    let mut includes = protos.includes.clone();
    if includes.is_empty() {
        for file in &protos.files {
            let folder = match file.parent() {
                Some(folder) if folder != Path::new("") => folder.to_owned(),
                _ => PathBuf::from("."),
            };
            if !includes.contains(&folder) {
                includes.push(folder);
            }
        }
    }
    if let Some(missing) = includes.iter().find(|folder| !folder.is_dir()) {
        return Err(format!("{} is no folder", missing.display()));
    }
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(IncludeFileResolver::new(include));
    }
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for file in &protos.files {
        compiler.open_file(file).map_err(|error| complaint(file, &error))?;
    }

    let named: Vec<String> =
        compiler.files().filter(|file| !file.is_import()).map(|file| file.name().into()).collect();
    let pool = compiler.descriptor_pool();
    let services = pool.services();
    let services =
        services.filter(|service| named.iter().any(|name| *name == service.parent_file().name()));
    let mut methods: Vec<MethodSummary> = services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| schema::summary(&method))
        .collect();
    methods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Local { pool, methods })
}

/// What the compiler says of a file, on a line: the place first, as compilers say it.
fn complaint(file: &Path, error: &protox::Error) -> String {
    // Its `Debug` is `FILE:LINE:COLUMN: MESSAGE`, where it knows the place.
    let told = format!("{error:?}");
    let first = told.lines().next().unwrap_or_default().trim();
    if first.contains(".proto") { first.to_owned() } else { format!("{}: {first}", file.display()) }
}

/// What a name that means nothing in the files, or too much, is answered with.
fn refusal(name: &str, miss: &Miss<'_>) -> Failure {
    let help = vec!["udp-rpc list --proto FILE  shows all that there are".to_owned()];
    Failure::NotSent(Code::Unimplemented, miss.sentence(name), help)
}
