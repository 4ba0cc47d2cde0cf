//! Every configuration file of a node, rendered from `cluster.yaml` and `secrets.yaml`.
//!
//! In: a [`spec::Cluster`], its [`spec::Secrets`], a node's name and a [`Layout`] (where things are on that machine).
//! Out: [`RenderedFile`]s, the same bytes for the same input.
//!
//! A value reaches a file through the quoting filter of that file's syntax, or it is a plain word: anything else fails
//! the rendering (see [`quote`]), so that forgetting a filter can never become an injection.
//!
//! Architecture invariant: pure. Nothing is read from or written to the machine here.
#![forbid(unsafe_code)]

mod change;
mod context;
mod layout;
mod machine;
mod manifest;
mod quote;
mod ranges;

use std::path::PathBuf;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use spec::{Cluster, Secrets};

pub use change::{Owner, Then, in_order};
pub use context::Context;
pub use layout::{Found, Layout, Paths, Users};
pub use machine::{Cores, Machine, MemoryMax, Sizes};
pub use manifest::{Do, Of, Template, When, templates};

/// `hba_file` of a node's PostgreSQL, beside its `pg_hba.conf`: the agent copies that there, or `pg_hba_closed.conf`.
pub const HBA_NOW: &str = "tandem_hba.conf";

/// One file of a node's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// The template's, by engine: below a dev node's own folder.
    pub path: &'static str,
    /// Where it belongs on the node it was rendered for; absolute.
    pub target: PathBuf,
    /// Whom it belongs to there.
    pub owner: Owner,
    /// Permission bits: 0600 where it holds secrets for one service.
    pub mode: u32,
    /// What a change of it asks for there; [`in_order`] puts those of many files together.
    pub then: Vec<Then>,
    pub contents: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("there is no node '{asked}'; the nodes are: {known}")]
    UnknownNode { asked: String, known: String },
    #[error("template {template}: {reason}")]
    Template { template: &'static str, reason: String },
}

/// Renders every file of `node`, in the manifest's order.
///
/// # Errors
/// [`RenderError::UnknownNode`], or a template that names what the context has not or leaves a value unquoted.
pub fn render(
    cluster: &Cluster,
    secrets: &Secrets,
    node: &str,
    layout: &Layout,
) -> Result<Vec<RenderedFile>, RenderError> {
    let context = Value::from(Serde(Context::new(cluster, secrets, node, layout)?));
    let environment = environment()?;
    templates()
        .filter(|t| t.when.applies(cluster))
        .map(|t| {
            let contents = environment
                .get_template(t.path)
                .and_then(|template| template.render(&context))
                .map_err(|e| failure(t.path, &e))?;
            Ok(RenderedFile {
                path: t.path,
                target: t.target(layout),
                owner: t.owner(layout),
                mode: t.mode,
                then: t.actions(layout),
                contents,
            })
        })
        .collect()
}

fn environment() -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(|e| failure("(syntax)", &e))?);
    quote::install(&mut environment);
    for template in templates() {
        environment.add_template(template.path, template.source).map_err(|e| failure(template.path, &e))?;
    }
    Ok(environment)
}

fn failure(template: &'static str, error: &minijinja::Error) -> RenderError {
    let line = error.line().map_or_else(String::new, |l| format!("line {l}: "));
    RenderError::Template { template, reason: format!("{line}{error}") }
}
